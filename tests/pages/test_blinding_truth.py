"""Before unblinding the truth stays where it is: no screen, answer, log line, traceback, file or export comes near it, whatever goes wrong."""

from __future__ import annotations

import io
import json
import logging
import re
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from storage import audit, truth
from storage.database import Database
from storage.tables import Placement, ReadingCase, Truth
from study import bundle, cases, jobs, printing, results, studies
from study.errors import Problems, StudyError
from study.people import Person
from study.rounds import open_round
from tests.pages.visiting import Visit, by_label
from tests.study.hospital import Drawer, Hospital, add_recordings, hospital, open_gate, shut_gate
from tests.world import GOOD_ANSWER

OF_A_READER = ("truth", "recording", "drawing", "practice_case", "rejection")  # tables that tell arms, or help to
ARMS = re.compile(r"\b(real|synthetic)\b", re.IGNORECASE)


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """Every SQL statement that the block issues."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def tables_of(seen: Sequence[str]) -> set[str]:
    return {name for statement in seen for name in re.findall(r'\b(?:from|join|into|update)\s+"?(\w+)', statement, re.IGNORECASE)}


# ---- screens and answers ----

SCREENS = {
    "reader": ("reading",),
    "coordinator": ("studies", "results", "people"),
    "researcher": ("studies", "results", "gallery", "quality", "utility"),
}


@pytest.mark.parametrize("who", SCREENS)
def test_no_screen_of_a_blind_study_asks_for_the_truth(visit: Visit, db: Database, who: str) -> None:
    """A coordinator's with the forms that open rounds, and with what was asked for by their button."""
    with statements(db) as seen:
        for screen in SCREENS[who]:
            strip = {"study": visit.world.study_id, "strip": next(iter(visit.world.arm_of_code))}
            for query in ({}, {"study": visit.world.study_id}, {"round": visit.world.round_id}, strip):
                test = visit.as_(who, screen, **query)
                assert not test.exception
    assert len(seen) > 20
    assert "truth" not in tables_of(seen)
    if who == "reader":
        assert not tables_of(seen) & set(OF_A_READER)


def test_a_reader_s_round_touches_no_table_that_tells(visit: Visit, db: Database) -> None:
    """Answers, an answer sent twice, a correction, one refused, and the paper, up to the last case."""
    reader = visit.world.people["reader"]
    with statements(db) as seen:
        while (case := cases.of_round(db, reader, visit.world.round_id)) is not None:
            sent = {"place": case["place"], "key": case["key"], "answer": GOOD_ANSWER.as_dict()}
            printing.strip_pdf(db, reader, {"round": str(visit.world.round_id), "case": str(case["pdf"]["case"])})
            assert "problem" in cases.answered(db, reader, sent | {"answer": {"realism": 2}})
            cases.answered(db, reader, sent)
            cases.answered(db, reader, sent)
            again = {**sent, "place": case["place"] + "-again", "answer": {**GOOD_ANSWER.as_dict(), "comment": "on second thoughts"}}
            cases.answered(db, reader, again)
    assert len(seen) > 50
    assert not tables_of(seen) & set(OF_A_READER)


def test_answering_takes_the_same_statements_and_bytes_for_either_arm(visit: Visit, db: Database) -> None:
    """What a clock would measure, without one (`python -m tests.benchmarks.arms` has the clock): work and length, of all cases but first and last."""
    reader, work = visit.world.people["reader"], []
    case = cases.of_round(db, reader, visit.world.round_id)
    while case is not None:
        sent = {"place": case["place"], "key": case["key"], "answer": GOOD_ANSWER.as_dict()}
        with statements(db) as seen:
            case = cases.answered(db, reader, sent).get("case")
        work.append((tuple(seen), len(json.dumps(case))))
    with db.read() as session:
        order = select(ReadingCase.code).join(Placement, Placement.case_id == ReadingCase.id).where(Placement.reader_id == reader.id)
        arms = [visit.world.arm_of_code[code] for code in session.scalars(order.order_by(Placement.position))]
    assert {"real", "synthetic"} == set(arms[1:-1]), "both arms are submitted"
    assert {"real", "synthetic"} == set(arms[2:]), "both arms are sent"
    assert len(set(work[1:-1])) == 1
    assert len(work[1][0]) > 5


def test_the_button_that_opens_a_round_learns_numbers_only(visit: Visit, db: Database) -> None:
    """It may look whether there are recordings enough: through arms_for_opening, and what comes back is a job's number or a sentence of counts."""
    test = visit.as_("coordinator", "studies", study=visit.world.study_id)
    with statements(db) as seen:
        by_label(test, "Open the round").click().run()
    assert "truth" in tables_of(seen), "this test would see it"
    [refused] = [one.value for one in test.error]
    assert "Too few recordings" in refused.replace("\\", "")


@pytest.mark.parametrize("ask", [results.results, bundle.bundle])
def test_nothing_is_computed_or_exported_before_unblinding(visit: Visit, db: Database, ask: Any) -> None:
    with statements(db) as seen, pytest.raises(Problems):
        ask(db, visit.world.people["coordinator"], visit.world.study_id)
    assert "truth" not in tables_of(seen)


def test_what_may_be_seen_of_a_blind_study_names_no_strip(visit: Visit, db: Database) -> None:
    """The study as JSON, its trail and its jobs: no id of a strip, and no code of a case beside an arm."""
    coordinator = visit.world.people["coordinator"]
    visit.submits()
    with statements(db) as seen:
        told = studies.study(db, coordinator, visit.world.study_id)
        asked = jobs.recent_jobs(db, coordinator)
    assert "truth" not in tables_of(seen)
    text_of_it = repr(told) + repr(asked)
    for code in visit.world.arm_of_code:
        assert code not in text_of_it
    assert not re.search(r"strip_id|sha256", text_of_it)


# ---- what is left behind: logs, tracebacks, files ----


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Hospital]:
    db = Database(f"sqlite:///{tmp_path / 'study.db'}")
    db.migrate()
    yield hospital(db)
    db.close()


@pytest.fixture
def left(caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything is logged, and temporary files have a folder of their own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with caplog.at_level(logging.DEBUG):
        yield folder


def opened(house: Hospital) -> int:
    study_id = studies.create_study(house.db, house.coordinator, "Told apart?", studies.Protocol(), house.reader_ids)
    return open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(reject=frozenset({1})), gate=open_gate)


def read_through(db: Database, reader: Person, round_id: int) -> None:
    while (case := cases.of_round(db, reader, round_id)) is not None:
        cases.answered(db, reader, {"place": case["place"], "key": case["key"], "answer": GOOD_ANSWER.as_dict()})


def test_no_log_line_of_a_whole_round_holds_an_arm(house: Hospital, left: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """Opened, refused by the gate, and read through, with everything logged at DEBUG; nothing printed, no temporary file."""
    add_recordings(house.db, 12)
    round_id = opened(house)
    study_id = studies.create_study(house.db, house.coordinator, "Another", studies.Protocol(), house.reader_ids)
    with pytest.raises(StudyError):
        open_round(house.db, house.coordinator, study_id, house.plan(seed=6), Drawer(), gate=shut_gate)
    for reader in house.readers[:2]:
        read_through(house.db, reader, round_id)
    printed = capfd.readouterr()
    assert not ARMS.search(caplog.text)
    assert not ARMS.search(printed.out + printed.err)
    assert not list(left.rglob("*"))


def test_logs_at_debug_hold_no_row_and_no_parameter(house: Hospital, left: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line that SQLAlchemy would write of each row it reads is kept back, whoever turns all loggers up."""
    logging.getLogger().setLevel(logging.DEBUG)
    add_recordings(house.db, 6)
    later = Database(house.db.url)  # an engine looks at its logger's level when it is made
    with later.read() as session:
        assert {arm for (arm,) in session.execute(text("SELECT arm FROM truth"))} == {"real"}
    later.close()
    assert not ARMS.search(caplog.text)


def provoked(house: Hospital, what: str) -> str:
    """A traceback of something that goes wrong where an arm is at hand, as a server would print it."""
    db = house.db
    strip_id = _a_strip(db)
    try:
        if what == "a constraint":
            with db.write() as session:
                session.add(Truth(strip_id=strip_id, arm="real", stand_in=False))
        elif what == "a value that the table refuses":
            with db.write() as session:
                session.execute(text("UPDATE truth SET arm = :arm, stand_in = NULL WHERE strip_id = :strip"), {"arm": "synthetic", "strip": strip_id})
        elif what == "a statement that cannot be understood":
            with db.read() as session:
                session.execute(text("SELECT arm FROM truth WHERE armm = :arm"), {"arm": "synthetic"})
        elif what == "arms of a blind study":
            with db.read() as session:
                truth.arms_after_unblinding(session, studies.create_study(db, house.coordinator, "T", studies.Protocol(), house.reader_ids))
        else:
            _open_with_a_broken_gate(house)
    except Exception:
        told = io.StringIO()
        traceback.print_exc(file=told)
        return told.getvalue()
    raise AssertionError(f"{what} did not fail")


def _a_strip(db: Database) -> int:
    add_recordings(db, 6)
    with db.read() as session:
        return int(session.scalar(text("SELECT min(strip_id) FROM truth")) or 0)


def _open_with_a_broken_gate(house: Hospital) -> None:
    def gate(real: Sequence[Any], synthetic: Sequence[Any], seed: int) -> dict[str, Any]:
        raise RuntimeError(f"out of memory with {len(real)} + {len(synthetic)} strips")

    study_id = studies.create_study(house.db, house.coordinator, "T", studies.Protocol(), house.reader_ids)
    open_round(house.db, house.coordinator, study_id, house.plan(), Drawer(), gate=gate)


@pytest.mark.parametrize(
    "what", ["a constraint", "a value that the table refuses", "a statement that cannot be understood", "arms of a blind study", "a broken gate"]
)
def test_no_traceback_holds_an_arm(house: Hospital, what: str) -> None:
    """Our own lines of code are in it, in which the words may stand, but no value."""
    printed = provoked(house, what)
    values = "\n".join(line for line in printed.splitlines() if not line.startswith("    "))
    assert not ARMS.search(values), values


def test_the_message_of_a_failed_statement_would_hold_its_parameters(house: Hospital) -> None:
    """The test of the tests above: without hide_parameters the arm stands in the message."""
    strip_id = _a_strip(house.db)
    house.db.engine.hide_parameters = house.db.engine.dialect.hide_parameters = False  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError) as raised, house.db.write() as session:
        session.add(Truth(strip_id=strip_id, arm="real", stand_in=False))
    assert ARMS.search(str(raised.value))
    assert isinstance(raised.value, SQLAlchemyError)


def test_the_trail_of_a_blind_study_tells_no_arm_of_a_strip(house: Hospital) -> None:
    """It says how many of each, as asked; of single cases it says neither arm nor strip."""
    add_recordings(house.db, 12)
    read_through(house.db, house.readers[0], opened(house))
    with house.db.read() as session:
        audit.verify(session)
        rows = [
            (row.action, row.subject, json.loads(row.detail) if isinstance(row.detail, str) else row.detail)
            for row in session.execute(text("SELECT action, subject, detail FROM audit"))
        ]
    assert {"round opened", "judgement submitted"} <= {action for action, _, _ in rows}
    for action, subject, detail in rows:
        if subject.startswith("case"):
            assert not ARMS.search(json.dumps(detail)), action
        assert not {"strip", "strips", "strip_id", "record", "patient", "seed", "seeds"} & set(_names(detail)), action


def _names(detail: Any) -> Iterator[str]:
    if isinstance(detail, dict):
        for name, value in detail.items():
            yield str(name)
            yield from _names(value)
