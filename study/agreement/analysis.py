"""All figures of a file of readings: `of_csv` and `of_imrmc`. Plain dictionaries, lists and numbers, None where undefined, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from study.agreement import against_truth, file, imrmc, tables
from study.agreement.cut import Cut
from study.agreement.equivalence import check_margin
from study.agreement.file import ARMS, Labels, Readings, left_out
from study.agreement.resampling import DRAWS
from study.errors import StudyError

MARGIN = 0.1


def of_file(path: Path, *, answers: Sequence[str] | None = None, margin: float = MARGIN, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """Figures of a .csv or .imrmc file. Raises StudyError with file, line, field and remedy; OSError where it cannot be opened."""
    kind = path.suffix.casefold()
    if kind == ".csv":
        return of_readings(file.read_csv(path, answers=answers), margin=margin, seed=seed, draws=draws)
    if kind != ".imrmc":
        raise StudyError(f"{path}: a file of readings ends in .csv or .imrmc. Save the table as CSV in UTF-8, or rename the file.")
    if answers is not None:
        raise StudyError(f"{path}: an .imrmc file has scores and no answers. Leave --answers out.")
    return of_imrmc(imrmc.read(path), str(path), margin=margin, seed=seed, draws=draws)


def of_readings(readings: Readings, *, margin: float = MARGIN, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """Every table that the columns of the file allow; what is not there is in `left_out` with its reason."""
    _check(margin, draws)
    cut = Cut(readings)
    found: dict[str, Any] = {"file": readings.source, **_told(cut), "margin": margin, "seed": seed, "draws": draws}
    found |= tables.agreement(cut, seed=seed, draws=draws)
    found["within_readers"] = tables.within(cut, seed=seed, draws=draws)
    if (reason := against_truth.why_not(cut)) is not None:
        cut.told.append(left_out("figures against the truth", len(readings), reason))
        return found | {"left_out": cut.told}
    if not against_truth.calls(cut):
        why = "the rating is not real or synthetic: the arms are held against the score alone"
        cut.told.append(left_out("accuracy, sensitivity, specificity, d' and criterion", len(readings), why))
    found["realism"] = against_truth.realism(cut)
    found["calibration"] = against_truth.calibration(cut)
    if readings.score is not None and not found["calibration"]:
        why = "calibration needs scores that are whole numbers on a scale"
        cut.told.append(left_out("calibration of the score", len(readings), why))
    found["verdicts"] = against_truth.verdicts(cut, margin)
    return found | against_truth.inference(cut) | {"left_out": cut.told}


def of_imrmc(ratings: imrmc.Ratings, source: str, *, margin: float = MARGIN, seed: int = 0, draws: int = DRAWS) -> dict[str, Any]:
    """An .imrmc file: truth 1 is synthetic. Several modalities: each on its own, and compared."""
    each = {name: of_readings(_of_modality(ratings, m, source), margin=margin, seed=seed, draws=draws) for m, name in enumerate(ratings.modalities)}
    if len(each) == 1:
        return next(iter(each.values()))
    return {"file": source, **against_truth.modalities(ratings), "by_modality": each}


def _of_modality(ratings: imrmc.Ratings, modality: int, source: str) -> Readings:
    scores = ratings.scores[modality]
    case, reader = np.nonzero(np.isfinite(scores))
    used = np.unique(reader)
    names = tuple(ratings.readers[r] for r in used)
    readings = Readings(
        source,
        Labels(np.searchsorted(used, reader), names),
        Labels(case, ratings.cases),
        None,
        scores[case, reader],
        arm=Labels(ratings.truth[case].astype(int), ARMS),
    )
    unread = len(ratings.cases) - len(np.unique(case))
    told = [left_out("cases with a truth and no reading", unread, "nobody read them with this modality")] if unread else []
    return replace(readings, left_out=told)


def _told(cut: Cut) -> dict[str, Any]:
    readings = cut.readings
    read: dict[str, Any] = {"readings": len(readings), "readers": len(readings.reader.names), "cases": len(np.unique(cut.case))}
    for name in ("site", "round", "rhythm", "occasion"):
        label = getattr(readings, name)
        read[f"{name}s"] = None if label is None else list(label.names)
    read["cases_by_arm"] = None if readings.arm is None else {arm: int((cut.synthetic == code).sum()) for code, arm in enumerate(ARMS)}
    return read | {"items": [{"item": item.name, "answers": list(item.answers), "weights": item.weights} for item in cut.items]}


def _check(margin: float, draws: int) -> None:
    try:
        check_margin(margin)
    except ValueError as error:
        raise StudyError(f"--margin: {error}.") from error
    if draws < 100:
        raise StudyError(f"--draws: {draws} bootstrap samples give no 95 % interval. Choose 100 or more, such as {DRAWS}.")
