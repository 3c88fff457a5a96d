"""`.imrmc` files: what is read, what is written, and a shelf of wrong files, each refused with its place and a remedy."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.agreement.imrmc import ImrmcRefused, Ratings, parse, read, to_text
from study.agreement.obuchowski_rockette import compare
from study.agreement.reader_figures import figures_of_scores
from study.errors import StudyError
from tests.study.roe_metz import ratings

GOOD = """A study of nothing
with a description of two lines

NR: 2
N0: 1
N1: 2
NM: 1

BEGIN DATA:
-1,c1,truth,0
-1,c2,0,1
truth,c3,whatever,1
ann,c1,film,1
ann,c2,film,2.5
ann,c3,film,-3e0
bob,c1,film,4
bob,c3,film,1
"""


def test_a_file_as_it_should_be() -> None:
    found = parse(GOOD)
    assert (found.readers, found.cases, found.modalities) == (("ann", "bob"), ("c1", "c2", "c3"), ("film",))
    assert found.truth.tolist() == [False, True, True]
    assert found.scores[0] == pytest.approx(np.array([[1, 4], [2.5, np.nan], [-3, 1]]), nan_ok=True)
    assert found.description.startswith("A study of nothing")


def test_forms_that_imrmc_reads_too() -> None:
    """Rows in any order, blanks around and in names, no numbers above, Windows line ends, a byte order mark, blank lines."""
    text = "BEGIN DATA: \r\n reader 1 , case1,film , 2\r\n\r\nreader1,case 2,film,1\r\n-1 , case2 ,x,0\r\nTruth,case1,y,1\r\n"
    found = parse(text)
    assert found.readers == ("reader 1",)
    assert found.cases == ("case 2", "case1")
    assert found.truth.tolist() == [False, True]
    assert found.scores.tolist() == [[[1.0], [2.0]]]


def test_files_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "study.imrmc"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read(path).cases == ("c1", "c2", "c3")
    with pytest.raises(ImrmcRefused, match=r"none\.imrmc: the file cannot be read .*Check its name"):
        read(tmp_path / "none.imrmc")
    path.write_bytes(GOOD.encode().replace(b"ann,c2", b"\xff\xfenn,c2"))
    with pytest.raises(ImrmcRefused, match=r"study\.imrmc, line 14: this is not text in UTF-8\. Save the file"):
        read(path)


def change(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


WRONG = {
    "empty": ("", None, None, "the file is empty"),
    "binary": (GOOD + "\x00", None, None, "bytes of value 0"),
    "no begin": (change("BEGIN DATA:\n", ""), None, None, "no line 'BEGIN DATA:'"),
    "begin in small letters": (change("BEGIN DATA:", "begin data:"), 9, None, "'begin data:' is not 'BEGIN DATA:'"),
    "begin without a colon": (change("BEGIN DATA:", "BEGIN DATA"), 9, None, "with its colon"),
    "nothing after begin": (GOOD[: GOOD.index("-1,c1")], None, None, "no reading after"),
    "truth alone": (GOOD[: GOOD.index("ann,c1")], None, None, "no reading after"),
    "no truth": (change("-1,c1,truth,0\n-1,c2,0,1\ntruth,c3,whatever,1\n", ""), None, "reader", "no row of truth"),
    "a case without truth": (change("-1,c2,0,1\n", "").replace("N1: 2", "N1: 1"), 13, "case", "case 'c2' has no row of truth"),
    "truth twice": (change("truth,c3,whatever,1", "truth,c2,whatever,1"), 12, "case", "stands already in line 11"),
    "truth of 2": (change("-1,c2,0,1", "-1,c2,0,2"), 11, "score", "the truth of case 'c2' is 2"),
    "one truth alone": (change("-1,c1,truth,0", "-1,c1,truth,1"), None, "score", "no case of truth 0"),
    "truth as a word": (change("-1,c2,0,1", "-1,c2,0,yes"), 11, "score", "'yes' is not a finite number"),
    "five fields": (change("ann,c2,film,2.5", "ann,c2,film,2,5"), 14, None, "5 fields instead of 4"),
    "three fields": (change("ann,c2,film,2.5", "ann,c2,2.5"), 14, None, "3 fields instead of 4"),
    "semicolons": (change("ann,c2,film,2.5", "ann;c2;film;2.5"), 14, None, "1 field instead of 4"),
    "tabs": (change("ann,c2,film,2.5", "ann\tc2\tfilm\t2.5"), 14, None, "three commas"),
    "no reader": (change("ann,c2,film,2.5", " ,c2,film,2.5"), 14, "reader", "the field is empty"),
    "no case": (change("ann,c2,film,2.5", "ann,,film,2.5"), 14, "case", "Name the case"),
    "no modality": (change("ann,c2,film,2.5", "ann,c2, ,2.5"), 14, "modality", "the field is empty"),
    "no score": (change("ann,c2,film,2.5", "ann,c2,film,"), 14, "score", "Leave out the rows"),
    "a word for a score": (change("ann,c2,film,2.5", "ann,c2,film,high"), 14, "score", "'high' is not a finite number"),
    "NaN": (change("ann,c2,film,2.5", "ann,c2,film,nan"), 14, "score", "'nan' is not a finite number"),
    "infinity": (change("ann,c2,film,2.5", "ann,c2,film,1e999"), 14, "score", "'1e999' is not a finite number"),
    "an underscore": (change("ann,c2,film,2.5", "ann,c2,film,2_5"), 14, "score", "is not a finite number"),
    "signs alone": (change("ann,c2,film,2.5", "ann,c2,film,+-"), 14, "score", "is not a finite number"),
    "read twice": (change("bob,c3,film,1", "bob,c1,film,1"), 17, None, "has read case 'c1' with modality 'film' already in line 16"),
    "read twice, other blanks": (change("bob,c3,film,1", "b ob,c 1,film,1"), 17, None, "already in line 16"),
    "cut off": (GOOD[: GOOD.index("bob,c1")], 4, "NR", "2 readers are announced, the rows have 1"),
    "too few cases": (change("N1: 2", "N1: 3"), 6, "N1", "3 cases of truth 1 are announced, the rows have 2"),
    "too many modalities": (change("NM: 1", "NM: 2"), 7, "NM", "2 modalities are announced"),
    "a number that is none": (change("NR: 2", "NR: two"), 4, "NR", "'two' is not a whole number"),
    "a negative number": (change("N0: 1", "N0: -1"), 5, "N0", "leave the line out"),
    "a number twice": (change("NM: 1", "NR: 2"), 7, "NR", "NR stands already in line 4"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_refused_with_place_and_remedy(name: str) -> None:
    text, line, field, words = WRONG[name]
    with pytest.raises(ImrmcRefused) as caught:
        parse(text, "toy.imrmc")
    message = str(caught.value)
    assert isinstance(caught.value, StudyError)
    assert words in message
    assert (caught.value.line, caught.value.field) == (line, field)
    place = ", ".join(["toy.imrmc", *([f"line {line}"] if line else []), *([field] if field else [])])
    assert message.startswith(place + ": ")
    assert message.endswith(".")


def test_a_table_that_no_machine_holds_is_refused() -> None:
    """Cases and readers exchanged, or names that never repeat: a table of readers x cases would fill the memory."""
    rows = [f"r{k},c0,m{k},1" for k in range(7100)]
    truth = [f"-1,c{k},t,{k % 2}" for k in range(4)]
    with pytest.raises(ImrmcRefused, match="reader, case and modality are in this order"):
        parse("\n".join(["BEGIN DATA:", *truth, *rows]))


@given(st.text(alphabet="-1,tcr0. \nBEGIN DATA:x;", max_size=120))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(tail: str) -> None:
    for text in (tail, GOOD + tail, "BEGIN DATA:\n" + tail):
        with contextlib.suppress(ImrmcRefused):
            found = parse(text)
            assert found.scores.shape == (len(found.modalities), len(found.cases), len(found.readers))


def test_what_is_written_is_read_as_it_was() -> None:
    generator = np.random.default_rng(1)
    scores, truth = ratings(generator, modalities=2, readers=3, cases=12, steps=None)
    scores[generator.random(scores.shape) < 0.3] = np.nan
    scores[:, 0] = [[1, 2, 3], [4, 5, 6e20]]
    names = tuple(f"reader {j}" for j in range(3)), tuple(f"c{k}" for k in range(12)), ("A", "B")
    before = Ratings(*names, truth, scores, "Two lines\nof words")
    text = to_text(before)
    after = parse(text)
    assert (after.cases, after.modalities, after.description) == (before.cases, before.modalities, "Two lines\nof words\nNR: 3\nN0: 6\nN1: 6\nNM: 2")
    assert after.readers == before.readers
    assert np.array_equal(after.scores, scores, equal_nan=True)
    assert (after.truth == truth).all()
    assert "reader 0,c0,A,1\n" in text
    figures = figures_of_scores(after.side_by_side(), after.truth)
    assert compare(figures, 2).test == compare(figures_of_scores(np.hstack(list(scores)), truth), 2).test


@pytest.mark.parametrize(
    ("readers", "words"),
    [
        (("a,b", "c"), "no commas"),
        (("", "c"), "not empty"),
        (("-1", "c"), "marks rows of truth"),
        (("Truth", "c"), "marks"),
        (("a b", "ab"), "same name"),
    ],
)
def test_names_that_the_format_cannot_hold_are_not_written(readers: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_text(Ratings(readers, ("1", "2"), ("m",), np.array([True, False]), np.ones((1, 2, 2))))


def test_a_description_that_looks_like_data_is_not_written() -> None:
    with pytest.raises(ValueError, match="uses itself"):
        to_text(Ratings(("a",), ("1", "2"), ("m",), np.array([True, False]), np.ones((1, 2, 1)), "NR: 5"))


def test_a_million_readings_are_read_in_seconds() -> None:
    """A tenth of that here; a row takes about a microsecond or two on an idle core."""
    import time

    scores, truth = ratings(np.random.default_rng(2), readers=20, cases=5000)
    text = to_text(Ratings(tuple(f"r{j}" for j in range(20)), tuple(f"case{k}" for k in range(5000)), ("m",), truth, scores))
    start = time.perf_counter()
    assert np.array_equal(parse(text).scores, scores)
    assert time.perf_counter() - start < 10
