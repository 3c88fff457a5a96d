"""One simulated study through storage and analysis, or hundreds in its layout: what was planted, what was found, how often intervals hold it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from storage.database import Database
from study.agreement.equivalence import CHANCE
from study.planning import check
from study.results import records, results_of
from study.simulation import shared_layout
from study.simulation.coverage import Coverage, Rejections, coverage, rejections
from study.simulation.figures import Compared, Study, from_results, quick
from study.simulation.model import Planted, draw_readers, rng, shown
from study.simulation.stored import SIMULATED, simulate
from study.simulation.truth import Truth, of_new_readers, of_these_readers

EDGE = "edge of the margin"  # where the share found equivalent is the size of the test
Report = Callable[[int, int, str], None]  # (done, total, what is being done)


@dataclass(frozen=True)
class Simulated:
    """What came of it. `compared` has a list of figures for each study; coverage and equivalence are empty for one study."""

    title: str
    planted: Planted
    margin: float
    seed: int
    new_readers: Truth
    these_readers: Truth  # of the first study
    verdict: str  # on all readers of the first study
    compared: list[list[Compared]]
    coverage: list[Coverage]
    equivalence: list[Rejections]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; figures of the first study only."""
        readers = self.planted.all_readers
        return {
            "simulated": SIMULATED,
            "study": self.title,
            "design": {**asdict(self.planted), "readers_in_all": readers, "cases_shown": self.planted.shown, "margin": self.margin},
            "seed": self.seed,
            "studies": len(self.compared),
            "planted": {"new_readers": self.new_readers.as_dict(), "these_readers": self.these_readers.as_dict()},
            "verdict": self.verdict,
            "compared": [{**asdict(one), "covered": one.covered} for one in self.compared[0]],
            "coverage": [asdict(one) for one in self.coverage],
            "equivalence": [asdict(one) for one in self.equivalence],
        }

    def write(self, file: Path) -> None:
        """CSV, a line for each study and figure."""
        names = [field.name for field in fields(Compared)]
        with file.open("w", newline="", encoding="utf-8") as to:
            writer = csv.writer(to)
            writer.writerow(["study", *names, "covered"])
            for number, study in enumerate(self.compared):
                writer.writerows([number, *(getattr(one, name) for name in names), one.covered] for one in study)


def run(
    db: Database, planted: Planted, *, margin: float, seed: int = 0, studies: int = 1, resampled: bool = True, report: Report | None = None
) -> Simulated:
    """The first study goes through the empty database `db` and its results; further ones share its layout (`shared_layout`).

    resampled=False: without the figures that are bootstrapped, in half the time.
    """
    check(margin)
    tell = report or (lambda done, total, doing: None)
    new = of_new_readers(planted)
    kept = simulate(db, planted, seed, margin, tell)
    readers = draw_readers(planted, rng(seed, 0))
    tell(planted.all_readers, planted.all_readers, "Computing the results")
    found = results_of(kept.data)
    compared = [from_results(Study(kept.data, planted, readers, new), found, resampled=resampled)]
    verdict = records(found.verdicts, group="all")[0]["sentence"]
    for number in range(1, studies):
        tell(number, studies, "Simulating studies")
        data, others = shared_layout.study(kept, planted, seed, number)
        compared.append(quick(Study(data, planted, others, new), resampled=resampled))
    equivalence = []
    if studies > 1:
        truths = {
            "as planted": planted,
            "at chance": planted.with_accuracy(CHANCE),
            EDGE: planted.with_accuracy(CHANCE + margin),
        }
        equivalence = [rejections(name, one, margin, seed, studies, kept.shown, tell) for name, one in truths.items()]
    covered = coverage(compared) if studies > 1 else []
    return Simulated(kept.title, planted, margin, seed, new, of_these_readers(planted, readers), verdict, compared, covered, equivalence)


def checked_power(planted: Planted, margin: float, *, studies: int, seed: int = 0, report: Report | None = None) -> list[Rejections]:
    """The equivalence test of simulated studies, for a plan: as planted, and at the edge of the margin. Without storage, in seconds."""
    check(margin)
    cases = shown(replace(planted, repeats=0))
    edge = planted.with_accuracy(CHANCE + margin)
    truths = {"as planned": replace(planted, repeats=0), EDGE: replace(edge, repeats=0)}
    return [rejections(name, one, margin, seed, studies, cases, report) for name, one in truths.items()]
