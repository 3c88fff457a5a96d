"""Checkpoints of the published SSSD-ECG code, read without it and turned into ours.

What such a file does not say is never guessed: kernel form, lead order and units differ between published codes and must be stated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from generator.errors import GeneratorError
from generator.leads import STORED
from generator.sssd.checkpoint import put
from generator.sssd.config import Config, KernelForm, NetworkConfig, Units
from generator.sssd.network import Network
from generator.sssd.schedule import Schedule

# The 71 statements of PTB-XL (Wagner et al. 2020) in alphabetical order: the order of the label vectors of Alcaraz & Strodthoff 2023.
_STATEMENTS = """
1AVB 2AVB 3AVB ABQRS AFIB AFLT ALMI AMI ANEUR ASMI BIGU CLBBB CRBBB DIG EL HVOLT ILBBB ILMI IMI INJAL INJAS INJIL INJIN INJLA INVT IPLMI IPMI
IRBBB ISCAL ISCAN ISCAS ISCIL ISCIN ISCLA ISC_ IVCD LAFB LAO/LAE LMI LNGQT LOWT LPFB LPR LVH LVOLT NDT NORM NST_ NT_ PAC PACE PMI PRC(S) PSVT PVC
QWAVE RAO/RAE RVH SARRH SBRAD SEHYP SR STACH STD_ STE_ SVARR SVTAC TAB_ TRIGU VCLVH WPW
"""
STATEMENTS = tuple(_STATEMENTS.split())
# By the number of classes. Hegde et al. 2025 trained on 20 classes of MIMIC-IV-ECG's machine statements.
LABEL_SETS: dict[int, dict[str, tuple[int, ...]]] = {
    71: {"NSR": (STATEMENTS.index("NORM"), STATEMENTS.index("SR")), "AF": (STATEMENTS.index("AFIB"),)},
    20: {"NSR": (7, 15), "AF": (2,)},  # sinus rhythm and normal ECG; atrial fibrillation
}

# Mean and standard deviation in mV over PTB-XL, folds 1 to 8, NSR and AF. Sampling starts from the marginal that training ended in: published
# files do not tell theirs. For channels in mV the schedule leaves so little of it that half or twice the deviation would move the start by 2 %.
USUAL_MEAN_MV = dict(I=0.027, II=0.028, III=0.001, aVR=-0.027, aVL=0.013, aVF=0.014, V1=-0.019, V2=0.012, V3=0.032, V4=0.045, V5=0.044, V6=0.036)  # noqa: C408
USUAL_STD_MV = dict(I=0.136, II=0.149, III=0.110, aVR=0.131, aVL=0.100, aVF=0.112, V1=0.166, V2=0.283, V3=0.265, V4=0.259, V5=0.237, V6=0.196)  # noqa: C408

_MV_A_UNIT = {"mV": 1.0, "uV": 0.001}
_PUBLISHED = [field.name for field in fields(NetworkConfig)][:15]
_TRAINING_ONLY = ("s4_dropout",)


@dataclass(frozen=True)
class Stated:
    """What whoever converts a checkpoint must say of it."""

    kernel_form: KernelForm  # conjugate: trained with pykeops or the CUDA extension; without-conjugates: with the plain PyTorch fallback
    leads: tuple[str, ...]  # of the channels
    units: Units  # of the channels
    offsets_mv: tuple[float, ...] | None = None  # mV at channel value 0, for min-max (the least value) and standardised (the mean)
    scales_mv: tuple[float, ...] | None = None  # mV for 1 in the channel, for min-max (greatest less least) and standardised (the deviation)
    labels: Mapping[str, tuple[int, ...]] | None = None  # rhythm to positions in the label vector; None: the published set with as many classes

    def millivolts(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Offset and scale of each channel in mV. GeneratorError where the units need them and they were not stated, or the other way round."""
        given = (self.offsets_mv, self.scales_mv)
        if self.units in _MV_A_UNIT:
            if any(one is not None for one in given):
                raise GeneratorError(f"Channels in {self.units} need no offsets and scales. Leave them out, or state other units.")
            return (0.0,) * len(self.leads), (_MV_A_UNIT[self.units],) * len(self.leads)
        if self.offsets_mv is None or self.scales_mv is None:
            raise GeneratorError(
                f"Channels in {self.units} units become mV by an offset and a scale a lead, which the file does not hold. State them "
                "with --lead-offsets and --lead-scales: for min-max the least value, and greatest less least; for standardised mean and deviation."
            )
        for name, values in (("--lead-offsets", self.offsets_mv), ("--lead-scales", self.scales_mv)):
            if len(values) != len(self.leads):
                raise GeneratorError(f"{name} has {len(values)} values for {len(self.leads)} leads. Give one for each, in the lead order.")
        if min(self.scales_mv) <= 0:
            raise GeneratorError(f"--lead-scales has {min(self.scales_mv):g}. Each must be above 0.")
        return self.offsets_mv, self.scales_mv


def read(file: Path, config_file: Path, stated: Stated) -> tuple[Network, Config]:
    """A network in eval mode, and all that turns its outputs into strips.

    file: {'model_state_dict': ...}, keys with or without `module.`; config_file: the published JSON with wavenet_config and diffusion_config.
    GeneratorError names the file, what is missing or does not fit, and what to state.
    """
    wavenet, schedule = read_published_config(config_file)
    network = network_from_published(file, wavenet, kernel_form=stated.kernel_form, config_name=config_file.name)
    labels = stated.labels or LABEL_SETS.get(network.config.label_embed_classes)
    if labels is None:
        known = " and ".join(map(str, LABEL_SETS))
        raise GeneratorError(
            f"{config_file}: {network.config.label_embed_classes} classes; which of them are NSR and AF is known for {known} only. "
            "State them: --nsr-labels 7,15 --af-labels 2."
        )
    offsets, scales = stated.millivolts()
    usual = [(USUAL_MEAN_MV.get(lead, 0.0), USUAL_STD_MV.get(lead, 0.2)) for lead in stated.leads]
    return network, Config(
        network=network.config,
        schedule=schedule,
        labels=dict(labels),
        leads=stated.leads,
        units=stated.units,
        mean_mv=offsets,
        std_mv=scales,
        channel_mean=tuple((mean - offset) / scale for (mean, _), offset, scale in zip(usual, offsets, scales, strict=True)),
        channel_std=tuple(std / scale for (_, std), scale in zip(usual, scales, strict=True)),
        unconditional=False,
        rr={},
        beat=None,
        trained={"converted_from": {"file": file.name, "sha256": _sha256(file), "config": config_file.name}},
    )


def read_published_config(file: Path) -> tuple[dict[str, Any], Schedule]:
    """wavenet_config and the schedule of diffusion_config; other sections are about training. Trailing commas, which published files have, pass."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise GeneratorError(f"{file} does not exist. Name the JSON file that the checkpoint was trained with.") from error
    except UnicodeDecodeError as error:
        raise GeneratorError(f"{file} is no text. Name the JSON file that the checkpoint was trained with.") from error
    try:
        values = json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
    except json.JSONDecodeError as error:
        raise GeneratorError(f"{file} is not JSON ({error}). Name the JSON file that the checkpoint was trained with.") from error
    if not isinstance(values, dict) or not all(isinstance(values.get(name), dict) for name in ("wavenet_config", "diffusion_config")):
        raise GeneratorError(f"{file} has no wavenet_config and diffusion_config. Name the JSON file that the checkpoint was trained with.")
    try:
        diffusion = values["diffusion_config"]
        return dict(values["wavenet_config"]), Schedule(T=int(diffusion["T"]), beta_0=float(diffusion["beta_0"]), beta_T=float(diffusion["beta_T"]))
    except (KeyError, TypeError, ValueError) as error:
        raise GeneratorError(f"{file}: diffusion_config needs the numbers T, beta_0 and beta_T ({error}).") from error


def network_from_published(file: Path, wavenet: Mapping[str, Any], *, kernel_form: KernelForm, config_name: str = "wavenet_config") -> Network:
    """A network in eval mode from a checkpoint of the published code. wavenet: that section of its JSON. Weights are loaded safely, on the CPU."""
    missing = sorted(set(_PUBLISHED) - set(wavenet) - set(_TRAINING_ONLY))
    if missing:
        raise GeneratorError(f"{config_name}: wavenet_config lacks {', '.join(missing)}. Each of them changes the function; add them.")
    config = NetworkConfig.from_dict({**wavenet, "kernel_form": kernel_form})
    if (config.in_channels, config.out_channels) != (len(STORED), len(STORED)):
        raise GeneratorError(f"{config_name}: {config.in_channels} channels in, {config.out_channels} out. Strips have eight stored leads.")
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GeneratorError(f"{file} does not exist. Name the checkpoint file of the published code.") from error
    except Exception as error:  # torch raises pickle's, zip's and its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise GeneratorError(f"{file} is not a PyTorch checkpoint that can be read safely ({reason}).") from error
    if not isinstance(stored, dict) or not isinstance(stored.get("model_state_dict"), dict):
        raise GeneratorError(f"{file} has no 'model_state_dict'. A checkpoint of the published SSSD-ECG code is needed.")
    try:
        weights = published_weights(stored["model_state_dict"])
        with torch.device("meta"):  # the published code spends 110 s on initial values that the checkpoint replaces
            network = Network(config)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise GeneratorError(f"{file} with {config_name}: not what the published code writes ({type(error).__name__}: {error}).") from error
    put(network, weights, name=str(file))
    return network


def published_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under this program's names: weight norm folded in (w = g v / |v|), expanded views made real, frequencies left out."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    folded: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key.endswith("weight_g"):
            v = state[key[:-1] + "v"]
            folded[key[:-2]] = tensor * v / v.flatten(1).norm(dim=1)[:, None, None]
        elif not key.endswith(("weight_v", ".omega", ".z")):
            folded[key] = tensor
    return {_own_name(key): _own_shape(key, tensor).float() for key, tensor in folded.items()}


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


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
