"""`blindstrip simulate` and `blindstrip plan`: readers who are numbers, and what a study of such readers would show."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from storage.database import Database
from study import planning
from study.commands import types
from study.commands.common import own_folder
from study.progress_bar import ProgressBar, say
from study.protocol import Protocol
from study.simulation.model import Planted

_WORDS = {
    "sites": "hospitals; they differ by their readers alone",
    "readers": "of each hospital",
    "cases": "scored, half of them synthetic, half of each arm AF; an even number",
    "auc": "true AUC of the six-point scale, expected over readers; 0.5 is guessing",
    "bias": "towards calling strips synthetic, in z units: 0.25 calls 60 %% of them so at chance; below 0: real",
    "repeats": "how many of the cases every reader is shown a second time, beside the others",
    "skill_sd": "standard deviation of d' over readers",
    "criterion_sd": "standard deviation of the criterion over readers, in z units",
    "case_share": "of the variance over cases: what a strip is to all readers",
    "own_share": "of the variance over cases: a reader's own view of a strip, alike in a repeat; the rest is fresh each time",
}


def arguments(one: argparse.ArgumentParser) -> None:
    """What both commands take."""
    standard = Planted()
    for field in fields(Planted):
        name, default = field.name, getattr(standard, field.name)
        flag = "--repeat" if name == "repeats" else f"--{name.replace('_', '-')}"
        one.add_argument(flag, dest=name, type=type(default), default=default, metavar="N", help=f"{_WORDS[name]} (default: {default})")
    margin = Protocol().margin
    one.add_argument(
        "--margin", type=float, default=margin, help=f"of equivalence to chance: 0.1 is an accuracy of 40 %% to 60 %% (default: {margin})"
    )


def simulate_arguments(one: argparse.ArgumentParser) -> None:
    arguments(one)
    one.add_argument(
        "--studies", type=types.whole(1), default=1, help="more than 1: coverage of intervals and size and power of the test (default: 1)"
    )
    one.add_argument("--quick", action="store_true", help="without the bootstrapped figures: twice as many studies in the same time")
    one.add_argument("--out", type=Path, metavar="FILE", help="CSV with a line for each study and figure: planted, found, interval")
    one.add_argument(
        "--database", dest="db", metavar="URL", help="as --db: an empty one, which keeps the first study (here by default a temporary one)"
    )


def plan_arguments(one: argparse.ArgumentParser) -> None:
    arguments(one)
    one.add_argument("--seconds", type=float, default=planning.SECONDS, help=f"that a reader takes for a case (default: {planning.SECONDS:g})")
    one.add_argument("--check", type=types.whole(1), metavar="STUDIES", help="simulate so many studies beside the formula")


def simulate(given: argparse.Namespace) -> dict[str, Any]:
    from study.simulation.simulator import run

    planted = _planted(given)
    if given.out is not None:
        own_folder(given.out.parent)
    with _database(given.db) as db, ProgressBar("steps") as bar:
        found = run(db, planted, margin=given.margin, seed=given.seed, studies=given.studies, resampled=not given.quick, report=bar)
    if given.out is not None:
        found.write(given.out)
        say(f"figures: {given.out}")
    told = found.as_dict() | {"database": given.db}
    return told if given.json else _in_words(told)


def plan(given: argparse.Namespace) -> dict[str, Any]:
    planted = _planted(given)
    found = planning.plan(planted, given.margin, seconds=given.seconds)
    answer: dict[str, Any] = {"design": {**asdict(planted), "readers_in_all": planted.all_readers, "margin": given.margin}, **asdict(found)}
    needed = planning.cases_needed(planted, given.margin)
    answer["cases_for_80_percent_power"] = needed
    if needed is None:
        answer["remark"] = planning.no_cases(found, given.margin)
    if given.check is not None:
        from study.simulation.simulator import checked_power

        with ProgressBar("studies") as bar:
            checked = checked_power(planted, given.margin, studies=given.check, seed=given.seed, report=bar)
        answer["checked_by_simulation"] = [asdict(one) for one in checked]
    return answer


def _planted(given: argparse.Namespace) -> Planted:
    return Planted(**{field.name: getattr(given, field.name) for field in fields(Planted)})


@contextmanager
def _database(url: str | None) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="blindstrip-") as folder:
        db = Database(url or f"sqlite:///{Path(folder) / 'simulated.db'}")
        try:
            db.migrate()
            yield db
        finally:
            db.close()


def _in_words(told: dict[str, Any]) -> dict[str, Any]:
    """Short tables in place of full rows."""
    new, these = told["planted"]["new_readers"], told["planted"]["these_readers"]
    answer = {name: told[name] for name in ("simulated", "study", "database", "design", "seed", "studies")}
    answer["planted"] = [{"figure": name.replace("_", " "), "new readers": new[name], "these readers": these[name]} for name in new]
    answer["verdict"] = told["verdict"]
    answer["found in the first study"] = [
        {
            "figure": one["figure"],
            "of": one["name"],
            "planted": one["planted"],
            "for": one["truth_of"],
            "found": one["found"],
            "interval": _interval(one["low"], one["high"]),
            "level": one["level"],
            "covered": one["covered"],
        }
        for one in told["compared"]
    ]
    if told["studies"] > 1:
        answer["coverage"] = [
            {
                "figure": one["figure"],
                "for": one["truth_of"],
                "claimed": one["level"] if one["claimed"] else "",
                "covered": one["covered"],
                "Monte Carlo interval": _interval(one["low"], one["high"]),
                "half-width": one["half_width"],
                "intervals": one["intervals"],
            }
            for one in told["coverage"]
        ]
        answer["equivalence test"] = [
            {
                "truth": one["truth"],
                "accuracy": one["accuracy"],
                "equivalent": one["equivalent"],
                "Monte Carlo interval": _interval(one["low"], one["high"]),
                **{name: one[name] for name in ("better", "worse", "undecided")},
            }
            for one in told["equivalence"]
        ]
    return answer


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
