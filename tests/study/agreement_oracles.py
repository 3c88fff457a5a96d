"""Random readings with what irrCAC 0.4.4 and krippendorff 0.9.0 say of them, for tests that must run without either.

irrCAC pins scipy 1.12 and states no licence, krippendorff is GPL-3: neither is a dependency. The values in agreement_oracles.json were made by

    pip install --no-deps --target /tmp/oracles irrCAC==0.4.4 krippendorff==0.9.0
    PYTHONPATH=/tmp/oracles python -m tests.study.agreement_oracles

on 2026-11-25, with numpy 2.4, pandas 3.1 and scipy 1.17. Columns of `ratings` are readers, -1 is missing.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("agreement_oracles.json")
WEIGHTS = {"nominal": "identity", "linear": "linear", "quadratic": "quadratic", "ordinal": "ordinal"}
COEFFICIENTS = ("fleiss", "conger", "gwet", "bp", "krippendorff")


def stored() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(FILE.read_text())
    return found


def made() -> list[dict[str, Any]]:
    import pandas as pd

    cac, alpha = importlib.import_module("irrCAC.raw").CAC, importlib.import_module("krippendorff").alpha
    chance = np.random.default_rng(20261125)
    studies: list[dict[str, Any]] = []
    while len(studies) < 24:
        k, readers = int(chance.integers(2, 6)), int(chance.integers(2, 7))
        truth = chance.integers(0, k, size=int(chance.integers(6, 25)))
        ratings = np.where(chance.random((len(truth), readers)) < 0.5, truth[:, None], chance.integers(0, k, size=(len(truth), readers)))
        ratings[chance.random(ratings.shape) < 0.2] = -1
        ratings = ratings[(ratings >= 0).any(axis=1)]
        if not (ratings >= 0).any(axis=0).all() or len(np.unique(ratings[ratings >= 0])) < k:
            continue
        given = pd.DataFrame(np.where(ratings < 0, np.nan, ratings + 1.0))
        values: dict[str, Any] = {}
        for ours, theirs in WEIGHTS.items():
            of = cac(given, weights=theirs, digits=12, categories=[float(answer + 1) for answer in range(k)])
            found = {name: getattr(of, name)()["est"] for name in COEFFICIENTS}
            values[ours] = {name: [float(one["coefficient_value"]), float(one["se"])] for name, one in found.items()}
        reliability = np.where(ratings.T < 0, np.nan, ratings.T)
        values["alpha"] = {level: float(alpha(reliability, level_of_measurement=level)) for level in ("nominal", "ordinal", "interval")}
        studies.append({"k": k, "ratings": ratings.tolist(), "values": values})
    return studies


if __name__ == "__main__":
    FILE.write_text("[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in made()) + "\n]\n")
