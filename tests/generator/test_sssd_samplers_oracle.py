"""Samplers against an independent implementation, diffusers, and against the exact answer for a Gaussian with the covariance of ECGs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from generator.simulate import stand_in
from generator.sssd.samplers import Denoiser, ancestral, dpm_solver_pp_2m, start, times_even_in_log_snr
from generator.sssd.schedule import Schedule

LINEAR = Schedule()
COSINE = Schedule(kind="cosine", prediction="v", step_scale=1000.0)
BETAS = np.linspace(1e-4, 0.02, 200)


@dataclass(frozen=True)
class Gaussian:
    """The exact denoiser for independent samples of this mean and variance: E[x_0 | x_t]."""

    schedule: Schedule
    mean: Tensor
    variance: Tensor

    def __call__(self, x: Tensor, t: float) -> Tensor:
        alpha, sigma = self.schedule.alpha_sigma(t)
        return self.mean + alpha * self.variance / (alpha**2 * self.variance + sigma**2) * (x - alpha * self.mean)

    def epsilon(self, x: Tensor, t: float) -> Tensor:
        alpha, sigma = self.schedule.alpha_sigma(t)
        return (x - alpha * self(x, t)) / sigma


def _gaussian(schedule: Schedule) -> Gaussian:
    """24 samples from the fineness of electrode noise, 10 uV, to 1 mV."""
    return Gaussian(
        schedule,
        torch.linspace(-0.5, 0.5, 24, dtype=torch.float64).reshape(1, 2, 12),
        torch.logspace(-4, 0, 24, dtype=torch.float64).reshape(1, 2, 12),
    )


def _noise(seed: int) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((1, 2, 12), dtype=torch.float64, generator=generator)


def _recorded(denoise: Denoiser, seen: list[Tensor]) -> Denoiser:
    def clean(x: Tensor, t: float) -> Tensor:
        seen.append(x)
        return denoise(x, t)

    return clean


def _in_float64(scheduler: DDPMScheduler | DPMSolverMultistepScheduler) -> None:
    """Its table is float32, in which 1 - alpha_bar of the first steps has three digits: it gets the same numbers with all their digits."""
    exact = torch.from_numpy(np.cumprod(1 - BETAS))
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), exact, rtol=1e-5, atol=0)
    scheduler.alphas_cumprod = exact


def _assert_same_way(ours: list[Tensor], theirs: list[Tensor], relative: float) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).abs().max() / b.abs().max()) < relative


# ---- diffusers ----


@pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")
@pytest.mark.parametrize("steps", [2, 5, 14, 15, 20, 50])  # diffusers has a branch at 15
@pytest.mark.parametrize("spacing", ["log-SNR", "t"])
@pytest.mark.parametrize("equation", ["ordinary", "stochastic"])
def test_multistep_goes_the_way_of_diffusers(steps: int, spacing: str, equation: str) -> None:
    stochastic = equation == "stochastic"
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=200,
        trained_betas=BETAS.tolist(),
        solver_order=2,
        algorithm_type="sde-dpmsolver++" if stochastic else "dpmsolver++",
        solver_type="midpoint",
        lower_order_final=True,
        final_sigmas_type="zero",
        use_lu_lambdas=spacing == "log-SNR",
    )
    _in_float64(scheduler)
    if spacing == "log-SNR":
        scheduler.set_timesteps(steps)
        times = times_even_in_log_snr(LINEAR, steps)
    else:
        whole = [round(199 * (1 - k / steps)) for k in range(steps)]
        scheduler.set_timesteps(timesteps=whole)
        times = [step / 199 for step in whole]
    scheduler.set_begin_index(0)  # its timesteps are rounded and may repeat, so that it cannot find its place by them; its sigmas are not
    levels = [sigma / alpha for alpha, sigma in map(LINEAR.alpha_sigma, times)]
    np.testing.assert_allclose(scheduler.sigmas.numpy(), [*levels, 0], rtol=1e-6)

    denoise = _gaussian(LINEAR)
    x = first = start(_noise(0)(), LINEAR, denoise.mean, denoise.variance)
    theirs, noise = [x], _noise(1)
    for t, timestep in zip(times, scheduler.timesteps, strict=True):
        x = scheduler.step(denoise.epsilon(x, t), timestep, x, variance_noise=noise().float() if stochastic else None).prev_sample
        theirs.append(x)

    ours: list[Tensor] = []
    end = dpm_solver_pp_2m(_recorded(denoise, ours), first, LINEAR, times, noise=_noise(1) if stochastic else None)
    _assert_same_way([*ours, end], theirs, 1e-5)  # diffusers calculates in float32


def test_ancestral_goes_the_way_of_diffusers() -> None:
    scheduler = DDPMScheduler(num_train_timesteps=200, trained_betas=BETAS.tolist(), variance_type="fixed_small", clip_sample=False)
    _in_float64(scheduler)
    scheduler.set_timesteps(200)

    denoise = _gaussian(LINEAR)
    x = first = start(_noise(0)(), LINEAR, denoise.mean, denoise.variance)
    theirs, generator = [x], torch.Generator().manual_seed(1)
    for timestep in scheduler.timesteps:
        x = scheduler.step(denoise.epsilon(x, int(timestep) / 199), timestep, x, generator=generator).prev_sample
        theirs.append(x)

    ours: list[Tensor] = []
    end = ancestral(_recorded(denoise, ours), first, LINEAR, _noise(1))
    _assert_same_way([*ours, end], theirs, 1e-10)


# ---- no silent change ----


@pytest.mark.parametrize(
    ("schedule", "sampler", "mean", "total"),
    [
        (LINEAR, "dpm++2m", 0.0344681168297634, 9.097496264005816),
        (LINEAR, "ancestral", 0.044961280777813604, 7.337977798150192),
        (LINEAR, "dpm++2m-sde", 0.018011618559220444, 7.035071802181292),
        (COSINE, "dpm++2m-sde", 0.10193880030368346, 5.608952516687756),
        (COSINE, "dpm++2m", 0.028719751742024985, 8.88175095778962),
        (COSINE, "ancestral", 0.04282191039085879, 7.587956409330145),
    ],
)
def test_nothing_changes_silently(schedule: Schedule, sampler: str, mean: float, total: float) -> None:
    denoise, noise = _gaussian(schedule), _noise(7)
    x = start(noise(), schedule, denoise.mean, denoise.variance)
    if sampler == "ancestral":
        x = ancestral(denoise, x, schedule, noise)
    else:
        x = dpm_solver_pp_2m(denoise, x, schedule, times_even_in_log_snr(schedule, 20), noise=noise if sampler == "dpm++2m-sde" else None)
    assert (float(x.mean().abs()), float(x.abs().sum())) == pytest.approx((mean, total), rel=1e-9)


# ---- the exact answer ----


@cache
def _ecg_like() -> Gaussian:
    """A quarter of a second of 8 leads in mV with 10 uV of white noise, in principal axes: its numbers are independent, and samplers know no axes."""
    strips = np.array([stand_in(rhythm, seed) for seed in range(30) for rhythm in ("NSR", "AF")]) * 0.005
    pieces = strips.reshape(60, 8, 40, 25).transpose(0, 2, 1, 3).reshape(2400, 200)
    variance, axes = np.linalg.eigh(np.cov(pieces, rowvar=False))
    return Gaussian(LINEAR, torch.from_numpy(axes.T @ pieces.mean(axis=0))[None, None], torch.from_numpy(variance + 0.01**2)[None, None])


@dataclass(frozen=True)
class Drawn:
    error: float  # 2-Wasserstein distance to the data, in units of the data's standard deviation
    detail: float  # of the amplitude of components finer than 20 uV, what is kept


def _drawn(sampler: str, *, from_marginal: bool = True) -> Drawn:
    """What a sampler makes of the Gaussian, without sampling: its steps are linear, so a mean and each unit of noise go through on their own."""
    data = _ecg_like()
    nothing, unit = torch.zeros_like(data.mean), torch.ones_like(data.mean)
    if from_marginal:
        mean, off = (start(noise, LINEAR, data.mean, data.variance) for noise in (nothing, unit))
    else:
        mean, off = nothing, unit
    if sampler == "ancestral":
        x = torch.cat([mean, off, mean.expand(199, 1, -1)])
        steps = iter(range(2, 201))

        def noise() -> Tensor:
            one = torch.zeros_like(x)
            one[next(steps)] = 1
            return one

        ends = ancestral(data, x, LINEAR, noise)
    else:
        even = {"log-SNR": times_even_in_log_snr(LINEAR, 20), "t": [1 - k / 20 for k in range(20)]}
        ends = dpm_solver_pp_2m(data, torch.cat([mean, off]), LINEAR, even[sampler])
    deviation, true = (ends[1:] - ends[0]).square().sum(0).sqrt(), data.variance[0].sqrt()
    distance = (ends[0] - data.mean[0]).square().sum() + (deviation - true).square().sum()
    return Drawn(math.sqrt(float(distance / data.variance.sum())), float((deviation / true)[true < 0.02].mean()))


def test_twenty_steps_even_in_log_snr_are_nearer_to_the_data_than_all_ancestral_steps() -> None:
    few, all_steps = _drawn("log-SNR"), _drawn("ancestral")
    assert few.error < 0.5 * all_steps.error
    assert few.error == pytest.approx(0.011, abs=0.003)
    assert all_steps.error == pytest.approx(0.024, abs=0.004)
    assert few.detail > all_steps.detail
    assert few.detail == pytest.approx(0.74, abs=0.05)
    assert all_steps.detail == pytest.approx(0.63, abs=0.07)


def test_steps_even_in_t_lose_the_detail() -> None:
    even = _drawn("t")
    assert even.detail == pytest.approx(0.14, abs=0.03)
    assert even.error > 3 * _drawn("log-SNR").error


def test_standard_normal_noise_is_the_wrong_start() -> None:
    for sampler, error in (("log-SNR", 0.093), ("ancestral", 0.040)):
        wrong = _drawn(sampler, from_marginal=False)
        assert wrong.error > 1.3 * _drawn(sampler).error
        assert wrong.error == pytest.approx(error, rel=0.2)


# ---- strips do not know each other ----


@settings(deadline=None, max_examples=20)
@given(seeds=st.lists(st.integers(0, 2**31), min_size=2, max_size=5), data=st.data(), schedule=st.sampled_from([LINEAR, COSINE]))
def test_a_strip_is_the_same_in_any_company(seeds: list[int], data: st.DataObject, schedule: Schedule) -> None:
    denoise = _gaussian(schedule)
    one = data.draw(st.integers(0, len(seeds) - 1))

    def drawn(of: list[int], sampler: str) -> Tensor:
        own = [_noise(seed) for seed in of]

        def noise() -> Tensor:
            return torch.cat([next_noise() for next_noise in own])

        x = start(noise(), schedule)
        if sampler == "ancestral":
            return ancestral(denoise, x, schedule, noise)
        return dpm_solver_pp_2m(denoise, x, schedule, times_even_in_log_snr(schedule, 6))

    for sampler in ("dpm++2m", "ancestral"):
        assert torch.equal(drawn(seeds, sampler)[one], drawn([seeds[one]], sampler)[0])
