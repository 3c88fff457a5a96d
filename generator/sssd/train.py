"""Training: recordings in, a checkpoint folder out, in a given number of minutes or iterations.

Two networks, one after the other: one that draws average beats (generator.sssd.average_beat), and one that draws strips around them. `out/`
holds config.json and model.safetensors (averaged weights of both, ready to draw), training_beats.safetensors (generator.copies), loss.jsonl,
and training-beat.pt and training-strip.pt, from which a killed training goes on as if it had not been killed. All files are replaced whole.

Started by `accelerate launch`, or any launcher that sets what torchrun sets, it runs on as many processes, which share each batch.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from numpy.typing import NDArray

from generator import recordings
from generator.copies import Reference
from generator.errors import GeneratorError
from generator.leads import STORED
from generator.request import RHYTHMS, TRAINING_BEATS, checkpoint_sha256
from generator.sssd import checkpoint, variation
from generator.sssd.batches import BeatBatches, Standardised, StripBatches
from generator.sssd.config import BeatConfig, Config, read_config
from generator.sssd.network import Network
from generator.sssd.recipe import Augmentation, Recipe, Settings
from generator.sssd.rhythm import RRModel, fit
from generator.sssd.trainer import Budget, Hooks, Trainer
from generator.sssd.training_set import HIGHEST, TrainingSet, scale

__all__ = ["Augmentation", "Interval", "Precision", "Recipe", "Settings", "is_main_process", "train"]

Precision = Literal["float32", "bf16"]
Interval = Callable[[Path, float], None]  # the checkpoint's folder, seconds trained

_MARGIN_STEPS = 5  # drawn beyond either end: 0.4 s with eight samples to a step

BEAT, STRIP = "beat", "strip"  # the networks' names, in loss.jsonl and files

_FEWEST = 10  # strips of a rhythm
_PATIENCE = timedelta(hours=2)  # how long processes wait for the main one, which draws strips for a report


def train(
    records: Sequence[recordings.Candidate] | TrainingSet,
    out: Path,
    minutes: float | None = None,
    *,
    iterations: int | None = None,
    held_out: TrainingSet | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    start: Path | None = None,
    training_beats: bool = True,
    on_interval: Interval | None = None,
    interval_seconds: float = 600.0,
) -> Path:
    """Train for so many minutes in all, or so many iterations of each network (earlier runs into the same folder counted); returns `out`.

    Given minutes, average beats get settings.beat_share of them. The learning rate falls to zero over minutes or iterations; a finished
    training that is given more goes on. Iterations give the same losses on any machine, up to rounding. held_out: strips of other patients, on
    which both networks' losses are logged. start: a checkpoint folder whose networks are trained further, in place of random weights; their
    shapes and schedules are kept. One without a network for average beats is widened, and gets one. device: "auto" (a GPU where there
    is one), "cpu", "cuda", "cuda:1" ...; with several processes the launcher chooses. precision: "bf16" or "float32" (default: bf16 on
    GPUs that have it). training_beats: whether to write what copies are told by (generator.copies). on_interval: called in the main process
    with `out` and the seconds trained, every interval_seconds of training and at the end; its own time does not count.

    GeneratorError: too few strips of a rhythm, `out` holds a training with other data, settings or seed, `start` was not trained here.
    """
    if (minutes is None) == (iterations is None):
        raise GeneratorError("Say how long to train: in minutes, or in iterations, one of them.")
    settings = settings or Settings()
    before = _Before()
    if start is not None:
        settings = _further(settings, start)
        before = _Before.read(start)
    if settings.only_strips and before.beat is None:
        raise GeneratorError("To train strips only, name a checkpoint to train further that draws average beats already.")
    strips = records if isinstance(records, TrainingSet) else TrainingSet.from_candidates(records)
    Path(out).mkdir(parents=True, exist_ok=True)
    run = _Run(strips, held_out, Path(out), settings, seed, _accelerator(device, precision), before, training_beats, on_interval, interval_seconds)
    if minutes is None:
        run.train(Budget(iterations=iterations), Budget(iterations=iterations))
    else:
        share = settings.minutes_of_beats
        run.train(Budget(minutes * 60 * share), Budget(minutes * 60 * (1 - share)))
    if run.accelerator.num_processes > 1:
        run.accelerator.end_training()  # processes leave together
    return Path(out)


def is_main_process() -> bool:
    """Whether this process writes: the only one, or the first that a launcher started."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True)
class _Before:
    """The networks that are trained further."""

    strip: Network | None = None
    beat: Network | None = None
    beat_scale: NDArray[np.float64] | None = None  # that the latter's channels have

    @classmethod
    def read(cls, folder: Path) -> _Before:
        config = read_config(folder).beat
        return cls(*checkpoint.load_networks(folder), None if config is None else np.array(config.scale))


class _Run:
    """One training: its data, its two networks, and what is written of them."""

    def __init__(
        self,
        strips: TrainingSet,
        held_out: TrainingSet | None,
        out: Path,
        settings: Settings,
        seed: int,
        accelerator: Accelerator,
        before: _Before,
        training_beats: bool,
        on_interval: Interval | None,
        interval_seconds: float,
    ) -> None:
        self.out, self.settings, self.seed, self.accelerator = out, settings, seed, accelerator
        self.strips, self.training_beats, self.on_interval, self.interval_seconds = strips, training_beats, on_interval, interval_seconds
        self.mean, self.std, self.keep = scale(strips.mv)
        self.refused = strips.refused + Counter({f"amplitude beyond {HIGHEST:.0f} standard deviations": int((~self.keep).sum())})
        self.data = Standardised.of(strips, self.mean, self.std, self.keep)
        beats = BeatBatches(self.data, settings.beat.augmentation, before.beat_scale)
        for name in RHYTHMS:
            least = min(int((self.data.rhythm == name).sum()), int((beats.rhythm == name).sum()))
            if least < _FEWEST:
                raise GeneratorError(f"Only {least} strips of {name}: at least ten of each rhythm are needed. Add recordings or check the labels.")
        self.beat_scale = beats.scale
        beside = None if held_out is None else Standardised.of(held_out, self.mean, self.std)
        identity = hashlib.sha256(json.dumps([strips.fingerprint(), asdict(settings), seed]).encode()).hexdigest()
        of_strips = before.strip
        if of_strips is not None and not of_strips.config.beat_given:
            of_strips = _widened(of_strips, Network(settings.strip.network))
        self.beat = Trainer(
            BEAT,
            settings.beat,
            beats,
            out,
            accelerator,
            seed=seed,
            identity=identity,
            save_seconds=settings.save_seconds,
            held_out=None if beside is None else BeatBatches(beside, settings.beat.augmentation, beats.scale),
            begin_with=before.beat,
        )
        self.strip = Trainer(
            STRIP,
            settings.strip,
            StripBatches(self.data, settings.strip.augmentation),
            out,
            accelerator,
            seed=seed,
            identity=identity,
            save_seconds=settings.save_seconds,
            held_out=None if beside is None else StripBatches(beside, settings.strip.augmentation),
            begin_with=of_strips,
        )

    def train(self, of_beats: Budget, of_strips: Budget) -> None:
        """Both networks, then the report."""
        to_come = max((of_strips.seconds or 0.0) - self.strip.seconds, 0.0)
        if not self.settings.only_strips:
            self.beat.until(of_beats, Hooks(lambda _: None, self._interval, self.interval_seconds), to_come)
        self.strip.until(of_strips, Hooks(lambda _: self._write_checkpoint(), self._interval, self.interval_seconds))
        if self.accelerator.is_main_process:
            self._keep_or_drop_training_beats()
            self._interval(0.0)
        self.accelerator.wait_for_everyone()

    def _interval(self, _seconds: float) -> None:
        if self.on_interval is not None:
            self.on_interval(self.out, self.beat.seconds + self.strip.seconds)

    def _write_checkpoint(self) -> None:
        self._keep_or_drop_training_beats()
        checkpoint.save(self.out, self.strip.averaged, self._config(), beat=self.beat.averaged)

    def _keep_or_drop_training_beats(self) -> None:
        file = self.out / TRAINING_BEATS
        if not self.training_beats:
            file.unlink(missing_ok=True)
        elif not file.is_file():
            patients = None if self.strips.patients is None else [one for one, kept in zip(self.strips.patients, self.keep, strict=True) if kept]
            Reference.of(self.strips.mv[self.keep], patients, self.strips.rhythm[self.keep].tolist()).save(self.out)

    def _config(self) -> Config:
        strip, beat = self.settings.strip, self.settings.beat
        drops_label = min(strip.augmentation.drop_label, beat.augmentation.drop_label) > 0
        return Config(
            network=strip.network,
            schedule=strip.schedule,
            labels=_labels(),
            leads=STORED,
            units="standardised",
            mean_mv=tuple(round(float(v), 6) for v in self.mean),
            std_mv=tuple(round(float(v), 6) for v in self.std),
            channel_mean=(0.0,) * len(STORED),
            channel_std=(1.0,) * len(STORED),
            unconditional=drops_label,
            rr=self._rr_models(),
            beat=BeatConfig(beat.network, beat.schedule, tuple(round(float(v), 6) for v in self.beat_scale)),
            trained=self._trained(),
            variation=self._variation_models,
            margin=_MARGIN_STEPS * strip.network.fold,
        )

    def _trained(self) -> dict[str, object]:
        machine = self.accelerator
        gpu = machine.device.type == "cuda"
        return {
            "strips": {name: int((self.data.rhythm == name).sum()) for name in RHYTHMS},
            "refused": dict(+self.refused),
            "seconds": round(self.beat.seconds + self.strip.seconds, 1),
            "iterations": self.strip.iteration,
            "networks": {
                one.name: {"seconds": round(one.seconds, 1), "iterations": one.iteration, "batch": one.recipe.batch}
                for one in (self.beat, self.strip)
            },
            "settings": {one.name: _told(one.recipe) for one in (self.beat, self.strip)},
            **({"trained_further": self.settings.start} if self.settings.start else {}),
            "seed": self.seed,
            "device": torch.cuda.get_device_name(machine.device) if gpu else f"{platform.machine()} CPU",
            "processes": machine.num_processes,
            "threads": self.strip.threads,
            "precision": "bf16" if machine.mixed_precision == "bf16" else "float32",
            "torch": torch.__version__,
        }

    def _rr_models(self) -> dict[str, RRModel]:
        of = {name: [times for times, rhythm in zip(self.data.r_times, self.data.rhythm, strict=True) if rhythm == name] for name in RHYTHMS}
        return {name: fit(times, breathes=name == "NSR") for name, times in of.items()}

    @cached_property
    def _variation_models(self) -> dict[str, variation.VariationModel]:
        mv = self.strips.mv[self.keep]
        of = {name: np.flatnonzero(self.data.rhythm == name) for name in self.settings.varied}
        return {name: variation.fit(list(mv[rows]), [self.data.r_times[row] for row in rows]) for name, rows in of.items()}


def _accelerator(device: str, precision: Precision | None) -> Accelerator:
    """Where to train. GeneratorError where several processes are told one device."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and device not in ("auto", "cpu"):
        raise GeneratorError(f"{processes} processes were started, and each takes a GPU of its own. Leave --device out.")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # accelerate takes the current one
    if precision is None:
        precision = "float32" if on_cpu or not torch.cuda.is_bf16_supported(including_emulation=False) else "bf16"
    return Accelerator(
        cpu=on_cpu,
        mixed_precision="bf16" if precision == "bf16" else "no",
        kwargs_handlers=[
            # the last block's way onwards leads nowhere, so it has no gradient; buffers never change
            DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=_PATIENCE),
        ],
    )


def _further(settings: Settings, start: Path) -> Settings:
    """With the shapes and schedules of a checkpoint. GeneratorError where it was not trained here."""
    before = read_config(start)
    if (before.leads, before.units, dict(before.labels)) != (STORED, "standardised", _labels()):
        raise GeneratorError(
            f"{start}: other leads, units or labels than training has. Only a checkpoint that was trained here can be trained further."
        )
    wider = replace(before.network, track_channels=settings.strip.network.track_channels, beat_given=True)
    strip = replace(settings.strip, network=wider, schedule=before.schedule)
    beat = settings.beat if before.beat is None else replace(settings.beat, network=before.beat.network, schedule=before.beat.schedule)
    return replace(settings, strip=strip, beat=beat, start=checkpoint_sha256(start))


def _told(recipe: Recipe) -> dict[str, object]:
    """Of a recipe, what the configuration does not say elsewhere."""
    return {name: value for name, value in asdict(recipe).items() if name not in ("network", "schedule")}


def _labels() -> dict[str, tuple[int, ...]]:
    return {name: (place,) for place, name in enumerate(RHYTHMS)}


def _widened(network: Network, wider: Network) -> Network:
    """The same function with further input channels, which it ignores as yet: their weights begin at zero. Returns `wider`.

    GeneratorError where more than the layers that see the input differ.
    """
    old, new = network.state_dict(), wider.state_dict()
    for name, weight in new.items():
        before = old.get(name)
        if before is None or (before.shape != weight.shape and name not in ("first.weight", "linear.weight")):
            raise GeneratorError(f"The network to train further has another shape than training's ({name}).")
        further = weight.shape[1] - before.shape[1] if before.ndim > 1 else 0
        new[name] = torch.cat([before, before.new_zeros(before.shape[0], further, *before.shape[2:])], dim=1) if further else before
    wider.load_state_dict(new)
    return wider
