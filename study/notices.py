"""What a demo says of itself, on every screen, in every document: whether its real arm is simulated."""

from __future__ import annotations

from generator.physionet import COLLECTIONS
from storage import studies as stored
from storage.database import Database
from storage.studies import StudyRow

STAND_INS = "Demo: the real arm is simulated"
RECORDINGS = "Demo: its readers are simulated"
_SIMULATED = {STAND_INS: "simulated recordings and readers", RECORDINGS: "simulated readers"}
_SAID = {
    STAND_INS: "its 'real' strips were drawn by a simulator and its readers may be simulated",
    RECORDINGS: "its real strips are recordings, its readers may be simulated",
}


def of_study(study: StudyRow) -> str:
    """The badge of a study; empty for one that is no demo."""
    if not study.demo:
        return ""
    return STAND_INS if study.stand_ins else RECORDINGS


def of_the_demo(db: Database) -> str:
    """The badge of screens that show more than one study: with stand-ins in any of them, it says so."""
    with db.read() as session:
        demos = [study for study in stored.all_studies(session) if study.demo]
    return RECORDINGS if demos and not any(study.stand_ins for study in demos) else STAND_INS


def banner(notice: str) -> str:
    """At the head of each page of a demo's documents; empty without a badge."""
    return f"DEMO: {_SIMULATED[notice]}. Nothing here says anything about ECGs or readers." if notice else ""


def sentence(notice: str) -> str:
    """Before a demo's figures."""
    return f"This is a demo: {_SAID[notice]}. Its figures say nothing about ECGs or readers."


def titled(title: str, collection: str | None) -> str:
    """A demo study's title; one with recordings says of which collection."""
    return title if collection is None else f"{title}, {COLLECTIONS[collection].title}"


def made_with(db: Database, collection: str) -> bool:
    """Whether there is a demo study with a collection's recordings."""
    with db.read() as session:
        return any(study.demo and study.title.endswith(titled("", collection)) for study in stored.all_studies(session))
