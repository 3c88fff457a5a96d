"""Studies: set up, changed until they freeze, and what may be seen of them before unblinding: progress, never accuracy."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from storage import audit, closings, parts
from storage import people as stored_people
from storage import studies as stored
from storage.database import Database
from study import allocation, overview, people, rotation
from study.errors import NotAllowed, StudyError
from study.overview import StudyDetail, StudySummary
from study.people import Person
from study.protocol import Protocol
from study.roles import Action, Role, demand

TITLE_LENGTH = 200


def create_study(db: Database, by: Person, title: str, protocol: Protocol, reader_ids: Sequence[int], *, recordings: bool | None = None) -> int:
    """The new study's id; a demo person's study is a demo study. Readers can be added later.

    recordings: whether a demo study shows recordings or stand-ins for them; None: as the demo's other studies, stand-ins if it is the first.

    Raises NotAllowed, StudyError for a title or reader that will not do, StorageError for a title that is taken.
    """
    demand(by, Action.MANAGE_STUDIES)
    title = " ".join(title.split())
    if not 1 <= len(title) <= TITLE_LENGTH or not title.isprintable():
        raise StudyError(f"title: write 1 to {TITLE_LENGTH} characters on one line.")
    with db.write() as session:
        readers = _checked_readers(session, by, reader_ids, conducted_by={by.id})
        if recordings is None:
            recordings = any(study.demo and not study.stand_ins for study in stored.all_studies(session))
        stand_ins = by.demo and not recordings
        study_id = stored.add_study(
            session,
            title=title,
            demo=by.demo,
            stand_ins=stand_ins,
            protocol=protocol.as_dict(),
            protocol_hash=protocol.hash(),
            seed=secrets.randbelow(2**31),
            created_by=by.id,
        )
        stored.add_readers(session, study_id, readers)
        audit.append(
            session,
            by.id,
            "study set up",
            f"study {study_id}",
            {
                "title": title,
                "demo": by.demo,
                "stand_ins": stand_ins,
                "protocol": protocol.as_dict(),
                "protocol_hash": protocol.hash(),
                "readers": readers,
            },
        )
    return study_id


def add_readers(db: Database, by: Person, study_id: int, reader_ids: Sequence[int]) -> None:
    """Adds readers; in rounds that are open they get an order of their own from the round's seed, as if they had been there from the start.

    Where cases rotate, they read what everybody reads and the cases given to fewest readers; nobody else's order changes.
    """
    demand(by, Action.MANAGE_STUDIES)
    with db.write() as session:
        study = study_to_change(session, by, study_id)
        refuse_when_unblinding_asked(study)
        there = {reader.id for reader in stored.readers(session, study_id)}
        conductors, makers = parts.conductors(session, study_id), parts.makers(session, study_id)
        checked = _checked_readers(session, by, reader_ids, conducted_by=conductors, made_by=makers, any_site=overview.sees_all(by, study))
        new = [reader_id for reader_id in checked if reader_id not in there]
        if not new:
            return
        stored.add_readers(session, study_id, new)
        if opened := stored.practice_round(session, study_id):
            place(session, opened.id, opened.plan, stored.cases(session, study_id, practice=True), new)
        for reader_id in new:  # one after another: each share counts the readers before
            _place_in_rounds(session, study_id, reader_id)
        detail = {"from": sorted(there), "to": sorted({*there, *new}), "readers": new}
        audit.append(session, by.id, "readers added", f"study {study_id}", detail)


def readers_to_add(db: Database, by: Person, study_id: int) -> list[Person]:
    """Who could be added: readers of all sites for who leads the study, of their own site for other coordinators. Raises NotAllowed."""
    demand(by, Action.MANAGE_STUDIES)
    with db.read() as session:
        found = study_to_see(session, by, study_id)
        there = {reader.id for reader in stored.readers(session, study_id)}
        excluded = there | parts.conductors(session, study_id) | parts.makers(session, study_id)
    everybody, any_site = people.readers_to_choose(db, by), overview.sees_all(by, found)
    return [one for one in everybody if one.id not in excluded and (any_site or one.site == by.site)]


def studies(db: Database, person: Person) -> list[StudySummary]:
    """Newest first; demo people see demo studies only. Raises NotAllowed for readers, who see their rounds instead."""
    demand(person, Action.SEE_STUDIES)
    with db.read() as session:
        return [overview.summary(session, study) for study in stored.all_studies(session) if study.demo or not person.demo]


def study(db: Database, person: Person, study_id: int) -> StudyDetail:
    """Everything but the arms, the answers and the seeds; of its readers, those whom `overview.sees` names.

    Raises NotAllowed, or StorageError for an unknown id.
    """
    demand(person, Action.SEE_STUDIES)
    with db.read() as session:
        return overview.detail(session, study_to_see(session, person, study_id), person)


def study_to_see(session: Session, person: Person, study_id: int, *, lock: bool = False) -> stored.StudyRow:
    """The study's row, if this person's world (the demo, or the real one) includes it."""
    found = stored.study(session, study_id, lock=lock)
    if person.demo and not found.demo:
        raise NotAllowed("The demo's people see demo studies only.")
    return found


def study_to_change(session: Session, person: Person, study_id: int, *, lock: bool = True) -> stored.StudyRow:
    """The study's row, if this person's world includes it and it is still blind; locked until the commit (lock=False to read only).

    Raises NotAllowed or StudyError.
    """
    found = study_to_see(session, person, study_id, lock=lock)
    if found.demo != person.demo:
        raise NotAllowed(f"{found.title!r} is a demo study: only the demo's people can change it. Set up a study of your own.")
    if found.unblinded_at is not None:
        raise StudyError(f"{found.title!r} was unblinded on {found.unblinded_at:%Y-%m-%d %H:%M} UTC and is closed. Set up another study.")
    return found


def refuse_when_unblinding_asked(study: stored.StudyRow) -> None:
    """Raises StudyError between asking for the unblinding and its confirmation: what was counted then must stay so."""
    if study.unblinding_asked_at is not None:
        raise StudyError(f"Unblinding of {study.title!r} was asked for: withdraw the request before you add to the study.")


def place(
    session: Session,
    round_id: int,
    plan: dict[str, Any],
    cases: Sequence[stored.CaseRow],
    reader_ids: Iterable[int],
    *,
    read_by: Mapping[int, Iterable[int]] | None = None,
) -> None:
    """Gives each reader an order of the round's cases (ascending ids), from the seed in the round's plan. read_by: the case ids of each reader."""
    for reader_id in reader_ids:
        theirs = None if read_by is None else set(read_by[reader_id])
        own = [case for case in cases if theirs is None or case.id in theirs]
        index = {case.id: i for i, case in enumerate(own)}
        repeat_of = {index[case.id]: index[case.repeat_of] for case in own if case.repeat_of in index}
        orders = [
            allocation.order(len(own), repeat_of, plan["min_repeat_distance"], plan["seed"], reader_id, phase=phase)
            for phase in range(1, plan.get("phases", 1) + 1)
        ]
        stored.add_placements(session, round_id, reader_id, *([own[i].id for i in order] for order in orders))


def _place_in_rounds(session: Session, study_id: int, reader_id: int) -> None:
    """A reader who comes after the rounds were opened: what everybody reads, and a share of what rotates."""
    sites = {reader.id: reader.site for reader in stored.readers(session, study_id)}
    given: dict[int, set[int]] = {}  # case id -> its readers
    for row in stored.placements(session, study_id):
        given.setdefault(row.case_id, set()).add(row.reader_id)
    every_case, seen = stored.cases(session, study_id), set[int]()
    closed = {one.round_id for one in closings.of_study(session, study_id)}
    for opened in (one for one in stored.rounds(session, study_id) if one.id not in closed):
        cases = [case for case in every_case if case.round_id == opened.id]
        readers = set().union(*(given[case.id] for case in cases))
        rotating = {case.id: case for case in cases if case.role == "scored" and given[case.id] != readers}
        # a repeat of an earlier round whose case this reader was not given would be no repeat
        own = {
            case.id for case in cases if case.id not in rotating and (case.repeat_of is None or case.repeat_of in seen | {one.id for one in cases})
        }
        pool = {case.id: (case.rhythm, [sites[reader] for reader in given[case.id]]) for case in rotating.values()}
        share = opened.plan["cases"] - (len(cases) - len(rotating)) if rotating else 0
        own |= set(rotation.for_one_more(pool, share, sites[reader_id], opened.plan["seed"], reader_id))
        place(session, opened.id, opened.plan, cases, [reader_id], read_by={reader_id: own})
        seen |= own


def _checked_readers(
    session: Session, by: Person, reader_ids: Sequence[int], *, conducted_by: set[int], made_by: Iterable[int] = (), any_site: bool = True
) -> list[int]:
    checked = []
    for reader_id in dict.fromkeys(reader_ids):
        person = stored_people.by_id(session, reader_id)
        if person is None or not person.active or person.demo != by.demo or not (any_site or person.site == by.site):
            raise StudyError(f"readers: no active person with id {reader_id}. Choose from the list of readers.")
        if person.role != Role.READER:
            raise StudyError(f"readers: {person.name} is a {person.role}, not a reader. Whoever can see where strips come from must not judge them.")
        if reader_id in conducted_by:
            raise StudyError(f"readers: {person.name} has conducted this study in another role. One person holds one role in a study; choose others.")
        if reader_id in made_by:
            raise StudyError(f"readers: {person.name} has imported or drawn strips of this study, and must not judge them. Choose others.")
        checked.append(reader_id)
    return checked
