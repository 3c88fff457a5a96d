"""Checkpoints: config.json + model.safetensors in a folder, and the published .pkl files.

config.json tells everything that turns weights into ECGs: the network, the schedule, what its outputs mean, classes, lead order,
unit and scale of each lead, RR models. A checkpoint without any of them is refused, never guessed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from generator.errors import GeneratorError
from generator.leads import STORED
from generator.request import checkpoint_sha256, shipped_checkpoint
from generator.sssd.network import Network, NetworkConfig
from generator.sssd.rhythm import RRModel
from generator.sssd.s4 import KernelForm
from generator.sssd.schedule import Schedule

FORMAT = 1


@dataclass(frozen=True)
class Config:
    """What config.json holds."""

    network: NetworkConfig
    schedule: Schedule  # noise levels, and what the network predicts
    classes: tuple[str, ...]  # rhythm of each label position
    leads: tuple[str, ...]  # of each channel
    mean_mv: tuple[float, ...]  # of each lead in the training strips
    std_mv: tuple[float, ...]  # channels are (mV - mean) / std
    rr: dict[str, RRModel]  # rhythm to RR model; empty for networks without a rhythm track
    trained: dict[str, object]  # how: data, seconds, hardware, iterations; told, never used

    def as_dict(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "unit": "mV",
            "rate": 100,
            "network": asdict(self.network),
            "schedule": asdict(self.schedule),
            "classes": list(self.classes),
            "leads": list(self.leads),
            "mean_mv": list(self.mean_mv),
            "std_mv": list(self.std_mv),
            "rr": {rhythm: model.as_dict() for rhythm, model in self.rr.items()},
            "trained": self.trained,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, name: str) -> Config:
        """Raises GeneratorError where a field is missing, unknown or out of range; name: the file, for messages."""
        wanted = {field.name for field in fields(cls)} | {"format", "unit", "rate"}
        if set(values) != wanted:
            missing, unknown = sorted(wanted - set(values)), sorted(set(values) - wanted)
            raise GeneratorError(f"{name}: missing fields {missing}, unknown fields {unknown}. Train again, or convert the checkpoint.")
        if (values["format"], values["unit"], values["rate"]) != (FORMAT, "mV", 100):
            found = f"format {values['format']}, unit {values['unit']}, rate {values['rate']}"
            raise GeneratorError(f"{name}: {found}; this program reads format {FORMAT} in mV at 100 samples/s.")
        network = NetworkConfig.from_dict(dict(values["network"]))
        leads: tuple[str, ...] = tuple(values["leads"])
        if sorted(leads) != sorted(STORED):
            raise GeneratorError(f"{name}: leads are {', '.join(map(str, leads))}; {', '.join(STORED)} are needed, in any order.")
        return cls(
            network=network,
            schedule=Schedule.from_dict(dict(values["schedule"])),
            classes=tuple(values["classes"]),
            leads=leads,
            mean_mv=tuple(map(float, values["mean_mv"])),
            std_mv=tuple(map(float, values["std_mv"])),
            rr={rhythm: RRModel.from_dict(model) for rhythm, model in dict(values["rr"]).items()},
            trained=dict(values["trained"]),
        )


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
    _put(network, weights, name=str(folder))
    network.eval().requires_grad_(False)
    at = torch.device(device)
    return Model(network.to(at), config, sha256, at)


def read_config(folder: Path) -> Config:
    """The configuration of a checkpoint folder."""
    file = Path(folder) / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise GeneratorError(f"{file} does not exist. A checkpoint is a folder with config.json and model.safetensors.") from error
    except json.JSONDecodeError as error:
        raise GeneratorError(f"{file} is not JSON ({error}). Copy the checkpoint again.") from error
    return Config.from_dict(values, name=str(file))


def save(folder: Path, network: Network, config: Config) -> None:
    """Write a checkpoint folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors.part")
    (folder / "model.safetensors.part").replace(folder / "model.safetensors")
    (folder / "config.json.part").write_text(json.dumps(config.as_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / "config.json.part").replace(folder / "config.json")


def network_from_published(file: Path, published_config: dict[str, dict[str, float]], *, kernel_form: KernelForm = "conjugate") -> Network:
    """A network in eval mode from a checkpoint of the published code: {'model_state_dict': ...}, keys with or without `module.`.

    published_config: its JSON (wavenet_config is used). kernel_form: "conjugate" for weights trained with pykeops or the CUDA extension,
    "without-conjugates" for weights trained with the plain PyTorch fallback.
    """
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GeneratorError(f"{file} does not exist.") from error
    except Exception as error:  # torch raises pickle's, zip's and its own
        raise GeneratorError(f"{file} is not a PyTorch checkpoint that can be read safely ({error}).") from error
    if not isinstance(stored, dict) or "model_state_dict" not in stored:
        raise GeneratorError(f"{file} has no 'model_state_dict'. A checkpoint of the published SSSD-ECG code is needed.")
    config = NetworkConfig.from_dict({**published_config["wavenet_config"], "kernel_form": kernel_form})
    network = Network(config)
    _put(network, published_weights(stored["model_state_dict"]), name=str(file))
    return network.eval().requires_grad_(False)


def published_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under this program's names: weight norm folded in (w = g v / |v|), expanded views made real, frequencies left out."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    folded: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key.endswith("weight_g"):
            v = state[key[:-1] + "v"]
            folded[key[:-2]] = tensor * v / v.flatten(1).norm(dim=1)[:, None, None]
        elif not key.endswith(("weight_v", ".omega", ".z")):
            folded[key] = tensor
    return {_own_name(key): _own_shape(key, tensor) for key, tensor in folded.items()}


_OWN_NAMES = (
    ("init_conv.0.conv.", "first."),
    ("embedding.", "labels."),
    ("residual_layer.fc_t1.", "step_1."),
    ("residual_layer.fc_t2.", "step_2."),
    ("residual_layer.residual_blocks.", "blocks."),
    ("final_conv.0.conv.", "last_1."),
    ("final_conv.2.conv.", "last_2."),
    (".fc_t.", ".step."),
    (".fc_label.", ".label."),
    (".conv_layer.conv.", ".conv."),
    (".res_conv.", ".onwards."),
    (".skip_conv.", ".skip."),
    (".S41.", ".s4_1."),
    (".S42.", ".s4_2."),
    (".s4_layer.kernel.kernel.", ".s4."),
    (".s4_layer.output_linear.", ".mix."),
    (".s4_layer.", ".s4."),
    (".norm_layer.", ".norm."),
)


def _own_name(key: str) -> str:
    for theirs, ours in _OWN_NAMES:
        key = key.replace(theirs, ours)
    return key


def _own_shape(key: str, tensor: Tensor) -> Tensor:
    if key == "embedding.weight":
        return tensor.T.contiguous()
    if key.endswith((".B", ".P", ".Q", ".D")):
        return tensor[0].contiguous()  # a leading axis for rank or for copies, always 1
    if key.endswith("output_linear.bias"):
        return tensor[:, 0].contiguous()
    return tensor.contiguous()


def _put(network: Network, weights: dict[str, Tensor], *, name: str) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise GeneratorError(f"{name}: the weights do not fit the configuration. {error}") from error
