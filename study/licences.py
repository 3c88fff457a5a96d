"""Under which licence the collections of recordings that blindstrip imports by name are published: said wherever their strips leave the house."""

from __future__ import annotations

from typing import NamedTuple


class Licence(NamedTuple):
    words: str  # the collection, as a paper names it
    terms: str


LICENCES = {
    "PTB-XL": Licence("PTB-XL (doi 10.1038/s41597-020-0495-6)", "CC BY 4.0: name the source wherever you pass strips on"),
    "MIMIC-IV-ECG": Licence("MIMIC-IV-ECG (doi 10.13026/4nqg-sb35)", "open access on PhysioNet: the page of its doi names the licence and its terms"),
    "simulator": Licence("the simulator (stand-ins, no recordings)", "no recording: drawn by blindstrip's own simulator"),
}
UNKNOWN = "not known to blindstrip: ask whoever imported it before you pass strips on"


def terms(collection: str) -> str:
    return LICENCES[collection].terms if collection in LICENCES else UNKNOWN
