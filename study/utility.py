"""What a study's strips are worth to a classifier (train on synthetic, test on real, and so on), computed once after unblinding and stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from generator.strip import from_bytes
from storage import audit, export, snapshots, strips, studies
from storage.database import Database
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand
from study.studies import study_to_see

EXPERIMENTS = {  # in the order of the table
    "TSTR": "train on synthetic, test on real",
    "TRTS": "train on real, test on synthetic",
    "TRTR": "train on real, test on real",
    "TSTS": "train on synthetic, test on synthetic",
}
NOT_COMPUTED = "not computed yet: ask for it on the results page or with `blindstrip study utility`"


def compute_utility(db: Database, study_id: int, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Trains and tests the classifiers on the study's scored strips and stores the result in the study; returns it, stored before or new.

    `progress(done, total)` counts steps. Takes some seconds and imports scikit-learn: for the job runner and the command line, never for a
    page. Raises StudyError before unblinding, GeneratorError for strips that cannot be compared.
    """
    from generator.utility import labelled, utility_of_study  # scikit-learn: not in the web process

    report = progress or (lambda done, total: None)
    with db.read() as session:
        study = studies.study(session, study_id)
        if study.unblinded_at is None:
            raise StudyError(f"{study.title!r} is still blind: what its strips are worth is computed after unblinding.")
        data = snapshots.study_data(session, study_id)
        if data.utility is not None:
            return data.utility
        patients = {row.strip_id: row.patient for row in export.provenance(session, study_id).recordings}
        labels = {case.strip_id: case.rhythm for case in data.cases if case.role == "scored"}
        samples = {strip_id: from_bytes(blob) for strip_id, blob in strips.samples(session, labels).items()}

    arms = {arm: [strip_id for strip_id in labels if data.arms[strip_id].arm == arm] for arm in ("real", "synthetic")}
    for arm, members in arms.items():
        if not members:
            raise StudyError(f"{study.title!r} scored no {arm} strip: there is nothing to train on or to test on. Utility needs both arms.")
    tables = {}
    for step, (arm, members) in enumerate(arms.items()):
        report(step, 3)
        names = [patients[strip_id] for strip_id in members] if arm == "real" else None
        tables[arm] = labelled(np.stack([samples[strip_id] for strip_id in members]), [labels[strip_id] for strip_id in members], names)
    report(2, 3)
    result = utility_of_study(tables["real"], tables["synthetic"], seed=study.seed)

    with db.write() as session:
        stored = studies.utility(session, study_id)
        if stored is not None:  # another process was first
            return stored
        studies.change(session, study_id, utility=result)
        audit.append(session, None, "utility computed", f"study {study_id}", {name: len(members) for name, members in arms.items()})
    report(3, 3)
    return result


def stored_utility(db: Database, person: Person, study_id: int) -> dict[str, Any] | None:
    """What was computed for an unblinded study; None: nothing yet. Raises NotAllowed, StudyError while it is blind."""
    demand(person, Action.SEE_RESULTS)
    with db.read() as session:
        if study_to_see(session, person, study_id).unblinded_at is None:
            raise StudyError("What strips are worth to a classifier is told after unblinding.")
        return studies.utility(session, study_id)


def utility_table(stored: dict[str, Any] | None) -> pd.DataFrame:
    """The stored result as a long table: experiment, meaning, classifier, then the columns of `study.result_tables`; a row a figure.

    F1 at a threshold of 0.5, of both rhythms and their mean (macro), and the area under the ROC curve for AF.
    """
    rows = []
    for experiment, meaning in EXPERIMENTS.items():
        keys = {"experiment": experiment, "meaning": meaning}
        if stored is None:
            rows.append(_row({**keys, "classifier": None}, "macro F1", None, None, 0, NOT_COMPUTED, ""))
            continue
        for classifier, found in stored[experiment].items():
            n = sum(found["n"]["test"].values())
            method = f"{found['method']}, percentile bootstrap over test patients, 95 %"
            for figure, value, interval in (
                ("macro F1", found["macro_f1"], found["ci"]),
                *((f"F1 {rhythm}", found["f1"][rhythm], found["f1_ci"] and found["f1_ci"][rhythm]) for rhythm in sorted(found["f1"])),
                ("AUROC", found["auroc"], found["auroc_ci"]),
            ):
                rows.append(_row({**keys, "classifier": classifier}, figure, value, interval, n, found["reason"], method))
    columns = ["experiment", "meaning", "classifier", "figure", "value", "low", "high", "unit", "n", "counted", "method", "reason"]
    table = pd.DataFrame(rows, columns=columns).astype({"value": "Float64", "low": "Float64", "high": "Float64", "n": "Int64"})
    for column in ("classifier", "reason"):
        table[column] = table[column].astype(object).where(table[column].notna(), None)
    return table


def _row(
    keys: dict[str, Any], figure: str, value: float | None, interval: list[float] | None, n: int, reason: str | None, method: str
) -> dict[str, Any]:
    low, high = interval or (None, None)
    found = {"figure": figure, "value": value, "low": low, "high": high, "unit": "proportion", "n": n, "counted": "strips tested", "method": method}
    return {**keys, **found, "reason": reason}
