"""What is asked of the generator, in plain numbers: no torch here, so that screens can ask and a worker can draw."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from generator.errors import GeneratorError

# Fast second-order multistep ones, of the stochastic and of the ordinary equation; the published ancestral one, always over all of its steps.
SAMPLERS = ("dpm++2m-sde", "dpm++2m", "ancestral")
RHYTHMS = ("NSR", "AF")
MOST_STRIPS = 100_000
STEP_LIMITS = (4, 200)
HEART_RATE_LIMITS = (30, 200)
GPU_BATCH = 64  # strips that a GPU draws at a time; a CPU draws them singly

TRAINING_BEATS = "training_beats.safetensors"  # in a checkpoint's folder, where it has one: generator.copies

_PART = 1 << 20  # bytes read at a time: a published network has 500 MB


@dataclass(frozen=True)
class DrawRequest:
    """n strips of one rhythm. Strip i depends on the seed, i, the checkpoint and these settings only. GeneratorError where a value cannot be."""

    rhythm: str  # NSR or AF
    n: int  # strips
    seed: int  # 0 or more
    steps: int = 20  # network evaluations a strip; ancestral always takes its schedule's T
    sampler: str = SAMPLERS[0]
    guidance: float = 1.0  # 1: as trained; more exaggerates the rhythm (classifier-free guidance, about 1.6 times the work)
    heart_rate: float | None = None  # beats a minute; None: drawn from the rhythm's RR model

    def __post_init__(self) -> None:
        if self.rhythm not in RHYTHMS:
            raise GeneratorError(f"rhythm is {self.rhythm!r}. Choose one of {', '.join(RHYTHMS)}.")
        if not 1 <= self.n <= MOST_STRIPS:
            raise GeneratorError(f"n is {self.n}. Draw between 1 and {MOST_STRIPS} strips.")
        if self.seed < 0:
            raise GeneratorError(f"seed is {self.seed}. Choose 0 or more.")
        if self.sampler not in SAMPLERS:
            raise GeneratorError(f"sampler is {self.sampler!r}. Choose one of {', '.join(SAMPLERS)}.")
        if not STEP_LIMITS[0] <= self.steps <= STEP_LIMITS[1]:
            raise GeneratorError(f"steps is {self.steps}. Choose between {STEP_LIMITS[0]} and {STEP_LIMITS[1]}.")
        if not 0 <= self.guidance <= 10:
            raise GeneratorError(f"guidance is {self.guidance:g}. Choose between 0 and 10; 1 is none.")
        if self.heart_rate is not None and not HEART_RATE_LIMITS[0] <= self.heart_rate <= HEART_RATE_LIMITS[1]:
            raise GeneratorError(f"heart_rate is {self.heart_rate:g} beats/min. Choose between {HEART_RATE_LIMITS[0]} and {HEART_RATE_LIMITS[1]}.")

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DrawRequest:
        """The inverse of as_dict; GeneratorError for unknown or missing names."""
        known = {field.name for field in fields(cls)}
        unknown, missing = sorted(set(values) - known), sorted({"rhythm", "n", "seed"} - set(values))
        if unknown or missing:
            raise GeneratorError(f"A request to draw has unknown fields {unknown}, misses {missing}. Known: {', '.join(sorted(known))}.")
        return cls(**{**values, "sampler": "ancestral" if values.get("sampler") == "ddpm" else values.get("sampler", cls.sampler)})  # its name before


def shipped_checkpoint() -> Path:
    """The folder of the checkpoint that comes with blindstrip."""
    return Path(__file__).resolve().parent / "weights"


def checkpoint_sha256(path: Path | None = None) -> str:
    """SHA-256 over config.json and model.safetensors: what a strip's provenance names. GeneratorError where one is missing.

    training_beats.safetensors is in it where there is one: it decides which strips are accepted.
    """
    folder = shipped_checkpoint() if path is None else Path(path)
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors", *([TRAINING_BEATS] if (folder / TRAINING_BEATS).is_file() else [])):
        file = folder / name
        if not file.is_file():
            raise GeneratorError(f"{file} does not exist. A checkpoint is a folder with config.json and model.safetensors.")
        digest.update(f"{name} {file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while part := content.read(_PART):
                digest.update(part)
    return digest.hexdigest()
