"""Noise schedules: how much signal and noise a diffusion step holds, x_t = alpha x_0 + sigma epsilon with alpha^2 + sigma^2 = 1.

Time runs from 0 (clean) to 1 (the noisiest). Everything here is float64 on plain numbers.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from generator.errors import GeneratorError

Prediction = Literal["epsilon", "v"]


@dataclass(frozen=True)
class Schedule:
    """A schedule and what a network trained with it predicts."""

    kind: Literal["linear", "cosine"] = "linear"  # linear: beta rises evenly (Ho et al. 2020); cosine: alpha = cos(pi t / 2), no signal left at t = 1
    prediction: Prediction = "epsilon"  # epsilon, or v = alpha epsilon - sigma x_0 (Salimans & Ho 2022)
    T: int = 200  # steps of the linear schedule; of the ancestral sampler with either
    beta_0: float = 1e-4  # linear only
    beta_T: float = 0.02
    step_scale: float = 1.0  # cosine only: the step embedding sees t times this
    finest: float = (
        2.25  # cosine only: log(alpha / sigma), 10 % noise, where few-step samplers take their last clean estimate: a small network cannot
    )
    # tell finer noise from the ECG and would leave it in the strip

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "cosine") or self.prediction not in ("epsilon", "v"):
            raise GeneratorError(f"A schedule is 'linear' or 'cosine' and predicts 'epsilon' or 'v', not {self.kind!r} and {self.prediction!r}.")
        if self.kind == "cosine" and self.prediction == "epsilon":
            raise GeneratorError(
                "A cosine schedule ends in pure noise, from which epsilon tells nothing about the signal: its network must predict v."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Schedule:
        known = {field.name for field in dataclasses.fields(cls)}
        if set(values) - known:
            raise GeneratorError(f"The schedule has unknown fields: {', '.join(sorted(set(values) - known))}. Known: {', '.join(sorted(known))}.")
        return cls(**values)

    def alpha_sigma(self, t: float) -> tuple[float, float]:
        """Share of signal and of noise at time t in [0, 1]."""
        if self.kind == "cosine":
            return (0.0, 1.0) if t >= 1 else (math.cos(math.pi * t / 2), math.sin(math.pi * t / 2))
        log_alpha_bar = float(np.interp(t * (self.T - 1), np.arange(self.T), self._log_alpha_bar()))
        return math.exp(0.5 * log_alpha_bar), math.sqrt(-math.expm1(log_alpha_bar))

    def half_log_snr(self, t: float) -> float:
        """lambda = log(alpha / sigma); -inf where no signal is left."""
        alpha, sigma = self.alpha_sigma(t)
        return math.log(alpha / sigma) if alpha > 0 else -math.inf

    def time_of(self, half_log_snr: float) -> float:
        """The inverse of half_log_snr."""
        if self.kind == "cosine":
            return 2 / math.pi * math.atan(math.exp(-half_log_snr))
        log_alpha_bar = -float(np.logaddexp(0, -2 * half_log_snr))
        table = self._log_alpha_bar()
        return float(np.interp(-log_alpha_bar, -table, np.arange(self.T))) / (self.T - 1)

    def network_step(self, t: float) -> float:
        """What the step embedding of the network is given for time t: a published step 0..T-1 (fractions allowed), or t times step_scale."""
        return t * self.step_scale if self.kind == "cosine" else t * (self.T - 1)

    def _log_alpha_bar(self) -> NDArray[np.float64]:
        return np.cumsum(np.log1p(-np.linspace(self.beta_0, self.beta_T, self.T)))
