"""Commands on checkpoints: convert a published one; and the measurements of speed."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generator.cores import cores
from study.commands import types
from study.commands.common import check_device, own_folder
from study.errors import StudyError
from study.progress_bar import ProgressBar, say


def convert(given: argparse.Namespace) -> dict[str, Any]:
    from generator.sssd.published import Stated
    from study import conversion

    labels = {"NSR": given.nsr_labels, "AF": given.af_labels}
    if (labels["NSR"] is None) != (labels["AF"] is None):
        raise StudyError("State --nsr-labels and --af-labels together, or neither where the checkpoint has one of the published label sets.")
    stated = Stated(given.kernel, given.lead_order, given.units, given.lead_offsets, given.lead_scales, labels if labels["NSR"] else None)
    if any(own_folder(given.out).iterdir()):
        raise StudyError(f"{given.out} holds files already. Name an empty folder, or a new one, with --out.")
    with ProgressBar("") as bar:
        done = conversion.convert(
            given.checkpoint, given.config, given.out, stated, strips=given.strips, seed=given.seed, threads=cores(), progress=bar
        )
    for finding in done.plausibility.findings:
        say(f"{'passed' if finding.passed else 'FAILED'}: {finding.sentence}")
    return {
        "out": str(done.out),
        "checkpoint": done.sha256,
        "parameters": done.parameters,
        "kernel": done.config.network.kernel_form,
        "lead_order": list(done.config.leads),
        "units": done.config.units,
        "labels": {rhythm: list(places) for rhythm, places in done.config.labels.items()},
        "plausible": done.plausibility.plausible,
        "findings": [{"name": one.name, "passed": one.passed, "sentence": one.sentence} for one in done.plausibility.findings],
        "rejected": dict(done.rejected),
        "first_strips": str(done.out / conversion.PAGE),
    }


def bench_sampling(given: argparse.Namespace) -> dict[str, Any]:
    from generator.sssd import bench

    check_device(given.device)
    return bench.sampling(given.networks, steps=given.steps, device=given.device, say=say)


def page_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("--clicks", type=types.whole(5), default=40, help="strips read alone, and again beside the readers (default: 40)")
    one.add_argument("--readers", type=types.whole(0), default=20, help="simulated readers at work beside (default: 20)")


def bench_page(given: argparse.Namespace) -> dict[str, Any]:
    """Runs tests/benchmarks/page.py of the clone that blindstrip was installed from, in a process of its own: it drives a browser."""
    if find_spec("playwright") is None:
        raise StudyError(_NO_CLONE.format("page"))
    doing = f"Reading {given.clicks} strips alone and as many beside {given.readers} readers; takes two minutes"
    found = _in_clone("page", doing, "--clicks", str(given.clicks), "--readers", str(given.readers))
    return found | {"server, by arm": _in_clone("arms", "Answering 200 strips of each arm, to compare the server's times; takes a minute or two")}


def bench_agreement(_given: argparse.Namespace) -> dict[str, Any]:
    """Runs tests/benchmarks/agreement.py, in a process of its own: it measures memory."""
    return _in_clone("agreement", "12 readers of 200 cases, then 200 readers of 5,000 cases; takes a minute")


def bench_features(_given: argparse.Namespace) -> dict[str, Any]:
    """Runs tests/benchmarks/features.py."""
    return _in_clone("features", "Measuring 1,000 strips, in one process and in two; takes half a minute")


_NO_CLONE = "bench {} needs blindstrip's clone and the libraries of its tests. Run `make test` there once, then this again."


def _in_clone(name: str, doing: str, *arguments: str) -> dict[str, Any]:
    """The JSON answer of tests/benchmarks/NAME.py."""
    root = Path(__file__).parents[2]
    if not (root / "tests" / "benchmarks" / f"{name}.py").is_file():
        raise StudyError(_NO_CLONE.format(name))
    say(doing)
    done = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise StudyError(f"The measurement did not come to its end. Its last words: {(done.stderr.strip().splitlines() or ['none'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
