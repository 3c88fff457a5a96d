"""Obuchowski and Rockette's variance components of accuracy and AUC, computed from what is planted in readers and cases.

What Gallas and Hillis (2014, J Med Imaging 1:031006) and Hillis (2018, Stat Med 37:2067) do for the AUC of Roe and Metz' model, here for
calls and for the AUC of the six-point scale: variance between readers, error variance over cases (Var), and its covariance between two
readers of the same cases (Cov2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from study.simulation.model import EDGES, Planted, Readers
from study.simulation.normal import both_below, joint_steps, steps

_NODES = 5  # Gauss-Hermite, for skill and for criterion each: 25 readers stand for all


@dataclass(frozen=True)
class Components:
    """Of one figure, for the planned number of cases."""

    expected: float
    between: float  # variance of the readers' true values
    error: float  # Var
    shared: float  # Cov2


def of_accuracy(planted: Planted) -> Components:
    """Of balanced accuracy, (sensitivity + specificity) / 2: normal probabilities of pairs, exact.

    With x = d_j / 2 - c_j and y = d_j / 2 + c_j, a reader's sensitivity is Phi(x) and specificity Phi(y); E Phi(x) Phi(y) is the probability
    that two normals of variance s^2 lie below their means.
    """
    leaning = planted.skill_sd**2 / 4 + planted.criterion_sd**2
    crossed = planted.skill_sd**2 / 4 - planted.criterion_sd**2
    whole = 1 + leaning
    right = np.array([planted.separation / 2 - planted.criterion, planted.separation / 2 + planted.criterion]) / np.sqrt(whole)
    share = ndtr(right)
    square = both_below(right, right, leaning / whole)  # E of a reader's own share squared
    both = both_below(right, right, planted.case_share / whole)  # two readers right on the same case
    product = float(both_below(right[0], right[1], crossed / whole))
    cases = planted.cases / 2  # of each arm
    mean = float(share.mean())
    return Components(
        mean,
        max(float(square.sum() + 2 * product) / 4 - mean**2, 0.0),
        float((share - square).sum()) / cases / 4,
        float((both - share**2).sum()) / cases / 4,
    )


def of_auc(planted: Planted) -> Components:
    """Of the AUC of the six-point scale: variances and covariances of its placements, exact for readers at Gauss-Hermite nodes.

    Var as Hoeffding (1948) has it for two samples; Cov2 without its terms of the order of 1 / cases squared.
    """
    readers, weight = _readers(planted)
    real, synthetic = (steps(EDGES - one[:, None]) for one in readers.leaning())  # (readers, 6)
    below = np.cumsum(real, axis=1) - real / 2  # P(a real strip gets less) + P(it gets the same) / 2
    above = 1 - np.cumsum(synthetic, axis=1) + synthetic / 2
    areas = (synthetic * below).sum(axis=1)
    mean = float(weight @ areas)
    m = n = planted.cases / 2
    of_synthetic = (synthetic * below**2).sum(axis=1) - areas**2
    of_real = (real * above**2).sum(axis=1) - areas**2
    ties = (synthetic * real).sum(axis=1)
    of_both = areas - ties / 4 - areas**2  # the kernel is 0, 1/2 or 1
    error = ((n - 1) * of_synthetic + (m - 1) * of_real + of_both) / (m * n)
    pairs = weight[:, None] * weight
    shared = 0.0
    for leaning, alone, placed in zip(readers.leaning(), (real, synthetic), (above, below), strict=True):
        limits = EDGES - leaning[:, None]
        joint = joint_steps(limits[:, None], limits[None, :], planted.case_share)  # (readers, readers, 6, 6)
        apart = joint - alone[:, None, :, None] * alone[None, :, None, :]
        shared += float((pairs * np.einsum("ijab,ia,jb->ij", apart, placed, placed)).sum()) / m
    return Components(mean, max(float(weight @ areas**2) - mean**2, 0.0), float(weight @ error), shared)


def _readers(planted: Planted) -> tuple[Readers, np.ndarray]:
    """Readers that stand for all, and their weights."""
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    skill, criterion = (one.ravel() for one in np.meshgrid(node, node))
    both = np.outer(weight, weight).ravel()
    return Readers(planted.separation + planted.skill_sd * skill, planted.criterion + planted.criterion_sd * criterion), both / both.sum()
