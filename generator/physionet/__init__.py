"""Collections of PhysioNet come in over the network: their tables first, then the files of the recordings that are chosen from them, and no others.

Here is what they are, for whoever asks; how they come is in generator.physionet.fetching.
"""

from __future__ import annotations

from dataclasses import dataclass

from generator.request import RHYTHMS

PHYSIONET = "https://physionet.org/files/"


@dataclass(frozen=True)
class Collection:
    name: str  # in addresses and folders
    title: str
    version: str
    licence: str
    page: str  # where licence and citation stand
    folds: range | None  # as it splits itself, by patient
    age_and_sex: bool  # whether its tables tell them

    @property
    def consent(self) -> str:
        """What somebody consents to."""
        return f"{self.title} {self.version} is published under the licence {self.licence}: {self.page}"


COLLECTIONS = {
    "ptb-xl": Collection(
        name="ptb-xl",
        title="PTB-XL",
        version="1.0.3",
        licence="Creative Commons Attribution 4.0 (CC BY 4.0)",
        page="https://doi.org/10.13026/kfzx-aw45",
        folds=range(1, 11),
        age_and_sex=True,
    ),
    "mimic-iv-ecg": Collection(
        name="mimic-iv-ecg",
        title="MIMIC-IV-ECG",
        version="1.0",
        licence="Open Data Commons Open Database License 1.0 (ODbL)",
        page="https://doi.org/10.13026/4nqg-sb35",
        folds=None,
        age_and_sex=False,
    ),
}


@dataclass(frozen=True)
class Choice:
    """rhythms: the first has the odd recording. n: recordings in all (None: every one); folds: as the collection splits itself (None: all)."""

    rhythms: tuple[str, ...] = RHYTHMS
    n: int | None = None
    folds: frozenset[int] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Fetched:
    """What lies in the folder now. missing: what could not be had, by the record's place: why."""

    chosen: int
    recordings: int  # in the folder: of this choice and of earlier ones
    downloaded_bytes: int
    missing: dict[str, str]
