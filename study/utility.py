"""What a study's strips are worth to a classifier (train on synthetic, test on real, and so on), computed once after unblinding and stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from generator.strip import from_bytes
from storage import audit, export, snapshots, strips, studies
from storage.database import Database
from storage.export import StudyData
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
RATIO, _RATIO_FIGURE = "TSTR / TRTR", "ratio of macro F1"
_RATIO_MEANS = "what share of the recordings' worth the synthetic strips have"
DEFINITION = 1  # of what is stored; figures that are defined otherwise get the next number
NOT_COMPUTED = "not computed yet: ask for it on the results page or with `blindstrip study utility`"
_STEPS = 4


def compute_utility(db: Database, study_id: int, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Trains and tests the classifiers on the study's scored strips and stores the result in the study; returns it, stored before or new.

    `machine` in it is what study.machine_strips says of each strip, `basis` what all of it rests on: a result that rests on other strips, or lacks a
    part, is computed again. `progress(done, total)` counts steps. Takes some seconds and imports scikit-learn: for the job runner and the command
    line, never for a page. Raises StudyError before unblinding, GeneratorError for strips that cannot be compared.
    """
    from generator.utility import labelled, utility_of_study  # scikit-learn: not in the web process
    from study import machine_strips

    report = progress or (lambda done, total: None)
    with db.read() as session:
        study = studies.study(session, study_id)
        if study.unblinded_at is None:
            raise StudyError(f"{study.title!r} is still blind: what its strips are worth is computed after unblinding.")
        data = snapshots.study_data(session, study_id)
        if data.utility is not None and outdated(data) is None:
            return data.utility
        origin = export.provenance(session, study_id)
        labels = {case.strip_id: case.rhythm for case in data.cases if case.role == "scored"}
        blobs = strips.samples(session, labels)
    if changed := [strip_id for strip_id, blob in blobs.items() if hashlib.sha256(blob).hexdigest() != data.sha256[strip_id]]:
        raise StudyError(f"{len(changed)} strips of {study.title!r} are not those that were read: their samples changed. Restore a backup.")

    arms = {arm: [strip_id for strip_id in labels if data.arms[strip_id].arm == arm] for arm in ("real", "synthetic")}
    for arm, members in arms.items():
        if not members:
            raise StudyError(f"{study.title!r} scored no {arm} strip: there is nothing to train on or to test on. Utility needs both arms.")
    patients = {row.strip_id: row.patient for row in origin.recordings}
    counts = {arm: np.stack([from_bytes(blobs[strip_id]) for strip_id in members]) for arm, members in arms.items()}
    tables = {}
    for step, (arm, members) in enumerate(arms.items()):
        report(step, _STEPS)
        names = [patients[strip_id] for strip_id in members] if arm == "real" else None
        tables[arm] = labelled(counts[arm], [labels[strip_id] for strip_id in members], names)
    report(2, _STEPS)
    result = utility_of_study(tables["real"], tables["synthetic"], seed=study.seed)
    report(3, _STEPS)
    checkpoint = {row.strip_id: row.checkpoint for row in origin.drawings}
    of_both = [*arms["real"], *arms["synthetic"]]
    scored = machine_strips.Strips(
        [data.sha256[strip_id] for strip_id in of_both],
        np.repeat([False, True], [len(members) for members in arms.values()]),
        pd.concat(tables.values(), ignore_index=True),
        np.concatenate([*counts.values()]),
        [checkpoint.get(strip_id) for strip_id in of_both],
    )
    result |= {"machine": machine_strips.of_strips(db, scored, study.seed, lambda: report(3, _STEPS)), "basis": basis(data)}

    with db.write() as session:
        stored = studies.utility(session, study_id)
        if stored is not None and outdated(replace(data, utility=stored)) is None:  # another process was first
            return stored
        studies.change(session, study_id, utility=result)
        audit.append(session, None, "utility computed", f"study {study_id}", {name: len(members) for name, members in arms.items()})
    report(_STEPS, _STEPS)
    return result


def basis(data: StudyData) -> dict[str, Any]:
    """What a result rests on: strips (SHA-256 over the scored ones, with arm and rhythm), checkpoints that drew them, definition of the figures.

    A stored result with another basis is stale.
    """
    scored = sorted((data.sha256[case.strip_id], data.arms[case.strip_id].arm, case.rhythm) for case in data.cases if case.role == "scored")
    drawn = [opened.plan.get("checkpoint") or [] for opened in data.rounds]
    checkpoints = sorted({name for one in drawn for name in ([one] if isinstance(one, str) else one)})
    return {"strips": hashlib.sha256(json.dumps(scored).encode()).hexdigest(), "checkpoints": checkpoints, "definition": DEFINITION}


def stale(data: StudyData) -> str | None:
    """Why the stored result is not of this study's strips as they are; None: it is, or there is none, or an earlier version did not say of which."""
    stored = (data.utility or {}).get("basis")
    if stored is None:
        return None
    now = basis(data)
    names = {"strips": "other strips", "checkpoints": "strips of another checkpoint", "definition": "figures defined otherwise by another version"}
    apart = [words for name, words in names.items() if stored.get(name) != now[name]]
    return f"stale: what is stored was computed of {' and '.join(apart)}; compute it again" if apart else None


def outdated(data: StudyData) -> str | None:
    """Why a result should be computed again: it is stale, or an earlier version of blindstrip stored it, without the readers' side."""
    if data.utility is not None and ("machine" not in data.utility or "basis" not in data.utility):
        return "computed by an earlier version of blindstrip, which kept nothing of single strips; compute it again"
    return stale(data)


def stored_utility(db: Database, person: Person, study_id: int) -> dict[str, Any] | None:
    """What was computed for an unblinded study; None: nothing yet. Raises NotAllowed, StudyError while it is blind."""
    demand(person, Action.SEE_RESULTS)
    with db.read() as session:
        if study_to_see(session, person, study_id).unblinded_at is None:
            raise StudyError("What strips are worth to a classifier is told after unblinding.")
        return studies.utility(session, study_id)


def utility_table(stored: dict[str, Any] | None, why_stale: str | None = None) -> pd.DataFrame:
    """The stored result as a long table: experiment, meaning, classifier, then the columns of `study.result_tables`; a row a figure.

    First the headline, TSTR / TRTR of macro F1; then F1 at a threshold of 0.5, of both rhythms and their mean (macro), and the area under the ROC
    curve for AF. why_stale: of `stale`; then no figure is shown.
    """
    rows = []
    if stored is None or why_stale:
        for experiment, meaning in {RATIO: _RATIO_MEANS, **EXPERIMENTS}.items():
            figure = _RATIO_FIGURE if experiment == RATIO else "macro F1"
            rows.append(
                _row({"experiment": experiment, "meaning": meaning, "classifier": None}, figure, None, None, 0, why_stale or NOT_COMPUTED, "")
            )
        return _table(rows)
    for classifier, ratio in stored.get("headline", {}).items():  # which results of earlier versions lack
        n = sum(stored["TSTR"][classifier]["n"]["test"].values())
        keys = {"experiment": RATIO, "meaning": _RATIO_MEANS, "classifier": classifier}
        told = _row(keys, _RATIO_FIGURE, ratio["value"], ratio["ci"], n, ratio["reason"], "percentile bootstrap over the same test patients, 95 %")
        rows.append(told | {"unit": "ratio"})
    for experiment, meaning in EXPERIMENTS.items():
        keys = {"experiment": experiment, "meaning": meaning}
        for classifier, found in stored[experiment].items():
            n = sum(found["n"]["test"].values())
            method = f"{found['method']}, percentile bootstrap over test patients, 95 %"
            for figure, value, interval in (
                ("macro F1", found["macro_f1"], found["ci"]),
                *((f"F1 {rhythm}", found["f1"][rhythm], found["f1_ci"] and found["f1_ci"][rhythm]) for rhythm in sorted(found["f1"])),
                ("AUROC", found["auroc"], found["auroc_ci"]),
            ):
                rows.append(_row({**keys, "classifier": classifier}, figure, value, interval, n, found["reason"], method))
    return _table(rows)


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
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
