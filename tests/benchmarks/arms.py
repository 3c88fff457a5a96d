"""Whether time tells the arms apart: from Submit to the next strip, as a reader's browser gets it from the server. `python -m tests.benchmarks.arms`.

No browser, so that nothing but the server and the loopback is in it, and both arms' samples from the simulator, so that nothing differs but what the
database knows of them. Orders are random, as readers' are: under the hypothesis that arms do not matter every exchange of their labels is as likely.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from pages.access import COOKIE
from storage.database import Database
from study import cases
from study.load.measure import summary
from study.load.setting import set_up
from tests.benchmarks.page import arms_that_came
from tests.browser.driving import start_server
from tests.world import GOOD_ANSWER

EACH = 200  # cases of each arm
PERMUTATIONS = 9999
WARMING = 5  # first answers: the server's caches fill


def measure(each: int = EACH) -> dict[str, Any]:
    """Milliseconds by the arm of the strip that comes; how far the arms' medians lie apart, and how likely that is by chance."""
    with tempfile.TemporaryDirectory() as name:
        server = start_server(Path(name))
        db = Database(server.database)
        try:
            [(reader, token)] = set_up(db, 2 * (each + WARMING) + 1, 1)
            with httpx.Client(base_url=server.url, cookies={COOKIE: token}) as client:
                took = _read(client, cases.of_round(db, reader, 1))
            arms = np.array(arms_that_came(db, reader))
        finally:
            db.close()
            server.stop()
    return compared(np.array(took)[WARMING : len(arms)], arms[WARMING:])


def compared(milliseconds: NDArray[np.float64], arms: NDArray[np.str_], seed: int = 0) -> dict[str, Any]:
    """Real less synthetic: difference of medians with its 95 % interval (percentile bootstrap), and p by permutation of the arms, two-sided."""
    rng = np.random.default_rng(seed)
    real, synthetic = (milliseconds[arms == arm] for arm in ("real", "synthetic"))
    found = _apart(milliseconds, arms == "real")
    drawn = [np.median(rng.choice(real, real.size)) - np.median(rng.choice(synthetic, synthetic.size)) for _ in range(PERMUTATIONS)]
    by_chance = [abs(_apart(milliseconds, rng.permutation(arms == "real"))) for _ in range(PERMUTATIONS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "cases": {"real": int(real.size), "synthetic": int(synthetic.size)},
        "milliseconds": {"real": summary(list(real)), "synthetic": summary(list(synthetic))},
        "difference of medians": round(float(found), 2),
        "95 % interval": [round(float(low), 2), round(float(high), 2)],
        "permutation p": round((1 + sum(one >= abs(found) - 1e-12 for one in by_chance)) / (1 + PERMUTATIONS), 4),
    }


def _apart(milliseconds: NDArray[np.float64], real: NDArray[np.bool_]) -> float:
    return float(np.median(milliseconds[real]) - np.median(milliseconds[~real]))


def _read(client: httpx.Client, case: dict[str, Any] | None) -> Sequence[float]:
    """Answers a round to its end; milliseconds of each answer."""
    took = []
    while case:
        sent = {"place": case["place"], "key": case["key"], "answer": GOOD_ANSWER.as_dict(), "viewing": {}}
        begun = time.perf_counter()
        answer = client.post("/answer", json=sent)
        took.append(1000 * (time.perf_counter() - begun))
        case = answer.json().get("case")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=EACH)
    print(json.dumps(measure(parser.parse_args().each), indent=1))


if __name__ == "__main__":
    main()
