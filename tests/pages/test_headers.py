"""What every kind of answer tells the browser: what it may load, who may frame it, what it may keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPConnection

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

import app
from pages import faults, front_door
from pages.access import COOKIE
from pages.security_headers import OVER_TLS, SECURITY_HEADERS
from storage.database import Database
from study import cases
from tests import world
from tests.browser.driving import Server, start_server
from tests.websocket_client import Tab, browser, post_form
from tests.world import World

pytestmark = pytest.mark.xdist_group("headers")  # one server for the file

Answers = dict[str, httpx.Response]
KINDS = {  # what is asked for -> the status that is meant
    "page before sign-in": 200,
    "no page": 401,
    "way to the sign-in": 303,
    "health": 200,
    "static asset": 200,
    "no static asset": 200,  # Streamlit's page, which asks for what there is
    "page": 200,
    "no such page": 200,  # likewise
    "no such file": 404,
    "health of Streamlit": 200,
    "answer": 200,
    "answer too long": 413,
    "answer of another site": 403,
    "form too long": 413,
    "form without token": 403,
    "PDF": 200,
    "no PDF": 400,
    "wrong method": 405,
    "upload of a reader": 403,
    "upload without token": 403,
    "upload too large": 413,
}
KEPT = {"static asset": "public, immutable, max-age=31536000"}  # by its content's hash: never other content
CHECKED_AGAIN = ("page", "no static asset", "no such page", "health of Streamlit")  # Streamlit's page holds no data


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, World]]:
    server = start_server(tmp_path_factory.mktemp("headers"))
    db = Database(server.database)
    try:
        yield server, world.make(db)
    finally:
        db.close()
        server.stop()


@pytest.fixture(scope="module")
def answers(house: tuple[Server, World]) -> Answers:
    server, made = house
    place = (cases.of_round(made.db, made.people["reader"], made.round_id) or {})["place"]
    with browser(server.url) as out, browser(server.url) as reader, browser(server.url) as researcher:
        reader.cookies.set(COOKIE, made.tokens["reader"])
        researcher.cookies.set(COOKIE, made.tokens["researcher"])
        [asset] = re.findall(r'src="\./(static/js/index[^"]+)"', reader.get("/").text)
        with Tab(server.url, made.tokens["researcher"]) as tab:
            upload = f"/_stcore/upload_file/{tab.run().session_id}/1"
            researcher.get("/_stcore/health")
            token = {"X-Xsrftoken": researcher.cookies["_streamlit_xsrf"]}
            cookies = "; ".join(f"{name}={value}" for name, value in researcher.cookies.items())
            uploads = {
                "upload without token": researcher.put(upload, content=b"x"),
                "upload too large": announced(server.url, upload, {**token, "Cookie": cookies, "Content-Length": str(300 << 20)}),
            }
        return uploads | {
            "page before sign-in": out.get("/sign-in"),
            "no page": httpx.get(f"{server.url}/media/x.png"),
            "way to the sign-in": out.get("/"),
            "health": out.get("/healthz"),
            "static asset": out.get(asset),
            "no static asset": out.get("/static/none.js"),
            "page": reader.get("/"),
            "no such page": reader.get("/none"),
            "no such file": reader.get("/media/none"),
            "health of Streamlit": reader.get("/_stcore/health"),
            "answer": reader.post("/answer", json={"place": place}),
            "answer too long": reader.post("/answer", content=b"x" * 70_000),
            "answer of another site": reader.post("/answer", json={}, headers={"Origin": "https://elsewhere.example"}),
            "form too long": post_form(out, "/sign-in", username="ada", password="x" * 20_000),
            "form without token": out.post("/sign-in", data={"username": "ada"}),
            "PDF": reader.get(f"/strip.pdf?round={made.round_id}&case=1"),
            "no PDF": reader.get("/strip.pdf"),
            "wrong method": reader.post("/strip.pdf"),
            "upload of a reader": reader.put(upload, content=b"x"),
        }


def announced(url: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """The answer to a PUT of which only the headers were sent."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.putrequest("PUT", path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    connection.close()
    return httpx.Response(answer.status, headers=answer.getheaders())


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_brings_the_security_headers(answers: Answers, kind: str) -> None:
    answer = answers[kind]
    assert answer.status_code == KINDS[kind]
    for name in SECURITY_HEADERS.keys() - {"content-security-policy", "cache-control"}:
        assert answer.headers.get_list(name) == [SECURITY_HEADERS[name]], name
    page_before = kind == "page before sign-in"
    [policy] = answer.headers.get_list("content-security-policy")
    assert policy == (front_door.CONTENT_SECURITY if page_before else SECURITY_HEADERS["content-security-policy"])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_with_data_is_kept_by_a_browser_or_a_proxy(answers: Answers, kind: str) -> None:
    expected = "no-cache" if kind in CHECKED_AGAIN else KEPT.get(kind, "no-store")
    assert answers[kind].headers.get_list("cache-control") == [expected]


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_lets_another_site_read_it(answers: Answers, kind: str) -> None:
    assert not [name for name in answers[kind].headers if name.startswith("access-control-allow-origin")]


def test_the_policy_lets_nothing_in_from_outside_and_no_script_that_is_not_a_file_of_ours() -> None:
    policy = {words.split()[0]: words.split()[1:] for words in SECURITY_HEADERS["content-security-policy"].split("; ")}
    sources = {source for values in policy.values() for source in values}
    assert {source for source in sources if not source.startswith("'sha256-")} == {"'self'", "'none'", "'unsafe-inline'", "data:", "blob:"}
    assert [directive for directive, values in policy.items() if "'unsafe-inline'" in values] == ["style-src"]
    assert policy["default-src"] == policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["object-src"] == ["'none'"]
    assert len(policy["script-src"]) == 3  # 'self', the one script in Streamlit's page, blob:


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
def test_behind_tls_browsers_are_told_to_stay_there(house: tuple[Server, World], scheme: str, secure: bool) -> None:
    """A proxy on this machine ends TLS and says so."""
    server, _ = house
    answer = httpx.get(f"{server.url}/sign-in", headers={"X-Forwarded-Proto": scheme, "Accept": "text/html"})
    assert (answer.headers.get("strict-transport-security") == OVER_TLS["strict-transport-security"]) is secure
    assert ("; secure" in answer.headers["set-cookie"].lower()) is secure


def test_a_fault_says_nothing_but_its_id_and_brings_the_headers() -> None:
    async def broken(_request: Request) -> Response:
        raise ZeroDivisionError("secret detail")

    assert app.app._exception_handlers[Exception] is app._fault
    small = Starlette(routes=[Route("/", broken)], exception_handlers={Exception: app._fault})
    answer = TestClient(small, raise_server_exceptions=False).get("/")
    assert (answer.status_code, answer.text) == (500, faults.UNFORESEEN.format(answer.headers[faults.HEADER]))
    assert all(answer.headers[name] == value for name, value in SECURITY_HEADERS.items())
