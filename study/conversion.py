"""A published checkpoint becomes one of ours: converted, its first strips drawn and looked at, and all of it written down beside the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.leads import STORED
from generator.plausible import Plausibility, check
from generator.request import RHYTHMS, DrawRequest, checkpoint_sha256
from generator.strip import SAMPLES, Counts
from study.conversion_page import page

if TYPE_CHECKING:
    from generator.sssd.config import Config
    from generator.sssd.published import Stated

PAGE, CARD = "first_strips.html", "MODEL_CARD.md"
STRIPS = 4  # first strips of each rhythm: with fewer the check says less

Progress = Callable[[float, float, str], None]  # done, total, what is being done


@dataclass(frozen=True)
class Converted:
    """What became of a checkpoint."""

    out: Path  # config.json, model.safetensors, first_strips.html, MODEL_CARD.md
    sha256: str
    config: Config
    plausibility: Plausibility
    rejected: Counter[str]  # of the first strips, by reason
    parameters: int


def convert(
    file: Path,
    config_file: Path,
    out: Path,
    stated: Stated,
    *,
    strips: int = STRIPS,
    steps: int = 20,
    seed: int = 1,
    threads: int = 1,
    progress: Progress = lambda done, total, doing: None,
) -> Converted:
    """Convert a checkpoint of the published code into the folder `out`, and look at its first strips.

    strips: of each rhythm. Implausible leads do not keep it from being written: they are told in its configuration, on its page and to whoever
    chooses it. GeneratorError for files that cannot be read, or that what is stated does not fit; then nothing is written.
    """
    import torch

    from generator.sssd import checkpoint, draw, published
    from generator.sssd.evaluator import Evaluator

    network, config = published.read(file, config_file, stated)
    taps = checkpoint.all_taps(network, lambda done, layers: progress(done, layers, "Kernels"))
    cpu = torch.device("cpu")
    model = checkpoint.Model(Evaluator(network, cpu, taps=taps), config, "", cpu)
    total = strips * len(RHYTHMS)
    drawn = [
        sample
        for place, rhythm in enumerate(RHYTHMS)
        for sample in draw.draw(
            DrawRequest(rhythm, strips, seed, steps=steps),
            checkpoint=model,
            threads=threads,
            quality_control=False,  # what to look at is the network as it is; by random weights nothing would be left
            progress=lambda done, _, before=place * strips: progress(before + done, total, "First strips"),  # type: ignore[misc]
        )
    ]
    rejected = Counter(sample.rejected for sample in drawn if sample.rejected is not None)
    shown = [(f"{sample.conditions['rhythm']}, seed {seed}, number {sample.number}", sample.counts) for sample in drawn if sample.counts is not None]
    found = check(np.array([counts for _, counts in shown]).reshape(-1, len(STORED), SAMPLES), stated.leads)
    config = replace(config, trained={**config.trained, "check": found.as_dict() | {"rejected": dict(rejected)}})
    checkpoint.save(out, network, config, taps=taps)
    done = Converted(out, checkpoint_sha256(out), config, found, rejected, sum(parameter.numel() for parameter in network.parameters()))
    _write_down(done, file, shown)
    return done


def _write_down(done: Converted, file: Path, shown: list[tuple[str, Counts]]) -> None:
    facts = _facts(done)
    (done.out / PAGE).write_text(page(f"First strips of {file.name}", facts, done.plausibility, shown), encoding="utf-8")
    (done.out / CARD).write_text(_card(file.name, facts, done.plausibility), encoding="utf-8")


def _facts(done: Converted) -> dict[str, str]:
    config = done.config
    source: Any = config.trained["converted_from"]
    labels = {rhythm: ", ".join(map(str, places)) for rhythm, places in config.labels.items()}
    return {
        "Converted from": f"{source['file']} with {source['config']}",
        "SHA-256 of that file": source["sha256"],
        "SHA-256 of this checkpoint": done.sha256,
        "Network": f"{config.network.num_res_layers} blocks of {config.network.res_channels} channels, {done.parameters:,} parameters",
        "Steps": f"{config.schedule.T}, beta {config.schedule.beta_0:g} to {config.schedule.beta_T:g}",
        "Kernel form (stated)": config.network.kernel_form,
        "Lead order (stated)": ", ".join(config.leads),
        "Units (stated)": config.units,
        "Label positions": "; ".join(f"{rhythm}: {places}" for rhythm, places in labels.items()) + f" of {config.network.label_embed_classes}",
        "First strips rejected": ", ".join(f"{reason}: {number}" for reason, number in done.rejected.items()) or "none",
    }


def _card(name: str, facts: Mapping[str, str], found: Plausibility) -> str:
    good, bad = "Its first strips show plausible leads.", "**Its first strips do not show plausible leads: not for a study as it is.**"
    verdict = good if found.plausible else bad
    lines = [
        f"# {name}, converted",
        "",
        f"A checkpoint of the published SSSD-ECG code, converted by blindstrip. {verdict} [{PAGE}]({PAGE}) shows them on ECG paper.",
        "",
        "The data it was trained on, its licence and its purpose are those of its authors: write them here before you pass it on.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {fact} | {value} |" for fact, value in facts.items()),
        "",
        "## What was looked at",
        "",
        *(f"- {'passed' if finding.passed else '**failed**'}: {finding.sentence}" for finding in found.findings),
    ]
    return "\n".join(lines) + "\n"
