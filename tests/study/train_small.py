"""`blindstrip` with tiny networks to train, that save themselves all the time: a process for tests to kill."""

from __future__ import annotations

import sys

from generator.sssd import train
from study import cli, training_report
from tests.generator import tiny_training

SETTINGS = tiny_training.small(save_seconds=0.01)

if __name__ == "__main__":
    train.Settings = lambda: SETTINGS  # type: ignore[assignment,misc]
    training_report.MEASURED = training_report.SHOWN
    sys.exit(cli.main())
