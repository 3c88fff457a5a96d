"""Training: recordings in, a checkpoint folder out, in a given number of minutes.

`out/` holds config.json and model.safetensors (averaged weights, ready to draw), loss.jsonl, and training.pt, from which a killed training goes on
as if it had not been killed. All files are replaced whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from generator import recordings
from generator.errors import GeneratorError
from generator.leads import STORED
from generator.request import RHYTHMS, checkpoint_sha256
from generator.sssd import checkpoint
from generator.sssd.config import Config, NetworkConfig, read_config
from generator.sssd.network import Network
from generator.sssd.rhythm import TRACK_CHANNELS, RRModel, fit, track
from generator.sssd.schedule import Schedule
from generator.sssd.training_set import HIGHEST, MIDDLE, TrainingSet, scale, shifted, stretched
from generator.strip import RATE, SAMPLES, SECONDS

Progress = Callable[[float, float], None]  # seconds trained, seconds to train


@dataclass(frozen=True)
class Settings:
    """How to train. Defaults: what two CPU cores can learn in an hour."""

    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(
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
            track_channels=TRACK_CHANNELS,
            beat_average=True,
            beat_pooling=True,
            strip_pooling=True,
            linear_filters=6,
        )
    )
    schedule: Schedule = field(default_factory=lambda: Schedule(kind="cosine", prediction="v", step_scale=1000.0))
    batch: int = 16  # strips, as many of each rhythm
    learning_rate: float = 1.5e-3  # at its highest; falls along a cosine over the given minutes
    warm_up: int = 100  # iterations
    weight_decay: float = 1e-4
    clip: float = 1.0  # gradient norm
    average: float = 0.999  # decay of the averaged weights
    drop_label: float = 0.1  # share of strips trained without rhythm: what classifier-free guidance compares with
    drop_track: float = 0.05  # share of strips trained without a rhythm track
    gain: float = 0.1  # SD of the log of a random gain, the same for all leads
    shift: int = 3  # samples, at most, that a strip is moved by, all leads alike
    stretch: float = 0.0  # SD of the log of a random stretch in time, beats and all; its cubic interpolation takes some of the highest band
    turn: float = 0.0  # degrees, SD of a random turn of the electrical axis in the frontal plane
    save_seconds: float = 60.0
    start: str | None = None  # SHA-256 of the checkpoint that was trained further


def train(
    records: Sequence[recordings.Candidate] | TrainingSet,
    out: Path,
    minutes: float,
    *,
    device: str = "auto",
    seed: int = 0,
    settings: Settings | None = None,
    start: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train for so many minutes (earlier runs into the same folder counted) and return `out`, a checkpoint folder.

    start: a checkpoint folder whose network is trained further, in place of one with random weights; its network and schedule are kept.
    device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" ... The learning rate falls to zero over the given minutes; a finished
    training that is given more goes on. GeneratorError: too few strips of a rhythm, or `out` holds a training with other data, settings or seed.
    """
    settings = settings or Settings()
    if start is not None:
        before = read_config(start)
        if (before.leads, before.units, before.labels) != (STORED, "standardised", _labels()):
            raise GeneratorError(
                f"{start}: other leads, units or labels than training has. Only a checkpoint that was trained here can be trained further."
            )
        settings = replace(settings, network=before.network, schedule=before.schedule, start=checkpoint_sha256(start))
    strips = records if isinstance(records, TrainingSet) else TrainingSet.from_candidates(records)
    at = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    run = _Run(strips, Path(out), settings, seed, at)
    if start is not None:
        run.begin_with(checkpoint.load_network(start))
    run.resume()
    run.until(minutes * 60, progress)
    return Path(out)


class _Run:
    """One training: its data, its state, and how the state is kept."""

    def __init__(self, strips: TrainingSet, out: Path, settings: Settings, seed: int, device: torch.device) -> None:
        self.out, self.settings, self.seed, self.device = out, settings, seed, device
        self.mean, self.std, keep = scale(strips.mv)
        self.refused = strips.refused + Counter({f"amplitude beyond {HIGHEST:.0f} standard deviations": int((~keep).sum())})
        self.data = ((strips.mv - self.mean[:, None]) / self.std[:, None])[keep]
        self.rhythm = strips.rhythm[keep]
        self.r_times = [times for times, kept in zip(strips.r_times, keep, strict=True) if kept]
        self.of_rhythm = {name: np.flatnonzero(self.rhythm == name) for name in RHYTHMS}
        for name, rows in self.of_rhythm.items():
            if len(rows) < 10:
                raise GeneratorError(
                    f"Only {len(rows)} strips of {name}: at least ten of each rhythm are needed. Add recordings or check the labels."
                )
        self.identity = hashlib.sha256(json.dumps([strips.fingerprint(), asdict(settings), seed]).encode()).hexdigest()

        self.network = Network(settings.network)
        self.network.initialise(seed)
        self.network.to(device).train()
        self.workers = (
            [self.network, *(_sharing_weights(self.network) for _ in range(torch.get_num_threads() - 1))] if device.type == "cpu" else [self.network]
        )
        self.averaged = Network(settings.network)
        self.averaged.load_state_dict(self.network.state_dict())
        self.averaged.to(device).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.choices = np.random.default_rng([seed, 1])
        self.noise = torch.Generator().manual_seed(seed)  # on the CPU, so that every device sees the same noise
        self.iteration, self.seconds = 0, 0.0
        self.clock = time.monotonic

    def begin_with(self, trained: Network) -> None:
        """Weights to train further."""
        self.network.load_state_dict(trained.state_dict())
        self.averaged.load_state_dict(trained.state_dict())

    def resume(self) -> None:
        """Go on from out/training.pt where there is one."""
        file = self.out / "training.pt"
        if not file.exists():
            return
        state = torch.load(file, map_location=self.device, weights_only=True)
        if state["identity"] != self.identity:
            raise GeneratorError(
                f"{file} is of a training with other recordings, settings or seed. Choose another folder, or delete it to begin anew."
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.choices.bit_generator.state = json.loads(state["choices"])
        self.noise.set_state(state["noise"].cpu())
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        log = self.out / "loss.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        _replace(log, "".join(line for line in lines if line.endswith("\n") and json.loads(line)["iteration"] <= self.iteration).encode())

    def until(self, end: float, progress: Progress | None) -> None:
        """Iterate until `end` seconds of training in all."""
        self.out.mkdir(parents=True, exist_ok=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(threads if len(self.workers) == 1 else 1)
        try:
            with ThreadPoolExecutor(len(self.workers)) as pool:
                self._until(end, progress, pool)
        finally:
            torch.set_num_threads(threads)

    def _until(self, end: float, progress: Progress | None, pool: ThreadPoolExecutor) -> None:
        losses: list[float] = []
        saved = logged = before = self.clock()
        with tqdm(
            total=round(end),
            initial=round(min(self.seconds, end)),
            desc="training",
            unit="s",
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} s{postfix}",
        ) as bar:
            while self.seconds < end:
                losses.append(self._iterate(self.seconds / end, pool))
                now = self.clock()
                self.seconds, before = self.seconds + now - before, now
                finished = self.seconds >= end
                if now - logged >= 10 or finished:
                    self._write_loss(losses)
                    bar.set_postfix_str(
                        f"iteration {self.iteration}, loss {np.mean(losses):.3f}, {max(end - self.seconds, 0) / 60:.0f} min left", refresh=False
                    )
                    bar.update(round(min(self.seconds, end)) - bar.n)
                    if progress is not None:
                        progress(min(self.seconds, end), end)
                    losses, logged = [], now
                if now - saved >= self.settings.save_seconds or finished:
                    self._save()
                    saved = now

    def _iterate(self, share: float, pool: ThreadPoolExecutor) -> float:
        s = self.settings
        rate = s.learning_rate * 0.5 * (1 + float(np.cos(np.pi * min(share, 1.0)))) * min(1.0, (self.iteration + 1) / s.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        x, labels, tracks = self._batch()
        t = self._times(len(x))
        alpha_sigma = torch.tensor([s.schedule.alpha_sigma(float(moment)) for moment in t], dtype=torch.float32)
        alpha, sigma = (alpha_sigma[:, i, None, None].to(self.device) for i in (0, 1))
        epsilon = torch.randn(x.shape, generator=self.noise).to(self.device)
        target = alpha * epsilon - sigma * x if s.schedule.prediction == "v" else epsilon
        steps = torch.tensor([s.schedule.network_step(float(moment)) for moment in t], dtype=torch.float32, device=self.device)
        value = self._gradients((alpha * x + sigma * epsilon, steps, labels, tracks), target, pool)
        if not np.isfinite(value):
            raise GeneratorError(
                f"The loss is {value} at iteration {self.iteration + 1}. Lower the learning rate; the last good state is in {self.out}."
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), s.clip)
        self.optimiser.step()
        self.iteration += 1
        self._average(min(s.average, self.iteration / (self.iteration + 10)))
        return value

    def _gradients(self, inputs: tuple[Tensor, ...], target: Tensor, pool: ThreadPoolExecutor) -> float:
        """Mean squared error of a batch; its gradient in the network.

        On a CPU each worker takes every n-th strip on one thread of its own and they meet once an iteration: threads that meet in every
        operation stall when other work wants the cores too (20 times slower was seen).
        """
        n = len(self.workers)

        def part(i: int) -> float:
            worker = self.workers[i]
            worker.zero_grad(set_to_none=True)
            loss = (worker(*(value[i::n] for value in inputs)) - target[i::n]).square().sum() / target.numel()
            loss.backward()
            return float(loss.detach())

        value = sum(pool.map(part, range(n)))
        for worker in self.workers[1:]:
            for mine, theirs in zip(self.network.parameters(), worker.parameters(), strict=True):
                if mine.grad is not None and theirs.grad is not None:
                    mine.grad += theirs.grad
        return value

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Standardised strips (batch, 8, 1000), labels (batch, classes), rhythm tracks (batch, TRACK_CHANNELS, 1000)."""
        s, each = self.settings, self.settings.batch // len(RHYTHMS)
        rows = np.concatenate([self.choices.choice(self.of_rhythm[name], each) for name in RHYTHMS])
        x = np.empty((len(rows), len(STORED), SAMPLES), dtype=np.float32)
        tracks = np.zeros((len(rows), TRACK_CHANNELS, SAMPLES), dtype=np.float32)
        labels = np.zeros((len(rows), len(RHYTHMS)), dtype=np.float32)
        for i, row in enumerate(rows):
            shift = int(self.choices.integers(-s.shift, s.shift + 1))
            gain = np.exp(s.gain * self.choices.normal())
            stretch = float(np.exp(s.stretch * self.choices.normal()))
            turned = self.turn(s.turn * self.choices.normal()) @ self.data[row]
            x[i] = gain * shifted(stretched(turned.astype(np.float32), stretch) if s.stretch else turned.astype(np.float32), shift)
            if self.choices.uniform() >= s.drop_track:
                r_times = MIDDLE + stretch * (self.r_times[row] - MIDDLE) + shift / RATE
                tracks[i] = track(r_times[(r_times >= 0) & (r_times < SECONDS)])
            if self.choices.uniform() >= s.drop_label:
                labels[i, RHYTHMS.index(self.rhythm[row])] = 1
        return torch.from_numpy(x).to(self.device), torch.from_numpy(labels).to(self.device), torch.from_numpy(tracks).to(self.device)

    def turn(self, degrees: float) -> NDArray[np.float64]:
        """(8, 8) for standardised channels: the frontal plane turned (I to the left, 2 aVF / sqrt(3) down, Einthoven), chest leads kept."""
        plane = np.array([[1.0, 0.0], [-1 / np.sqrt(3), 2 / np.sqrt(3)]])  # of I and II
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = np.eye(len(STORED))
        turned[:2, :2] = np.linalg.inv(plane) @ np.array([[c, -s], [s, c]]) @ plane
        return turned * self.std[None, :] / self.std[:, None]

    def _times(self, count: int) -> NDArray[np.float64]:
        """Diffusion times spread evenly over a batch: less variance than independent ones."""
        return (self.choices.permutation(count) + self.choices.uniform(size=count)) / count

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        torch._foreach_lerp_(list(self.averaged.parameters()), [p.detach() for p in self.network.parameters()], 1 - decay)

    def _write_loss(self, losses: list[float]) -> None:
        line = {
            "seconds": round(self.seconds, 1),
            "iteration": self.iteration,
            "loss": round(float(np.mean(losses)), 5),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }
        with (self.out / "loss.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _save(self) -> None:
        state = {
            "identity": self.identity,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "choices": json.dumps(self.choices.bit_generator.state),
            "noise": self.noise.get_state(),
            "iteration": self.iteration,
            "seconds": self.seconds,
        }
        part = self.out / "training.pt.part"
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.out / "training.pt")
        checkpoint.save(self.out, self.averaged, self._config())

    def _config(self) -> Config:
        return Config(
            network=self.settings.network,
            schedule=self.settings.schedule,
            labels=_labels(),
            leads=STORED,
            units="standardised",
            mean_mv=tuple(round(float(v), 6) for v in self.mean),
            std_mv=tuple(round(float(v), 6) for v in self.std),
            channel_mean=(0.0,) * len(STORED),
            channel_std=(1.0,) * len(STORED),
            unconditional=self.settings.drop_label > 0,
            rr=self._rr_models(),
            trained={
                "strips": {name: len(rows) for name, rows in self.of_rhythm.items()},
                "refused": dict(+self.refused),
                "seconds": round(self.seconds, 1),
                "iterations": self.iteration,
                **({"trained_further": self.settings.start} if self.settings.start else {}),
                "batch": self.settings.batch,
                "seed": self.seed,
                "device": torch.cuda.get_device_name(self.device)
                if self.device.type == "cuda"
                else f"{platform.machine()} CPU, {len(self.workers)} threads",
                "torch": torch.__version__,
            },
        )

    def _rr_models(self) -> dict[str, RRModel]:
        return {name: fit([self.r_times[row] for row in rows], breathes=name == "NSR") for name, rows in self.of_rhythm.items()}


def _labels() -> dict[str, tuple[int, ...]]:
    return {name: (place,) for place, name in enumerate(RHYTHMS)}


def _sharing_weights(network: Network) -> Network:
    """Another network over the same weights, with gradients of its own."""
    other = Network(network.config)
    other.load_state_dict(network.state_dict())
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        theirs.data = mine.data
    return other.train()


def _replace(file: Path, content: bytes) -> None:
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    part.replace(file)
