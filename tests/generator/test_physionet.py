"""Fetching from PhysioNet, against a server on this machine: only what is needed, whole, checked, and gone on with after whatever happened."""

from __future__ import annotations

import hashlib
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.errors import Cancelled, GeneratorError, Refused
from generator.physionet import COLLECTIONS, Choice, Fetched, downloads
from generator.physionet.choice import choose, stratum
from generator.physionet.fetching import fetch
from generator.recordings import find, read_all
from generator.recordings.candidate import Row
from tests.benchmarks import index
from tests.physionet_server import Served, lay_out_mimic, lay_out_ptbxl, served

PTBXL, MIMIC = COLLECTIONS["ptb-xl"], COLLECTIONS["mimic-iv-ecg"]
ALL = Choice()
ROOT = "ptb-xl/1.0.3/"
FIRST = f"{ROOT}records100/00000/00001_lr"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("physionet")
    lay_out_ptbxl(folder)
    lay_out_mimic(folder)
    return folder


@pytest.fixture
def server(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(downloads, "SECONDS_BEFORE_NEXT_TRY", 0.0)
    with served(site) as state:
        yield state


def ptbxl(server: Served, folder: Path, choice: Choice = ALL) -> Fetched:
    return fetch(PTBXL, folder, choice, base=server.address)


def same(folder: Path, site: Path, place: str) -> bool:
    return all((folder / f"{place}.{ending}").read_bytes() == (site / ROOT / f"{place}.{ending}").read_bytes() for ending in ("hea", "dat"))


def test_only_the_chosen_records_come_and_the_import_takes_the_folder(server: Served, site: Path, tmp_path: Path) -> None:
    done = ptbxl(server, tmp_path, Choice(n=4, seed=3))
    assert (done.chosen, done.recordings, done.missing) == (4, 4, {})
    records = [path for path in server.paths() if "/records" in path]
    assert len(records) == 8  # two files each, once
    listing = find(tmp_path)
    assert Counter(one.rhythm for one in listing.candidates) == {"NSR": 2, "AF": 2}
    assert {one.path.relative_to(tmp_path).as_posix() for one in listing.candidates} == {path.removeprefix(ROOT)[:-4] for path in records}
    assert not any(isinstance(result, Refused) for _, result in read_all(listing.candidates))
    assert (tmp_path / "LICENSE.txt").read_text() == "the licence\n"


def test_what_is_there_is_not_fetched_again_and_a_second_choice_adds(server: Served, tmp_path: Path) -> None:
    ptbxl(server, tmp_path, Choice(("AF",), n=2))
    before = len(server.requests)
    again = ptbxl(server, tmp_path, Choice(("AF",), n=2))
    assert (len(server.requests) - before, again.downloaded_bytes) == (0, 0)
    assert ptbxl(server, tmp_path, Choice(("NSR",), n=1)).recordings == 3
    assert Counter(one.rhythm for one in find(tmp_path).candidates) == {"AF": 2, "NSR": 1}


def test_folds(server: Served, tmp_path: Path) -> None:
    ptbxl(server, tmp_path, Choice(folds=frozenset({2})))
    assert {one.fold for one in find(tmp_path).candidates} == {2}


def test_mimic(server: Served, tmp_path: Path) -> None:
    done = fetch(MIMIC, tmp_path, Choice(n=2), base=server.address)
    listing = find(tmp_path)
    assert (done.recordings, listing.kind, sorted(one.rhythm for one in listing.candidates)) == (2, "MIMIC-IV-ECG", ["AF", "NSR"])
    assert not any(isinstance(result, Refused) for _, result in read_all(listing.candidates))


@pytest.mark.parametrize("path", [f"{FIRST}.dat", f"{ROOT}ptbxl_database.csv", f"{ROOT}SHA256SUMS.txt"])
def test_a_transfer_cut_in_its_middle_goes_on_from_there(server: Served, site: Path, tmp_path: Path, path: str) -> None:
    server.cuts[path] = 2
    ptbxl(server, tmp_path)
    ranges = [asked for name, asked in server.requests if name == path]
    size = (site / path).stat().st_size
    assert ranges == ["", f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]
    assert same(tmp_path, site, "records100/00000/00001_lr")


def test_a_part_that_an_earlier_program_left_is_gone_on_with(server: Served, site: Path, tmp_path: Path) -> None:
    place = "records100/00000/00001_lr"
    part = tmp_path / f"{place}.dat.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((site / ROOT / f"{place}.dat").read_bytes()[:1000])
    ptbxl(server, tmp_path)
    assert (f"{FIRST}.dat", "bytes=1000-") in server.requests
    assert same(tmp_path, site, place)


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * 1_000_000])
def test_a_part_of_something_else_is_thrown_away(server: Served, site: Path, tmp_path: Path, left: bytes) -> None:
    place = "records100/00000/00001_lr"
    part = tmp_path / f"{place}.dat.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert ptbxl(server, tmp_path).missing == {}
    assert same(tmp_path, site, place)


def test_a_wrong_sum_and_a_404_are_told_and_the_others_come(server: Served, tmp_path: Path) -> None:
    server.altered.add(f"{FIRST}.dat")
    server.absent.add(f"{ROOT}records100/00000/00002_lr.hea")
    done = ptbxl(server, tmp_path)
    assert (done.chosen, done.recordings) == (8, 6)
    assert "SHA-256 is not the published one" in done.missing["records100/00000/00001_lr"]
    assert "404" in done.missing["records100/00000/00002_lr"]
    assert server.paths().count(f"{FIRST}.dat") == 2
    assert not (tmp_path / "records100/00000/00001_lr.dat").exists()
    assert len(find(tmp_path).candidates) == 6


@pytest.mark.parametrize("fault", ["altered", "absent"])
def test_a_table_that_is_not_the_published_one_stops_it(server: Served, tmp_path: Path, fault: str) -> None:
    getattr(server, fault).add(f"{ROOT}ptbxl_database.csv")
    with pytest.raises(GeneratorError, match=r"ptbxl_database.csv: .*(SHA-256|404)"):
        ptbxl(server, tmp_path)


def test_a_page_in_place_of_the_list_of_sums_is_refused_and_asked_for_anew(server: Served, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "SHA256SUMS.txt").write_text("<html>Sign in to the ward's network</html>")
    with pytest.raises(GeneratorError, match="holds no SHA-256 sum"):
        ptbxl(server, tmp_path)
    assert ptbxl(server, tmp_path).recordings == 8


def test_a_busy_server_is_asked_again(server: Served, tmp_path: Path) -> None:
    server.busy[f"{FIRST}.dat"] = 2
    assert ptbxl(server, tmp_path).missing == {}


def test_a_server_that_stays_busy_is_given_up_and_the_next_try_goes_on(server: Served, tmp_path: Path) -> None:
    server.busy[f"{FIRST}.dat"] = 100
    with pytest.raises(GeneratorError, match=r"tries failed.*503"):
        ptbxl(server, tmp_path)
    server.busy.clear()
    before = server.paths().count(f"{ROOT}ptbxl_database.csv")
    assert ptbxl(server, tmp_path).recordings == 8
    assert server.paths().count(f"{ROOT}ptbxl_database.csv") == before


def test_without_a_network_it_says_so(server: Served, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(GeneratorError, match=r"No network: 127\.0\.0\.1 cannot be reached"):
        fetch(PTBXL, tmp_path, Choice(), base=nobody)


@pytest.mark.parametrize("address", ["http://physionet.org/files/", "ftp://physionet.org/", "physionet.org", "https://host:port/"])
def test_nothing_comes_unless_over_https(tmp_path: Path, address: str) -> None:
    with pytest.raises(GeneratorError, match="https"):
        fetch(PTBXL, tmp_path, Choice(), base=address)


def test_a_table_cannot_lead_out_of_the_folder(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = tmp_path / "evil"
    root = lay_out_ptbxl(evil, records=2)
    table = root / "ptbxl_database.csv"
    before = table.read_bytes()
    table.write_bytes(before.replace(b"records100/00000/00001_lr", b"../../../outside"))

    sums = (root / "SHA256SUMS.txt").read_text()
    (root / "SHA256SUMS.txt").write_text(sums.replace(hashlib.sha256(before).hexdigest(), hashlib.sha256(table.read_bytes()).hexdigest()))
    with served(evil) as state, pytest.raises(GeneratorError, match="lies outside"):
        ptbxl(state, tmp_path / "out" / "in")
    assert [file for file in (tmp_path / "out").iterdir() if file.name != "in"] == []


def test_asked_to_stop_it_stops_and_goes_on_later(server: Served, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        fetch(PTBXL, tmp_path, Choice(), base=server.address, cancelled=lambda: any(tmp_path.rglob("*_lr.hea")))
    assert ptbxl(server, tmp_path).recordings == 8


def test_progress_ends_with_all_files(server: Served, tmp_path: Path) -> None:
    seen: list[tuple[float, float, str]] = []
    fetch(PTBXL, tmp_path, Choice(n=2), base=server.address, progress=lambda *told: seen.append(told))
    assert seen[-1] == (4, 4, "Fetching files")
    assert "ptbxl_database.csv, MB" in {doing for _, _, doing in seen}


# ---- the sample ----


def test_the_benchmark_s_index_is_labelled_and_its_sample_alone_is_listed(tmp_path: Path) -> None:
    measured = index.measure(tmp_path, records=2000)
    listing = find(tmp_path)
    assert (measured["records"], len(listing.candidates)) == (2000, 100)
    assert Counter(one.rhythm for one in listing.candidates) == {"NSR": 50, "AF": 50}
    assert len({one.patient for one in listing.candidates}) == 100


def population(records: int = 600) -> list[Row]:
    """Three recordings of each patient; women and old people are rarer."""
    return [
        Row(f"r{i}", f"r{i}", ("AF", "NSR", "NSR")[i % 3], "", f"patient {i // 3}", 30.0 + i // 3 % 60, "female" if i // 3 % 4 == 0 else "male", 1)
        for i in range(records)
    ]


def test_a_sample_has_the_rhythms_evenly_and_ages_and_sexes_as_the_collection() -> None:
    rows = population()
    chosen = choose(rows, Choice(n=101, seed=5))
    assert Counter(row.rhythm for row in chosen) == {"NSR": 51, "AF": 50}
    for rhythm, n in (("NSR", 51), ("AF", 50)):
        all_of_it = Counter(stratum(row) for row in rows if row.rhythm == rhythm)
        for key, number in Counter(stratum(row) for row in chosen if row.rhythm == rhythm).items():
            assert abs(number - n * all_of_it[key] / all_of_it.total()) < 1


def test_the_same_seed_gives_the_same_sample_in_whatever_order_the_table_is() -> None:
    rows = population()
    assert choose(rows, Choice(n=30, seed=1)) == choose(rows[::-1], Choice(n=30, seed=1))
    assert choose(rows, Choice(n=30, seed=1)) != choose(rows, Choice(n=30, seed=2))


def test_a_patient_comes_twice_only_where_there_is_no_other() -> None:
    rows = [Row(f"r{i}", f"r{i}", "AF", "", f"patient {i // 3}") for i in range(30)]
    once = choose(rows, Choice(("AF",), n=10, seed=1))
    assert len({row.patient for row in once}) == 10
    assert set(Counter(row.patient for row in choose(rows, Choice(("AF",), n=15, seed=1))).values()) == {1, 2}


def test_too_few_recordings_are_told() -> None:
    with pytest.raises(GeneratorError, match="300 AF recordings were asked for, 200 are there"):
        choose(population(), Choice(n=600))
    with pytest.raises(GeneratorError, match="no AF recording in folds 9"):
        choose(population(), Choice(("AF",), folds=frozenset({9})))
