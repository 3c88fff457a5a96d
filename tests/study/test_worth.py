"""What drawn strips are worth: what may be asked, and the rules by which faults are named, from figures that are written down here."""

from __future__ import annotations

from typing import Any

import pytest

from generator.quality.memorisation import SHARE
from generator.quality.result import Figure, Quality, Target
from storage.database import Database
from study import jobs, strip_sets, worth_exhibits
from study.errors import StudyError
from study.worth_faults import Check, checks
from tests.study.hospital import hospital

BOTH_THERE = {"synthetic": {"AF": 40, "NSR": 40}}


def utility(*, trtr: float | None = 0.95, af: float = 0.95, nsr: float = 0.95, ratio: tuple[float, float] | None = (0.9, 1.02)) -> dict[str, Any]:
    """A result with one classifier, as far as faults are told by it."""
    of_trtr = {"macro_f1": trtr, "recall": {"AF": 0.9, "NSR": 0.9}, "reason": None if trtr else "no AF strip to train on"}
    of_trts = {"macro_f1": 0.9, "recall": {"AF": af, "NSR": nsr}, "reason": None}
    headline = {"value": 0.95 if ratio else None, "ci": ratio and list(ratio), "reason": None if ratio else "no NSR strip to train on"}
    return {"TRTR": {"boosting": of_trtr}, "TRTS": {"boosting": of_trts}, "headline": {"boosting": headline}}


def quality(*figures: Figure, targets: tuple[Target, ...] = ()) -> Quality:
    return Quality(0, ("detail",), {}, figures, targets, (), {})


def copies(share: float, n_real: int) -> Quality:
    figure = Figure("memorisation", SHARE, "AF", share, 0.01, n=40, n_real=n_real, n_beside=n_real)
    return quality(figure, targets=(Target(SHARE, "AF", share, "at most 0.03", share <= 0.03),))


def named(utility: dict[str, Any], sizes: dict[str, dict[str, int]] = BOTH_THERE, measured: Quality | None = None) -> list[str]:
    return [one.sentence for one in checks(utility, sizes, measured) if one.found]


def one(name: str, found: list[Check]) -> Check:
    [check] = [check for check in found if check.name == name]
    return check


def test_strips_like_the_recordings_are_told_no_fault() -> None:
    assert named(utility()) == []


def test_the_rhythm_that_strips_really_have_is_named() -> None:
    assert named(utility(af=0.49)) == [
        "All synthetic strips are of one rhythm, NSR, or look so: trained on recordings, classifiers call at most 49 % of those drawn as AF so."
    ]
    assert "of one rhythm, AF" in named(utility(nsr=0.2))[0]
    assert "The rhythms look swapped" in named(utility(af=0.1, nsr=0.2))[0]
    assert "All 7 synthetic strips are of one rhythm, NSR. Draw AF strips too." in named(utility(), {"synthetic": {"AF": 0, "NSR": 7}})


def test_classifiers_that_fail_on_recordings_say_nothing_of_strips() -> None:
    """They would call any strips one rhythm."""
    [sentence] = named(utility(trtr=0.6, af=0.1))
    assert "Even trained on recordings, no classifier tells the rhythms" in sentence
    of_strips = one("one rhythm in all but name", checks(utility(trtr=0.6, af=0.1), BOTH_THERE, None))
    assert (of_strips.found, of_strips.reason) == (None, "no classifier is good enough on recordings")


def test_worth_less_is_said_where_the_whole_interval_is_below_1() -> None:
    [sentence] = named(utility(ratio=(0.9, 0.99)))
    assert "TSTR / TRTR is 0.95 (0.90 to 0.99) by boosting" in sentence


@pytest.mark.parametrize(("share", "n_real", "said"), [(0.2, 10, False), (0.3, 10, True), (0.05, 100, True), (0.029, 500, False), (0.0, 10, False)])
def test_copies_are_said_where_the_share_is_above_the_limit_and_above_chance(share: float, n_real: int, said: bool) -> None:
    """Chance, with 10 held-out recordings: 1 - 0.05^(1/10) = 0.26."""
    assert any("closer to a training strip than held-out recordings" in one for one in named(utility(), measured=copies(share, n_real))) == said


@pytest.mark.parametrize(("ratio", "word"), [(0.6, "lack fine detail: 60 %"), (1.5, "more fine detail, or noise: 150 %")])
def test_too_little_detail_and_too_much_are_told_apart(ratio: float, word: str) -> None:
    measured = quality(Figure("detail", "detail ratio", "NSR", ratio), targets=(Target("detail ratio", "NSR", ratio, "0.8 to 1.2", False),))
    [sentence] = named(utility(), measured=measured)
    assert sentence.startswith("NSR strips")
    assert word in sentence


def test_what_is_unknown_says_why_and_is_never_taken_for_sound() -> None:
    """Where quality was not measured, or could not be; where a rhythm is missing."""
    few = quality(Figure("detail", "detail ratio", "AF", None, reason="1 strips of AF; 5 are needed"))
    found = checks(utility(trtr=None, ratio=None), BOTH_THERE, few)
    assert one("fine detail of AF", found).reason == "1 strips of AF; 5 are needed"
    assert one("copies of AF", found).reason == "not measured: ask for it on the Quality screen"
    assert one("worth less than recordings", found).reason == "no NSR strip to train on"
    assert all(check.reason and not check.sentence for check in found if check.found is None)
    assert [check.name for check in found if check.found is False] == ["one rhythm drawn"]


def test_an_undefined_headline_says_why() -> None:
    assert worth_exhibits.headline(utility(ratio=None)) == [("boosting", "–", "no NSR strip to train on")]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"checkpoint": "e" * 64, "train": "test", "seeds": 0}, "0 trainings of each classifier"),
        ({"checkpoint": "e" * 64, "train": "test", "seeds": 11}, "Choose 1 to 10"),
        ({"checkpoint": "e" * 64, "train": "test"}, "no strip in the"),
        ({"checkpoint": "e" * 64, "train": "test", "fold": 9}, "with fold"),
    ],
)
def test_what_would_fail_anyway_is_refused_at_once(db: Database, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        jobs.ask(db, hospital(db).researcher, "worth", asked)


def test_what_an_earlier_version_asked_is_still_understood() -> None:
    """Stored results of Quality, from before an import could be chosen."""
    asked = strip_sets.Asked.from_dict({"checkpoint": "e" * 64, "train": "test", "real": "elsewhere", "job_id": 3, "seed": 1})
    assert (asked.train_import, asked.real_import) == (None, None)
    assert dict(strip_sets.sources_in_words(asked)) == {"train": "test", "real": "elsewhere", "synthetic": f"checkpoint {'e' * 12}, drawing 3"}
