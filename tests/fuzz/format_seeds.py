"""Good files of the formats beside WFDB, to be spoiled."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from generator.formats import Stated
from generator.leads import LEADS
from tests.cart_files import muse, scp, sierra
from tests.format_files import aecg, counts, eight, group, write_csv, write_dicom, write_edf
from tests.wfdb_files import signals

Files = dict[str, bytes]
TEXTS = {"CSV", "aECG", "MUSE", "Sierra"}
STATED = Stated(rate=100, unit="uV", leads=LEADS)  # of CSV and NumPy


def format_seeds(scratch: Path) -> dict[str, list[Files]]:
    """By format, folders of one file `r`. scratch: an empty folder."""
    mv, fast = signals(5), signals(6, "AF", 250)
    whole, quick = counts(mv).astype(np.int64), counts(fast).astype(np.int64)
    array = io.BytesIO()
    np.save(array, counts(mv))
    files = [
        write_dicom(scratch / "1", [group(mv, 100)], who=True),
        write_dicom(scratch / "2", [group(fast[at : at + 6], 250, LEADS[at : at + 6]) for at in (0, 6)], general=True),
        write_edf(scratch / "3", mv, 100, who=True),
        write_edf(scratch / "4", fast, 250, bdf=True),
        write_csv(scratch / "5", mv),
        write_csv(scratch / "6", mv, header=False, separator=";"),
    ]
    dicom, general, edf, bdf, csv, european = (file.read_bytes() for file in files)
    return {
        "DICOM": _each(dicom, general),
        "EDF": _each(edf, bdf),
        "CSV": _each(csv, european),
        "NumPy": _each(array.getvalue()),
        "aECG": _each(aecg(mv, 100).encode(), aecg(fast, 250).replace("UTF-8", "UTF-16").encode("utf-16")),
        "MUSE": _each(muse(eight(quick).astype(np.int16), 250).encode()),
        "Sierra": _each(sierra(whole, 100).encode(), sierra(quick, 250, packed=False, version="1.03").encode()),
        "SCP-ECG": _each(scp(eight(whole), 100), scp(quick, 250, LEADS, differences=1, table="own"), scp(eight(whole), 100, table="none")),
    }


def _each(*contents: bytes) -> list[Files]:
    return [{"r": content} for content in contents]
