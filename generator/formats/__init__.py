"""Files of one recording as hospitals have them, beside WFDB. The kind is told by content, never by the file's name.

What is read and what is refused: docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from generator.errors import Refused
from generator.formats import dicom, edf, matrix, scp, xml_file
from generator.formats.leads import Leads, Stated

__all__ = ["Leads", "Stated", "kind", "read"]

HEAD = 4096  # bytes that tell the kind
KNOWN = "DICOM waveform, EDF or BDF, HL7 aECG, GE MUSE XML, Philips Sierra XML, SCP-ECG, CSV, NumPy"


def kind(path: Path) -> str | None:
    """dicom, edf, npy, xml, scp, csv, or None. Raises Refused for a file that cannot be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise Refused("missing file", f"{path}: {error.strerror or error}. Import the folder with all its files.") from error
    return next((name for name, (is_one, _) in _KINDS.items() if is_one(head)), None)


def read(path: Path, stated: Stated | None = None) -> Leads:
    """The leads of a file in mV. stated: what a CSV or NumPy file cannot say. Raises Refused, and nothing else."""
    found = kind(path)
    if found is None:
        raise Refused("unknown format", f"{path}: of no kind that is read ({KNOWN}, WFDB with its .hea). Export it as one of these.")
    return _KINDS[found][1](path, stated or Stated())


_KINDS: dict[str, tuple[Callable[[bytes], bool], Callable[[Path, Stated], Leads]]] = {
    "dicom": (dicom.is_one, dicom.read),
    "edf": (edf.is_one, edf.read),
    "npy": (matrix.is_npy, matrix.read_npy),
    "scp": (scp.is_one, scp.read),
    "xml": (xml_file.is_one, xml_file.read),
    "csv": (matrix.is_csv, matrix.read_csv),
}
