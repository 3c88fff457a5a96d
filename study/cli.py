"""The command line: everything the screens do, for scripts and servers.

Under --json a command answers with one JSON object on standard output; messages and progress go to standard error. Exit status 0, or 2 with a
sentence that says what to do; `doctor` has 1 where something is bad.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NoReturn, get_args

from generator.formats.write import FORMS
from generator.request import HEART_RATE_LIMITS, RHYTHMS, SAMPLERS, STEP_LIMITS, DrawRequest
from generator.sssd.config import KernelForm, Units
from study.commands import agreement, audit, fetch, generator, load, people, quality, server, simulation, strips, studies, training, types, utility
from study.commands.answers import in_words, plain
from study.errors import Problems
from study.practice_round import PracticePlan
from study.protocol import QUESTION_ORDERS, Protocol
from study.results import TABLES
from study.roles import Role
from study.round_plan import RoundPlan

Command = Callable[[argparse.Namespace], dict[str, Any]]

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    try:
        given = parser().parse_args(arguments)
        with redirect_stdout(sys.stderr):  # what a library prints is not the answer
            answer = given.run(given)
        print(json.dumps(answer, allow_nan=False, default=plain) if given.json else in_words(answer), flush=True)
    except (_WrongArguments, *Problems) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return _failed("stopped. What was stored before stays; the same command goes on or begins again.")
    except BrokenPipeError:  # whoever read the answer has seen enough: nothing more to write to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _failed(f"{error.filename or 'The system'}: {error.strerror or error}. Check that it is there, yours to use, and has room.")
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        return _failed(f"{type(error).__name__}: {error}. This is a fault of blindstrip: report it with what `python -X dev -m study.cli ...` says.")
    return int(given.status(answer)) if hasattr(given, "status") else 0


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    top = _Parser(prog="blindstrip", description="Blind reading of real and synthetic 12-lead ECGs.")
    adder = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _strips(adder)
    _checkpoints(adder)
    _people(adder)
    _studies(adder)
    _rounds(adder)
    _after_unblinding(adder)
    _anybodys_readings(adder)
    _planning(adder)
    studies.demo_arguments(_command(adder, "demo", studies.make_demo, "make the demo in a database without real people"))
    _server(adder)
    one = _command(_group(adder, "audit", "the audit trail"), "verify", audit.verify, "check that what is there is what was written down")
    one.add_argument(
        "what", nargs="?", metavar="DB|BUNDLE", help="database (file or URL) or export (zip or folder; with --db, against that database)"
    )
    return top


# ---- the commands ----


def _strips(adder: Any) -> None:
    one = _command(adder, "import", strips.import_recordings, "bring recordings into the database")
    one.add_argument("directory", type=Path, help="PTB-XL, MIMIC-IV-ECG, or any folder of recordings with a table record,rhythm[,patient]")
    _labels(one)

    fetch.arguments(_command(adder, "fetch", fetch.run, "recordings from PhysioNet into a folder; broken off, the same command goes on"))

    one = _command(adder, "train", training.train, "train a checkpoint; after an interruption the same command goes on")
    _folders(one, "--records")
    _labels(one)
    _folds(one, "--folds", "to train on")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")
    one.add_argument(
        "--validate-folds", type=types.fold_range, metavar="FOLDS", help="PTB-XL folds to hold out and measure on, such as 9 (default: none)"
    )
    length = one.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=types.minutes, help="to train in all: earlier runs into the folder count")
    length.add_argument("--iterations", type=types.whole(1), help="of each network, in place of minutes: the same losses on any machine")
    one.add_argument("--precision", choices=["float32", "bf16"], help="(default: bf16 on GPUs that have it, else float32)")
    one.add_argument("--report-every", type=types.minutes, default=10.0, metavar="MINUTES", help="of training, to the next report.html (default: 10)")
    one.add_argument("--no-training-beats", action="store_true", help="do not write what copies are told by (docs/quality-control.md)")
    one.add_argument("--from", dest="start", type=Path, metavar="DIR", help="checkpoint to train further (default: begin anew)")
    one.add_argument("--only-strips", action="store_true", help="with --from: the average beats' network stays as it is")
    _device(one)
    _seed(one)

    standard = DrawRequest(rhythm=RHYTHMS[0], n=1, seed=0)
    one = _command(adder, "sample", strips.sample, "draw strips into a folder; after an interruption the same command goes on")
    one.add_argument("--rhythm", choices=RHYTHMS, required=True)
    one.add_argument("--n", type=int, required=True, help="strips; when a drawing goes on it may be more than before")
    one.add_argument("--seed", type=int, required=True, help="0 or more; the same seed gives the same strips")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="for WFDB records and a manifest.json: new, empty or unfinished")
    _option(one, "--steps", standard.steps, "network evaluations a strip, {} to {}".format(*STEP_LIMITS))
    _option(one, "--sampler", standard.sampler, "dpm++2m-sde and dpm++2m are fast, ancestral is the published one", choices=SAMPLERS)
    _option(one, "--guidance", standard.guidance, "classifier-free guidance; 1 is none")
    one.add_argument("--heart-rate", type=float, help="beats/min, {} to {} (default: as the rhythm has it)".format(*HEART_RATE_LIMITS))
    _checkpoint(one, "; with --scheduler, on its workers")
    _device(one)
    one.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT, whose workers draw (default: this process does)")

    one = _command(adder, "utility", utility.utility, "what strips are worth to a classifier: TRTR, TSTR, TRTS, TSTS")
    _folders(one, "--train-real")
    _folds(one, "--train-folds", "of --train-real")
    _folders(one, "--test-real")
    _folds(one, "--test-folds", "of --test-real")
    _folders(one, "--synthetic", nargs="+")
    utility.arguments(one)
    _seed(one)

    one = _command(adder, "leak", strips.leak, "whether the format of strips gives the arms away")
    _folders(one, "--real", nargs="+")
    _folders(one, "--synthetic", nargs="+")
    one.add_argument("--n", type=types.whole(2), help="strips of each arm, half of each rhythm, chosen by the seed (default: all)")
    one.add_argument("--as-is", action="store_true", help="look at the files before the canonical form; a folder without a table will do")
    one.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page too, with the worst feature's two distributions")
    _seed(one)

    one = _command(adder, "quality", quality.quality, "how good strips are, each figure beside real against real; takes minutes")
    _folders(one, "--real")
    _folds(one, "--real-folds", "of --real")
    _folders(one, "--synthetic", nargs="+")
    _folders(one, "--train")
    _folds(one, "--train-folds", "of --train")
    quality.arguments(one)
    _seed(one)


def _checkpoints(adder: Any) -> None:
    one = _command(adder, "convert", generator.convert, "turn a checkpoint of the published SSSD-ECG code into one of ours")
    one.add_argument("checkpoint", type=Path, metavar="CKPT", help="its .pkl file, with model_state_dict")
    one.add_argument("--config", type=Path, required=True, metavar="JSON", help="its configuration, with wavenet_config and diffusion_config")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder, or a new one")
    kernel = "conjugate where it was trained with pykeops or the CUDA extension, without-conjugates where with the plain PyTorch fallback"
    one.add_argument("--kernel", choices=get_args(KernelForm), required=True, help=kernel)
    one.add_argument("--lead-order", type=types.leads, required=True, metavar="LEADS", help="of its channels, such as I,V1,V2,V3,V4,V5,V6,aVF")
    one.add_argument("--units", choices=get_args(Units), required=True, help="of its channels")
    numbers: dict[str, Any] = {"type": types.numbers, "metavar": "=MV,MV,..."}
    one.add_argument("--lead-offsets", **numbers, help="mV at 0 of each channel: least value for min-max, mean for standardised")
    one.add_argument("--lead-scales", **numbers, help="mV for 1 of each channel: greatest less least for min-max, SD for standardised")
    one.add_argument("--nsr-labels", type=types.places, metavar="PLACES", help="label positions from 0, such as 7,15 (default: as published)")
    one.add_argument("--af-labels", type=types.places, metavar="PLACES", help="likewise")
    one.add_argument("--strips", type=types.whole(2), default=4, help="first strips of each rhythm to look at (default: 4)")
    _seed(one)

    group = _group(adder, "bench", "measurements of speed")
    one = _command(group, "sampling", generator.bench_sampling, "how fast strips are drawn here, beside the published code's way; takes minutes")
    one.add_argument("--networks", nargs="+", default=["default", "36x256"], metavar="NAME", help="default, 36x256 (default: both)")
    _option(one, "--steps", DrawRequest(rhythm=RHYTHMS[0], n=1, seed=0).steps, "network evaluations a strip, {} to {}".format(*STEP_LIMITS))
    _device(one)
    what = "from Submit to the next strip painted, beside a bare Streamlit page; takes minutes"
    generator.page_arguments(_command(group, "page", generator.bench_page, what))
    load.arguments(_command(group, "load", load.run, "many readers at once: answers kept, times and memory (docs/deploy.md)"))
    _command(group, "features", generator.bench_features, "how long 1,000 strips take to be measured")
    _command(group, "agreement", generator.bench_agreement, "how long all figures of a usual and of a large study take, and how much memory")


def _people(adder: Any) -> None:
    group = _group(adder, "people", "who may sign in")
    one = _command(group, "add", people.add_person, "invite somebody, by a link with which they choose a password; the first is the administrator")
    one.add_argument("newcomer", metavar="USERNAME", help="what they sign in with")
    one.add_argument("--name", required=True)
    _option(one, "--role", Role.READER.value, "what they may do", choices=[role.value for role in Role])
    one.add_argument("--site", help="hospital; readers need one")
    one.add_argument("--email", metavar="ADDRESS", help="by which the hospital's single sign-on knows them")
    one.add_argument("--password-file", type=Path, metavar="FILE", help="the administrator's password is its first line (default: it is asked for)")
    _as(one)
    one = _command(group, "link", people.new_link, "another link for somebody who lost theirs, or the password")
    one.add_argument("who", metavar="USERNAME")
    _as(one)
    one = _command(group, "role", people.change_role, "give somebody another role, or another hospital")
    one.add_argument("who", metavar="USERNAME")
    one.add_argument("role", choices=[role.value for role in Role])
    one.add_argument("--site", help="hospital (default: as before)")
    _as(one)
    one = _command(group, "email", people.set_email, "the address by which the hospital's single sign-on knows somebody")
    one.add_argument("who", metavar="USERNAME")
    one.add_argument("email", nargs="?", metavar="ADDRESS", help="without one, they sign in by password alone")
    _as(one)
    one = _command(group, "delete", people.delete_person, "erase an account for good; what it judged stays under its pseudonym")
    one.add_argument("who", metavar="USERNAME")
    _as(one)
    _as(_command(group, "list", people.list_people, "everybody who may sign in"))


def _studies(adder: Any) -> None:
    standard = Protocol()
    group = _group(adder, "study", "studies")
    one = _command(group, "create", studies.create_study, "set up a study")
    one.add_argument("title")
    one.add_argument("--readers", nargs="+", default=[], metavar="USERNAME", help="who read it (default: added later)")
    _option(one, "--margin", standard.margin, "of equivalence to chance: 0.1 is an accuracy of 40 %% to 60 %%")
    _option(one, "--question-order", standard.question_order, "of the form", choices=QUESTION_ORDERS)
    _option(one, "--min-repeat-distance", standard.min_repeat_distance, "cases from a case to its repeat, at least")
    _option(one, "--washout-days", standard.washout_days, "between rounds")
    _as(one)
    _as(_command(group, "list", studies.list_studies, "all studies with their progress"))
    one = _study(_command(group, "add-readers", studies.add_readers, "more readers; they get an order of their own in open rounds"))
    one.add_argument("--readers", nargs="+", required=True, metavar="USERNAME")
    _as(one)
    for name, run, what in (
        ("edit", studies.edit_protocol, "change the protocol, until the first case is judged"),
        ("amend", studies.amend_protocol, "change a frozen protocol, by a numbered amendment"),
    ):
        one = _study(_command(group, name, run, what))
        one.add_argument("--margin", type=float, help="of equivalence to chance (default: as it is)")
        one.add_argument("--min-repeat-distance", type=int, help="for rounds opened from now on (default: as it is)")
        one.add_argument("--washout-days", type=int, help="likewise")
        if name == "edit":
            one.add_argument("--question-order", choices=QUESTION_ORDERS, help="of the form (default: as it is)")
        else:
            _reason(one)
        _as(one)
    _as(_study(_command(group, "show", studies.show_study, "rounds, orders and progress of a study; never accuracy")))
    _as(_study(_command(group, "utility", studies.study_utility, "classifier utility of an unblinded study's strips, kept with its results")))


def _rounds(adder: Any) -> None:
    plan = RoundPlan()
    group = _group(adder, "round", "rounds")
    one = _study(_command(group, "open", studies.open_round, "draw, choose, pass the leak gate, and open a round"))
    _option(one, "--cases", plan.cases, "that each reader reads, repeats and controls included")
    _option(one, "--synthetic-share", plan.synthetic_share, "of the scored cases")
    _option(one, "--af-share", plan.af_share, "of the scored cases, in both arms alike")
    _option(one, "--repeat-share", plan.repeat_share, "of the cases")
    _option(one, "--earlier-repeats", plan.earlier_repeats, "share of the cases: scored cases of earlier rounds, shown again")
    _option(one, "--controls", plan.controls, "pairs of an obviously mechanical and an obviously recorded strip, reported apart")
    one.add_argument("--anchors", type=int, help="scored cases that every reader reads; the others rotate (default: everybody reads all)")
    one.add_argument("--readings", type=int, help="readers of each rotating case; with --anchors")
    one.add_argument("--washout-days", type=int, help="since the last round (default: the protocol's)")
    _option(one, "--steps", plan.steps, "network evaluations a strip")
    _checkpoint(one)
    one.add_argument("--seed", type=int, help="0 or more (default: a random one, kept with the round)")
    one.add_argument("--check", action="store_true", help="only say what the round would come to")
    _as(one)

    one = _study(_command(group, "close", studies.close_round, "end a round that is not read and signed by all, for good"))
    one.add_argument("round", type=int, metavar="ROUND", help="its number")
    _reason(one)
    _as(one)
    _as(_study(_command(group, "commitments", audit.commitments, "the hashes that bind the rounds' seeds, to deposit before they are read")))

    practice = PracticePlan()
    one = _study(_command(group, "practice", studies.open_practice, "open a study's practice: answers are told, nothing of it is analysed"))
    _option(one, "--cases", practice.cases, "an even number: half real, half synthetic")
    one.add_argument("--pass-mark", type=float, help="share of rhythms to name right before the rounds open (default: going through is enough)")
    _option(one, "--steps", practice.steps, "network evaluations a strip")
    _checkpoint(one)
    one.add_argument("--seed", type=int, help="0 or more (default: a random one, kept with the practice)")
    one.add_argument("--check", action="store_true", help="only say what the practice would come to")
    _as(one)


def _after_unblinding(adder: Any) -> None:
    group = _group(adder, "unblind", "unblinding: by two people, logged, for good")
    one = _study(_command(group, "ask", studies.ask_unblinding, "the first of two"))
    _reason(one)
    _as(one)
    _as(_study(_command(group, "confirm", studies.confirm_unblinding, "the second of two")))
    _as(_study(_command(group, "withdraw", studies.withdraw_unblinding, "take back a request that nobody has confirmed")))
    one = _study(_command(adder, "results", studies.results, "what the answers show"))
    one.add_argument("--table", action="append", choices=TABLES, metavar="NAME", help=f"{', '.join(TABLES)}; may be given again (default: all)")
    _as(one)
    one = _study(_command(adder, "export", studies.export, "the bundle: one zip for statistician and reviewer"))
    one.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder for the zip (default: this one)")
    forms = ("bundle", *FORMS)
    _option(one, "--format", forms[0], "the bundle, which has its strips as WFDB, or the strips alone in another program's format", choices=forms)
    _as(one)
    one = _study(_command(adder, "report", studies.report, "verdict, methods, figures, GRRAS and STARD items, to read and to print"))
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="its ending says how it is written: .html or .pdf")
    _as(one)


def _anybodys_readings(adder: Any) -> None:
    one = _command(adder, "agreement", agreement.agreement, "all figures of any study's readings, from a file (docs/agreement.md)")
    what = ".imrmc, or .csv with reader,case,rating and any of site,arm,round,rhythm,occasion,score"
    one.add_argument("file", type=Path, metavar="FILE", help=what)
    one.add_argument("--answers", type=types.names, metavar="A,B,...", help="all ratings that could be given, in their order (default: those given)")
    _option(one, "--margin", Protocol().margin, "of equivalence to chance: 0.1 is an accuracy of 40 %% to 60 %%")
    one.add_argument("--draws", type=types.whole(1), default=2000, help="bootstrap samples (default: 2000)")
    _seed(one)


def _planning(adder: Any) -> None:
    one = _command(adder, "plan", simulation.plan, "power of the equivalence test and expected widths of intervals (docs/planning.md)")
    simulation.plan_arguments(one)
    _seed(one)
    one = _command(adder, "simulate", simulation.simulate, "a study with planted readers through storage and analysis, or hundreds of them")
    simulation.simulate_arguments(one)
    _seed(one)


def _server(adder: Any) -> None:
    one = _command(adder, "backup", server.backup, "the whole database into one file, while people read (docs/deploy.md)")
    one.add_argument("file", type=Path, metavar="FILE", help="a new one; FILE.sha256 is written beside it")
    one = _command(adder, "restore", server.restore, "a backup into an empty database")
    one.add_argument("file", type=Path, metavar="FILE")
    one = _command(adder, "copy", server.copy, "a database into another, empty one: from SQLite to PostgreSQL, or back")
    one.add_argument("--from", dest="source", metavar="URL", help="(default: that of --db)")
    one.add_argument("--to", required=True, metavar="URL", help="an empty database, or a file that does not exist")
    one = _command(adder, "doctor", server.doctor, "whether this deployment is as it should be; exit status 1 where something is bad")
    one.add_argument("--url", metavar="https://...", help="the address that people type: its health, headers, TLS and proxy are checked too")
    one.set_defaults(status=server.status_of_doctor)


# ---- what commands share ----


class _WrongArguments(Exception):
    """Arguments that make no command."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _WrongArguments(f"{message}. See: {self.prog} --help")


def _command(adder: Any, name: str, run: Command, what: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = adder.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    one.set_defaults(run=run)
    one.add_argument("--json", action="store_true", help="answer with one JSON object")
    one.add_argument("--db", metavar="URL", help="database (default: BLINDSTRIP_DATABASE, else SQLite under ~/.local/share/blindstrip)")
    return one


def _group(adder: Any, name: str, what: str) -> Any:
    return adder.add_parser(name, help=what).add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)


def _option(one: argparse.ArgumentParser, flag: str, default: Any, what: str, **more: Any) -> None:
    one.add_argument(flag, type=type(default), default=default, help=f"{what} (default: {default})", **more)


def _study(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
    one.add_argument("study", metavar="STUDY", help="its title or number")
    return one


def _as(one: argparse.ArgumentParser) -> None:
    one.add_argument("--as", dest="username", metavar="USERNAME", help="who asks (default: the only administrator, else the only coordinator)")


def _reason(one: argparse.ArgumentParser) -> None:
    one.add_argument("--reason", default="", help="needed; kept in the audit trail and shown with the results: write no names in it")


def _folders(one: argparse.ArgumentParser, flag: str, **more: Any) -> None:
    one.add_argument(flag, type=Path, required=True, metavar="DIR", help="WFDB records with labels.csv, PTB-XL, or what `sample` wrote", **more)


def _labels(one: argparse.ArgumentParser) -> None:
    one.add_argument("--labels", type=Path, metavar="CSV", help="table of labels (default: the one in the folder)")


def _folds(one: argparse.ArgumentParser, flag: str, what: str) -> None:
    one.add_argument(flag, type=types.fold_range, metavar="FOLDS", help=f"PTB-XL folds {what}, such as 9 or 1-8 (default: all)")


def _checkpoint(one: argparse.ArgumentParser, more: str = "") -> None:
    one.add_argument("--checkpoint", type=Path, metavar="DIR", help=f"folder (default: BLINDSTRIP_CHECKPOINT, else the one that ships){more}")


def _device(one: argparse.ArgumentParser) -> None:
    _option(one, "--device", "auto", "auto, cpu, cuda, cuda:1 ...")


def _seed(one: argparse.ArgumentParser) -> None:
    one.add_argument("--seed", type=types.whole(0), default=0, help="(default: 0)")


def _failed(message: str) -> int:
    print(f"blindstrip: {' '.join(message.split())}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
