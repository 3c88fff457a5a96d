"""A network made ready to draw: the function of generator.sssd.network.Network, many times faster.

What does not depend on the noisy input is computed once: the spectra of the S4 kernels a checkpoint and device, what labels and rhythm track
say a run, what the diffusion step says a step. Matrix products go to oneDNN with weights packed for it, on a GPU to TF32; transforms
stay float32. On a GPU one evaluation is captured as a CUDA graph and replayed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from generator.sssd.network import Block, Network, beat_bins, fold_samples, step_embedding, unfold_samples
from generator.sssd.rhythm import OFFSET_CHANNEL
from generator.sssd.s4 import S4Layer
from generator.sssd.samplers import Output

_LOG = logging.getLogger(__name__)
_EPSILON = 1e-5  # of LayerNorm


class Evaluator:
    """Evaluates one network on one device, for strips of `samples`.

    taps: (features, 2 x steps) two-sided kernels by the name of their S4 layer, where a checkpoint carries them; others are computed.
    The network's own weights are not needed afterwards.
    """

    def __init__(self, network: Network, device: torch.device, *, taps: Mapping[str, Tensor] | None = None, samples: int = 1000) -> None:
        self.config, self.device, self.samples = network.config, device, samples
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = True
        steps = samples // self.config.fold
        names = {module: name for name, module in network.named_modules()}

        def product(*layers: Any) -> _Product:
            """One or several layers over the same input as one matrix product."""
            weights = torch.cat([layer.weight.detach() for layer in layers]).to(device)
            biases = None if layers[0].bias is None else torch.cat([layer.bias.detach() for layer in layers]).to(device)
            return _Product(weights if weights.ndim == 3 else weights[..., None], biases, steps)

        def s4(layer: S4Layer) -> _S4:
            given = (taps or {}).get(names[layer.s4])
            two_sided = layer.s4.two_sided_taps(steps) if given is None else given
            spectrum = _spectrum(two_sided.to(device), layer.s4.D.detach().to(device))
            norm = None if layer.norm is None else (layer.norm.weight.detach()[:, None].to(device), layer.norm.bias.detach()[:, None].to(device))
            return _S4(spectrum, product(layer.mix), norm)

        def block(one: Block) -> _Block:
            pooling = (product(one.beat_1), product(one.beat_2)) if one.beat_1 is not None and one.beat_2 is not None else None
            strip = None if one.strip is None else (one.strip.weight.detach().to(device), one.strip.bias.detach().to(device))
            return _Block(product(one.conv), s4(one.s4_1), s4(one.s4_2), product(one.onwards, one.skip), pooling, strip)

        with torch.inference_mode(), one_thread():
            self._first = product(network.first)
            self._blocks = [block(one) for one in network.blocks if isinstance(one, Block)]
            self._last_1, self._last_2 = product(network.last_1), product(network.last_2)
            self._linear = None if network.linear is None else product(network.linear)
            self._places = None if network.linear_places is None else product(network.linear_places)
        self._small = _small_layers(network, device)
        self._lock = threading.Lock()
        self._graphs: dict[tuple[torch.Size, ...], _Graph | None] = {}

    def conditioned(self, labels: Tensor, track: Tensor | None = None) -> Output:
        """What samplers evaluate. labels: (batch, classes), zero for none; track: (batch, track_channels, samples), None for none."""
        run = self._of_run(labels.to(self.device), None if track is None else track.to(self.device))
        evaluate = self._replayed if self.device.type == "cuda" else self._evaluate
        return lambda x, step: evaluate(x, run, self._of_step(step))

    def _of_run(self, labels: Tensor, track: Tensor | None) -> _Run:
        c, small = self.config, self._small
        of_labels = None
        if small.labels is not None and small.label_of_blocks is not None:
            weight, bias = small.label_of_blocks
            of_labels = ((labels @ small.labels.T) @ weight.T + bias).unflatten(1, (len(self._blocks), -1)).transpose(0, 1)[..., None]
        if not c.track_channels:
            return _Run(of_labels)
        track = torch.zeros(labels.shape[0], c.track_channels, self.samples, device=self.device) if track is None else track
        at_input, in_blocks = beat_bins(track[:, OFFSET_CHANNEL], c)
        pairs = [None if bins is None else (bins.share.transpose(1, 2).contiguous(), bins.average) for bins in (at_input, in_blocks)]
        return _Run(of_labels, track, *(part for pair in pairs for part in (pair or (None, None))))

    def _of_step(self, step: float) -> _Step:
        small = self._small
        embedding = step_embedding(torch.tensor([step], dtype=torch.float32, device=self.device), self.config.diffusion_step_embed_dim_in)
        embedded = F.silu(F.linear(F.silu(F.linear(embedding, *small.step_1)), *small.step_2))
        of_blocks = F.linear(embedded, *small.step_of_blocks).unflatten(1, (len(self._blocks), -1))[0][..., None]
        return _Step(of_blocks, None if small.linear_weights is None else F.linear(embedded, *small.linear_weights)[0])

    def _evaluate(self, x: Tensor, run: _Run, step: _Step) -> Tensor:
        c, noisy = self.config, x
        if run.track is not None:
            if run.input_average is not None and run.input_share is not None:
                noisy = torch.cat([x, torch.bmm(torch.bmm(x, run.input_average), run.input_share)], dim=1)
            x = torch.cat([noisy, run.track], dim=1)
            if c.beat_given:
                noisy = torch.cat([noisy, run.track[:, -c.in_channels :]], dim=1)
        h = F.relu_(self._first(fold_samples(x, c.fold)))  # (batch, res_channels, samples / fold)
        skips = None
        for k, block in enumerate(self._blocks):
            both = self._block(block, h + step.of_blocks[k], None if run.labels is None else run.labels[k], run)
            onwards, skip = both.split([c.res_channels, c.skip_channels], dim=1)
            h = onwards.add_(h).mul_(math.sqrt(0.5))
            skips = skip if skips is None else skips.add_(skip)
        assert skips is not None
        last = F.relu_(self._last_1(skips * math.sqrt(1 / len(self._blocks))))
        y = self._last_2(last)
        if self._linear is not None and self._places is not None and step.filters is not None:
            filtered = self._linear(fold_samples(noisy, c.fold)).unflatten(1, (c.linear_filters, -1))
            weights = step.filters[:, None] + self._places(last)
            y = y + (weights[:, :, None] * filtered).sum(dim=1)
        return unfold_samples(y, c.fold)

    def _block(self, block: _Block, h: Tensor, label: Tensor | None, run: _Run) -> Tensor:
        """(batch, res_channels + skip_channels, steps): what goes onwards and what is skipped to the end."""
        wide = block.conv(h)
        if block.pooling is not None and run.block_average is not None and run.block_share is not None:
            average, back = block.pooling
            wide = wide + torch.bmm(back(F.gelu(average(torch.bmm(h, run.block_average)))), run.block_share)
        if block.strip is not None:
            variance, mean = torch.var_mean(h, dim=2, correction=0)
            wide = wide + F.linear(torch.cat([mean, torch.sqrt(variance + 1e-5)], dim=1), *block.strip)[..., None]
        wide = block.s4_1(wide)
        if label is not None:
            wide = wide + label
        left, right = block.s4_2(wide).chunk(2, dim=1)
        return block.out(torch.tanh(left).mul_(torch.sigmoid(right)))

    def _replayed(self, x: Tensor, run: _Run, step: _Step) -> Tensor:
        """On a GPU: thousands of small launches as one."""
        tensors = (x, *run.tensors(), *step.tensors())
        shapes = tuple(tensor.shape for tensor in tensors)
        with self._lock, torch.cuda.device(self.device):  # the graph's inputs lie in one place, and threads of a worker share it
            if shapes not in self._graphs:
                try:
                    self._graphs[shapes] = _Graph(self._evaluate, x, run, step)
                except RuntimeError as error:
                    _LOG.warning("No CUDA graph, drawing will be slower: %s", error)
                    self._graphs[shapes] = None
            graph = self._graphs[shapes]
            return self._evaluate(x, run, step) if graph is None else graph(tensors)


@dataclass(frozen=True)
class _Tensors:
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(value for field in fields(self) if (value := getattr(self, field.name)) is not None)

    def copied(self) -> Any:
        return type(self)(**{field.name: None if (value := getattr(self, field.name)) is None else value.clone() for field in fields(self)})


@dataclass(frozen=True)
class _Run(_Tensors):
    """What holds for all steps of a run."""

    labels: Tensor | None  # (blocks, batch, 2 res_channels, 1)
    track: Tensor | None = None  # (batch, track_channels, samples)
    input_share: Tensor | None = None  # (batch, bins, samples)
    input_average: Tensor | None = None  # (batch, samples, bins)
    block_share: Tensor | None = None  # (batch, bins, steps)
    block_average: Tensor | None = None  # (batch, steps, bins)


@dataclass(frozen=True)
class _Step(_Tensors):
    """What holds for one step, whatever the batch."""

    of_blocks: Tensor  # (blocks, res_channels, 1)
    filters: Tensor | None  # (linear_filters,)


@dataclass(frozen=True)
class _Small:
    """Layers that see no samples, as (weight, bias)."""

    labels: Tensor | None
    label_of_blocks: tuple[Tensor, Tensor] | None  # of all blocks in one
    step_1: tuple[Tensor, Tensor]
    step_2: tuple[Tensor, Tensor]
    step_of_blocks: tuple[Tensor, Tensor]
    linear_weights: tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class _Block:
    conv: _Product
    s4_1: _S4
    s4_2: _S4
    out: _Product
    pooling: tuple[_Product, _Product] | None
    strip: tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class _S4:
    """Convolution, GELU, mixing, the input added, LayerNorm: (batch, features, steps) to the same shape."""

    spectrum: Tensor
    mix: _Product
    norm: tuple[Tensor, Tensor] | None

    def __call__(self, x: Tensor) -> Tensor:
        length = x.shape[-1]
        y = torch.fft.irfft(torch.fft.rfft(x, n=2 * length).mul_(self.spectrum), n=2 * length)[..., :length]
        y = self.mix(F.gelu(y)).add_(x)
        return y if self.norm is None else _layer_norm(y, *self.norm)


@contextmanager
def one_thread() -> Iterator[None]:
    """The same sums in the same order wherever a CPU draws; and on a busy machine threads that wait for each other are many times slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Product:
    """A convolution of 1, 3 or 5 taps over (batch, channels, steps): nearly all the arithmetic there is."""

    def __init__(self, weight: Tensor, bias: Tensor | None, steps: int) -> None:
        self.padding = weight.shape[2] // 2
        self.weight, self.bias = weight.contiguous(), None if bias is None else bias.contiguous()
        self.packed = _packed(self.weight, steps)
        if self.packed is not None:
            del self.weight  # once is enough

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed is not None:  # on an AMD EPYC these took less than half the time of MKL's
            convolved: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x[:, :, None], self.packed, self.bias, [0, self.padding], [1, 1], [1, 1], 1, "none", [], ""
            )
            return convolved[:, :, 0]
        if self.padding:
            return F.conv1d(x, self.weight, self.bias, padding=self.padding)
        y = torch.matmul(self.weight[..., 0], x)
        return y if self.bias is None else y.add_(self.bias[:, None])


def _packed(weight: Tensor, steps: int) -> Tensor | None:
    """The weight in oneDNN's own layout; None where that is not to be had."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    padding = [0, weight.shape[2] // 2]
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight[:, :, None].contiguous(), padding, [1, 1], [1, 1], 1, [1, weight.shape[1], 1, steps]
        )
    except (AttributeError, RuntimeError) as error:  # PyTorch's own, so it may change
        _LOG.info("Products without oneDNN: %s", error)
        return None
    return packed


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """LayerNorm over channels, x: (batch, channels, steps), in place. Means as products: a reduction over strided values is six times slower."""
    each = x.new_full((1, x.shape[1]), 1 / x.shape[1])
    x = x.sub_(torch.matmul(each, x))
    spread = torch.matmul(each, x * x).add_(_EPSILON).rsqrt_()
    return torch.addcmul(bias, x.mul_(spread), weight)


def _spectrum(two_sided: Tensor, direct: Tensor) -> Tensor:
    """(features, steps + 1) complex, the direct path D counted in as part of the present sample's tap."""
    taps = two_sided.float().clone()
    taps[:, 0] += direct
    return torch.fft.rfft(taps)


def _small_layers(network: Network, device: torch.device) -> _Small:
    def pair(*layers: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([one.weight.detach() for one in layers]).to(device), torch.cat([one.bias.detach() for one in layers]).to(device)

    blocks = [block for block in network.blocks if isinstance(block, Block)]
    labelled = network.labels is not None
    return _Small(
        labels=network.labels.weight.detach().to(device) if network.labels is not None else None,
        label_of_blocks=pair(*(block.label for block in blocks)) if labelled else None,
        step_1=pair(network.step_1),
        step_2=pair(network.step_2),
        step_of_blocks=pair(*(block.step for block in blocks)),
        linear_weights=None if network.linear_weights is None else pair(network.linear_weights),
    )


class _Graph:
    """One evaluation as a CUDA graph over inputs of fixed shapes, which stay where they are and get new contents."""

    def __init__(self, evaluate: Callable[[Tensor, _Run, _Step], Tensor], x: Tensor, run: _Run, step: _Step) -> None:
        self._x, self._run, self._step = x.clone(), run.copied(), step.copied()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries allocate and choose algorithms at first use, which a capture forbids
            for _ in range(3):
                evaluate(self._x, self._run, self._step)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._y = evaluate(self._x, self._run, self._step)

    def __call__(self, tensors: tuple[Tensor, ...]) -> Tensor:
        for mine, new in zip((self._x, *self._run.tensors(), *self._step.tensors()), tensors, strict=True):
            mine.copy_(new)
        self._graph.replay()
        return self._y.clone()
