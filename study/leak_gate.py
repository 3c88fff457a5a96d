"""The leak gate's report as people see it: what it means in words, what of it a blind round shows, and why the last opening was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from generator.leak_features import AMPLITUDE
from storage import export
from storage.database import Database
from study.people import Person
from study.roles import Action, demand

REFUSED_BY_THE_GATE = "round refused by the leak gate"  # in the audit trail
ARMS = ("real", "synthetic")
_NOTED = ("verdict", "auc", "p_value", "worst_feature", "remedy", "distribution")


@dataclass(frozen=True)
class Refusal:
    """An opening that the gate refused."""

    at: datetime
    worst_feature: str
    auc: float
    remedy: str
    distribution: dict[str, Any] | None  # of the worst feature, as in LeakReport; None for what was refused before it was kept


def last_refusal(db: Database, person: Person, study_id: int) -> Refusal | None:
    """The newest of a study. Its strips were not stored and no reader sees them: which arm is which may be told. Raises NotAllowed."""
    demand(person, Action.OPEN_ROUNDS)
    with db.read() as session:
        notes = export.trail(session, f"study {study_id}", REFUSED_BY_THE_GATE)
    if not notes:
        return None
    found = notes[-1].detail
    return Refusal(notes[-1].at, found["worst_feature"], found["auc"], found.get("remedy", ""), found.get("distribution"))


def noted(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit trail keeps of a refusal: no seed and nothing of a single strip, as whoever may read the trail must not learn arms from it."""
    return {name: report[name] for name in _NOTED if name in report}


def blinded(report: Mapping[str, Any]) -> dict[str, Any]:
    """A round's report without what says which arm is which: for everybody, until the study is unblinded.

    Not even the distribution without names: of arms of different sizes, only one has shares that are whole numbers of strips.
    """
    told = {name: value for name, value in report.items() if name != "distribution"}
    if "amplitude" in told:
        told["amplitude"] = {name: value for name, value in told["amplitude"].items() if name != "microvolts"}
    return told


def sentence(report: Mapping[str, Any]) -> str:
    """What a gate that warned or refused means, and what to do."""
    amplitude, all_the_same = report.get("amplitude", {}).get("warning"), report.get("opened_all_the_same")
    told = [amplitude] if report["worst_feature"] == AMPLITUDE else [_telling(report), report["remedy"], amplitude]
    return " ".join(filter(None, (*told, all_the_same)))


def _telling(report: Mapping[str, Any]) -> str:
    return f"Format features alone tell the arms apart better than chance: AUC {report['auc']:.2f}, {report['worst_feature']} most of all."
