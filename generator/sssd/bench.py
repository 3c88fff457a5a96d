"""How fast strips are drawn here, beside the published way: `blindstrip bench sampling`.

Every measurement has a process of its own, so that its peak memory is its own. The baseline computes what the published code computes
without its CUDA extensions, as it computes it: the kernels of all S4 layers anew at every step, 200 steps a strip, one strip at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from generator.cores import cores
from generator.errors import GeneratorError
from generator.leads import STORED
from generator.request import GPU_BATCH, DrawRequest, shipped_checkpoint
from generator.sssd import checkpoint, draw
from generator.sssd.config import Config, NetworkConfig
from generator.sssd.network import Network
from generator.sssd.published import LABEL_SETS
from generator.sssd.s4 import S4
from generator.sssd.schedule import Schedule

NETWORKS = ("default", "36x256")  # the shipped checkpoint; the published size, with random weights: speed does not depend on their values
PUBLISHED_STEPS = 200
PUBLISHED_EVALUATIONS = 2  # timed of them; each is like the other
STRIPS = {"cpu": 4, "cuda": GPU_BATCH}  # drawn by each thread where that takes little time
SECONDS_ENOUGH = 8.0  # a thread that has drawn for so long need not draw more

Say = Callable[[str], None]


def sampling(names: Sequence[str] = NETWORKS, *, steps: int = 20, device: str = "auto", say: Say = lambda words: None) -> dict[str, dict[str, Any]]:
    """For each network: seconds_per_strip (by the faster number of threads), steps, device, parameters, peak_memory_mb, ratio_to_published and more.

    steps: of dpm++2m. peak_memory_mb: of the whole process on a CPU, of what PyTorch holds on a GPU. Minutes for 36x256.
    """
    answer = {}
    for name in names:
        if name not in NETWORKS:
            raise GeneratorError(f"There is no network {name!r} to time. Choose of {', '.join(NETWORKS)}.")
        with tempfile.TemporaryDirectory(prefix="blindstrip-bench-") as scratch:
            folder = shipped_checkpoint()
            if name != "default":
                folder = Path(scratch) / "checkpoint"
                say(f"{name}: making a network with random weights")
                _in_a_process("make", str(folder))
            say(f"{name}: drawing")
            drawn = _in_a_process("draw", str(folder), str(steps), device)
            say(f"{name}: the published way, {PUBLISHED_EVALUATIONS} of {PUBLISHED_STEPS} steps")
            published = _in_a_process("published", str(folder))
        each = published["seconds_per_evaluation"]
        answer[name] = {
            **drawn,
            "ratio_to_published": round(each * PUBLISHED_STEPS / drawn["seconds_per_strip"], 1),
            "published_seconds_per_evaluation": round(each, 4),
            "published_evaluations_timed": PUBLISHED_EVALUATIONS,
        }
    return answer


def published_kernels(layer: S4) -> Tensor:
    """(directions, features, length): the kernels without conjugates as the published fallback gets them, in single precision.

    Each of six sums over the poles (B and P with C, C of the other direction, and Q) divides anew: a complex array of
    2 x 3 x features x poles x frequencies, 394 MB for the published network's layers.
    """
    w, P, Q, B = (torch.view_as_complex(part.contiguous()) for part in (layer.w, layer.P, layer.Q, layer.B))
    C, dt = torch.view_as_complex(layer.C.detach().contiguous()), layer.log_dt.exp()
    omega = torch.exp(torch.tensor(-2j * torch.pi / layer.length)) ** torch.arange(layer.length // 2 + 1)
    z = 2 * (1 - omega) / (1 + omega)
    products = torch.stack([B, P])[:, None] * torch.cat([C, Q[None]])[None]  # (2, directions + 1, features, poles)
    sums = (products[..., None] / (z - (w * dt[:, None])[..., None])).sum(dim=-2) * dt[:, None]
    transform = sums[0, :-1] - sums[0, -1:] * sums[1, :-1] / (1 + sums[1, -1])  # Woodbury, rank one
    return torch.fft.irfft(transform * 2 / (1 + omega), n=layer.length)


# ---- in a process of its own ----


def _in_a_process(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "generator.sssd.bench", *arguments]
    rooms = str(Path(__file__).resolve().parents[2])  # from a checkout that was not installed, too
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([rooms, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}, most likely for want of memory"])[-1]
        raise GeneratorError(f"The measurement ended early: {reason}. Close other programs and try again.")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _make(folder: str) -> dict[str, Any]:
    """A checkpoint of the published size as `convert` writes it."""
    network = Network(NetworkConfig())
    network.initialise(seed=0, exactly=False)
    torch.nn.init.normal_(network.last_2.weight, std=0.01)
    network.eval().requires_grad_(False)
    zero, one = (0.0,) * len(STORED), (1.0,) * len(STORED)
    config = Config(network.config, Schedule(), LABEL_SETS[71], STORED, "standardised", zero, one, zero, one, False, {}, {})
    checkpoint.save(Path(folder), network, config, taps=checkpoint.all_taps(network))
    return {}


def _draw(folder: str, steps: str, device: str) -> dict[str, Any]:
    begun = time.perf_counter()
    model = checkpoint.load(Path(folder), ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    loaded = time.perf_counter() - begun
    by_threads = {
        threads: _seconds_per_strip(model, int(steps), threads) for threads in ({1, min(cores(), 2)} if model.device.type == "cpu" else {1})
    }
    threads = min(by_threads, key=lambda number: by_threads[number])
    peak = round(_peak_memory_mb(model.device))  # before the network is read again
    network = checkpoint.load_network(Path(folder))
    return {
        "seconds_per_strip": round(by_threads[threads], 4),
        "steps": int(steps),
        "device": str(draw.provenance(DrawRequest("NSR", 1, 0), model)["device"]),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "peak_memory_mb": peak,
        "threads": threads,
        "seconds_per_strip_by_threads": {str(number): round(seconds, 4) for number, seconds in sorted(by_threads.items())},
        "load_seconds": round(loaded, 2),
    }


def _seconds_per_strip(model: checkpoint.Model, steps: int, threads: int) -> float:
    """After one strip that is not counted where strips are fast: it pays for plans and buffers."""
    at_once = threads if model.device.type == "cpu" else STRIPS["cuda"]
    begun = time.perf_counter()
    draw.draw(DrawRequest("NSR", at_once, 1, steps=4), checkpoint=model, threads=threads, quality_control=False)
    rounds = max(1, min(STRIPS["cpu"], int(SECONDS_ENOUGH / ((time.perf_counter() - begun) * steps / 4))))
    n, begun = at_once * rounds, time.perf_counter()
    draw.draw(DrawRequest("NSR", n, 2, steps=steps), checkpoint=model, threads=threads, quality_control=False)
    return (time.perf_counter() - begun) / n


def _published(folder: str) -> dict[str, Any]:
    network = checkpoint.load_network(Path(folder))
    layers = [module for module in network.modules() if isinstance(module, S4)]
    x, step, labels = torch.randn(1, len(STORED), 1000), torch.tensor([100.0]), torch.zeros(1, network.config.label_embed_classes)
    with torch.inference_mode():
        network(x, step, labels)  # not counted
        begun = time.perf_counter()
        for _ in range(PUBLISHED_EVALUATIONS):
            for layer in layers:
                layer.use_kernels(published_kernels(layer))
            network(x, step, labels)
    return {"seconds_per_evaluation": (time.perf_counter() - begun) / PUBLISHED_EVALUATIONS}


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


_PARTS: dict[str, Callable[..., dict[str, Any]]] = {"make": _make, "draw": _draw, "published": _published}

if __name__ == "__main__":
    print(json.dumps(_PARTS[sys.argv[1]](*sys.argv[2:])))
