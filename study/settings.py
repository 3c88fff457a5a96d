"""The one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from study.errors import StudyError

HOME = "~/.local/share/blindstrip"

_VARIABLES = {
    "BLINDSTRIP_DATABASE": "database URL",
    "BLINDSTRIP_SCHEDULER": "address of a Dask scheduler",
    "BLINDSTRIP_CHECKPOINT": "folder of a checkpoint",
    "BLINDSTRIP_PHYSIONET": "address of a mirror of physionet.org/files",
}


@dataclass(frozen=True)
class Settings:
    database: str  # SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME
    scheduler: str | None = None  # Dask scheduler, tcp://HOST:PORT; None: one embedded in the runner
    checkpoint: Path | None = None  # folder with config.json and model.safetensors; None: the one that ships with blindstrip
    physionet: str | None = None  # where PhysioNet's collections lie, https://HOST/PATH; None: PhysioNet itself

    @classmethod
    def from_environment(cls, url: str | None = None, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings that the environment gives; `url` (from `--db`) goes before BLINDSTRIP_DATABASE.

        Raises StudyError for a BLINDSTRIP_... variable that means nothing (a typing error would otherwise open the wrong database) and for a
        checkpoint folder that does not exist.
        """
        environment = os.environ if environment is None else environment
        given = {name: value for name, value in environment.items() if name.startswith("BLINDSTRIP_") and value}
        unknown = sorted(name for name in given if name not in _VARIABLES and not name.startswith("BLINDSTRIP_TESTS_"))
        if unknown:
            known = ", ".join(f"{name} ({meaning})" for name, meaning in _VARIABLES.items())
            raise StudyError(f"Environment variable {unknown[0]} means nothing to blindstrip. Unset it, or use one of {known}.")
        checkpoint = Path(given["BLINDSTRIP_CHECKPOINT"]).expanduser().absolute() if "BLINDSTRIP_CHECKPOINT" in given else None
        if checkpoint is not None and not checkpoint.is_dir():
            raise StudyError(f"BLINDSTRIP_CHECKPOINT: {checkpoint} is no folder. Name one with config.json and model.safetensors, or unset it.")
        own_file = f"sqlite:///{Path(HOME).expanduser() / 'blindstrip.db'}"
        return cls(
            url or given.get("BLINDSTRIP_DATABASE") or own_file, given.get("BLINDSTRIP_SCHEDULER"), checkpoint, given.get("BLINDSTRIP_PHYSIONET")
        )
