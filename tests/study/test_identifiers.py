"""What a hospital's files say of a patient stays in the files: it is in no strip, no table, no log and no export."""

from __future__ import annotations

import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from generator import formats
from generator.formats import dropped
from storage import audit, export
from storage.database import Database
from storage.tables import Judgement, Recording
from study import people, reading, sign_in
from study.bundle import bundle
from study.errors import NotAllowed, SignInRefused, StudyError
from study.intake import import_recordings
from study.judgements import reader_codes
from study.people import Person
from study.protocol import Protocol
from study.results import unblinded
from study.roles import Role
from study.rounds import open_round
from study.studies import create_study, study
from tests import ending
from tests.cart_files import muse, scp, sierra
from tests.format_files import aecg, counts, eight, group, write_dicom, write_edf
from tests.joining import joined
from tests.study.cli_calls import run
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate
from tests.wfdb_files import edit_header, signals, write_record

NAME, BORN, NUMBER, RECORDED, WARD_NOTE = "Wilhelmine Musterfrau", "17/05/1949", "MRN-4711-0815", "23/11/2019", "transferred by Dr. Zylinder"
IDENTIFIERS = (NAME, "Musterfrau", BORN, "05/1949", NUMBER, "MRN-4711", RECORDED, "11/2019", "09:41:07", "Zylinder")


def files_of_patients(folder: Path) -> None:
    """Twelve recordings, one of them flat, whose headers name the patient; so does the table, in a column that is read and in one that is not."""
    rows = ["record,rhythm,patient,name"]
    for i in range(12):
        mv = np.zeros((12, 1000)) if i == 11 else signals(i, ("NSR", "AF")[i % 2])
        record = write_record(folder, f"ecg{i}", mv)
        edit_header(record, f"ecg{i} 12 100 1000", f"ecg{i} 12 100 1000 09:41:07 {RECORDED}")
        header = record.with_name(f"ecg{i}.hea")
        header.write_text(header.read_text() + f"# Name: {NAME}\n# Born: {BORN}\n# Patient: {NUMBER}\n# {WARD_NOTE}\n")
        rows.append(f"ecg{i},{('NSR', 'AF')[i % 2]},{NUMBER}-{i},{NAME}")
    (folder / "labels.csv").write_text("\n".join(rows))


def nowhere(found: dict[str, bytes], words: tuple[str, ...]) -> None:
    there = [(where, word) for where, content in found.items() for word in words if word.encode() in content]
    assert there == []


def of_database(file: Path) -> dict[str, bytes]:
    """The bytes of the database's files: tables, strips, log."""
    return {path.name: path.read_bytes() for path in file.parent.glob(file.name + "*")}


def of_exports(db: Database, by: Person, study_id: int) -> dict[str, bytes]:
    """Every file of the bundle, the report among them."""
    with zipfile.ZipFile(io.BytesIO(bundle(db, by, study_id)[1])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read_to_the_end(house: Hospital, study_id: int) -> None:
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)
    for reader in house.readers[:2]:
        for _ in range(6):
            case = reading.next_case(house.db, reader, round_id)
            assert case is not None
            reading.submit(house.db, reader, case.code, answer(1 + case.position % 6), just_now())
    ending.end(house.db, house.coordinator, house.researcher, study_id)


def test_what_a_header_says_of_a_patient_goes_nowhere(
    db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    files_of_patients(tmp_path / "ward")
    house = hospital(db)
    intake = import_recordings(db, house.researcher, tmp_path / "ward")
    assert (intake.imported, sum(map(len, intake.refused.values()))) == (11, 1)
    assert NAME.encode() in (tmp_path / "ward" / "ecg3.hea").read_bytes()
    study_id = create_study(db, house.coordinator, "Sinus rhythm", Protocol(), house.reader_ids[:2])
    read_to_the_end(house, study_id)
    told = capfd.readouterr()
    nowhere({"log": caplog.text.encode(), "output": told.out.encode(), "errors": told.err.encode(), "intake": repr(intake).encode()}, IDENTIFIERS)
    nowhere(of_database(tmp_path / "study.db"), IDENTIFIERS)
    exported = of_exports(db, house.coordinator, study_id)
    nowhere(exported, IDENTIFIERS)
    with db.read() as session:
        patients = list(session.scalars(select(Recording.patient)))
    nowhere(exported, tuple(patients))  # nor the stored hashes: whoever tries all of a hospital's numbers finds them again
    assert len(set(patients)) == 11
    db.put_away_log()
    nowhere(of_database(tmp_path / "study.db"), IDENTIFIERS)


OF_CARTS = ("Musterfrau", "Wilhelmine", "19490517", "17-MAY-1949", "MRN-4711", "Zylinder")


def files_of_carts(folder: Path) -> dict[str, frozenset[str]]:
    """A whole and a broken file of each format but WFDB, and which kinds of fields the whole one must be found to hold."""
    patient = frozenset({dropped.NAME, dropped.NUMBER, dropped.BORN})
    made: dict[str, tuple[bytes, bytes, frozenset[str]]] = {}
    mv = [signals(20 + number, ("NSR", "AF")[number % 2], rate=500) for number in range(6)]
    whole = [counts(one).astype(np.int64) for one in mv]
    dicom = write_dicom(folder / "x", [group(mv[0], 500)], who=True).read_bytes()
    made["a.dcm"] = dicom, dicom.replace(b"uV", b"aV"), patient | {dropped.PLACE, dropped.WORDS}
    edf = write_edf(folder / "x", mv[1], 500, who=True).read_bytes()
    made["b.edf"] = edf, edf.replace(b"uV", b"aV"), patient | {dropped.WORDS, dropped.PLACE}
    for name, text, there in (
        ("c.xml", aecg(mv[2], 500), patient | {dropped.PLACE, dropped.NUMBERS}),
        ("d.xml", muse(eight(whole[3]).astype(np.int16)), patient | {dropped.PLACE, dropped.WORDS}),
        ("e.xml", sierra(whole[4]), patient | {dropped.PLACE}),
    ):
        made[name] = text.encode(), text.replace("V1", "V2").encode(), there
    coded = scp(eight(whole[5]))
    made["f.scp"] = coded, coded[:-9], patient | {dropped.PLACE, dropped.WORDS}
    rows = ["record,rhythm,patient"]
    for number, (name, (good, bad, _)) in enumerate(made.items()):
        (folder / name).write_bytes(good)
        (folder / f"bad-{name}").write_bytes(bad)
        rows += [f"{name},{('NSR', 'AF')[number % 2]},MRN-4711-{number}", f"bad-{name},NSR,"]
    (folder / "x").unlink()
    (folder / "labels.csv").write_text("\n".join(rows))
    return {name: there for name, (_, _, there) in made.items()}


def test_what_a_cart_s_file_says_of_a_patient_goes_nowhere(
    db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    expected = files_of_carts(tmp_path / "ward")
    for name, there in expected.items():
        assert formats.read(tmp_path / "ward" / name).dropped >= there, name
    apart = import_recordings(db, None, tmp_path / "ward", apart=True)
    here = import_recordings(db, None, tmp_path / "ward")
    assert (apart.imported, here.already_present, sum(map(len, apart.refused.values()))) == (6, 6, 6)
    assert here.refused == apart.refused
    assert apart.dropped == here.dropped
    assert [apart.dropped[kind] for kind in (dropped.NAME, dropped.NUMBER, dropped.BORN)] == [6, 6, 6]
    told = capfd.readouterr()
    nowhere({"log": caplog.text.encode(), "output": told.out.encode(), "errors": told.err.encode(), "intake": repr(apart).encode()}, OF_CARTS)
    nowhere(of_database(tmp_path / "study.db"), OF_CARTS)
    db.put_away_log()
    nowhere(of_database(tmp_path / "study.db"), OF_CARTS)


# ---- accounts ----


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


READER, USERNAME = "Dr. Xaver Quittenbaum", "xaver.quittenbaum"


@pytest.fixture
def leaving(house: Hospital) -> tuple[Person, str]:
    """A reader who has an account with a password, and their sign-in."""
    person = joined(house.db, house.admin, USERNAME, READER, Role.READER, "North", "correct horse battery")
    return person, sign_in.sign_in(house.db, USERNAME, "correct horse battery")


def test_a_deleted_account_is_gone_and_its_judgements_stay(house: Hospital, leaving: tuple[Person, str], tmp_path: Path) -> None:
    db, (person, token) = house.db, leaving
    add_recordings(db, 8)
    study_id = create_study(db, house.coordinator, "Sinus rhythm", Protocol(), [person.id, house.readers[0].id])
    house.readers.insert(0, person)
    read_to_the_end(house, study_id)
    before = unblinded(db, house.coordinator, study_id)
    with db.read() as session:
        judged = sorted(session.scalars(select(Judgement.id).where(Judgement.reader_id == person.id)))
    assert (READER in {one.name for one in before.readers}, len(judged)) == (True, 6)
    with pytest.raises(SignInRefused):
        sign_in.sign_in(db, USERNAME, "a wrong password")

    assert people.delete_person(db, house.admin, person.id).named_in_trail is False
    gone = (READER, "Quittenbaum", USERNAME, "quittenbaum")
    nowhere(of_database(tmp_path / "study.db"), gone)
    assert sign_in.person_for(db, token) is None
    assert people.person_by_id(db, person.id) is None
    for name in (USERNAME, f"-deleted-{person.id}"):
        assert people.person_by_username(db, name) is None
        with pytest.raises(SignInRefused):
            sign_in.sign_in(db, name, "correct horse battery")
    after = unblinded(db, house.coordinator, study_id)
    assert reader_codes(after) == reader_codes(before)
    assert (after.judgements, [one.site for one in after.readers]) == (before.judgements, [one.site for one in before.readers])
    assert READER not in {one.name for one in after.readers}
    with db.read() as session:
        assert sorted(session.scalars(select(Judgement.id).where(Judgement.reader_id == person.id))) == judged
        [entry] = export.trail(session, f"person {person.id}", "account deleted")
    assert (entry.person_id, entry.detail["from"]["role"]) == (house.admin.id, "reader")
    nowhere(of_exports(db, house.coordinator, study_id), gone)
    assert run("audit", "verify", "--db", f"sqlite:///{tmp_path / 'study.db'}")["judgements"] == 12
    again = joined(db, house.admin, USERNAME, "Somebody else", Role.READER, "North", "correct horse battery")  # the name is free
    assert again.id != person.id


def test_whose_account_may_be_deleted_by_whom(house: Hospital, leaving: tuple[Person, str]) -> None:
    db, (person, _token) = house.db, leaving
    for by in (house.readers[0], house.researcher):
        with pytest.raises(NotAllowed):
            people.delete_person(db, by, person.id)
    with pytest.raises(NotAllowed, match="admin's account"):
        people.delete_person(db, house.coordinator, house.admin.id)
    with pytest.raises(StudyError, match="signed in with"):
        people.delete_person(db, house.admin, house.admin.id)
    with pytest.raises(StudyError, match="no account with id 999"):
        people.delete_person(db, house.admin, 999)
    people.delete_person(db, house.coordinator, person.id)
    with pytest.raises(StudyError, match="no account"):
        people.delete_person(db, house.coordinator, person.id)


def test_the_demo_s_people_stay(db: Database) -> None:
    demo = hospital(db, demo=True)
    with pytest.raises(StudyError, match="demo"):
        people.delete_person(db, demo.admin, demo.readers[0].id)


def test_a_reader_who_left_shows_as_a_deleted_account(house: Hospital, leaving: tuple[Person, str]) -> None:
    add_recordings(house.db, 6)
    person, _token = leaving
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(), [person.id])
    assert run("people", "delete", USERNAME, "--as", "adam", "--db", house.db.url) == {
        **{"deleted": person.id, "user_name_in_the_audit_trail": False, "still_in_the_log": False}
    }
    assert [one.name for one in study(house.db, house.coordinator, study_id).readers] == [f"deleted account {person.id}"]


def test_a_trail_that_an_earlier_version_began_still_names_its_users(house: Hospital) -> None:
    with house.db.write() as session:
        audit.append(session, house.admin.id, "person added", f"person {house.readers[0].id}", {"username": "ada", "role": "reader"})
    assert people.delete_person(house.db, house.admin, house.readers[0].id).named_in_trail is True
    assert people.delete_person(house.db, house.admin, house.readers[1].id).named_in_trail is False
