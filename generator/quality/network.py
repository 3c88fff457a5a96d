"""A small residual network over strips, trained to tell two kinds apart: the embedding's classifier and the real-or-synthetic judge are both one.

All randomness comes from generators of its own: the same seed, strips and version of PyTorch give the same network on the same processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from generator.leads import STORED
from generator.sssd.evaluator import one_thread
from generator.strip import MICROVOLTS_PER_COUNT

Told = Callable[[float], None]  # the share of the training that is done


@dataclass(frozen=True)
class Settings:
    """How a network is made and trained."""

    width: int = 16  # channels after the first layer; each of three blocks adds as many and halves the samples
    dims: int = 32  # of the layer before the last: the embedding
    iterations: int = 400
    batch: int = 32  # half of each kind, whatever their numbers
    rate: float = 3e-3  # AdamW's, rising over the first tenth and falling to 0 along a cosine
    decay: float = 0.05
    crop: int = 900  # samples of a strip that a training step sees, from a random place on


class Network(nn.Module):
    """(batch, 8, samples) counts -> (batch,) logit; `embedded` gives (batch, dims). lead_scale: (8, 1), each lead's deviation in counts."""

    lead_scale: Tensor

    def __init__(self, settings: Settings, lead_scale: Tensor) -> None:
        super().__init__()
        width = settings.width
        self.register_buffer("lead_scale", lead_scale)  # (8, 1) counts
        self.first = nn.Sequential(nn.Conv1d(len(STORED), width, 9, stride=2, padding=4, bias=False), nn.BatchNorm1d(width), nn.SiLU())
        self.blocks = nn.Sequential(*(_Block(width * k, width * (k + 1)) for k in (1, 2, 3)))
        self.middle = nn.Linear(2 * 4 * width, settings.dims)
        self.last = nn.Linear(settings.dims, 1)

    def embedded(self, counts: Tensor) -> Tensor:
        x = counts / self.lead_scale
        x = self.blocks(self.first(x.clamp(-12, 12)))  # an artefact of many deviations is one, not a hundred
        return self.middle(torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=-1))

    def forward(self, counts: Tensor) -> Tensor:
        return self.last(nn.functional.silu(self.embedded(counts))).squeeze(-1)


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(before, after, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm1d(after),
            nn.SiLU(),
            nn.Conv1d(after, after, 5, padding=2, bias=False),
            nn.BatchNorm1d(after),
        )
        self.past = nn.Conv1d(before, after, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.body(x) + self.past(x))


def trained(counts: NDArray[np.integer], positive: NDArray[np.bool_], settings: Settings, seed: int, told: Told | None = None) -> Network:
    """A network that tells `positive` strips from the others. counts: (n, 8, 1000); both kinds must be there.

    Training on one thread: two that wait for each other are slower on a busy machine, and one repeats exactly.
    """
    rng = np.random.default_rng(seed)
    scale = torch.tensor(np.maximum(counts.std(axis=(0, 2)), 50 / MICROVOLTS_PER_COUNT), dtype=torch.float32)[:, None]
    network = Network(settings, scale)
    _initialise(network, torch.Generator().manual_seed(seed))
    kinds = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    half = settings.batch // 2
    target = torch.cat([torch.ones(half), torch.zeros(half)])
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=settings.iterations, pct_start=0.1)
    network.train()
    with one_thread():
        for step in range(settings.iterations):
            chosen = np.concatenate([rng.choice(kind, half) for kind in kinds])
            first = rng.integers(0, counts.shape[-1] - settings.crop + 1, chosen.size)
            at = first[:, None, None] + np.arange(settings.crop)
            batch = np.take_along_axis(counts[chosen], np.broadcast_to(at, (chosen.size, counts.shape[1], settings.crop)), axis=-1)
            loss = nn.functional.binary_cross_entropy_with_logits(network(torch.from_numpy(batch.astype(np.float32))), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if told is not None and step % 10 == 9:
                told((step + 1) / settings.iterations)
    return network.eval()


def applied(network: Network, counts: NDArray[np.integer], *, embedded: bool = False) -> NDArray[np.float64]:
    """(n,) logits, or (n, dims) embeddings."""
    run = network.embedded if embedded else network.forward
    with torch.no_grad(), one_thread():
        parts = [run(torch.from_numpy(counts[i : i + 128].astype(np.float32))).double().numpy() for i in range(0, len(counts), 128)]
    return np.concatenate(parts)


def _initialise(network: Network, source: torch.Generator) -> None:
    """As PyTorch would, but from a source of random numbers that nobody else draws from."""
    for part in network.modules():
        if isinstance(part, (nn.Conv1d, nn.Linear)):
            nn.init.kaiming_uniform_(part.weight, a=5**0.5, generator=source)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
