"""`blindstrip fetch`: recordings from PhysioNet into a folder, once the licence is accepted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from generator.physionet import COLLECTIONS
from generator.request import RHYTHMS
from study import fetch
from study.commands import types
from study.commands.common import own_folder
from study.progress_bar import ProgressBar, say


def arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("collection", choices=COLLECTIONS)
    one.add_argument("--rhythm", type=types.names, default=RHYTHMS, metavar="AF,NSR", help="(default: both)")
    one.add_argument("--n", type=types.whole(1), help="recordings in all, as many of each rhythm (default: every one)")
    one.add_argument("--folds", type=types.fold_range, help="of PTB-XL, such as 9 or 1-8 (default: all)")
    one.add_argument("--seed", type=types.whole(0), default=0, help="of the sample (default: 0)")
    one.add_argument("--out", type=Path, metavar="DIR", help=f"folder (default: {fetch.RECORDINGS}/COLLECTION)")
    one.add_argument("--accept-licence", action="store_true", help="without it the licence is named, and asked for at a keyboard")
    one.add_argument("--mirror", metavar="URL", help="where the collections lie, over https (default: BLINDSTRIP_PHYSIONET, else PhysioNet)")


def run(given: argparse.Namespace) -> dict[str, Any]:
    folds = (given.folds[0], given.folds[-1]) if given.folds else None
    asked = fetch.Asked(given.collection, given.rhythm, given.n, folds, given.seed)
    accepted = given.accept_licence or _asked_at_a_keyboard(asked)
    fetch.demand_consent(asked, accepted)
    folder = own_folder(given.out or fetch.folder_of(given.collection))
    with ProgressBar("") as bar:
        done = fetch.fetch(asked, folder, accepted=accepted, mirror=given.mirror, progress=bar)
    for place, why in sorted(done.missing.items()):
        say(f"missing: {place}: {why}")
    return {
        "folder": str(folder),
        "chosen": done.chosen,
        "missing": len(done.missing),
        "recordings": done.recordings,
        "downloaded_bytes": done.downloaded_bytes,
        "licence": asked.of.licence,
    }


def _asked_at_a_keyboard(asked: fetch.Asked) -> bool:
    if not sys.stdin.isatty():
        return False
    say(f"{asked.of.consent}.")
    return input("Do you accept it? Type yes: ").strip().lower() == "yes"
