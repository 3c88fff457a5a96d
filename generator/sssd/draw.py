"""Strips out of a checkpoint.

Strip i of a request depends on the request's seed and settings, the checkpoint and i: not on the batch, not on what else is drawn.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from generator import quality_control as rules
from generator.errors import Cancelled, GeneratorError, Refused
from generator.leads import STORED, limb_weights
from generator.request import GPU_BATCH, RHYTHMS, DrawRequest, checkpoint_sha256, shipped_checkpoint
from generator.sssd import checkpoint as checkpoints
from generator.sssd.average_beat import BINS, at_every_beat, rr_label
from generator.sssd.checkpoint import Model
from generator.sssd.config import check_request
from generator.sssd.evaluator import Evaluator, one_thread
from generator.sssd.rhythm import OFFSET_CHANNEL, track
from generator.sssd.samplers import ancestral, denoiser, dpm_solver_pp_2m, start, times_even_in_log_snr
from generator.sssd.schedule import Schedule
from generator.sssd.variation import VariationModel, varied
from generator.strip import RATE, SAMPLES, SECONDS, Counts, canonical_from_stored

Progress = Callable[[float, int], None]  # strips done (with fractions), strips to draw

# Rounding in matrix products depends on a batch's size, so every batch has the same one, and a strip the same place in it; unused places hold zeros.
_BATCH = {"cpu": 1, "cuda": GPU_BATCH}


@dataclass(frozen=True)
class Drawn:
    """One sample, also where quality control refused it: rejections are counted, never hidden."""

    number: int  # i of the request
    counts: Counts | None  # (8, 1000) int16, 5 uV a count; None where rejected
    rejected: str | None  # Refused.reason
    conditions: dict[str, object] = field(default_factory=dict)  # rhythm, and the R times that it was drawn around


def draw(
    request: DrawRequest,
    *,
    first: int = 0,
    count: int | None = None,
    checkpoint: Path | Model | None = None,
    device: str = "auto",
    threads: int = 1,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    quality_control: bool = True,
) -> list[Drawn]:
    """Samples first .. first + count - 1 of a request (default: all), through the canonical form and quality control.

    checkpoint: a folder or a loaded Model, default the shipped one. device: "auto" takes a GPU where there is one; strips repeat on the same
    kind of device. threads: batches drawn side by side, each by one thread (one on a GPU); it changes no strip. progress and cancelled are
    called after every network evaluation; Cancelled is raised when the latter says so. quality_control: False leaves out the rules of
    generator.quality_control, not the canonical form: for looking at a network as it is and for timing it, never for strips that somebody
    stores. GeneratorError where the checkpoint cannot do what is asked.
    """
    count = request.n - first if count is None else count
    if first < 0 or count < 0 or first + count > request.n:
        raise GeneratorError(f"Samples {first} to {first + count - 1} were asked of a request for {request.n}. Ask for numbers 0 to {request.n - 1}.")
    model = checkpoint if isinstance(checkpoint, Model) else load(checkpoint, device)
    check_request(request, model.config)
    size = _BATCH.get(model.device.type, 1)
    batches = [range(max(at, first), min(at + size, first + count)) for at in range(first - first % size, first + count, size)]
    telling = _Telling(count, progress, cancelled)

    def one_batch(numbers: range) -> list[Drawn]:
        return _draw_batch(request, model, numbers, size, lambda done, steps: telling(numbers, done / steps), quality_control)

    with one_thread(), threadpool_limits(1, user_api="blas"):  # the latter for quality control
        if threads <= 1 or model.device.type != "cpu":
            return [drawn for numbers in batches for drawn in one_batch(numbers)]
        return _side_by_side(one_batch, batches, threads, telling)


def load(path: Path | None = None, device: str = "auto") -> Model:
    """A checkpoint folder in memory (default: the shipped one), kept from call to call while its files stay the same."""
    folder = shipped_checkpoint() if path is None else Path(path)
    at = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return _load(folder.resolve(), checkpoint_sha256(folder), at)


def provenance(request: DrawRequest, model: Model) -> dict[str, object]:
    """What is stored with drawn strips that went through quality control, and draws them again."""
    return {
        **request.as_dict(),
        "steps": model.config.schedule.T if request.sampler == "ancestral" else request.steps,
        "checkpoint": model.sha256,
        "device": _device_name(model),
        "torch": torch.__version__,
        "quality_control": rules.checks(request.rhythm, model.reference),
    }


def _side_by_side(one_batch: Callable[[range], list[Drawn]], batches: list[range], threads: int, telling: _Telling) -> list[Drawn]:
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return [drawn for part in pool.map(one_batch, batches) for drawn in part]
        except BaseException:
            telling.stopped = True
            pool.shutdown(cancel_futures=True)
            raise


def _device_name(model: Model) -> str:
    """A GPU's name, or a processor's with the instructions that PyTorch uses on it: with others, sums are rounded otherwise."""
    if model.device.type == "cuda":
        return torch.cuda.get_device_name(model.device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} CPU"


class _Telling:
    """Adds up how far the batches are, and stops all of them."""

    def __init__(self, count: int, progress: Progress | None, cancelled: Callable[[], bool] | None) -> None:
        self._count, self._progress, self._cancelled = count, progress, cancelled
        self._shares: dict[range, float] = {}
        self._lock = threading.Lock()
        self.stopped = False

    def __call__(self, numbers: range, share: float) -> None:
        with self._lock:
            if self.stopped or (self._cancelled is not None and self._cancelled()):
                self.stopped = True
                whole = sum(len(batch) for batch, done in self._shares.items() if done >= 1)
                raise Cancelled(f"Drawing was stopped after {whole} of {self._count} strips.")
            self._shares[numbers] = share
            if self._progress is not None:
                self._progress(sum(len(batch) * done for batch, done in self._shares.items()), self._count)


@lru_cache(maxsize=2)
def _load(folder: Path, sha256: str, device: str) -> Model:
    model = checkpoints.load(folder, device)
    if model.sha256 != sha256:
        raise GeneratorError(f"{folder} changed while it was read. Try again.")
    return model


def _draw_batch(request: DrawRequest, model: Model, numbers: range, size: int, on_step: Callable[[int, int], None], checked: bool) -> list[Drawn]:
    places = [number % size for number in numbers]
    sources = [_sources(request, number) for number in numbers]
    config = model.config
    samples, beyond = SAMPLES + 2 * config.margin, config.margin / RATE
    r_times = [config.rr[request.rhythm].draw(one.rhythm, request.heart_rate, beyond) if config.network.track_channels else None for one in sources]
    tracks = [track(times, config.margin) for times in r_times if times is not None]
    labels = torch.zeros(size, config.network.label_embed_classes, device=model.device)
    labels[:, list(config.labels[request.rhythm])] = 1
    standard = torch.zeros(len(STORED)), torch.ones(len(STORED))

    def noise(of: str, samples: int) -> Callable[[], Tensor]:
        return lambda: _placed([getattr(one, of).standard_normal((len(STORED), samples), dtype=np.float32) for one in sources], places, size, model)

    with torch.inference_mode():
        if model.beat is not None and config.beat is not None:
            of_beats = torch.cat([labels, _placed([rr_label(times) for times in r_times if times is not None], places, size, model)], dim=1)
            beat = _sample(
                request, model.beat, config.beat.schedule, of_beats, None, standard, noise("beat", BINS), lambda _done, steps: on_step(0, steps)
            )
            beats = beat.cpu().numpy()[places] * np.array(config.beat.scale, dtype=np.float32)[:, None]
            tracks = [np.concatenate([one, at_every_beat(beat, one[OFFSET_CHANNEL])]) for one, beat in zip(tracks, beats, strict=True)]
        placed = _placed(tracks, places, size, model) if tracks else None
        started = torch.tensor(config.channel_mean), torch.tensor(config.channel_std)
        x = _sample(request, model.evaluator, config.schedule, labels, placed, started, noise("strip", samples), on_step)
        channels = x.double().cpu().numpy()[places][..., config.margin : config.margin + SAMPLES]
    mv = limb_weights(config.leads) @ (channels * np.array(config.std_mv)[:, None] + np.array(config.mean_mv)[:, None])
    if request.rhythm in config.variation:
        mv = _varied(mv, r_times, config.variation[request.rhythm], sources)
    return [
        _through_quality_control(request, model, number, strip, times, checked) for number, strip, times in zip(numbers, mv, r_times, strict=True)
    ]


def _varied(
    mv: NDArray[np.float64], r_times: list[NDArray[np.float64] | None], model: VariationModel, sources: list[_Sources]
) -> NDArray[np.float64]:
    of_each = zip(mv, r_times, sources, strict=True)
    return np.stack(
        [varied(strip, times[(times >= 0) & (times < SECONDS)], model, one.variation) for strip, times, one in of_each if times is not None]
    )


def _sample(
    request: DrawRequest,
    evaluator: Evaluator,
    schedule: Schedule,
    labels: Tensor,
    tracks: Tensor | None,
    marginal: tuple[Tensor, Tensor],
    noise: Callable[[], Tensor],
    on_step: Callable[[int, int], None],
) -> Tensor:
    """(batch, channels, samples) by the sampler, steps and guidance that were asked for; marginal: mean and SD of each training channel."""
    output = evaluator.conditioned(labels, tracks)
    without = evaluator.conditioned(torch.zeros_like(labels), tracks) if request.guidance != 1.0 else None
    denoise = denoiser(output, schedule, unconditional=without, guidance=request.guidance)
    mean, std = (values.to(labels.device)[:, None] for values in marginal)
    x = start(noise(), schedule, mean, std**2)
    if request.sampler == "ancestral":
        return ancestral(denoise, x, schedule, noise, on_step)
    times = times_even_in_log_snr(schedule, request.steps)
    return dpm_solver_pp_2m(denoise, x, schedule, times, on_step, noise if request.sampler == "dpm++2m-sde" else None)


def _through_quality_control(
    request: DrawRequest, model: Model, number: int, mv: NDArray[np.float64], r_times: NDArray[np.float64] | None, checked: bool
) -> Drawn:
    """checked: by the rules too, not by the canonical form alone."""
    conditions: dict[str, object] = {"rhythm": request.rhythm}
    if r_times is not None:
        conditions["r_times"] = [round(float(time), 3) for time in r_times if 0 <= time < SECONDS]
    try:
        if checked:
            rules.refuse_plateaus(mv)
        counts = canonical_from_stored(mv)
    except Refused as refused:
        return Drawn(number, None, refused.reason, conditions)
    rejected = rules.check(counts, request.rhythm, model.reference) if checked else None
    return Drawn(number, counts if rejected is None else None, rejected, conditions)


@dataclass(frozen=True)
class _Sources:
    """A source of randomness for each thing that is drawn: a chosen heart rate leaves the noise as it was."""

    rhythm: np.random.Generator
    strip: np.random.Generator
    beat: np.random.Generator
    variation: np.random.Generator


def _sources(request: DrawRequest, number: int) -> _Sources:
    seeds = np.random.SeedSequence([request.seed, RHYTHMS.index(request.rhythm), number]).spawn(4)
    return _Sources(*map(np.random.default_rng, seeds))


def _placed(rows: list[NDArray[np.float32]], places: list[int], size: int, model: Model) -> Tensor:
    placed = torch.zeros(size, *rows[0].shape)
    placed[places] = torch.from_numpy(np.stack(rows))
    return placed.to(model.device)
