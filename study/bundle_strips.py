"""The strips of a bundle as WFDB records, one a case, and the answers of the six-point scale as an `.imrmc` file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from generator.recordings.strips import record_files
from generator.strip import from_bytes
from storage.export import Provenance, StudyData
from storage.studies import CaseRow
from study.agreement import imrmc
from study.licences import terms

FOLDER = "strips"
SIMULATOR = "simulator"  # in the place of a checkpoint's hash
MODALITY = "strip"  # there is one: all strips were read in the same way


def strip_files(data: StudyData, origin: Provenance, samples: Mapping[int, bytes]) -> dict[str, bytes]:
    """Name -> content of two files a case, named by its code, and the list RECORDS. samples: of every strip of the study, by its id."""
    collections = {row.strip_id: row.collection for row in origin.recordings}
    simulated = {row.strip_id for row in origin.drawings if row.checkpoint == SIMULATOR}
    files: dict[str, bytes] = {}
    for case in data.cases:
        told = comments(data, case, collections.get(case.strip_id), case.strip_id in simulated)
        files |= {f"{FOLDER}/{name}": content for name, content in record_files(case.code, from_bytes(samples[case.strip_id]), told).items()}
    return {**files, f"{FOLDER}/RECORDS": "".join(f"{code}\n" for code in sorted(case.code for case in data.cases)).encode()}


def comments(data: StudyData, case: CaseRow, collection: str | None, simulated: bool) -> list[str]:
    """Lines of the header: first, where it holds, that nobody's heart made this signal."""
    arm = data.arms[case.strip_id]
    if arm.stand_in:
        first = ["SYNTHETIC: a simulator's stand-in in a recording's place (demo study), not recorded from a patient"]
    elif arm.arm == "synthetic":
        by = "a mechanistic simulator (control)" if simulated else "a diffusion model"
        first = [f"SYNTHETIC: drawn by {by}, not recorded from a patient"]
    else:
        first = [f"recorded from a patient; collection: {collection}; licence: {terms(collection or '')}"]
    rhythm = f"rhythm: {case.rhythm}, as {'asked for' if arm.arm == 'synthetic' or arm.stand_in else 'labelled'}"
    return [*first, f"arm: {arm.arm}", rhythm, f"round: {case.round_number}", f"role: {case.role}", f"strip_sha256: {data.sha256[case.strip_id]}"]


def licences(data: StudyData, origin: Provenance) -> str:
    """A line for each collection whose strips are in the bundle."""
    numbers = Counter(row.collection for row in origin.recordings)
    drawn = sum(arm.arm == "synthetic" for arm in data.arms.values())
    lines = [f"- {number} from {name}: {terms(name)}" for name, number in sorted(numbers.items())]
    return "\n".join([*lines, f"- {drawn} synthetic: drawn by this study's generator; see drawings.csv"])


def six_point_scale(scored: pd.DataFrame, description: str) -> bytes:
    """The newest answers to the scored cases, 1 definitely real to 6 definitely synthetic; truth 1 is synthetic. scored: of judgement_table."""
    readers, cases = sorted(set(scored["reader"])), sorted(set(scored["case"]))
    synthetic = set(scored.loc[scored["arm"] == "synthetic", "case"])
    scores = np.full((1, len(cases), len(readers)), np.nan)
    row, column = ({name: i for i, name in enumerate(names)} for names in (cases, readers))
    scores[0, [row[case] for case in scored["case"]], [column[reader] for reader in scored["reader"]]] = scored["realism"].to_numpy(dtype=float)
    truth = np.array([case in synthetic for case in cases], dtype=bool)
    return imrmc.to_text(imrmc.Ratings(tuple(readers), tuple(cases), (MODALITY,), truth, scores, description)).encode()
