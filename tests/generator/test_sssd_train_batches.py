"""What networks are trained on: recordings read, strips without drift, moved, stretched and turned, and average beats."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from generator.sssd.average_beat import BINS, averaged
from generator.sssd.batches import BeatBatches, Standardised, StripBatches, axis_turn
from generator.sssd.recipe import Augmentation
from generator.sssd.rhythm import OFFSET_CHANNEL, TRACK_CHANNELS, track
from generator.sssd.training_set import TrainingSet, scale, shifted, stretched, without_drift
from tests.generator import tiny_training

STILL = Augmentation(gain=0, shift=0, turn=0, drop_label=0, drop_track=0, drop_beat=0, beat_noise=0, beat_share=1)


@pytest.fixture(scope="module")
def standardised() -> Standardised:
    strips = tiny_training.strips()
    mean, std, keep = scale(strips.mv)
    return Standardised.of(strips, mean, std, keep)


def test_recordings_are_read_and_refusals_counted(shared: Path) -> None:
    from generator import recordings

    listed = recordings.find(shared / "data" / "ptbxl", shared / "data" / "ptbxl" / "ptbxl_database.csv").candidates
    broken = [candidate for candidate in listed if candidate.path.name == "11813_lr"]
    chosen = [*listed[:3], *broken]
    assert len(chosen) == 4
    read = TrainingSet.from_candidates(chosen)
    assert read.mv.shape == (3, 8, 1000)
    assert sum(read.refused.values()) == 1
    assert read.patients == [one.patient for one in listed[:3]]
    assert all(len(times) >= 5 for times in read.r_times)


def test_drift_goes_and_the_canonical_band_stays() -> None:
    t = np.arange(1000) / 100
    slow, kept = np.sin(2 * np.pi * 0.05 * t), 0.1 * np.sin(2 * np.pi * 1.0 * t)
    cleaned = without_drift(np.tile(2.0 + slow + kept, (8, 1)))
    assert np.abs(cleaned - kept)[:, 200:-200].max() < 0.03


@pytest.mark.parametrize("samples", [-3, -1, 0, 2])
def test_a_shift_moves_all_leads_alike(samples: int) -> None:
    strip = np.random.default_rng(0).normal(size=(8, 100)).astype(np.float32)
    moved = shifted(strip, samples)
    assert moved.shape == strip.shape
    inside = slice(5, -5)
    assert np.array_equal(moved[:, inside], np.roll(strip, samples, axis=1)[:, inside])


def test_a_stretched_strip_has_its_beats_farther_from_the_middle() -> None:
    t = np.arange(1000) / 100
    strip = np.exp(-0.5 * ((t - 6) / 0.05) ** 2)[None].astype(np.float32)
    assert t[stretched(strip, 1.1)[0].argmax()] == pytest.approx(6.1, abs=0.011)
    assert t[stretched(strip, 0.9)[0].argmax()] == pytest.approx(5.9, abs=0.011)
    assert np.allclose(stretched(strip, 1.0), strip, atol=1e-6)


def test_turning_the_axis_moves_one_limb_lead_to_another_and_leaves_the_chest() -> None:
    unit = np.linspace(0.1, 0.5, 8)
    assert np.allclose(axis_turn(30, unit) @ axis_turn(-30, unit), np.eye(8))
    by_60 = axis_turn(60, np.ones(8))
    assert np.allclose(by_60[1], [1, 0, 0, 0, 0, 0, 0, 0])  # II lies 60 degrees below I: what was I is now II
    assert np.allclose(by_60[2:], np.eye(8)[2:])


def test_average_beats_are_scaled_and_labelled_with_rhythm_and_rate(standardised: Standardised) -> None:
    beats = BeatBatches(standardised, STILL)
    assert beats.x.shape == (24, 8, BINS)
    assert np.allclose(np.sqrt((beats.x**2).mean(axis=(0, 2))), 1, atol=1e-5)
    batch = beats.build(beats.choose(8, np.random.default_rng(0)))
    assert batch.labels[:, :2].tolist() == [[1, 0]] * 4 + [[0, 1]] * 4
    sinus = batch.labels[:4, 2].numpy()
    assert np.abs(sinus).max() < 0.1  # 0.8 s between beats


def test_a_strip_is_told_its_own_average_beat_at_every_beat(standardised: Standardised) -> None:
    batch = StripBatches(standardised, STILL).plain([1])
    assert batch.track is not None
    told, offset = batch.track[0, TRACK_CHANNELS:].numpy(), track(standardised.r_times[1])[OFFSET_CHANNEL]
    beat = averaged(standardised.x[1], offset)
    at = round(100 * standardised.r_times[1][4])
    assert told[:, at] == pytest.approx(beat[:, 30], abs=0.3)  # bin 30 is the R peak
    assert np.corrcoef(told.ravel(), standardised.x[1].ravel())[0, 1] > 0.95


def test_label_track_and_average_beat_are_dropped_as_asked(standardised: Standardised) -> None:
    def batch(label: float = 0.0, track: float = 0.0, beat: float = 0.0) -> tuple[bool, bool, bool]:
        source = StripBatches(standardised, Augmentation(drop_label=label, drop_track=track, drop_beat=beat))
        made = source.build(source.choose(2, np.random.default_rng(0)))
        assert made.track is not None
        return bool(made.labels.any()), bool(made.track[:, :TRACK_CHANNELS].any()), bool(made.track[:, TRACK_CHANNELS:].any())

    assert batch() == (True, True, True)
    assert batch(label=1.0) == (False, True, True)
    assert batch(track=1.0) == (True, False, False)
    assert batch(beat=1.0) == (True, True, False)


def test_a_share_of_a_batch_is_what_the_whole_batch_has_there(standardised: Standardised) -> None:
    source = StripBatches(standardised, Augmentation())
    chosen = source.choose(4, np.random.default_rng(3))
    whole, part = source.build(chosen), source.build(chosen[1::2])
    assert part.x.equal(whole.x[1::2])
    assert whole.track is not None
    assert part.track is not None
    assert part.track.equal(whole.track[1::2])


def test_an_average_of_some_beats_is_told_where_asked(standardised: Standardised) -> None:
    """What every beat has is in it all the same; what one beat has by chance is in it or not."""
    some = StripBatches(standardised, dataclasses.replace(STILL, beat_share=0.4))
    chosen = dataclasses.replace(some.choose(2, np.random.default_rng(0))[0], beat_share=0.4)
    told, other, all_told = (
        some.build([one]).track for one in (chosen, dataclasses.replace(chosen, beat_order=1), dataclasses.replace(chosen, beat_share=1.0))
    )
    assert told is not None
    assert other is not None
    assert all_told is not None
    assert not told.equal(other)
    assert np.corrcoef(told[0, TRACK_CHANNELS:].numpy().ravel(), all_told[0, TRACK_CHANNELS:].numpy().ravel())[0, 1] > 0.95
