"""Whatever goes wrong is one sentence on standard error and status 2; an answer is alone on standard output."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from generator.recordings import TABLES
from study import cli
from study.commands import audit
from tests.study.cli_calls import PASSWORD, add, call, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "COMMAND"),
        ("dance", "invalid choice: 'dance'"),
        ("people dance", "invalid choice: 'dance'"),
        ("people list --db nonsense", "is no database URL"),
        ("people list --db mysql://host/name", "SQLite or PostgreSQL"),
        ("people list --db sqlite://", "in memory"),
        ("people list --db sqlite:////dev/null/a.db", "cannot be made"),
        ("people list --db sqlite:///{ward}/labels.csv", "not a database"),
        ("people list --db {url}", "people add USERNAME"),
        ("people list --db {url} --as nobody", "nobody with the user name 'nobody'"),
        ("people add ada --db {url}", "--name"),
        ("people add ada --name Ada --role queen --db {url}", "invalid choice: 'queen'"),
        ("people add ada --name Ada --role admin --password-file {ward} --db {url}", "Is a directory"),
        ("import {ward}/nothing --db {url}", "no such folder"),
        ("import {ward} --labels {ward}/nothing.csv --db {url}", "no such file"),
        ("import {ward} --labels {ward}/ecg1.hea --db {url}", "of no known kind"),
        ("import {NSR} --db {url}", "not recorded from patients"),
        ("train --records {ward} --out {tmp} --minutes none", "'none' is no number above 0"),
        ("train --records {ward} --out {tmp} --minutes nan", "'nan' is no number above 0"),
        ("train --records {ward} --out {tmp} --minutes 1 --folds 8-1", "neither a fold nor a range"),
        ("train --records {ward} --out {tmp} --minutes 1 --device cuda:99", "no device 'cuda:99'"),
        ("train --records {ward} --out {tmp} --minutes 1 --device toaster", "no device 'toaster'"),
        ("train --records {ward} --out {ward}/labels.csv --minutes 1", "cannot be made"),
        ("sample --rhythm VT --n 1 --seed 1 --out {tmp}", "invalid choice: 'VT'"),
        ("sample --rhythm AF --n 0 --seed 1 --out {tmp}", "n is 0"),
        ("sample --rhythm AF --n some --seed 1 --out {tmp}", "invalid int value: 'some'"),
        ("sample --rhythm AF --n 1 --seed -1 --out {tmp}", "seed is -1"),
        ("sample --rhythm AF --n 1 --seed 1 --steps 1000 --out {tmp}", "steps is 1000"),
        ("sample --rhythm AF --n 1 --seed 1 --guidance nan --out {tmp}", "guidance is nan"),
        ("sample --rhythm AF --n 1 --seed 1 --checkpoint {ward} --out {tmp}/new", "config.json does not exist"),
        ("sample --rhythm AF --n 1 --seed 1 --out {tmp}/new --scheduler tcp://nowhere:1 --device cpu", "Leave --device out"),
        ("sample --rhythm AF --n 9 --seed 5 --out {AF}", "holds files already"),
        ("leak --real {ward} --synthetic {NSR} --seed -1", "no whole number of 0 or more"),
        ("leak --real {ward} --synthetic {NSR} --n 1", "no whole number of 2 or more"),
        ("leak --real {ward} --synthetic {tmp}/nothing", "no such folder"),
        ("utility --train-real {ward} --test-real {ward} --synthetic", "expected at least one argument"),
        ("utility --train-real {ward} --test-real {ward} --synthetic {AF} {NSR}", "24 patients are in both --train-real and --test-real"),
        ("utility --train-real {ward} --train-folds 1 --test-real {ward} --test-folds 2 --synthetic {ward}", "both --train-real and --synthetic"),
        ("utility --train-real {ward} --test-real {ward} --synthetic {AF} --seeds 0", "no whole number of 1 or more"),
        ("study show 1 --db {url}", "people add USERNAME"),
        ("demo --db {url} --for me", "unrecognized arguments"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    command: str, words: str, ward: Path, drawn: dict[str, Path], url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [part.format(ward=ward, url=url, tmp=tmp_path, **drawn) for part in shlex.split(command)]
    assert (cli.main([*arguments, "--json"] if arguments else []), words) == (2, words)
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("blindstrip: ")
    assert err.count("\n") == 1
    assert "fault of blindstrip" not in err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("people list", "2 people have the role admin. Say who asks with --as: ada, ben"),
        ("people add ada --name Ada --site North --as ada", "'ada' is taken"),
        ("people add cai --name Cai --as ada", "has no site"),
        ("study show 7 --as ada", "no study '7'. See: blindstrip study list"),
        ("study show Nothing --as ada", "no study 'Nothing'"),
        ("study create Twice --as ada", "study called 'Twice' already"),
        ("study create Other --readers nobody --as ada", "nobody with the user name 'nobody'"),
        ("study create Other --readers ben --as ada", "not a reader"),
        ("study create Other --margin 0.7 --as ada", "margin"),
        ("study create Other --margin nan --as ada", "margin"),
        ("study create Other --washout-days -1 --as ada", "washout_days"),
        ("round open Twice --as ada", "has no readers"),
        ("round open Twice --cases many --as ada", "invalid int value: 'many'"),
        ("round open Read --cases 0 --as ada", "cases"),
        ("round open Read --af-share nan --as ada --check", "af_share"),
        ("round open Read --seed -1 --as ada", "seed"),
        ("round open Read --steps 0 --as ada", "steps"),
        ("round open Read --as ada", "NSR needed, 0 there"),
        ("round open Read --anchors 4 --as ada", "readings: None is out of range"),
        ("round open Read --readings 1 --as ada", "readings: this counts where"),
        ("round open Read --anchors 4 --readings 2 --as ada", "the study has 1 readers"),
        ("round open Read --controls -1 --as ada", "controls"),
        ("round open Read --earlier-repeats 0.1 --as ada", "no earlier round"),
        ("round practice Read --as ada", "NSR needed, 0 there"),
        ("round practice Read --cases 5 --as ada", "an even number"),
        ("round practice Read --pass-mark 75 --as ada --check", "pass_mark"),
        ("unblind ask Read --as ada", "no judgement yet"),
        ("unblind confirm Read --as ada", "Nobody has asked"),
        ("results Read --as ada", "still blind"),
        ("results Read --as ada --table gossip", "invalid choice: 'gossip'"),
        ("export Read --as ada --out {password}", "cannot be made"),
        ("study utility Read --as ada", "still blind"),
        ("demo", "real people"),
    ],
)
def test_what_a_study_does_not_allow_is_one_sentence(house: dict[str, str], command: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [part.format(**house) for part in shlex.split(command)]
    assert (cli.main([*arguments, "--db", house["url"], "--json"]), words) == (2, words)
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("blindstrip: ")
    assert err.count("\n") == 1
    assert "fault of blindstrip" not in err


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two admins and a reader, two studies, no recording."""
    folder = tmp_path_factory.mktemp("house")
    url = f"sqlite:///{folder / 'study.db'}"

    def ask(*arguments: object) -> dict[str, Any]:
        return run(*arguments, "--db", url)

    for username, role in (("ada", "admin"), ("rosa", "reader"), ("ben", "admin")):
        add(ask, folder, username, role)
    ask("study", "create", "Twice", "--as", "ada")
    ask("study", "create", "Read", "--readers", "rosa", "--as", "ada")
    return {"url": url, "password": str(folder / "password")}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "stopped"),
        (PermissionError(13, "Permission denied", "/somewhere"), "/somewhere: Permission denied. Check"),
        (ValueError("several\nlines"), "ValueError: several lines. This is a fault of blindstrip"),
    ],
)
def test_even_what_nobody_foresaw_is_one_sentence(error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_given: object) -> dict[str, Any]:
        print("a library's chatter")
        raise error

    monkeypatch.setattr(audit, "verify", broken)
    status, out, err = call("audit", "verify", "--json")
    assert (status, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err


# ---- as a program ----


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "study.cli", *map(str, arguments)]


def test_the_program_answers_on_standard_output_alone(ward: Path, url: str) -> None:
    done = subprocess.run(program("import", ward, "--db", url, "--json"), capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"imported": 24, "already_present": 0, "refused": {}, "dropped": {}})
    assert "24/24 recordings" in done.stderr


def test_the_program_refuses_with_status_2(tmp_path: Path) -> None:
    done = subprocess.run(program("import", tmp_path, "--db", f"sqlite:///{tmp_path}/a.db", "--json"), capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"blindstrip: {tmp_path}: no table of labels ({', '.join(TABLES)}). Name it, or write labels.csv: record,rhythm,patient.\n"


def test_whoever_stops_listening_ends_the_program_quietly(url: str) -> None:
    adding = program("people", "add", "ada", "--name", "Ada", "--role", "admin", "--db", url)
    with subprocess.Popen(adding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdin
        assert process.stderr
        process.stdout.close()
        process.stdin.write(PASSWORD + "\n")
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 2
