"""Quality: what an analyst relies on. Strips of the same source pass; noise, blur, copies and sameness are found, each by the right figure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from generator.quality import heart, realness, resample
from generator.quality.measure import CHEAP, PARTS, Reference, Settings, quality
from generator.quality.memorisation import SHARE
from generator.quality.result import RHYTHMS, Quality, QualityError, Strips
from generator.simulate import stand_in

TINY = Settings(width=4, dims=8, iterations=60, batch=16)
REAL, TRAIN, DRAWN = 30, 80, 40  # strips of each rhythm


@pytest.fixture(autouse=True, scope="module")
def _few_resamples() -> Iterator[None]:
    before, resample.RESAMPLES = resample.RESAMPLES, 60
    yield
    resample.RESAMPLES = before


@cache
def made(first: int, n: int) -> Strips:
    strips = [(stand_in(rhythm, first + i), rhythm) for rhythm in RHYTHMS for i in range(n)]
    return Strips.of(np.stack([counts for counts, _ in strips]), [rhythm for _, rhythm in strips], [f"{first} {i}" for i in range(len(strips))])


@cache
def reference() -> Reference:
    return Reference(made(0, REAL), made(1000, TRAIN), 1, TINY, TINY)


def changed(strips: Strips, counts: np.ndarray) -> Strips:
    return dataclasses.replace(strips, counts=np.clip(np.rint(counts), -32768, 32767).astype(np.int16))


@cache
def alike() -> Quality:
    return reference().measure(made(2000, DRAWN))


def met(result: Quality, name: str) -> set[bool | None]:
    return {one.met for one in result.targets if one.name.startswith(name)}


def test_strips_of_the_same_source_meet_every_target() -> None:
    result = alike()
    assert [one for one in result.targets if not one.met and one.name != SHARE] == []
    for one in result.targets:
        if one.name == SHARE:  # of 30 held-out recordings the 1st percentile is no more than a guess, and the target says so
            assert (one.value or 0) < 0.15
            assert "only 30 held-out recordings" in (one.reason or "")
    assert {one.name for one in result.targets} >= {"TSTR", "TRTS", "detail ratio", realness.NAME, SHARE}
    assert [one for one in result.figures if one.value is None] == []


def test_each_figure_stands_beside_real_against_real_and_says_of_how_many() -> None:
    for one in alike().figures:
        assert one.beside is not None, one
        assert min(one.n, one.n_real, one.n_beside) > 0, one
    sizes = alike().sizes
    assert sizes["beside"] == {"AF": DRAWN, "NSR": DRAWN}
    assert sizes["learned"]["AF"] == TRAIN // 2


def test_whoever_stands_beside_taught_the_embedding_nothing() -> None:
    learned = reference().learned
    train = reference().train
    assert not set(train.patient[learned]) & set(train.patient[~learned])


def test_noise_is_found_by_detail_and_by_the_judge() -> None:
    strips = made(2000, DRAWN)
    noisy = changed(strips, strips.counts + np.random.default_rng(0).normal(0, 20, strips.counts.shape))
    result = reference().measure(noisy, ["detail", "realness"])
    assert met(result, "detail ratio") == {False}
    assert met(result, realness.NAME) == {False}
    assert all((one.value or 0) > 1.2 for one in result.targets if one.name == "detail ratio")


def test_blur_is_found_by_detail_and_by_the_qrs() -> None:
    strips = made(2000, DRAWN)
    result = reference().measure(changed(strips, ndimage.gaussian_filter1d(strips.counts.astype(float), 1.5, axis=-1)), ["detail", "heart"])
    assert all((one.value or 2) < 0.8 for one in result.targets if one.name == "detail ratio")
    for rhythm in RHYTHMS:
        width = result.figure("heart", "qrs_width", rhythm)
        assert (width.value or 0) > 2 * (width.beside or 0)


def test_copies_are_found_by_memorisation_whatever_their_gain() -> None:
    train = made(1000, TRAIN)
    copies = changed(train.where(np.arange(0, len(train), 3)), train.counts[::3] * 0.7)
    copies = dataclasses.replace(copies, patient=np.char.add("copy ", copies.patient))
    result = reference().measure(copies, ["memorisation"])
    assert met(result, SHARE) == {False}
    assert all(pair.train == 3 * pair.synthetic for pair in result.pairs)
    assert [one.rhythm for one in result.pairs] == ["AF"] * 5 + ["NSR"] * 5


def test_sameness_is_found_by_coverage() -> None:
    strips = made(2000, DRAWN)
    few = np.tile(np.concatenate([strips.places(rhythm)[:2] for rhythm in RHYTHMS]), DRAWN // 2)
    result = reference().measure(dataclasses.replace(strips.where(few), patient=strips.patient), ["distribution"])
    assert met(result, "coverage") == {False}
    for rhythm in RHYTHMS:
        assert (result.figure("distribution", "recall", rhythm).value or 0) < 0.5


def test_beats_that_repeat_to_the_sample_are_found() -> None:
    strips = made(2000, DRAWN)
    beat = np.tile(strips.counts[:, :, 200:280], 13)[:, :, :1000]
    again = reference().measure(changed(strips, beat), ["repeat", "heart"])
    for rhythm in RHYTHMS:
        figure = again.figure("repeat", "beat_correlation", rhythm)
        assert figure.median == pytest.approx(1.0, abs=1e-3)
        assert (figure.value or 0) > 2 * (figure.beside or 0)
    assert (again.figure("heart", "rr_cv", "AF").median or 0) < 0.05


def test_af_drawn_with_p_waves_is_found() -> None:
    strips = made(2000, DRAWN)
    swapped = dataclasses.replace(strips, rhythm=strips.rhythm[::-1].copy())
    result = reference().measure(swapped, ["worth", "heart"])
    assert met(result, "TSTR") == {False}
    coherence = result.figure("heart", "p_coherence", "AF")
    assert (coherence.median or 0) > 0.8 > 0.5 > (coherence.median_real or 1)


def test_a_checkpoint_that_knows_one_rhythm_only_is_found_by_what_its_strips_are_worth() -> None:
    """NSR whatever was asked for: half of it is called AF."""
    strips = made(2000, 2 * DRAWN)
    sinus = strips.where(strips.places("NSR"))
    result = reference().measure(dataclasses.replace(sinus, rhythm=np.array(RHYTHMS * DRAWN)), ["worth", "heart"])
    assert met(result, "TSTR") == {False}
    assert met(result, "TRTS") == {False}
    assert (result.figure("heart", "rr_cv", "AF").median or 1) < 0.06
    assert (result.figure("heart", "p_coherence", "AF").median or 0) > 0.8


def test_the_same_seed_gives_the_same_figures_whichever_parts_are_asked_for() -> None:
    again = quality(made(0, REAL), made(2000, DRAWN), made(1000, TRAIN), seed=1, parts=["distribution", "memorisation"], embedding=TINY, judge=TINY)
    for one in again.figures:
        assert one == alike().figure(*one.key)


def test_the_cheap_part_trains_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generator.quality.measure.trained", None)
    monkeypatch.setattr("generator.quality.realness.trained", None)
    result = quality(made(0, REAL), made(2000, DRAWN), made(1000, TRAIN), seed=1, parts=CHEAP)
    assert result.parts == CHEAP
    assert set(CHEAP) < set(PARTS)


def test_the_result_survives_json() -> None:
    stored = json.loads(json.dumps(alike().as_dict(), allow_nan=False))
    assert Quality.from_dict(stored) == alike()


def test_few_strips_leave_reasons_never_nan() -> None:
    result = quality(made(0, 4), made(2000, 4), made(1000, 4), seed=1, embedding=TINY, judge=TINY)
    json.dumps(result.as_dict(), allow_nan=False)
    without = [one for one in result.figures if one.value is None]
    assert without
    assert all(one.reason for one in without)
    assert all(one.reason for one in result.targets if one.met is None)


def test_one_rhythm_alone_is_measured_and_the_other_says_why_not() -> None:
    drawn = made(2000, DRAWN)
    result = reference().measure(drawn.where(drawn.places("AF")), ["worth", "heart", "detail", "memorisation", "repeat"])
    assert {one.rhythm for one in result.figures if one.value is None and one.rhythm != "both"} == {"NSR"}
    assert result.figure("detail", "detail ratio", "AF").value is not None


def test_a_patient_in_both_sets_is_refused() -> None:
    train = made(1000, TRAIN)
    with pytest.raises(QualityError, match="5 patients are in both real and train"):
        quality(train.where(np.arange(5)), made(2000, DRAWN), train, seed=1)


@pytest.mark.parametrize(
    ("counts", "rhythm", "message"),
    [
        (np.zeros((2, 12, 1000), np.int16), ["AF", "AF"], "canonical counts"),
        (np.zeros((2, 8, 1000)), ["AF", "AF"], "canonical counts"),
        (np.zeros((2, 8, 1000), np.int16), ["AF"], "one of each for every strip"),
        (np.zeros((2, 8, 1000), np.int16), ["AF", "SVT"], "SVT is unknown"),
    ],
)
def test_strips_that_cannot_be_measured_are_refused(counts: np.ndarray, rhythm: list[str], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        Strips.of(counts, rhythm)


def test_measures_of_a_strip_without_a_beat_are_undefined() -> None:
    row = heart.measured(np.zeros((1, 8, 1000), np.int16)).iloc[0]
    assert row.drop("detail").isna().all()
    assert row["detail"] == 0


def test_simulated_hearts_measure_as_they_were_made() -> None:
    table = heart.measured(made(0, REAL).counts)
    af = np.arange(REAL)  # AF comes first
    assert table.loc[af, "p_share"].median() < 0.5 < table.drop(af)["p_share"].median()
    assert table.loc[af, "f_band"].median() > 2 * table.drop(af)["f_band"].median()
    assert table["p_to_r"].drop(af).between(90, 220).mean() > 0.9
    assert table["r_transition"].median() == pytest.approx(3, abs=1)
