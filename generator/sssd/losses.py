"""What a denoising network is asked, what it should answer, and how far off it is on rows that stay the same."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generator.sssd.batches import Batch, Batches
from generator.sssd.network import Network
from generator.sssd.s4 import S4
from generator.sssd.schedule import Schedule

_MOST = 100  # rows of a rhythm
_AT_ONCE = 25


def noised(batch: Batch, noise: Tensor, times: NDArray[np.float64], schedule: Schedule) -> tuple[list[Tensor], Tensor]:
    """What the network is called with at these times (batch,) in [0, 1], and what it should answer: v or epsilon."""
    alpha_sigma = torch.tensor([schedule.alpha_sigma(float(time)) for time in times], dtype=torch.float32)
    alpha, sigma = alpha_sigma[:, 0, None, None], alpha_sigma[:, 1, None, None]
    steps = torch.tensor([schedule.network_step(float(time)) for time in times], dtype=torch.float32)
    target = alpha * noise - sigma * batch.x if schedule.prediction == "v" else noise
    inputs = [alpha * batch.x + sigma * noise, steps, batch.labels]
    return inputs if batch.track is None else [*inputs, batch.track], target


@torch.no_grad()
def loss_by_rhythm(network: Network, schedule: Schedule, batches: Batches) -> dict[str, float]:
    """Mean squared error of a network in eval mode on the first 100 rows of each rhythm, unchanged, at fixed times with fixed noise."""
    for layer in network.modules():
        if isinstance(layer, S4):
            layer.forget()  # averaged weights change under it
    device = next(network.parameters()).device
    found = {}
    for rhythm in sorted(set(batches.rhythm.tolist())):
        rows = np.flatnonzero(batches.rhythm == rhythm)[:_MOST]
        times = (np.random.default_rng(0).permutation(len(rows)) + 0.5) / len(rows)
        fixed, total = torch.Generator().manual_seed(0), 0.0
        for first in range(0, len(rows), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            batch = batches.plain(rows[some].tolist())
            inputs, target = noised(batch, torch.randn(batch.x.shape, generator=fixed), times[some], schedule)
            output = network(*(one.to(device) for one in inputs))
            total += float((output.cpu() - target).square().mean(dim=(1, 2)).sum())
        found[str(rhythm)] = round(total / len(rows), 5)
    return found
