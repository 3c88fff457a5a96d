"""Kills a server under readers: `python -m tests.durability --kills 200 --seed 1`; --db names an empty PostgreSQL database in SQLite's place.

With --unit, it is a systemd service that is killed, on the database --db, and systemd alone that starts it again; as root, on a machine for trials.

Answers with what was counted; an AssertionError says what was lost, doubled or out of order. About five seconds a kill.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.durability.killing import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.durability", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db", metavar="URL", help="of an empty database (default: a new SQLite file)")
    parser.add_argument("--unit", nargs=2, metavar=("NAME", "ADDRESS"), help="such as blindstrip http://127.0.0.1:8501")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blindstrip-kills-") as name:
        folder = Path(name)
        print(json.dumps(asdict(run(given.db or f"sqlite:///{folder / 'study.db'}", folder, given.kills, given.seed, given.unit)), indent=1))


if __name__ == "__main__":
    main()
