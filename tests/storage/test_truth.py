from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from storage import strips, truth
from storage import studies as stored
from storage.database import Database
from storage.errors import StorageError
from storage.people import NewPerson
from storage.people import add as add_person
from storage.tables import now

ROOT = Path(__file__).resolve().parents[2]

MAY_NAME_TRUTH = {
    "storage/truth.py": {"arms_for_opening", "arms_after_unblinding"},  # read it
    "storage/strips.py": {"add_recording", "add_drawing"},  # write it, with the strip
}


IN_SQL = re.compile(r"\b(from|join|into|update)\s+truth\b", re.IGNORECASE)


def functions_naming_truth(source: str) -> set[str]:
    """Top-level functions in which tables.Truth, or the table by its name, is mentioned; "" for the module itself."""
    found = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        for node in ast.walk(statement):
            named = (
                (isinstance(node, ast.Name) and node.id == "Truth")
                or (isinstance(node, ast.Attribute) and node.attr == "Truth")
                or (isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_SQL.search(node.value))
                or (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == "truth")
            )
            if named:
                found.add(getattr(statement, "name", ""))
    return found


def test_only_these_functions_name_the_truth() -> None:
    rooms = [ROOT / "app.py", *(ROOT / room for room in ("pages", "study", "generator", "storage"))]
    files = [file for room in rooms for file in ([room] if room.is_file() else sorted(room.rglob("*.py")))]
    assert len(files) > 20
    found = {}
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        if path == "storage/tables.py" or path.startswith("storage/migrations/"):
            continue
        if functions := functions_naming_truth(file.read_text(encoding="utf-8")):
            found[path] = functions
    assert found == MAY_NAME_TRUTH


def test_the_watchdog_barks() -> None:
    assert functions_naming_truth("from storage.tables import Truth\ndef peek(s):\n    return s.query(Truth)") == {"peek"}
    assert functions_naming_truth("import storage.tables as t\ndef peek(s):\n    return s.query(t.Truth)") == {"peek"}
    assert functions_naming_truth('def peek(s):\n    return s.execute(text("SELECT * FROM truth"))') == {"peek"}
    assert functions_naming_truth('def peek(m):\n    return m.tables["truth"]') == {"peek"}


def blob(i: int) -> bytes:
    return i.to_bytes(2, "little") * 8000


def add(db: Database, i: int, *, patient: str = "", rhythm: str = "NSR", stand_in: bool = False) -> int:
    with db.write() as session:
        new = strips.NewRecording(blob(i), rhythm, "test", f"r{i}", patient or f"p{i}", 500.0, age=60.0 + i, stand_in=stand_in)
        strip_id = strips.add_recording(session, new)
    assert strip_id is not None
    return strip_id


def drawn(db: Database, i: int) -> int:
    with db.write() as session:
        strip_id = strips.add_drawing(session, strips.NewDrawing(blob(i), "AF", "c" * 64, "dpm++2m", 20, 1.0, 3, i, "cpu", "round"))
    assert strip_id is not None
    return strip_id


def study_showing(db: Database, *strip_ids: int) -> int:
    with db.write() as session:
        person = add_person(session, NewPerson("cora", "Cora", "coordinator", None), password_hash=None)
        study_id = stored.add_study(session, title="S", demo=False, protocol={}, protocol_hash="h", seed=1, created_by=person)
        round_id = stored.add_round(session, study_id=study_id, number=1, plan={}, leak={}, opened_by=person, starts_at=now())
        stored.add_cases(session, round_id, [stored.NewCase(strip_id, "scored", f"code{strip_id}") for strip_id in strip_ids])
    return study_id


def test_a_round_chooses_from_recordings_not_yet_shown(db: Database) -> None:
    shown, of_same_patient, fresh = add(db, 1, patient="a"), add(db, 2, patient="a", rhythm="AF"), add(db, 3)
    stand_in, synthetic = add(db, 4, stand_in=True), drawn(db, 5)
    study_id = study_showing(db, shown, synthetic)
    with db.read() as session:
        real = truth.arms_for_opening(session, study_id, stand_ins=False)
        simulated = truth.arms_for_opening(session, study_id, stand_ins=True)
    assert real == [truth.RealStrip(of_same_patient, "AF", "a", 62.0, False, True), truth.RealStrip(fresh, "NSR", "p3", 63.0, False, False)]
    assert [strip.strip_id for strip in simulated] == [stand_in]


def test_the_arms_of_a_study_s_strips_are_told_after_unblinding(db: Database) -> None:
    real, synthetic, _unseen = add(db, 1), drawn(db, 2), add(db, 3)
    study_id = study_showing(db, real, synthetic)
    with db.read() as session, pytest.raises(StorageError, match="blind"):
        truth.arms_after_unblinding(session, study_id)
    with db.write() as session:
        stored.change(session, study_id, unblinded_at=now())
    with db.read() as session:
        assert truth.arms_after_unblinding(session, study_id) == {real: truth.Arm("real", False), synthetic: truth.Arm("synthetic", False)}


def test_the_same_samples_are_one_strip(db: Database) -> None:
    add(db, 1)
    with db.write() as session:
        assert strips.add_recording(session, strips.NewRecording(blob(1), "AF", "other", "r9", "p9", 100.0)) is None
        assert strips.add_drawing(session, strips.NewDrawing(blob(1), "AF", "c" * 64, "dpm++2m", 20, 1.0, 3, 0, "cpu", "gallery")) is None
        assert strips.recording_counts(session) == [("test", "NSR", 1, 1)]


def test_what_is_no_strip_is_refused(db: Database) -> None:
    with db.write() as session:
        with pytest.raises(StorageError, match="16000 bytes"):
            strips.add_recording(session, strips.NewRecording(b"short", "AF", "c", "r", "p", 100.0))
        with pytest.raises(StorageError, match="rhythm 'VT'"):
            strips.add_recording(session, strips.NewRecording(blob(1), "VT", "c", "r", "p", 100.0))


def test_the_gallery_never_shows_what_was_drawn_for_a_round(db: Database) -> None:
    drawn(db, 1)
    with db.write() as session:
        new = strips.NewDrawing(blob(2), "AF", "c" * 64, "dpm++2m", 20, 1.0, 3, 2, "cpu", "gallery", {"heart_rate": 80.0})
        in_gallery = strips.add_drawing(session, new)
    with db.read() as session:
        (one,) = strips.drawn_strips(session)
        assert (one.strip_id, one.samples, one.conditions) == (in_gallery, blob(2), {"heart_rate": 80.0})
        assert strips.drawn_strips(session, rhythm="NSR") == []


def test_samples_come_back_by_id(db: Database) -> None:
    ids = [add(db, i) for i in range(3)]
    with db.read() as session:
        assert strips.samples(session, reversed(ids)) == {strip_id: blob(i) for i, strip_id in enumerate(ids)}
        with pytest.raises(StorageError, match="999"):
            strips.samples(session, [999])
