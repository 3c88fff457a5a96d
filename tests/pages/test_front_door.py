"""Who gets in. Each module of pages/ is asked for by its name before anything else was asked of the process, and the gate is attacked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from pages.access import COOKIE
from storage.database import Database
from study import people, sign_in
from study.roles import Role
from tests import websocket_client
from tests.browser.driving import ROOT, Server, start_server
from tests.joining import joined
from tests.websocket_client import Tab, browser, post_form

pytestmark = pytest.mark.xdist_group("front door")  # one server for the file

PASSWORD = "read with calm eyes"
MODULES = sorted(file.stem for file in (ROOT / "pages").glob("*.py") if file.stem != "__init__")
SCREENS = ("conduct", "plan", "findings", "draw", "measure", "worth", "import", "team", "state")  # what a reader has no business with, by address
HEADER = "x-blindstrip-person"


@dataclass
class House:
    """A server in use: an admin, two readers and a coordinator of one hospital; the demo's people were there before and are closed."""

    server: Server
    empty: dict[str, tuple[httpx.Response, httpx.Response]] = field(
        default_factory=dict
    )  # of the empty database: address -> asked as a browser, as a script
    first: dict[str, Tab] = field(default_factory=dict)  # the reader's first look at each address, nobody having been in before
    cookies: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    demo_cookie: str = ""

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    server = start_server(tmp_path_factory.mktemp("front door"))
    try:
        yield _moved_in(House(server))
    finally:
        server.stop()


def _moved_in(house: House) -> House:
    with httpx.Client(base_url=house.url) as plain, browser(house.url) as client:
        for name in (*MODULES, *SCREENS):
            house.empty[name] = client.get(f"/{name}"), plain.get(f"/{name}")
    db = Database(house.server.database)
    with db.write() as session:
        people.add_demo_person(session, "demo-reader", "Demo Reader", Role.READER, "Demo Hospital")
    with browser(house.url) as client:
        assert post_form(client, "/demo/sign-in", username="demo-reader").status_code == 303
        house.demo_cookie = client.cookies[COOKIE]
        [demo] = people.demo_people(db)
        answer = post_form(client, "/set-up", "/set-up", username="ada", name="Ada Admin", site="North", password=PASSWORD)
        assert answer.status_code == 303, answer.text
        house.cookies["admin"] = client.cookies[COOKIE]
    admin = sign_in.person_for(db, house.cookies["admin"])
    assert admin is not None
    house.ids = {"admin": admin.id, "demo": demo.id}
    for key, role in (("reader", Role.READER), ("other", Role.READER), ("coordinator", Role.COORDINATOR), ("researcher", Role.RESEARCHER)):
        house.ids[key] = joined(db, admin, key, f"{key.title()} Person", role, "North", PASSWORD).id
        house.cookies[key] = websocket_client.sign_in(house.url, key, PASSWORD)
    db.close()
    for name in (*MODULES, *SCREENS):  # the first sessions of this process: no run of st.navigation has told Streamlit what the pages are
        with Tab(house.url, house.cookies["reader"]) as tab:
            house.first[name] = tab.run(name)
    return house


# ---- pages by their names ----


@pytest.mark.parametrize("name", [*MODULES, *SCREENS])
def test_nobody_sees_a_page_without_sign_in(house: House, name: str) -> None:
    as_browser, as_script = house.empty[name]
    assert (as_browser.status_code, as_browser.headers["location"]) == (303, "/welcome")
    assert not as_browser.content
    assert (as_script.status_code, as_script.text) == (401, "Not signed in.")


@pytest.mark.parametrize("name", [*MODULES, *SCREENS])
def test_a_reader_gets_the_readers_screen_whatever_the_address(house: House, name: str) -> None:
    tab = house.first[name]
    assert tab.pages() == ["", "me"]  # app.py ran, not pages/NAME.py alone
    assert "page_not_found" in tab.kinds()
    with Tab(house.url, house.cookies["reader"]) as at_home:
        assert tab.drawn() == at_home.run().drawn()
    assert "Rounds to read" in tab.drawn()


def test_each_role_is_offered_its_own_screens(house: House) -> None:
    offered = {}
    for key in ("reader", "coordinator", "researcher", "admin"):
        with Tab(house.url, house.cookies[key]) as tab:
            offered[key] = tab.run().pages()
    assert offered == {
        "reader": ["", "me"],
        "coordinator": ["", "plan", "findings", "team", "me"],
        "researcher": ["", "plan", "findings", "draw", "measure", "worth", "import", "me"],
        "admin": ["", "plan", "findings", "draw", "measure", "worth", "import", "team", "state", "me"],
    }


def test_an_admin_sees_who_is_connected_and_how_long_screens_take(house: House) -> None:
    with Tab(house.url, house.cookies["reader"]) as reader, Tab(house.url, house.cookies["admin"]) as admin:
        reader.run()
        shown = admin.run("state").drawn()
    assert re.search(r"'label': 'Readers online'.*?'body': '[1-9]", shown) or re.search(r"'body': '[1-9]'[^}]*'label': 'Readers online'", shown), (
        shown
    )
    assert "How long it takes" in shown


# ---- the websocket ----


@pytest.mark.parametrize("headers", [{}, {HEADER: "1"}, {HEADER.upper(): "1"}])
@pytest.mark.parametrize("cookie", ["", "made-up"])
def test_the_websocket_is_shut_without_a_sign_in(house: House, cookie: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus, match="403"), Tab(house.url, cookie, headers=headers):
        pass


def test_a_page_of_another_site_cannot_open_the_websocket(house: House) -> None:
    with pytest.raises(InvalidStatus, match="403"), Tab(house.url, house.cookies["reader"], origin="https://elsewhere.example"):
        pass


def test_a_reader_who_sends_the_identity_header_stays_the_reader(house: House) -> None:
    for header in (HEADER, "X-Blindstrip-Person"):
        with Tab(house.url, house.cookies["reader"], headers={header: str(house.ids["admin"])}) as tab:
            assert tab.run().pages() == ["", "me"]
            assert "Reader Person, reader" in tab.run("me").drawn()


def test_a_session_of_somebody_else_cannot_be_resumed(house: House) -> None:
    with Tab(house.url, house.cookies["admin"]) as theirs:
        theirs.run("team")
    with Tab(house.url, house.cookies["reader"], session_id=theirs.session_id) as mine:
        assert mine.run().pages() == ["", "me"]
        assert mine.session_id != theirs.session_id


def test_a_lost_session_of_ones_own_can_be_resumed(house: House) -> None:
    with Tab(house.url, house.cookies["reader"]) as before:
        before.run()
    with Tab(house.url, house.cookies["reader"], session_id=before.session_id) as after:
        assert after.run().session_id == before.session_id


# ---- what HTTP gives away ----


@pytest.mark.parametrize(
    "path",
    [
        "/media/0123456789abcdef.png",
        "/_stcore/metrics",
        "/_stcore/health",
        "/_stcore/host-config",
        "/_stcore/agent/openapi.json",
        "/app/static/study.db",
        "/component/x/index.html",
        "/robots.txt",
        "//reading",
    ],
)
def test_nothing_is_served_without_a_sign_in(house: House, path: str) -> None:
    answer = httpx.get(house.url + path)
    assert (answer.status_code, answer.text) == (401, "Not signed in.")


@pytest.mark.parametrize(
    "path", ["/static/../_stcore/metrics", "/static/%2e%2e/_stcore/metrics", "/static/_stcore/metrics", "/static/..%2f..%2fapp.py"]
)
def test_no_way_round_the_gate_leads_through_the_public_folder(house: House, path: str) -> None:
    connection = HTTPConnection(house.url.removeprefix("http://"))  # httpx would tidy the path up
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    empty_page = httpx.get(house.url, cookies={COOKIE: house.cookies["reader"]}).text  # the same for every address: a page to run Streamlit in
    assert answer.status in (400, 401, 404) or body == empty_page


def test_the_agent_interface_and_uploads_need_a_sign_in_and_the_first_stays_off(house: House) -> None:
    assert httpx.post(house.url + "/_stcore/agent/interact", json={}).status_code == 401
    assert httpx.put(house.url + "/_stcore/upload_file/session/file", content=b"x").status_code == 401
    signed_in = httpx.post(house.url + "/_stcore/agent/interact", json={}, cookies={COOKIE: house.cookies["admin"]})
    assert signed_in.status_code == 403
    assert "does not serve the agent API" in signed_in.text


# ---- signing in and out ----


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(house: House) -> None:
    with browser(house.url) as client:
        form = client.get("/sign-in").headers["set-cookie"].lower()
        answer = post_form(client, "/sign-in", username="reader", password=PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=")
    assert "; httponly" in cookie
    assert "; samesite=lax" in cookie
    assert f"; max-age={sign_in.HOURS * 3600}" in cookie
    assert "; httponly" in form
    assert "; samesite=strict" in form
    assert answer.headers["cache-control"] == "no-store"


def test_signing_out_ends_the_sign_in_of_a_copied_cookie_too(house: House) -> None:
    copied = websocket_client.sign_in(house.url, "other", PASSWORD)
    with Tab(house.url, copied) as open_tab:
        assert "Rounds to read" in open_tab.run().drawn()
        answer = httpx.post(house.url + "/sign-out", cookies={COOKIE: copied})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        after = open_tab.run().drawn()
        assert "You are signed out" in after
        assert "Rounds to read" not in after
    with pytest.raises(InvalidStatus, match="403"), Tab(house.url, copied):
        pass
    assert httpx.get(house.url + "/_stcore/health", cookies={COOKIE: copied}).status_code == 401


def test_a_form_of_another_site_signs_nobody_out(house: House) -> None:
    answer = httpx.post(house.url + "/sign-out", cookies={COOKIE: house.cookies["reader"]}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    with Tab(house.url, house.cookies["reader"]) as tab:
        assert tab.run().pages() == ["", "me"]


@pytest.mark.parametrize("path", ["/sign-in", "/demo/sign-in"])
@pytest.mark.parametrize("fields", [{}, {"csrf": ""}, {"csrf": "guessed"}])
@pytest.mark.parametrize("with_cookie", [False, True])
def test_a_form_without_its_csrf_token_is_refused(house: House, path: str, fields: dict[str, str], with_cookie: bool) -> None:
    with browser(house.url) as client:
        if with_cookie:
            client.get("/sign-in")
        answer = client.post(path, data={"username": "reader", "password": PASSWORD, **fields})
        assert answer.status_code == 403
        assert COOKIE not in client.cookies


ANSWER = {"place": "1-1", "answer": {"realism": 1}}


def test_an_answer_needs_a_sign_in_and_a_page_of_ours(house: House) -> None:
    with httpx.Client(base_url=house.url) as client:
        assert client.post("/answer", json=ANSWER).status_code == 401
        client.cookies.set(COOKIE, house.cookies["reader"])
        assert client.post("/answer", json=ANSWER, headers={"Origin": "http://evil.example"}).status_code == 403
        assert client.post("/answer", content=b"x" * 70_000).status_code == 413
        for content in (b"not JSON", b"[]", b"\xff"):
            assert client.post("/answer", content=content).json() == {"problem": "The answer came damaged. Submit it again."}
        assert set(client.post("/answer", json=ANSWER).json()) == {"problem"}
        client.cookies.set(COOKIE, house.cookies["coordinator"])
        assert "may not" in client.post("/answer", json=ANSWER).json()["problem"]


def test_a_strip_on_paper_needs_a_sign_in_and_a_round_of_ones_own(house: House) -> None:
    with httpx.Client(base_url=house.url) as client:
        assert client.get("/strip.pdf?round=1&case=1").status_code == 401
        client.cookies.set(COOKIE, house.cookies["reader"])
        for query in ("round=1&case=1", "round=x&case=1", "", "round=1&case=1&speed=fast"):
            answer = client.get(f"/strip.pdf?{query}")
            assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_a_form_too_long_is_refused(house: House) -> None:
    with browser(house.url) as client:
        assert post_form(client, "/sign-in", username="reader", password="x" * 20_000).status_code == 413


def test_after_five_wrong_passwords_the_right_one_waits_too(house: House) -> None:
    with browser(house.url) as client:
        for username in ("coordinator", "nobody-of-that-name"):  # whether the user name exists cannot be told
            said = [post_form(client, "/sign-in", username=username, password=f"wrong password {i}") for i in range(5)]
            assert all(answer.status_code == 401 and "User name or password is wrong." in answer.text for answer in said)
            locked = post_form(client, "/sign-in", username=username, password=PASSWORD)
            assert locked.status_code == 401
            assert "Too many wrong passwords for this user name. Wait 15 minutes, or ask your coordinator for a new link." in locked.text
        assert COOKIE not in client.cookies


def test_the_demo_is_shut_once_there_are_real_people(house: House) -> None:
    with browser(house.url) as client:
        assert "Demo Reader" not in client.get("/sign-in").text
        for username in ("demo-reader", "reader"):
            answer = post_form(client, "/demo/sign-in", username=username)
            assert answer.status_code == 401
            assert "The demo is closed: this database is in use." in answer.text
        assert COOKIE not in client.cookies
    with pytest.raises(InvalidStatus, match="403"), Tab(house.url, house.demo_cookie):
        pass


def test_nobody_sets_up_twice(house: House) -> None:
    with browser(house.url) as client:
        for path in ("/set-up", "/welcome"):
            assert client.get(path).headers["location"] == "/sign-in"
            assert post_form(client, path, username="eve", name="Eve", site="South", password=PASSWORD).headers["location"] == "/sign-in"


def test_the_log_tells_no_secret(house: House) -> None:
    log = Path(house.server.log).read_text()
    assert PASSWORD not in log
    assert not [key for key, cookie in house.cookies.items() if cookie in log]
