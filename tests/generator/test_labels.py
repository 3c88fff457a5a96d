"""Which recordings are NSR and AF: the rules of generator.recordings.labels, one case a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.recordings.labels import rhythm_from_report, rhythm_from_scp_codes, rhythm_from_word


@pytest.mark.parametrize(
    ("scp_codes", "rhythm"),
    [
        ("{'AFIB': 0.0, 'NDT': 100.0}", "AF"),  # likelihood 0 is "unknown", not "absent"
        ("{'AFIB': 100.0, 'AFLT': 0.0}", None),
        ("{'AFIB': 0.0, 'PACE': 0.0}", None),
        ("{'NORM': 100.0, 'SR': 0.0}", "NSR"),
        ("{'NORM': 15.0, 'LVOLT': 0.0, 'SR': 0.0}", "NSR"),
        ("SR;NORM", "NSR"),
        ("SR;NORM;IRBBB", "NSR"),
        ("{'NORM': 100.0, 'SR': 0.0, 'AFIB': 0.0}", "AF"),
        ("{'SR': 0.0, 'IMI': 100.0}", None),
        ("{'NORM': 100.0, 'SBRAD': 0.0}", None),
        ("{'AFLT': 0.0}", None),
        ("{}", None),
        ("", None),
        ("{'SR': 0.0", None),
        ("__import__('os')", None),
        ("{{}: 1}", None),
        ("{" * 5000, None),
        ("{'SR': 0.0, 'NORM': " + "9" * 20_000 + "}", None),
    ],
)
def test_ptbxl(scp_codes: str, rhythm: str | None) -> None:
    found, reason = rhythm_from_scp_codes(scp_codes)
    assert found == rhythm
    assert bool(reason) == (rhythm is None)


@pytest.mark.parametrize(
    ("lines", "rhythm"),
    [
        (["Sinus rhythm", "Normal ECG"], "NSR"),
        (["Sinus rhythm.", "", "Summary: Normal ECG"], "NSR"),
        (["Normal sinus rhythm", "Within normal limits"], "NSR"),
        (["Sinus rhythm", "Normal ECG except for rate"], None),
        (["Sinus rhythm", "Borderline ECG"], None),
        (["Sinus rhythm", "Abnormal ECG"], None),
        (["Sinus bradycardia", "Normal ECG"], None),
        (["Sinus rhythm with PAC(s)", "Normal ECG"], None),
        (["Probable sinus rhythm", "Normal ECG"], None),
        (["Sinus rhythm", "Normal ECG", "--- Suspect arm lead reversal ---"], None),
        (["Sinus rhythm", "Normal ECG", "--- Warning: Data quality may affect interpretation ---"], None),
        (["Normal ECG"], None),
        (["Atrial fibrillation"], "AF"),
        (["Atrial fibrillation.", "Left axis deviation", "Abnormal ECG"], "AF"),
        (["Atrial fibrillation with rapid ventricular response", "Possible anterior infarct - age undetermined"], "AF"),
        (["ATRIAL FIBRILLATION WITH PVCs"], "AF"),
        (["Probable atrial fibrillation"], None),
        (["Consider atrial fibrillation"], None),
        (["Atrial fibrillation, possible"], None),
        (["Atrial fibrillation?"], None),
        (["Atrial fibrillation or flutter"], None),
        (["Atrial fibrillation/flutter"], None),
        (["Atrial flutter"], None),
        (["No atrial fibrillation", "Sinus rhythm", "Normal ECG"], None),
        (["Atrial fibrillation is no longer present", "Sinus rhythm", "Normal ECG"], None),
        (["Atrial fibrillation", "Ventricular pacing"], None),
        (["Atrial fibrillation", "Demand pacemaker; interpretation is based on intrinsic rhythm"], None),
        (["Atrial fibrillation", "Sinus rhythm"], None),
        (["Atrial fibrillation with a competing junctional pacemaker"], None),
        ([""] * 18, None),
    ],
)
def test_mimic(lines: list[str], rhythm: str | None) -> None:
    found, reason = rhythm_from_report(lines)
    assert found == rhythm
    assert bool(reason) == (rhythm is None)


@given(st.lists(st.text(max_size=40), max_size=18))
def test_any_report_has_a_rhythm_or_a_reason(lines: list[str]) -> None:
    rhythm, reason = rhythm_from_report(lines)
    assert (rhythm is None) == bool(reason)


@given(st.text(max_size=60))
def test_any_cell_has_a_rhythm_or_a_reason(text: str) -> None:
    for rule in (rhythm_from_scp_codes, rhythm_from_word):
        rhythm, reason = rule(text)
        assert (rhythm is None) == bool(reason)


@pytest.mark.parametrize(("word", "rhythm"), [("AF", "AF"), (" nsr", "NSR"), ("", None), ("SB", None)])
def test_a_folders_own_table(word: str, rhythm: str | None) -> None:
    assert rhythm_from_word(word)[0] == rhythm
