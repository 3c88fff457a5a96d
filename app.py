"""The front door: `streamlit run app.py` imports this file as a server (`app`) and runs it as the script of every session (`main`).

The server holds what Streamlit's script cannot: the sign-in with its HttpOnly cookie, the gate that lets nobody in without one, security
headers, and the runner process that does the long work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import sys
from collections.abc import AsyncIterator

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pages import access, desk, entrance, faults, forms, words
from pages.security_headers import SECURITY_HEADERS, SecurityHeaders
from study import cases, metrics, people, printing, runner_process
from study.errors import Problems, Unavailable
from study.people import Person
from study.roles import Action, may
from study.settings import Settings

# ---- the script ----


def main() -> None:
    from pages import screens

    st.set_page_config(page_title="blindstrip", page_icon=screens.ICON, layout="wide")
    person = access.current_person()
    if person is None:
        access.turn_away()
    st.html(screens.LAYOUT)
    st.navigation(screens.for_person(person), position="top").run()


# ---- the server ----


IDENTITY_HEADER = b"x-blindstrip-person"  # server.trustedUserHeaders turns it into st.user.person
PERSON = "blindstrip.person"  # where the gate leaves who it is in a request's scope
PUBLIC = entrance.PUBLIC | {"/healthz"}
PUBLIC_FOLDER = "/static/"  # Streamlit's own script and style files
UPLOADS = "/_stcore/upload_file/"
LARGEST_ANSWER = 65_536  # bytes
NOT_SIGNED_IN, TRY_LATER = 4401, 1013  # websocket close codes


class IdentityGate:
    """Lets nobody past the public pages without a sign-in, and tells Streamlit who it is.

    The identity header binds a session to its person: whoever presents somebody else's session id gets a fresh session. The client's own copy
    of that header is dropped first.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() != IDENTITY_HEADER]}
        path = scope["path"]
        if scope["type"] == "http" and (path in PUBLIC or path.startswith(PUBLIC_FOLDER)):
            await self.app(scope, receive, send)
            return
        try:
            person = await entrance.person_at(HTTPConnection(scope))
        except Unavailable as error:
            await _away(scope, error, receive, send)
            return
        if path.startswith(UPLOADS) and person is not None and not may(person, Action.IMPORT_RECORDINGS):
            await PlainTextResponse("Not allowed.", 403)(scope, receive, send)  # Streamlit would keep the file in memory for anybody
        elif person is not None:
            scope[PERSON] = person
            scope["headers"].append((IDENTITY_HEADER, str(person.id).encode()))
            with metrics.SERVER.connected(person) if scope["type"] == "websocket" else contextlib.nullcontext():
                await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": NOT_SIGNED_IN})
        else:
            await (await _refusal(Request(scope)))(scope, receive, send)


async def _away(scope: Scope, error: Unavailable, receive: Receive, send: Send) -> None:
    said = faults.answer(error)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": TRY_LATER})
    else:
        await said(scope, receive, send)


async def _refusal(request: Request) -> Response:
    if "text/html" not in request.headers.get("accept", "") and request.url.path != "/":
        return PlainTextResponse("Not signed in.", 401)
    return await entrance.to_the_door()


async def answer(request: Request) -> Response:
    """An answer from the desk, for the next case: half the way round that a run of the script would be, and none the less durable."""
    person: Person = request.scope[PERSON]
    body = await forms.body(request, LARGEST_ANSWER)
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    try:
        with metrics.SERVER.timed("answer of a reader"):
            found = await asyncio.to_thread(cases.answered, access.database(), person, sent)
    except cases.NotYours as error:
        return PlainTextResponse(str(error), 409)
    return JSONResponse(found, headers={"cache-control": "no-store", "content-encoding": "identity"})  # packed, its length would follow the samples


async def strip_pdf(request: Request) -> Response:
    """A reader's case as a PDF to scale, for the printer or to keep."""
    person: Person = request.scope[PERSON]
    try:
        name, content = await asyncio.to_thread(printing.strip_pdf, access.database(), person, dict(request.query_params))
    except Unavailable:
        raise
    except Problems as error:
        return PlainTextResponse(str(error), 400)
    headers = {"content-disposition": f'inline; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type="application/pdf", headers=headers)


async def healthz(_request: Request) -> Response:
    """For monitors: the server answers and reaches its database."""
    await asyncio.to_thread(people.first_run, access.database())
    return PlainTextResponse("ok")


async def _fault(_request: Request, error: Exception) -> Response:
    """For what nobody foresaw, outside of all middleware, and for a database that is away: the log has it, the answer the id under which."""
    return faults.answer(error, SECURITY_HEADERS)


async def _form_refused(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), error.status if isinstance(error, forms.FormRefused) else 400)


# ---- start and end ----


@contextlib.asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Begin the log, migrate, warm up what the first screens need, and keep the runner at work while the server is up."""
    faults.start_log()
    try:
        settings = Settings.from_environment()
        await asyncio.to_thread(access.database().migrate)
    except Problems as error:  # raised here, it would be buried under the server's own tracebacks
        print(f"blindstrip cannot start: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    await asyncio.to_thread(_warm)
    with runner_process.kept_running(settings.database, settings.scheduler):
        logging.getLogger("blindstrip").info("Ready.")
        yield
    access.database().close()


def _warm() -> None:
    """Imports that would make the first reader wait, then out of the garbage collector's way."""
    import plotly.graph_objects
    import plotly.io  # noqa: F401

    from pages import paper

    paper.warm()
    desk.script()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main()  # Streamlit and AppTest run the script as __main__
else:
    from streamlit.runtime.pages_manager import PagesManager

    # Until some session has run st.navigation, Streamlit would run pages/NAME.py for /NAME without asking main().
    PagesManager.uses_pages_directory = False
    app = st.App(
        __file__,
        lifespan=lifespan,
        routes=[
            *entrance.ROUTES,
            Route("/answer", answer, methods=["POST"]),
            Route("/strip.pdf", strip_pdf),
            Route("/healthz", healthz),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(IdentityGate)],
        exception_handlers={forms.FormRefused: _form_refused, Unavailable: _fault, Exception: _fault},
        on_script_error=words.unforeseen,
    )
