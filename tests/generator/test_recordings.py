"""What `find` lists of each layout, and folders of strips that come back as they were written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from generator.errors import GeneratorError, Refused
from generator.leads import LEADS, STORED
from generator.recordings import WrittenStrip, find, read, read_all, write_folder
from generator.recordings.strips import record_files
from generator.recordings.wfdb_record import read_leads
from generator.simulate import stand_in
from generator.strip import millivolts, strip_hash
from tests.wfdb_files import signals, write_record

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.fixture
def mimic(tmp_path: Path) -> Path:
    """Three studies in MIMIC-IV-ECG's layout: normal, fibrillation, paced."""
    reports = [("Sinus rhythm", "Normal ECG"), ("Atrial fibrillation", "Abnormal ECG"), ("Ventricular pacing", "")]
    where, said = ["subject_id,study_id,file_name,ecg_time,path"], ["subject_id,study_id,cart_id,ecg_time,report_0,report_1,bandwidth,rr_interval"]
    for number, lines in enumerate(reports):
        subject, study = 10000032 + number, 40689238 + number
        folder = f"files/p{str(subject)[:4]}/p{subject}/s{study}"
        order = [LEADS.index(lead) for lead in MIMIC_LEADS]
        write_record(tmp_path / folder, str(study), signals(number, rate=500)[order], rate=500, leads=MIMIC_LEADS)
        where.append(f"{subject},{study},{study},2180-07-23 08:44:00,{folder}/{study}")
        said.append(f"{subject},{study},6848296,2180-07-23 08:44:00,{lines[0]},{lines[1]},0.005-150 Hz,659")
    (tmp_path / "record_list.csv").write_text("\n".join(where))
    (tmp_path / "machine_measurements.csv").write_text("\n".join(said))
    return tmp_path


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A hospital's folder: records at several depths and a table."""
    folder = tmp_path / "ward 3"
    write_record(folder, "a", signals(1))
    write_record(folder / "2024" / "may", "b", signals(2, "AF"))
    (folder / "labels.csv").write_text("record,rhythm,patient,age,sex\na,NSR,7001,61,F\nb,AF,7002,,\n")
    return folder


# ---- PTB-XL ----


def test_ptbxl_as_published(shared: Path) -> None:
    listing = find(shared / "data" / "ptbxl", shared / "data" / "ptbxl" / "ptbxl_database.csv")
    rhythms = [candidate.rhythm for candidate in listing.candidates]
    assert (listing.kind, rhythms.count("AF"), rhythms.count("NSR"), sum(listing.left_out.values())) == ("PTB-XL", 246, 1611, 0)
    fold_9 = [candidate.rhythm for candidate in listing.candidates if candidate.fold == 9]
    assert (fold_9.count("AF"), fold_9.count("NSR")) == (28, 198)
    ages = [candidate.age for candidate in listing.candidates if candidate.age is not None]
    assert max(ages) == 90  # 300 in the table: over 89
    assert {candidate.sex for candidate in listing.candidates} == {"female", "male"}


def test_ptbxl_patients_are_pseudonyms_and_an_unknown_patient_is_nobody_elses(shared: Path) -> None:
    candidates = {candidate.record: candidate for candidate in find(shared / "data" / "ptbxl").candidates}
    assert all(len(candidate.patient) == 64 for candidate in candidates.values())
    assert len({candidate.patient for candidate in candidates.values()}) == 1831  # 428 records of patient -1 count as 428 patients


def test_both_wfdb_formats_of_ptbxl_are_read(shared: Path) -> None:
    candidates = find(shared / "data" / "ptbxl").candidates
    flac = next(c for c in candidates if c.path.with_name(c.path.name + "_1.dat").exists())
    plain = next(c for c in candidates if c.path.with_name(c.path.name + ".dat").exists())
    for candidate in (flac, plain):
        recording = read(candidate)
        assert recording.rate == 100
        assert recording.unfiltered.shape == (8, 1000)
        leads = read_leads(candidate.path)
        two = leads.millivolts[[name.upper() for name in leads.names].index("II")]
        np.testing.assert_allclose(recording.unfiltered[1], two, atol=1e-6)


def test_all_but_few_of_a_sample_of_ptbxl_are_readable(shared: Path) -> None:
    results = [result for _, result in read_all(find(shared / "data" / "ptbxl").candidates[::20])]
    assert len(results) == 93
    assert not [str(result) for result in results if isinstance(result, Refused)]


def test_a_record_that_a_table_names_again_is_read_once(tmp_path: Path) -> None:
    table = tmp_path / "ptbxl_database.csv"
    rows = ["ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr", *["1,2,3,0,SR;NORM,1,a/r"] * 3, "1,2,3,0,SR;NORM,1,a/s"]
    table.write_text("\n".join(rows))
    listing = find(tmp_path)
    assert ([one.record for one in listing.candidates], listing.left_out) == (["r", "s"], {"in the table once more": 2})
    table.write_text("\n".join([*rows, "1,2,3,0,AFIB,1,a/r"]))
    with pytest.raises(GeneratorError, match="both NSR and AF"):
        find(tmp_path)


def test_of_many_reasons_the_common_ones_are_told(tmp_path: Path) -> None:
    rows = ["record,rhythm", *["a,SVT"] * 2, *(f"a,rhythm {number}" for number in range(200))]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    left_out = find(tmp_path).left_out
    assert (len(left_out), left_out.total(), left_out["rhythm 'SVT' is neither NSR nor AF"]) == (51, 202, 2)


@pytest.mark.parametrize("record", ["a\0b", "x" * 5000, "/".join("x" * 200 for _ in range(40)), "../../etc/passwd", "/etc/passwd", "."])
def test_a_record_that_is_no_path_in_the_folder_is_refused(tmp_path: Path, record: str) -> None:
    (tmp_path / "labels.csv").write_text(f"record,rhythm\n{record},NSR\n")
    with pytest.raises(GeneratorError, match=r"outside|is no path"):
        find(tmp_path)


@pytest.mark.parametrize("age", ["inf", "-inf", "-nan", "1e999", "old"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, age: str) -> None:
    (tmp_path / "labels.csv").write_text(f"record,rhythm,fold\na,NSR,{age}\n")
    with pytest.raises(GeneratorError, match="no number"):
        find(tmp_path)


def test_a_manifest_of_brackets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(GeneratorError, match="no readable manifest"):
        find(tmp_path)


def test_ptbxl_table_that_leads_outside_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "ptbxl_database.csv"
    table.write_text("ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr\n1,2,3,0,SR;NORM,1,../../etc/passwd\n")
    with pytest.raises(GeneratorError, match="outside"):
        find(tmp_path, table)


# ---- MIMIC-IV-ECG ----


@pytest.mark.parametrize("table", ["record_list.csv", "machine_measurements.csv", None])
def test_mimic_by_the_carts_report(mimic: Path, table: str | None) -> None:
    listing = find(mimic, mimic / table if table else None)
    assert listing.kind == "MIMIC-IV-ECG"
    assert [(c.record, c.rhythm) for c in listing.candidates] == [("40689238", "NSR"), ("40689239", "AF")]
    assert dict(listing.left_out) == {"pacing": 1}
    assert "10000032" not in repr([candidate.patient for candidate in listing.candidates])


def test_mimic_lead_order_is_taken_from_the_header(mimic: Path) -> None:
    recording = read(find(mimic).candidates[0])
    assert recording.rate == 500
    expected = millivolts(stand_in("NSR", 0))[[LEADS.index(lead) for lead in STORED]]
    assert np.abs(millivolts(recording.counts)[[LEADS.index(lead) for lead in STORED]] - expected)[:, 100:-100].max() < 0.12
    assert np.corrcoef(recording.counts.ravel(), expected.ravel())[0, 1] > 0.99


def test_mimic_needs_both_tables(mimic: Path) -> None:
    (mimic / "machine_measurements.csv").unlink()
    with pytest.raises(GeneratorError, match=r"machine_measurements\.csv"):
        find(mimic, mimic / "record_list.csv")


# ---- any folder ----


def test_a_folder_with_a_table(ward: Path) -> None:
    listing = find(ward)
    assert listing.kind == "folder"
    assert [(c.record, c.rhythm, c.collection, c.age, c.sex) for c in listing.candidates] == [
        ("a", "NSR", "ward 3", 61.0, "female"),
        ("2024/may/b", "AF", "ward 3", None, None),
    ]
    assert not any(isinstance(result, Refused) for _, result in read_all(listing.candidates))
    assert "7001" not in repr(listing)


def test_a_table_below_the_named_folder_is_found(ward: Path) -> None:
    assert len(find(ward.parent).candidates) == 2


def test_a_table_with_semicolons_and_a_byte_order_mark(ward: Path) -> None:
    (ward / "labels.csv").write_text("\ufeffrecord;rhythm\na;nsr\n2024/may/b.hea;af\n", encoding="utf-8")
    assert [c.rhythm for c in find(ward).candidates] == ["NSR", "AF"]


def test_rows_of_another_rhythm_are_left_out_and_counted(ward: Path) -> None:
    (ward / "labels.csv").write_text("record,rhythm\na,NSR\nb,SVT\nc,\n")
    listing = find(ward)
    assert len(listing.candidates) == 1
    assert dict(listing.left_out) == {"rhythm 'SVT' is neither NSR nor AF": 1, "no rhythm given": 1}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("record,rhythm\na,NSR\na,AF\n", "both NSR and AF"),
        ("record,rhythm\n../../outside,AF\n", "outside"),
        ("record,rhythm\n/etc/hosts,AF\n", "outside"),
        ("record,rhythm\n,AF\n", "outside"),
        ("record,rhythm,age\na,AF,old\n", "no number"),
        ("record,rhythm,sex\na,AF,x\n", "Write F, M"),
        ("name,label\na,AF\n", "no known kind"),
        ("", "first line"),
        ('record,rhythm\n"a,NSR\n', "readable table"),
        ("record,rhythm\na,NSR,1,2,3\n", "line 2 has 5 cells"),
    ],
)
def test_a_broken_table_says_what_to_do(ward: Path, table: str, message: str) -> None:
    (ward / "labels.csv").write_text(table)
    with pytest.raises(GeneratorError, match=message) as caught:
        find(ward)
    assert "labels.csv" in str(caught.value)


def test_a_name_that_occurs_twice_must_be_written_in_full(ward: Path) -> None:
    write_record(ward / "2023", "b", signals(3, "AF"))
    with pytest.raises(GeneratorError, match="2 times"):
        find(ward)
    (ward / "labels.csv").write_text("record,rhythm\n2023/b,AF\n2024/may/b,AF\n")
    assert len(find(ward).candidates) == 2


def test_a_folder_without_a_table_says_which_are_known(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match=r"labels\.csv"):
        find(tmp_path)
    with pytest.raises(GeneratorError, match="no such folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(GeneratorError, match="no such file"):
        find(tmp_path, tmp_path / "labels.csv")


def test_progress_counts_refusals_too(ward: Path) -> None:
    (ward / "a.dat").unlink()
    seen: list[tuple[int, int]] = []
    results = list(read_all(find(ward).candidates, lambda done, total: seen.append((done, total))))
    assert [type(result).__name__ for _, result in results] == ["Refused", "Recording"]
    assert seen == [(1, 2), (2, 2)]


# ---- folders of strips ----


@given(arrays.arrays(np.int16, (8, 1000), elements=st.integers(-16_000, 16_000)))
@settings(max_examples=10, deadline=None)
def test_every_count_survives_a_folder(tmp_path_factory: pytest.TempPathFactory, counts: NDArray[np.int16]) -> None:
    if np.abs(counts[1].astype(int) - counts[0]).max() > 16_000:
        counts = (counts // 2).astype(np.int16)
    folder = tmp_path_factory.mktemp("strips")
    write_folder(folder, [WrittenStrip(counts, "AF", 1, 0)], {})
    np.testing.assert_array_equal(read(find(folder).candidates[0]).counts, counts)


def test_a_folder_of_strips_says_all_in_the_manifest_and_nothing_in_names(tmp_path: Path) -> None:
    strips = [WrittenStrip(stand_in(rhythm, 5), rhythm, 7, number, {"heart_rate": 70 + number}) for number, rhythm in enumerate(["NSR", "AF", "AF"])]
    names = write_folder(tmp_path, strips, {"checkpoint": "c0ffee", "sampler": "dpm++2m", "steps": 20, "guidance": 1.0})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["checkpoint"] == "c0ffee"
    assert [entry["record"] for entry in manifest["strips"]] == sorted(names)
    by_name = {entry["record"]: entry for entry in manifest["strips"]}
    for name, written in zip(names, strips, strict=True):
        assert by_name[name] == {
            "record": name, "rhythm": written.rhythm, "seed": 7, "number": written.number,
            "sha256": strip_hash(written.counts), "heart_rate": 70 + written.number,
        }  # fmt: skip
        header = (tmp_path / f"{name}.hea").read_text().lower()
        assert not any(word in header.replace(name, "") for word in ("nsr", "af\n", "synth", "drawn", "seed", "#"))
    listing = find(tmp_path)
    assert listing.kind == "strips"
    assert {c.record: c.rhythm for c in listing.candidates} == {name: strip.rhythm for name, strip in zip(names, strips, strict=True)}
    again = write_folder(tmp_path / "again", strips, {})
    assert again == names


def test_other_programs_read_the_twelve_leads_in_millivolts(tmp_path: Path) -> None:
    counts = stand_in("NSR", 8)
    (name,) = write_folder(tmp_path, [WrittenStrip(counts, "NSR", 1, 0)], {})
    leads = read_leads(tmp_path / name)
    assert leads.names == list(LEADS)
    np.testing.assert_allclose(leads.millivolts, millivolts(counts), atol=1e-12)


@pytest.mark.parametrize("comments", [[], ["SYNTHETIC: drawn", "arm: synthetic"]])
def test_records_are_to_the_byte_what_wfdb_writes(tmp_path: Path, comments: list[str]) -> None:
    counts = stand_in("AF", 9)
    name = "00c0ffee"
    for file, content in record_files(name, counts, comments).items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "wfdb").mkdir()
    half_counts = np.rint(millivolts(counts) * 400).astype(int)
    wfdb.wrsamp(
        name, fs=100, units=["mV"] * 12, sig_name=list(LEADS), d_signal=half_counts.T, fmt=["16"] * 12,
        adc_gain=[400.0] * 12, baseline=[0] * 12, comments=comments, write_dir=str(tmp_path / "wfdb"),
    )  # fmt: skip
    for kind in ("hea", "dat"):
        assert (tmp_path / f"{name}.{kind}").read_bytes() == (tmp_path / "wfdb" / f"{name}.{kind}").read_bytes()


def test_a_changed_strip_is_refused(tmp_path: Path) -> None:
    (name,) = write_folder(tmp_path, [WrittenStrip(stand_in("NSR", 1), "NSR", 1, 0)], {})
    data = bytearray((tmp_path / f"{name}.dat").read_bytes())
    data[2000] ^= 2
    (tmp_path / f"{name}.dat").write_bytes(data)
    with pytest.raises(Refused, match="sha256") as caught:
        read(find(tmp_path).candidates[0])
    assert caught.value.reason == "changed samples"


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    write_folder(tmp_path, [], {})
    with pytest.raises(GeneratorError, match="already"):
        write_folder(tmp_path, [], {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"strips": [{"record": "a"}]}',
        '{"strips": ["a"]}',
        '{"strips": [{"record": "../x", "rhythm": "AF", "seed": 1, "number": 0, "sha256": ""}]}',
    ],
)
def test_a_manifest_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(GeneratorError, match=r"manifest\.json"):
        find(tmp_path)
