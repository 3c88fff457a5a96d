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

from storage import signatures, snapshots
from storage.database import Database
from storage.export import StudyData
from study import audit_check, reading, signing
from study.amendments import amend
from study.bundle import bundle, zipped
from study.bundle_files import verify
from study.commitment import digest
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
        reading.revise(db, reader, codes[0], answer(6, comment='="grün",\rblau\r\n\nrot'), just_now())
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
    "DELETE FROM signature": "The signature of round 1 by person .* is in the audit trail alone",
    "INSERT INTO signature VALUES (1, 5, '2026-01-01', 'x')": "The signature of round 1 by person 5 is not the one",
    "UPDATE amendment SET reason = 'another'": "The amendment of study 1, number 1 is not the one",
    "DELETE FROM amendment": "The amendment of study 1, number 1 is in the audit trail alone",
    "UPDATE commitment SET sha256 = 'x'": "The commitment of round .* is not the one",
    "DELETE FROM commitment": "The commitment of round 1 is in the audit trail alone",
    "UPDATE commitment SET nonce = 'x'": "The seeds of round 1 are not those that were committed to",
    "UPDATE round SET plan = json_set(plan, '$.seed', 1)": "The seeds of round 1 are not those that were committed to",
    "UPDATE round SET plan = json_remove(plan, '$.seed')": "The seeds of round 1 are not those that were committed to",
    "UPDATE round SET plan = json_set(plan, '$.cases', 99)": "The opening of round 1 is not the one",
    "UPDATE round SET protocol_hash = 'x'": "The commitment of round 1 is not the one",
    "UPDATE round_closing SET reason = 'another'": "The closing of round 1 is not the one",
    "DELETE FROM round_closing": "The closing of round 1 is in the audit trail alone",
    "UPDATE study SET protocol = json_set(protocol, '$.margin', 0.4)": "The protocol of study 1 is not the one",
    "UPDATE study SET frozen_at = NULL": "The freeze of study 1 is in the audit trail alone",
    "UPDATE study SET unblinded_at = NULL": "The unblinding of study 1 is in the audit trail alone",
    "DELETE FROM study": "is in the audit trail alone",
    "DELETE FROM reading_case WHERE id = 3": "of case with id 3, which was removed, by person . has no entry",
    "UPDATE snapshot SET content = x'00'": "its snapshot is not the one that was taken",
    "DELETE FROM snapshot": "its snapshot is not the one that was taken",
    "UPDATE truth SET arm = 'real'": "is not in the tables as its snapshot has it",
    "UPDATE study SET protocol_hash = 'x'": "The protocol of study 1 is not the one",
    "UPDATE placement SET position = position + 100": "has no entry|is in the audit trail alone",
    "UPDATE judgement SET viewing = '{}', reading_ms = 1": "is not in the tables as its snapshot has it \\(judgements\\)",
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


def test_a_snapshot_that_an_earlier_version_took_leaves_as_it_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    today = snapshots.content

    def earlier(data: StudyData) -> bytes:
        return json.dumps({name: part for name, part in json.loads(today(data)).items() if name != "version"}, indent=2).encode()

    with monkeypatch.context() as then:
        then.setattr(snapshots, "content", earlier)
        house, study_id = conducted(f"sqlite:///{tmp_path / 'study.db'}")
    with house.db.read() as session:
        taken = snapshots.stored(session, study_id)
    assert audit_check.database(house.db)["snapshots"] == 1
    (tmp_path / "export.zip").write_bytes(bundle(house.db, house.coordinator, study_id)[1])
    assert read(tmp_path / "export.zip")["snapshot.json"] == taken
    assert audit_check.bundle(tmp_path / "export.zip", house.db)["judgements"] == 23
    house.db.close()


def test_checking_writes_nothing(whole: tuple[Path, Path]) -> None:
    folder = whole[0].parent
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    run("audit", "verify", whole[0])
    run("audit", "verify", whole[1], "--db", f"sqlite:///{whole[0]}")
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


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
    (tmp_path / "broken.zip").write_bytes(zipped(summed({**read(whole[1]), "seeds.json": b"[]"})))
    done = subprocess.run([*alone[:-1], str(tmp_path / "broken.zip")], capture_output=True, text=True)
    assert (done.returncode, done.stderr.startswith("BROKEN: a file is not as blindstrip writes it")) == (1, True)


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


def other_seed_committed(files: Files) -> Files:
    """As somebody would who computes the commitment anew too."""
    seeds = json.loads(files["seeds.json"])
    opened = seeds["rounds"][0]
    opened["plan"]["seed"] += 1
    opened["commitment"]["sha256"] = digest(opened["id"], opened["protocol_hash"], opened["commitment"]["nonce"], opened["plan"])
    return summed({**files, "seeds.json": json.dumps(seeds).encode()})


def never_committed(files: Files) -> Files:
    seeds = json.loads(files["seeds.json"])
    seeds["rounds"][0]["commitment"] = None
    return summed({**files, "seeds.json": json.dumps(seeds).encode()})


def said(files: Files, change: Callable[[dict[str, Any]], Any]) -> Files:
    told = json.loads(files["protocol.json"])
    change(told)
    return summed({**files, "protocol.json": json.dumps(told).encode()})


def swapped(rows: list[dict[str, str]]) -> None:
    rows[0]["position"], rows[1]["position"] = rows[1]["position"], rows[0]["position"]


def withheld(files: Files, action: str) -> Files:
    """An entry blanked as those of other studies are: the chain stays whole."""
    blank = dict.fromkeys(("at", "person", "action", "subject", "detail"), "")
    return rewritten(files, "audit.csv", lambda rows: entry(rows, action).update(blank))


CELLS = {  # (file, column) -> what somebody writes into the first row
    **{("judgements.csv", column): value for column, value in {"arm": "x", "called_synthetic": "x", "role": "control", "latest": "x"}.items()},
    **{("judgements.csv", column): "x" for column in ("comment", "site", "label", "viewing", "protocol_hash", "demo", "cues", "p_wave", "marks")},
    **{("judgements.csv", column): "7.5" for column in ("seconds", "position")},
    **{("cases.csv", column): "x" for column in ("arm", "role", "stand_in", "label", "strip_sha256")},
    **{("placements.csv", column): "x" for column in ("case", "protocol_hash")},
    **{("amendments.csv", column): "x" for column in ("change", "why", "by", "standing", "hash_before")},
    **{("rounds.csv", column): "x" for column in ("opened_at", "commitment", "closed_because")},
    **{("signatures.csv", "judgements_sha256"): "x", ("readers.csv", "site"): "x", ("readers.csv", "person"): "2", ("readers.csv", "reader"): "x"},
}


@pytest.mark.parametrize("where", CELLS, ids=" ".join)
def test_no_cell_of_a_table_can_say_something_else(whole: tuple[Path, Path], where: tuple[str, str]) -> None:
    name, column = where
    with pytest.raises(verify.Broken, match=f"{name}: does not say what the snapshot says: "):
        verify.verify(rewritten(read(whole[1]), name, lambda rows: rows[0].update({column: CELLS[where]})))


def test_the_order_of_rows_says_nothing_and_a_column_more_does(whole: tuple[Path, Path]) -> None:
    files = read(whole[1])
    for name in ("judgements.csv", "cases.csv", "placements.csv"):
        files = rewritten(files, name, lambda rows: rows.reverse())
    assert verify.verify(files)["judgements"] == 23
    with pytest.raises(verify.Broken, match=r"cases.csv: does not say what the snapshot says: truth of case"):
        verify.verify(rewritten(files, "cases.csv", lambda rows: [row.update(truth="real") for row in rows]))


def test_an_order_that_does_not_follow_from_the_seed_is_named(whole: tuple[Path, Path]) -> None:
    """Where the database was changed before its snapshot was taken, so that the bundle agrees with itself."""
    with pytest.raises(StudyError, match=r"the order of R0. in round 1 does not follow"):
        audit_check._orders(rewritten(read(whole[1]), "placements.csv", swapped))


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
    "a seed": (other_seed, "seeds.json: does not say what the snapshot says: rounds"),
    "a seed with another commitment": (other_seed_committed, "seeds.json: does not say what the snapshot says: rounds"),
    "no commitment": (never_committed, "seeds.json: does not say what the snapshot says: rounds"),
    "an order": (lambda files: rewritten(files, "placements.csv", swapped), "placements.csv: does not say what the snapshot says"),
    "a case left out": (lambda files: rewritten(files, "cases.csv", lambda rows: rows.pop()), "cases.csv: does not say .*one too many"),
    "a case twice": (lambda files: rewritten(files, "cases.csv", lambda rows: rows.append(rows[0])), "cases.csv: does not say .*one too many"),
    "no amendment": (lambda files: summed({**files, "amendments.csv": files["amendments.csv"].split(b"\n")[0]}), "amendments.csv: does not say"),
    "no signature": (lambda files: summed({**files, "signatures.csv": files["signatures.csv"].split(b"\n")[0]}), "signatures.csv: does not say"),
    "the title": (lambda files: said(files, lambda told: told.update(title="x")), "protocol.json: does not say what the snapshot says: title"),
    "a rule": (lambda files: said(files, lambda told: told["rules"].update(margin=0.4)), "protocol.json: does not say .*: rules"),
    "a rule as it froze": (lambda files: said(files, lambda told: told["frozen"]["rules"].update(margin=0.4)), "protocol.json: .*: frozen"),
    "why it was amended": (lambda files: said(files, lambda told: told["amendments"][0].update(reason="x")), "protocol.json: .*: amendments"),
    "a word of the form": (lambda files: said(files, lambda told: told["form"]["cues"].pop()), "rules and words of the form are not those"),
    "the unblinding withheld": (lambda files: withheld(files, "unblinded"), "audit.csv: the entry of the unblinding is missing or withheld"),
    "an amendment withheld": (lambda files: withheld(files, "protocol amended"), "audit.csv: protocol amended .* alone"),
    "a closing withheld": (lambda files: withheld(files, "round closed"), "audit.csv: round closed .* alone"),
    "a signing withheld": (lambda files: withheld(files, "round signed"), "signatures.csv: does not say"),
    "a commitment withheld": (lambda files: withheld(files, "seeds committed to"), "the commitment of round 1 is not the one in the audit trail"),
    "a file of another make": (lambda files: summed({**files, "seeds.json": b"[]"}), "is not as blindstrip writes it"),
    "no round in a table of orders": (
        lambda files: rewritten(files, "placements.csv", lambda rows: [row.pop("round") for row in rows]),
        "is not as blindstrip writes it",
    ),
    "a table without a column": (lambda files: summed({**files, "readers.csv": b"a\n1\n"}), "is not as blindstrip writes it"),
}


@pytest.mark.parametrize("what", FAKES)
def test_whatever_was_changed_in_a_bundle_is_named(whole: tuple[Path, Path], tmp_path: Path, what: str) -> None:
    fake, words = FAKES[what]
    (tmp_path / "fake.zip").write_bytes(zipped(fake(read(whole[1]))))
    with pytest.raises(StudyError, match=words):
        audit_check.bundle(tmp_path / "fake.zip")
