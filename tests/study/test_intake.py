"""Recordings come in once, whole or with a reason, and the trail says who brought them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from generator.formats.write import FORMS, strip_as
from generator.recordings import WrittenStrip, find, write_folder
from generator.simulate import stand_in
from storage import audit, strips
from storage.database import Database
from storage.tables import AuditEntry, Recording, Strip
from study import intake
from study.errors import Cancelled, NotAllowed, StudyError
from study.intake import OTHER_RHYTHM, import_recordings
from study.people import Person
from study.roles import Role
from tests.wfdb_files import edit_header, signals, write_record


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """Five recordings, of which one has no V6 and one is in an unknown unit; a row of another rhythm."""
    folder = tmp_path / "ward"
    rows = ["record,rhythm,patient"]
    for number, rhythm in enumerate(["NSR", "AF", "AF", "NSR", "AF"]):
        write_record(folder / str(number % 2), f"ecg{number}", signals(number, rhythm))
        rows.append(f"ecg{number},{rhythm},{7000 + number // 2}")
    edit_header(folder / "1" / "ecg3", " V6\n", " RESP\n")
    edit_header(folder / "0" / "ecg4", "/mV", "/furlong")
    (folder / "labels.csv").write_text("\n".join([*rows, "ecg0b,SVT,1"]))
    return folder


def person(role: Role) -> Person:
    return Person(1, "ada", "Ada", role, None, False)


def test_what_cannot_be_used_is_named_and_the_rest_goes_in(db: Database, ward: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = import_recordings(db, None, ward, progress=lambda done, total: seen.append((done, total)))
    assert result.counts() == {
        "imported": 3,
        "already_present": 0,
        "refused": {"missing lead": 1, "unknown unit": 1},
        "left_out": {"rhythm 'SVT' is neither NSR nor AF": 1},
        "dropped": {},
    }
    assert result.refused["missing lead"][0].startswith("1/ecg3: no lead V6")
    assert seen[-1] == (5, 5)
    with db.read() as session:
        assert strips.recording_counts(session) == [("ward", "AF", 2, 2), ("ward", "NSR", 1, 1)]


def test_the_same_recordings_again_are_already_present(db: Database, ward: Path, tmp_path: Path) -> None:
    import_recordings(db, None, ward)
    assert import_recordings(db, None, ward).already_present == 3
    write_record(tmp_path / "copy", "other-name", signals(0))
    (tmp_path / "copy" / "labels.csv").write_text("record,rhythm\nother-name,NSR\n")
    again = import_recordings(db, None, tmp_path / "copy")
    assert (again.imported, again.already_present) == (0, 1)


def test_one_recording_twice_in_a_folder_is_one_strip(db: Database, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_record(tmp_path, name, signals(0))
    (tmp_path / "labels.csv").write_text("record,rhythm\na,NSR\nb,NSR\n")
    result = import_recordings(db, None, tmp_path)
    assert (result.imported, result.already_present) == (1, 1)


def test_the_same_recording_with_the_other_rhythm_is_refused(db: Database, ward: Path) -> None:
    import_recordings(db, None, ward)
    (ward / "labels.csv").write_text("record,rhythm\necg0,AF\n")
    result = import_recordings(db, None, ward)
    assert (result.imported, result.already_present) == (0, 0)
    assert "ecg0" in result.refused[OTHER_RHYTHM][0]


def test_no_identifier_of_a_patient_enters_the_database(db: Database, ward: Path) -> None:
    import_recordings(db, None, ward)
    with db.read() as session:
        rows = list(session.scalars(select(Recording)))
        assert {row.collection for row in rows} == {"ward"}
        assert rows[0].patient == rows[1].patient != rows[2].patient  # 7000, 7000, 7001
    content = Path(db.url.removeprefix("sqlite:///")).read_bytes()
    assert b"7000" not in content
    assert b"7001" not in content


def test_the_trail_says_who_began_and_what_came_of_it(db: Database, ward: Path) -> None:
    import_recordings(db, None, ward)
    with db.read() as session:
        began, ended = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        assert (began.action, began.person_id, began.detail["recordings"]) == ("import began", None, 5)
        assert (ended.action, ended.detail["imported"]) == ("import ended", 3)
        assert audit.verify(session) == 2


@pytest.mark.parametrize("role", [Role.READER, Role.COORDINATOR])
def test_readers_and_coordinators_may_not_import(db: Database, ward: Path, role: Role) -> None:
    with pytest.raises(NotAllowed):
        import_recordings(db, person(role), ward)


def test_drawn_strips_never_enter_as_recordings(db: Database, tmp_path: Path) -> None:
    write_folder(tmp_path, [WrittenStrip(stand_in("AF", 1), "AF", 1, 0)], {})
    with pytest.raises(StudyError, match="drawn"):
        import_recordings(db, None, tmp_path)


def test_cancelling_keeps_the_batches_before_it(db: Database, ward: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH", 2)
    answers = iter([False, True])
    with pytest.raises(Cancelled, match="2 recordings"):
        import_recordings(db, None, ward, cancelled=lambda: next(answers))
    with db.read() as session:
        assert len(list(session.scalars(select(Strip.id)))) == 2
    after = import_recordings(db, None, ward)
    assert (after.imported, after.already_present) == (1, 2)


def test_ptbxl_comes_in(db: Database, shared: Path, tmp_path: Path) -> None:
    """Forty of the 1,857; all of them are `blindstrip import`'s business (18 s)."""
    lines = (shared / "data" / "ptbxl" / "ptbxl_database.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *lines[1::46][:40]]))
    result = import_recordings(db, None, shared / "data" / "ptbxl", tmp_path / "labels.csv")
    assert (result.imported, result.refused) == (40, {})
    with db.read() as session:
        assert {row[0] for row in strips.recording_counts(session)} == {"PTB-XL"}
    assert len(find(shared / "data" / "ptbxl", tmp_path / "labels.csv").candidates) == 40


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("apart", [False, True])
def test_a_file_that_says_it_is_synthetic_is_no_recording(db: Database, tmp_path: Path, form: str, apart: bool) -> None:
    """What was exported as synthetic cannot come back as a patient's; what was exported as recorded can."""
    for name, synthetic in (("drawn", True), ("recorded", False)):
        for file, content in strip_as(form, name, stand_in("NSR", int(synthetic)), synthetic=synthetic).items():
            (tmp_path / file).write_bytes(content)
    (tmp_path / "labels.csv").write_text("record,rhythm,rate,unit\ndrawn,NSR,100,uV\nrecorded,NSR,100,uV\n")
    result = import_recordings(db, None, tmp_path, apart=apart)
    assert (result.imported, list(result.refused)) == (1, ["synthetic"])
    assert result.refused["synthetic"][0].startswith("drawn")
