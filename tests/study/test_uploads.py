"""An uploaded zip: records and tables come out of it, in their folders, and nothing else does anything."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.recordings.wfdb_record import LARGEST_HEADER
from storage.database import Database
from study import uploads
from study.errors import StudyError
from study.intake import import_recordings
from study.uploads import unpack_zip
from tests.format_files import group, write_csv, write_dicom
from tests.wfdb_files import signals, write_record

HEADER = b"a 1 100 1000\na.dat 16 200(0)/mV 16 0 0 0 0 I\n"


def zipped(files: dict[str, bytes], *more: zipfile.ZipInfo) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info in more:
            archive.writestr(info, b"12")
    return buffer.getvalue()


def files_below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_zipped_folder_comes_in(db: Database, tmp_path: Path) -> None:
    record = write_record(tmp_path / "ward", "a", signals(1))
    data = zipped(
        {
            "ward/files/p1/a.hea": record.with_suffix(".hea").read_bytes(),
            "ward/files/p1/a.dat": record.with_suffix(".dat").read_bytes(),
            "ward/labels.csv": b"record,rhythm\na,NSR\n",
            "ward/README.md": b"not a record",
            "__MACOSX/ward/._a.hea": b"resource fork",
        }
    )
    folder = unpack_zip(data, tmp_path / "upload")
    assert files_below(folder) == {"ward/files/p1/a.hea", "ward/files/p1/a.dat", "ward/labels.csv"}
    assert import_recordings(db, None, folder, collection="ward").imported == 1


def test_files_of_other_formats_come_in_whatever_their_names(db: Database, tmp_path: Path) -> None:
    """An archive's DICOM without an ending, in a folder; and a CSV beside its table."""
    mv = [signals(seed, rate=500) for seed in (1, 2)]
    files = {"ward/CD1/IM000001": write_dicom(tmp_path / "x", [group(mv[0], 500)]), "ward/b.csv": write_csv(tmp_path / "y", mv[1])}
    labels = b"record,rhythm,rate,unit\nCD1/IM000001,NSR,,\nb.csv,NSR,500,uV\n"
    data = zipped({"ward/labels.csv": labels, **{name: file.read_bytes() for name, file in files.items()}})
    assert import_recordings(db, None, unpack_zip(data, tmp_path / "upload"), collection="ward").imported == 2


def test_a_file_may_be_given(tmp_path: Path) -> None:
    data = zipped({"a.hea": HEADER, "a.dat": b"12"})
    (tmp_path / "up.zip").write_bytes(data)
    assert files_below(unpack_zip(tmp_path / "up.zip", tmp_path / "1")) == {"a.hea", "a.dat"}


@pytest.mark.parametrize(
    "name",
    [
        "../a.dat",
        "/etc/a.dat",
        "x/../../a.dat",
        "x\\a.dat",
        "C:\\a.dat",
        "C:/a.dat",
        "a\n.dat",
        "-rf/a.dat",
        "x /a.dat",
        "é.dat",
        "a\u202etad.dat",
        "a\u2025/a.dat",
        "\\\\server\\share\\a.dat",
        "CON.dat",
        "nul/a.dat",
        "com1.dat.dat",
        "x./a.dat",
        "a" * 101 + ".dat",
        "1/2/3/4/5/6/7/8/a.dat",
    ],
)
def test_names_that_lead_elsewhere_are_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match="Rename"):
        unpack_zip(zipped({"a.hea": HEADER, name: b"12"}), tmp_path / "upload")
    assert files_below(tmp_path) == set()


@pytest.mark.parametrize("file", ["/etc/passwd", "../../secret.dat", "http://example.org/a.dat", "~", "a/b.dat"])
def test_headers_that_name_files_elsewhere_are_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(StudyError, match="beside it"):
        unpack_zip(zipped({"b.dat": b"12", "a.hea": HEADER.replace(b"a.dat", file.encode())}), tmp_path / "upload")
    assert files_below(tmp_path) == set()


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudyError, match="too large"):
        unpack_zip(zipped({"a.hea": HEADER, "a.dat": bytes(30_000_000)}), tmp_path / "1")
    with pytest.raises(StudyError, match="too large"):
        unpack_zip(zipped({"a.hea": HEADER + b"#" * LARGEST_HEADER}), tmp_path / "2")
    monkeypatch.setattr(uploads, "MAX_TOTAL", 1000)
    with pytest.raises(StudyError, match="too large"):
        unpack_zip(zipped({"a.hea": HEADER, "a.dat": bytes(600), "b.dat": bytes(600)}), tmp_path / "3")
    monkeypatch.setattr(uploads, "MAX_FILES", 2)
    with pytest.raises(StudyError, match="3 files"):
        unpack_zip(zipped({"a.hea": HEADER, "a.dat": b"", "b.dat": b""}), tmp_path / "4")
    assert files_below(tmp_path) == set()


def test_links_encrypted_files_and_doubles_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.dat")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.hea", HEADER)
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(StudyError, match="link"):
        unpack_zip(buffer.getvalue(), tmp_path / "1")
    with pytest.raises(StudyError, match="twice"):
        unpack_zip(zipped({"a.hea": HEADER, "A.hea": HEADER}), tmp_path / "2")
    encrypted = bytearray(zipped({"a.hea": HEADER}))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(StudyError, match="encrypted"):
        unpack_zip(bytes(encrypted), tmp_path / "3")


def test_devices_and_unusual_packing_are_refused(tmp_path: Path) -> None:
    for number, kind in enumerate((stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR)):
        device = zipfile.ZipInfo("a.dat")
        device.external_attr = (kind | 0o666) << 16
        with pytest.raises(StudyError, match="device"):
            unpack_zip(zipped({"a.hea": HEADER}, device), tmp_path / f"{number}")
    for number, method in enumerate((zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)):
        packed = zipfile.ZipInfo("a.dat")
        packed.compress_type = method
        with pytest.raises(StudyError, match="deflate"):
            unpack_zip(zipped({"a.hea": HEADER}, packed), tmp_path / f"packed {number}")
    assert files_below(tmp_path) == set()


def test_a_name_that_ends_early_is_refused(tmp_path: Path) -> None:
    data = zipped({"a.hea": HEADER, "a.dat_.dat": b"12"}).replace(b"a.dat_.dat", b"a.dat\0.dat")
    with pytest.raises(StudyError, match="Rename"):
        unpack_zip(data, tmp_path / "upload")


def test_one_place_for_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    for number, names in enumerate((("x.dat", "X.dat/a.dat"), ("x.dat/a.dat", "x.dat"))):
        with pytest.raises(StudyError, match="both a file and a folder"):
            unpack_zip(zipped({"a.hea": HEADER, **dict.fromkeys(names, b"12")}), tmp_path / f"{number}")


def test_entries_that_lie_over_one_another_are_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.hea": HEADER, "b.dat": bytes(3000), "c.dat": bytes(3000)}))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        of_b = archive.getinfo("b.dat").header_offset
    of_c = data.rindex(b"PK\x01\x02")
    data[of_c + 42 : of_c + 46] = of_b.to_bytes(4, "little")  # c's bytes are b's once more
    with pytest.raises(StudyError, match="over one another"):
        unpack_zip(bytes(data), tmp_path / "upload")
    assert files_below(tmp_path) == set()


def test_a_list_of_files_too_long_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({"a.hea": HEADER, **{f"{number}.txt": b"" for number in range(100)}})
    unpack_zip(data, tmp_path / "1")
    monkeypatch.setattr(uploads, "MAX_LIST", 2000)
    with pytest.raises(StudyError, match="lists more"):
        unpack_zip(data, tmp_path / "2")


def test_what_is_no_zip_of_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="readable zip"):
        unpack_zip(b"PK not a zip", tmp_path / "1")
    with pytest.raises(StudyError, match="no recording"):
        unpack_zip(zipped({"a.csv": b"record,rhythm\n"}), tmp_path / "2")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "there").touch()
    with pytest.raises(StudyError, match="not empty"):
        unpack_zip(zipped({"a.hea": HEADER}), tmp_path / "3")


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_zip_is_unpacked_or_refused(tmp_path_factory: pytest.TempPathFactory, at: int, value: int) -> None:
    data = bytearray(zipped({"a.hea": HEADER, "x/a.dat": bytes(range(256)) * 4}))
    data[at % len(data)] = value
    folder = tmp_path_factory.mktemp("upload")
    try:
        unpack_zip(bytes(data), folder)
    except StudyError:
        assert files_below(folder) == set()
