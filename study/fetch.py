"""Recordings from PhysioNet, for the command and for the runner: what may be asked for, and that somebody consents to the licence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.physionet import COLLECTIONS, PHYSIONET, Choice, Collection, Fetched
from generator.request import RHYTHMS
from storage.database import Database
from study import notices, people
from study.errors import StudyError
from study.settings import HOME, Settings

if TYPE_CHECKING:
    from generator.physionet.downloads import Progress

RECORDINGS = f"{HOME}/recordings"  # where fetched ones lie unless another folder is named, a folder a collection
MOST_FROM_A_SCREEN = 2000  # recordings; the command takes any number


@dataclass(frozen=True)
class Asked:
    """Raises StudyError for what no collection could answer, before anything is downloaded."""

    collection: str
    rhythms: tuple[str, ...] = RHYTHMS
    n: int | None = None  # recordings in all; None: every one
    folds: tuple[int, int] | None = None  # first and last
    seed: int = 0

    def __post_init__(self) -> None:
        if self.collection not in COLLECTIONS:
            raise StudyError(f"There is no collection {self.collection!r} to fetch. Choose one of {', '.join(COLLECTIONS)}.")
        if not self.rhythms or not set(self.rhythms) <= set(RHYTHMS) or len(set(self.rhythms)) < len(self.rhythms):
            raise StudyError(f"Rhythms {', '.join(self.rhythms) or 'none'}: choose of {', '.join(RHYTHMS)}, each once.")
        if self.n is not None and self.n < len(self.rhythms):
            raise StudyError(f"{self.n} recordings of {len(self.rhythms)} rhythms cannot be. Ask for more.")
        folds = self.of.folds
        if self.folds is not None and folds is None:
            raise StudyError(f"{self.of.title} is not split into folds. Leave them out.")
        if self.folds is not None and folds is not None and not folds[0] <= self.folds[0] <= self.folds[1] <= folds[-1]:
            raise StudyError(f"{self.of.title} has folds {folds[0]} to {folds[-1]}. Choose among them.")

    @property
    def of(self) -> Collection:
        return COLLECTIONS[self.collection]

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Asked:
        """What `as_dict` gave, after a way through JSON."""
        return cls(**{**given, "rhythms": tuple(given["rhythms"]), "folds": tuple(given["folds"]) if given.get("folds") else None})

    def as_dict(self) -> dict[str, Any]:
        folds = list(self.folds) if self.folds else None
        return {"collection": self.collection, "rhythms": list(self.rhythms), "n": self.n, "folds": folds, "seed": self.seed}


def folder_of(collection: str) -> Path:
    return Path(RECORDINGS).expanduser() / collection


def fetched() -> list[str]:
    """The collections of which `fetch` has put recordings where it puts them unless told otherwise."""
    return [name for name in COLLECTIONS if any(folder_of(name).glob("*.csv"))]  # its tables, which are written last


def for_the_demo(db: Database) -> list[tuple[str, str]]:
    """Name and title of collections with whose recordings the demo could be made and has not been; none once there are real people."""
    if not people.can_set_up(db):
        return []
    return [(name, COLLECTIONS[name].title) for name in fetched() if not notices.made_with(db, name)]


def check_fetched(collection: str) -> None:
    """Raises StudyError for a collection of which nothing was fetched to where `blindstrip fetch` puts it."""
    if collection not in fetched():
        raise StudyError(
            f"{collection}: no recordings in {RECORDINGS}/{collection}. Fetch some (`blindstrip fetch {collection} --n 200`), "
            "or make the demo with stand-ins."
        )


def demand_consent(asked: Asked, accepted: bool) -> None:
    """Raises StudyError, which names the licence, unless somebody accepts it."""
    if not accepted:
        raise StudyError(f"{asked.of.consent}. Nothing is fetched unless you accept it: read it, then say so (--accept-licence for the command).")


def fetch(
    asked: Asked,
    directory: Path,
    *,
    accepted: bool,
    mirror: str | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Fetched:
    """Recordings of a collection into a folder, for the ordinary import to take. mirror: in place of BLINDSTRIP_PHYSIONET, or of PhysioNet.

    Raises StudyError without consent to the licence; GeneratorError and Cancelled as generator.physionet.fetching.
    """
    from generator.physionet import fetching

    demand_consent(asked, accepted)
    folds = frozenset(range(asked.folds[0], asked.folds[1] + 1)) if asked.folds else None
    choice = Choice(asked.rhythms, asked.n, folds, asked.seed)
    base = mirror or Settings.from_environment().physionet or PHYSIONET
    return fetching.fetch(asked.of, directory, choice, base=base, progress=progress, cancelled=cancelled)
