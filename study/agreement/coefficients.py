"""Agreement of any number of readers on one question, answers may be missing: raw, Fleiss, Conger, Gwet, Brennan-Prediger, Krippendorff.

Every coefficient is a function of sums over cases, so that a bootstrap over cases is one matrix product and all coefficients of a question
see the same samples. Our own code: `irrCAC` (0.4.4) pins scipy 1.12 and states no licence, `krippendorff` is GPL, statsmodels has Fleiss'
kappa for complete answers alone, and none of them resamples. All three are oracles in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from study.agreement.estimate import Estimate, undefined
from study.agreement.resampling import DRAWS, interval, jackknife, resampled, standard_error
from study.agreement.weights import agreement_weights, ordinal_difference

RAW, WEIGHTED = "raw agreement", "weighted agreement"
FLEISS, Z, CONGER = "Fleiss' kappa", "z of Fleiss' kappa", "Conger's kappa"
BRENNAN_PREDIGER, ALPHA = "Brennan-Prediger coefficient", "Krippendorff's alpha"
NOBODY_TWICE = "no case was read by two readers"
ONE_READER = "there is one reader: agreement needs two"
ALL_ALIKE = "all answers are equal: agreement expected by chance is 1"
ONE_ANSWER = "there is one answer to choose from: agreement expected by chance is 1"


def gwet_name(weights: str) -> str:
    return "Gwet's AC1" if weights == "nominal" else "Gwet's AC2"


@dataclass(frozen=True)
class Found:
    """Coefficients of one question by name, and their bootstrap values (draws,), NaN where a sample had none."""

    estimates: dict[str, Estimate]
    samples: dict[str, np.ndarray]


def coefficients(
    ratings: np.ndarray,
    categories: int,
    *,
    weights: str = "nominal",
    seed: int,
    draws: int = DRAWS,
    label: str = "",
    keep_unread: bool = False,
) -> Found:
    """All coefficients of one question; `n` = cases answered by at least two readers.

    `ratings` (cases, readers) of codes 0..categories-1, -1 = missing; `categories` counts all answers that the form offers, chosen or not.
    `weights` 'nominal': every disagreement counts alike. 'linear', 'quadratic', 'ordinal': the answers are ordered; alpha takes
    Krippendorff's own difference where 'ordinal'; raw agreement stays the share of equal answers. Intervals: percentile bootstrap over
    cases. Standard errors: Gwet's linearisation for missing answers (2014, ch. 5), the jackknife over cases for ordinal alpha. Cases that
    nobody answered are dropped; with `keep_unread` samples are drawn from them too, so that sets of answers to different cases of one list
    see the same samples.
    """
    ratings = _checked(ratings, categories)
    read = np.asarray((ratings >= 0).any(axis=1))
    ratings = ratings[read]
    ratings = ratings[:, (ratings >= 0).any(axis=0)]
    return _found(Cases(counts(ratings, categories), ratings, weights), seed, draws, label, read if keep_unread else None)


def of_table(table: np.ndarray, *, weights: str = "nominal", seed: int | None = None, draws: int = DRAWS) -> Found:
    """Those coefficients (all but Conger's) that a table (cases, categories) of how many readers gave each answer allows. No seed: no interval."""
    table = np.asarray(table, dtype=int)
    return _found(Cases(table[table.sum(axis=1) > 0], None, weights), seed, draws, "")


def counts(ratings: np.ndarray, categories: int) -> np.ndarray:
    """(cases, readers) codes, -1 = missing -> (cases, categories) how many readers gave each answer."""
    ratings = _checked(ratings, categories)
    place = np.arange(len(ratings))[:, None] * categories + ratings
    return np.bincount(place[ratings >= 0], minlength=len(ratings) * categories).reshape(len(ratings), categories)


def shares_of_readers(by_reader: np.ndarray) -> np.ndarray:
    """(sets, readers, k) how often each reader gave each answer -> (sets, readers, k) shares; zeros for a reader who gave none."""
    given = by_reader.sum(axis=2, keepdims=True)
    return np.asarray(by_reader / np.where(given > 0, given, 1))


def one_hot(ratings: np.ndarray, k: int) -> np.ndarray:
    """(cases, readers) codes -> (cases, readers * k): 1 at the answer given."""
    hot = np.zeros((ratings.size, k))
    given = np.flatnonzero(ratings.ravel() >= 0)
    hot[given, ratings.ravel()[given]] = 1
    return hot.reshape(len(ratings), ratings.shape[1] * k)


def beyond_chance(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(observed - expected) / (1 - expected) (Cohen 1960, eq. 1), NaN where chance alone would agree always."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)


# ---- what each case brings, and the sums ----


class Cases:
    """Each case's terms, (cases, columns), every one of which is summed over cases; `table` (cases, k), `ratings` None where unknown."""

    def __init__(self, table: np.ndarray, ratings: np.ndarray | None, weights: str) -> None:
        self.kind, self.k, self.ratings = weights, table.shape[1], ratings
        self.weights = agreement_weights(weights, self.k)
        self.table = table.astype(float)
        self.read = self.table.sum(axis=1)
        self.twice = self.read >= 2
        pairs = np.where(self.twice, self.read * (self.read - 1), 1)
        self.exact = (self.table * (self.table - 1)).sum(axis=1) / pairs * self.twice
        self.agreeing = (self.table * (self.table @ self.weights - 1)).sum(axis=1) / pairs * self.twice
        self.shares = self.table / np.where(self.read > 0, self.read, 1)[:, None]

    def terms(self) -> np.ndarray:
        paired = self.table * self.twice[:, None]
        once = np.where(self.twice, self.read - 1, 1)[:, None]
        if self.kind == "ordinal":  # alpha's difference depends on the margins: all pairs of answers are needed
            first, second = np.triu_indices(self.k, 1)
            apart = 2 * paired[:, first] * paired[:, second] / once
        else:
            apart = (paired * (paired @ (1 - self.weights)) / once).sum(axis=1)[:, None]
        columns = [self.exact, self.agreeing, self.twice, np.ones(len(self.table))]
        by_reader = [] if self.ratings is None else [one_hot(self.ratings, self.k)]
        return np.hstack([np.column_stack(columns), self.shares, paired, apart, *by_reader])

    def coefficients(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """(sets, columns) of summed terms -> name -> (sets,) values, NaN where undefined."""
        exact, agreeing, twice, cases = sums[:, :4].T
        shares, margin, rest = np.split(sums[:, 4:], [self.k, 2 * self.k], axis=1)
        apart, by_reader = np.split(rest, [self.k * (self.k - 1) // 2 if self.kind == "ordinal" else 1], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            raw, observed = exact / twice, agreeing / twice
            p = shares / cases[:, None]
        found = {RAW: raw}
        if self.kind != "nominal":
            found[WEIGHTED] = observed
        found[FLEISS] = beyond_chance(observed, _fleiss_chance(p, self.weights))
        if self.ratings is not None:
            found[CONGER] = beyond_chance(observed, _conger_chance(by_reader.reshape(len(sums), -1, self.k), self.weights))
        found[gwet_name(self.kind)] = beyond_chance(observed, gwet_chance(p, self.weights))
        found[BRENNAN_PREDIGER] = beyond_chance(observed, np.full(len(sums), self.weights.sum() / self.k**2))
        found[ALPHA] = self._alpha(margin, apart)
        return found

    def _alpha(self, margin: np.ndarray, apart: np.ndarray) -> np.ndarray:
        """1 - D_observed / D_expected from coincidences (Krippendorff 2011, Computing Krippendorff's alpha-reliability, sections A to D)."""
        n = margin.sum(axis=1)
        if self.kind == "ordinal":
            difference = ordinal_difference(margin)
            first, second = np.triu_indices(self.k, 1)
            observed = (apart * difference[:, first, second]).sum(axis=1)
        else:
            difference = np.broadcast_to(1 - self.weights, (len(margin), self.k, self.k))
            observed = apart[:, 0]
        expected = np.einsum("bk,bkl,bl->b", margin, difference, margin)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(expected > 1e-9, 1 - (n - 1) * observed / expected, np.nan)

    # ---- standard errors: Gwet's linearised case values; `value`: the coefficient itself ----

    def errors(self, terms: np.ndarray, values: dict[str, float]) -> dict[str, float]:
        """Standard error of each coefficient, NaN where there is none."""
        n, paired, p = len(self.table), int(self.twice.sum()), self.shares.mean(axis=0)
        if n < 2:
            return dict.fromkeys(values, np.nan)
        scale = n / paired
        found = {RAW: _spread(scale * self.exact - values[RAW] * (scale * self.twice - 1), values[RAW])}
        observed = float(self.agreeing.sum() / paired)
        if self.kind != "nominal":
            found[WEIGHTED] = _spread(scale * self.agreeing - observed * (scale * self.twice - 1), observed)
        chances = {
            FLEISS: (float(_fleiss_chance(p[None], self.weights)[0]), self.shares @ (self.weights @ p)),
            gwet_name(self.kind): (float(gwet_chance(p[None], self.weights)[0]), self._gwet_case_chance(p)),
            BRENNAN_PREDIGER: (float(self.weights.sum() / self.k**2), None),
        }
        if self.ratings is not None:
            chances[CONGER] = self._conger_case_chance(terms)
        for name, (expected, case_chance) in chances.items():
            if not np.isfinite(values[name]):
                found[name] = np.nan
                continue
            case = scale * (self.agreeing - expected * self.twice) / (1 - expected)
            if case_chance is not None:
                case = case - 2 * (1 - values[name]) * (case_chance - expected) / (1 - expected)
            found[name] = _spread(case, values[name])
        if self.kind == "ordinal":
            columns = terms[:, : 4 + 2 * self.k + self.k * (self.k - 1) // 2]
            found[ALPHA] = float(jackknife(columns, lambda sums: self._alpha_of_sums(sums)[:, None])[0])
        else:
            found[ALPHA] = self._alpha_error() if np.isfinite(values[ALPHA]) else np.nan
        return found

    def _alpha_of_sums(self, sums: np.ndarray) -> np.ndarray:
        return self._alpha(sums[:, 4 + self.k : 4 + 2 * self.k], sums[:, 4 + 2 * self.k :])

    def _gwet_case_chance(self, p: np.ndarray) -> np.ndarray:
        """Gwet 2008, eq. 31, for missing answers and weights 2014, section 5.3."""
        return self.weights.sum() / max(1, self.k * (self.k - 1)) * (self.shares @ (1 - p))

    def _conger_case_chance(self, terms: np.ndarray) -> tuple[float, np.ndarray]:
        """Conger's chance agreement and each case's part in it (Gwet 2014, section 5.3): what it changes in each reader's shares."""
        assert self.ratings is not None
        n, readers = self.ratings.shape
        by_reader = terms[:, -readers * self.k :].sum(axis=0).reshape(readers, self.k)
        p = by_reader / by_reader.sum(axis=1, keepdims=True)
        of_others = (p.sum(axis=0) - p) @ self.weights  # (readers, k): agreement with all others if this answer is given
        expected = float((p * of_others).sum() / max(1, readers * (readers - 1)))
        given = self.ratings >= 0
        worth = np.take_along_axis(of_others[None], np.where(given, self.ratings, 0)[:, :, None], axis=2)[:, :, 0]
        change = n / by_reader.sum(axis=1) * np.where(given, worth - (p * of_others).sum(axis=1), 0)
        return expected, expected + change.sum(axis=1) / max(1, readers * (readers - 1))

    def _alpha_error(self) -> float:
        """Gwet's standard error of alpha (2014, section 5.3; 2011, On the Krippendorff's alpha coefficient), weights fixed."""
        table, read = self.table[self.twice], self.read[self.twice]
        n, mean = len(table), float(read.mean())
        if n < 2:
            return float("nan")
        agreeing = (table * (table @ self.weights - 1)).sum(axis=1) / (mean * (read - 1))
        p = table.mean(axis=0) / mean
        expected = float(p @ self.weights @ p)
        if expected > 1 - 1e-12:
            return float("nan")
        share = float(agreeing.mean())
        observed = (1 - 1 / read.sum()) * share + 1 / read.sum()
        value = (share - expected) / (1 - expected)
        case = (agreeing - observed * (read - mean) / mean - expected) / (1 - expected)
        chance = table @ (self.weights @ p) / mean - expected * (read - mean) / mean
        return _spread(case - 2 * (1 - value) * (chance - expected) / (1 - expected), value)


def gwet_chance(p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(sets, k) shares of the answers -> chance agreement of AC1, AC2 if weighted (Gwet 2008, Br J Math Stat Psychol 61:29; 2014, section 5.3)."""
    k = p.shape[1]
    return np.asarray(weights.sum() * (p * (1 - p)).sum(axis=1) / (k * (k - 1))) if k > 1 else np.ones(len(p))


def _fleiss_chance(p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fleiss 1971 (Psychol Bull 76:378), eq. 5; with weights and missing answers Gwet 2014, section 5.3."""
    return np.asarray(((p @ weights) * p).sum(axis=1))


def _conger_chance(by_reader: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over pairs of readers of Cohen's chance agreement (Conger 1980, Psychol Bull 88:322, eq. 5); readers without an answer drop out."""
    p = shares_of_readers(by_reader)
    readers = (by_reader.sum(axis=2) > 0).sum(axis=1)
    total = p.sum(axis=1)
    same = ((p @ weights) * p).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((_fleiss_chance(total, weights) - same) / (readers * (readers - 1)))


def _spread(case: np.ndarray, value: float) -> float:
    """Standard error from linearised case values (n,) (Gwet 2014, eq. 5.16)."""
    n = len(case)
    return float(np.sqrt(((case - value) ** 2).sum() / (n * (n - 1))))


# ---- estimates ----


def _found(cases: Cases, seed: int | None, draws: int, label: str, among: np.ndarray | None = None) -> Found:
    names = [RAW] if cases.kind == "nominal" else [RAW, WEIGHTED]
    names += [FLEISS, *([] if cases.ratings is None else [CONGER]), gwet_name(cases.kind), BRENNAN_PREDIGER, ALPHA]
    methods = {name: _method(name, cases.kind) for name in names}
    n = int(cases.twice.sum())
    if n == 0:
        alone = cases.ratings is not None and cases.ratings.shape[1] == 1
        return Found({name: undefined(ONE_READER if alone else NOBODY_TWICE, 0, methods[name]) for name in names}, {})
    terms = cases.terms()
    values = {name: float(value[0]) for name, value in cases.coefficients(terms.sum(axis=0)[None]).items()}
    samples = {} if seed is None else cases.coefficients(resampled(terms, seed, draws, label, among))
    errors = cases.errors(terms, values)
    found = {}
    for name in names:
        if not np.isfinite(values[name]):
            found[name] = undefined(ONE_ANSWER if cases.k == 1 else ALL_ALIKE, n, methods[name])
        elif seed is None:
            found[name] = Estimate(values[name], None, None, n, "no interval was asked for", methods[name], standard_error(errors[name]))
        else:
            method = methods[name] + ", percentile bootstrap over cases, 95 %"
            found[name] = interval(values[name], samples[name], n, method, standard_error(errors[name]))
    if cases.kind == "nominal":
        found[Z] = fleiss_z(cases.table)
    return Found(found, samples)


def fleiss_z(table: np.ndarray) -> Estimate:
    """Fleiss' kappa over its standard error under chance agreement (Fleiss, Nee and Landis 1979, Psychol Bull 86:974, eq. 12).

    `table` (cases, categories) of counts, every case read by the same number of readers.
    """
    method = "Fleiss' kappa / its standard error under chance agreement (Fleiss, Nee and Landis 1979)"
    table = np.asarray(table, dtype=float)
    cases, read = len(table), table.sum(axis=1)
    if cases == 0 or read.max() < 2:
        return undefined(NOBODY_TWICE, 0, method)
    if read.min() != read.max():
        return undefined("z needs every case read by the same number of readers", cases, method)
    p = table.sum(axis=0) / table.sum()
    pq = float((p * (1 - p)).sum())
    if pq < 1e-12:
        return undefined(ALL_ALIKE, cases, method)
    variance = 2 / (cases * read[0] * (read[0] - 1)) * (pq**2 - float((p * (1 - p) * (1 - 2 * p)).sum())) / pq**2
    agreeing = float((table * (table - 1)).sum() / (cases * read[0] * (read[0] - 1)))
    kappa = (agreeing - (1 - pq)) / pq
    return Estimate(kappa / float(np.sqrt(variance)), None, None, cases, "a z is compared with 1.96: it has no interval", method)


def _method(name: str, weights: str) -> str:
    if name == RAW:
        return "share of pairs of readers who gave the same answer, mean over cases"
    if name == WEIGHTED:
        return f"raw agreement with {weights} weights"
    if name == ALPHA and weights == "ordinal":
        return "Krippendorff's alpha, ordinal difference"
    return name + ("" if weights == "nominal" else f", {weights} weights")


def _checked(ratings: np.ndarray, categories: int) -> np.ndarray:
    ratings = np.asarray(ratings, dtype=int)
    if ratings.ndim != 2 or (ratings >= categories).any() or (ratings < -1).any():
        raise ValueError(f"ratings must be (cases, readers) of codes -1..{categories - 1}")
    return ratings
