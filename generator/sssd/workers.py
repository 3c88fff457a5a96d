"""A network as one thread or process trains it: several share a batch, and what they compute is what one would have computed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from generator.sssd.network import Network
from generator.sssd.s4 import S4Layer


class Worker:
    """A network with its dropout in our hands: which features of which strip are dropped must not depend on who computes it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.call: Callable[..., Tensor] = network
        self._dropouts: list[_GivenDropout] = []
        for layer in network.modules():
            if isinstance(layer, S4Layer) and layer.dropout is not None:
                given = _GivenDropout(layer.dropout.p, layer.s4.features)
                layer.add_module("dropout", given)
                self._dropouts.append(given)

    def draw_dropout(self, batch: int, noise: torch.Generator) -> list[Tensor]:
        """For each dropout, what features (batch, features) are multiplied by."""
        return [(torch.rand(batch, one.features, generator=noise) >= one.p).float() / (1 - one.p) for one in self._dropouts]

    def use_dropout(self, kept: list[Tensor], device: torch.device) -> None:
        for one, keep in zip(self._dropouts, kept, strict=True):
            one.keep = keep.to(device)


class _GivenDropout(nn.Module):
    """Whole features are dropped, as in nn.Dropout1d; which ones is told before each call."""

    def __init__(self, p: float, features: int) -> None:
        super().__init__()
        self.p, self.features = p, features
        self.keep: Tensor | None = None  # (batch, features)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, features, steps)."""
        return x if self.keep is None else x * self.keep[..., None].to(x.dtype)


def sharing_weights(network: Network) -> Network:
    """Another network over the same weights, with gradients of its own."""
    other = Network(network.config)
    other.load_state_dict(network.state_dict())
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        theirs.data = mine.data
    return other.train()
