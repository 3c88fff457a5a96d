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
    """Top-level functions in which tables.Truth, or the table by its name, is mentioned; "" for the module itself.

    Another Truth than that of storage.tables is none of it.
    """
    tree, found = ast.parse(source), set()
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "storage.tables"
        for alias in node.names
        if alias.name in ("Truth", "*")
    }
    of_tables = "storage.tables" in imported_modules(source)
    for statement in tree.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        for node in ast.walk(statement):
            named = (
                (isinstance(node, ast.Name) and (node.id in names or (node.id == "Truth" and "*" in names)))
                or (isinstance(node, ast.Attribute) and node.attr == "Truth" and of_tables)
                or (isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_SQL.search(node.value))
                or (isinstance(node, ast.Subscript) and ast.unparse(node).endswith("tables['truth']"))
            )
            if named:
                found.add(getattr(statement, "name", ""))
    return found


def imported_modules(source: str) -> set[str]:
    """Whatever a file imports, inside functions too; `from storage import truth` as storage.truth."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
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


MAY_ASK_FOR_ARMS = {
    "arms_for_opening": {
        "study/rounds.py": {"open_round", "_store"},
        "study/round_plan.py": {"check"},  # whether there are enough, asked by the button that opens a round: numbers leave it
        "study/practice_round.py": {"_check"},  # the same for practice
    },
    "arms_after_unblinding": {
        "storage/export.py": {"origin", "provenance", "study_data"},
        "study/order_diagnostics.py": {"order_diagnostics"},  # once unblinded
    },
}


def functions_calling(name: str, source: str) -> set[str]:
    """Top-level functions in which a function of storage.truth is named, imported or not."""
    found = set()
    for statement in ast.parse(source).body:
        for node in ast.walk(statement):
            if (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name):
                found.add(getattr(statement, "name", ""))
            if isinstance(node, ast.alias) and node.name == name:
                found.add("")
    return found


@pytest.mark.parametrize("name", MAY_ASK_FOR_ARMS)
def test_only_opening_and_analysis_ask_for_arms(name: str) -> None:
    found = {}
    for room in ("pages", "study", "generator", "storage"):
        for file in sorted((ROOT / room).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path != "storage/truth.py" and (functions := functions_calling(name, file.read_text(encoding="utf-8"))):
                found[path] = functions
    assert functions_calling(name, (ROOT / "app.py").read_text(encoding="utf-8")) == set()
    assert found == MAY_ASK_FOR_ARMS[name]


CLOSED_TO_PAGES = ("storage.truth", "storage.tables", "storage.export", "storage.database", "study.rounds", "study.round_strips", "sqlalchemy")


def test_no_page_imports_what_reads_the_truth() -> None:
    for file in [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]:
        if file.name == "access.py":  # the one that opens the database
            assert "storage.truth" not in imported_modules(file.read_text(encoding="utf-8"))
            continue
        assert not imported_modules(file.read_text(encoding="utf-8")) & set(CLOSED_TO_PAGES), file.name


def test_the_watchdog_barks() -> None:
    assert functions_naming_truth("from storage.tables import Truth\ndef peek(s):\n    return s.query(Truth)") == {"peek"}
    assert functions_naming_truth("from storage.tables import Truth as T\ndef peek(s):\n    return s.query(T)") == {"peek"}
    assert functions_naming_truth("from storage import tables\ndef peek(s):\n    return s.query(tables.Truth)") == {"peek"}
    assert functions_naming_truth("import storage.tables as t\ndef peek(s):\n    return s.query(t.Truth)") == {"peek"}
    assert functions_naming_truth('def peek(s):\n    return s.execute(text("SELECT * FROM truth"))') == {"peek"}
    assert functions_calling("arms_for_opening", "from storage.truth import arms_for_opening as a\ndef peek(s):\n    return a(s)") == {""}
    assert functions_calling("arms_for_opening", "from storage import truth\ndef peek(s):\n    return truth.arms_for_opening(s)") == {"peek"}
    assert imported_modules("def peek():\n    from storage import truth") == {"storage", "storage.truth"}
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
