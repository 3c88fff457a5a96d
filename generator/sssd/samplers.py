"""Samplers: from noise to signal by a few or by all steps of a schedule.

One contract: a denoiser takes noisy channels (batch, channels, samples) and a time in [0, 1] and returns its estimate of the clean ones.
`denoiser` makes one of what a network predicts. Scalars are float64; the arrays keep the network's precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from generator.sssd.schedule import Schedule

Output = Callable[[Tensor, float], Tensor]  # noisy channels and a network step to what the network predicts
Denoiser = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int, int], None]  # steps done, steps in all; may raise to stop

_LOWEST_HALF_LOG_SNR = -3.0  # multistep: hardly any signal is left


class Noise(Protocol):
    """Where an ancestral sampler gets its noise: called once a step, gives standard normal numbers of the samples' shape."""

    def __call__(self) -> Tensor: ...


def denoiser(output: Output, schedule: Schedule, *, unconditional: Output | None = None, guidance: float = 1.0) -> Denoiser:
    """What samplers call. output: what the network predicts of x at a step, under the labels asked for; unconditional: the same without labels.

    guidance 1: the conditional estimate; else unconditional + guidance x (conditional - unconditional), classifier-free (Ho & Salimans 2022),
    while noise outweighs signal: later, when a strip's shape is settled, it changed nothing that was measured and would double the work
    (a limited interval, Kynkaanniemi et al. 2024).
    """

    def clean(x: Tensor, t: float) -> Tensor:
        alpha, sigma = schedule.alpha_sigma(t)
        step = schedule.network_step(t)
        predicted = output(x, step)
        if guidance != 1.0 and unconditional is not None and sigma > alpha:
            without = unconditional(x, step)
            predicted = without + guidance * (predicted - without)
        if schedule.prediction == "v":
            return alpha * x - sigma * predicted
        return (x - sigma * predicted) / alpha

    return clean


def start(noise: Tensor, schedule: Schedule, mean: Tensor | float = 0.0, variance: Tensor | float = 1.0) -> Tensor:
    """The noisiest x, drawn from the marginal that the network was trained on: alpha mean + sqrt(sigma^2 + alpha^2 variance) noise.

    mean, variance: of the training channels (standardised: 0 and 1). The linear schedule ends with 36 % of the signal left, so N(0, I) would be off.
    """
    alpha, sigma = schedule.alpha_sigma(1.0)
    return alpha * mean + torch.as_tensor(sigma**2 + alpha**2 * variance, dtype=noise.dtype, device=noise.device).sqrt() * noise


def times_even_in_log_snr(schedule: Schedule, steps: int) -> list[float]:
    """`steps` falling times from 1, even in log(alpha / sigma). Even times would spend nearly all steps of a linear schedule where little changes."""
    low, high = _LOWEST_HALF_LOG_SNR, schedule.finest
    if schedule.kind == "linear":
        low, high, between = schedule.half_log_snr(1.0), schedule.half_log_snr(0.0), steps - 1
    else:  # from time 1, infinitely far, the first step leads to `low`
        between = steps - 2
    falling = [schedule.time_of(low + (high - low) * k / between) for k in range(between + 1)]
    return [1.0, *falling[1:]] if schedule.kind == "linear" else [1.0, *falling]


def dpm_solver_pp_2m(
    denoise: Denoiser,
    x: Tensor,
    schedule: Schedule,
    times: list[float],
    on_step: OnStep | None = None,
    noise: Noise | None = None,
) -> Tensor:
    """DPM-Solver++(2M), Lu et al. 2022 (arXiv 2211.01095), algorithm 2: second order, one evaluation a step. Returns the last clean estimate.

    x: (batch, channels, samples) at times[0]. The last time's noise is taken off with one more estimate, so len(times) evaluations are made.
    noise: solve the stochastic equation in place of the ordinary one (SDE-DPM-Solver++(2M), in the same paper). Noise is then renewed at
    every step: what an imperfect network left in the sample is forgotten, as in ancestral sampling, in a tenth of its steps.
    """
    before: Tensor | None = None
    h_before = math.nan
    for k, (t, t_next) in enumerate(pairwise(times)):
        estimate = denoise(x, t)
        h = schedule.half_log_snr(t_next) - schedule.half_log_snr(t)
        alpha, sigma = schedule.alpha_sigma(t_next)
        _, sigma_now = schedule.alpha_sigma(t)
        direction = estimate
        if before is not None and math.isfinite(h_before):
            r = h_before / h
            direction = (1 + 0.5 / r) * estimate - 0.5 / r * before
        if noise is None:
            x = (sigma / sigma_now) * x - alpha * math.expm1(-h) * direction
        else:
            forgotten = -math.expm1(-2 * h)
            x = (sigma / sigma_now) * math.exp(-h) * x + alpha * forgotten * direction + sigma * math.sqrt(forgotten) * noise()
        before, h_before = estimate, h
        if on_step is not None:
            on_step(k + 1, len(times))
    estimate = denoise(x, times[-1])
    if on_step is not None:
        on_step(len(times), len(times))
    return estimate


def ancestral(denoise: Denoiser, x: Tensor, schedule: Schedule, noise: Noise, on_step: OnStep | None = None) -> Tensor:
    """The published sampler over all T steps: x_{t-1} from its posterior given x_t and the clean estimate (Ho et al. 2020, equations 6 and 7).

    x: (batch, channels, samples) at the schedule's last step. With epsilon predicted and the linear schedule this is the sampler of SSSD-ECG.
    """
    times = [k / (schedule.T - 1) for k in range(schedule.T)] if schedule.kind == "linear" else [(k + 1) / schedule.T for k in range(schedule.T)]
    for k in range(schedule.T - 1, -1, -1):
        alpha, sigma = schedule.alpha_sigma(times[k])
        estimate = denoise(x, times[k])
        if k == 0:
            x = estimate
        else:
            alpha_next, sigma_next = schedule.alpha_sigma(times[k - 1])
            step = alpha / alpha_next  # sqrt of 1 - beta of this step
            beta = 1 - step**2
            x = (alpha_next * beta * estimate + step * sigma_next**2 * x) / sigma**2 + sigma_next / sigma * math.sqrt(beta) * noise()
        if on_step is not None:
            on_step(schedule.T - k, schedule.T)
    return x
