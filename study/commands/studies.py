"""Commands on people, studies, rounds and results, and on the installation: their arguments in, what --json says out."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields, replace
from typing import Any

from generator.physionet import COLLECTIONS
from study import amendments, closing, order_diagnostics, people, practice_round, round_plan, rounds, studies, unblinding
from study.commands.common import asker, checkpoint_folder, database, local_drawer, of_study, own_folder, person_named, public
from study.progress_bar import ProgressBar, say
from study.protocol import Protocol
from study.roles import Action, demand


def create_study(given: argparse.Namespace) -> dict[str, Any]:
    names = ("margin", "question_order", "min_repeat_distance", "washout_days")
    protocol = Protocol(**{name: getattr(given, name) for name in names})
    with database(given) as db:
        readers = [person_named(db, username).id for username in given.readers]
        study_id = studies.create_study(db, asker(db, given.username), given.title, protocol, readers)
        return {"study": study_id, "protocol_hash": protocol.hash()}


def edit_protocol(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        seen = studies.study(db, person, study_id)
        protocol = _changed(given, seen.protocol)
        amendments.edit_protocol(db, person, study_id, protocol, shown=seen.protocol_hash)
        return {"study": study_id, "protocol_hash": protocol.hash()}


def amend_protocol(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        seen = studies.study(db, person, study_id)
        protocol = _changed(given, seen.protocol)
        number = amendments.amend(db, person, study_id, protocol, given.reason, shown=seen.protocol_hash)
        return {"study": study_id, "amendment": number, "protocol_hash": protocol.hash()}


def _changed(given: argparse.Namespace, protocol: Protocol) -> Protocol:
    """The protocol with the rules that were given."""
    return replace(protocol, **{name: value for name in protocol.as_dict() if (value := getattr(given, name, None)) is not None})


def list_studies(given: argparse.Namespace) -> dict[str, Any]:
    with database(given) as db:
        return {"studies": [asdict(one) for one in studies.studies(db, asker(db, given.username))]}


def add_readers(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        studies.add_readers(db, person, study_id, [person_named(db, username).id for username in given.readers])
        return {"study": study_id, "added": given.readers}


def show_study(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        orders = order_diagnostics.order_diagnostics(db, person, study_id)
        return asdict(studies.study(db, person, study_id)) | {"order_diagnostics": order_diagnostics.as_plain(orders)}


def study_utility(given: argparse.Namespace) -> dict[str, Any]:
    from study.utility import compute_utility

    with of_study(given) as (db, person, study_id), ProgressBar("steps") as bar:
        demand(person, Action.SEE_RESULTS)
        return compute_utility(db, study_id, bar)


def open_round(given: argparse.Namespace) -> dict[str, Any]:
    checkpoint = checkpoint_folder(given)
    plan = round_plan.RoundPlan(**_planned(round_plan.RoundPlan, given), checkpoint=str(checkpoint) if checkpoint else None)
    with of_study(given) as (db, person, study_id):
        if given.check:
            checked = round_plan.check_plan(db, person, study_id, plan)
            made = checked.composition
            numbers = {"cases_a_reader": [made.fewest_cases, made.cases], "cases_of_the_round": made.pool, "plan": round_plan.in_words(made)}
            return {"available": checked.available, "starts_at": checked.starts_at, "shares": made.shares(), **numbers}
        round_id = rounds.open_round(db, person, study_id, plan, local_drawer(checkpoint), lambda done, total, doing: say(doing))
        return {"study": study_id, "round": round_id}


def close_round(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        closing.close_round(db, person, study_id, given.round, given.reason)
        return {"study": study_id, "closed": given.round}


def open_practice(given: argparse.Namespace) -> dict[str, Any]:
    checkpoint = checkpoint_folder(given)
    plan = practice_round.PracticePlan(**_planned(practice_round.PracticePlan, given), checkpoint=str(checkpoint) if checkpoint else None)
    with of_study(given) as (db, person, study_id):
        if given.check:
            scored = practice_round.check_practice(db, person, study_id, plan).scored
            return {"cases": {f"{arm} {rhythm}": number for (arm, rhythm), number in scored.items()}}
        opened = practice_round.open_practice(db, person, study_id, plan, local_drawer(checkpoint), lambda done, total, doing: say(doing))
        return {"study": study_id, "practice": opened}


def _planned(plan: type, given: argparse.Namespace) -> dict[str, Any]:
    """The plan's fields as they were given; its checkpoint is found otherwise."""
    return {field.name: getattr(given, field.name) for field in fields(plan) if field.name != "checkpoint"}


def ask_unblinding(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        unblinding.ask(db, person, study_id, given.reason)
        say("Asked. Another person confirms with: blindstrip unblind confirm STUDY --as USERNAME")
        return {"study": study_id, "asked_by": person.username}


def confirm_unblinding(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        unblinding.confirm(db, person, study_id)
        return {"study": study_id, "confirmed_by": person.username}


def withdraw_unblinding(given: argparse.Namespace) -> dict[str, Any]:
    with of_study(given) as (db, person, study_id):
        unblinding.withdraw(db, person, study_id)
        return {"study": study_id, "withdrawn_by": person.username}


def results(given: argparse.Namespace) -> dict[str, Any]:
    from study.results import TABLES, as_json
    from study.results import results as found

    with of_study(given) as (db, person, study_id):
        left_out = set(TABLES) - set(given.table or TABLES)
        return {name: value for name, value in as_json(found(db, person, study_id)).items() if name not in left_out}


def export(given: argparse.Namespace) -> dict[str, Any]:
    from study.bundle import bundle
    from study.strip_export import strips_as

    folder = own_folder(given.out)
    with of_study(given) as (db, person, study_id):
        name, content = bundle(db, person, study_id) if given.format == "bundle" else strips_as(db, person, study_id, given.format)
    (folder / name).write_bytes(content)
    return {"file": str(folder / name), "bytes": len(content)}


def report(given: argparse.Namespace) -> dict[str, Any]:
    from study.report.document import document

    own_folder(given.out.parent)
    with of_study(given) as (db, person, study_id):
        content = document(db, person, study_id, given.out.suffix.removeprefix(".").lower())
    given.out.write_bytes(content)
    return {"file": str(given.out), "bytes": len(content)}


# ---- the installation ----


def demo_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--recordings", choices=COLLECTIONS, help="show those that `fetch` brought (default: simulated stand-ins)")


def make_demo(given: argparse.Namespace) -> dict[str, Any]:
    from study import demo

    with database(given) as db, ProgressBar("%") as bar:
        made = demo.make_demo(db, local_drawer(checkpoint_folder(given), quiet=True), bar, collection=given.recordings)
        return {"made": made, "people": [public(one) for one in people.demo_people(db)]}
