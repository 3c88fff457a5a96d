"""Strips and networks so small that a training takes a second; as a script, one process of a training that a launcher starts."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from generator.sssd.config import NetworkConfig
from generator.sssd.recipe import Settings
from generator.sssd.training_set import TrainingSet

_WIDTHS: dict[str, Any] = {
    "num_res_layers": 1,
    "res_channels": 8,
    "skip_channels": 8,
    "diffusion_step_embed_dim_in": 8,
    "diffusion_step_embed_dim_mid": 16,
    "diffusion_step_embed_dim_out": 16,
    "s4_d_state": 4,
    "label_embed_dim": 4,
}


def small(settings: Settings | None = None, **more: Any) -> Settings:
    """Training's settings with tiny networks and batches."""
    whole = settings or Settings()
    beat = replace(whole.beat, network=_tiny(whole.beat.network), batch=8, warm_up=2)
    strip = replace(whole.strip, network=_tiny(whole.strip.network), batch=4, warm_up=2)
    return replace(whole, beat=beat, strip=strip, **more)


def _tiny(network: NetworkConfig) -> NetworkConfig:
    return replace(network, **_WIDTHS)


def strips(number: int = 24, seed: int = 0) -> TrainingSet:
    """As many of each rhythm that beat: a narrow bump at each R time, noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(1000) / 100
    mv, rhythm = [], []
    for i in range(number):
        spread = 0.0 if i % 2 else 0.2
        times = 0.3 + np.cumsum(np.clip(0.8 + spread * generator.normal(size=30), 0.4, 1.5))
        beat = np.exp(-0.5 * ((t[:, None] - times) / 0.02) ** 2).sum(axis=1)
        mv.append(np.linspace(0.5, 1.5, 8)[:, None] * beat + 0.02 * generator.normal(size=(8, 1000)))
        rhythm.append("NSR" if i % 2 else "AF")
    return TrainingSet.from_arrays(np.stack(mv), rhythm, patients=[f"patient {seed}-{i}" for i in range(number)])


if __name__ == "__main__":
    from generator.sssd import train

    train.train(strips(), Path(sys.argv[1]), iterations=int(sys.argv[2]), device="cpu", settings=small())
