"""`blindstrip` with tiny networks to train, that save themselves all the time: a process for tests to kill."""

from __future__ import annotations

import dataclasses
import sys

from generator.sssd import train
from study import cli, training_report
from tests.generator import tiny_training

SETTINGS = tiny_training.small(save_seconds=0.01)


def settings(*, only_strips: bool = False) -> train.Settings:
    """In the place of train.Settings."""
    return dataclasses.replace(SETTINGS, only_strips=only_strips)


if __name__ == "__main__":
    train.Settings = settings  # type: ignore[assignment,misc]
    training_report.MEASURED = training_report.SHOWN
    sys.exit(cli.main())
