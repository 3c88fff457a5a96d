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
from torch import Tensor

from generator.errors import Cancelled, GeneratorError, Refused
from generator.leads import STORED, limb_weights
from generator.request import GPU_BATCH, RHYTHMS, DrawRequest, checkpoint_sha256, shipped_checkpoint
from generator.sssd import checkpoint as checkpoints
from generator.sssd.checkpoint import Model
from generator.sssd.config import check_request
from generator.sssd.evaluator import one_thread
from generator.sssd.rhythm import track
from generator.sssd.samplers import ancestral, denoiser, dpm_solver_pp_2m, start, times_even_in_log_snr
from generator.strip import SAMPLES, Counts, canonical_from_stored

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
) -> list[Drawn]:
    """Samples first .. first + count - 1 of a request (default: all), through the canonical form.

    checkpoint: a folder or a loaded Model, default the shipped one. device: "auto" takes a GPU where there is one; strips repeat on the same
    kind of device. threads: batches drawn side by side, each by one thread (one on a GPU); it changes no strip. progress and cancelled are
    called after every network evaluation; Cancelled is raised when the latter says so. GeneratorError where the checkpoint cannot do what is asked.
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
        return _draw_batch(request, model, numbers, size, lambda done, steps: telling(numbers, done / steps))

    with one_thread():
        if threads <= 1 or model.device.type != "cpu":
            return [drawn for numbers in batches for drawn in one_batch(numbers)]
        return _side_by_side(one_batch, batches, threads, telling)


def load(path: Path | None = None, device: str = "auto") -> Model:
    """A checkpoint folder in memory (default: the shipped one), kept from call to call while its files stay the same."""
    folder = shipped_checkpoint() if path is None else Path(path)
    at = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return _load(folder.resolve(), checkpoint_sha256(folder), at)


def provenance(request: DrawRequest, model: Model) -> dict[str, object]:
    """What is stored with drawn strips, and draws them again."""
    return {
        **request.as_dict(),
        "steps": model.config.schedule.T if request.sampler == "ancestral" else request.steps,
        "checkpoint": model.sha256,
        "device": _device_name(model),
        "torch": torch.__version__,
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


def _draw_batch(request: DrawRequest, model: Model, numbers: range, size: int, on_step: Callable[[int, int], None]) -> list[Drawn]:
    places = [number % size for number in numbers]
    sources = [_generators(request, number) for number in numbers]
    config = model.config
    r_times = [config.rr[request.rhythm].draw(rhythm, request.heart_rate) if config.network.track_channels else None for rhythm, _ in sources]
    tracks = _placed([track(times) for times in r_times if times is not None], places, size, model) if config.network.track_channels else None
    labels = torch.zeros(size, config.network.label_embed_classes, device=model.device)
    labels[:, list(config.labels[request.rhythm])] = 1

    def noise() -> Tensor:
        return _placed([source.standard_normal((len(STORED), SAMPLES), dtype=np.float32) for _, source in sources], places, size, model)

    with torch.inference_mode():
        output = model.evaluator.conditioned(labels, tracks)
        without = model.evaluator.conditioned(torch.zeros_like(labels), tracks) if request.guidance != 1.0 else None
        denoise = denoiser(output, config.schedule, unconditional=without, guidance=request.guidance)
        mean, std = (torch.tensor(values, device=model.device)[:, None] for values in (config.channel_mean, config.channel_std))
        x = start(noise(), config.schedule, mean, std**2)
        if request.sampler == "ancestral":
            x = ancestral(denoise, x, config.schedule, noise, on_step)
        else:
            x = dpm_solver_pp_2m(denoise, x, config.schedule, times_even_in_log_snr(config.schedule, request.steps), on_step)
        channels = x.double().cpu().numpy()[places]
    mv = limb_weights(config.leads) @ (channels * np.array(config.std_mv)[:, None] + np.array(config.mean_mv)[:, None])
    return [_through_quality_control(request, number, strip, times) for number, strip, times in zip(numbers, mv, r_times, strict=True)]


def _through_quality_control(request: DrawRequest, number: int, mv: NDArray[np.float64], r_times: NDArray[np.float64] | None) -> Drawn:
    conditions: dict[str, object] = {"rhythm": request.rhythm}
    if r_times is not None:
        conditions["r_times"] = [round(float(time), 3) for time in r_times]
    try:
        return Drawn(number, canonical_from_stored(mv), None, conditions)
    except Refused as refused:
        return Drawn(number, None, refused.reason, conditions)


def _generators(request: DrawRequest, number: int) -> tuple[np.random.Generator, np.random.Generator]:
    """One source for the rhythm and one for the noise: a chosen heart rate leaves the noise as it was."""
    seeds = np.random.SeedSequence([request.seed, RHYTHMS.index(request.rhythm), number]).spawn(2)
    return np.random.default_rng(seeds[0]), np.random.default_rng(seeds[1])


def _placed(rows: list[NDArray[np.float32]], places: list[int], size: int, model: Model) -> Tensor:
    placed = torch.zeros(size, *rows[0].shape)
    placed[places] = torch.from_numpy(np.stack(rows))
    return placed.to(model.device)
