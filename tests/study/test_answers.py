from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.leads import LEADS
from study.answers import COMMENT_LENGTH, MARKS, STRIP_MS, Answer, Mark, checked
from study.errors import StudyError
from study.protocol import (
    CUES,
    MORPHOLOGY_ANSWERS,
    MORPHOLOGY_ITEMS,
    PURPOSE_BLIND,
    QUALITY_ANSWERS,
    QUESTION_ORDERS,
    REALISM_FIRST,
    RHYTHM_ANSWERS,
    phases,
    questions,
)
from tests.study.hospital import PLAUSIBLE, answer

OTHER = CUES[-1]  # refers to the comment
EVERYTHING = questions(REALISM_FIRST, 1)
HEART, REALISM = questions(PURPOSE_BLIND, 1), questions(PURPOSE_BLIND, 2)
AN_HEART = Answer(quality="good", rhythm="AF", morphology=dict(PLAUSIBLE))

moments = st.tuples(st.integers(0, STRIP_MS), st.integers(0, STRIP_MS)).filter(lambda pair: pair[0] != pair[1]).map(sorted)
marks = st.builds(lambda lead, at: Mark(lead, at[0], at[1]), st.sampled_from(LEADS), moments)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
morphologies = st.fixed_dictionaries({item: st.sampled_from(MORPHOLOGY_ANSWERS) for item in MORPHOLOGY_ITEMS})
answers = st.builds(
    Answer,
    realism=st.integers(1, 6),
    rhythm=st.sampled_from(RHYTHM_ANSWERS),
    morphology=morphologies,
    cues=st.lists(st.sampled_from(CUES), unique=True),
    comment=words,
    marks=st.lists(marks, max_size=4),
).filter(lambda one: OTHER not in one.cues or one.comment.strip())
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5) | st.sampled_from([*LEADS, *CUES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["lead", "from_ms", "to_ms", "P wave"]), inner, max_size=3),
    max_leaves=6,
)


@given(answers)
def test_an_answer_survives_json(given: Answer) -> None:
    assert Answer.from_dict(json.loads(json.dumps(given.as_dict()))) == given


@given(answers)
def test_a_checked_answer_is_its_own_check_and_says_the_same(given: Answer) -> None:
    once = checked(given, EVERYTHING)
    assert checked(once, EVERYTHING) == once
    assert once == replace(given, cues=[cue for cue in CUES if cue in given.cues], comment=given.comment.strip())


def test_keys_that_no_answer_has_are_left_out() -> None:
    assert Answer.from_dict({**answer().as_dict(), "arm": "real", "reading_ms": 5}) == answer()


@given(st.dictionaries(st.sampled_from(list(Answer.__dataclass_fields__)), anything))
def test_whatever_comes_as_an_answer_is_taken_or_refused_in_words(said: dict[str, Any]) -> None:
    try:
        taken = checked(Answer.from_dict({**answer().as_dict(), **said}), EVERYTHING)
    except StudyError as refusal:
        named = str(refusal).split(":")[0].split(",")[0]
    else:
        named = "comment"
        assert checked(Answer.from_dict(json.loads(json.dumps(taken.as_dict()))), EVERYTHING) == taken
        assert taken.comment.encode().decode() == taken.comment
    assert named in Answer.__dataclass_fields__


# ---- the hash ----


def former_hash(realism: int | None, rhythm: str | None, morphology: dict[str, str], cues: list[str], comment: str) -> str:
    """What the version before quality and marks wrote into the audit trail."""
    said = {"realism": realism, "rhythm": rhythm, "morphology": morphology, "cues": cues, "comment": comment}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@given(answers)
def test_an_answer_without_the_later_fields_has_the_hash_it_always_had(given: Answer) -> None:
    plain = replace(given, quality=None, marks=[])
    assert plain.sha256() == former_hash(plain.realism, plain.rhythm, plain.morphology, plain.cues, plain.comment)
    assert former_hash(2, "NSR", dict(PLAUSIBLE), [], "") == answer().sha256()


def test_a_known_hash_stays() -> None:
    told = '{"comment":"","cues":[],"morphology":{},"realism":3,"rhythm":"AF"}'
    assert Answer(3, "AF").sha256() == hashlib.sha256(told.encode()).hexdigest()


@pytest.mark.parametrize("changes", [{"quality": "good"}, {"marks": [Mark("II", 0, 400)]}, {"realism": 3}, {"comment": "ß"}, {"cues": [CUES[0]]}])
def test_the_hash_changes_with_every_field(changes: dict[str, Any]) -> None:
    assert replace(answer(), **changes).sha256() != answer().sha256()
    assert replace(answer(), **changes).sha256() == replace(answer(), **changes).sha256()


def test_the_hash_does_not_depend_on_the_order_of_morphology() -> None:
    assert answer(morphology=dict(reversed(PLAUSIBLE.items()))).sha256() == answer().sha256()


# ---- marks ----


@pytest.mark.parametrize(
    "mark",
    [
        {"lead": "V7", "from_ms": 0, "to_ms": 100},
        {"lead": "-aVR", "from_ms": 0, "to_ms": 100},
        {"lead": "II", "from_ms": -1, "to_ms": 100},
        {"lead": "II", "from_ms": 0, "to_ms": STRIP_MS + 1},
        {"lead": "II", "from_ms": 100, "to_ms": 100},
        {"lead": "II", "from_ms": 200, "to_ms": 100},
        {"lead": "II", "from_ms": float("nan"), "to_ms": 100},
        {"lead": "II", "from_ms": 0, "to_ms": float("inf")},
        {"lead": "II", "from_ms": 0, "to_ms": 10**400},
        {"lead": "II", "from_ms": "0", "to_ms": "100"},
        {"lead": "II", "from_ms": 0},
        {"lead": None, "from_ms": 0, "to_ms": 100},
        {},
        None,
        "II",
        7,
    ],
)
def test_a_mark_outside_the_strip_is_refused_with_the_remedy(mark: Any) -> None:
    with pytest.raises(StudyError, match=r"^marks: .*Remove it and mark it again"):
        Answer.from_dict({**answer().as_dict(), "marks": [mark]})


@pytest.mark.parametrize("marks", [7, True, "II", 1.5])
def test_marks_that_are_no_list_are_refused(marks: Any) -> None:
    with pytest.raises(StudyError, match="marks"):
        Answer.from_dict({**answer().as_dict(), "marks": marks})


@pytest.mark.parametrize("mark", [Mark("V7", 0, 100), Mark("II", -5, 100), Mark("II", 0, 10_001), Mark("II", 100, 100)])
def test_a_mark_outside_the_strip_is_refused_however_it_was_made(mark: Mark) -> None:
    with pytest.raises(StudyError, match="marks"):
        checked(answer(marks=[mark]), EVERYTHING)


def test_a_mark_may_be_the_whole_strip_and_a_browser_s_fractions_are_rounded() -> None:
    said = [{"lead": "aVR", "from_ms": 0, "to_ms": STRIP_MS}, {"lead": "V1", "from_ms": 10.4, "to_ms": 99.6}]
    assert Answer.from_dict({"marks": said}).marks == [Mark("aVR", 0, STRIP_MS), Mark("V1", 10, 100)]


def test_more_marks_than_can_matter_are_refused() -> None:
    assert len(checked(answer(marks=[Mark("II", i, i + 1) for i in range(MARKS)]), EVERYTHING).marks) == MARKS
    with pytest.raises(StudyError, match=f"marks: {MARKS + 1} regions.*Keep the {MARKS}"):
        checked(answer(marks=[Mark("II", i, i + 1) for i in range(MARKS + 1)]), EVERYTHING)


# ---- phases ----


@pytest.mark.parametrize(
    ("name", "value", "asked"),
    [
        ("realism", 2, HEART),
        ("cues", [CUES[0]], HEART),
        ("marks", [Mark("II", 0, 100)], HEART),
        ("quality", "good", REALISM),
        ("rhythm", "NSR", REALISM),
        ("morphology", dict(PLAUSIBLE), REALISM),
        ("quality", "good", EVERYTHING),
    ],
)
def test_what_another_phase_asks_is_refused(name: str, value: Any, asked: tuple[str, ...]) -> None:
    right = {HEART: AN_HEART, REALISM: Answer(realism=5), EVERYTHING: answer()}[asked]
    assert checked(right, asked) == right
    with pytest.raises(StudyError, match=f"^{name}: this is not asked now. Reload the page."):
        checked(replace(right, **{name: value}), asked)


@pytest.mark.parametrize(("name", "value"), [("quality", None), ("quality", "fair"), ("rhythm", None), ("morphology", {})])
def test_the_first_part_of_a_purpose_blind_round_leaves_no_question_out(name: str, value: Any) -> None:
    with pytest.raises(StudyError, match=f"^{name}: "):
        checked(replace(AN_HEART, **{name: value}), HEART)


def test_the_second_part_needs_realism_and_takes_cues_and_marks() -> None:
    whole = Answer(realism=6, cues=[CUES[2]], marks=[Mark("V1", 0, 40)], comment="so")
    assert checked(whole, REALISM) == whole
    with pytest.raises(StudyError, match=r"^realism: None is no answer"):
        checked(replace(whole, realism=None), REALISM)


def test_a_comment_can_be_written_in_every_phase_of_every_order() -> None:
    right: dict[str, Any] = {"realism": 2, "rhythm": "NSR", "morphology": dict(PLAUSIBLE), "quality": QUALITY_ANSWERS[0]}
    for order in QUESTION_ORDERS:
        for phase in range(1, phases(order) + 1):
            asked = questions(order, phase)
            said = Answer(**{name: value for name, value in right.items() if name in asked}, comment=" odd ")
            assert checked(said, asked).comment == "odd"


def test_every_question_is_asked_in_exactly_one_phase_of_a_purpose_blind_round() -> None:
    assert not set(HEART) & set(REALISM)
    assert set(HEART) | set(REALISM) == set(EVERYTHING) | {"quality"}
    assert not {"realism", "cues", "marks"} & set(HEART)


@pytest.mark.parametrize("comment", ["x" * (COMMENT_LENGTH + 1), "nul\0", "half a pair \ud83d", None, 7])
def test_a_comment_that_a_database_would_not_take_is_refused(comment: Any) -> None:
    with pytest.raises(StudyError, match=r"^comment: "):
        checked(answer(comment=comment), EVERYTHING)


@pytest.mark.parametrize("comment", ["", "  \n", None, 7])
def test_a_cue_that_refers_to_the_comment_needs_one(comment: Any) -> None:
    with pytest.raises(StudyError, match=r"^comment: "):
        checked(answer(cues=[OTHER], comment=comment), EVERYTHING)
    assert checked(answer(cues=[OTHER], comment="a beat is missing"), EVERYTHING).cues == [OTHER]
    assert checked(answer(cues=[CUES[0]]), EVERYTHING).comment == ""
