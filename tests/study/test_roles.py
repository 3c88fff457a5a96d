"""Every role against everything that study offers. What may be done by whom is written out here, apart from study.roles."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import study
from storage.database import Database
from study import jobs
from study.answers import Answer
from study.errors import NotAllowed, Problems
from study.people import Person
from study.practice_round import PracticePlan
from study.protocol import Protocol
from study.roles import Role
from study.round_plan import RoundPlan
from tests.databases import new_url
from tests.study.hospital import Hospital, hospital

READERS = {Role.READER}
CONDUCT = {Role.COORDINATOR, Role.ADMIN}
ALL_BUT_READERS = {Role.COORDINATOR, Role.RESEARCHER, Role.ADMIN}
MATERIAL = {Role.RESEARCHER, Role.ADMIN}
EVERYBODY = set(Role)

WHO_MAY: dict[str, set[Role]] = {
    # read
    **dict.fromkeys(("cases.of_round", "cases.of_practice", "printing.strip_pdf"), READERS),
    **dict.fromkeys((f"practice.{name}" for name in ("to_practise", "progress", "next_case", "submit", "last_lesson")), READERS),
    **dict.fromkeys((f"reading.{name}" for name in ("rounds_to_read", "next_case", "show", "case_again", "submit", "revise")), READERS),
    **dict.fromkeys(("signing.answers_of_round", "signing.sign", "screens.scales", "screens.calibrate"), READERS),
    # conduct
    **dict.fromkeys(("amendments.edit_protocol", "amendments.amend", "closing.close_round", "studies.create_study", "studies.add_readers"), CONDUCT),
    **dict.fromkeys(("studies.readers_to_add", "people.readers_to_choose", "leak_gate.last_refusal"), CONDUCT),
    **dict.fromkeys(("round_plan.check_plan", "round_plan.preview", "rounds.open_round", "jobs.ask round"), CONDUCT),
    **dict.fromkeys(("practice_round.check_practice", "practice_round.open_practice", "jobs.ask practice"), CONDUCT),
    **dict.fromkeys(("people.waiting", "people.to_manage", "people.delete_person", "people.set_email"), CONDUCT),
    **dict.fromkeys(("invitations.invite", "invitations.new_link"), CONDUCT),
    "people.change_role": {Role.ADMIN},
    "metrics.state": {Role.ADMIN},
    "people.people": EVERYBODY,
    # follow, unblind, see results
    **dict.fromkeys(("studies.studies", "studies.study", "order_diagnostics.order_diagnostics", "commitment.published"), ALL_BUT_READERS),
    **dict.fromkeys(("unblinding.ask", "unblinding.withdraw", "unblinding.confirm"), ALL_BUT_READERS),
    **dict.fromkeys(("results.results", "results.unblinded", "results.names", "utility.stored_utility", "jobs.ask utility"), ALL_BUT_READERS),
    **dict.fromkeys(("unblinded_strips.on_paper", "unblinded_strips.strip_page"), ALL_BUT_READERS),
    **dict.fromkeys(("bundle.bundle", "strip_export.strips_as", "report.document.document"), ALL_BUT_READERS),
    # recordings and synthetic strips
    **dict.fromkeys(("intake.import_recordings", "jobs.ask import", "jobs.ask fetch", "jobs.ask draw"), MATERIAL),
    **dict.fromkeys(("checkpoints.known", "speed.estimate"), MATERIAL),
    **dict.fromkeys((f"quality.{name}" for name in ("check", "latest", "strip_counts")), MATERIAL),
    **dict.fromkeys(("strip_sets.choices", "worth.check", "worth.results", "worth.shown", "jobs.ask worth"), MATERIAL),
    **dict.fromkeys(("strips.gallery", "strips.collections", "strips.recordings", "jobs.ask quality"), MATERIAL),
    **dict.fromkeys(("rejections.of_job", "rejections.of_gallery"), MATERIAL),
}
THE_PROGRAM_MAY = {"intake.import_recordings"}  # where nobody asks: the demo
OTHERWISE = {  # what takes a person and asks for no role, and why
    **dict.fromkeys(("jobs.job", "jobs.active_jobs", "jobs.recent_jobs", "jobs.cancel"), "one's own work alone: test_jobs"),
    "cases.answered": "says so on the desk: test_reading_screen",
    "jobs.ask": "by the kind of work: above",
    **dict.fromkeys(("sign_in.confirm", "sign_in.has_password", "sign_in.change_password"), "of oneself alone"),
    **dict.fromkeys(("overview.sees_all", "overview.sees", "people.refuse_way_in"), "answers a question of whom it was asked for"),
    **dict.fromkeys(("overview.detail", "studies.study_to_see", "studies.study_to_change"), "inside a transaction whose function has asked"),
    "round_plan.check": "likewise",
    **dict.fromkeys(("commitment.commit", "exports.note"), "inside the opening of a round, or an export, which has asked"),
    "commands.common.public": "what a command says of a person",
}


def offered() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function of study that takes a person."""
    for found in pkgutil.walk_packages(study.__path__, "study."):
        module = importlib.import_module(found.name)
        for name, function in vars(module).items():
            own = inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
            if own and {"Person", "Person | None"} & {kind for of, kind in function.__annotations__.items() if of != "return"}:
                yield f"{found.name.removeprefix('study.')}.{name}", function


FUNCTIONS = dict(offered())


def test_everything_that_takes_a_person_is_in_the_table() -> None:
    listed = {name for name in WHO_MAY if not name.startswith("jobs.ask ")} | set(OTHERWISE)
    assert set(FUNCTIONS) == listed


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    db = Database(new_url(tmp_path_factory.mktemp("roles")))
    db.migrate()
    yield hospital(db)
    db.close()


NOWHERE = 999_999  # no study, round or person: who may ask hears that there is none, and nothing changes


def asked(house: Hospital, function: Callable[..., Any], session: object, person: Person | None, folder: Path) -> None:
    plan = PracticePlan(cases=6) if "practice" in function.__module__ else RoundPlan(cases=12)
    given = {
        **dict.fromkeys(("study_id", "round_id", "person_id", "job_id", "number", "attempt", "position"), NOWHERE),
        **{"db": house.db, "by": person, "person": person, "session": session, "plan": plan, "protocol": Protocol(), "reason": "why"},
        **{"answer": Answer(realism=1, rhythm="NSR", morphology={}, cues=[], comment=""), "code": "no such case", "sent": {}, "shown_at": None},
        **{"username": "x", "name": "", "role": Role.READER, "site": None, "email": None, "title": "", "reader_ids": [], "draw": None},
        **{"directory": folder / "nothing", "asked": {}, "given": {}, "form": "html", "members": [], "screen": "", "pixels_per_mm": 0.0},
        **{"cases": [], "request": None, "folder": folder / "nothing", "collection": "none", "rhythm": "NSR", "password": ""},
    }
    needed = [name for name, one in inspect.signature(function).parameters.items() if one.default is inspect.Parameter.empty]
    function(**{name: given[name] for name in needed})


@pytest.mark.parametrize("name", sorted(WHO_MAY))
def test_every_role_against_every_action(house: Hospital, tmp_path: Path, name: str) -> None:
    people = {Role.READER: house.readers[0], Role.COORDINATOR: house.coordinator, Role.RESEARCHER: house.researcher, Role.ADMIN: house.admin}
    refused = set()
    for role in (None, *Role):
        person = people[role] if role else None
        with house.db.read() as session:
            try:
                if name.startswith("jobs.ask "):
                    jobs.ask(house.db, person, name.removeprefix("jobs.ask "), {})
                else:
                    asked(house, FUNCTIONS[name], session, person, tmp_path)
            except NotAllowed:
                refused.add(role)
            except Problems:
                pass
    assert refused == {None, *Role} - WHO_MAY[name] - ({None} if name in THE_PROGRAM_MAY else set())
