"""Blinding, over the wire. A reader reads a round of real recordings and drawn strips; everything the server sends for each case is kept, and
nothing in it but the samples may tell the arms apart, or a case from its repeat."""

from __future__ import annotations

import base64
import copy
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from generator.recordings import find
from generator.request import DrawRequest
from generator.simulate import stand_in
from generator.sssd import draw as sssd
from generator.strip import to_bytes
from pages.access import COOKIE
from pages.desk import script
from storage import strips
from storage.database import Database
from storage.tables import Drawing, Placement, ReadingCase, Recording, Round, Strip, Truth
from study import people
from study.intake import import_recordings
from study.people import Person
from study.protocol import Protocol
from study.roles import Role
from study.rounds import RoundPlan, open_round
from study.studies import create_study
from tests.browser.driving import Server, start_server
from tests.conftest import ROOT
from tests.pages.wire import Place, decoded, differences, leaves, told
from tests.study.hospital import open_gate
from tests.websocket_client import Tab, browser, post_form
from tests.world import GOOD_ANSWER

pytestmark = pytest.mark.xdist_group("blinding")  # one round for the file

PASSWORD = "read with calm eyes"
PLAN = RoundPlan(cases=14, repeat_share=1 / 7, seed=1_618_033_988, steps=8)  # 6 real, 6 synthetic, 2 repeats
PTBXL = ROOT.parent / "shared" / "data" / "ptbxl"
Sent = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """What a reader's browser got for one case."""

    place: Place
    arm: str
    role: str
    entered: Sent  # on coming back to the round: a new connection
    followed: Sent | None  # on submitting the case before; None for the first
    http: Sent  # the pages a browser asks for on the way
    pdf: Sent  # the case on paper


@dataclass(frozen=True)
class Reading:
    cases: list[Case]
    secrets: dict[str, str]  # what it is -> the word or number that must not leave the server
    real: bool  # recordings from patients, not stand-ins

    def of(self, arm: str) -> list[Case]:
        return [case for case in self.cases if case.arm == arm]


# ---- the round ----


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    folder = tmp_path_factory.mktemp("blinding")
    db = Database(f"sqlite:///{folder / 'study.db'}")
    db.migrate()
    real = PTBXL.is_dir()
    reader, coordinator = _people(db, demo=not real)
    if real:
        import_recordings(db, None, _some_recordings(folder / "north-ecgs"))
    else:
        _add_stand_ins(db)
    study_id = create_study(db, coordinator, "Can they be told apart?", Protocol(min_repeat_distance=4), [reader.id])
    round_id = open_round(db, coordinator, study_id, PLAN, _drawn, gate=open_gate)
    server = start_server(folder)
    try:
        yield Reading(_read(server, db, reader, round_id), _secrets(db), real)
    finally:
        server.stop()
        db.close()


def _people(db: Database, *, demo: bool) -> tuple[Person, Person]:
    """A reader and a coordinator: with passwords, or of a demo where there are no recordings."""
    if demo:
        with db.write() as session:
            people.add_demo_person(session, "ada", "Ada Lind", Role.READER, "North")
            people.add_demo_person(session, "cora", "Cora Weiss", Role.COORDINATOR, "North")
    else:
        admin = people.person_for(db, people.set_up(db, "root", "Ada Admin", PASSWORD, "North"))
        assert admin is not None
        people.add_person(db, admin, "ada", "Ada Lind", Role.READER, "North", PASSWORD)
        people.add_person(db, admin, "cora", "Cora Weiss", Role.COORDINATOR, "North", PASSWORD)
    reader, coordinator = (people.person_by_username(db, username) for username in ("ada", "cora"))
    assert reader is not None
    assert coordinator is not None
    return reader, coordinator


def _some_recordings(folder: Path) -> Path:
    """Ten PTB-XL recordings of each rhythm with their labels."""
    folder.mkdir()
    candidates = find(PTBXL).candidates
    rows = ["record,rhythm,patient"]
    for one in [one for rhythm in ("NSR", "AF") for one in islice((c for c in candidates if c.rhythm == rhythm), 10)]:
        for part in one.path.parent.glob(f"{one.path.name}*"):
            shutil.copy(part, folder)
        rows.append(f"{one.path.name},{one.rhythm},{one.patient}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def _add_stand_ins(db: Database) -> None:
    with db.write() as session:
        for rhythm in ("NSR", "AF"):
            for i in range(5):
                new = strips.NewRecording(
                    to_bytes(stand_in(rhythm, i)),
                    rhythm,
                    "north-simulator",
                    f"{rhythm}-record-{i}",
                    f"{rhythm}-{i}".ljust(64, "0"),
                    100.0,
                    stand_in=True,
                )
                strips.add_recording(session, new)


def _drawn(request: DrawRequest, *, first: int = 0) -> Sequence[sssd.Drawn]:
    """By the network that ships, and with the provenance that the runner adds."""
    model = sssd.load(device="cpu")
    made = sssd.draw(request, first=first, checkpoint=model)
    return [replace(one, conditions={**one.conditions, **sssd.provenance(request, model)}) for one in made]


def _read(server: Server, db: Database, reader: Person, round_id: int) -> list[Case]:
    """Reads the round through: each case on a new connection, then on from it by Submit."""
    with browser(server.url) as client:
        path = "/demo/sign-in" if reader.demo else "/sign-in"
        post_form(client, path, username=reader.username, password=PASSWORD)
        cookie = client.cookies[COOKIE]
        with db.read() as session:
            rows = session.execute(
                select(Placement.position, Truth.arm, ReadingCase.role)
                .join(ReadingCase, ReadingCase.id == Placement.case_id)
                .join(Truth, Truth.strip_id == ReadingCase.strip_id)
                .where(Placement.reader_id == reader.id, Placement.round_id == round_id)
                .order_by(Placement.position)
            ).all()
        cases, followed = [], None
        for position, arm, role in rows:
            pages = [_page(client, path) for path in ("/", f"/read?round={round_id}", "/_stcore/host-config", "/_stcore/health")]
            with Tab(server.url, cookie, query=f"round={round_id}") as tab:
                entered = decoded(tab.run().messages)
            cases.append(Case(Place(round_id, position, len(rows)), arm, role, entered, followed, pages, [_pdf(client, round_id, position)]))
            followed = [_answered(client, data(entered))]
    assert followed
    assert followed[0]["json"] == {"done": True, "notice": None}
    return cases


def _answered(client: httpx.Client, case: dict[str, Any]) -> dict[str, Any]:
    """What the server says to an answer: the next case."""
    answer = client.post("/answer", json={"place": case["place"], "key": case["key"], "answer": GOOD_ANSWER.as_dict(), "viewing": {}})
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
    return {"status": answer.status_code, "headers": headers, "json": answer.json()}


def _page(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "set-cookie")}
    cookies = [(cookie.split("=")[0], len(cookie)) for cookie in answer.headers.get_list("set-cookie")]
    return {"path": path, "status": answer.status_code, "headers": headers, "cookies": cookies, "body": answer.text}


def _pdf(client: httpx.Client, round_id: int, position: int) -> dict[str, Any]:
    """Every number that follows from the samples as N, the case's code, of which a PDF is the one place, as CODE."""
    answer = client.get(f"/strip.pdf?round={round_id}&case={position}")
    assert answer.status_code == 200, answer.text
    [code] = re.findall(r'inline; filename="case-([0-9a-f]{16})\.pdf"', answer.headers["content-disposition"])
    headers = {name: value.replace(code, "CODE") for name, value in answer.headers.items() if name not in ("date", "content-length")}
    drawn = re.sub(rb"(?s)stream\n(.*?)endstream", lambda found: zlib.decompress(base64.a85decode(b"<~" + found[1], adobe=True)), answer.content)
    plain = re.sub(r"<[0-9a-f]{32}>", "<HASH>", drawn.decode("latin-1").replace(code, "CODE"))
    body = re.sub(r"-?\d+(\.\d+)?", "N", plain)
    return {"status": answer.status_code, "headers": headers, "body": body}


WORDS = (
    "real synthetic stand-in stand_in arm truth recording record drawing drawn gallery repeat scored practice patient collection provenance "
    "checkpoint sampler dpm++2m ancestral seed steps guidance ptb-xl ptbxl ptb mimic wfdb simulator simulated strip_id sha256"
)


def _secrets(db: Database) -> dict[str, str]:
    """Words for where a strip came from, and everything the database holds that tells it or helps to tell."""
    found = {f"the word {word}": word for word in WORDS.split()}
    with db.read() as session:
        found |= {f"hash of strip {strip.id}": strip.sha256 for strip in session.scalars(select(Strip))}
        found |= {f"code of case {case.id}": case.code for case in session.scalars(select(ReadingCase))}  # for the server alone
        found |= {f"seed of round {opened.id}": str(opened.plan["seed"]) for opened in session.scalars(select(Round))}
        for one in session.scalars(select(Recording)):
            found |= {f"record of strip {one.strip_id}": one.record, f"patient of strip {one.strip_id}": one.patient, "collection": one.collection}
        for made in session.scalars(select(Drawing)):
            found |= {
                f"checkpoint of strip {made.strip_id}": made.checkpoint,
                f"seed of strip {made.strip_id}": str(made.seed),
                "device": made.device,
            }
    return found


# ---- what was sent ----


def test_the_round_has_both_arms_and_repeats(reading: Reading) -> None:
    assert [len(reading.of(arm)) >= 6 for arm in ("real", "synthetic")] == [True, True]
    assert sorted({case.role for case in reading.cases}) == ["repeat", "scored"]
    assert len({payload(case.entered) for case in reading.cases}) == PLAN.cases - 2  # the strips did cross the wire, each its own


@pytest.mark.parametrize("way", ["entered", "followed", "http", "pdf"])
def test_real_and_synthetic_cases_differ_in_nothing_but_the_samples(reading: Reading, way: str) -> None:
    cases = [case for case in reading.cases if getattr(case, way) is not None]
    first = next(case for case in cases if case.arm == "real")
    for case in cases:
        assert differences(getattr(first, way), getattr(case, way), first.place, case.place) == [], f"{case.arm}, {case.role}, {case.place}"


@pytest.mark.parametrize("way", ["entered", "followed", "http", "pdf"])
def test_nothing_of_the_truth_is_told(reading: Reading, way: str) -> None:
    allowed = set() if reading.real else {"the word arm", "the word real", "the word simulated"}  # what every screen of a demo says of itself
    for case in reading.cases:
        assert set(told(getattr(case, way), reading.secrets)) <= allowed, case.place


def test_no_address_leads_to_anything_of_a_case(reading: Reading) -> None:
    """Strips travel in the messages, their paper is drawn by the browser: no file to fetch, whose name or headers could differ."""
    for case in reading.cases:
        for path, value in leaves([case.entered, case.followed]):
            if isinstance(value, str) and not path.endswith(("_content", "-policy")):
                assert "/media/" not in value
                assert "http" not in value.lower().replace("httponly", ""), path


def test_the_script_of_the_desk_is_the_same_for_everybody(reading: Reading) -> None:
    for case in reading.cases:
        assert element(case.entered)["js_content"] == script()


def test_samples_have_the_same_grid_and_the_same_length_in_both_arms(reading: Reading) -> None:
    for case in reading.cases:
        counts = np.frombuffer(base64.b64decode(payload(case.entered)), dtype="<i2").reshape(8, 1000)  # 5 microvolts each: no finer grid
        assert np.all(np.ptp(counts, axis=1) > 10)
        assert np.all(np.abs(np.median(counts, axis=1)) <= 1)


def payload(sent: Sent) -> str:
    [samples] = [value for path, value in leaves(sent) if path.endswith(".counts")]
    assert isinstance(samples, str)
    return samples


# ---- the test of the test: leaks that must be found ----


def element(sent: Sent) -> dict[str, Any]:
    drawn = [message["delta"].get("new_element", {}) for message in sent if "delta" in message]
    [found] = [one["bidi_component"] for one in drawn if "bidi_component" in one]
    return found


def data(sent: Sent) -> dict[str, Any]:
    one = element(sent)
    found: dict[str, Any] = one["json"] if isinstance(one.get("json"), dict) else one["mixed"]["json"]
    return found


def one_sample_less(sent: Sent) -> None:
    data(sent)["counts"] = base64.b64encode(base64.b64decode(data(sent)["counts"])[:-2]).decode()


def as_float64(sent: Sent) -> None:
    counts = np.frombuffer(base64.b64decode(data(sent)["counts"]), "<i2")
    data(sent)["counts"] = base64.b64encode(counts.astype("<f8").tobytes()).decode()


def as_a_list(sent: Sent) -> None:
    data(sent)["counts"] = np.frombuffer(base64.b64decode(data(sent)["counts"]), "<i2").tolist()


LEAKS: dict[str, Callable[[Sent], object]] = {
    "samples in another kind": as_float64,
    "samples as a list": as_a_list,
    "a sample less": one_sample_less,
    "a name for the strip": lambda sent: data(sent).update(name="00042_lr"),
    "a lesson": lambda sent: data(sent).update(lesson={"lines": [], "next": "Next case"}),
    "an earlier answer": lambda sent: data(sent).update(given={"realism": 2}),
    "a question more": lambda sent: data(sent).update(questions=[*data(sent)["questions"], "quality"]),
    "other words for the blind": lambda sent: data(sent).update(title=data(sent)["title"] + " "),
    "a hash in the title": lambda sent: data(sent).update(title=data(sent)["title"] + "0123456789abcdef" * 2),
    "a place of another kind": lambda sent: data(sent).update(place=data(sent)["place"] + "s"),
    "the arm in a key": lambda sent: element(sent).update(id=element(sent)["id"] + "-s"),
    "another script": lambda sent: element(sent).update(js_content=element(sent)["js_content"] + ";"),
    "a wrong progress": lambda sent: data(sent).update(done=data(sent)["done"] + 1),
    "a message more": lambda sent: sent.append({"heartbeat_ack": True}),
    "a message less": lambda sent: sent.pop(),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_would_be_found(reading: Reading, leak: str) -> None:
    real, synthetic = (reading.of(arm)[-1] for arm in ("real", "synthetic"))
    leaking = copy.deepcopy(synthetic.entered)
    LEAKS[leak](leaking)
    assert differences(real.entered, synthetic.entered, real.place, synthetic.place) == []
    assert differences(real.entered, leaking, real.place, synthetic.place), leak


def test_a_word_of_the_truth_would_be_found(reading: Reading) -> None:
    for what, word in reading.secrets.items():
        for hidden in ({"alt": f"strip {word}, 25 mm/s"}, {word: None}, {"id": f"$$ID-{word}-strip"}, {"spec": {"data": [{"name": word}]}}):
            assert what in told(hidden, reading.secrets), f"{what} in {hidden}"
