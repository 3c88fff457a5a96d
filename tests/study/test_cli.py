"""Every command from its arguments to its JSON."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from generator.recordings import read_manifest
from storage.database import Database
from study import reading, rounds, training_report
from study.people import person_by_username
from tests.generator import tiny_training
from tests.study.cli_calls import PASSWORD, Run, add, call, fails, run
from tests.study.hospital import answer, just_now, open_gate
from tests.wfdb_files import edit_header, signals, write_record

# ---- recordings ----


def test_real_recordings_come_in_once(ask: Run, shared: Path, tmp_path: Path) -> None:
    ptbxl = shared / "data" / "ptbxl"
    with (ptbxl / "ptbxl_database.csv").open(encoding="utf-8") as lines:
        (tmp_path / "some.csv").write_text("".join(line for _, line in zip(range(13), lines, strict=False)), encoding="utf-8")
    assert ask("import", ptbxl, "--labels", tmp_path / "some.csv") == {"imported": 12, "already_present": 0, "refused": {}, "dropped": {}}
    assert ask("import", ptbxl, "--labels", tmp_path / "some.csv") == {"imported": 0, "already_present": 12, "refused": {}, "dropped": {}}


def test_what_is_refused_and_left_out_is_told_beside_the_answer(ward: Path, tmp_path: Path, url: str) -> None:
    folder = tmp_path / "ward"
    for i in range(3):
        write_record(folder, f"ecg{i}", signals(i))
    edit_header(folder / "ecg1", " V6\n", " RESP\n")
    (folder / "labels.csv").write_text("record,rhythm\necg0,NSR\necg1,NSR\necg2,SVT\n")
    status, out, err = call("import", folder, "--db", url, "--json")
    assert (status, json.loads(out)) == (0, {"imported": 1, "already_present": 0, "refused": {"missing lead": 1}, "dropped": {}})
    assert "refused: ecg1: no lead V6" in err
    assert "left out: 1 rows of the table, rhythm 'SVT'" in err
    assert "2/2 recordings" in err  # the bar


# ---- strips ----


def test_training_goes_on_where_it_stopped_and_its_checkpoint_draws(ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generator.sssd import train

    tiny = tiny_training.small()
    monkeypatch.setattr(train, "Settings", lambda **_: tiny)
    monkeypatch.setattr(training_report, "MEASURED", 2)
    few = tmp_path / "few.csv"
    with (ward / "labels.csv").open() as lines:
        few.write_text("".join(line for line in lines if not line.startswith("ecg0,")))
    out = tmp_path / "checkpoint"
    arguments = ("train", "--records", ward, "--labels", few, "--folds", "1-3", "--out", out, "--device", "cpu")
    first = run(*arguments, "--minutes", 0.002)
    assert first["recordings"] == 23
    assert first["strips"] == {"NSR": 11, "AF": 12}
    assert first["seconds"] >= 0.1
    assert Path(first["report"]).read_text().count("<h3>After") == 1
    again = run(*arguments, "--minutes", 0.002)
    assert again["iterations"] == first["iterations"]
    further = run(*arguments, "--minutes", first["seconds"] / 60 + 0.005)
    assert further["iterations"] > first["iterations"]
    assert "other recordings, settings or seed" in fails(*arguments, "--minutes", 1, "--seed", 1)
    assert "its table has 1, 2, 3" in fails(*arguments, "--folds", "4-9", "--minutes", 1)
    monkeypatch.setattr("generator.quality_control.check", lambda *_: None)  # so short a training draws noise
    made = run("sample", "--rhythm", "AF", "--n", 4, "--seed", 1, "--steps", 4, "--checkpoint", out, "--out", tmp_path / "drawn")
    assert made["checkpoint"] == further["checkpoint"]


def test_the_same_seed_draws_the_same_strips(tmp_path: Path) -> None:
    def hashes(name: str, seed: int) -> list[str]:
        run("sample", "--rhythm", "AF", "--n", 3, "--seed", seed, "--steps", 4, "--heart-rate", 80, "--out", tmp_path / name)
        return [strip["sha256"] for strip in read_manifest(tmp_path / name / "manifest.json")["strips"]]

    assert hashes("a", 7) == hashes("b", 7)
    assert not set(hashes("c", 8)) & set(hashes("d", 9))
    manifest = read_manifest(tmp_path / "a" / "manifest.json")
    assert (manifest["steps"], manifest["heart_rate"], manifest["seed"], manifest["sampler"]) == (4, 80, 7, "dpm++2m-sde")


def test_a_folder_in_use_is_refused_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generator.sssd import draw

    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(draw, "load", lambda *given: pytest.fail("began to draw"))
    assert "holds files already" in fails("sample", "--rhythm", "AF", "--n", 3, "--seed", 1, "--out", tmp_path)


def test_utility_takes_rhythms_that_were_drawn_apart(ward: Path, drawn: dict[str, Path]) -> None:
    folders = ("--train-real", ward, "--train-folds", "1-2", "--test-real", ward, "--test-folds", 3, "--synthetic", *drawn.values())
    found = run("utility", *folders, "--quick", "--seeds", 1)
    strips = sum(len(read_manifest(folder / "manifest.json")["strips"]) for folder in drawn.values())
    sizes = found["TRTS"]["logistic regression"]["n"]
    assert sum(sizes["test"].values()) == sizes["test_patients"] == strips  # the same seed and number in both folders are two strips
    assert found["TRTR"]["logistic regression"]["n"]["test"] == {"AF": 4, "NSR": 4}
    assert 0 <= found["TSTR"]["gradient boosting"]["macro_f1"] <= 1
    assert set(found["experiments"]) == {"TRTR", "TSTR", "TRTS", "TSTS", "TRSTR"}
    assert (found["published"]["f1"], found["seeds"]) == ({"TSTR": 0.80, "TRTS": 0.91}, 1)


def test_the_leak_gate_looks_at_folders(ward: Path, drawn: dict[str, Path]) -> None:
    report = run("leak", "--real", ward, "--synthetic", *drawn.values(), "--n", 11)
    assert report["verdict"] in ("open", "warn", "refuse")
    assert (report["real"], report["synthetic"]) == (11, 11)
    assert "13 NSR strips were asked for in each arm, 12 are there" in fails("leak", "--real", ward, "--synthetic", *drawn.values(), "--n", 25)


# ---- people, studies, rounds ----


def test_people_are_added_and_listed(ask: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"short\n\n{PASSWORD}\n"))
    assert "--role admin" in fails("people", "add", "ada", "--name", "Ada", "--db", url)
    for words in ("at least 10", "There is no password"):
        assert words in fails("people", "add", "Ada", "--name", "Ada Lovelace", "--role", "admin", "--db", url)
    first = ask("people", "add", "Ada", "--name", "Ada Lovelace", "--role", "admin")
    assert first == {"username": "ada", "name": "Ada Lovelace", "role": "admin", "site": None, "demo": False}
    assert ask("people", "list") == {"people": [first]}
    ben = ask("people", "add", "ben", "--name", "Ben", "--site", "North", "--email", "Ben@north.org")
    assert ben["link"].startswith("/join?link=")
    assert ask("people", "link", "ben")["link"] != ben["link"]
    assert ask("people", "role", "ben", "researcher")["role"] == "researcher"
    assert ask("people", "email", "ben")["username"] == "ben"
    assert "will not do" in fails("people", "email", "ben", "nowhere", "--db", url)
    with Database(url).read() as session:
        assert session.execute(text("SELECT count(*) FROM sign_in WHERE ended_at IS NULL")).scalar() == 0  # nobody is left signed in


def test_a_study_from_its_first_person_to_its_export(ask: Run, url: str, ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for username, role in (("adam", "admin"), ("cora", "coordinator"), ("remy", "researcher"), ("ada", "reader"), ("ben", "reader")):
        add(ask, tmp_path, username, role)
    assert ask("import", ward)["imported"] == 24
    created = ask("study", "create", "Sinus rhythm and AF", "--readers", "ada", "ben", "--margin", 0.15, "--as", "cora")
    number = created["study"]
    [listed] = ask("study", "list")["studies"]
    assert (listed["id"], listed["state"], listed["readers"], listed["done"]) == (number, "set up", 2, 0)

    opening = ("round", "open", "sinus rhythm and af", "--cases", 20, "--repeat-share", 0, "--steps", 4)
    plan = ask(*opening, "--check")
    assert plan["available"] == {"NSR": 12, "AF": 12}
    assert plan["shares"] == {"synthetic": 0.5, "af": 0.5, "repeat": 0}
    assert (plan["cases_a_reader"], plan["cases_of_the_round"]) == ([20, 20], 20)
    assert "The leak gate is shut" in fails(*opening, "--seed", 1, "--db", url)  # simulated hearts against drawn ones
    assert ask("study", "show", number)["refused_openings"] == 1
    monkeypatch.setattr(rounds, "leak_gate", open_gate)
    round_id = ask(*opening, "--seed", 2)["round"]
    shown = ask("study", "show", number)
    assert shown["rounds"][0]["cases"] == 20
    assert {row["label"] for row in shown["order_diagnostics"][0]["labels"]} == {"AF"}
    assert "seed" not in shown["rounds"][0]["plan"]

    right = read_all(url, round_id)
    assert "still blind" in fails("results", number, "--db", url)
    assert "still blind" in fails("export", number, "--db", url, "--out", tmp_path)
    assert "0 of 2 signatures" in fails("unblind", "ask", number, "--as", "cora", "--db", url)
    assert "reason: write 1 to" in fails("round", "close", number, 1, "--as", "cora", "--db", url)
    assert ask("round", "close", number, 1, "--as", "cora", "--reason", "a pilot") == {"study": number, "closed": 1}
    assert ask("unblind", "ask", number, "--as", "cora", "--reason", "a pilot") == {"study": number, "asked_by": "cora"}
    assert "Another person has to confirm" in fails("unblind", "confirm", number, "--as", "cora", "--db", url)
    assert "Ada (reader) may not" in fails("unblind", "confirm", number, "--as", "ada", "--db", url)
    assert ask("unblind", "confirm", number, "--as", "remy") == {"study": number, "confirmed_by": "remy"}

    found = ask("results", number)
    [accuracy] = [row for row in found["realism"] if (row["group"], row["rhythm"], row["figure"]) == ("all", "all", "accuracy")]
    assert (accuracy["value"], accuracy["n"]) == (pytest.approx(sum(right()) / 40), 40)
    assert {row["value"] for row in found["utility"]} == {None}
    assert set(ask("study", "utility", number)) >= {"TSTR", "TRTS", "TRTR", "TSTS"}
    only = ask("results", number, "--table", "utility", "--table", "verdicts")
    assert "realism" not in only
    assert {row["experiment"] for row in only["utility"] if row["value"] is not None} >= {"TSTR", "TRTS"}

    assert {row["label"] for row in ask("study", "show", number)["order_diagnostics"][0]["labels"]} == {"AF", "synthetic"}
    for command in ("study list", f"study show {number}", f"results {number}"):  # and in words
        status, out, _ = call(*command.split(), "--db", url)
        assert status == 0
        assert "Sinus rhythm and AF" in out

    exported = ask("export", number, "--out", tmp_path / "bundles")
    with zipfile.ZipFile(exported["file"]) as archive:
        answers = list(csv.DictReader(io.StringIO(archive.read("judgements.csv").decode())))
        trail = archive.read("audit.csv").decode()
    assert (len(answers), Path(exported["file"]).stat().st_size) == (40, exported["bytes"])
    assert "round refused by the leak gate" in trail
    assert ask("audit", "verify")["audit_entries"] > 40
    checked = ask("audit", "verify", exported["file"])
    assert (checked["judgements"], checked["orders"]) == (40, "2 orders follow from the seeds")


def test_a_practice_and_a_round_of_rotating_cases(ask: Run, url: str, ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for username, role in (("adam", "admin"), ("ada", "reader"), ("ben", "reader"), ("cai", "reader")):
        add(ask, tmp_path, username, role, "South" if username == "cai" else "North")
    assert ask("import", ward)["imported"] == 24
    number = ask("study", "create", "Anchors", "--readers", "ada", "ben", "cai", "--min-repeat-distance", 3)["study"]
    practice = ("round", "practice", number, "--cases", 4, "--steps", 4, "--seed", 3)
    assert ask(*practice, "--check") == {"cases": {"real NSR": 1, "real AF": 1, "synthetic NSR": 1, "synthetic AF": 1}}
    opened = ask(*practice, "--pass-mark", 0.5)["practice"]
    assert "one a study" in fails(*practice, "--db", url)
    shown = ask("study", "show", number)
    assert (shown["practice"]["id"], shown["practice"]["plan"]["pass_mark"], shown["rounds"]) == (opened, 0.5, [])

    plan = ("round", "open", number, "--cases", 16, "--repeat-share", 0.1, "--controls", 1, "--anchors", 6, "--readings", 2, "--steps", 4)
    checked = ask(*plan, "--check")
    assert (checked["cases_a_reader"], checked["cases_of_the_round"]) == ([16, 16], 2 + 2 + 6 + 9)
    assert "6 scored that all read" in checked["plan"]
    monkeypatch.setattr(rounds, "leak_gate", open_gate)
    ask(*plan, "--seed", 3)
    shown = ask("study", "show", number)
    assert [reader["total"] for reader in shown["readers"]] == [16, 16, 16]
    assert shown["rounds"][0]["plan"]["controls"] == 1
    for telling in ("seed", "seeds"):
        assert telling not in shown["practice"]["plan"]


def read_all(url: str, round_id: int) -> Callable[[], list[bool]]:
    """Both readers call every other case synthetic; says, after unblinding, which calls were right."""
    db = Database(url)
    calls: list[tuple[str, bool]] = []
    for username in ("ada", "ben"):
        reader = person_by_username(db, username)
        assert reader is not None
        while (case := reading.next_case(db, reader, round_id)) is not None:
            synthetic = case.position % 2 == 0
            reading.submit(db, reader, case.code, answer(5 if synthetic else 2), just_now())
            calls.append((case.code, synthetic))

    def right() -> list[bool]:
        with db.read() as session:
            query = "SELECT code, arm FROM reading_case JOIN truth USING (strip_id)"
            arms = {row.code: row.arm for row in session.execute(text(query))}
        db.close()
        return [(arms[code] == "synthetic") == synthetic for code, synthetic in calls]

    return right


# ---- the installation ----


def test_the_demo_is_made_in_an_empty_database_and_the_trail_holds(ask: Run, url: str) -> None:
    made = ask("demo")
    assert made["made"] is True
    assert {one["role"] for one in made["people"]} == {"reader", "coordinator", "researcher"}
    assert ask("demo")["made"] is False
    assert {one["state"] for one in ask("study", "list")["studies"]} == {"unblinded", "reading"}  # asked by the only coordinator
    entries = ask("audit", "verify")["audit_entries"]
    with Database(url).write() as session:
        for (trigger,) in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")).all():
            session.execute(text(f"DROP TRIGGER {trigger}"))
        session.execute(text("UPDATE audit SET person_id = NULL WHERE action = 'unblinded'"))
    sentence = fails("audit", "verify", "--db", url)
    assert entries > 200
    assert "(unblinded) was changed after it was written" in sentence


def test_answers_for_people_are_readable(ward: Path, url: str) -> None:
    status, out, _ = call("import", ward, "--db", url)
    assert (status, out) == (0, "imported: 24\nalready present: 0\nrefused: -\ndropped: -\n")
