"""Strips into a folder: whatever is killed, and whenever, the same command brings the folder to the same end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator.errors import GeneratorError
from generator.recordings import Journal, WrittenStrip, find
from generator.recordings.journal import JOURNAL
from generator.request import DrawRequest
from study import sampling
from study.errors import StudyError
from tests.namespaces import machines
from tests.study.cli_calls import call, fails, run
from tests.study.waiting import until

pytestmark = pytest.mark.xdist_group("runner")  # with test_runner.py: two Dask clusters at once are slow on two cores
ROOT = Path(__file__).parents[2]

N, REJECTED = 6, 3
MADE = {"checkpoint": "c" * 64, "device": "some CPU", "torch": "2.13.0", "quality_control": "1, copies checked"}


class Killed(BaseException):
    """The end of a program, as far as a test in this process can have it."""


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _strips_begun(folder: Path) -> int:
    """Lines of strips in the journal of a folder that is being drawn into."""
    with suppress(FileNotFoundError):
        return (folder / JOURNAL).read_bytes().count(b"sha256")
    return 0


# ---- commands that draw with the checkpoint that ships ----

FEW = ("sample", "--rhythm", "AF", "--n", 8, "--seed", 5, "--steps", 20)
COMMAND = (*FEW, "--n", 30)  # of which two workers have a chunk each when the first strips are written


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    made = run(*COMMAND, "--out", folder)
    assert made["continued_from"] == 0
    assert made["drawn"] > 20
    return _files(folder)


def test_a_killed_command_goes_on_to_the_same_folder(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    program = [sys.executable, "-m", "study.cli", *map(str, COMMAND), "--out", str(tmp_path)]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        until(lambda: _strips_begun(tmp_path) >= 2)
        process.kill()
    there = _strips_begun(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    made = run(*COMMAND, "--out", tmp_path)
    assert 2 <= there == made["continued_from"] < made["drawn"]
    assert _files(tmp_path) == undisturbed
    assert "holds files already" in fails(*COMMAND, "--out", tmp_path)


def test_a_stopped_command_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Journal.write

    def write_and_stop(journal: Journal, strip: WrittenStrip) -> None:
        write(journal, strip)
        if journal.strips == 5:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "write", write_and_stop)
        sentence = fails(*FEW, "--out", tmp_path)
    assert sentence == f"blindstrip: Stopped. What was drawn is in {tmp_path}; the same command goes on."
    assert run(*FEW, "--out", tmp_path)["continued_from"] == 5


def test_what_quality_control_rejected_is_told_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(counts: Any, *_: object) -> str | None:
        return "AF with P waves" if int(np.abs(counts.astype(int)).sum()) % 2 else None

    monkeypatch.setattr("generator.quality_control.check", odd)
    command = (*FEW, "--steps", 4)
    _, _, told = call(*command, "--out", tmp_path / "one", "--json")
    made = run(*command, "--out", tmp_path / "other")
    rejected = made["rejected"]
    assert 0 < rejected < 8
    assert made["drawn"] == 8 - rejected
    assert made["rejected_reasons"] == {"AF with P waves": rejected}
    assert made["rejected_share"] == rejected / 8
    assert f"{rejected} of 8 samples were rejected ({100 * rejected / 8:.1f} %): AF with P waves: {rejected}." in told
    assert ("More than 10 % had to be rejected" in told) == (rejected > 0.8)
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_text())
    assert [one["reason"] for one in manifest["rejected"]] == ["AF with P waves"] * rejected
    assert manifest["quality_control"] == made["quality_control"]
    assert ("Copies of training strips were not looked for" in told) == made["quality_control"].endswith("not checked")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a Dask scheduler, and its two workers: each in a network of its own where this machine allows that."""
    where, processes = tmp_path / "scheduler.json", []

    def start(kind: str, begins: list[str], host: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [*begins, sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", host, "--no-dashboard", *map(str, arguments)]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return processes[-1]

    with machines(2) as (here, others):
        try:
            start("scheduler", [], here, "--port", 0, "--scheduler-file", where)
            until(lambda: where.exists() and where.read_text().rstrip().endswith("}"))
            address, own = json.loads(where.read_text())["address"], ("--nthreads", 1, "--no-nanny", "--local-directory")
            yield address, [start("worker", *machine, address, *own, tmp_path / f"worker {i}") for i, machine in enumerate(others)]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_a_cluster_that_loses_a_worker_draws_every_strip_once(
    tmp_path: Path, undisturbed: dict[str, bytes], cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = cluster
    until(lambda: _connected(address) == 2)
    out = tmp_path / "out"
    unfinished = []

    def kill_one() -> None:
        until(lambda: _strips_begun(out) >= 1)
        workers[0].kill()
        workers[0].wait()
        unfinished.append((out / JOURNAL).exists())

    killing = threading.Thread(target=kill_one)
    killing.start()
    made = run(*COMMAND, "--out", out, "--scheduler", address)
    killing.join()
    assert unfinished == [True]
    assert workers[1].poll() is None
    assert made["continued_from"] == 0
    assert _files(out) == undisturbed


def _connected(address: str) -> int:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return len(client.nthreads())


# ---- drawings made up for the test ----


def _draw(made: dict[str, Any] | None = None, *, workers: int = 1, all_rejected: bool = False) -> sampling.Draw:
    """Noise, out of order, in pieces; with more than one worker, every other one has another device. Says what it drew in `drawn`."""

    def pieces(request: DrawRequest, skip: Collection[int], told: sampling.Told) -> Generator[sampling.Piece]:
        from generator.sssd.draw import Drawn

        for piece, number in enumerate(reversed([number for number in range(request.n) if number not in skip])):
            counts = np.random.default_rng([request.seed, number]).integers(-900, 900, (8, 1000)).astype(np.int16)
            rejected = all_rejected or number == REJECTED
            provenance = {**request.as_dict(), **MADE, **(made or {})}
            if piece % workers:
                provenance["device"] = "some GPU"
            told(piece + 1)
            yield [Drawn(number, None if rejected else counts, "flat" if rejected else None, {"rhythm": request.rhythm})], provenance

    return pieces


def _sample(out: Path, draw: sampling.Draw | None = None, **changed: Any) -> sampling.Sampled:
    out.mkdir(exist_ok=True)
    request = DrawRequest(**{"rhythm": "AF", "n": N, "seed": 7, **changed})
    with Journal(out) as journal:
        return sampling.sample(request, journal, draw or _draw(), lambda done, total: None)


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """The folder as it comes out undisturbed."""
    _sample(tmp_path / "whole")
    return _files(tmp_path / "whole")


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which everything was drawn, when the program was killed."""
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "finish", _killed)
        with pytest.raises(Killed):
            _sample(tmp_path / "begun")
    return tmp_path / "begun"


def _killed(*_: object) -> None:
    raise Killed


def test_a_finished_folder_holds_records_and_a_manifest(tmp_path: Path, whole: dict[str, bytes]) -> None:
    manifest = json.loads(whole["manifest.json"])
    names = [strip["record"] for strip in manifest["strips"]]
    assert names == sorted(names)
    assert {strip["number"] for strip in manifest["strips"]} == set(range(N)) - {REJECTED}
    assert manifest["rejected"] == [{"number": REJECTED, "reason": "flat"}]
    assert (manifest["n"], manifest["seed"], manifest["checkpoint"]) == (N, 7, MADE["checkpoint"])
    assert set(whole) == {f"{name}.{kind}" for name in names for kind in ("dat", "hea")} | {"manifest.json"}
    assert len(find(tmp_path / "whole").candidates) == N - 1


@pytest.mark.parametrize("renamed", [*range(2 * (N - 1) + 1)])
def test_wherever_a_program_ends_the_next_one_goes_on(tmp_path: Path, whole: dict[str, bytes], renamed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends when so many files are whole, and the next one lies there under another name."""
    out, replace = tmp_path / "out", os.replace
    moved: list[Any] = []

    def replace_or_end(source: Any, target: Any) -> None:
        if len(moved) == renamed:
            raise Killed
        replace(source, target)
        moved.append(target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace_or_end)
        with pytest.raises(Killed):
            _sample(out)
    done = _sample(out)
    assert done.continued_from == renamed // 2
    assert (done.drawn, done.rejected.total()) == (N - 1, 1)
    assert _files(out) == whole


def test_a_program_that_ends_after_the_manifest_has_only_to_tidy_up(tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "discard", _killed)
        with pytest.raises(Killed):
            _sample(tmp_path / "out")
    assert len(find(tmp_path / "out").candidates) == N - 1
    assert _sample(tmp_path / "out").continued_from == N - 1
    assert _files(tmp_path / "out") == whole


def _last_strip(folder: Path) -> Path:
    return folder / json.loads((folder / JOURNAL).read_text().splitlines()[-1])["record"]


def _cut(file: Path, to: int) -> None:
    file.write_bytes(file.read_bytes()[:to])


def _change(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def _append(folder: Path, tail: bytes) -> None:
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(tail)


DAMAGE: dict[str, tuple[Callable[[Path], object], int]] = {  # what happened, and how many strips it costs
    "half a line": (lambda folder: _cut(folder / JOURNAL, -40), 1),
    "a line without its end": (lambda folder: _cut(folder / JOURNAL, -1), 1),
    "half a line more": (lambda folder: _append(folder, b'{"record": "0123'), 0),
    "zeros": (lambda folder: _append(folder, b"\0" * 4096), 0),
    "a line of something else": (lambda folder: _append(folder, b'\xff "rejected"\n[1]\n7\n{"number": "x", "reason": 1}\n{}\n'), 0),
    "a line that names another record": (lambda folder: _append(folder, b'{"number": 2, "record": "../../etc", "sha256": ""}\n'), 1),
    "numbers that are none": (
        lambda folder: _append(folder, b'{"number": -1}\n{"number": 1e999}\n{"settings": {"seed": -1}}\n' + b"[" * 9000 + b"\n"),
        0,
    ),
    "other samples": (lambda folder: _change(_last_strip(folder).with_suffix(".dat"), 2000), 1),
    "another header": (lambda folder: _change(_last_strip(folder).with_suffix(".hea"), 40), 1),
    "few samples": (lambda folder: _cut(_last_strip(folder).with_suffix(".dat"), 2000), 1),
    "an empty header": (lambda folder: _cut(_last_strip(folder).with_suffix(".hea"), 0), 1),
    "no header": (lambda folder: _last_strip(folder).with_suffix(".hea").unlink(), 1),
    "a strip of nobody's": (lambda folder: shutil.copy(_last_strip(folder).with_suffix(".dat"), folder / "0123456789abcdef.dat.part"), 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_drawn_again(begun: Path, whole: dict[str, bytes], damage: str) -> None:
    happens, cost = DAMAGE[damage]
    happens(begun)
    done = _sample(begun)
    assert (done.continued_from, done.drawn) == (N - 1 - cost, N - 1)
    (begun / "0123456789abcdef.dat.part").unlink(missing_ok=True)
    assert _files(begun) == whole


@pytest.mark.parametrize(
    ("asked", "made", "words"),
    [
        ({"seed": 8}, {}, "seed 7 there, 8 here. Give the command it was begun with"),
        ({"rhythm": "NSR"}, {}, "rhythm AF there, NSR here"),
        ({"heart_rate": 60.0}, {}, "heart rate none there, 60.0 here"),
        ({"guidance": 2.0, "steps": 10}, {}, "steps 20 there, 10 here, guidance 1.0 there, 2.0 here"),
        ({"sampler": "ancestral", "steps": 10}, {}, "sampler dpm++2m-sde there, ancestral here"),
        ({"n": N - 1}, {}, f"was begun for {N} strips, not {N - 1}. Ask for {N} or more"),
        ({"n": N + 1}, {"checkpoint": "d" * 64}, "checkpoint cccccccccccc there, dddddddddddd here. Go on with the checkpoint"),
        ({"n": N + 1}, {"device": "some GPU"}, "device some CPU there, some GPU here. Go on with the same kind of device"),
        ({"n": N + 1}, {"torch": "2.6.0"}, "torch 2.13.0 there, 2.6.0 here. Go on with the same version"),
    ],
)
def test_other_settings_are_refused_and_change_nothing(begun: Path, asked: dict[str, Any], made: dict[str, Any], words: str) -> None:
    before = _files(begun)
    with pytest.raises(StudyError) as refused:
        _sample(begun, _draw(made), **asked)
    assert words in str(refused.value)
    assert _files(begun) == before


def test_steps_that_mean_nothing_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "finish", _killed)
        with pytest.raises(Killed):
            _sample(tmp_path / "out", _draw({"steps": 200}), sampler="ancestral", steps=20)
    assert _sample(tmp_path / "out", _draw({"steps": 200}), sampler="ancestral", steps=10).continued_from == N - 1


def test_more_strips_may_be_asked_for(tmp_path: Path, begun: Path) -> None:
    assert _sample(begun, n=N + 3).continued_from == N - 1
    _sample(tmp_path / "all at once", n=N + 3)
    assert _files(begun) == _files(tmp_path / "all at once")


def test_workers_of_two_kinds_do_not_draw_into_one_folder(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with pytest.raises(StudyError, match="workers differ: device some CPU there, some GPU here"):
        _sample(tmp_path / "out", _draw(workers=2))
    assert _sample(tmp_path / "out").continued_from == 1
    assert _files(tmp_path / "out") == whole


def test_where_every_sample_is_rejected_the_folder_is_empty_again(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"All 6 samples were rejected \(flat: 6\)"):
        _sample(tmp_path / "out", _draw(all_rejected=True))
    assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize("pieces", [0, 1])
def test_what_fails_at_the_start_leaves_nothing(tmp_path: Path, pieces: int) -> None:
    def fails_at_once(request: DrawRequest, skip: Collection[int], told: sampling.Told) -> Generator[sampling.Piece]:
        yield from [([], {**request.as_dict(), **MADE})] * pieces
        raise GeneratorError("no such rhythm")

    with pytest.raises(GeneratorError, match="no such rhythm"):
        _sample(tmp_path / "out", fails_at_once)
    assert _files(tmp_path / "out") == {}


def test_settings_of_which_nothing_came_bind_nobody(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text(json.dumps({"settings": {"seed": 8, "n": 9}}) + "\n")  # as a killed program leaves it
    assert _sample(tmp_path / "out").continued_from == 0


def test_an_unfinished_folder_is_not_taken_for_strips(begun: Path) -> None:
    for folder in (begun, begun.parent):
        with pytest.raises(GeneratorError, match=r"begun: drawing these strips was not finished. The same .* command goes on"):
            find(folder)


def test_two_programs_do_not_draw_into_one_folder(begun: Path) -> None:
    with Journal(begun), pytest.raises(GeneratorError, match="Another program writes into"):
        _sample(begun)
    assert _sample(begun).continued_from == N - 1


def test_strips_whose_settings_are_lost_are_refused(begun: Path) -> None:
    (begun / JOURNAL).write_text("")
    with pytest.raises(GeneratorError, match="is damaged"):
        _sample(begun)


def test_progress_counts_what_was_there(begun: Path) -> None:
    told: list[tuple[float, float]] = []
    found: list[tuple[int, int]] = []
    with Journal(begun, lambda *done: found.append(done)) as journal:
        sampling.sample(DrawRequest("AF", N + 2, 7), journal, _draw(), lambda *done: told.append(done))
    assert told == [(N, N + 2), (N + 1, N + 2), (N + 2, N + 2)]
    assert found[-1] == (N - 1, N - 1)
