"""Whether a file says of itself that no patient's heart made its signal, as those do that blindstrip writes (generator.formats.write)."""

from __future__ import annotations

import re
from pathlib import Path

SYNTHETIC = "SYNTHETIC"

_HEAD = 1 << 16  # bytes: a whole WFDB header, all of a DICOM file before its waveform, several rows of a CSV
_SAYS = re.compile(
    rb"^#[ \t]*SYNTHETIC\b"  # a comment of a WFDB header
    rb"|SYNTHETIC\^NOT A PATIENT"  # DICOM's patient's name
    rb"|\A0 {7}SYNTHETIC "  # EDF's patient
    rb"|,SYNTHETIC\r?$",  # the last column of a CSV
    re.MULTILINE,
)


def says_synthetic(path: Path) -> bool:
    """path: of a WFDB record without extension, or of any other file. False for one that cannot be opened: whoever reads it says so."""
    header = path.with_name(path.name + ".hea")
    try:
        with (header if header.is_file() else path).open("rb") as file:
            return _SAYS.search(file.read(_HEAD)) is not None
    except OSError:
        return False
