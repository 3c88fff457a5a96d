"""What goes wrong without anybody having foreseen it, and a database that is away: one place that says what a person is told and what the log has."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import streamlit.logger
from starlette.responses import PlainTextResponse, Response

from study import log, metrics
from study.errors import Problems, Unavailable

HEADER = "x-blindstrip-error"  # the id, for the desk
_HELP = "If it goes on, tell whoever runs this server: error {}."
AWAY = f"The database cannot be used at the moment. Try again in a minute. {_HELP}"
UNFORESEEN = f"Something went wrong that blindstrip did not foresee. Try again. {_HELP}"


def told(error: Exception) -> str:
    """What a person is told. A refusal speaks for itself; anything else is in the log under an id that is told."""
    if isinstance(error, Problems) and not isinstance(error, Unavailable):  # an Unavailable's words name the database: for the log
        return str(error)
    return _said(error, _written(error))


def answer(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """The same, for a request that is not a screen's; what was sent may be sent again."""
    number = _written(error)
    return PlainTextResponse(_said(error, number), 503 if isinstance(error, Unavailable) else 500, {**(headers or {}), HEADER: number})


def start_log() -> None:
    """The server's log, Streamlit's lines in it: it would give each of its loggers a handler of its own, now and later."""
    log.start("server")
    streamlit.logger.setup_formatter = _to_the_log
    streamlit.logger.update_formatter()
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").propagate = False  # addresses hold links of invitations


def _written(error: Exception) -> str:
    number = log.fault(error)
    metrics.SERVER.fault(number, error)
    return number


def _said(error: Exception, number: str) -> str:
    return (AWAY if isinstance(error, Unavailable) else UNFORESEEN).format(number)


def _to_the_log(logger: logging.Logger) -> None:
    own = getattr(logger, "streamlit_console_handler", None)
    if own is not None:
        logger.removeHandler(own)
    logger.propagate = True
