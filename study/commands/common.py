"""What commands share: which database, who asks, which checkpoint and device."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator.request import DrawRequest
from storage import people as stored_people
from storage.database import Database
from study import people, rounds, studies
from study.errors import StudyError
from study.people import Person
from study.progress_bar import ProgressBar
from study.roles import Role
from study.settings import Settings

if TYPE_CHECKING:
    from generator.sssd.draw import Drawn


@contextmanager
def database(given: argparse.Namespace) -> Iterator[Database]:
    db = Database(Settings.from_environment(given.db).database)
    try:
        db.migrate()
        yield db
    finally:
        db.close()


@contextmanager
def of_study(given: argparse.Namespace) -> Iterator[tuple[Database, Person, int]]:
    """The database, who asks, and the study they name by title or number."""
    with database(given) as db:
        person = asker(db, given.username)
        there = studies.studies(db, person)
        named = [one.id for one in there if given.study.casefold() == one.title.casefold()]
        numbered = [one.id for one in there if given.study == str(one.id)]
        if not named and not numbered:
            raise StudyError(f"There is no study {given.study!r}. See: blindstrip study list")
        yield db, person, (named or numbered)[0]


def asker(db: Database, username: str | None) -> Person:
    """Whom --as names, else the only administrator, else, where there is none, the only coordinator."""
    if username is not None:
        return person_named(db, username)
    with db.read() as session:
        everybody = stored_people.everybody(session)
    for role in (Role.ADMIN, Role.COORDINATOR):
        holders = [one.username for one in everybody if one.role == role]
        if len(holders) == 1:
            return person_named(db, holders[0])
        if holders:
            raise StudyError(f"{len(holders)} people have the role {role}. Say who asks with --as: {', '.join(holders)}.")
    raise StudyError("Nobody in this database could ask. Check --db, or begin with: blindstrip people add USERNAME --name NAME --role admin")


def person_named(db: Database, username: str) -> Person:
    person = people.person_by_username(db, username)
    if person is None:
        raise StudyError(f"There is nobody with the user name {username!r}. See: blindstrip people list")
    return person


def public(person: Person) -> dict[str, Any]:
    return {"username": person.username, "name": person.name, "role": person.role.value, "site": person.site, "demo": person.demo}


def password(file: Path | None) -> str:
    """The first line of the file or, without one, of standard input; asked for twice at a keyboard."""
    if file is not None:
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            password = lines.readline()
    elif sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise StudyError("The two passwords differ. Try again.")
    else:
        password = sys.stdin.readline()
    if not password.strip("\r\n"):
        raise StudyError("There is no password. Write it to standard input, or into a file's first line and name it with --password-file.")
    return password.rstrip("\r\n")


def own_folder(folder: Path) -> Path:
    """The folder, made where it is missing. Raises StudyError before hours of work come to nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"The folder {folder} cannot be made: {error.strerror}. Name another with --out.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StudyError(f"The folder {folder} is not yours to write to. Name another with --out.")
    return folder


def check_device(name: str) -> None:
    import torch

    try:
        if name == "auto" or torch.empty(0, device=name).device.type in ("cpu", "cuda"):
            return
    except (RuntimeError, AssertionError):  # unknown words, and GPUs that are not there
        pass
    raise StudyError(f"There is no device {name!r} here. Choose auto, cpu, or a GPU that PyTorch sees: cuda, cuda:1 ...")


def checkpoint_folder(given: argparse.Namespace) -> Path | None:
    """The folder asked for, else that of BLINDSTRIP_CHECKPOINT, else None: the one that ships."""
    return getattr(given, "checkpoint", None) or Settings.from_environment(given.db).checkpoint


def local_drawer(checkpoint: Path | None, *, quiet: bool = False) -> rounds.Draw:
    """Draws in this process: a command has it to itself."""

    def draw(request: DrawRequest, *, first: int = 0) -> Sequence[Drawn]:
        from generator.sssd import draw as generator

        model = generator.load(checkpoint)
        made = generator.provenance(request, model)
        with ProgressBar(f"{request.rhythm} strips") as bar:
            samples = generator.draw(request, first=first, checkpoint=model, progress=None if quiet else bar)
        return [replace(one, conditions={**one.conditions, **made}) for one in samples]

    return draw
