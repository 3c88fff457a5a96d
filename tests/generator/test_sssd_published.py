"""A published checkpoint becomes ours: nothing guessed, nothing lost, and it draws what it was told it draws."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generator import recordings
from generator.errors import GeneratorError
from generator.leads import LEADS, limb_weights, twelve_leads
from generator.request import DrawRequest
from generator.sssd import checkpoint, draw
from generator.sssd.config import KernelForm, read_config
from generator.sssd.evaluator import Evaluator
from generator.sssd.published import LABEL_SETS, STATEMENTS, USUAL_MEAN_MV, USUAL_STD_MV, Stated, read, read_published_config
from generator.sssd.training_set import TrainingSet, scale, without_drift

CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
PTB_XL = Stated("conjugate", ("I", *CHEST, "aVF"), "mV")


@pytest.fixture
def file(shared: Path) -> Path:
    return shared / "golden" / "sssd_reference_tiny.pkl"


@pytest.fixture
def settings(shared: Path) -> Path:
    return shared / "golden" / "sssd_reference_tiny.json"


@pytest.mark.parametrize(("form", "expected"), [("conjugate", "epsilon"), ("without-conjugates", "epsilon_without_conjugates")])
def test_what_was_converted_computes_the_published_function(
    shared: Path, file: Path, settings: Path, tmp_path: Path, form: KernelForm, expected: str
) -> None:
    network, config = read(file, settings, replace(PTB_XL, kernel_form=form))
    checkpoint.save(tmp_path, network, config, taps=checkpoint.all_taps(network))
    golden = np.load(shared / "golden" / "sssd_reference_tiny.npz")
    with torch.no_grad():
        evaluator = Evaluator(checkpoint.load_network(tmp_path), torch.device("cpu"), samples=golden["x"].shape[-1])
        for x, step, labels, known in zip(golden["x"], golden["step"][:, 0], golden["labels"], golden[expected], strict=True):
            one = evaluator.conditioned(torch.from_numpy(labels[None]))(torch.from_numpy(x[None]), float(step))
            assert np.abs(one[0].numpy() - known).max() < 1e-4
    assert read_config(tmp_path) == config
    assert config.network.kernel_form == form
    assert config.leads == PTB_XL.leads
    assert config.units == "mV"


def test_a_converted_checkpoint_draws_the_same_strips_from_its_file_and_from_memory(file: Path, settings: Path, tmp_path: Path) -> None:
    """Its kernels are shorter than a strip: they are continued, as the published code does it, and the file holds them."""
    network, config = read(file, settings, PTB_XL)
    config = replace(config, std_mv=(0.2,) * 8)
    taps = checkpoint.all_taps(network)
    checkpoint.save(tmp_path, network, config, taps=taps)
    request = DrawRequest("AF", 2, seed=3, steps=4)
    cpu = torch.device("cpu")
    in_memory = checkpoint.Model(Evaluator(network, cpu), config, "", cpu)
    for one, other in zip(*(draw.draw(request, checkpoint=at, quality_control=False) for at in (tmp_path, in_memory)), strict=True):
        assert one.rejected == other.rejected
        assert one.counts is not None
        assert other.counts is not None
        assert np.array_equal(one.counts, other.counts)


def test_the_published_label_sets() -> None:
    assert len(STATEMENTS) == 71
    assert sorted(STATEMENTS) == list(STATEMENTS)
    assert [STATEMENTS[place] for place in (*LABEL_SETS[71]["NSR"], *LABEL_SETS[71]["AF"])] == ["NORM", "SR", "AFIB"]
    assert LABEL_SETS[20] == {"NSR": (7, 15), "AF": (2,)}


def test_labels_asked_for_reach_the_network(file: Path, settings: Path) -> None:
    network, config = read(file, settings, PTB_XL)
    assert config.labels == LABEL_SETS[20]  # as many classes as the MIMIC checkpoints
    seen: list[torch.Tensor] = []
    cpu = torch.device("cpu")
    evaluator = Evaluator(network, cpu)
    conditioned = evaluator.conditioned
    evaluator.conditioned = lambda labels, track=None: (seen.append(labels), conditioned(labels, track))[1]  # type: ignore[method-assign,func-returns-value]
    for rhythm in ("NSR", "AF"):
        draw.draw(DrawRequest(rhythm, 1, 1, steps=4), checkpoint=checkpoint.Model(evaluator, config, "", cpu))
    assert [np.flatnonzero(labels[0]).tolist() for labels in seen] == [[7, 15], [2]]


def test_channels_become_millivolts_of_the_stored_leads(shared: Path) -> None:
    """V1 to V6, I and aVF of a recording, scaled to 0..1: what a network trained on MIMIC sees. II comes back from I and aVF."""
    listed = recordings.find(shared / "data" / "ptbxl").candidates[:1]
    [(_, recording)] = list(recordings.read_all(listed))
    assert isinstance(recording, recordings.Recording)
    twelve = twelve_leads(recording.unfiltered)
    names = ("I", "aVF", *CHEST)
    channels = twelve[[LEADS.index(name) for name in names]]
    least, greatest = channels.min(axis=1), channels.max(axis=1)
    offsets, scales = Stated("conjugate", names, "min-max", tuple(least), tuple(greatest - least)).millivolts()
    back = limb_weights(names) @ ((channels - least[:, None]) / (greatest - least)[:, None] * np.array(scales)[:, None] + np.array(offsets)[:, None])
    assert np.allclose(back, recording.unfiltered, atol=1e-9)


def test_what_sampling_starts_from_is_what_recordings_are(shared: Path) -> None:
    strips = TrainingSet.from_candidates([one for one in recordings.find(shared / "data" / "ptbxl").candidates if one.fold == 1])
    twelve = without_drift(twelve_leads(strips.mv))
    for lead, mv in zip(LEADS, twelve.transpose(1, 0, 2), strict=True):
        mean, std, _ = scale(mv[:, None].astype(np.float32))
        assert float(mean[0]) == pytest.approx(USUAL_MEAN_MV[lead], abs=0.01)
        assert float(std[0]) == pytest.approx(USUAL_STD_MV[lead], rel=0.2)  # one fold of the eight


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (replace(PTB_XL, units="min-max"), "--lead-offsets and --lead-scales"),
        (replace(PTB_XL, units="min-max", offsets_mv=(0.0,) * 7, scales_mv=(1.0,) * 8), "--lead-offsets has 7 values for 8 leads"),
        (replace(PTB_XL, units="standardised", offsets_mv=(0.0,) * 8, scales_mv=(0.0,) * 8), "must be above 0"),
        (replace(PTB_XL, offsets_mv=(0.0,) * 8), "need no offsets"),
        (replace(PTB_XL, leads=("I", "II", "III", *CHEST[1:])), "V1 to V6 and two limb leads"),
        (replace(PTB_XL, labels={"NSR": (7,), "AF": (20,)}), "position 20"),
    ],
)
def test_what_was_stated_wrongly_is_refused(file: Path, settings: Path, stated: Stated, words: str) -> None:
    with pytest.raises(GeneratorError, match=words):
        read(file, settings, stated)


def test_published_settings_may_have_trailing_commas(settings: Path, tmp_path: Path) -> None:
    text = settings.read_text()
    commas = tmp_path / "commas.json"
    commas.write_text(text.replace("0.02\n", "0.02,\n"))
    assert commas.read_text() != text
    assert read_published_config(commas) == read_published_config(settings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.pop("diffusion_config"), "no wavenet_config and diffusion_config"),
        (lambda values: values["diffusion_config"].pop("T"), "needs the numbers T"),
        (lambda values: values["wavenet_config"].pop("s4_bidirectional"), "lacks s4_bidirectional"),
        (lambda values: values["wavenet_config"].update(widht=3), "unknown fields: widht"),
        (lambda values: values["wavenet_config"].update(in_channels=12), "12 channels in"),
        (lambda values: values["wavenet_config"].update(res_channels=8), "do not fit"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(file: Path, settings: Path, tmp_path: Path, change: object, words: str) -> None:
    values = json.loads(settings.read_text())
    change(values)  # type: ignore[operator]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(GeneratorError, match=words):
        read(file, tmp_path / "config.json", PTB_XL)


def test_a_damaged_checkpoint_is_refused_in_words(file: Path, settings: Path, tmp_path: Path) -> None:
    state = torch.load(file, weights_only=True)["model_state_dict"]
    [one, *_] = [key for key in state if key.endswith("weight_v")]
    for name, damaged in (
        ("without", {key: tensor for key, tensor in state.items() if key != one}),
        ("text", {**state, one: "text"}),
        ("numbers", {**state, 7: state[one]}),
    ):
        torch.save({"model_state_dict": damaged}, tmp_path / f"{name}.pkl")
        with pytest.raises(GeneratorError, match=f"{name}.pkl"):
            read(tmp_path / f"{name}.pkl", settings, PTB_XL)
