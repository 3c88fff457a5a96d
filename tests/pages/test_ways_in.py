"""Invitations and the hospital's single sign-on, as browsers go through them: a real server, and a real provider on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from joserfc.jwk import RSAKey

from pages.access import COOKIE
from storage.database import Database
from study import invitations, people, sign_in
from study.people import Person
from study.roles import Role
from tests.browser.driving import Server, free_port, start_server
from tests.oidc_provider import CLIENT, SECRET, Provider, provider
from tests.websocket_client import Tab, browser, post_form

pytestmark = pytest.mark.xdist_group("ways in")  # one server for the file

PASSWORD = "correct horse battery"


@dataclass
class House:
    server: Server
    hospital: Provider
    db: Database
    admin: Person
    rita: invitations.Invitation

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder, port = tmp_path_factory.mktemp("house"), free_port()
    with provider() as hospital:
        (folder / ".streamlit").mkdir()
        (folder / ".streamlit" / "secrets.toml").write_text(
            f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "{"x" * 32}"\n'
            f'[auth.south]\nclient_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{hospital.url}/.well-known/openid-configuration"\n'
        )
        server = start_server(folder, port, environment={"HOME": str(folder)})
        db = Database(server.database)
        admin = sign_in.person_for(db, sign_in.set_up(db, "ada", "Ada Admin", PASSWORD, "North"))
        assert admin is not None
        rita = invitations.invite(db, admin, "rita", "Rita Reader", Role.READER, "South", email="rita.reader@south.org")
        yield House(server, hospital, db, admin, rita)
        db.close()
        server.stop()


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    with browser(house.url) as one:
        yield one


def through_hospital(house: House, client: httpx.Client, **claims: object) -> httpx.Response:
    """From the link of the sign-in page to wherever it ends."""
    house.hospital.claims = claims
    page = client.get("/sign-in").text
    way = re.search(r'href="(/sign-in/hospital[^"]*)"', page)
    assert way, page
    return client.get(way[1], follow_redirects=True)


def test_a_link_lets_somebody_in_once(house: House, client: httpx.Client) -> None:
    made = invitations.invite(house.db, house.admin, "lena", "Lena Lind", Role.READER, "North")
    for _ in range(2):  # a mail scanner follows links too
        page = client.get(made.path)
        assert page.status_code == 200
        assert "Lena Lind" in page.text
    refused = post_form(client, "/join", made.path, link=made.token, password=PASSWORD, again="another sentence")
    assert (refused.status_code, "differ" in refused.text) == (400, True)
    refused = post_form(client, "/join", made.path, link=made.token, password="short", again="short")
    assert (refused.status_code, "at least 10" in refused.text) == (400, True)
    answer = post_form(client, "/join", made.path, link=made.token, password=PASSWORD, again=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert sign_in.person_for(house.db, client.cookies[COOKIE]) == made.person
    with browser(house.url) as other:
        gone = other.get(made.path)
        assert (gone.status_code, "Ask your coordinator" in gone.text) == (410, True)
        assert post_form(other, "/join", "/sign-in", link=made.token, password=PASSWORD, again=PASSWORD).status_code == 410
        assert COOKIE not in other.cookies


def test_a_link_s_page_needs_its_form(house: House, client: httpx.Client) -> None:
    made = invitations.invite(house.db, house.admin, "mona", "Mona", Role.READER, "North")
    answer = client.post("/join", data={"link": made.token, "password": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 403
    assert invitations.invited(house.db, made.token) is not None


def test_the_hospital_s_sign_on_lets_in_whom_it_knows(house: House, client: httpx.Client) -> None:
    answer = through_hospital(house, client, email="Rita.Reader@south.org", email_verified=True)
    assert answer.status_code == 200, answer.text
    assert sign_in.person_for(house.db, client.cookies[COOKIE]) == house.rita.person
    assert [name for name in client.cookies if name.startswith("_streamlit_user")] == []  # it would say for 30 days who this is
    with Tab(house.url, client.cookies[COOKIE]) as tab:
        assert tab.run().pages() == ["", "me"]  # a reader's screens


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"email": "nobody@south.org"}, "Nobody here has the e-mail address nobody@south.org"),
        ({"email": "rita.reader@south.org", "email_verified": False}, "does not vouch"),
        ({}, "does not vouch"),
    ],
)
def test_whom_the_hospital_does_not_know_stays_outside(house: House, client: httpx.Client, claims: dict[str, object], words: str) -> None:
    answer = through_hospital(house, client, **claims)
    assert words in answer.text
    assert COOKIE not in client.cookies
    assert words not in client.get("/sign-in").text  # said once: the provider's cookie is gone


def test_a_token_that_somebody_else_signed_lets_nobody_in(house: House, client: httpx.Client) -> None:
    house.hospital.signed_by = RSAKey.generate_key(2048, {"kid": "one"})
    try:
        through_hospital(house, client, email="rita.reader@south.org")
    finally:
        house.hospital.signed_by = None
    assert COOKIE not in client.cookies


def test_a_cookie_made_up_lets_nobody_in(house: House, client: httpx.Client) -> None:
    client.cookies.set("_streamlit_user", '{"email": "rita.reader@south.org", "iat": 9999999999}')
    assert "does not vouch" in client.get("/sign-in").text
    assert COOKIE not in client.cookies


def test_a_hospital_that_is_not_configured(house: House, client: httpx.Client) -> None:
    answer = client.get("/sign-in/hospital?at=west")
    assert (answer.status_code, "no sign-on here" in answer.text) == (400, True)


def test_a_password_is_changed_on_the_account_s_screen(house: House) -> None:
    people_before = people.people(house.db, house.admin)
    made = invitations.invite(house.db, house.admin, "olga", "Olga", Role.READER, "North")
    token = invitations.accept(house.db, made.token, PASSWORD)
    with Tab(house.url, token) as tab:
        tab.run("me")
        for which, typed in (("old", PASSWORD), ("new", "another sentence"), ("again", "another sentence")):
            tab.answer(f"password-{which}", string_value=typed)
        tab.click("password-change")
        tab.run("me")
        assert "The password is changed" in tab.drawn()
    assert sign_in.sign_in(house.db, "olga", "another sentence")
    assert len(people.people(house.db, house.admin)) == len(people_before) + 1
