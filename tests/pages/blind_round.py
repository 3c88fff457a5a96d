"""A round of real recordings and drawn strips, read over the wire: everything the server sends for each case is kept, whichever way it goes."""

from __future__ import annotations

import base64
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from generator.recordings import find
from generator.request import DrawRequest
from generator.simulate import stand_in
from generator.sssd import draw as sssd
from generator.strip import to_bytes
from pages.access import COOKIE
from storage import strips
from storage.database import Database
from storage.tables import Drawing, Placement, PracticeCase, ReadingCase, Recording, Round, Strip, Truth
from study import people, sign_in
from study.intake import import_recordings
from study.people import Person
from study.practice_round import PracticePlan, open_practice
from study.protocol import Protocol
from study.roles import Role
from study.rounds import RoundPlan, open_round
from study.studies import create_study
from tests.browser.driving import Server, start_server
from tests.conftest import ROOT
from tests.joining import joined
from tests.pages.wire import Place, data, decoded
from tests.study.hospital import open_gate
from tests.websocket_client import Tab, browser, post_form
from tests.world import GOOD_ANSWER

PASSWORD = "read with calm eyes"
PLAN = RoundPlan(cases=14, repeat_share=1 / 7, seed=1_618_033_988, steps=8)  # 6 real, 6 synthetic, 2 repeats
PTBXL = ROOT.parent / "shared" / "data" / "ptbxl"
Sent = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """What a reader's browser got for one case: messages and answers as `tests.pages.wire` takes them apart, a list for each way they go."""

    place: Place
    arm: str
    role: str
    entered: Sent  # on coming back to the round: a new connection
    http: Sent  # the pages a browser asks for on the way
    pdf: Sent  # the case on paper
    refused: Sent  # on submitting an answer that will not do
    twice: Sent  # on submitting its answer again
    followed: Sent | None = None  # on submitting the case before; None for the first
    again: Sent | None = None  # on coming back to correct it: a new connection
    revised: Sent | None = None  # on submitting the correction
    bytes: dict[str, int] = field(default_factory=dict)  # how long each of these was, as sent


@dataclass(frozen=True)
class Reading:
    cases: list[Case]
    practice: list[Case]  # before their answers, which tell
    end: Sent  # the screen of a round that is read through
    secrets: dict[str, str]  # what it is -> the word or number that must not leave the server
    real: bool  # recordings from patients, not stand-ins

    def of(self, arm: str) -> list[Case]:
        return [case for case in self.cases if case.arm == arm]


@contextmanager
def blind_round(folder: Path) -> Iterator[tuple[Reading, Server, str]]:
    """A round read through on a server of its own, the server, and the reader's cookie."""
    db = Database(f"sqlite:///{folder / 'study.db'}")
    db.migrate()
    real = PTBXL.is_dir()
    reader, coordinator = _people(db, demo=not real)
    if real:
        import_recordings(db, None, _some_recordings(folder / "north-ecgs"))
    else:
        _add_stand_ins(db)
    study_id = create_study(db, coordinator, "Can they be told apart?", Protocol(min_repeat_distance=4), [reader.id])
    practice_id = open_practice(db, coordinator, study_id, PracticePlan(cases=4, seed=271_828_182, steps=8), _drawn)
    round_id = open_round(db, coordinator, study_id, PLAN, _drawn, gate=open_gate)
    server = start_server(folder)
    try:
        with browser(server.url) as client:
            path = "/demo/sign-in" if reader.demo else "/sign-in"
            post_form(client, path, username=reader.username, password=PASSWORD)
            cookie = client.cookies[COOKIE]
            at = _At(server.url, cookie, client)
            practice = _practise(at, db, reader, practice_id)
            cases, end = _read(at, db, reader, round_id)
        yield Reading(cases, practice, end, _secrets(db), real), server, cookie
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
        admin = sign_in.person_for(db, sign_in.set_up(db, "root", "Ada Admin", PASSWORD, "North"))
        assert admin is not None
        joined(db, admin, "ada", "Ada Lind", Role.READER, "North", PASSWORD)
        joined(db, admin, "cora", "Cora Weiss", Role.COORDINATOR, "North", PASSWORD)
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


@dataclass(frozen=True)
class _At:
    """A reader's browser."""

    url: str
    cookie: str
    client: httpx.Client

    def tab(self, query: str) -> tuple[Sent, int]:
        """The messages of a new connection, and how long their frames were."""
        with Tab(self.url, self.cookie, query=query) as tab:
            tab.run()
            return decoded(tab.messages), sum(map(len, tab.frames))

    def post(self, case: dict[str, Any], answer: dict[str, Any], place: str | None = None) -> tuple[Sent, int]:
        """What the server says to an answer: usually the next case."""
        sent = self.client.post("/answer", json={"place": place or case["place"], "key": case["key"], "answer": answer, "viewing": {}})
        headers = {name: value for name, value in sent.headers.items() if name not in ("date", "content-length")}
        return [{"status": sent.status_code, "headers": headers, "json": sent.json()}], len(sent.content)

    def page(self, path: str) -> dict[str, Any]:
        sent = self.client.get(path)
        headers = {name: value for name, value in sent.headers.items() if name not in ("date", "set-cookie")}
        cookies = [re.sub(r"=[^;]*", lambda value: f"={len(value[0])} letters", one, count=1) for one in sent.headers.get_list("set-cookie")]
        return {"path": path, "status": sent.status_code, "headers": headers, "cookies": cookies, "body": sent.text}


def _read(at: _At, db: Database, reader: Person, round_id: int) -> tuple[list[Case], Sent]:
    """Reads the round through: each case on a new connection, then on from it by Submit; then corrects each. The last screen too."""
    cases: list[Case] = []
    following: tuple[Sent, int] | None = None
    arms = _arms(db, reader, round_id, Truth)
    for position, arm, role in arms:
        pages = [at.page(path) for path in ("/", f"/read?round={round_id}", "/_stcore/host-config", "/_stcore/health")]
        entered, entered_bytes = at.tab(f"round={round_id}")
        case, good = data(entered), GOOD_ANSWER.as_dict()
        refused, refused_bytes = at.post(case, {**good, "realism": None})
        answered = at.post(case, good)
        twice, _ = at.post(case, good)
        sizes = {"entered": entered_bytes, "refused": refused_bytes} | ({"followed": following[1]} if following else {})
        place, paper = Place(round_id, position, len(arms)), [_pdf(at.client, round_id, position)]
        # what follows belongs to the case that comes next, to an answer and to the same sent twice alike
        cases.append(Case(place, arm, role, entered, pages, paper, refused, twice, following and following[0], bytes=sizes))
        following = answered
    assert following
    assert following[0][0]["json"] == {"done": True, "notice": None}
    return [_corrected(at, case) for case in cases], at.tab(f"round={round_id}")[0]


def _corrected(at: _At, case: Case) -> Case:
    again, again_bytes = at.tab(f"round={case.place.round_id}&case={case.place.position}")
    revised, revised_bytes = at.post(data(again), {**GOOD_ANSWER.as_dict(), "comment": "on second thoughts"})
    return replace(case, again=again, revised=revised, bytes=case.bytes | {"again": again_bytes, "revised": revised_bytes})


def _practise(at: _At, db: Database, reader: Person, round_id: int) -> list[Case]:
    """Goes through the practice: of each case what is sent before its answer."""
    cases = []
    arms = _arms(db, reader, round_id, PracticeCase)
    for position, arm, role in arms:
        entered, size = at.tab(f"practice={round_id}&attempt=1")
        refused, refused_size = at.post(data(entered), {**GOOD_ANSWER.as_dict(), "realism": None})
        sizes = {"entered": size, "refused": refused_size}
        cases.append(Case(Place(round_id, position, len(arms), practice=True), arm, role, entered, [], [], refused, [], bytes=sizes))
        told, _ = at.post(data(entered), GOOD_ANSWER.as_dict())
        assert told[0]["json"]["case"]["lesson"]
    return cases


def _arms(db: Database, reader: Person, round_id: int, where: type[Truth] | type[PracticeCase]) -> Sequence[Any]:
    """(position, arm, role) of the reader's cases, in their order."""
    told = ReadingCase.strip_id == Truth.strip_id if where is Truth else ReadingCase.id == PracticeCase.case_id
    with db.read() as session:
        return session.execute(
            select(Placement.position, where.arm, ReadingCase.role)
            .join(ReadingCase, ReadingCase.id == Placement.case_id)
            .join(where, told)
            .where(Placement.reader_id == reader.id, Placement.round_id == round_id)
            .order_by(Placement.position)
        ).all()


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
