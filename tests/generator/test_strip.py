"""The canonical form: the same heart gives the same strip however it was filed, and what cannot be read is refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import signal

from generator import strip
from generator.errors import Refused
from generator.leads import LEADS, STORED, lead_name, twelve_leads
from generator.simulate import stand_in
from tests.wfdb_files import signals

COUNTS = arrays.arrays(np.int16, (8, 1000), elements=st.integers(-4000, 4000))


def refused(mv: NDArray[np.float64], *, rate: float = 100, leads: tuple[str, ...] = LEADS) -> Refused:
    with pytest.raises(Refused) as caught:
        strip.canonical(mv, rate, leads, name="bed 7")
    assert "bed 7" in str(caught.value)
    return caught.value


# ---- leads ----


@pytest.mark.parametrize(
    ("written", "name"), [("AVR", "aVR"), ("avr ", "aVR"), ("Lead II", "II"), ("MDC_ECG_LEAD_V1", "V1"), ("v6", "V6"), ("RESP", None)]
)
def test_leads_are_known_as_files_write_them(written: str, name: str | None) -> None:
    assert lead_name(written) == name


@given(COUNTS)
@settings(max_examples=20, deadline=None)
def test_limb_leads_obey_einthoven_and_goldberger(counts: NDArray[np.int16]) -> None:
    lead = dict(zip(LEADS, twelve_leads(counts), strict=True))
    np.testing.assert_array_equal(lead["I"] + lead["III"], lead["II"])
    np.testing.assert_array_equal(lead["aVR"] + lead["aVL"] + lead["aVF"], 0)
    np.testing.assert_array_equal(2 * lead["aVL"], lead["I"] - lead["III"])


# ---- the form ----


@given(st.permutations(range(12)), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_the_order_and_case_of_leads_in_the_file_do_not_matter(order: list[int], seed: int) -> None:
    mv = signals(seed)
    shuffled = strip.canonical(mv[order], 100, [LEADS[i].upper() for i in order])
    np.testing.assert_array_equal(shuffled, strip.canonical(mv, 100, LEADS))


@given(st.integers(0, 1000), arrays.arrays(np.float64, 8, elements=st.floats(-300, 300)))
@settings(max_examples=20, deadline=None)
def test_every_lead_is_centred_exactly_whatever_its_offset(seed: int, offsets: NDArray[np.float64]) -> None:
    counts = strip.canonical_from_stored(strip.millivolts(stand_in("AF", seed))[[LEADS.index(lead) for lead in STORED]] + offsets[:, None])
    assert counts.dtype == np.int16
    assert counts.shape == (8, 1000)
    np.testing.assert_array_equal(np.sort(counts, axis=-1)[:, 499], 0)


@pytest.mark.parametrize("rate", [128, 250, 257, 500, 1000])
def test_a_recording_at_a_higher_rate_gives_nearly_the_same_strip(rate: int) -> None:
    at_100 = signals(3)
    at_rate = signal.resample(np.tile(at_100, 3), 3 * 10 * rate, axis=-1)  # band-limited, and periodic: no edges
    expected = strip.canonical(np.tile(at_100, 3), 100, LEADS)
    difference = strip.canonical(at_rate, rate, LEADS) - expected.astype(int)
    assert np.abs(difference[:, 20:-20]).max() <= 4  # 20 microvolts


def test_a_longer_recording_gives_its_middle() -> None:
    mv = signals(4)
    longer = np.concatenate([signals(5)[:, :300], mv, signals(6)[:, :300]], axis=-1)
    np.testing.assert_array_equal(strip.canonical(longer, 100, LEADS), strip.canonical(mv, 100, LEADS))


def test_drift_and_hum_are_taken_out() -> None:
    seconds = np.arange(5000) / 500
    mv = signals(7, rate=500)
    disturbed = mv + 0.5 * np.sin(2 * np.pi * 0.05 * seconds) + 0.2 * np.sin(2 * np.pi * 50 * seconds)
    left = (strip.canonical(disturbed, 500, LEADS) - strip.canonical(mv, 500, LEADS).astype(int))[:, 150:-150]
    assert np.abs(left).max() * strip.MICROVOLTS_PER_COUNT < 30


def test_a_strip_that_ends_on_an_r_peak_does_not_swing() -> None:
    counts = stand_in("NSR", 3)
    lead = np.abs(counts[STORED.index("II")][:990])
    peak = int(np.argmax(lead[500:])) + 500
    cut = np.roll(strip.millivolts(counts), 999 - peak, axis=-1)  # the R peak is the last sample
    before_qrs = strip.canonical(cut, 100, LEADS)[:, 960:985] * strip.MICROVOLTS_PER_COUNT - cut[[LEADS.index(x) for x in STORED], 960:985] * 1000
    assert np.abs(before_qrs).max() < 300


@given(COUNTS)
@settings(max_examples=20, deadline=None)
def test_stored_bytes_come_back_and_the_hash_is_of_the_samples(counts: NDArray[np.int16]) -> None:
    blob = strip.to_bytes(counts)
    assert len(blob) == 16_000
    np.testing.assert_array_equal(strip.from_bytes(blob), counts)
    changed = counts.copy()
    changed[3, 500] ^= 1
    assert strip.strip_hash(changed) != strip.strip_hash(counts) == strip.strip_hash(strip.from_bytes(blob))


@given(COUNTS)
@settings(max_examples=20, deadline=None)
def test_readers_see_no_end_of_a_strip(counts: NDArray[np.int16]) -> None:
    """Recordings of PTB-XL end otherwise than drawn strips: the last 0.1 s is held in both, and nothing tells what it was."""
    shown = strip.as_shown(counts)
    assert np.all(shown[:, -10:] == shown[:, -11, None])
    np.testing.assert_array_equal(np.sort(shown, axis=-1)[:, 499], 0)
    np.testing.assert_array_equal(np.diff(shown[:, :-10].astype(int)), np.diff(counts[:, :-10].astype(int)))
    other_end = counts.copy()
    other_end[:, -10:] = 7
    np.testing.assert_array_equal(strip.as_shown(other_end), shown)


def test_unfiltered_is_what_canonical_filters() -> None:
    before = strip.unfiltered(signals(2, rate=500), 500, LEADS)
    assert before.shape == (8, 1000)
    np.testing.assert_array_equal(strip.canonical_from_unfiltered(before), strip.canonical(signals(2, rate=500), 500, LEADS))


# ---- refusals ----


@given(st.integers(0, 7), st.integers(0, 999), st.sampled_from([np.nan, np.inf, -np.inf]))
@settings(max_examples=20, deadline=None)
def test_one_sample_without_a_value_is_refused(lead: int, at: int, value: float) -> None:
    mv = signals()
    row = LEADS.index(STORED[lead])
    mv[row, at] = value
    refusal = refused(mv)
    assert refusal.reason == "missing samples (NaN)"
    assert f"lead {STORED[lead]} " in str(refusal)


def test_a_missing_lead_is_refused_and_named() -> None:
    refusal = refused(signals()[:11], leads=LEADS[:11])
    assert refusal.reason == "missing lead"
    assert "V6" in str(refusal)


def test_leads_that_follow_from_others_may_be_missing() -> None:
    rows = [LEADS.index(lead) for lead in STORED]
    np.testing.assert_array_equal(strip.canonical(signals()[rows], 100, STORED), strip.canonical(signals(), 100, LEADS))


def test_too_short_is_refused() -> None:
    assert refused(signals(seconds=9.9)).reason == "shorter than 10 s"


def test_too_slow_is_refused() -> None:
    assert refused(signals(), rate=99).reason == "rate below 100 samples/s"


def test_a_dead_lead_is_refused() -> None:
    mv = signals()
    mv[7] = 0.2
    refusal = refused(mv)
    assert refusal.reason == "flat lead"
    assert "V2" in str(refusal)


def test_a_lead_that_drops_out_for_two_seconds_is_refused() -> None:
    mv = signals()
    mv[1, 300:500] = mv[1, 300]
    assert refused(mv).reason == "flat lead"


def test_cut_off_r_waves_are_refused() -> None:
    mv = signals(3, rate=500)
    row = LEADS.index("V5")
    mv[row] = np.minimum(mv[row], 0.4 * mv[row].max())
    refusal = refused(mv, rate=500)
    assert refusal.reason == "clipped lead"
    assert "V5" in str(refusal)


def test_a_level_isoelectric_line_is_not_taken_for_clipping() -> None:
    mv = np.maximum(signals(3), -0.02)  # the lowest value is the line between the waves, for seconds in all
    strip.canonical(mv, 100, LEADS)


def test_impossible_amplitudes_are_refused() -> None:
    refusal = refused(signals() * 1000)
    assert refusal.reason == "amplitude above 20 mV"
    assert "gain" in str(refusal)


def test_names_and_samples_that_do_not_match_are_refused() -> None:
    assert refused(signals()[:11]).reason == "wrong header"
