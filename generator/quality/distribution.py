"""How far two sets of strips lie apart in an embedding: Frechet and kernel distance, precision, recall, density, coverage.

All functions take embeddings (n, dims). Both distances fall to about 0 for two samples of one population and neither has a scale of its own:
what they say, they say beside the same distance between recordings of different patients, in equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from prdc import prdc as library
from scipy import linalg

from generator.quality.resample import averages, basic, percentile, weights
from generator.quality.result import Figure

NEIGHBOURS = 5  # as Naeem et al. 2020 and the published evaluations have it
DRAWS = 20  # of as many strips as there are recordings
FEWEST = NEIGHBOURS + 2  # strips: the library's radius is the distance to the 5th other one
NAMES = ("frechet", "kernel", "precision", "recall", "density", "coverage")

# The library tells its sizes on standard output at each call, which may be where our JSON goes; a name of its module hides the builtin.
setattr(library, "print", lambda *words: None)  # noqa: B010

Array = NDArray[np.float64]


def frechet(a: Array, b: Array, of_a: Array | None = None, of_b: Array | None = None) -> float:
    """The squared Frechet distance of the Gaussians with the samples' means and covariances (Dowson & Landau 1982; Heusel et al. 2017, FID).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). of_a, of_b: how often each row counts. The square root is taken as that of the symmetric
    C1^(1/2) C2 C1^(1/2), which has the same trace and needs no small number added where there are fewer strips than dimensions.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _moments(a, of_a), _moments(b, of_b)
    values, vectors = linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    middle = np.sqrt(np.maximum(linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    squared = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * middle
    return float(max(squared, 0.0))


def kernel_distance(a: Array, b: Array, patients_a: NDArray[Any] | None = None, patients_b: NDArray[Any] | None = None) -> float:
    """The unbiased squared MMD (Gretton et al. 2012, eq. 3) under k(x, y) = (x.y / dims + 1)^3, as KID (Binkowski et al. 2018). May be below 0.

    patients: pairs of one patient's strips do not count within a sample, as a strip with itself does not.
    """
    found = _Kernel(a, b, _own(a, patients_a), _own(b, patients_b))
    return float(found.at(np.ones((1, len(a))), np.ones((1, len(b))))[0])


def neighbourhoods(real: Array, other: Array) -> dict[str, Array]:
    """One value a strip; their means are precision, recall, density, coverage (Kynkaanniemi 2019; Naeem et al. 2020), the library's figures.

    precision, density: of `other`; recall, coverage: of `real`. Radii are distances to the 5th neighbour.
    """
    with joblib.parallel_config(backend="sequential"):  # the library asks for eight threads, whatever the machine has and does
        of_real, of_other = (library.compute_nearest_neighbour_distances(one, NEIGHBOURS) for one in (real, other))
        apart = library.compute_pairwise_distance(real, other)
    inside = apart < of_real[:, None]
    return {
        "precision": inside.any(axis=0).astype(float),
        "recall": (apart < of_other[None, :]).any(axis=1).astype(float),
        "density": inside.sum(axis=0) / NEIGHBOURS,
        "coverage": (apart.min(axis=1) < of_real).astype(float),
    }


def neighbourhoods_in_equal_numbers(real: Array, other: Array, rng: np.random.Generator) -> dict[str, Array]:
    """The mean of `neighbourhoods` over draws of as many others as there are recordings, where there are more: a handful of recordings is
    covered by any crowd, and recall falls the more a crowd's radii shrink. Naeem et al. 2020 compare equal numbers too."""
    if len(other) <= len(real):
        return neighbourhoods(real, other)
    whole = neighbourhoods(real, other)  # precision and density are means over the others: no number of them biases those
    draws = [neighbourhoods(real, other[np.sort(rng.permutation(len(other))[: len(real)])]) for _ in range(DRAWS)]
    return whole | {name: np.mean([one[name] for one in draws], axis=0) for name in ("recall", "coverage")}


@dataclass(frozen=True)
class Cloud:
    """An arm's embeddings of one rhythm. points: (n, dims); patients: (n,)."""

    points: Array
    patients: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.points)


def figures(rhythm: str, real: Cloud, synthetic: Cloud, beside: Cloud, seed: np.random.SeedSequence) -> list[Figure]:
    """The six figures of one rhythm; `beside` stands where the synthetic strips do, in the same number. Intervals: the neighbourhoods held fixed."""
    sizes: dict[str, Any] = {"n": len(synthetic), "n_real": len(real), "n_beside": len(beside)}
    found, found_beside = (_all(real, one, seed) for one in (synthetic, beside))
    made = []
    for name in NAMES:
        (value, interval, reason), (other, other_interval, other_reason) = found[name], found_beside[name]
        made.append(Figure("distribution", name, rhythm, value, other, interval, other_interval, **sizes, reason=reason, beside_reason=other_reason))
    return made


Found = tuple[float | None, tuple[float, float] | None, str | None]


def _all(real: Cloud, other: Cloud, seed: np.random.SeedSequence) -> dict[str, Found]:
    if min(len(real), len(other)) < FEWEST:
        why = f"{len(real)} recordings and {len(other)} strips; {FEWEST} of each are needed for their {NEIGHBOURS} neighbours"
        return dict.fromkeys(NAMES, (None, None, why))
    rng = np.random.default_rng(seed)
    of_real, of_other = weights(real.patients, rng), weights(other.patients, rng)
    found: dict[str, Found] = {}
    value = frechet(real.points, other.points)
    each = np.array([frechet(real.points, other.points, x, y) for x, y in zip(of_real, of_other, strict=True)])
    found["frechet"] = value, basic(value, each, least=0.0), None
    kernel = _Kernel(real.points, other.points, _own(real.points, real.patients), _own(other.points, other.patients))
    value = float(kernel.at(np.ones((1, len(real))), np.ones((1, len(other))))[0])
    found["kernel"] = value, percentile(kernel.at(of_real, of_other)), None
    for name, strips in neighbourhoods_in_equal_numbers(real.points, other.points, rng).items():
        counted = of_other if name in ("precision", "density") else of_real
        found[name] = float(strips.mean()), percentile(averages(strips, counted)), None
    return found


def _moments(points: Array, counted: Array | None) -> tuple[Array, Array]:
    times = np.ones(len(points)) if counted is None else counted
    mean = times @ points / times.sum()
    centred = points - mean
    return mean, (centred * times[:, None]).T @ centred / max(times.sum() - 1, 1)


def _own(points: Array, patients: NDArray[Any] | None) -> NDArray[np.bool_]:
    whose = np.arange(len(points)) if patients is None else np.asarray(patients)
    return np.asarray(whose[:, None] == whose[None, :])


class _Kernel:
    """The kernel of all pairs, computed once for all resamples. own: (n, n), True for pairs that do not count."""

    def __init__(self, a: Array, b: Array, own_a: NDArray[np.bool_], own_b: NDArray[np.bool_]) -> None:
        self._pairs = [(_polynomial(one, one) * ~own, (~own).astype(float)) for one, own in ((a, own_a), (b, own_b))]
        self._across = _polynomial(a, b)

    def at(self, of_a: Array, of_b: Array) -> Array:
        """(resamples,) from weights (resamples, n) and (resamples, m)."""
        within = [_mean_of_pairs(counted, counted, *pairs) for counted, pairs in zip((of_a, of_b), self._pairs, strict=True)]
        across = _mean_of_pairs(of_a, of_b, self._across, np.ones_like(self._across))
        return np.asarray(within[0] + within[1] - 2 * across)


def _polynomial(a: Array, b: Array) -> Array:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def _mean_of_pairs(of_a: Array, of_b: Array, values: Array, counting: Array) -> Array:
    over: Callable[[Array], Array] = lambda matrix: ((of_a @ matrix) * of_b).sum(axis=1)  # noqa: E731
    pairs = over(counting)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, over(values) / pairs, np.nan))
