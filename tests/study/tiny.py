"""Networks so small that they draw noise, quickly, for tests of everything around them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import select

from generator.leads import STORED
from generator.sssd.config import Config, NetworkConfig
from generator.sssd.schedule import Schedule
from storage import jobs
from storage.database import Database
from storage.jobs import JobRow
from storage.tables import Drawing, Rejection
from study import drawing
from study.drawing import Chunk

NETWORK = NetworkConfig(
    num_res_layers=1,
    res_channels=4,
    skip_channels=4,
    diffusion_step_embed_dim_in=4,
    diffusion_step_embed_dim_mid=4,
    diffusion_step_embed_dim_out=4,
    s4_d_state=4,
    label_embed_dim=4,
    label_embed_classes=2,
    fold=10,
)
DEADLY = 1  # the number at which `draw_chunk_and_die` dies


def write(folder: Path, schedule: Schedule | None = None, *, unconditional: bool = True, **trained: object) -> str:
    """Writes a checkpoint into a folder, and returns its path."""
    import torch

    from generator.sssd.checkpoint import save
    from generator.sssd.network import Network

    network = Network(NETWORK)
    network.initialise(seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.nn.init.normal_(network.last_2.weight, std=0.1)  # it begins at zero, and would draw the noise back
    zero, one, small = (0.0,) * 8, (1.0,) * 8, (0.2,) * 8
    labels = {"NSR": (0,), "AF": (1,)}
    config = Config(NETWORK, schedule or Schedule(), labels, STORED, "standardised", zero, small, zero, one, unconditional, {}, trained)
    save(folder, network, config)
    return str(folder)


def claimed(db: Database) -> JobRow:
    """The oldest queued job, as a runner takes it up."""
    with db.write() as session:
        row = jobs.claim(session)
    assert row
    return row


def numbers(db: Database) -> list[int]:
    """Of the samples that are stored, strips and rejections, each as often as it is there."""
    with db.read() as session:
        return sorted([*session.scalars(select(Drawing.number)), *session.scalars(select(Rejection.number))])


def dies(folder: str, times: int) -> None:
    """The worker that draws sample DEADLY with this checkpoint dies so often, once it has drawn it."""
    (Path(folder) / "lives").write_text(str(times))


def draw_chunk(request: dict[str, Any], first: int, count: int, checkpoint: str, stop: str) -> Chunk:
    """In place of study.drawing.draw_chunk, on the worker: without quality control, which passes no noise."""
    with patch("generator.quality_control.check", return_value=None):
        return drawing.draw_chunk(request, first, count, checkpoint, stop)


def draw_chunk_and_die(request: dict[str, Any], first: int, count: int, checkpoint: str, stop: str) -> Chunk:
    """Likewise."""
    chunk = draw_chunk(request, first, count, checkpoint, stop)
    lives = Path(checkpoint) / "lives"
    left = int(lives.read_text())
    if first <= DEADLY < first + count and left:
        lives.write_text(str(left - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk
