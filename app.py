"""The front door: `streamlit run app.py` imports this file as a server (`app`) and runs it as the script of every session (`main`).

The server holds what Streamlit's script cannot: the sign-in with its HttpOnly cookie, the gate that lets nobody in without one, security
headers, and the runner process that does the long work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pages import access, desk, front_door
from pages.security_headers import SECURITY_HEADERS, SecurityHeaders
from study import cases, jobs, people, printing, runner_process
from study.errors import Problems, SignInRefused, StudyError, Unavailable
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
PUBLIC = ("/welcome", "/welcome/demo", "/set-up", "/sign-in", "/demo/sign-in", "/sign-out", "/healthz")
PUBLIC_FOLDER = "/static/"  # Streamlit's own script and style files
CSRF_COOKIE = "blindstrip_form"
UPLOADS = "/_stcore/upload_file/"
LARGEST_FORM, LARGEST_ANSWER = 16_384, 65_536  # bytes
NOT_SIGNED_IN = 4401  # websocket close code


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
        person = await _person_at(HTTPConnection(scope))
        if path.startswith(UPLOADS) and person is not None and not may(person, Action.IMPORT_RECORDINGS):
            await PlainTextResponse("Not allowed.", 403)(scope, receive, send)  # Streamlit would keep the file in memory for anybody
        elif person is not None:
            scope[PERSON] = person
            scope["headers"].append((IDENTITY_HEADER, str(person.id).encode()))
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": NOT_SIGNED_IN})
        else:
            await (await _refusal(Request(scope)))(scope, receive, send)


async def _refusal(request: Request) -> Response:
    if "text/html" not in request.headers.get("accept", "") and request.url.path != "/":
        return PlainTextResponse("Not signed in.", 401)
    return await _to_the_door()


async def _person_at(connection: HTTPConnection) -> Person | None:
    token = connection.cookies.get(access.COOKIE)
    return await asyncio.to_thread(people.person_for, access.database(), token) if token else None


async def _to_the_door() -> Response:
    empty = await asyncio.to_thread(people.first_run, access.database())
    return RedirectResponse("/welcome" if empty else "/sign-in", 303)


# ---- before sign-in ----


async def welcome(request: Request) -> Response:
    """GET: the choice of an empty database. POST: ask for the demo."""
    db = access.database()
    if not await asyncio.to_thread(people.first_run, db):
        return RedirectResponse("/sign-in", 303)
    if request.method == "GET":
        return _page(request, front_door.welcome)
    await _form(request)
    try:
        job_id = await asyncio.to_thread(jobs.ask, db, None, "demo", {})
    except Problems as error:
        return _page(request, front_door.welcome, alert=str(error), status=409)
    return RedirectResponse(f"/welcome/demo?job={job_id}", 303)


async def welcome_demo(request: Request) -> Response:
    """How far the demo is; the sign-in once it is there."""
    asked = request.query_params.get("job", "")
    if not asked.isdecimal():
        return await _to_the_door()
    try:
        job = await asyncio.to_thread(jobs.job, access.database(), None, int(asked))
    except Problems:  # no such job, or not the demo's
        return await _to_the_door()
    if job.kind != "demo" or job.status == "done":
        return await _to_the_door()
    if job.status in ("failed", "cancelled"):
        return _page(request, front_door.demo_failed, message=job.message)
    return _html(front_door.making_demo(job.done, job.total, job.message))


async def set_up(request: Request) -> Response:
    """The first real person: makes the account and signs in."""
    db = access.database()
    if not await asyncio.to_thread(people.can_set_up, db):
        return RedirectResponse("/sign-in", 303)
    if request.method == "GET":
        return _page(request, front_door.set_up)
    form = await _form(request)
    given = {name: form.get(name, "") for name in ("name", "username", "site")}
    try:
        token = await asyncio.to_thread(people.set_up, db, given["username"], given["name"], form.get("password", ""), given["site"])
    except Problems as error:
        return _page(request, front_door.set_up, alert=str(error), status=400, **given)
    return _signed_in(request, token)


async def sign_in(request: Request) -> Response:
    """User name and password; beside them the demo's people while the demo is open."""
    db = access.database()
    if request.method == "POST":
        form = await _form(request)
        try:
            return _signed_in(request, await asyncio.to_thread(people.sign_in, db, form.get("username", ""), form.get("password", "")))
        except SignInRefused as error:
            return await _sign_in_page(request, str(error), form.get("username", ""), 401)
    if await _person_at(request) is not None:
        return RedirectResponse("/", 303)
    if await asyncio.to_thread(people.first_run, db):
        return RedirectResponse("/welcome", 303)
    return await _sign_in_page(request)


async def demo_sign_in(request: Request) -> Response:
    """One click, no password: only the demo's people, only while the demo is open."""
    form = await _form(request)
    try:
        return _signed_in(request, await asyncio.to_thread(people.sign_in_demo, access.database(), form.get("username", "")))
    except SignInRefused as error:
        return await _sign_in_page(request, str(error), status=401)


async def sign_out(request: Request) -> Response:
    """Ends the sign-in in the database: a copy of the cookie is worth nothing after."""
    _refuse_foreign(request)
    await asyncio.to_thread(people.sign_out, access.database(), request.cookies.get(access.COOKIE))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(access.COOKIE)
    return answer


async def answer(request: Request) -> Response:
    """An answer from the desk, for the next case: half the way round that a run of the script would be, and none the less durable."""
    person: Person = request.scope[PERSON]
    body = await _body(request, LARGEST_ANSWER)
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    try:
        found = await asyncio.to_thread(cases.answered, access.database(), person, sent)
    except cases.NotYours as error:
        return PlainTextResponse(str(error), 409)
    except Unavailable as error:  # its words name the database: for the log, not for a reader
        print(error, file=sys.stderr, flush=True)
        return PlainTextResponse("The database cannot be used at the moment.", 503)
    return JSONResponse(found, headers={"cache-control": "no-store", "content-encoding": "identity"})  # packed, its length would follow the samples


async def strip_pdf(request: Request) -> Response:
    """A reader's case as a PDF to scale, for the printer or to keep."""
    person: Person = request.scope[PERSON]
    try:
        name, content = await asyncio.to_thread(printing.strip_pdf, access.database(), person, dict(request.query_params))
    except Problems as error:
        return PlainTextResponse(str(error), 400)
    headers = {"content-disposition": f'inline; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type="application/pdf", headers=headers)


async def healthz(_request: Request) -> Response:
    """For monitors: the server answers and reaches its database."""
    await asyncio.to_thread(people.first_run, access.database())
    return PlainTextResponse("ok")


async def _sign_in_page(request: Request, alert: str = "", username: str = "", status: int = 200) -> Response:
    db = access.database()
    shown = [(person.username, person.name, person.role.value, person.site) for person in await asyncio.to_thread(people.demo_people, db)]
    may_set_up = await asyncio.to_thread(people.can_set_up, db)
    return _page(request, front_door.sign_in, alert=alert, username=username, demo=shown, may_set_up=may_set_up, status=status)


def _signed_in(request: Request, token: str) -> Response:
    answer = RedirectResponse("/", 303)
    _set_cookie(request, answer, access.COOKIE, token, samesite="lax", max_age=people.SIGN_IN_HOURS * 3600)
    answer.headers["cache-control"] = "no-store"
    return answer


def _page(request: Request, make: Callable[..., str], *, status: int = 200, **values: object) -> Response:
    """A page with forms: its CSRF token goes into the forms and into a strict cookie (double submit), the same for all open tabs."""
    token = request.cookies.get(CSRF_COOKIE) or secrets.token_urlsafe(16)
    answer = _html(make(token, **values), status)
    _set_cookie(request, answer, CSRF_COOKIE, token, samesite="strict", max_age=None)
    return answer


def _set_cookie(request: Request, answer: Response, name: str, value: str, *, samesite: str, max_age: int | None) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, httponly=True, samesite="strict" if samesite == "strict" else "lax", max_age=max_age, secure=secure)


def _html(text: str, status: int = 200) -> Response:
    headers = {"content-security-policy": front_door.CONTENT_SECURITY, "cache-control": "no-store"}
    return HTMLResponse(text, status, headers=headers)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form that one of our pages sent. Raises FormRefused otherwise."""
    body = await _body(request, LARGEST_FORM)
    fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).items()}
    if not secrets.compare_digest(fields.get("csrf", "").encode(), request.cookies.get(CSRF_COOKIE, "no cookie").encode()):
        raise FormRefused("This form has expired. Go back, reload the page and try again. Cookies must be allowed.", 403)
    return fields


async def _body(request: Request, largest: int) -> bytes:
    """What one of our pages sent. Raises FormRefused."""
    _refuse_foreign(request)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise FormRefused("The form is too long.", 413)
    return body


def _refuse_foreign(request: Request) -> None:
    """A form on somebody else's page must not act here: browsers name the page's origin with every POST."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise FormRefused("The form came from another site.", 403)


class FormRefused(StudyError):
    """A form that this server did not send, or cannot be as long as it is."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def _fault(_request: Request, _error: Exception) -> Response:
    """For what nobody foresaw, and outside of all middleware: the server's log has it, the answer says nothing."""
    return PlainTextResponse("Something went wrong. The server's log says more.", 500, headers=SECURITY_HEADERS)


async def _form_refused(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), error.status if isinstance(error, FormRefused) else 400)


# ---- start and end ----


@contextlib.asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Migrate, warm up what the first screens need, and keep the runner at work while the server is up."""
    try:
        settings = Settings.from_environment()
        await asyncio.to_thread(access.database().migrate)
    except Problems as error:  # raised here, it would be buried under the server's own tracebacks
        print(f"blindstrip cannot start: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    await asyncio.to_thread(_warm)
    with runner_process.kept_running(settings.database, settings.scheduler):
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
            Route("/welcome", welcome, methods=["GET", "POST"]),
            Route("/welcome/demo", welcome_demo),
            Route("/set-up", set_up, methods=["GET", "POST"]),
            Route("/sign-in", sign_in, methods=["GET", "POST"]),
            Route("/demo/sign-in", demo_sign_in, methods=["POST"]),
            Route("/sign-out", sign_out, methods=["POST"]),
            Route("/answer", answer, methods=["POST"]),
            Route("/strip.pdf", strip_pdf),
            Route("/healthz", healthz),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(IdentityGate)],
        exception_handlers={FormRefused: _form_refused, Exception: _fault},
    )
