"""A file of anybody's readings: what is read, what is counted as left out, and what is refused with its place and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.agreement import file
from study.agreement.cut import ACROSS_ROUNDS, ALL, RATING, SCORE, WITHIN_ROUND, Cut, Stratum
from study.agreement.file import Labels, read_csv
from study.errors import StudyError

Write = Callable[[str | bytes], Path]

GOOD = """reader,case,rating,site,arm,round,rhythm,occasion,score
ann,c1,real,North,real,1,NSR,1,2
ann,c2,synthetic,North,synthetic,1,AF,1,5
bob,c1,synthetic,South,real,1,NSR,1,4
bob,c2,synthetic,South,synthetic,1,AF,1,6
ann,c1,synthetic,North,real,2,NSR,1,4
ann,c2,synthetic,North,synthetic,1,AF,2,5
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str | bytes) -> Path:
        path = tmp_path / "readings.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


def words(labels: Labels | None) -> list[str | None]:
    assert labels is not None
    return [None if code < 0 else labels.names[code] for code in labels.codes]


def test_every_column_comes_in(write: Write) -> None:
    found = read_csv(write(GOOD))
    assert words(found.reader) == ["ann", "ann", "bob", "bob", "ann", "ann"]
    assert words(found.case)[:3] == ["c1", "c2", "c1"]
    assert words(found.rating)[:3] == ["real", "synthetic", "synthetic"]
    assert words(found.arm) == ["real", "synthetic"] * 3
    assert words(found.site)[2] == "South"
    assert words(found.rhythm)[1] == "AF"
    assert words(found.round)[4] == "2"
    assert words(found.occasion)[5] == "2"
    assert found.score is not None
    assert found.score.tolist() == [2, 5, 4, 6, 4, 5]
    assert found.left_out == []


def test_spaces_capitals_quotation_marks_and_a_byte_order_mark_do_not_matter(write: Write) -> None:
    text = '\ufeffReader , CASE,Rating,arm\r\n ann ,"c,1",yes,Real\r\nann,c2,no, SYNTHETIC \r\n'
    found = read_csv(write(text))
    assert words(found.reader) == ["ann", "ann"]
    assert words(found.case) == ["c,1", "c2"]
    assert words(found.arm) == ["real", "synthetic"]


def test_order_of_rounds_and_answers(write: Write) -> None:
    rounds = "reader,case,rating,round,occasion\nann,a,10,10,later\nann,b,9,9,later\nann,b,9,9,first\n"
    found = read_csv(write(rounds))
    assert found.round is not None
    assert found.occasion is not None
    assert found.rating is not None
    assert found.round.names == ("9", "10")  # numbers by value
    assert found.occasion.names == ("later", "first")  # words as they came
    assert found.rating.names == ("9", "10")
    named = read_csv(write("reader,case,rating\nann,a,no\nann,b,maybe\n"), answers=("yes", "no", "maybe"))
    assert named.rating is not None
    assert named.rating.names == ("yes", "no", "maybe")
    assert words(named.rating) == ["no", "maybe"]


def test_nothing_is_left_out_silently(write: Write) -> None:
    text = "reader,case,rating,score,arm,site,comment\nann,a,,3,real,N,good\n\nbob,a,yes,,,,\n \nbob,b,NA,2,,,x\n"
    found = read_csv(write(text))
    told = {str(one["what"]): one["number"] for one in found.left_out}
    expected = {"columns comment": 1, "blank lines": 2, "readings without rating": 2, "readings without score": 1, "readings without site": 2}
    assert told == {**expected, "readings without arm": 1}  # case a's arm stands on its first line
    assert all(one["why"] for one in found.left_out)


WRONG = [
    ("", ", line 1: no header. Write a first line such as: reader,case,rating"),
    ("\n\n", ", line 1: no header"),
    ("reader,case,rating\n", "no reading below the header"),
    ("reader,case\nann,a\n", ", line 1, rating: is not among the columns reader, case. Write a first line"),
    ("reader;case;rating\nann;a;yes\n", ", line 1: has no commas. Save the table as CSV with commas"),
    ("reader\tcase\trating\n", ", line 1: has no commas"),
    ("reader,case,rating,case\nann,a,yes,b\n", ", line 1, case: stands twice in the header"),
    ("reader,case,rating\nann,a,yes\nann,b\n", ", line 3: has 2 fields, fewer than the 3 of the header. Fill in"),
    ("reader,case,rating\nann,a,yes,1\n", ", line 2: has 4 fields, more than the 3 of the header. Put text that holds commas"),
    ("reader,case,rating\nann,a,yes\n,b,no\n", ", line 3, reader: is empty. Every reading needs its reader."),
    ("reader,case,rating\nann,,yes\n", ", line 2, case: is empty"),
    ("reader,case,rating,round\nann,a,yes,\n", ", line 2, round: is empty"),
    ("reader,case,rating,occasion\nann,a,yes,NA\n", ", line 2, occasion: is empty"),
    ("reader,case,rating\nann,a,yes\n\nann,a,no\n", ", line 4, case: stands twice: reader 'ann' read case 'a' on line 2 already. Number readings"),
    ("reader,case,rating,arm\nann,a,yes,fake\n", ", line 2, arm: is 'fake'. Write real or synthetic"),
    (
        "reader,case,rating,arm\nann,a,yes,real\nbob,a,yes,synthetic\n",
        ", line 3, arm: is 'synthetic' for case 'a', but 'real' on line 2. A case has one",
    ),
    ("reader,case,rating,site\nann,a,yes,N\nann,b,yes,S\n", ", line 3, site: is 'S' for reader 'ann', but 'N' on line 2. A reader has one site"),
    ("reader,case,rating,rhythm\nann,a,yes,AF\nbob,a,yes,NSR\n", ", line 3, rhythm: is 'NSR' for case 'a', but 'AF' on line 2"),
    ('reader,case,rating,score\nann,a,yes,"3,5"\n', ", line 2, score: is '3,5', which is no number. Write a number with a point"),
    ("reader,case,rating,score\nann,a,yes,inf\n", ", line 2, score: is 'inf', which is no number"),
    ('reader,case,rating\nann,a,"yes\n', "is no CSV: unexpected end of data. Look for a quotation mark"),
    ('reader,case,rating\nann,a,"yes"no\n', ", line 2: is no CSV"),
    (b"reader,case,rating\nann,a,yes\nj\xf6rg,b,no\n", ", line 3: is not UTF-8 text. Save the table as CSV in UTF-8."),
    ("reader,case,rating\n" + "".join(f"ann,c{i},answer {i}\n" for i in range(60)), ", line 52, rating: is the 51st different answer"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_what_cannot_be_read_is_refused_with_place_and_remedy(write: Write, text: str | bytes, expected: str) -> None:
    path = write(text)
    with pytest.raises(StudyError) as refused:
        read_csv(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert expected in message
    assert message.endswith((".", ")."))


def test_an_answer_that_was_not_named_is_refused(write: Write) -> None:
    with pytest.raises(StudyError, match=r"line 3, rating: is 'perhaps', which is not among the answers yes, no\. Correct it"):
        read_csv(write("reader,case,rating\nann,a,yes\nann,b,perhaps\n"), answers=("yes", "no"))


def test_lines_are_counted_over_quoted_line_ends_and_chunks(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "CHUNK", 3)
    rows = "".join(f"ann,c{i},yes,real\n" for i in range(10))
    with pytest.raises(StudyError, match=r"line 14, arm: is 'x'"):
        read_csv(write(f'reader,case,rating,arm\n{rows}ann,"two\nlines",no,real\nann,last,no,x\n'))


# ---- cut into strata and tables ----


def test_the_first_reading_counts_and_later_ones_are_repeats(write: Write) -> None:
    cut = Cut(read_csv(write(GOOD)))
    rating, score = cut.items
    assert (rating.name, rating.answers, rating.weights) == (RATING, ("real", "synthetic"), "nominal")
    assert (score.name, score.answers, score.weights) == (SCORE, ("2", "3", "4", "5", "6"), "ordinal")
    assert cut.ratings(rating, Stratum()).tolist() == [[0, 1], [1, 1]]
    assert cut.ratings(rating, Stratum(round="2")).tolist() == [[1, -1]]
    assert cut.ratings(rating, Stratum(arm="synthetic")).tolist() == [[1, 1]]
    assert list(cut.strata()) == [
        *(Stratum(), Stratum(arm="real"), Stratum(arm="synthetic"), Stratum(rhythm="NSR"), Stratum(rhythm="AF")),
        *(Stratum(round="1"), Stratum(round="2")),
    ]
    assert cut.told == [
        {"what": "readings of a case that the reader had read before", "number": 2, "why": "only in agreement within readers, and by round"}
    ]
    assert cut.aparts() == (ALL, WITHIN_ROUND, ACROSS_ROUNDS)
    assert cut.again(rating, Stratum()).tolist() == [[[0, 1], [1, 1]], [[-1, -1], [-1, -1]]]
    assert cut.again(rating, Stratum(), WITHIN_ROUND).tolist() == [[[1, 1]], [[-1, -1]]]
    assert cut.again(rating, Stratum(), ACROSS_ROUNDS).tolist() == [[[0, 1]], [[-1, -1]]]


def test_occasions_in_any_order_of_lines_are_sorted_by_round_and_occasion(write: Write) -> None:
    lines = GOOD.strip().splitlines()
    straight, reversed_ = (Cut(read_csv(write("\n".join([lines[0], *order])))) for order in (lines[1:], lines[:0:-1]))
    for cut in (straight, reversed_):
        item = cut.items[0]
        by_name = {name: cut.ratings(item, Stratum())[:, code] for code, name in enumerate(cut.readers)}
        cases = [cut.readings.case.names.index(name) for name in ("c1", "c2")]
        assert [item.answers[by_name["ann"][case]] for case in cases] == ["real", "synthetic"]


def test_a_score_of_very_many_values_keeps_its_auc_and_says_so(write: Write) -> None:
    chance = np.random.default_rng(1).random(80)
    text = "reader,case,rating,arm,score\n" + "".join(f"ann,c{i},yes,{('real', 'synthetic')[i % 2]},{x}\n" for i, x in enumerate(chance))
    cut = Cut(read_csv(write(text)))
    assert [item.name for item in cut.items] == [RATING]
    assert cut.told[-1]["what"] == "agreement on the score, which has 80 different values"
