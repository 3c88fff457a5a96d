"""What each command does: its arguments in, what --json says out. Heavy libraries are imported by the commands that need them."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.errors import Refused
from generator.recordings import Candidate, WrittenStrip, find, read_all, write_folder
from generator.request import RHYTHMS, DrawRequest
from generator.strip import Counts
from storage import audit
from storage import people as stored_people
from storage.database import Database
from study import intake, people, rounds, studies, unblinding
from study.errors import StudyError
from study.people import Person
from study.progress_bar import ProgressBar, say
from study.protocol import Protocol
from study.roles import Action, Role, demand
from study.settings import Settings

if TYPE_CHECKING:
    from generator.sssd.draw import Drawn

# ---- strips ----


def import_recordings(given: argparse.Namespace) -> dict[str, Any]:
    with _database(given) as db, ProgressBar("recordings") as bar:
        done = intake.import_recordings(db, None, given.directory, given.labels, bar)
    for message in (message for messages in done.refused.values() for message in messages):
        say(f"refused: {message}")
    for reason, number in done.left_out.items():
        say(f"left out: {number} rows of the table, {reason}")
    return {
        "imported": done.imported,
        "already_present": done.already_present,
        "refused": {reason: len(messages) for reason, messages in done.refused.items()},
    }


def train(given: argparse.Namespace) -> dict[str, Any]:
    from generator.request import checkpoint_sha256
    from generator.sssd import checkpoint
    from generator.sssd import train as training

    _check_device(given.device)
    candidates = _in_folds(find(given.records, given.labels).candidates, given.folds, given.records)
    out = training.train(candidates, _own_folder(given.out), given.minutes, device=given.device, seed=given.seed)
    return {"out": str(out), "checkpoint": checkpoint_sha256(out), "recordings": len(candidates), **checkpoint.read_config(out).trained}


def sample(given: argparse.Namespace) -> dict[str, Any]:
    from generator.sssd import draw

    settings = ("rhythm", "n", "seed", "steps", "sampler", "guidance", "heart_rate")
    request = DrawRequest(**{name: getattr(given, name) for name in settings})
    _check_device(given.device)
    if any(_own_folder(given.out).iterdir()):
        raise StudyError(f"{given.out} holds files already. Name an empty folder, or a new one, with --out.")
    model = draw.load(_checkpoint(given), given.device)
    with ProgressBar(f"{request.rhythm} strips") as bar:
        samples = draw.draw(request, checkpoint=model, progress=bar)
    accepted = [(one.number, one.counts, one.conditions) for one in samples if one.counts is not None]
    strips = [WrittenStrip(counts, request.rhythm, request.seed, number, {"conditions": conditions}) for number, counts, conditions in accepted]
    rejected = [{"number": one.number, "reason": one.rejected} for one in samples if one.counts is None]
    reasons = Counter(str(one.rejected) for one in samples if one.counts is None)
    if not strips:
        raise StudyError(f"All {request.n} samples were rejected ({_counted(reasons)}). Choose more steps, or another checkpoint.")
    if rejected:
        say(f"rejected: {len(rejected)} of {request.n} samples ({_counted(reasons)}); the manifest lists them")
    made = draw.provenance(request, model)
    write_folder(given.out, strips, {"drawn_by": "blindstrip", **made, "rejected": rejected})
    return {"out": str(given.out), "drawn": len(strips), "rejected": len(rejected), "checkpoint": made["checkpoint"], "seed": request.seed}


def utility(given: argparse.Namespace) -> dict[str, Any]:
    from generator.utility import labelled
    from generator.utility import utility as utility_of

    sources = (([given.train_real], given.train_folds), ([given.test_real], given.test_folds), (given.synthetic, None))
    listed = [_listed(folders, folds) for folders, folds in sources]  # all of them before any is read
    read = [_read(candidates) for candidates in listed]
    tables = [labelled(counts, [one.rhythm for one in candidates], [one.patient for one in candidates]) for candidates, counts in read]
    return utility_of(*tables, seed=given.seed)


def leak(given: argparse.Namespace) -> dict[str, Any]:
    from generator.leak import leak as gate

    listed = [_listed(folders) for folders in (given.real, given.synthetic)]
    chosen = listed if given.n is None else [_chosen(candidates, given.n, given.seed) for candidates in listed]
    (_, real), (_, synthetic) = (_read(candidates) for candidates in chosen)
    return gate(real, synthetic, given.seed).as_dict()


# ---- people ----


def add_person(given: argparse.Namespace) -> dict[str, Any]:
    with _database(given) as db:
        if people.can_set_up(db):
            if given.role != Role.ADMIN:
                raise StudyError("The first person administers this installation: add them with --role admin.")
            people.sign_out(db, people.set_up(db, given.newcomer, given.name, _password(given.password_file), given.site))
        else:
            by = _person(db, given.username)
            demand(by, Action.MANAGE_PEOPLE)  # before a password is asked for
            people.add_person(db, by, given.newcomer, given.name, Role(given.role), given.site, _password(given.password_file))
        return _public(_named(db, given.newcomer))


def list_people(given: argparse.Namespace) -> dict[str, Any]:
    with _database(given) as db:
        return {"people": [_public(one) for one in people.people(db, _person(db, given.username))]}


# ---- studies ----


def create_study(given: argparse.Namespace) -> dict[str, Any]:
    names = ("margin", "question_order", "min_repeat_distance", "washout_days")
    protocol = Protocol(**{name: getattr(given, name) for name in names})
    with _database(given) as db:
        readers = [_named(db, username).id for username in given.readers]
        study_id = studies.create_study(db, _person(db, given.username), given.title, protocol, readers)
        return {"study": study_id, "protocol_hash": protocol.hash()}


def list_studies(given: argparse.Namespace) -> dict[str, Any]:
    with _database(given) as db:
        return {"studies": [asdict(one) for one in studies.studies(db, _person(db, given.username))]}


def add_readers(given: argparse.Namespace) -> dict[str, Any]:
    with _of_study(given) as (db, person, study_id):
        studies.add_readers(db, person, study_id, [_named(db, username).id for username in given.readers])
        return {"study": study_id, "added": given.readers}


def show_study(given: argparse.Namespace) -> dict[str, Any]:
    with _of_study(given) as (db, person, study_id):
        return asdict(studies.study(db, person, study_id))


def study_utility(given: argparse.Namespace) -> dict[str, Any]:
    from study.utility import compute_utility

    with _of_study(given) as (db, person, study_id), ProgressBar("steps") as bar:
        demand(person, Action.SEE_RESULTS)
        return compute_utility(db, study_id, bar)


def open_round(given: argparse.Namespace) -> dict[str, Any]:
    checkpoint = _checkpoint(given)
    names = ("cases", "synthetic_share", "af_share", "repeat_share", "washout_days", "seed", "steps")
    plan = rounds.RoundPlan(**{name: getattr(given, name) for name in names}, checkpoint=str(checkpoint) if checkpoint else None)
    with _of_study(given) as (db, person, study_id):
        if given.check:
            checked = rounds.check_plan(db, person, study_id, plan)
            return {"available": checked.available, "starts_at": checked.starts_at, "shares": checked.composition.shares()}
        round_id = rounds.open_round(db, person, study_id, plan, _drawer(checkpoint), lambda done, total, doing: say(doing))
        return {"study": study_id, "round": round_id}


def ask_unblinding(given: argparse.Namespace) -> dict[str, Any]:
    with _of_study(given) as (db, person, study_id):
        unblinding.ask(db, person, study_id, given.reason)
        say("Asked. Another person confirms with: blindstrip unblind confirm STUDY --as USERNAME")
        return {"study": study_id, "asked_by": person.username}


def confirm_unblinding(given: argparse.Namespace) -> dict[str, Any]:
    with _of_study(given) as (db, person, study_id):
        unblinding.confirm(db, person, study_id)
        return {"study": study_id, "confirmed_by": person.username}


def withdraw_unblinding(given: argparse.Namespace) -> dict[str, Any]:
    with _of_study(given) as (db, person, study_id):
        unblinding.withdraw(db, person, study_id)
        return {"study": study_id, "withdrawn_by": person.username}


def results(given: argparse.Namespace) -> dict[str, Any]:
    from study.results import TABLES, as_json
    from study.results import results as found

    with _of_study(given) as (db, person, study_id):
        left_out = set(TABLES) - set(given.table or TABLES)
        return {name: value for name, value in as_json(found(db, person, study_id)).items() if name not in left_out}


def export(given: argparse.Namespace) -> dict[str, Any]:
    from study.bundle import bundle

    folder = _own_folder(given.out)
    with _of_study(given) as (db, person, study_id):
        name, content = bundle(db, person, study_id)
    (folder / name).write_bytes(content)
    return {"file": str(folder / name), "bytes": len(content)}


# ---- the installation ----


def make_demo(given: argparse.Namespace) -> dict[str, Any]:
    from study import demo

    with _database(given) as db, ProgressBar("%") as bar:
        made = demo.make_demo(db, _drawer(_checkpoint(given), quiet=True), bar)
        return {"made": made, "people": [_public(one) for one in people.demo_people(db)]}


def verify(given: argparse.Namespace) -> dict[str, Any]:
    with _database(given) as db, db.read() as session:
        return {"audit_entries": audit.verify(session), "last_hash": audit.last_hash(session)}


# ---- who, where, with what ----


@contextmanager
def _database(given: argparse.Namespace) -> Iterator[Database]:
    db = Database(Settings.from_environment(given.db).database)
    try:
        db.migrate()
        yield db
    finally:
        db.close()


@contextmanager
def _of_study(given: argparse.Namespace) -> Iterator[tuple[Database, Person, int]]:
    """The database, who asks, and the study they name by title or number."""
    with _database(given) as db:
        person = _person(db, given.username)
        there = studies.studies(db, person)
        named = [one.id for one in there if given.study.casefold() == one.title.casefold()]
        numbered = [one.id for one in there if given.study == str(one.id)]
        if not named and not numbered:
            raise StudyError(f"There is no study {given.study!r}. See: blindstrip study list")
        yield db, person, (named or numbered)[0]


def _person(db: Database, username: str | None) -> Person:
    """Whom --as names, else the only administrator, else, where there is none, the only coordinator."""
    if username is not None:
        return _named(db, username)
    with db.read() as session:
        everybody = stored_people.everybody(session)
    for role in (Role.ADMIN, Role.COORDINATOR):
        holders = [one.username for one in everybody if one.role == role]
        if len(holders) == 1:
            return _named(db, holders[0])
        if holders:
            raise StudyError(f"{len(holders)} people have the role {role}. Say who asks with --as: {', '.join(holders)}.")
    raise StudyError("Nobody in this database could ask. Check --db, or begin with: blindstrip people add USERNAME --name NAME --role admin")


def _named(db: Database, username: str) -> Person:
    person = people.person_by_username(db, username)
    if person is None:
        raise StudyError(f"There is nobody with the user name {username!r}. See: blindstrip people list")
    return person


def _public(person: Person) -> dict[str, Any]:
    return {"username": person.username, "name": person.name, "role": person.role.value, "site": person.site, "demo": person.demo}


def _password(file: Path | None) -> str:
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


def _own_folder(folder: Path) -> Path:
    """The folder, made where it is missing. Raises StudyError before hours of work come to nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"The folder {folder} cannot be made: {error.strerror}. Name another with --out.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StudyError(f"The folder {folder} is not yours to write to. Name another with --out.")
    return folder


def _check_device(name: str) -> None:
    import torch

    try:
        if name == "auto" or torch.empty(0, device=name).device.type in ("cpu", "cuda"):
            return
    except (RuntimeError, AssertionError):  # unknown words, and GPUs that are not there
        pass
    raise StudyError(f"There is no device {name!r} here. Choose auto, cpu, or a GPU that PyTorch sees: cuda, cuda:1 ...")


def _checkpoint(given: argparse.Namespace) -> Path | None:
    """The folder asked for, else that of BLINDSTRIP_CHECKPOINT, else None: the one that ships."""
    return getattr(given, "checkpoint", None) or Settings.from_environment(given.db).checkpoint


def _drawer(checkpoint: Path | None, *, quiet: bool = False) -> rounds.Draw:
    """Draws in this process: a command has it to itself."""

    def draw(request: DrawRequest, *, first: int = 0) -> Sequence[Drawn]:
        from generator.sssd import draw as generator

        model = generator.load(checkpoint)
        made = generator.provenance(request, model)
        with ProgressBar(f"{request.rhythm} strips") as bar:
            samples = generator.draw(request, first=first, checkpoint=model, progress=None if quiet else bar)
        return [replace(one, conditions={**one.conditions, **made}) for one in samples]

    return draw


# ---- folders of strips ----


def _listed(folders: Sequence[Path], folds: range | None = None) -> list[Candidate]:
    """The NSR and AF strips of folders; each drawn one is a patient of its own."""
    listed: list[Candidate] = []
    for folder in folders:
        found = find(folder)
        drawn = found.kind == "strips"
        listed += [replace(one, patient=str(one.path)) if drawn else one for one in _in_folds(found.candidates, folds, folder)]
    return listed


def _in_folds(candidates: list[Candidate], folds: range | None, folder: Path) -> list[Candidate]:
    if folds is None:
        return candidates
    chosen = [one for one in candidates if one.fold in folds]
    if not chosen:
        there = ", ".join(map(str, sorted({one.fold for one in candidates if one.fold is not None}))) or "none"
        raise StudyError(f"{folder}: no recording is in the folds asked for; its table has {there}. Name others, or leave the folds out.")
    return chosen


def _chosen(candidates: list[Candidate], n: int, seed: int) -> list[Candidate]:
    """n of them by seed, half of each rhythm (NSR has the odd one)."""
    rng = np.random.default_rng(seed)
    chosen: list[Candidate] = []
    for rhythm, wanted in zip(RHYTHMS, (n - n // 2, n // 2), strict=True):
        there = [one for one in candidates if one.rhythm == rhythm]
        if len(there) < wanted:
            raise StudyError(f"{wanted} {rhythm} strips were asked for in each arm, {len(there)} are there. Ask for fewer with --n.")
        chosen += [there[i] for i in rng.permutation(len(there))[:wanted]]
    return chosen


def _read(candidates: list[Candidate]) -> tuple[list[Candidate], Counts]:
    """Those that can be read, with their counts (n, 8, 1000); those refused are told."""
    kept: list[Candidate] = []
    counts: list[Counts] = []
    with ProgressBar("strips read") as bar:
        for candidate, recording in read_all(candidates, bar):
            if isinstance(recording, Refused):
                say(f"refused: {recording}")
            else:
                kept.append(candidate)
                counts.append(recording.counts)
    if not kept:
        raise StudyError(f"None of {len(candidates)} strips of NSR or AF could be read. Check the folders and their tables of labels.")
    return kept, np.stack(counts)


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason}: {number}" for reason, number in reasons.most_common())
