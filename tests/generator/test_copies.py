"""Copies of training strips are found whatever their gain and timing; strips of patients nobody trained on are not taken for copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.copies import AFTER, BEFORE, TAPS, Reference, beats, nearest
from generator.errors import GeneratorError
from generator.recordings import Recording, find, read_all
from generator.request import TRAINING_BEATS, checkpoint_sha256, shipped_checkpoint
from generator.simulate import stand_in
from generator.strip import RATE, canonical_from_stored

Counts = NDArray[np.int16]


@pytest.fixture(scope="module")
def simulated() -> Counts:
    """Thirty stand-ins of each rhythm, NSR first."""
    return np.stack([stand_in(rhythm, seed) for rhythm in ("NSR", "AF") for seed in range(30)])


RHYTHMS = ["NSR"] * 30 + ["AF"] * 30


def changed(strips: Counts, *, gain: float = 0.8, moved: int = 2, noise: float = 2.0, seed: int = 1) -> Counts:
    """Other gain, later by `moved` samples, noise of `noise` counts: what a network that repeats a strip may do to it."""
    rng = np.random.default_rng(seed)
    return np.rint(np.roll(strips * gain, moved, axis=-1) + rng.normal(0, noise, strips.shape)).astype(np.int16)


# ---- beats ----


def test_a_beat_is_of_unit_norm_without_means_and_knows_no_gain(simulated: Counts) -> None:
    found = beats(simulated[:4])
    assert found.shape == (4, 8, TAPS) == (4, 8, round((BEFORE + AFTER) * RATE) + 1)
    assert found.dtype == np.float32
    assert np.abs(found.mean(axis=-1)).max() < 1e-6
    assert np.linalg.norm(found.reshape(4, -1), axis=1) == pytest.approx(1)
    assert np.abs(beats(simulated[:4] * 3) - found).max() < 1e-5


def test_without_two_beats_there_is_no_beat(simulated: Counts) -> None:
    noise = np.random.default_rng(0).normal(0, 40, (1, 8, 1000))
    mixed = beats(np.concatenate([noise, simulated[:1]]))
    assert np.isnan(mixed[0]).all()
    assert np.isfinite(mixed[1]).all()
    correlation, index = nearest(mixed, beats(simulated[:3]))
    assert np.isnan(correlation[0])
    assert index.tolist() == [-1, 0]
    with pytest.raises(ValueError, match="shape"):
        beats(simulated[0])


def test_the_nearest_beat_is_the_correlation_that_it_says(simulated: Counts) -> None:
    found = beats(simulated)
    correlation, index = nearest(found[:5], found)
    assert index.tolist() == [0, 1, 2, 3, 4]
    assert correlation == pytest.approx(1, abs=1e-6)
    apart, other = nearest(found[:5], found, ~np.eye(5, 60, k=7, dtype=bool))
    assert other.tolist() == [7, 8, 9, 10, 11]
    direct = np.einsum("nct,nct->n", found[:5], found[7:12])
    assert (apart >= direct - 1e-6).all()  # another alignment may be better, never worse


def test_a_beat_about_another_r_time_is_aligned(simulated: Counts) -> None:
    found = beats(simulated[:10])
    moved = np.roll(found, 2, axis=-1)
    assert nearest(moved, found)[1].tolist() == list(range(10))
    assert nearest(moved, found)[0].min() > 0.99


def test_a_patients_own_strips_can_be_left_out(simulated: Counts) -> None:
    found = beats(simulated[:6])
    patients = ["a", "a", "b", "b", "c", "c"]
    _, index = nearest(found, found, patients)
    assert all(patients[i] != patients[at] for i, at in enumerate(index))
    alone, nobody = nearest(found[:2], found[:2], ["a", "a"])
    assert np.isnan(alone).all()
    assert nobody.tolist() == [-1, -1]
    with pytest.raises(ValueError, match="exclude"):
        nearest(found, found[:3], patients)


# ---- what a checkpoint carries ----


def test_planted_copies_are_found_and_other_strips_are_not(simulated: Counts) -> None:
    reference = Reference.of(simulated, None, RHYTHMS)
    assert reference.projections.shape == (60, 64)
    for rhythm, part in (("NSR", simulated[:30]), ("AF", simulated[30:])):
        assert reference.is_copy(changed(part), rhythm).all()
        others = np.stack([stand_in(rhythm, seed) for seed in range(100, 130)])
        assert reference.is_copy(others, rhythm).sum() <= 2


def test_a_copy_is_traced_to_its_strip(simulated: Counts) -> None:
    reference = Reference.of(simulated, None, RHYTHMS)
    distance, index = reference.nearest(changed(simulated))
    assert index.tolist() == list(range(60))
    assert distance.max() < 0.01


def test_millivolts_before_the_band_pass_give_the_same_reference(simulated: Counts) -> None:
    """Training holds mV that no band-pass has seen; a strip goes through it once more here, which changes little."""
    counts = np.stack([canonical_from_stored(strip * 0.005) for strip in simulated])
    one, other = Reference.of(counts, None, RHYTHMS), Reference.of(simulated * 0.005, None, RHYTHMS)
    assert np.array_equal(one.projections, other.projections)
    assert one.thresholds == other.thresholds


def test_it_is_written_and_read_whole(simulated: Counts, tmp_path: Path) -> None:
    assert Reference.load(tmp_path) is None
    reference = Reference.of(simulated, None, RHYTHMS, seed=3)
    reference.save(tmp_path)
    again = Reference.load(tmp_path)
    assert again is not None
    assert np.array_equal(again.projections, reference.projections)
    assert (again.thresholds, again.seed, again.share) == (reference.thresholds, 3, 0.99)
    assert [file.name for file in tmp_path.iterdir()] == [TRAINING_BEATS]
    content = (tmp_path / TRAINING_BEATS).read_bytes()
    reference.save(tmp_path)
    assert (tmp_path / TRAINING_BEATS).read_bytes() == content  # the checkpoint's hash is over these bytes


def test_projections_are_the_same_in_every_version_of_numpy() -> None:
    from generator.copies import _signs

    signs = _signs(0) * 8
    assert signs.shape == (8 * TAPS, 64)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert int(np.packbits(signs[0] > 0).view(">u8")[0]) == 0x5F82C2D9CFEB0FA3


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0{}              ", b"no safetensors at all"])
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TRAINING_BEATS).write_bytes(content)
    with pytest.raises(GeneratorError, match=r"training_beats\.safetensors cannot be read"):
        Reference.load(tmp_path)


def test_too_few_strips_of_a_rhythm_have_no_threshold(simulated: Counts) -> None:
    reference = Reference.of(simulated[:40], None, RHYTHMS[:40])
    assert (reference.covers("NSR"), reference.covers("AF")) == (True, False)
    assert not reference.is_copy(simulated[30:40], "AF").any()


def test_the_checkpoints_hash_covers_it(simulated: Counts, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((shipped_checkpoint() / name).read_bytes())
    without = checkpoint_sha256(tmp_path)
    Reference.of(simulated, None, RHYTHMS).save(tmp_path)
    one = checkpoint_sha256(tmp_path)
    Reference.of(simulated[1:], None, RHYTHMS[1:]).save(tmp_path)
    assert len({without, one, checkpoint_sha256(tmp_path)}) == 3
    (tmp_path / TRAINING_BEATS).unlink()
    assert checkpoint_sha256(tmp_path) == without


# ---- real recordings ----


@pytest.fixture(scope="module")
def ptbxl(shared: Path) -> dict[str, tuple[Counts, list[str], list[str]]]:
    """Strips, patients and rhythms: 200 NSR and all AF of folds 1 to 8; fold 9."""
    listed = find(shared / "data/ptbxl").candidates
    nsr = [one for one in listed if one.fold != 9 and one.rhythm == "NSR"][:200]
    chosen = {"train": nsr + [one for one in listed if one.fold != 9 and one.rhythm == "AF"], "test": [one for one in listed if one.fold == 9]}
    read = {name: [(one, result.counts) for one, result in read_all(some) if isinstance(result, Recording)] for name, some in chosen.items()}
    return {
        name: (np.stack([counts for _, counts in some]), [one.patient for one, _ in some], [one.rhythm for one, _ in some])
        for name, some in read.items()
    }


def test_copies_of_recordings_are_found_and_other_patients_are_not(ptbxl: dict[str, tuple[Counts, list[str], list[str]]]) -> None:
    strips, patients, rhythms = ptbxl["train"]
    reference = Reference.of(strips, patients, rhythms)
    for rhythm in ("NSR", "AF"):
        mine = np.flatnonzero(np.array(rhythms) == rhythm)[::4]
        assert reference.is_copy(changed(strips[mine]), rhythm).mean() > 0.98
        unseen = ptbxl["test"][0][np.array(ptbxl["test"][2]) == rhythm]
        assert reference.is_copy(unseen, rhythm).mean() <= 0.03


def test_projections_tell_copies_as_whole_beats_do(ptbxl: dict[str, tuple[Counts, list[str], list[str]]]) -> None:
    strips, patients, rhythms = ptbxl["train"]
    exact = 1 - nearest(beats(ptbxl["test"][0]), beats(strips))[0]
    estimated, _ = Reference.of(strips, patients, rhythms).nearest(ptbxl["test"][0])
    assert np.median(estimated / exact) == pytest.approx(0.95, abs=0.1)  # the least of many estimates is a little low
    assert np.corrcoef(exact, estimated)[0, 1] > 0.9
