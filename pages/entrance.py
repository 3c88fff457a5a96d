"""The ways in, as routes that app.py mounts: set-up, demo, user name and password, invitations, single sign-on; and the way out."""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pages import access, faults, forms, front_door, single_sign_on
from study import fetch, invitations, jobs, notices, people, sign_in
from study.errors import Problems, SignInRefused
from study.people import Person


async def person_at(connection: HTTPConnection) -> Person | None:
    token = connection.cookies.get(access.COOKIE)
    return await asyncio.to_thread(sign_in.person_for, access.database(), token) if token else None


async def to_the_door() -> Response:
    empty = await asyncio.to_thread(people.first_run, access.database())
    return RedirectResponse("/welcome" if empty else "/sign-in", 303)


async def welcome(request: Request) -> Response:
    """GET: the choice of an empty database. POST: ask for the demo."""
    db = access.database()
    first = await asyncio.to_thread(people.first_run, db)
    fetched = await asyncio.to_thread(fetch.for_the_demo, db)
    if not first and (request.method == "GET" or not fetched):
        return RedirectResponse("/sign-in", 303)
    if request.method == "GET":
        return forms.page(request, front_door.welcome, fetched=fetched)
    collection = (await forms.form(request)).get("collection")
    try:
        job_id = await asyncio.to_thread(jobs.ask, db, None, "demo", {"collection": collection})
    except Problems as error:
        alert = faults.told(error)
        if not first:
            return await _sign_in_page(request, alert, status=409)
        return forms.page(request, front_door.welcome, alert=alert, fetched=fetched, status=409)
    return RedirectResponse(f"/welcome/demo?job={job_id}", 303)


async def welcome_demo(request: Request) -> Response:
    """How far the demo is; the sign-in once it is there."""
    asked = request.query_params.get("job", "")
    if not asked.isdecimal():
        return await to_the_door()
    try:
        job = await asyncio.to_thread(jobs.job, access.database(), None, int(asked))
    except Problems:  # no such job, or not the demo's
        return await to_the_door()
    if job.kind != "demo" or job.status == "done":
        return await to_the_door()
    if job.status in ("failed", "cancelled"):
        return forms.page(request, front_door.demo_failed, message=job.message)
    return forms.html(front_door.making_demo(job.done, job.total, job.message))


async def set_up(request: Request) -> Response:
    """The first real person: makes the account and signs in."""
    db = access.database()
    if not await asyncio.to_thread(people.can_set_up, db):
        return RedirectResponse("/sign-in", 303)
    if request.method == "GET":
        return forms.page(request, front_door.set_up)
    form = await forms.form(request)
    given = {name: form.get(name, "") for name in ("name", "username", "site")}
    try:
        token = await asyncio.to_thread(sign_in.set_up, db, given["username"], given["name"], form.get("password", ""), given["site"])
    except Problems as error:
        return forms.page(request, front_door.set_up, alert=faults.told(error), status=400, **given)
    return _signed_in(request, token)


async def door(request: Request) -> Response:
    """User name and password; beside them the hospitals' single sign-on, and the demo's people while the demo is open."""
    db = access.database()
    if request.method == "POST":
        form = await forms.form(request)
        try:
            return _signed_in(request, await asyncio.to_thread(sign_in.sign_in, db, form.get("username", ""), form.get("password", "")))
        except SignInRefused as error:
            return await _sign_in_page(request, str(error), form.get("username", ""), 401)
    if await person_at(request) is not None:
        return RedirectResponse("/", 303)
    if single_sign_on.is_back(request):
        try:
            answer = _signed_in(request, await asyncio.to_thread(sign_in.sign_in_through_hospital, db, single_sign_on.told(request)))
        except SignInRefused as error:
            answer = await _sign_in_page(request, str(error), status=401)
        single_sign_on.forget(request, answer)
        return answer
    if await asyncio.to_thread(people.first_run, db):
        return RedirectResponse("/welcome", 303)
    return await _sign_in_page(request)


async def hospital(request: Request) -> Response:
    """On to the hospital's own sign-on, by Streamlit's OpenID Connect."""
    try:
        return RedirectResponse(single_sign_on.way(request.query_params.get("at", "")), 303)
    except SignInRefused as error:
        return await _sign_in_page(request, str(error), status=400)


async def join(request: Request) -> Response:
    """An invitation. GET: the form for a password, which uses nothing up (mail scanners follow links); POST: sets it and signs in."""
    db = access.database()
    if request.method == "GET":
        return await _join_page(request, request.query_params.get("link", ""))
    form = await forms.form(request)
    link, password = form.get("link", ""), form.get("password", "")
    if password != form.get("again", ""):
        return await _join_page(request, link, "The two passwords differ. Write the same twice.", 400)
    try:
        return _signed_in(request, await asyncio.to_thread(invitations.accept, db, link, password))
    except Problems as error:
        return await _join_page(request, link, faults.told(error), 400)


async def demo_sign_in(request: Request) -> Response:
    """One click, no password: only the demo's people, only while the demo is open."""
    form = await forms.form(request)
    try:
        return _signed_in(request, await asyncio.to_thread(sign_in.sign_in_demo, access.database(), form.get("username", "")))
    except SignInRefused as error:
        return await _sign_in_page(request, str(error), status=401)


async def sign_out(request: Request) -> Response:
    """Ends the sign-in in the database: a copy of the cookie is worth nothing after."""
    forms.refuse_foreign(request)
    await asyncio.to_thread(sign_in.sign_out, access.database(), request.cookies.get(access.COOKIE))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(access.COOKIE)
    return answer


async def _join_page(request: Request, link: str, alert: str = "", status: int = 200) -> Response:
    person = await asyncio.to_thread(invitations.invited, access.database(), link)
    if person is None:
        return await _sign_in_page(request, invitations.UNUSABLE, status=410)
    return forms.page(request, front_door.join, alert=alert, link=link, name=person.name, username=person.username, status=status)


async def _sign_in_page(request: Request, alert: str = "", username: str = "", status: int = 200) -> Response:
    db = access.database()
    shown = [(person.username, person.name, person.role.value, person.site) for person in await asyncio.to_thread(people.demo_people, db)]
    offered = {"demo": shown, "may_set_up": await asyncio.to_thread(people.can_set_up, db), "hospitals": single_sign_on.hospitals()}
    if shown:
        offered |= {"notice": await asyncio.to_thread(notices.of_the_demo, db), "fetched": await asyncio.to_thread(fetch.for_the_demo, db)}
    return forms.page(request, front_door.sign_in, alert=alert, username=username, status=status, **offered)


def _signed_in(request: Request, token: str) -> Response:
    answer = RedirectResponse("/", 303)
    forms.set_cookie(request, answer, access.COOKIE, token, samesite="lax", max_age=sign_in.HOURS * 3600)
    answer.headers["cache-control"] = "no-store"
    return answer


ROUTES = [
    Route("/welcome", welcome, methods=["GET", "POST"]),
    Route("/welcome/demo", welcome_demo),
    Route("/set-up", set_up, methods=["GET", "POST"]),
    Route("/sign-in", door, methods=["GET", "POST"]),
    Route("/sign-in/hospital", hospital),
    Route(invitations.PATH, join, methods=["GET", "POST"]),
    Route("/demo/sign-in", demo_sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
PUBLIC = frozenset(route.path for route in ROUTES) | single_sign_on.PUBLIC  # what the gate lets anybody see
