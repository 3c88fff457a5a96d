"""Checkpoints: a folder with config.json (generator.sssd.config) and model.safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from generator.errors import GeneratorError
from generator.request import checkpoint_sha256, shipped_checkpoint
from generator.sssd.config import Config, read_config
from generator.sssd.network import Network


@dataclass(frozen=True)
class Model:
    """A checkpoint in memory, ready to draw."""

    network: Network  # in eval mode, on `device`
    config: Config
    sha256: str  # of the folder's weights and configuration
    device: torch.device


def load(path: Path | None = None, device: str = "cpu") -> Model:
    """A checkpoint folder (default: the shipped one) on a device. GeneratorError names what is missing or does not fit."""
    folder = shipped_checkpoint() if path is None else Path(path)
    sha256 = checkpoint_sha256(folder)
    config = read_config(folder)
    try:
        weights = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise GeneratorError(f"{folder / 'model.safetensors'} cannot be read ({error}). Copy the checkpoint again.") from error
    network = Network(config.network)
    put(network, weights, name=str(folder))
    network.eval().requires_grad_(False)
    at = torch.device(device)
    return Model(network.to(at), config, sha256, at)


def save(folder: Path, network: Network, config: Config) -> None:
    """Write a checkpoint folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors.part")
    (folder / "model.safetensors.part").replace(folder / "model.safetensors")
    (folder / "config.json.part").write_text(json.dumps(config.as_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / "config.json.part").replace(folder / "config.json")


def put(network: Network, weights: dict[str, Tensor], *, name: str) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise GeneratorError(f"{name}: the weights do not fit the configuration. {error}") from error
