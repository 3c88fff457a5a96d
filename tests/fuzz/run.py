"""Spoiled file number i of a seed, always the same one, made and taken in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.fuzz.mutate import spoiled, spoiled_zip
from tests.fuzz.targets import Files, Target, targets
from tests.fuzz.watch import Outcome, Watch

_TEXT = (".hea", ".csv", ".json", ".jsonl", ".imrmc")


def run(scratch: Path, seed: int, numbers: range, keep: Path | None = None) -> Iterator[tuple[int, Target, Outcome]]:
    """Each number with its importer and what became of it. scratch: an empty folder; keep: where the files of a defect are copied to."""
    (scratch / "seeds").mkdir()
    choices, watch = targets(scratch / "seeds"), Watch()
    for number in numbers:
        rng = Random(f"{seed}/{number}")
        [target] = rng.choices(choices, [one.weight for one in choices])
        folder = scratch / f"{number}"
        _write(folder, files_of(target, rng))
        outcome = watch.take_in(target, folder)
        if outcome.kind == "defect" and keep is not None:
            shutil.copytree(folder, keep / f"{seed}-{number}", dirs_exist_ok=True)
        shutil.rmtree(folder)
        yield number, target, outcome


def files_of(target: Target, rng: Random) -> Files:
    """Good files of an importer, of which one or two have been spoiled; a zip, or what is in it."""
    files = dict(rng.choice(target.seeds))
    names = [name for name in files if name.endswith(target.to_spoil)]
    for _ in range(rng.choice((1, 1, 1, 2))):
        end = rng.choice(target.to_spoil)
        name = rng.choice([name for name in names if name.endswith(end)] or names)
        if name.endswith(".zip") and rng.random() < 0.6:
            files[name] = spoiled_zip(files[name], rng)
        else:
            other = rng.choice(list(rng.choice(target.seeds).values()))
            files[name] = spoiled(files[name], rng, other, text=name.endswith(_TEXT) or target.text)
    return files


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
