"""Commands on checkpoints: convert a published one, measure how fast strips are drawn."""

from __future__ import annotations

import argparse
from typing import Any

from generator.cores import cores
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
