"""Strips depend on seed, settings and checkpoint only; the shipped checkpoint draws heartbeats where it was asked to."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.beats import r_peaks
from generator.errors import Cancelled, GeneratorError
from generator.leads import LEADS, STORED, twelve_leads
from generator.request import DrawRequest, checkpoint_sha256, shipped_checkpoint
from generator.sssd import checkpoint, draw
from generator.sssd.config import Config, NetworkConfig
from generator.sssd.network import Network
from generator.sssd.rhythm import RRModel
from generator.sssd.schedule import Schedule
from generator.strip import Counts

NETWORK = NetworkConfig(
    num_res_layers=1,
    res_channels=8,
    skip_channels=8,
    diffusion_step_embed_dim_in=8,
    diffusion_step_embed_dim_mid=16,
    diffusion_step_embed_dim_out=16,
    s4_d_state=4,
    label_embed_dim=4,
    label_embed_classes=2,
    fold=8,
    track_channels=7,
    beat_average=True,
)
CONFIG = Config(
    network=NETWORK,
    schedule=Schedule(kind="cosine", prediction="v", step_scale=1000.0, T=8),
    labels={"NSR": (0,), "AF": (1,)},
    leads=STORED,
    units="standardised",
    mean_mv=(0.0,) * 8,
    std_mv=(0.2,) * 8,
    channel_mean=(0.0,) * 8,
    channel_std=(1.0,) * 8,
    unconditional=True,
    rr={"NSR": RRModel(-0.16, 0.1, -4.6, 0.2, -4.0, 0.2), "AF": RRModel(-0.36, 0.2, -1.6, 0.2, -20.0, 0.0)},
    trained={},
)
REQUEST = DrawRequest(rhythm="AF", n=9, seed=7, steps=4)


@pytest.fixture(autouse=True)
def _no_quality_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights draw noise, which no rule passes: tests/generator/test_quality_control.py has tests of the rules."""
    monkeypatch.setattr("generator.quality_control.check", lambda *_: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = Network(NETWORK)
    network.initialise(seed=0)
    torch.nn.init.normal_(network.last_2.weight, std=0.1)
    path = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(path, network, CONFIG)
    return path


@pytest.mark.parametrize("sampler", ["dpm++2m-sde", "dpm++2m", "ancestral"])
def test_a_sample_is_the_same_in_any_batch(folder: Path, sampler: str) -> None:
    request = dataclasses.replace(REQUEST, sampler=sampler)
    whole = draw.draw(request, checkpoint=folder)
    assert [d.number for d in whole] == list(range(9))
    for first, count in ((0, 1), (3, 2), (6, 3)):
        for part in draw.draw(request, first=first, count=count, checkpoint=folder):
            assert np.array_equal(_counts(part), _counts(whole[part.number]))
    assert not np.array_equal(_counts(whole[0]), _counts(whole[1]))


def test_seed_and_rhythm_matter(folder: Path) -> None:
    one = draw.draw(REQUEST, count=1, checkpoint=folder)[0]
    again = draw.draw(REQUEST, count=1, checkpoint=folder)[0]
    assert np.array_equal(_counts(one), _counts(again))
    for other in (dataclasses.replace(REQUEST, seed=8), dataclasses.replace(REQUEST, rhythm="NSR")):
        assert not np.array_equal(_counts(one), _counts(draw.draw(other, count=1, checkpoint=folder)[0]))


def test_strips_are_canonical(folder: Path) -> None:
    for drawn in draw.draw(REQUEST, checkpoint=folder):
        assert drawn.counts is not None
        assert drawn.counts.dtype == np.int16
        assert drawn.counts.shape == (8, 1000)
        assert np.abs(np.median(drawn.counts, axis=1)).max() < 1


def test_refused_samples_are_returned_with_their_reason(folder: Path, tmp_path: Path) -> None:
    model = checkpoint.load(folder)
    loud = dataclasses.replace(model, config=dataclasses.replace(model.config, std_mv=(500.0,) * 8))
    drawn = draw.draw(REQUEST, count=2, checkpoint=loud)
    assert [d.counts for d in drawn] == [None, None]
    assert {d.rejected for d in drawn} == {"amplitude above 20 mV"}


def test_progress_and_cancel_are_asked_at_every_step(folder: Path) -> None:
    told: list[float] = []
    draw.draw(REQUEST, checkpoint=folder, progress=lambda done, _: told.append(done))
    assert len(told) == REQUEST.n * REQUEST.steps
    assert told == sorted(told)
    assert told[-1] == REQUEST.n
    with pytest.raises(Cancelled):
        draw.draw(REQUEST, checkpoint=folder, cancelled=lambda: True)


def test_strips_drawn_side_by_side_are_the_same_strips(folder: Path) -> None:
    told: list[float] = []
    side_by_side = draw.draw(REQUEST, checkpoint=folder, threads=3, progress=lambda done, _: told.append(done))
    for one, other in zip(side_by_side, draw.draw(REQUEST, checkpoint=folder), strict=True):
        assert one.number == other.number
        assert np.array_equal(_counts(one), _counts(other))
    assert told == sorted(told)
    assert told[-1] == REQUEST.n
    calls = iter([False] * 5 + [True] * 1000)
    with pytest.raises(Cancelled, match=r"stopped after \d of 9"):
        draw.draw(REQUEST, checkpoint=folder, threads=3, cancelled=lambda: next(calls))


def test_leads_are_put_in_order(folder: Path) -> None:
    model = checkpoint.load(folder)
    turned = dataclasses.replace(model, config=dataclasses.replace(model.config, leads=tuple(reversed(STORED))))
    straight, back = (_counts(draw.draw(REQUEST, count=1, checkpoint=m)[0]) for m in (model, turned))
    assert np.array_equal(straight, back[::-1])


@pytest.mark.parametrize("limb", [("I", "aVF"), ("II", "III"), ("aVR", "aVL")])
def test_any_two_limb_leads_give_the_others(folder: Path, limb: tuple[str, str]) -> None:
    """The same channels under other names: the strip that the network would have drawn had it been trained on those leads."""
    model = checkpoint.load(folder)
    renamed = dataclasses.replace(model, config=dataclasses.replace(model.config, leads=(*limb, *STORED[2:])))
    straight, other = (twelve_leads(_counts(draw.draw(REQUEST, count=1, checkpoint=m)[0])) for m in (model, renamed))
    for drawn_as, named in zip(("I", "II"), limb, strict=True):
        difference = straight[LEADS.index(drawn_as)] - other[LEADS.index(named)]
        assert np.abs(difference - np.median(difference)).max() <= 2  # counts, of rounding
    with pytest.raises(GeneratorError, match="V1 to V6 and two limb leads"):
        dataclasses.replace(model.config, leads=("I", "I", *STORED[2:]))


def test_kernels_in_the_file_draw_the_same_strips(folder: Path, tmp_path: Path) -> None:
    network = checkpoint.load_network(folder)
    checkpoint.save(tmp_path, network, CONFIG, taps=checkpoint.all_taps(network))
    assert (tmp_path / "model.safetensors").stat().st_size > (folder / "model.safetensors").stat().st_size
    for one, other in zip(draw.draw(REQUEST, checkpoint=folder), draw.draw(REQUEST, checkpoint=tmp_path), strict=True):
        assert np.array_equal(_counts(one), _counts(other))


def test_a_network_without_an_unconditional_half_takes_no_guidance(folder: Path) -> None:
    model = checkpoint.load(folder)
    published = dataclasses.replace(model, config=dataclasses.replace(model.config, unconditional=False))
    with pytest.raises(GeneratorError, match="Leave guidance at 1"):
        draw.draw(dataclasses.replace(REQUEST, guidance=2.0), checkpoint=published)
    guided = draw.draw(dataclasses.replace(REQUEST, guidance=2.0), count=1, checkpoint=model)[0]
    assert not np.array_equal(_counts(guided), _counts(draw.draw(REQUEST, count=1, checkpoint=model)[0]))


def test_provenance_draws_the_strip_again(folder: Path) -> None:
    model = checkpoint.load(folder)
    kept = json.loads(json.dumps(draw.provenance(REQUEST, model)))
    assert kept["checkpoint"] == checkpoint_sha256(folder)
    again = DrawRequest.from_dict({name: kept[name] for name in REQUEST.as_dict()})
    assert again == REQUEST


def test_broken_checkpoints_are_refused_with_the_file_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match=r"config\.json does not exist"):
        draw.load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    values = json.loads((copy / "config.json").read_text())
    del values["leads"]
    (copy / "config.json").write_text(json.dumps(values))
    with pytest.raises(GeneratorError, match="missing fields \\['leads'\\]"):
        draw.load(copy)
    values["leads"] = list(STORED)
    for field, where in (("kernel_form", values["network"]), ("units", values)):
        told = where.pop(field)
        (copy / "config.json").write_text(json.dumps(values))
        with pytest.raises(GeneratorError, match=field):
            draw.load(copy)
        where[field] = told
    values["network"]["res_channels"] = 16
    (copy / "config.json").write_text(json.dumps(values))
    with pytest.raises(GeneratorError, match="do not fit"):
        draw.load(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": [1]}, "config.json"),
        ({"std_mv": [0.0] * 8}, "above 0"),
        ({"leads": ["I", "V1"]}, "V1 to V6 and two limb leads"),
        ({"network": {"in_channels": 12, "kernel_form": "conjugate"}}, "12 channels in"),
        ({"network": {"res_channels": "a", "kernel_form": "conjugate"}}, "res_channels must be whole"),
        ({"units": "furlongs"}, "units are 'furlongs'"),
    ],
)
def test_settings_that_make_no_network_are_refused_in_words(folder: Path, tmp_path: Path, change: dict[str, object], words: str) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "copy" / "config.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(GeneratorError, match=words):
        draw.load(tmp_path / "copy")


def test_checkpoints_of_the_first_format_still_draw(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "old")
    values = json.loads((folder / "config.json").read_text())
    for name in ("labels", "units", "channel_mean", "channel_std", "unconditional"):
        del values[name]
    values |= {"format": 1, "unit": "mV", "classes": ["NSR", "AF"]}
    (tmp_path / "old" / "config.json").write_text(json.dumps(values))
    one, other = (draw.draw(REQUEST, count=1, checkpoint=path)[0] for path in (folder, tmp_path / "old"))
    assert np.array_equal(_counts(one), _counts(other))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rhythm": "VT"}, "rhythm"),
        ({"n": 0}, "n is 0"),
        ({"steps": 1}, "steps"),
        ({"sampler": "euler"}, "sampler"),
        ({"seed": -1}, "seed"),
        ({"heart_rate": 900.0}, "heart_rate"),
    ],
)
def test_impossible_requests_are_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(GeneratorError, match=named):
        DrawRequest.from_dict({**REQUEST.as_dict(), **change})


@pytest.mark.parametrize("rhythm", ["NSR", "AF"])
def test_the_shipped_checkpoint_beats_where_it_was_asked_to(rhythm: str) -> None:
    assert (shipped_checkpoint() / "model.safetensors").stat().st_size < 16 * 2**20
    for drawn in draw.draw(DrawRequest(rhythm=rhythm, n=4, seed=1)):
        assert drawn.counts is not None, drawn.rejected
        asked = np.array(drawn.conditions["r_times"])
        found = r_peaks(drawn.counts)
        hits = sum(np.abs(found - time).min() < 0.05 for time in asked if 0.2 < time < 9.8)
        assert hits >= 0.9 * sum((asked > 0.2) & (asked < 9.8))


def test_a_chosen_heart_rate_is_drawn() -> None:
    drawn = draw.draw(DrawRequest(rhythm="NSR", n=2, seed=3, heart_rate=100))
    for strip in drawn:
        assert strip.counts is not None
        assert 60 / np.median(np.diff(r_peaks(strip.counts))) == pytest.approx(100, rel=0.06)


def _counts(drawn: draw.Drawn) -> Counts:
    assert drawn.counts is not None, drawn.rejected
    return drawn.counts
