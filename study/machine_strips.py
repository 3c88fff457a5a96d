"""What machines make of a study's scored strips, one by one: for the job runner and the command line alone, as it imports scikit-learn.

Of each strip: the probability that it is synthetic, by a classifier that never saw its patient; how far the nearest real strip is; the probability
of AF by the classifiers that learned from the real strips; and the nearest strip that its generator was trained on. docs/report.md defines each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from generator.copies import Reference
from generator.strip import Counts, from_bytes
from generator.utility import CLASSIFIERS, INTERVALS_AND_RR
from generator.utility.classifiers import RHYTHMS, Arm, cross_validated, on_features
from storage import strips
from storage.database import Database
from study import checkpoints
from study.machine import FEATURES

FOLDS, REPEATS = 5, 10
FEWEST = 2 * FOLDS  # patients in each arm, to tell the arms apart
FEWEST_REAL = 5  # real strips of a rhythm beside the strip itself, for a distance
SAME = 0.01  # 1 - correlation of average beats below which a recording is the training strip: generator.copies
_BATCH = 200

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Strips:
    """Scored strips, a row each. table: of generator.features, with `rhythm` and `patient`; of synthetic strips each is its own patient."""

    sha256: Sequence[str]
    synthetic: NDArray[np.bool_]
    table: pd.DataFrame
    counts: Counts  # (n, 8, 1000)
    checkpoint: Sequence[str | None]  # SHA-256, of synthetic strips


def of_strips(db: Database, scored: Strips, seed: int, progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """`of`: for each strip's SHA-256 synthetic, distance, nearest (SHA-256 of the nearest real strip), af, training; None where undefined, and then
    `reasons` has the reason by the same name. JSON-able. `progress` is called between the steps.
    """
    with threadpool_limits(1):  # small tables
        suspected, why_not = suspicion(scored, seed)
        progress()
        apart, nearest = distances(scored)
        fibrillates, no_rhythm = rhythm_calls(scored, seed)
    progress()
    trained, not_trained = nearest_training(db, scored, progress)
    found = {}
    for i, name in enumerate(scored.sha256):
        found[name] = {
            "synthetic": None if suspected is None else float(suspected[i]),
            "distance": float(apart[i]) if np.isfinite(apart[i]) else None,
            "nearest": scored.sha256[nearest[i]] if nearest[i] >= 0 else None,
            "af": {classifier: float(score[i]) for classifier, score in fibrillates.items()},
            "training": trained.get(name),
        }
    reasons = {"synthetic": why_not, "af": no_rhythm, "training": not_trained}
    if not np.isfinite(apart).all():
        reasons["distance"] = f"a distance needs {FEWEST_REAL} real strips of the same rhythm and other patients, and half of the features"
    packages = {package: version(package) for package in ("scikit-learn", "numpy", "pandas")}
    told = {"seed": seed, "folds": FOLDS, "repeats": REPEATS, "features": list(FEATURES), "versions": packages}
    return {"of": found, "reasons": reasons, **told}


def suspicion(scored: Strips, seed: int) -> tuple[Array | None, str | None]:
    """(n,) probability of synthetic, out of fold: logistic regression on FEATURES, standardised, both arms weighing the same; or None, and why.

    Five folds that keep a patient's strips together and hold arms and rhythms alike; the mean of ten such divisions, so that the luck of one does
    not decide.
    """
    patients = scored.table["patient"].astype(str).to_numpy()
    few = {arm: len(set(patients[scored.synthetic == of])) for arm, of in (("real", False), ("synthetic", True))}
    if min(few.values()) < FEWEST:
        told = " and ".join(f"{number} {arm}" for arm, number in few.items())
        return None, f"the study scored strips of {told} patients (a drawn strip is one of its own); telling the arms apart needs {FEWEST} of each"
    values = scored.table[list(FEATURES)].to_numpy(dtype=np.float64)
    stratum = np.char.add(scored.table["rhythm"].to_numpy(dtype=str), scored.synthetic.astype(str))
    if np.unique(stratum, return_counts=True)[1].min() < FOLDS:
        stratum = scored.synthetic.astype(str)
    score = np.zeros(len(values))
    for number in np.random.default_rng(seed).integers(2**31, size=REPEATS):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=int(number))
        for inside, outside in folds.split(values, stratum, patients):
            model = make_pipeline(
                SimpleImputer(strategy="median", keep_empty_features=True),
                StandardScaler(),
                LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
            )
            score[outside] += model.fit(values[inside], scored.synthetic[inside]).predict_proba(values[outside])[:, 1] / REPEATS
    return score, None


def distances(scored: Strips) -> tuple[Array, NDArray[np.int64]]:
    """(n,) distance to the nearest real strip of the same rhythm and another patient, and which it is; NaN and -1 where there is none.

    The root mean square of the differences in FEATURES, each in standard deviations of the real strips of that rhythm, over the features that both
    strips have; half of them must be there. Real and synthetic strips alike.
    """
    values = scored.table[list(FEATURES)].to_numpy(dtype=np.float64)
    patients, rhythms = (scored.table[name].astype(str).to_numpy() for name in ("patient", "rhythm"))
    found, which = np.full(len(values), np.nan), np.full(len(values), -1, dtype=np.int64)
    for rhythm in np.unique(rhythms):
        real = np.flatnonzero((rhythms == rhythm) & ~scored.synthetic)
        known = np.isfinite(values[real]).sum(axis=0) >= FEWEST_REAL
        spread = np.nanstd(values[np.ix_(real, known)], axis=0, ddof=1) if known.any() else np.zeros(0)
        used = np.flatnonzero(known)[spread > 1e-9]
        scaled = values[:, used] / spread[spread > 1e-9]
        for i in np.flatnonzero(rhythms == rhythm):
            others = real[patients[real] != patients[i]]
            if len(others) < FEWEST_REAL:
                continue
            squares = (scaled[others] - scaled[i]) ** 2
            there = np.isfinite(squares)
            enough = 2 * there.sum(axis=1) >= max(len(used), 1)
            if enough.any():
                mean = np.where(there, squares, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
                best = int(np.argmin(np.where(enough, mean, np.inf)))
                found[i], which[i] = np.sqrt(mean[best]), others[best]
    return found, which


def rhythm_calls(scored: Strips, seed: int) -> tuple[dict[str, Array], str | None]:
    """For each of CLASSIFIERS (n,) the probability of AF by a model that learned from real strips: of a real strip one that saw other patients alone
    (TRTR), of a synthetic strip one that saw all real ones (TRTS). Or nothing, and why.
    """
    real, drawn = np.flatnonzero(~scored.synthetic), np.flatnonzero(scored.synthetic)
    arm = Arm(scored.table)
    taught = arm.where(real)
    for rhythm in RHYTHMS:
        patients = taught.table.loc[taught.table["rhythm"] == rhythm, "patient"].nunique()
        if patients < 2:
            return (
                {},
                f"the study scored real strips with {rhythm} of {patients} patients; classifiers of the rhythm need 2 of each rhythm to learn from",
            )
    found = {}
    for classifier in CLASSIFIERS:
        fit, score = on_features(classifier, INTERVALS_AND_RR), np.empty(len(scored.table))
        score[real] = cross_validated(taught, fit, seed, lambda: None)
        if len(drawn):
            score[drawn] = fit(taught, seed)(arm.where(drawn))
        found[classifier] = score
    return found, None


def nearest_training(db: Database, scored: Strips, progress: Callable[[], None] = lambda: None) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Of each strip the nearest one of those that the study's generator was trained on, by the average beat (generator.copies): distance (1 -
    correlation, estimated), number in the checkpoint's list, recording (SHA-256 of the strip of this database that it is, or None), checkpoint,
    copy (the distance below which quality control calls a drawn strip a copy, or None).

    A synthetic strip is held against its own checkpoint, a real one against the study's first. Nothing, and why, where no checkpoint with such a list
    is on this machine.
    """
    used = sorted({name for name in scored.checkpoint if name})
    references = {name: carried for name in used if (carried := _reference(name)) is not None}
    if not references:
        return {}, "the checkpoint that drew the study's strips is not on this machine, or carries no list of the beats that it was trained on"
    of_real = next(iter(references))
    found: dict[str, dict[str, Any]] = {}
    for name, reference in references.items():
        mine = [i for i, drawn_by in enumerate(scored.checkpoint) if drawn_by == name or (drawn_by is None and name == of_real)]
        apart, numbers = reference.nearest(scored.counts[mine])
        progress()
        here = _recordings(db, reference, {int(number) for number in numbers if number >= 0}, progress)
        for i, distance, number in zip(mine, apart, numbers, strict=True):
            if number >= 0:
                one = {"distance": float(distance), "number": int(number), "recording": here.get(int(number)), "checkpoint": name}
                found[scored.sha256[i]] = one | {"copy": reference.thresholds.get(str(scored.table["rhythm"].iloc[i]))}
    return found, None


def _reference(checkpoint: str) -> Reference | None:
    """What the checkpoint with this SHA-256 carries of its training strips, if it is on this machine."""
    for folder in checkpoints.folders():
        if (folder / "model.safetensors").is_file() and checkpoints.sha256(folder) == checkpoint:
            return Reference.load(folder)
    return None


def _recordings(db: Database, reference: Reference, wanted: set[int], progress: Callable[[], None]) -> Mapping[int, str]:
    """Which recordings of this database are training strips: number in the list -> SHA-256 of the strip. About 3 ms a recording."""
    here: dict[int, tuple[float, str]] = {}
    with db.read() as session:
        collections = [(name, rhythm, number) for name, rhythm, number, _ in strips.recording_counts(session)]
    for name, rhythm, number in collections:
        for first in range(0, number, _BATCH):
            with db.read() as session:
                rows = strips.recorded_strips(session, collection=name, rhythm=rhythm, offset=first, limit=_BATCH)
                hashes = strips.hashes(session, [row.strip_id for row in rows])
            apart, numbers = reference.nearest(np.stack([from_bytes(row.samples) for row in rows]))
            for row, distance, found in zip(rows, apart, numbers, strict=True):
                at = int(found)
                if at in wanted and distance < SAME and distance < here.get(at, (np.inf, ""))[0]:
                    here[at] = float(distance), hashes[row.strip_id]
            progress()
    return {number: name for number, (_, name) in here.items()}
