"""How networks are trained: every choice, with its default. Plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from generator.errors import GeneratorError
from generator.leads import STORED
from generator.request import RHYTHMS
from generator.sssd.average_beat import BINS
from generator.sssd.config import NetworkConfig
from generator.sssd.rhythm import TRACK_CHANNELS
from generator.sssd.schedule import Schedule

_COSINE = Schedule(kind="cosine", prediction="v", step_scale=1000.0)


@dataclass(frozen=True)
class Augmentation:
    """How a strip or an average beat is changed before it is learned, all leads alike."""

    gain: float = 0.1  # SD of the log of a random gain
    shift: int = 3  # samples, at most, that it is moved by; a beat stays: its place is where R is, and moved ones drew QRS complexes beside it
    turn: float = 8.0  # degrees, SD of a random turn of the electrical axis in the frontal plane
    drop_label: float = 0.1  # share trained without label: what classifier-free guidance compares with
    # strips only
    stretch: float = 0.0  # SD of the log of a random stretch in time, beats and all; its cubic interpolation takes some of the highest band
    drop_track: float = 0.05  # share trained without a track
    drop_beat: float = 0.05  # share of the others trained without an average beat
    beat_noise: float = 0.03  # SD, at most, of the noise on the average beat that is told, in standard deviations of the lead
    beat_share: float = 0.4  # at least, of the strip's beats that the average beat told is of: what only chance put into it is not to be believed


@dataclass(frozen=True)
class Recipe:
    """How one network is trained."""

    network: NetworkConfig
    augmentation: Augmentation
    schedule: Schedule = _COSINE
    batch: int = 16  # over all processes, as many of each rhythm
    learning_rate: float = 1.5e-3  # at its highest; falls along a cosine to zero
    learning_rate_further: float = 1e-3  # likewise, of a network that was trained before
    warm_up: int = 100  # iterations
    weight_decay: float = 1e-4
    clip: float = 1.0  # gradient norm
    average: float = 0.999  # decay of the averaged weights

    def __post_init__(self) -> None:
        if self.batch < len(RHYTHMS) or self.batch % len(RHYTHMS):
            raise GeneratorError(f"batch is {self.batch}. As many of each rhythm make one: choose a multiple of {len(RHYTHMS)}.")


def _of_beats() -> Recipe:
    network = NetworkConfig(
        num_res_layers=4,
        res_channels=96,
        skip_channels=96,
        diffusion_step_embed_dim_in=64,
        diffusion_step_embed_dim_mid=128,
        diffusion_step_embed_dim_out=128,
        s4_lmax=BINS,
        s4_d_state=16,
        s4_dropout=0.1,
        label_embed_dim=32,
        label_embed_classes=len(RHYTHMS) + 1,
        fold=4,
        strip_pooling=True,
        linear_filters=4,
    )
    schedule = Schedule(kind="cosine", prediction="v", step_scale=1000.0, finest=3.0)
    return Recipe(network, Augmentation(shift=0), schedule, batch=64, learning_rate=2e-3)


def _of_strips() -> Recipe:
    network = NetworkConfig(
        num_res_layers=4,
        res_channels=128,
        skip_channels=128,
        diffusion_step_embed_dim_in=64,
        diffusion_step_embed_dim_mid=128,
        diffusion_step_embed_dim_out=128,
        s4_d_state=32,
        label_embed_dim=32,
        label_embed_classes=len(RHYTHMS),
        fold=8,
        track_channels=TRACK_CHANNELS + len(STORED),
        beat_average=True,
        beat_pooling=True,
        strip_pooling=True,
        linear_filters=6,
        beat_given=True,
    )
    return Recipe(network, Augmentation())


@dataclass(frozen=True)
class Settings:
    """How both networks are trained. Defaults: what two CPU cores can learn in an hour."""

    beat: Recipe = field(default_factory=_of_beats)  # the network that draws average beats
    strip: Recipe = field(default_factory=_of_strips)  # the network that draws strips around them
    beat_share: float = 0.15  # of the minutes go to average beats
    save_seconds: float = 60.0
    varied: tuple[str, ...] = ("NSR",)  # rhythms whose drawn strips are made to vary as those trained on; AF varies by itself, and more looked drawn
    only_strips: bool = False  # trained further: average beats stay as they are, and all minutes go to strips
    start: str | None = None  # SHA-256 of the checkpoint that was trained further

    def __post_init__(self) -> None:
        if not self.strip.network.beat_given:
            raise GeneratorError("Training is of a network that is given an average beat: beat_given must be true.")
        if not set(self.varied) <= set(RHYTHMS):
            raise GeneratorError(f"varied names {', '.join(self.varied)}. Choose of {', '.join(RHYTHMS)}.")
        if not 0 < self.beat_share < 1:
            raise GeneratorError(f"beat_share is {self.beat_share:g}. Choose a share between 0 and 1.")

    @property
    def minutes_of_beats(self) -> float:
        """The share of the minutes that average beats get."""
        return 0.0 if self.only_strips else self.beat_share
