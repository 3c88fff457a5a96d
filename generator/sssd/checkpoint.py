"""Checkpoints: a folder with config.json (generator.sssd.config), model.safetensors and, where somebody wrote it, training_beats.safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from generator.copies import Reference
from generator.errors import GeneratorError
from generator.request import checkpoint_sha256, shipped_checkpoint
from generator.sssd.average_beat import BINS
from generator.sssd.config import Config, read_config
from generator.sssd.evaluator import Evaluator
from generator.sssd.network import Network
from generator.sssd.s4 import S4
from generator.strip import SAMPLES

BEAT = "beat."  # before the names of the weights of the network that draws average beats
TAPS = ".taps"  # after an S4 layer's name: its kernels, where computing them at every start would take long


@dataclass(frozen=True)
class Model:
    """A checkpoint in memory, ready to draw."""

    evaluator: Evaluator
    config: Config
    sha256: str  # of the folder's weights and configuration
    device: torch.device
    beat: Evaluator | None = None  # draws average beats, where the network is given one
    reference: Reference | None = None  # of the strips it was trained on, where the folder has one: by it copies are told


def load(path: Path | None = None, device: str = "cpu") -> Model:
    """A checkpoint folder (default: the shipped one) on a device. GeneratorError names what is missing or does not fit."""
    folder = shipped_checkpoint() if path is None else Path(path)
    sha256 = checkpoint_sha256(folder)
    network, beat, taps, config = _read(folder)
    at = torch.device(device)
    of_beat = None if beat is None else Evaluator(beat, at, samples=BINS)
    evaluator = Evaluator(network, at, taps=taps, samples=SAMPLES + 2 * config.margin)
    return Model(evaluator, config, sha256, at, of_beat, Reference.load(folder))


def load_network(path: Path | None = None) -> Network:
    """The network of a checkpoint folder on the CPU in eval mode: the readable twin of what `load` gives."""
    return load_networks(path)[0]


def load_networks(path: Path | None = None) -> tuple[Network, Network | None]:
    """The same with the network that draws average beats, where the checkpoint has one."""
    network, beat, _taps, _config = _read(shipped_checkpoint() if path is None else Path(path))
    return network, beat


def save(folder: Path, network: Network, config: Config, *, beat: Network | None = None, taps: Mapping[str, Tensor] | None = None) -> None:
    """Write a checkpoint folder; each file appears whole or not at all.

    beat: what draws the average beats that the network is given. taps: what `all_taps` gave, to be kept too. It makes the published network's
    file 2.5 times as large and its start 17 s shorter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    if beat is not None:
        weights |= {BEAT + name: tensor.detach().cpu().contiguous().clone() for name, tensor in beat.state_dict().items()}
    weights |= {name + TAPS: of_layer for name, of_layer in (taps or {}).items()}
    save_file(weights, folder / "model.safetensors.part")
    (folder / "model.safetensors.part").chmod(0o644)  # a server reads what a researcher wrote
    (folder / "model.safetensors.part").replace(folder / "model.safetensors")
    (folder / "config.json.part").write_text(json.dumps(config.as_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / "config.json.part").replace(folder / "config.json")


def all_taps(network: Network, on_layer: Callable[[int, int], None] | None = None) -> dict[str, Tensor]:
    """The kernels of every S4 layer for strips: (features, 2 x steps) by the layer's name. on_layer: layers done, layers in all."""
    layers = _s4_layers(network)
    steps = SAMPLES // network.config.fold
    taps = {}
    for done, (name, layer) in enumerate(layers.items(), start=1):
        taps[name] = layer.two_sided_taps(steps)
        if on_layer is not None:
            on_layer(done, len(layers))
    return taps


def put(network: Network, weights: dict[str, Tensor], *, name: str) -> None:
    """Give a network its weights, which it shares from then on. GeneratorError where they do not fit; name: of the file."""
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise GeneratorError(f"{name}: the weights do not fit the configuration. {error}") from error
    network.eval().requires_grad_(False)


def _read(folder: Path) -> tuple[Network, Network | None, _Taps, Config]:
    config = read_config(folder)
    file = folder / "model.safetensors"
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise GeneratorError(f"{file} cannot be read ({error}). Copy the checkpoint again.") from error
    taps = _Taps(file, {name.removesuffix(TAPS) for name in weights if name.endswith(TAPS)})
    weights = {name: tensor for name, tensor in weights.items() if not name.endswith(TAPS)}
    of_beat = {name.removeprefix(BEAT): weights.pop(name) for name in list(weights) if name.startswith(BEAT)}
    with torch.device("meta"):  # no memory, no random numbers for weights that are about to be replaced
        network = Network(config.network)
        beat = None if config.beat is None else Network(config.beat.network)
    put(network, weights, name=str(folder))
    if beat is not None:
        put(beat, of_beat, name=f"{folder} (average beats)")
    elif of_beat:
        raise GeneratorError(f"{file} has weights for average beats and config.json does not say how they are drawn. Copy the checkpoint again.")
    for name, layer in _s4_layers(network).items():
        if name in taps and taps.shape(name) != [layer.features, 2 * SAMPLES // config.network.fold]:
            raise GeneratorError(f"{file}: the kernels of {name} do not fit the configuration. Convert the checkpoint again.")
    return network, beat, taps, config


class _Taps(Mapping[str, Tensor]):
    """Kernels by layer, read when asked for: together they are 300 MB that need not be in memory at the same time."""

    def __init__(self, file: Path, layers: set[str]) -> None:
        self._file, self._layers = file, layers

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self._layers:
            raise KeyError(layer)
        with safe_open(self._file, "pt") as opened:
            taps: Tensor = opened.get_tensor(layer + TAPS)
        return taps

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def shape(self, layer: str) -> list[int]:
        with safe_open(self._file, "pt") as opened:
            shape: list[int] = opened.get_slice(layer + TAPS).get_shape()
        return shape


def _s4_layers(network: Network) -> dict[str, S4]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, S4)}
