"""config.json: everything that turns weights into ECGs. Plain numbers, no torch: screens read it too.

A checkpoint that does not tell its kernel form, lead order or units is refused, never guessed: each of them has been published in two ways.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from generator.errors import GeneratorError
from generator.leads import limb_weights
from generator.request import DrawRequest
from generator.sssd.average_beat import BINS
from generator.sssd.rhythm import OFFSET_CHANNEL, TRACK_CHANNELS, RRModel
from generator.sssd.schedule import Schedule
from generator.sssd.variation import VariationModel

FORMAT = 5

# Published code has two kernels that differ: with pykeops or its CUDA extension both poles of a pair are summed ("conjugate"), its plain PyTorch
# fallback sums the kept half only. Weights want the form that they were trained with.
KernelForm = Literal["conjugate", "without-conjugates"]

# What a network's channels are: millivolts, microvolts, 0 to 1 between a lead's least and greatest value, or (mV - mean) / standard deviation.
Units = Literal["mV", "uV", "min-max", "standardised"]


@dataclass(frozen=True)
class NetworkConfig:
    """What determines the function that a network computes. Names of the first group: wavenet_config of the published JSON files."""

    in_channels: int = 8  # leads
    out_channels: int = 8
    num_res_layers: int = 36  # residual blocks
    res_channels: int = 256  # width of a block; its S4 layers are twice as wide
    skip_channels: int = 256
    diffusion_step_embed_dim_in: int = 128  # sines and cosines of the step
    diffusion_step_embed_dim_mid: int = 512
    diffusion_step_embed_dim_out: int = 512
    s4_lmax: int = 1000  # taps of an S4 kernel
    s4_d_state: int = 64  # poles of an S4 kernel
    s4_dropout: float = 0.0
    s4_bidirectional: int = 1
    s4_layernorm: int = 1
    label_embed_dim: int = 128
    label_embed_classes: int = 71  # statements that a label vector can carry

    kernel_form: KernelForm = "conjugate"  # how the published code that trained the weights summed the poles
    fold: int = 1  # samples folded into one step; 1000 must be a multiple
    track_channels: int = 0  # channels of the rhythm track; 0 for none
    beat_average: bool = False  # needs a track
    beat_pooling: bool = False  # needs a track
    strip_pooling: bool = False
    linear_filters: int = 0  # filters of the direct path from input to output; 0 for none
    beat_given: bool = False  # the strip's average beat as the last channels of the track, one a lead

    def __post_init__(self) -> None:
        whole = [field.name for field in dataclasses.fields(self) if field.type == "int" and not isinstance(getattr(self, field.name), int)]
        if whole:
            raise GeneratorError(f"The network's {', '.join(whole)} must be whole numbers.")
        if self.fold < 1 or 1000 % self.fold:
            raise GeneratorError(f"fold is {self.fold}, and 1000 samples are no multiple of it. Choose 1, 2, 4, 5, 8 or 10.")
        if self.kernel_form not in get_args(KernelForm):
            raise GeneratorError(f"kernel_form is {self.kernel_form!r}. Choose 'conjugate' or 'without-conjugates'.")
        if (self.beat_average or self.beat_pooling) and self.track_channels <= OFFSET_CHANNEL:
            raise GeneratorError(
                f"beat_average and beat_pooling need a rhythm track of at least {OFFSET_CHANNEL + 1} channels, not {self.track_channels}."
            )
        if self.beat_given and self.track_channels != TRACK_CHANNELS + self.in_channels:
            raise GeneratorError(
                f"beat_given needs {TRACK_CHANNELS + self.in_channels} track channels, the rhythm's and one a lead, not {self.track_channels}."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """Raises GeneratorError for a name that is no field."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise GeneratorError(f"The network's configuration has unknown fields: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
        return cls(**values)

    def operations(self, samples: int = 1000) -> float:
        """Floating-point operations of one evaluation for one strip, matrix products and Fourier transforms counted: what its time goes with."""
        steps, wide = samples // self.fold, 2 * self.res_channels
        s4_layer = 2 * wide * wide + 5 * wide * 2 * math.log2(2 * steps) * 2  # mixing; two real transforms of twice the length
        block = 6 * self.res_channels * wide + 2 * s4_layer + 2 * self.res_channels * (self.res_channels + self.skip_channels)
        return float(steps * (self.num_res_layers * block + 2 * self.skip_channels * (self.skip_channels + self.out_channels * self.fold)))


@dataclass(frozen=True)
class BeatConfig:
    """How a strip's average beat (generator.sssd.average_beat) is drawn: by a network over (leads, BINS) of its own.

    Its label vector has the rhythm's positions as the strip's network has them, and log(mean RR / 0.8 s) / 0.25 as its last.
    """

    network: NetworkConfig
    schedule: Schedule
    scale: tuple[float, ...]  # of each lead: its channels are average beats in the strip network's channels, divided by this


@dataclass(frozen=True)
class Config:
    """What config.json holds."""

    network: NetworkConfig
    schedule: Schedule  # noise levels, and what the network predicts
    labels: Mapping[str, tuple[int, ...]]  # rhythm to the positions of the label vector that are 1 when it is asked for
    leads: tuple[str, ...]  # of each channel: two limb leads and V1 to V6, in any order
    units: Units  # of the channels
    mean_mv: tuple[float, ...]  # channels are (mV - mean_mv) / std_mv, lead by lead; 0 and 1 for channels in mV
    std_mv: tuple[float, ...]
    channel_mean: tuple[float, ...]  # mean and standard deviation of the training strips' channels: where sampling starts
    channel_std: tuple[float, ...]
    unconditional: bool  # whether the network was trained to go without labels: what guidance compares with
    rr: dict[str, RRModel]  # rhythm to RR model; empty for networks without a rhythm track
    trained: dict[str, object]  # how, or what it was converted from: told, never used
    beat: BeatConfig | None = None  # where the network is given an average beat
    variation: Mapping[str, VariationModel] = field(default_factory=dict)  # of rhythms whose strips are made to vary so; others stay as drawn
    margin: int = 0  # samples that are drawn beyond either end and cut off: a network knows less at the ends and draws half beats there

    def __post_init__(self) -> None:
        if self.units not in get_args(Units):
            raise GeneratorError(f"units are {self.units!r}. Choose one of {', '.join(get_args(Units))}.")
        limb_weights(self.leads)  # refuses leads from which the others cannot be computed
        for name in ("mean_mv", "std_mv", "channel_mean", "channel_std"):
            if len(getattr(self, name)) != len(self.leads):
                raise GeneratorError(f"{name} has {len(getattr(self, name))} values for {len(self.leads)} leads. Give one for each.")
        if min(*self.std_mv, *self.channel_std) <= 0 or not all(map(math.isfinite, (*self.mean_mv, *self.std_mv, *self.channel_mean))):
            raise GeneratorError("std_mv and channel_std must be above 0, means and deviations finite.")
        if (self.network.in_channels, self.network.out_channels) != (len(self.leads), len(self.leads)):
            raise GeneratorError(
                f"The network has {self.network.in_channels} channels in and {self.network.out_channels} out for {len(self.leads)} leads."
            )
        if self.margin < 0 or self.margin % self.network.fold:
            raise GeneratorError(f"margin is {self.margin}. Choose 0 or a multiple of fold, {self.network.fold} samples.")
        if self.network.beat_given != (self.beat is not None):
            raise GeneratorError("A network with beat_given, and no other, needs a network that draws average beats (field beat).")
        if self.beat is not None:
            self._check_beat(self.beat)
        if self.variation and (self.beat is None or not set(self.variation) <= set(self.labels)):
            raise GeneratorError("variation, how strips depart from their average beat, needs the field beat and names rhythms of the labels.")
        beyond = [place for places in self.labels.values() for place in places if not 0 <= place < self.network.label_embed_classes]
        if beyond:
            raise GeneratorError(f"labels name position {beyond[0]}; the network knows 0 to {self.network.label_embed_classes - 1}.")

    def _check_beat(self, beat: BeatConfig) -> None:
        c = beat.network
        if (c.in_channels, c.out_channels, c.track_channels, c.s4_lmax) != (len(self.leads), len(self.leads), 0, BINS) or BINS % c.fold:
            raise GeneratorError(
                f"beat.network must take and give {len(self.leads)} channels of {BINS} bins, no track, folded by a divisor of {BINS}."
            )
        if c.label_embed_classes != self.network.label_embed_classes + 1:
            raise GeneratorError(f"beat.network knows {c.label_embed_classes} labels, not the strip network's and the RR interval.")
        if len(beat.scale) != len(self.leads) or not all(math.isfinite(one) and one > 0 for one in beat.scale):
            raise GeneratorError(f"beat.scale must have {len(self.leads)} values above 0.")

    def as_dict(self) -> dict[str, object]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            "format": FORMAT,
            "rate": 100,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
            "network": asdict(self.network),
            "schedule": asdict(self.schedule),
            "labels": {rhythm: list(places) for rhythm, places in self.labels.items()},
            "rr": {rhythm: model.as_dict() for rhythm, model in self.rr.items()},
            "beat": None if self.beat is None else {**asdict(self.beat), "scale": list(self.beat.scale)},
            "variation": {rhythm: model.as_dict() for rhythm, model in self.variation.items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, name: str) -> Config:
        """Raises GeneratorError where a field is missing, unknown or out of range; name: the file, for messages."""
        if values.get("format") == 1:
            values = _from_format_1(values)
        if values.get("format") == 2:  # before average beats and margins
            values = {**values, "format": 3, "beat": None, "margin": 0}
        if values.get("format") == 3:
            if values.get("beat") is not None:
                raise GeneratorError(
                    f"{name}: its average beats are read by straight lines, those of this program by splines, which keep a QRS complex sharp. "
                    "Train it anew, or draw with the version that trained it."
                )
            values = {**values, "format": 4}
        if values.get("format") == 4:  # before strips were scaled to how much recordings vary
            values = {**values, "format": FORMAT, "variation": {}}
        wanted = {field.name for field in fields(cls)} | {"format", "rate"}
        network = values.get("network")
        missing, unknown = sorted(wanted - set(values)), sorted(set(values) - wanted)
        if isinstance(network, dict) and "kernel_form" not in network:
            missing.append("network.kernel_form")
        if missing or unknown:
            raise GeneratorError(f"{name}: missing fields {missing}, unknown fields {unknown}. Train again, or convert the checkpoint.")
        if (values["format"], values["rate"]) != (FORMAT, 100):
            found = f"format {values['format']}, rate {values['rate']}"
            raise GeneratorError(f"{name}: {found}; this program reads format {FORMAT} at 100 samples/s.")
        try:
            return cls(
                network=NetworkConfig.from_dict(dict(network or {})),
                schedule=Schedule.from_dict(dict(values["schedule"])),
                labels={rhythm: tuple(map(int, places)) for rhythm, places in dict(values["labels"]).items()},
                leads=tuple(values["leads"]),
                units=values["units"],
                mean_mv=tuple(map(float, values["mean_mv"])),
                std_mv=tuple(map(float, values["std_mv"])),
                channel_mean=tuple(map(float, values["channel_mean"])),
                channel_std=tuple(map(float, values["channel_std"])),
                unconditional=bool(values["unconditional"]),
                rr={rhythm: RRModel.from_dict(model) for rhythm, model in dict(values["rr"]).items()},
                beat=None if values["beat"] is None else _beat_config(values["beat"]),
                trained=dict(values["trained"]),
                variation={rhythm: VariationModel.from_dict(model) for rhythm, model in dict(values["variation"]).items()},
                margin=int(values["margin"]),
            )
        except (GeneratorError, TypeError, ValueError) as error:
            raise GeneratorError(f"{name}: {error}") from error


def check_request(request: DrawRequest, config: Config) -> None:
    """Raises GeneratorError for what this checkpoint cannot draw."""
    if request.rhythm not in config.labels:
        raise GeneratorError(f"This checkpoint draws {', '.join(config.labels)}, not {request.rhythm}. Choose another checkpoint.")
    if request.guidance != 1.0 and not config.unconditional:
        raise GeneratorError("This checkpoint was never trained to go without labels, so guidance has nothing to compare with. Leave guidance at 1.")
    tracked = config.network.track_channels > 0
    if request.heart_rate is not None and not tracked:
        raise GeneratorError("This checkpoint knows no rhythm track, so a heart rate cannot be chosen. Leave heart_rate empty.")
    if tracked and request.rhythm not in config.rr:
        raise GeneratorError(f"This checkpoint has no RR model for {request.rhythm}. Train it again.")


def read_config(folder: Path) -> Config:
    """The configuration of a checkpoint folder. GeneratorError where there is none, or it does not say all that it must."""
    file = Path(folder) / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GeneratorError(f"{file} does not exist. A checkpoint is a folder with config.json and model.safetensors.") from error
    except ValueError as error:
        raise GeneratorError(f"{file} is not JSON ({error}). Copy the checkpoint again.") from error
    if not isinstance(values, dict):
        raise GeneratorError(f"{file} holds no fields. Copy the checkpoint again.")
    return Config.from_dict(values, name=str(file))


def _beat_config(values: dict[str, Any]) -> BeatConfig:
    if set(values) != {"network", "schedule", "scale"}:
        raise GeneratorError(f"beat has the fields network, schedule and scale, not {', '.join(sorted(values))}.")
    scale = tuple(map(float, values["scale"]))
    return BeatConfig(NetworkConfig.from_dict(dict(values["network"])), Schedule.from_dict(dict(values["schedule"])), scale)


def _from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """Checkpoints that blindstrip trained before published ones could be converted: one label a rhythm, standardised channels."""
    rest = {name: value for name, value in values.items() if name not in ("classes", "unit")}
    ones = [1.0] * len(values["leads"])
    return {
        **rest,
        "format": 2,
        "labels": {rhythm: [place] for place, rhythm in enumerate(values["classes"])},
        "units": "standardised",
        "channel_mean": [0.0] * len(ones),
        "channel_std": ones,
        "unconditional": True,
    }
