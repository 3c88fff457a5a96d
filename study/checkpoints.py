"""The checkpoints that somebody can draw with, and what screens tell of them. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from generator.request import TRAINING_BEATS, checkpoint_sha256, shipped_checkpoint
from generator.sssd.config import Config, read_config
from storage import jobs
from storage.database import Database
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand
from study.settings import HOME, Settings

SHIPPED = shipped_checkpoint()
_FOLDER = f"{HOME}/checkpoints"  # where they are looked for


@dataclass(frozen=True)
class About:
    """What a checkpoint is, and what can be asked of it."""

    rhythms: tuple[str, ...]
    blocks: int
    channels: int
    heart_rate: bool  # can be chosen
    guidance: bool  # can be chosen
    steps: int  # of the ancestral sampler
    leads: tuple[str, ...]
    units: str
    converted: bool  # from a published checkpoint
    implausible: bool  # its leads, said the check at its conversion
    copies: bool  # of training strips are looked for: it carries what they are told by


def default() -> Path:
    """The folder that is drawn with where nobody names one: that of BLINDSTRIP_CHECKPOINT, else the one that ships."""
    return Settings.from_environment().checkpoint or SHIPPED


def known(db: Database, person: Person) -> list[Path]:
    """The default one, the one that ships, those in ~/.local/share/blindstrip/checkpoints, and those that this person drew with: each once.

    Raises NotAllowed.
    """
    demand(person, Action.DRAW_STRIPS)
    with db.read() as session:
        drawn = [job.asked.get("checkpoint") for job in jobs.of_person(session, person.id, kind="draw", limit=50)]
    used = [Path(folder) for folder in drawn if folder and (Path(folder) / "config.json").is_file()]
    return list(dict.fromkeys([*folders(), *used]))


def folders() -> list[Path]:
    """The default one, the one that ships, those in ~/.local/share/blindstrip/checkpoints: each once."""
    home = Path(_FOLDER).expanduser()
    there = sorted(config.parent for config in home.glob("*/config.json")) if home.is_dir() else []
    return list(dict.fromkeys([default(), SHIPPED, *there]))


def read(folder: Path) -> Config:
    """Its configuration. Raises GeneratorError or StudyError where the folder is no checkpoint, cannot be read, or is not named from the root on."""
    if not folder.is_absolute():
        raise StudyError(f"Checkpoint folder {str(folder)!r}: name it from the root on, as the server and its workers see it.")
    try:
        config = read_config(folder)
        weights = (folder / "model.safetensors").is_file()
    except OSError as error:
        raise StudyError(f"Checkpoint folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    if not weights:
        raise StudyError(f"{folder / 'model.safetensors'} does not exist. A checkpoint is a folder with config.json and model.safetensors.")
    return config


def about(folder: Path) -> About:
    """What to tell of it. Raises as `read` does."""
    config = read(folder)
    check: Any = config.trained.get("check")
    return About(
        rhythms=tuple(config.labels),
        blocks=config.network.num_res_layers,
        channels=config.network.res_channels,
        heart_rate=config.network.track_channels > 0,
        guidance=config.unconditional,
        steps=config.schedule.T,
        leads=config.leads,
        units=config.units,
        converted=bool(config.trained.get("converted_from")),
        implausible=isinstance(check, dict) and check.get("plausible") is False,
        copies=(folder / TRAINING_BEATS).is_file(),
    )


def sha256(folder: Path) -> str:
    """What provenance names it by; read again only when a file has changed, come or gone. Raises GeneratorError where one is missing."""
    files = [folder / name for name in ("config.json", "model.safetensors", TRAINING_BEATS)]
    return _sha256(folder, tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()))


@lru_cache(maxsize=32)
def _sha256(folder: Path, state: tuple[tuple[str, int, int], ...]) -> str:
    return checkpoint_sha256(folder)
