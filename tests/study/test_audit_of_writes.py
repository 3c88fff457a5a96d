"""Who, when, what: every transaction that writes leaves an entry in the audit trail, or stands below with the reason why not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.database import Database
from storage.tables import AuditEntry, now
from study import audit_check, closing, people, reading, screens, unblinding
from study.amendments import amend, edit_protocol
from study.errors import Problems
from study.protocol import Protocol
from study.roles import Role
from study.rounds import open_round
from study.studies import add_readers, create_study
from tests.joining import joined
from tests.study.hospital import Drawer, add_recordings, answer, hospital, just_now, open_gate

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = {
    "study/intake.py:_store": "a batch between the entries that say that an import began and how it ended",
    "study/sign_in.py:_tried": "counts a failure until it succeeds, and is forgotten after a day; the sign-in has an entry",
    "study/sign_in.py:confirm": "forgets the failures",
    "study/reading.py:show": "when a strip was first sent; the judgement keeps it",
    "study/speed.py:measure": "how fast this machine draws",
    "study/work.py:beat": "signs of life of a job, whose asking has an entry",
    "study/work.py:draw_for_gallery": "strips of a drawing, whose asking has an entry; each strip names it",
    "study/work.py:_collected": "how fast this machine draws",
    "study/work.py:draw": "the same function",
    "study/simulation/stored.py:_recordings": "strips of a simulated study, in a database of its own",
    "study/runner.py:_write_down": "how a job ended, whose asking has an entry",
    "study/runner.py:_claim": "that a job was begun",
    "study/runner.py:_take_in_orphans": "that a job had lost its runner",
}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node


def calls(node: ast.AST, names: dict[str, str]) -> set[str]:
    """What is called in it, as module.function. names: what the module calls otherwise, by its own name for it."""
    called = {ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
    return {names.get(name, name) for name in called}


def names_of(path: str, tree: ast.Module) -> dict[str, str]:
    """Functions of the module itself, and what it imports from others."""
    stem = Path(path).stem
    own = {function.name: f"{stem}.{function.name}" for function in functions(tree)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return own | {alias.asname or alias.name: f"{(node.module or '').rsplit('.', 1)[-1]}.{alias.name}" for node in imports for alias in node.names}


def writes(function: ast.FunctionDef) -> list[ast.With]:
    """Its write transactions."""
    withs = [node for node in ast.walk(function) if isinstance(node, ast.With)]
    return [node for node in withs if any(ast.unparse(item.context_expr).endswith(".write()") for item in node.items)]


def test_every_write_transaction_leaves_an_entry() -> None:
    """Read from the source: a new function that writes without an entry fails here. pages write nothing themselves."""
    trees = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in (ROOT / "study").rglob("*.py")}
    names = {path: names_of(path, tree) for path, tree in trees.items()}
    noting = {"audit.append"}
    for _ in range(3):  # functions that note something, functions that call these, and theirs
        noting |= {names[path][one.name] for path, tree in trees.items() for one in functions(tree) if calls(one, names[path]) & noting}
    without = {
        f"{path}:{function.name}"
        for path, tree in trees.items()
        for function in functions(tree)
        for transaction in writes(function)
        if not calls(transaction, names[path]) & noting
    }
    assert without == set(WITHOUT)
    assert not any(writes(function) for path in (ROOT / "pages").rglob("*.py") for function in functions(ast.parse(path.read_text())))


def test_a_study_s_entries_say_who_when_what_from_to_and_why(db: Database) -> None:
    """Every step once; each entry by who did it, in UTC, and changes with what was before."""
    house = hospital(db)
    add_recordings(db, 8)
    before = now()
    study_id = create_study(db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:1])
    edit_protocol(db, house.coordinator, study_id, Protocol(margin=0.2))
    round_id = open_round(db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)
    add_readers(db, house.admin, study_id, house.reader_ids[:2])
    reader = house.readers[0]
    screens.calibrate(db, reader, "1920x1080", 4.0)
    screens.calibrate(db, reader, "1920x1080", 4.5)
    case = reading.next_case(db, reader, round_id)
    assert case is not None
    reading.submit(db, reader, case.code, answer(2), just_now())
    reading.revise(db, reader, case.code, answer(6), just_now())
    amend(db, house.coordinator, study_id, Protocol(margin=0.1), "narrower")
    closing.close_round(db, house.coordinator, study_id, 1, "no time")
    unblinding.ask(db, house.coordinator, study_id, "a first look")
    unblinding.withdraw(db, house.admin, study_id)
    unblinding.ask(db, house.coordinator, study_id, "a pilot")
    unblinding.confirm(db, house.researcher, study_id)
    people.delete_person(db, house.admin, house.readers[3].id)
    with db.read() as session:
        entries = list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))
    wanted = [
        ("study set up", house.coordinator, None, None),
        ("protocol changed", house.coordinator, Protocol().as_dict(), Protocol(margin=0.2).as_dict()),
        ("seeds committed to", house.coordinator, None, None),
        ("round opened", house.coordinator, None, None),
        ("readers added", house.admin, house.reader_ids[:1], house.reader_ids[:2]),
        ("screen calibrated", reader, None, 4.0),
        ("screen calibrated", reader, 4.0, 4.5),
        ("protocol frozen", reader, "changeable", "frozen"),
        ("judgement submitted", reader, None, answer(2).sha256()),
        ("judgement revised", reader, answer(2).sha256(), answer(6).sha256()),
        ("protocol amended", house.coordinator, Protocol(margin=0.2).as_dict(), Protocol(margin=0.1).as_dict()),
        ("round closed", house.coordinator, "open", "closed"),
        ("unblinding asked", house.coordinator, "blind", "unblinding asked"),
        ("unblinding withdrawn", house.admin, "unblinding asked", "blind"),
        ("unblinding asked", house.coordinator, "blind", "unblinding asked"),
        ("unblinded", house.researcher, "unblinding asked", "unblinded"),
        ("account deleted", house.admin, {"active": True, "role": "reader", "site": "South"}, {"active": False}),
    ]
    assert [(entry.action, entry.person_id) for entry in entries] == [(action, who.id) for action, who, _from, _to in wanted]
    for entry, (action, _who, was, becomes) in zip(entries, wanted, strict=True):
        assert entry.at.utcoffset() == timedelta(0)
        assert before <= entry.at.astimezone(UTC) <= now()
        if becomes is not None:
            assert (entry.detail["from"], entry.detail["to"]) == (was, becomes), action
    why = {entry.action: entry.detail["why"] for entry in entries if "why" in entry.detail}
    assert why == {"protocol amended": "narrower", "round closed": "no time", "unblinding asked": "a pilot"}
    assert audit_check.database(db)["audit_entries"] == len(entries)


def test_what_is_refused_leaves_neither_a_change_nor_an_entry(db: Database) -> None:
    house = hospital(db)
    study_id = create_study(db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:1])
    with db.read() as session:
        before = len(session.scalars(select(AuditEntry.id)).all())
    for refused in (
        lambda: amend(db, house.coordinator, study_id, Protocol(margin=0.2), "why"),
        lambda: unblinding.ask(db, house.coordinator, study_id, "why"),
        lambda: closing.close_round(db, house.coordinator, study_id, 1, "why"),
        lambda: create_study(db, house.coordinator, "Sinus rhythm", Protocol(), []),
        lambda: joined(db, house.admin, "cora", "Cora again", Role.READER, "North", "correct horse battery"),
    ):
        with pytest.raises(Problems):
            refused()
    with db.read() as session:
        assert len(session.scalars(select(AuditEntry.id)).all()) == before
