"""What is no strip of the rhythm asked for is rejected with its reason; what is one passes; the methods section says what the rules are."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.copies import Reference, beats
from generator.errors import Refused
from generator.features import features
from generator.quality_control import COPY, RULES, Rule, check, checks, copies_checked, refuse_plateaus
from generator.recordings import Recording, find, read_all
from generator.request import DrawRequest, shipped_checkpoint
from generator.simulate import stand_in
from generator.sssd import draw
from generator.strip import Counts

ROOT = Path(__file__).parents[2]
REQUEST = DrawRequest("AF", 3, seed=1, steps=4)


def rule(reason: str) -> Rule:
    [one] = [one for one in RULES if one.reason == reason]
    return one


@pytest.fixture(scope="module")
def mv() -> NDArray[np.float64]:
    """(8, 1000) mV of a stand-in, with the digits that a network leaves: no two samples are the same."""
    return stand_in("NSR", 3) * 0.005 + np.random.default_rng(2).normal(0, 0.0003, (8, 1000))


# ---- leads that no recording may have either ----


def flat(mv: NDArray[np.float64]) -> NDArray[np.float64]:
    mv[3] = np.random.default_rng(0).normal(0, 0.0003, 1000)
    return mv


def flat_for_a_while(mv: NDArray[np.float64]) -> NDArray[np.float64]:
    mv[3, 400:700] = mv[3, 400] + np.random.default_rng(0).normal(0, 0.004, 300)
    return mv


def saturated(mv: NDArray[np.float64]) -> NDArray[np.float64]:
    top = np.percentile(mv[6], 96) - np.median(mv[6])
    mv[6] = np.minimum(mv[6] - np.median(mv[6]), top) + np.random.default_rng(0).normal(0, 1e-5, 1000)
    return mv


def missing(mv: NDArray[np.float64]) -> NDArray[np.float64]:
    mv[0, 10] = np.nan
    return mv


def immense(mv: NDArray[np.float64]) -> NDArray[np.float64]:
    return mv * 100


FAULTS = {
    flat: "flat lead",
    flat_for_a_while: "flat lead",
    saturated: "clipped lead",
    missing: "missing samples (NaN)",
    immense: "amplitude above 20 mV",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_lead_is_rejected_with_its_reason(mv: NDArray[np.float64], fault: object) -> None:
    assert callable(fault)
    with pytest.raises(Refused) as refused:
        refuse_plateaus(fault(mv.copy()))
    assert refused.value.reason == FAULTS[fault]
    drawn = draw._through_quality_control(DrawRequest("NSR", 1, 1), draw.load(device="cpu"), 0, fault(mv.copy()), None, True)
    assert (drawn.counts, drawn.rejected) == (None, FAULTS[fault])


def test_without_faults_it_passes(mv: NDArray[np.float64]) -> None:
    refuse_plateaus(mv)
    drawn = draw._through_quality_control(DrawRequest("NSR", 1, 1), draw.load(device="cpu"), 0, mv, None, True)
    assert drawn.rejected is None
    assert drawn.counts is not None


# ---- rhythm ----


@pytest.mark.parametrize("rhythm", ["NSR", "AF"])
def test_stand_ins_pass_as_what_they_are_and_not_as_the_other_rhythm(rhythm: str) -> None:
    other = {"NSR": "AF", "AF": "NSR"}[rhythm]
    strips = [stand_in(rhythm, seed) for seed in range(25)]
    assert [check(strip, rhythm, None) for strip in strips] == [None] * 25
    reasons = [check(strip, other, None) for strip in strips]
    assert sum(reason is not None and reason.startswith(other) for reason in reasons) >= 24


def test_noise_has_no_qrs_complexes() -> None:
    noise = np.rint(np.random.default_rng(1).normal(0, 40, (8, 1000))).astype(np.int16)
    assert {check(noise, rhythm, None) for rhythm in ("NSR", "AF")} == {"fewer than 4 QRS complexes"}


@pytest.mark.parametrize(
    ("reason", "inside", "outside"),
    [
        ("fewer than 4 QRS complexes", 4, 3),
        ("heart rate out of range", 30, 26),
        ("heart rate out of range", 200, 221),
        ("NSR without P waves", 0.65, 0.64),
        ("NSR with irregular RR intervals", 0.23, 0.24),
        ("AF with regular RR intervals", 0.055, 0.054),
        ("AF with P waves", 0.88, 0.89),
    ],
)
def test_each_rule_has_its_limit(reason: str, inside: float, outside: float) -> None:
    assert not rule(reason).broken(inside)
    assert rule(reason).broken(outside)
    assert rule(reason).broken(np.nan)


def test_the_same_strip_gets_the_same_answer() -> None:
    for strip, rhythm in ((stand_in("AF", 1), "NSR"), (stand_in("AF", 1), "AF")):
        assert len({check(strip.copy(), rhythm, None) for _ in range(3)}) == 1


def test_a_rhythm_without_rules_is_refused() -> None:
    with pytest.raises(ValueError, match="VT"):
        check(stand_in("NSR", 1), "VT", None)


# ---- copies ----


def test_a_copy_is_rejected_where_there_is_something_to_tell_it_by() -> None:
    trained_on = np.stack([stand_in("NSR", seed) for seed in range(40)])
    reference = Reference.of(trained_on, None, ["NSR"] * 40)
    copy = np.rint(np.roll(trained_on[7] * 0.8, 2, axis=-1) + np.random.default_rng(3).normal(0, 2, (8, 1000))).astype(np.int16)
    assert check(copy, "NSR", reference) == COPY
    assert check(copy, "NSR", None) is None
    assert check(stand_in("NSR", 1000), "NSR", reference) is None


def test_what_was_checked_is_said() -> None:
    reference = Reference(np.zeros((1, 64), dtype=np.float16), {"NSR": 0.01}, 0)
    said = [checks("NSR", None), checks("NSR", reference), checks("AF", reference)]
    assert said == ["1, copies not checked", "1, copies checked", "1, copies not checked"]
    assert [copies_checked(one) for one in (*said, None)] == [False, True, False, False]


# ---- in a draw ----


@pytest.fixture
def carrying(tmp_path: Path) -> Path:
    """The shipped checkpoint with a reference by which everything that REQUEST draws is a copy."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(shipped_checkpoint() / name, tmp_path / name)
    counts = [one.counts for one in draw.draw(REQUEST, checkpoint=tmp_path, device="cpu", quality_control=False)]
    assert all(strip is not None for strip in counts)
    made = Reference.of(np.stack([strip for strip in counts if strip is not None]), None, ["AF"] * 3)
    dataclasses.replace(made, thresholds={"AF": 1e-4}).save(tmp_path)
    return tmp_path


def test_a_checkpoint_that_repeats_its_training_strips_has_them_rejected(carrying: Path) -> None:
    drawn = draw.draw(REQUEST, checkpoint=carrying, device="cpu")
    assert [one.counts for one in drawn] == [None] * 3
    assert COPY in {one.rejected for one in drawn}
    model = draw.load(carrying, "cpu")
    assert model.reference is not None
    made = draw.provenance(REQUEST, model)
    assert made["quality_control"] == "1, copies checked"
    (carrying / "training_beats.safetensors").unlink()
    unlearned = draw.load(carrying, "cpu")
    assert (unlearned.reference, unlearned.sha256 == model.sha256) == (None, False)
    assert draw.provenance(REQUEST, unlearned) == made | {"quality_control": "1, copies not checked", "checkpoint": unlearned.sha256}


def test_labels_stated_the_wrong_way_round_are_rejected_unless_somebody_only_looks() -> None:
    model = draw.load(device="cpu")
    labels, rr = ({"NSR": of["AF"], "AF": of["NSR"]} for of in (model.config.labels, model.config.rr))
    swapped = dataclasses.replace(model, config=dataclasses.replace(model.config, labels=labels, rr=rr))  # type: ignore[arg-type]
    for rhythm in ("NSR", "AF"):
        request = dataclasses.replace(REQUEST, rhythm=rhythm, steps=8)
        drawn = draw.draw(request, checkpoint=swapped)
        assert sum(one.counts is None and str(one.rejected).startswith(rhythm) for one in drawn) >= 2
        assert all(one.counts is not None for one in draw.draw(request, checkpoint=swapped, quality_control=False))


# ---- what a methods section says ----


def test_the_rules_are_documented_as_they_are() -> None:
    text = (ROOT / "docs" / "quality-control.md").read_text().split("| share refused |")[0]
    for one in RULES:
        [row] = [line for line in text.splitlines() if line.startswith(f"| {one.reason} |")]
        assert f"`{one.figure}`" in row
        for limit in (one.least, one.most):
            assert not np.isfinite(limit) or f"{limit:g}" in row, (row, limit)
    assert f"| {COPY} |" in text
    assert all(len(one.reason) <= 64 for one in RULES)  # as long as storage takes


@pytest.fixture(scope="module")
def ptbxl(shared: Path) -> dict[str, Counts]:
    """AF of folds 1 to 8 and every sixth NSR of them."""
    listed = [one for one in find(shared / "data/ptbxl").candidates if one.fold != 9]
    chosen = {"AF": [one for one in listed if one.rhythm == "AF"], "NSR": [one for one in listed if one.rhythm == "NSR"][::6]}
    return {name: np.stack([read.counts for _, read in read_all(some) if isinstance(read, Recording)]) for name, some in chosen.items()}


def test_recordings_pass_as_what_they_are_labelled_and_not_as_the_other(ptbxl: dict[str, Counts]) -> None:
    measured = {rhythm: features(strips) for rhythm, strips in ptbxl.items()}
    for one in RULES:
        for rhythm in one.rhythms:
            assert np.mean([one.broken(value) for value in measured[rhythm][one.figure]]) <= 0.015, one
    for rhythm, other in (("NSR", "AF"), ("AF", "NSR")):
        refused = np.any([[one.broken(value) for value in measured[other][one.figure]] for one in RULES if rhythm in one.rhythms], axis=0)
        assert refused.mean() > 0.9, rhythm
    assert np.isfinite(beats(ptbxl["AF"])).all()
