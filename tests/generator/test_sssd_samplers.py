"""Schedules hold the published numbers; samplers agree with an analytic answer and converge at their order."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from generator.errors import GeneratorError
from generator.sssd.config import NetworkConfig
from generator.sssd.evaluator import Evaluator
from generator.sssd.network import Network
from generator.sssd.samplers import Denoiser, ancestral, denoiser, dpm_solver_pp_2m, start, times_even_in_log_snr
from generator.sssd.schedule import Schedule

LINEAR = Schedule()
COSINE = Schedule(kind="cosine", prediction="v", step_scale=1000.0, T=200)
MEAN, SD = 0.7, 0.3


def _exact(schedule: Schedule) -> Denoiser:
    """E[x_0 | x_t] for x_0 ~ N(MEAN, SD^2)."""

    def clean(x: Tensor, t: float) -> Tensor:
        alpha, sigma = schedule.alpha_sigma(t)
        variance = alpha**2 * SD**2 + sigma**2
        return MEAN + alpha * SD**2 / variance * (x - alpha * MEAN)

    return clean


def _flow(schedule: Schedule, x: Tensor, t: float, t_next: float) -> Tensor:
    """Where the probability-flow ODE of that Gaussian leads: it keeps each point's place in units of the marginal's standard deviation."""
    (a, s), (b, r) = schedule.alpha_sigma(t), schedule.alpha_sigma(t_next)
    return b * MEAN + (x - a * MEAN) * math.sqrt((b**2 * SD**2 + r**2) / (a**2 * SD**2 + s**2))


def test_linear_schedule_is_the_published_one() -> None:
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 200))
    for step in (0, 1, 57, 199):
        alpha, sigma = LINEAR.alpha_sigma(step / 199)
        assert alpha**2 == pytest.approx(alpha_bar[step], rel=1e-12)
        assert alpha**2 + sigma**2 == pytest.approx(1)
        assert LINEAR.network_step(step / 199) == pytest.approx(step)
    assert LINEAR.alpha_sigma(1.0)[0] ** 2 == pytest.approx(0.132, abs=5e-4)


@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
def test_time_of_inverts_half_log_snr(schedule: Schedule) -> None:
    for t in (0.03, 0.2, 0.5, 0.93):
        assert schedule.time_of(schedule.half_log_snr(t)) == pytest.approx(t, abs=1e-9)


@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
@pytest.mark.parametrize("steps", [4, 20, 50])
def test_times_are_even_in_log_snr(schedule: Schedule, steps: int) -> None:
    times = times_even_in_log_snr(schedule, steps)
    assert len(times) == steps
    assert times[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(times))
    gaps = np.diff([schedule.half_log_snr(t) for t in times if math.isfinite(schedule.half_log_snr(t))])
    assert np.allclose(gaps, gaps[0], rtol=1e-6)


def test_cosine_ends_in_pure_noise() -> None:
    assert COSINE.alpha_sigma(1.0) == (0.0, 1.0)


@pytest.mark.parametrize("schedule", [LINEAR, replace(COSINE, finest=5.0)])
@pytest.mark.parametrize("stochastic", [False, True])
def test_multistep_gives_the_gaussian_back(schedule: Schedule, stochastic: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        return torch.randn(1, 1, 200_000, dtype=torch.float64, generator=generator)

    first = start(noise(), schedule, MEAN, SD**2)
    x = dpm_solver_pp_2m(_exact(schedule), first, schedule, times_even_in_log_snr(schedule, 20), noise=noise if stochastic else None)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.005)
    assert float(x.std()) == pytest.approx(SD, rel=0.03)


def test_multistep_is_of_second_order() -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 9)
    first, last = 0.9, 0.05
    errors = []
    for steps in (20, 40, 80):
        low, high = COSINE.half_log_snr(first), COSINE.half_log_snr(last)
        times = [COSINE.time_of(low + (high - low) * k / steps) for k in range(steps + 1)]
        end = dpm_solver_pp_2m(_exact(COSINE), x, COSINE, times)
        expected = _exact(COSINE)(_flow(COSINE, x, first, last), last)
        errors.append(float((end - expected).abs().max()))
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
def test_ancestral_gives_the_gaussian_back(schedule: Schedule) -> None:
    generator = torch.Generator().manual_seed(1)

    def noise() -> Tensor:
        return torch.randn(1, 1, 100_000, dtype=torch.float64, generator=generator)

    x = ancestral(_exact(schedule), start(noise(), schedule, MEAN, SD**2), schedule, noise)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(x.std()) == pytest.approx(SD, rel=0.03)


def test_ancestral_step_is_the_published_formula() -> None:
    """x_{t-1} = (x - (1 - alpha_t) / sqrt(1 - alpha_bar_t) epsilon) / sqrt(alpha_t) + sigma_t z, for a network that always says epsilon = 0.3."""
    schedule = Schedule(T=5, beta_0=0.01, beta_T=0.2)
    beta = np.linspace(0.01, 0.2, 5)
    alpha_bar = np.cumprod(1 - beta)
    x = published = torch.full((1, 1, 1), 0.8, dtype=torch.float64)
    for t in range(4, -1, -1):
        published = (published - beta[t] / math.sqrt(1 - alpha_bar[t]) * 0.3) / math.sqrt(1 - beta[t])
        if t:
            published = published + math.sqrt(beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])) * 0.5

    def clean(x: Tensor, t: float) -> Tensor:
        alpha, sigma = schedule.alpha_sigma(t)
        return (x - sigma * 0.3) / alpha

    assert torch.allclose(ancestral(clean, x, schedule, lambda: torch.full((1, 1, 1), 0.5, dtype=torch.float64)), published)


def test_every_step_is_told() -> None:
    told: list[tuple[int, int]] = []
    dpm_solver_pp_2m(_exact(COSINE), torch.zeros(1, 1, 4), COSINE, times_even_in_log_snr(COSINE, 6), lambda done, steps: told.append((done, steps)))
    assert told == [(k, 6) for k in range(1, 7)]


def test_guidance_one_is_the_conditional_estimate_and_more_goes_beyond() -> None:
    config = NetworkConfig(
        num_res_layers=1,
        res_channels=8,
        skip_channels=8,
        diffusion_step_embed_dim_in=8,
        diffusion_step_embed_dim_mid=8,
        diffusion_step_embed_dim_out=8,
        s4_d_state=4,
        label_embed_dim=4,
        label_embed_classes=2,
    )
    network = Network(config)
    network.initialise(seed=0)
    torch.nn.init.normal_(network.last_2.weight)
    evaluator = Evaluator(network, torch.device("cpu"))
    x = torch.randn(2, 8, 1000)
    with torch.no_grad():
        output, unconditional = evaluator.conditioned(torch.eye(2)), evaluator.conditioned(torch.zeros(2, 2))
        with_label, without = denoiser(output, LINEAR)(x, 0.9), denoiser(unconditional, LINEAR)(x, 0.9)
        guided = denoiser(output, LINEAR, unconditional=unconditional, guidance=2.0)
        assert torch.equal(guided(x, 0.2), denoiser(output, LINEAR)(x, 0.2))
        doubled = guided(x, 0.9)
    assert not torch.allclose(with_label, without)
    assert torch.allclose(doubled, 2 * with_label - without, atol=1e-4)


def test_impossible_schedules_are_refused() -> None:
    with pytest.raises(GeneratorError, match="must predict v"):
        Schedule(kind="cosine", prediction="epsilon")
    with pytest.raises(GeneratorError, match="unknown fields: betas"):
        Schedule.from_dict({"betas": 3})
