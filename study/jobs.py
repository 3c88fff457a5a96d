"""Asking for work that takes long: a row that the runner takes up. Any screen can look at it again, after a reload, from another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from generator.request import DrawRequest, shipped_checkpoint
from generator.sssd.config import check_request
from storage import audit
from storage import jobs as stored
from storage.database import Database
from storage.jobs import JobRow
from study import checkpoints
from study.errors import NotAllowed, StudyError
from study.people import Person, can_set_up
from study.roles import Action, Role, demand

KINDS = ("draw", "import", "fetch", "round", "practice", "demo", "utility", "quality", "worth")
LARGEST_SEED = 2**53 - 1  # what a browser counts exactly


def ask(db: Database, person: Person | None, kind: str, asked: Mapping[str, Any]) -> int:
    """The id of the job: a new one, or the person's active one of this kind (a second click asks once).

    draw: {"request": DrawRequest.as_dict(), "checkpoint": folder or None}, strips for the gallery;
    import: {"directory": folder, "labels": CSV or None, "temporary": whether the folder goes when it is done};
    fetch: {"collection", "rhythms", "n", "folds", "seed"} of study.fetch.Asked and "accepted": whether the person accepts its licence;
    round: {"study_id": id, "plan": RoundPlan as a dict}; practice: likewise, with a PracticePlan; utility: {"study_id": id};
    quality: study.quality.Asked as a dict; worth: study.worth.Asked as a dict;
    demo: {}, asked by nobody (person None) while nobody real is in the database.
    Raises NotAllowed, or StudyError / GeneratorError for what would fail anyway and for something else of a kind that is being worked on.
    """
    if kind not in KINDS:
        raise StudyError(f"There is no work of kind {kind!r}. Choose one of {', '.join(KINDS)}.")
    checked, total = _CHECKS[kind](db, person, dict(asked))
    with db.write() as session:
        running = stored.of_person(session, person.id if person else None, kind=kind, active=True, limit=1)
        if running and running[0].asked != checked:
            raise StudyError("Other work of this kind that you asked for is not finished. Wait for it, or cancel it.")
        if running:
            return running[0].id
        job_id = stored.add(session, kind, person.id if person else None, checked, total)
        # no seed of a round: it would tell the arms
        told = checked if kind in ("draw", "fetch") else {"kind": kind, "study": checked.get("study_id")}
        audit.append(session, person.id if person else None, "drawing asked" if kind == "draw" else "work asked", f"job {job_id}", told)
    return job_id


def job(db: Database, person: Person | None, job_id: int) -> JobRow:
    """How the job stands. Raises NotAllowed for somebody else's (admins may see all; anybody the demo's)."""
    with db.read() as session:
        row = stored.get(session, job_id)
    _demand_own(person, row)
    return row


def active_jobs(db: Database, person: Person | None, kind: str | None = None) -> list[JobRow]:
    """The person's jobs that are queued, running or being cancelled, newest first (None: the demo's)."""
    with db.read() as session:
        return stored.of_person(session, person.id if person else None, kind=kind, active=True)


def recent_jobs(db: Database, person: Person | None, kind: str | None = None, limit: int = 5) -> list[JobRow]:
    """The person's latest jobs, ended ones included, newest first."""
    with db.read() as session:
        return stored.of_person(session, person.id if person else None, kind=kind, limit=limit)


def cancel(db: Database, person: Person | None, job_id: int) -> None:
    """Ask it to stop; within seconds its status is cancelled. What it stored by then stays. An ended job stays as it is."""
    with db.write() as session:
        before = stored.get(session, job_id)
        _demand_own(person, before)
        stored.request_cancel(session, job_id)
        states = {"from": before.status, "to": stored.get(session, job_id).status}
        if states["from"] != states["to"]:
            audit.append(session, person.id if person else None, "work cancelled", f"job {job_id}", states)


def _demand_own(person: Person | None, row: JobRow) -> None:
    if row.person_id is None or (person is not None and (person.id == row.person_id or person.role is Role.ADMIN)):
        return
    raise NotAllowed("This work was asked for by somebody else. Ask them, or an admin.")


def _check_draw(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    demand(person, Action.DRAW_STRIPS)
    _only(asked, {"request"}, {"checkpoint"})
    request = DrawRequest.from_dict(asked["request"])
    if request.seed > LARGEST_SEED:
        raise StudyError(f"seed is {request.seed}. Choose at most {LARGEST_SEED}.")
    folder = _checkpoint(asked.get("checkpoint"))
    check_request(request, checkpoints.read(Path(folder) if folder else shipped_checkpoint()))
    return {"request": request.as_dict(), "checkpoint": folder}, request.n


def _check_import(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    demand(person, Action.IMPORT_RECORDINGS)
    _only(asked, {"directory"}, {"labels", "temporary"})
    directory = Path(asked["directory"]).expanduser()
    if not asked["directory"] or not directory.is_absolute() or not directory.is_dir():
        raise StudyError(f"Folder {str(asked['directory'])!r}: no folder on the server. Name the folder that holds the recordings, from the root on.")
    labels = asked.get("labels")
    return {"directory": str(directory), "labels": str(labels) if labels else None, "temporary": bool(asked.get("temporary"))}, 0


def _check_fetch(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from study import fetch

    demand(person, Action.IMPORT_RECORDINGS)
    _only(asked, {"collection", "rhythms", "n", "folds", "seed", "accepted"})
    if person is not None and person.demo:
        raise StudyError("The demo downloads nothing: whoever opens it has not signed in. Set up a study, or use `blindstrip fetch` on the server.")
    accepted = asked.pop("accepted")
    wanted = fetch.Asked.from_dict(asked)
    fetch.demand_consent(wanted, accepted is True)
    if wanted.n is None or wanted.n > fetch.MOST_FROM_A_SCREEN:
        raise StudyError(f"Fetch at most {fetch.MOST_FROM_A_SCREEN} recordings here; `blindstrip fetch` takes any number.")
    return {**wanted.as_dict(), "licence": wanted.of.licence}, 0


def _check_round(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from study.round_plan import RoundPlan, check_plan

    by, study_id, plan = _asked_of_study(person, asked)
    check_plan(db, by, study_id, RoundPlan.from_dict(plan))
    return {"study_id": study_id, "plan": plan}, 0


def _check_practice(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from study.practice_round import PracticePlan, check_practice

    by, study_id, plan = _asked_of_study(person, asked)
    check_practice(db, by, study_id, PracticePlan.from_dict(plan))
    return {"study_id": study_id, "plan": plan}, 0


def _asked_of_study(person: Person | None, asked: dict[str, Any]) -> tuple[Person, int, dict[str, Any]]:
    demand(person, Action.OPEN_ROUNDS)
    assert person is not None
    _only(asked, {"study_id", "plan"})
    plan = dict(asked["plan"])
    plan["checkpoint"] = _checkpoint(plan.get("checkpoint"))
    return person, int(asked["study_id"]), plan


def _check_utility(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    demand(person, Action.SEE_RESULTS)
    _only(asked, {"study_id"})
    return {"study_id": int(asked["study_id"])}, 0


def _check_quality(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from study import quality

    return quality.check(db, person, asked), 0


def _check_worth(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from study import worth

    return worth.check(db, person, asked), 0


def _check_demo(db: Database, person: Person | None, asked: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from study import fetch

    _only(asked, set(), {"collection"})
    if person is not None or not can_set_up(db):
        raise StudyError("The demo is made in an empty database only. Start blindstrip with another one (BLINDSTRIP_DATABASE) to look around.")
    if (collection := asked.get("collection")) is not None:
        fetch.check_fetched(collection)
    return {"collection": collection}, 0


_CHECKS: dict[str, Callable[[Database, Person | None, dict[str, Any]], tuple[dict[str, Any], int]]] = {
    "draw": _check_draw,
    "import": _check_import,
    "fetch": _check_fetch,
    "round": _check_round,
    "practice": _check_practice,
    "utility": _check_utility,
    "quality": _check_quality,
    "worth": _check_worth,
    "demo": _check_demo,
}


def _only(asked: dict[str, Any], needed: set[str], optional: set[str] | None = None) -> None:
    missing, unknown = sorted(needed - set(asked)), sorted(set(asked) - needed - (optional or set()))
    if missing or unknown:
        raise StudyError(f"The work was asked for with {missing or 'nothing'} missing and {unknown or 'nothing'} unknown. Reload the page.")


def _checkpoint(named: str | None) -> str | None:
    """The folder asked for, else the one of BLINDSTRIP_CHECKPOINT; None for the one that ships, which workers have where they are."""
    folder = Path(named).expanduser() if named else checkpoints.default()
    return None if folder == shipped_checkpoint() else str(folder)
