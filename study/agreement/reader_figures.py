"""Each reader's own figure and how the readers' figures vary together over cases: what multi-reader multi-case inference starts from.

Answers are (cases, readers), NaN where a reader did not read a case: scores for the AUC, 1 (right) and 0 (wrong) for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from study.agreement import u_statistics
from study.agreement.delong import areas, delong_covariance, jackknife_areas, placements

AUTO, DELONG, JACKKNIFE, U_STATISTICS = "auto", "DeLong", "jackknife", "U-statistics"
COVARIANCES = (AUTO, DELONG, JACKKNIFE, U_STATISTICS)
RATES = ("sensitivity", "specificity", "balanced accuracy", "accuracy")
DETECTION = ("d'", "criterion")
_KINDS = ("synthetic", "real")
_KINDS_OF = {"sensitivity": ("synthetic",), "specificity": ("real",)}


@dataclass(frozen=True)
class ReaderFigures:
    """One figure of every reader with the covariances of their errors over cases (Obuchowski and Rockette's epsilon)."""

    name: str
    value: np.ndarray  # (readers,); empty where undefined
    covariance: np.ndarray | None  # (readers, readers); None: cannot be estimated
    covariances: str  # how they were estimated
    read: np.ndarray  # (readers,) number of cases each has read
    cases: tuple[int, int]  # synthetic, real
    reason: str | None = None  # why there is no value, or no covariance

    @property
    def bounds(self) -> tuple[float, float]:
        return (-np.inf, np.inf) if self.name in DETECTION else (0.0, 1.0)

    @property
    def readings(self) -> int:
        return int(self.read.sum())

    def of(self, columns: Sequence[int] | np.ndarray) -> ReaderFigures:
        """Some of the readers, by their places."""
        keep = np.asarray(columns, dtype=int)
        covariance = None if self.covariance is None else self.covariance[np.ix_(keep, keep)]
        return replace(self, value=self.value[keep] if len(self.value) else self.value, covariance=covariance, read=self.read[keep])


def figures_of_scores(scores: np.ndarray, synthetic: np.ndarray, *, covariance: str = AUTO) -> ReaderFigures:
    """The AUC of every reader; `scores` (cases, readers), higher means more surely synthetic, NaN where not read.

    Covariances: DeLong 1988 for a complete table, otherwise U-statistics (Gallas 2009); or the jackknife over cases (Quenouille and Tukey;
    as Dorfman, Berbaum and Metz 1992 use it), which takes unread cases too.
    """
    scores, truth = _table(scores, synthetic)
    chosen = _chosen(covariance, complete=bool(np.isfinite(scores).all()), direct=DELONG)
    start = _start("AUC", scores, truth, chosen)
    if start.reason is not None:
        return start
    v10, v01 = placements(scores, truth)
    reason = _too_few(scores, truth)
    if reason is None and chosen == DELONG and not np.isfinite(scores).all():
        reason = "DeLong's covariances need every reader to have read every case: choose U-statistics or jackknife"
    if reason is not None:
        return replace(start, value=areas(v10), reason=reason)
    if chosen == DELONG:
        found = delong_covariance(v10, v01)
    elif chosen == JACKKNIFE:
        found = _jackknife(jackknife_areas(v10, v01))
    else:
        found = u_statistics.auc_covariance(scores, truth, v10, v01)
    return replace(start, value=areas(v10), covariance=found)


def figures_of_calls(right: np.ndarray, synthetic: np.ndarray, figure: str, *, covariance: str = AUTO) -> ReaderFigures:
    """Sensitivity, specificity, balanced accuracy, accuracy, d' or criterion of every reader; `right` (cases, readers): 1, 0, NaN not read.

    Rates: an arm's mean with U-statistic covariances (Gallas 2007; without missing answers sample covariance / cases, which the jackknife
    gives as well); the number of cases of each arm is taken as planned, so covariances of accuracy add up over arms. d' and criterion have
    the log-linear correction (Hautus 1995) and jackknife covariances.
    """
    right, truth = _table(right, synthetic)
    if figure not in (*RATES, *DETECTION):
        raise ValueError(f"figure {figure!r}: choose one of {', '.join((*RATES, *DETECTION))}")
    if figure in DETECTION:
        if covariance not in (AUTO, JACKKNIFE):
            raise ValueError(f"covariances of {figure} come from the jackknife, not from {covariance}")
        start = _start(figure, right, truth, JACKKNIFE)
        return start if start.reason is not None else _detection(start, right, truth, figure)
    chosen = _chosen(covariance, complete=False, direct=U_STATISTICS)
    kinds = _KINDS_OF.get(figure, _KINDS)
    start = _start(figure, right, truth, chosen, kinds)
    if start.reason is not None:
        return start
    parts = [right[truth == (kind == "synthetic")] for kind in kinds]
    counts = np.array([np.isfinite(part).sum(axis=0) for part in parts])
    weight = counts / counts.sum(axis=0) if figure == "accuracy" else np.full(counts.shape, 1 / len(parts))
    value = np.sum([w * np.nanmean(part, axis=0) for w, part in zip(weight, parts, strict=True)], axis=0)
    if (reason := _too_few(right, truth, kinds)) is not None:
        return replace(start, value=value, reason=reason)
    estimate: Callable[[np.ndarray], np.ndarray] = u_statistics.mean_covariance if chosen == U_STATISTICS else _jackknife_of_means
    found = np.sum([np.outer(w, w) * estimate(part) for w, part in zip(weight, parts, strict=True)], axis=0)
    return replace(start, value=value, covariance=found)


def enough(answers: np.ndarray, synthetic: np.ndarray, least: int = 2) -> np.ndarray:
    """Which readers (readers,) read at least so many strips of each arm: the others have no figure, or none with a covariance."""
    answers, truth = _table(answers, synthetic)
    read = np.isfinite(answers)
    return np.asarray((read[truth].sum(axis=0) >= least) & (read[~truth].sum(axis=0) >= least))


def _detection(start: ReaderFigures, right: np.ndarray, truth: np.ndarray, figure: str) -> ReaderFigures:
    """Corrected rates (count + 0.5) / (n + 1), of all cases and with each case left out."""
    read = np.isfinite(right)
    called = np.where(read, np.where(truth[:, None], right, 1 - right), 0)  # called synthetic
    z = []
    for arm in (truth, ~truth):
        n, count = read[arm].sum(axis=0), called[arm].sum(axis=0)
        out = (arm[:, None] & read).astype(float)  # what leaving the case out takes from n
        z.append((_z(count, n), _z(count - called * out, n - out)))
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray] = (lambda h, f: h - f) if figure == "d'" else (lambda h, f: -(h + f) / 2)
    value, reason = combine(z[0][0], z[1][0]), _too_few(right, truth)
    return replace(start, value=value, covariance=None if reason else _jackknife(combine(z[0][1], z[1][1])), reason=reason)


def _z(count: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.asarray(stats.norm.ppf((count + 0.5) / (n + 1)))


def _start(name: str, answers: np.ndarray, truth: np.ndarray, chosen: str, kinds: tuple[str, ...] = _KINDS) -> ReaderFigures:
    """Without values yet; with a reason where there can be none."""
    cases = int(truth.sum()), int((~truth).sum())
    return ReaderFigures(name, np.empty(0), None, chosen, np.isfinite(answers).sum(axis=0), cases, _fewer(1, "no", answers, truth, kinds))


def _too_few(answers: np.ndarray, truth: np.ndarray, kinds: tuple[str, ...] = _KINDS) -> str | None:
    """Why there is no covariance, if so."""
    return _fewer(2, "a single", answers, truth, kinds)


def _fewer(least: int, words: str, answers: np.ndarray, truth: np.ndarray, kinds: tuple[str, ...]) -> str | None:
    read = np.isfinite(answers)
    if not read.any():
        return "no case was read"
    for kind in kinds:
        if int(read[truth == (kind == "synthetic")].sum(axis=0).min()) < least:
            return f"a reader read {words} {kind} strip" if answers.shape[1] > 1 else f"{words} {kind} strip was read"
    return None


def _table(answers: np.ndarray, synthetic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    answers, truth = np.asarray(answers, dtype=float), np.asarray(synthetic, dtype=bool)
    if answers.ndim != 2 or truth.shape != answers.shape[:1]:
        raise ValueError(f"answers {answers.shape} are not (cases, readers) of truth {truth.shape}")
    return answers, truth


def _chosen(covariance: str, *, complete: bool, direct: str) -> str:
    if covariance not in COVARIANCES:
        raise ValueError(f"covariances {covariance!r}: choose one of {', '.join(COVARIANCES)}")
    if covariance == DELONG and direct != DELONG:
        raise ValueError("DeLong's covariances are those of AUCs: choose U-statistics or jackknife for a rate")
    return covariance if covariance != AUTO else direct if complete else U_STATISTICS


def _jackknife(left_out: np.ndarray) -> np.ndarray:
    """Covariances from the figures with each case left out, (cases, readers): (N - 1) / N times the sum of products of deviations."""
    apart = left_out - left_out.mean(axis=0)
    return np.asarray((len(left_out) - 1) / len(left_out) * apart.T @ apart)


def _jackknife_of_means(values: np.ndarray) -> np.ndarray:
    read = np.isfinite(values)
    count, mean = read.sum(axis=0), np.nanmean(values, axis=0)
    return _jackknife(np.where(read, (count * mean - np.where(read, values, 0)) / (count - 1), mean))
