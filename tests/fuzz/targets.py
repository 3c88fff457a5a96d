"""The importers, each with good files to spoil and what it may answer: a sound recording, or an error whose message is meant for a person."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from generator.errors import GeneratorError, Refused
from generator.leads import LEADS
from generator.recordings import Candidate, Journal, Recording, WrittenStrip, find, read, read_all, write_folder
from generator.simulate import stand_in
from generator.strip import RATE
from study.agreement import file as agreement_file
from study.agreement import imrmc
from study.errors import StudyError
from study.uploads import unpack_zip
from tests.cart_files import sealed
from tests.fuzz.format_seeds import STATED, TEXTS, format_seeds
from tests.wfdb_files import signals, write_record

Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """weight: its share of the files; to_spoil: ends of the names of its files that are spoiled."""

    name: str
    seeds: list[Files]
    take_in: Callable[[Path], None]  # of the folder that holds the files; raises a refusal, or anything else where there is a defect
    weight: int
    to_spoil: tuple[str, ...] = ("",)
    text: bool = False  # whether its files have tokens and lines, whatever their names


REFUSALS = (GeneratorError, StudyError)
AT_MOST = 4  # recordings of a folder: a table of many rows is no hang


def targets(scratch: Path) -> list[Target]:
    """scratch: an empty folder in which the seeds are made."""
    records = _records(scratch)
    [plain] = [one for one in records if b"r.dat 16 " in one["r.hea"]][:1]
    ptbxl, mimic, ward, drawn, journal = _ptbxl(plain), _mimic(plain), _ward(plain), _drawn(scratch), _journal(scratch)
    zips = [{"up.zip": _zipped(files)} for files in (ward, ptbxl, mimic, drawn)]
    beside = scratch / "formats"
    beside.mkdir()
    return [
        Target("WFDB record", records, _take_record, 40, (".hea", ".hea", ".dat")),
        Target("PTB-XL", [ptbxl], _take_folder, 10, (".csv",)),
        Target("MIMIC-IV-ECG", [mimic], _take_folder, 10, (".csv",)),
        Target("folder", [ward], _take_folder, 12, (".csv",)),
        Target("drawn strips", [drawn], _take_folder, 7, (".json", ".hea")),
        Target("journal", [journal], _take_journal, 4, (".jsonl",)),
        Target("zip", zips, _take_zip, 12),
        Target("answers as CSV", [{"answers.csv": _answers()}], _take_answers, 3),
        Target("answers as iMRMC", [{"answers.imrmc": _imrmc()}], _take_imrmc, 2),
        *(_file_target(name, seeds) for name, seeds in format_seeds(beside).items()),
    ]


def _file_target(name: str, seeds: list[Files]) -> Target:
    return Target(name, seeds, _take_sealed if name == "SCP-ECG" else _take_file, 6, text=name in TEXTS)


# ---- taking in ----


def _take_record(folder: Path) -> None:
    _sound(read(Candidate(folder / "r", "r", "fuzz", "NSR", "p")))


def _take_file(folder: Path) -> None:
    _sound(read(Candidate(folder / "r", "r", "fuzz", "NSR", "p", stated=STATED)))


def _take_sealed(folder: Path) -> None:
    """With length and checksum made to fit, or nothing behind them would be looked at."""
    content = (folder / "r").read_bytes()
    (folder / "r").write_bytes(sealed(content) if len(content) > 6 else content)
    _take_file(folder)


def _take_folder(folder: Path) -> None:
    refused = None
    for _, result in read_all(find(folder).candidates[:AT_MOST]):
        if isinstance(result, Refused):
            refused = result
        else:
            _sound(result)
    if refused is not None:
        raise refused


def _take_journal(folder: Path) -> None:
    with Journal(folder) as journal:
        assert all(isinstance(number, int) for number in journal.numbers())


def _take_zip(folder: Path) -> None:
    _take_folder(unpack_zip(folder / "up.zip", folder / "unpacked"))


def _take_answers(folder: Path) -> None:
    agreement_file.read_csv(folder / "answers.csv")


def _take_imrmc(folder: Path) -> None:
    imrmc.read(folder / "answers.imrmc")


def _sound(recording: Recording) -> None:
    counts = recording.counts
    assert counts.shape == (8, 1000)
    assert counts.dtype == np.int16
    assert recording.rate >= RATE
    assert np.isfinite(recording.unfiltered).all()


# ---- good files ----


def _records(scratch: Path) -> list[Files]:
    """A short recording in each format that wfdb writes, one of several samples a frame, one at 500 samples/s, one in microvolts."""
    made = [_read(write_record(scratch / "plain", "r", signals(1))), _read(write_record(scratch / "500", "r", signals(2, "AF", 500), rate=500))]
    made.append(_read(write_record(scratch / "uV", "r", signals(3), unit="uV", gain=1.0)))
    mv = signals(4)
    for form in ("80", "212", "24", "32", "508", "516", "524"):
        folder = scratch / form
        folder.mkdir()
        gain = 60 / np.abs(mv).max() if form in ("80", "508") else 200.0  # in 8 bits too
        digital = np.rint(mv.T * gain).astype(np.int64)
        digital[:, 1] = digital[:, 0] + digital[:, 2]  # what rounding took from Einthoven's triangle
        about = {"fs": 100, "units": ["mV"] * 12, "sig_name": list(LEADS), "adc_gain": [gain] * 12, "baseline": [0] * 12}
        wfdb.wrsamp("r", fmt=[form] * 12, d_signal=digital, write_dir=str(folder), **about)
        made.append(_read(folder / "r"))
    several = dict(made[1])
    several["r.hea"] = several["r.hea"].replace(b"r 12 500 5000", b"r 12 250 2500").replace(b"r.dat 16 ", b"r.dat 16x2 ")
    several["r.dat"] = np.frombuffer(several["r.dat"], "<i2").reshape(2500, 2, 12).swapaxes(1, 2).tobytes()
    return [*made, several]


def _ptbxl(record: Files) -> Files:
    rows = ["ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr"]
    rows += [f"{i},{7000 + i}.0,6{i}.0,{i % 2},\"{{'NORM': 100.0, 'SR': 0.0}}\",{i + 1},records100/0/r{i}" for i in range(4)]
    return {"ptbxl_database.csv": "\n".join([*rows, "9,7,61,0,AFIB,3,records100/0/r4"]).encode(), **_several("records100/0", record, 5)}


def _mimic(record: Files) -> Files:
    where = ["subject_id,study_id,file_name,ecg_time,path"] + [f"{100 + i},{i},{i},2180-07-23 08:44:00,files/p1/r{i}" for i in range(3)]
    said = ["subject_id,study_id,cart_id,ecg_time,report_0,report_1,rr_interval", "100,0,6,2180-07-23,Sinus rhythm,Normal ECG,659"]
    said += ["101,1,6,2180-07-23,Atrial fibrillation,,700", '102,2,6,2180-07-23,Sinus rhythm,"Normal ECG, except for rate",1']
    return {"record_list.csv": "\n".join(where).encode(), "machine_measurements.csv": "\n".join(said).encode(), **_several("files/p1", record, 3)}


def _ward(record: Files) -> Files:
    return {"labels.csv": b"record,rhythm,patient,age,sex,fold\nx/r0,NSR,7001,61,F,3\nr1,AF,7002,90,m,1\n", **_several("x", record, 2)}


def _drawn(scratch: Path) -> Files:
    folder = scratch / "drawn"
    write_folder(folder, [WrittenStrip(stand_in("AF", number), "AF", 1, number, {"heart_rate": 80.0}) for number in range(2)], {"checkpoint": "ab"})
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def _journal(scratch: Path) -> Files:
    folder = scratch / "journal"
    folder.mkdir()
    with Journal(folder) as journal:
        journal.begin({"seed": 5, "rhythm": "AF"})
        for number in range(3):
            journal.write(WrittenStrip(stand_in("AF", number), "AF", 5, number))
        journal.reject(3, "flat lead")
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def _answers() -> bytes:
    rows = ["reader,case,site,truth,rating,rhythm"]
    rows += [
        f"r{reader},c{case},{'NS'[reader % 2]},{case % 2},{(reader + case) % 6 + 1},{'AF' if case % 3 else 'NSR'}"
        for reader in range(3)
        for case in range(6)
    ]
    return "\n".join(rows).encode()


def _imrmc() -> bytes:
    rows = ["N0: 3", "N1: 3", "NR: 2", "NM: 1", "BEGIN DATA:", *(f"-1,c{case},0,{case % 2}" for case in range(6))]
    return "\n".join([*rows, *(f"r{reader},c{case},m,{case + reader}" for reader in range(2) for case in range(6))]).encode()


def _several(folder: str, record: Files, number: int) -> Files:
    """Headers r0, r1, ... of the same samples."""
    return {f"{folder}/r.dat": record["r.dat"], **{f"{folder}/r{i}.hea": record["r.hea"] for i in range(number)}}


def _read(record: Path) -> Files:
    return {file.name: file.read_bytes() for file in sorted(record.parent.glob(f"{record.name}*"))}


def _zipped(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
