"""`blindstrip audit verify`: a database or a bundle as it was written passes, and whatever was changed afterwards is named."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import signatures
from storage.database import Database
from study import audit_check, reading, signing
from study.amendments import amend
from study.bundle import bundle, zipped
from study.errors import StudyError
from study.protocol import Protocol
from study.rounds import open_round
from study.studies import create_study
from tests import ending
from tests.study.cli_calls import call, fails, run
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate

Files = dict[str, bytes]


def conducted(url: str) -> tuple[Hospital, int]:
    """A study read by two, with repeats, a corrected answer, an amendment, a signature and a round closed by hand; unblinded."""
    db = Database(url)
    db.migrate()
    house = hospital(db)
    add_recordings(db, 10)
    study_id = create_study(db, house.coordinator, "Sinus rhythm", Protocol(min_repeat_distance=3), house.reader_ids[:2])
    plan = house.plan(cases=12, repeat_share=0.2)
    round_id = open_round(db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
    for place, reader in enumerate(house.readers[:2]):
        codes: list[str] = []
        while (case := reading.next_case(db, reader, round_id)) is not None and len(codes) < 12 - 3 * place:
            reading.submit(db, reader, case.code, answer(1 + case.position % 6), just_now())
            codes.append(case.code)
        reading.revise(db, reader, codes[0], answer(6, comment="grün"), just_now())
    with db.write() as session:  # without a password
        signed = house.readers[0].id
        digest = signing.judgements_hash(session, round_id, signed)
        signatures.add(session, round_id, signed, digest)
        signing.audit.append(session, signed, "round signed", f"round {round_id}", {"judgements_sha256": digest})
    amend(db, house.coordinator, study_id, Protocol(margin=0.2, min_repeat_distance=3), "A wider margin.")
    ending.end(db, house.coordinator, house.researcher, study_id)
    return house, study_id


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The database's file and the bundle of its study."""
    folder = tmp_path_factory.mktemp("audit")
    house, study_id = conducted(f"sqlite:///{folder / 'study.db'}")
    _name, content = bundle(house.db, house.coordinator, study_id)
    (folder / "export.zip").write_bytes(content)
    house.db.put_away_log()
    house.db.close()
    return folder / "study.db", folder / "export.zip"


# ---- a database ----


def test_a_database_as_it_was_written_passes(whole: tuple[Path, Path]) -> None:
    for there in (whole[0], f"sqlite:///{whole[0]}"):
        found = run("audit", "verify", there)
        numbers = {name: found[name] for name in ("judgements", "signatures", "amendments", "commitments", "snapshots")}
        assert numbers == {"judgements": 12 + 9 + 2, "signatures": 1, "amendments": 1, "commitments": 1, "snapshots": 1}
        assert found["audit_entries"] > 30
    assert run("audit", "verify", "--db", f"sqlite:///{whole[0]}") == found


CHANGES = {
    "UPDATE audit SET person_id = NULL WHERE id = 7": "entry 7 .* was changed",
    "DELETE FROM audit WHERE id = 5": "entry 5 is missing",
    "UPDATE judgement SET realism = 7 - realism WHERE id = 3": "Revision 1 of the judgement of case .* was changed after it was given",
    "UPDATE judgement SET comment = 'x' WHERE revision = 2": "Revision 2 of the judgement .* was changed",
    "DELETE FROM judgement WHERE id = 3": "is in the audit trail alone",
    "UPDATE judgement SET reader_id = 6 WHERE id = 3": "has no entry in the audit trail|is in the audit trail alone",
    "UPDATE signature SET judgements_sha256 = 'x'": "The signature of round .* is not the one",
    "UPDATE amendment SET reason = 'another'": "The amendments of study 1 are not those",
    "DELETE FROM amendment": "The amendments of study 1 are not those",
    "UPDATE commitment SET sha256 = 'x'": "The commitment of round .* is not the one",
    "UPDATE snapshot SET content = x'00'": "its snapshot is not the one that was taken",
    "DELETE FROM snapshot": "its snapshot is not the one that was taken",
    "UPDATE truth SET arm = 'real'": "is not in the tables as its snapshot has it",
    "UPDATE study SET protocol_hash = 'x'": "is not in the tables as its snapshot has it",
    "DROP TRIGGER judgement_refuses_replace": "Table judgement can be changed: the triggers",
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_changed_in_a_database_is_named(whole: tuple[Path, Path], tmp_path: Path, change: str) -> None:
    copy = tmp_path / "study.db"
    shutil.copy(whole[0], copy)
    db = Database(f"sqlite:///{copy}")
    with db.engine.connect() as connection:  # somebody with the file in hand, who puts the triggers back
        connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")  # type: ignore[union-attr]
        with connection.begin():
            triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
            if not change.startswith("DROP"):
                for name, _sql in triggers:
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
            assert connection.exec_driver_sql(change).rowcount != 0
            if not change.startswith("DROP"):
                for _name, sql in triggers:
                    connection.exec_driver_sql(sql)
    db.close()
    status, out, err = call("audit", "verify", copy, "--json")
    assert (status, out) == (2, "")
    assert re.search(CHANGES[change], err), err


def test_checking_makes_no_database_and_brings_none_up_to_date(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.db"
    assert "there is no such file" in fails("audit", "verify", missing)
    assert "there is no such file" in fails("audit", "verify", "--db", f"sqlite:///{missing}")
    assert not missing.exists()
    note = tmp_path / "note.txt"
    note.write_text("no bundle")
    assert "Name the zip of an export" in fails("audit", "verify", note)
    assert "checksums.sha256: missing" in fails("audit", "verify", tmp_path)


# ---- a bundle ----


def read(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def summed(files: Files) -> Files:
    """With checksums that fit: who changes a file can write those anew."""
    rest = {name: content for name, content in files.items() if name != "checksums.sha256"}
    sums = "".join(f"{hashlib.sha256(rest[name]).hexdigest()}  {name}\n" for name in sorted(rest))
    return {**rest, "checksums.sha256": sums.encode()}


def test_a_bundle_passes_as_zip_and_folder_and_beside_its_database(whole: tuple[Path, Path], tmp_path: Path) -> None:
    found = run("audit", "verify", whole[1])
    assert (found["judgements"], found["rounds"]) == (23, {"round 1": "seeds as committed to before it was read"})
    assert found["orders"] == "2 orders follow from the seeds"
    with zipfile.ZipFile(whole[1]) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert {**run("audit", "verify", tmp_path / "unpacked"), "bundle": ""} == {**found, "bundle": ""}
    beside = run("audit", "verify", whole[1], "--db", f"sqlite:///{whole[0]}")
    assert beside["database"] == "its audit trail is the bundle's up to there"


def test_a_bundle_of_another_database_is_told(whole: tuple[Path, Path], tmp_path: Path) -> None:
    house, _study = conducted(f"sqlite:///{tmp_path / 'other.db'}")
    house.db.close()
    assert "its audit trail is not that of the database" in fails("audit", "verify", whole[1], "--db", f"sqlite:///{tmp_path / 'other.db'}")


def test_the_script_in_the_bundle_needs_python_alone(whole: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_bytes(read(whole[1])["verify.py"])
    alone = [sys.executable, "-I", "-S", str(tmp_path / "verify.py"), str(whole[1])]  # without site-packages
    done = subprocess.run(alone, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["judgements"] == 23
    broken = zipped({**read(whole[1]), "judgements.csv": b"case\n"})
    (tmp_path / "broken.zip").write_bytes(broken)
    done = subprocess.run([*alone[:-1], str(tmp_path / "broken.zip")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "BROKEN: judgements.csv: was changed after the bundle was written.\n"


def rewritten(files: Files, name: str, change: Callable[[list[dict[str, str]]], Any]) -> Files:
    rows = list(csv.DictReader(io.StringIO(files[name].decode(), newline="")))
    change(rows)
    told = io.StringIO(newline="")
    writer = csv.DictWriter(told, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return summed({**files, name: told.getvalue().encode()})


def entry(rows: list[dict[str, str]], action: str) -> dict[str, str]:
    return next(row for row in rows if row["action"] == action)


def other_seed(files: Files) -> Files:
    seeds = json.loads(files["seeds.json"])
    seeds["rounds"][0]["plan"]["seed"] += 1
    return summed({**files, "seeds.json": json.dumps(seeds).encode()})


def swapped(rows: list[dict[str, str]]) -> None:
    rows[0]["position"], rows[1]["position"] = rows[1]["position"], rows[0]["position"]


FAKES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a file more": (lambda files: {**files, "more.txt": b"x"}, "more.txt: is not of this bundle"),
    "a file less": (lambda files: {name: content for name, content in files.items() if name != "cases.csv"}, "cases.csv: missing"),
    "a file changed": (lambda files: {**files, "protocol.json": b"{}"}, "protocol.json: was changed"),
    "an entry's author": (
        lambda files: rewritten(files, "audit.csv", lambda rows: entry(rows, "round closed").update(person="2")),
        "entry .* \\(round closed\\) was changed",
    ),
    "an entry left out": (lambda files: rewritten(files, "audit.csv", lambda rows: rows.pop(3)), "entry 4 is missing"),
    "an entry's hash": (lambda files: rewritten(files, "audit.csv", lambda rows: rows[2].update(hash="0" * 64)), "entry (3|4) "),
    "the snapshot": (
        lambda files: summed({**files, "snapshot.json": files["snapshot.json"].replace(b'"realism":6', b'"realism":1')}),
        "snapshot.json: is not the snapshot that was taken",
    ),
    "an answer": (lambda files: rewritten(files, "judgements.csv", lambda rows: rows[0].update(realism="9")), "does not say what the snapshot says"),
    "an answer left out": (lambda files: rewritten(files, "judgements.csv", lambda rows: rows.pop()), "does not say what the snapshot says"),
    "a seed": (other_seed, "the seeds of round 1 are not those that were committed to"),
    "an order": (lambda files: rewritten(files, "placements.csv", swapped), "the order of R0. in round 1 does not follow"),
    "a table without a column": (lambda files: summed({**files, "readers.csv": b"a\n1\n"}), "is not as blindstrip writes it"),
}


@pytest.mark.parametrize("what", FAKES)
def test_whatever_was_changed_in_a_bundle_is_named(whole: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    fake, words = FAKES[what]
    (tmp_path / "fake.zip").write_bytes(zipped(fake(read(whole[1]))))
    with pytest.raises(StudyError, match=words):
        audit_check.bundle(tmp_path / "fake.zip")
