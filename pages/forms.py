"""Pages and forms outside Streamlit: our own HTML, with a CSRF token; what a browser sends back, if it is one of ours and not too long."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from pages import front_door
from study.errors import StudyError

CSRF_COOKIE = "blindstrip_form"
LARGEST_FORM = 16_384  # bytes


def page(request: Request, make: Callable[..., str], *, status: int = 200, **values: object) -> Response:
    """A page with forms: its CSRF token goes into the forms and into a strict cookie (double submit), the same for all open tabs."""
    token = request.cookies.get(CSRF_COOKIE) or secrets.token_urlsafe(16)
    answer = html(make(token, **values), status)
    set_cookie(request, answer, CSRF_COOKIE, token, samesite="strict", max_age=None)
    return answer


def set_cookie(request: Request, answer: Response, name: str, value: str, *, samesite: str, max_age: int | None) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, httponly=True, samesite="strict" if samesite == "strict" else "lax", max_age=max_age, secure=secure)


def html(text: str, status: int = 200) -> Response:
    headers = {"content-security-policy": front_door.CONTENT_SECURITY, "cache-control": "no-store"}
    return HTMLResponse(text, status, headers=headers)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that one of our pages sent. Raises FormRefused otherwise."""
    sent = await body(request, LARGEST_FORM)
    fields = {name: values[0] for name, values in parse_qs(sent.decode("utf-8", "replace"), keep_blank_values=True).items()}
    if not secrets.compare_digest(fields.get("csrf", "").encode(), request.cookies.get(CSRF_COOKIE, "no cookie").encode()):
        raise FormRefused("This form has expired. Go back, reload the page and try again. Cookies must be allowed.", 403)
    return fields


async def body(request: Request, largest: int) -> bytes:
    """What one of our pages sent. Raises FormRefused."""
    refuse_foreign(request)
    read = b""
    async for chunk in request.stream():
        read += chunk
        if len(read) > largest:
            raise FormRefused("The form is too long.", 413)
    return read


def refuse_foreign(request: Request) -> None:
    """A form on somebody else's page must not act here: browsers name the page's origin with every POST."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise FormRefused("The form came from another site.", 403)


class FormRefused(StudyError):
    """A form that this server did not send, or cannot be as long as it is."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
