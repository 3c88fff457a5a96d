"""The network of SSSD-ECG, and the additions that blindstrip's own checkpoints switch on.

Alcaraz & Strodthoff 2023 (arXiv 2301.08227): DiffWave's residual blocks (Kong et al. 2021) with two bidirectional S4 layers each,
conditioned on the diffusion step and on labels. With every addition off it computes what the published code computes for the same weights.
The additions:

- `fold`: neighbouring samples become channels, so a strip is a shorter sequence of wider vectors;
- `track_channels`: the rhythm track (generator.sssd.rhythm) as further input;
- `beat_given`: what the strip's beats have in common (generator.sssd.average_beat, drawn before the strip) in the track's last channels;
- `beat_average`: the average of the noisy input over beats at equal offset from the R peak, as further input: twelve beats tell more than one;
- `beat_pooling`: in each block, features averaged the same way, mixed, and given back to every beat: the beats of a strip resemble each other;
- `strip_pooling`: in each block, the mean and spread of every feature over the strip;
- `linear_filters`: a direct path from the noisy input to the output, a mixture of linear filters whose weights follow the diffusion step and
  the features at each place, so that a QRS complex passes where the baseline is smoothed (Wiener's filter, made local). The noise of a
  folded strip has half as many dimensions as the blocks have channels: without the path they had not learned to carry it through after
  1,000 iterations, and the loss at low noise was that of a blind guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from generator.sssd.config import NetworkConfig
from generator.sssd.rhythm import OFFSET_CHANNEL
from generator.sssd.s4 import S4, S4Layer

_BEAT_BEGINS = -0.4  # s before the R peak: the P wave is in
_BINS_AT_INPUT = (128, 0.01)  # offsets from the R peak: how many, how many seconds apart; later ones share the last
_BINS_IN_BLOCKS = (64, 0.02)


class Network(nn.Module):
    """What a checkpoint's weights are for. Call with noisy leads, step, labels and, if it takes one, a rhythm track."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        sources = c.in_channels * (2 if c.beat_average else 1) + c.track_channels
        self.first = nn.Conv1d(sources * c.fold, c.res_channels, 1)
        self.labels = nn.Linear(c.label_embed_classes, c.label_embed_dim, bias=False) if c.label_embed_classes else None
        self.step_1 = nn.Linear(c.diffusion_step_embed_dim_in, c.diffusion_step_embed_dim_mid)
        self.step_2 = nn.Linear(c.diffusion_step_embed_dim_mid, c.diffusion_step_embed_dim_out)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.num_res_layers))
        self.last_1 = nn.Conv1d(c.skip_channels, c.skip_channels, 1)
        self.last_2 = nn.Conv1d(c.skip_channels, c.out_channels * c.fold, 1)
        noisy = c.in_channels * (1 + c.beat_average + c.beat_given) * c.fold
        self.linear = nn.Conv1d(noisy, c.linear_filters * c.out_channels * c.fold, 3, padding=1, bias=False) if c.linear_filters else None
        self.linear_weights = nn.Linear(c.diffusion_step_embed_dim_out, c.linear_filters) if c.linear_filters else None
        self.linear_places = nn.Conv1d(c.skip_channels, c.linear_filters, 1) if c.linear_filters else None

    def initialise(self, seed: int, *, exactly: bool = True) -> None:
        """Weights to begin a training with: He 2015 for convolutions, HiPPO for S4 (exactly: see there), zero for the last layer."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for module in self.modules():
                if isinstance(module, nn.Conv1d):
                    nn.init.kaiming_normal_(module.weight)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
                elif isinstance(module, nn.Linear):
                    module.reset_parameters()
        for number, layer in enumerate(module for module in self.modules() if isinstance(module, S4)):
            layer.initialise(seed * 1000 + number, exactly=exactly)
        for block in self.modules():
            if isinstance(block, Block):
                block.start_without_pooling()
        nn.init.zeros_(self.last_2.weight)
        if self.linear is not None and self.linear_weights is not None and self.linear_places is not None:
            with torch.no_grad():
                self.linear.weight.mul_(0.1)
                through = self.linear.weight.view(self.config.linear_filters, self.config.out_channels * self.config.fold, -1, 3)
                through[:, :, : through.shape[1], 1] += torch.eye(through.shape[1])
            for weights in (*self.linear_weights.parameters(), *self.linear_places.parameters()):
                nn.init.zeros_(weights)

    def forward(self, x: Tensor, step: Tensor, labels: Tensor, track: Tensor | None = None) -> Tensor:
        """x: (batch, leads, samples) noisy; step: (batch,), may be fractional; labels: (batch, classes), zero for none;
        track: (batch, track_channels, samples), all zero (or None) for none. Returns (batch, leads, samples)."""
        c = self.config
        in_blocks = None
        noisy = x
        if c.track_channels:
            track = x.new_zeros(x.shape[0], c.track_channels, x.shape[2]) if track is None else track
            at_input, in_blocks = beat_bins(track[:, OFFSET_CHANNEL], c)
            if at_input is not None:
                noisy = torch.cat([x, _spread(_gather(x, at_input), at_input)], dim=1)
            x = torch.cat([noisy, track], dim=1)
            if c.beat_given:
                noisy = torch.cat([noisy, track[:, -c.in_channels :]], dim=1)

        h = F.relu(self.first(fold_samples(x, c.fold)))  # (batch, res_channels, samples / fold)
        label = self.labels(labels) if self.labels is not None else None
        embedded = F.silu(self.step_2(F.silu(self.step_1(step_embedding(step, c.diffusion_step_embed_dim_in)))))
        skips = torch.zeros((), dtype=h.dtype, device=h.device)
        for block in self.blocks:
            h, skip = block(h, label, embedded, in_blocks)
            skips = skips + skip
        last = F.relu(self.last_1(skips * math.sqrt(1 / len(self.blocks))))
        y = self.last_2(last)
        if self.linear is not None and self.linear_weights is not None and self.linear_places is not None:
            filtered = self.linear(fold_samples(noisy, c.fold)).unflatten(1, (c.linear_filters, -1))  # (batch, filters, channels, steps)
            weights = self.linear_weights(embedded)[..., None] + self.linear_places(last)  # (batch, filters, steps)
            y = y + (weights[:, :, None] * filtered).sum(dim=1)
        return unfold_samples(y, c.fold)


class Block(nn.Module):
    """One residual block: step added, 3-tap convolution, S4, label added, S4, gate, then the sum onwards and a skip to the end."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        c, wide = config, 2 * config.res_channels
        length = c.s4_lmax // c.fold

        def s4_layer() -> S4Layer:
            return S4Layer(
                wide,
                length,
                c.s4_d_state,
                dropout=c.s4_dropout,
                bidirectional=bool(c.s4_bidirectional),
                layer_norm=bool(c.s4_layernorm),
                form=c.kernel_form,
            )

        self.step = nn.Linear(c.diffusion_step_embed_dim_out, c.res_channels)
        self.conv = nn.Conv1d(c.res_channels, wide, 3, padding=1)
        self.s4_1, self.s4_2 = s4_layer(), s4_layer()
        self.label = nn.Linear(c.label_embed_dim, wide) if c.label_embed_classes else None
        self.onwards = nn.Conv1d(c.res_channels, c.res_channels, 1)
        self.skip = nn.Conv1d(c.res_channels, c.skip_channels, 1)
        self.beat_1 = nn.Conv1d(c.res_channels, c.res_channels, 5, padding=2) if c.beat_pooling else None
        self.beat_2 = nn.Conv1d(c.res_channels, wide, 1) if c.beat_pooling else None
        self.strip = nn.Linear(2 * c.res_channels, wide) if c.strip_pooling else None

    def start_without_pooling(self) -> None:
        for layer in (self.beat_2, self.strip):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, label: Tensor | None, step: Tensor, beats: BeatBins | None) -> tuple[Tensor, Tensor]:
        h = x + self.step(step)[..., None]
        pooled = self._pooled(h, beats)
        h = self.conv(h)
        h = self.s4_1(h if pooled is None else h + pooled)
        if self.label is not None and label is not None:
            h = h + self.label(label)[..., None]
        left, right = self.s4_2(h).chunk(2, dim=1)
        out = torch.tanh(left) * torch.sigmoid(right)
        return (x + self.onwards(out)) * math.sqrt(0.5), self.skip(out)

    def _pooled(self, h: Tensor, beats: BeatBins | None) -> Tensor | None:
        pooled = None
        if self.beat_1 is not None and self.beat_2 is not None and beats is not None:
            one_beat = self.beat_2(F.gelu(self.beat_1(_gather(h, beats))))  # (batch, 2 res_channels, bins)
            pooled = _spread(one_beat, beats)
        if self.strip is not None:
            spread, mean = torch.var_mean(h, dim=2, correction=0)
            strip = self.strip(torch.cat([mean, torch.sqrt(spread + 1e-5)], dim=1))[..., None]
            pooled = strip if pooled is None else pooled + strip
        return pooled


def step_embedding(step: Tensor, dimension: int) -> Tensor:
    """(batch, dimension) sines then cosines of the step at frequencies 1 to 1/10000 (Vaswani et al. 2017)."""
    half = dimension // 2
    frequencies = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half, dtype=torch.float32, device=step.device))
    angles = step.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@dataclass(frozen=True)
class BeatBins:
    """How much each step of a strip belongs to each offset from the R peak (hat functions)."""

    share: Tensor  # (batch, steps, bins); rows sum to 1
    average: Tensor  # the same with columns that sum to 1


def beat_bins(offset: Tensor, config: NetworkConfig) -> tuple[BeatBins | None, BeatBins | None]:
    """Of the samples at the input and of the steps in the blocks, None where the network does not average there.

    offset: (batch, samples) seconds from the R peak of the beat that a sample belongs to. All zero (no track) averages the whole strip.
    """
    at_input = _hats(offset, *_BINS_AT_INPUT) if config.beat_average else None
    in_blocks = _hats(offset[:, config.fold // 2 :: config.fold], *_BINS_IN_BLOCKS) if config.beat_pooling else None
    return at_input, in_blocks


def _hats(offset: Tensor, bins: int, width: float) -> BeatBins:
    place = ((offset - _BEAT_BEGINS) / width).clamp(0, bins - 1)
    share = F.relu(1 - (place[..., None] - torch.arange(bins, dtype=place.dtype, device=place.device)).abs())
    return BeatBins(share, share / share.sum(dim=1, keepdim=True).clamp(min=1e-3))


def _gather(x: Tensor, beats: BeatBins) -> Tensor:
    """(batch, channels, steps) to (batch, channels, bins): the average beat."""
    return torch.bmm(x, beats.average)


def _spread(one_beat: Tensor, beats: BeatBins) -> Tensor:
    """(batch, channels, bins) to (batch, channels, steps): the average beat at every beat's place."""
    return torch.bmm(one_beat, beats.share.transpose(1, 2))


def fold_samples(x: Tensor, fold: int) -> Tensor:
    """(batch, channels, samples) to (batch, channels * fold, samples / fold)."""
    if fold == 1:
        return x
    batch, channels, samples = x.shape
    return x.reshape(batch, channels, samples // fold, fold).transpose(2, 3).reshape(batch, channels * fold, samples // fold)


def unfold_samples(y: Tensor, fold: int) -> Tensor:
    """The inverse of fold_samples."""
    if fold == 1:
        return y
    batch, channels, steps = y.shape
    return y.reshape(batch, channels // fold, fold, steps).transpose(2, 3).reshape(batch, channels // fold, steps * fold)
