"""The agreement of a file's readings: between readers, between and within sites, with oneself, and on real beside synthetic strips.

Tables are long, one row a figure: whose (`group`, `name`, `site`), of what (`item`, and the stratum `arm`, `rhythm`, `round`), `figure`, `value`,
`low`, `high` (95 %), `se`, `n` of what is `counted`, `reason` where something is undefined, `method`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from study.agreement import groups, raters, within_readers
from study.agreement.coefficients import Found
from study.agreement.cut import ALL, Cut, Stratum, row
from study.agreement.file import ARMS
from study.agreement.resampling import DRAWS

Rows = list[dict[str, Any]]


def agreement(cut: Cut, *, seed: int, draws: int = DRAWS) -> dict[str, Rows]:
    """Tables `agreement` (all, sites, readers with the others), `between_sites`, and `real_minus_synthetic`: the telling difference."""
    between_readers: Rows = []
    between_sites: Rows = []
    apart: Rows = []
    for item in cut.items:
        k, by_arm = len(item.answers), dict[tuple[str, str, str], Found]()
        for stratum in cut.strata():
            ratings = cut.ratings(item, stratum)
            for group, name, members in cut.groups():
                keys = {"group": group, "name": name, "site": name if group == "site" else None, "item": item.name}
                label = "" if stratum.arm == ALL else stratum.arm
                found = raters.all_coefficients(ratings[:, members], k, weights=item.weights, seed=seed, draws=draws, label=label)
                if stratum.arm != ALL:
                    by_arm[group, name, stratum.arm] = found
                between_readers += [row(keys, stratum, figure, one, "cases") for figure, one in found.estimates.items()]
            for reader, figures in enumerate(groups.with_others(ratings, k, weights=item.weights, seed=seed, draws=draws)):
                keys = {"group": "reader", "name": cut.readers[reader], "site": cut.site_name(reader), "item": item.name}
                between_readers += [row(keys, stratum, figure, one, "cases") for figure, one in figures.items()]
            if cut.sites:
                placed = cut.site_of >= 0
                pairs = groups.by_group(ratings[:, placed], cut.site_of[placed], k, weights=item.weights, seed=seed, draws=draws)
                for name, figures in pairs.items():
                    keys = {"group": name, "name": name, "site": None, "item": item.name}
                    between_sites += [row(keys, stratum, figure, one, "cases") for figure, one in figures.items()]
        if cut.readings.arm is not None:
            for group, name, _members in cut.groups():
                keys = {"group": group, "name": name, "site": name if group == "site" else None, "item": item.name}
                both = [by_arm.get((group, name, arm)) or _nothing(k, item.weights, seed) for arm in ARMS]
                figures = raters.arms_apart(both[0], both[1], ARMS)
                apart += [row(keys, Stratum(arm="real - synthetic"), figure, one, "cases") for figure, one in figures.items()]
    return {"agreement": between_readers, "between_sites": between_sites, "real_minus_synthetic": apart}


def within(cut: Cut, *, seed: int, draws: int = DRAWS) -> Rows:
    """Agreement of readers with themselves: each reader, each site, all; `apart` tells repeats within a round from those across rounds."""
    rows: Rows = []
    for item in cut.items:
        k, weights = len(item.answers), item.weights
        for stratum in (one for one in cut.strata() if one.round == ALL):
            for apart in cut.aparts():
                again = cut.again(item, stratum, apart)
                if not again.shape[1] and stratum != Stratum():
                    continue  # nobody read a case of this stratum twice: said once, for all strata
                keys = {"item": item.name, "apart": apart}
                found = within_readers.of_readers(dict(zip(cut.readers, again, strict=True)), k, weights=weights, seed=seed, draws=draws)
                for group, name, members in cut.groups():
                    mine = {cut.readers[r]: found[cut.readers[r]] for r in np.flatnonzero(members)}
                    whose = {"group": group, "name": name, "site": name if group == "site" else None, **keys}
                    rows += [row(whose, stratum, figure, one, "readers") for figure, one in within_readers.of_group(mine, weights).items()]
                for r, reader in enumerate(cut.readers):
                    whose = {"group": "reader", "name": reader, "site": cut.site_name(r), **keys}
                    rows += [row(whose, stratum, figure, one, "cases") for figure, one in found[reader].estimates.items()]
    return rows


def _nothing(categories: int, weights: str, seed: int) -> Found:
    return raters.all_coefficients(np.full((0, 0), -1), categories, weights=weights, seed=seed)
