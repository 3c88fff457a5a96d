"""Agreement of readers with themselves: the same case read again. Groups get the mean of their readers' own values, never pooled pairs.

Our own code over `coefficients`: a reader's occasions stand where readers stand elsewhere.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from study.agreement.coefficients import ALPHA, CONGER, RAW, WEIGHTED, Found, coefficients, gwet_name
from study.agreement.estimate import Estimate, undefined
from study.agreement.resampling import DRAWS

COHEN = "Cohen's kappa"
NOTHING_TWICE = "no case was answered twice"


def of_readers(readers: dict[str, np.ndarray], categories: int, *, weights: str = "nominal", seed: int, draws: int = DRAWS) -> dict[str, Found]:
    """Each reader's raw agreement, kappa, AC1 (AC2 if ordered) and alpha with themselves; `n` = cases answered at least twice.

    `readers`: name -> (cases, occasions) of codes, -1 = missing, the same cases in the same order for all: bootstrap samples are drawn from
    these cases, so that readers of the same cases see the same samples. The kappa is Conger's over occasions, which for two occasions is
    Cohen's (1960). Cases read once say nothing here and would move chance agreement: they are left out.
    """
    found = {}
    for name, occasions in readers.items():
        once = (occasions >= 0).sum(axis=1) < 2
        if once.all():
            nothing = undefined(NOTHING_TWICE, 0, "agreement of a reader with themselves")
            found[name] = Found(dict.fromkeys(figures(weights), nothing), {})
            continue
        kept = np.where(once[:, None], -1, occasions)
        own = coefficients(kept, categories, weights=weights, seed=seed, draws=draws, keep_unread=True)
        take = {figure: CONGER if figure == COHEN else figure for figure in figures(weights)}
        found[name] = Found({figure: own.estimates[of] for figure, of in take.items()}, {figure: own.samples[of] for figure, of in take.items()})
    return found


def of_group(found: dict[str, Found], weights: str = "nominal") -> dict[str, Estimate]:
    """Mean over readers of their own values (`of_readers`), for new readers and new cases; `n` = readers with a value.

    Variance and degrees of freedom as Obuchowski and Rockette (1995, Commun Stat Simul Comput 24:285) and Hillis (2007, Stat Med 26:596) have
    them for one modality: (MS(readers) + R max(Cov2, 0)) / R, with the covariance of two readers from the bootstrap over cases. A percentile
    interval of the mean would be off: kappas of few repeats are biased, and the bootstrap doubles the bias. Readers without a value are
    left out, and counted in the method.
    """
    means = {}
    for figure in figures(weights):
        own = [one for one in found.values() if one.estimates[figure].value is not None]
        method = (
            f"mean of the readers' own values ({figure}), Obuchowski-Rockette variance with bootstrap covariances, Hillis degrees of freedom, 95 %"
        )
        if len(own) < len(found):
            method += f"; {len(found) - len(own)} of {len(found)} readers have none and are left out"
        if not own:
            reasons = sorted({one.estimates[figure].reason or "" for one in found.values()}) or [NOTHING_TWICE]
            means[figure] = undefined("; ".join(reasons), 0, method)
            continue
        values = np.array([one.estimates[figure].value for one in own])
        least = 0.0 if figure in (RAW, WEIGHTED) else -1.0
        means[figure] = _mean(values, np.stack([one.samples[figure] for one in own]), least, method)
    return means


def _mean(values: np.ndarray, samples: np.ndarray, least: float, method: str) -> Estimate:
    """`values` (readers,), their bootstrap `samples` (readers, draws), NaN where undefined."""
    readers, mean = len(values), float(values.mean())
    if readers < 2:
        return Estimate(mean, None, None, readers, "one reader: see the reader's own figures", method)
    with np.errstate(invalid="ignore"):
        center = np.where(np.isfinite(samples), samples, 0).sum(axis=1) / np.maximum(np.isfinite(samples).sum(axis=1), 1)
    off = np.where(np.isfinite(samples), samples - center[:, None], 0)
    shared = float((off.sum(axis=0) ** 2 - (off**2).sum(axis=0)).mean()) / (readers * (readers - 1))  # mean covariance of two readers
    spread = float(values.var(ddof=1))
    whole = spread + readers * max(shared, 0.0)
    if spread < 1e-12:
        return Estimate(mean, None, None, readers, "no interval: all readers have the same value", method)
    error = float(np.sqrt(whole / readers))
    half = float(stats.t.ppf(0.975, whole**2 / (spread**2 / (readers - 1)))) * error
    return Estimate(mean, max(least, mean - half), min(1.0, mean + half), readers, None, method, error)


def figures(weights: str) -> tuple[str, ...]:
    return (RAW, *(() if weights == "nominal" else (WEIGHTED,)), COHEN, gwet_name(weights), ALPHA)
