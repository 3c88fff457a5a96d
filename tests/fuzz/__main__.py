"""Spoiled files for every importer: `python -m tests.fuzz --n 100000 --seed 1`.

Each file must give a sound recording or a refusal in words: no other exception, no more than 5 s, nothing written outside its folder, no connection,
no process. Exit status 1 where one does not; its number is printed, and `--first NUMBER --n 1` makes the same file again.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
from collections import Counter
from pathlib import Path

from study.limits import limit_memory
from tests.fuzz.run import run
from tests.fuzz.watch import SECONDS

HARD_SECONDS = 60  # machine code that an alarm cannot stop: the process ends, and says where


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="files (default: 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="of the first file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the files of a defect are kept")
    given = parser.parse_args()
    limit_memory()
    counts: Counter[tuple[str, str, str]] = Counter()
    slowest, defects = (0.0, -1), 0
    with tempfile.TemporaryDirectory(prefix="blindstrip-fuzz-") as scratch:
        faulthandler.dump_traceback_later(HARD_SECONDS, exit=True)
        for number, target, outcome in run(Path(scratch), given.seed, range(given.first, given.first + given.n), given.keep):
            faulthandler.dump_traceback_later(HARD_SECONDS, exit=True)
            slowest = max(slowest, (outcome.seconds, number))
            counts[target.name, outcome.kind, outcome.what if outcome.kind == "refused" else ""] += 1
            if outcome.kind == "defect":
                defects += 1
                print(f"DEFECT {number} ({target.name}): {outcome.what}", flush=True)
    faulthandler.cancel_dump_traceback_later()
    for (name, kind, what), count in sorted(counts.items()):
        print(f"{count:7} {name}: {kind} {what}".rstrip())
    print(f"{given.n} files, {defects} defects, at most {slowest[0]:.2f} s (number {slowest[1]}; limit {SECONDS:g} s).")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
