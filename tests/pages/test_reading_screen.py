"""The reading screen and the way of an answer: what the desk is given, and what becomes of what it sends. Browsers have tests of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from pages import access
from storage.database import Database
from storage.tables import Judgement, Placement, Screen
from study import cases, reading, signing
from study.answers import Answer, Mark
from study.cases import ELSEWHERE, NotYours
from study.protocol import CUES, PURPOSE_BLIND, REALISM_LAST
from tests import world
from tests.pages.visiting import Visit, by_label, on_desk, send, shown, without_a_browser
from tests.world import GOOD_ANSWER


def stored(db: Database) -> list[Judgement]:
    with db.read() as session:
        found = list(session.scalars(select(Judgement).order_by(Judgement.id)))
        session.expunge_all()
        return found


def read_through(visit: Visit, who: str = "reader") -> None:
    reader = visit.world.people[who]
    while (case := reading.next_case(visit.world.db, reader, visit.world.round_id)) is not None:
        reading.submit(visit.world.db, reader, case.code, GOOD_ANSWER, datetime.now(UTC), phase=case.phase)


def given(visit: Visit) -> list[signing.GivenAnswer]:
    return signing.answers_of_round(visit.world.db, visit.world.people["reader"], visit.world.round_id)


# ---- from the list to the desk ----


def test_a_reader_enters_a_round_from_the_list(visit: Visit) -> None:
    test = visit.as_("reader", "reading")
    assert "Round 1" in shown(test)
    assert "Sinus rhythm and AF" in shown(test)
    test.button(key=f"read-{visit.world.round_id}").click().run()
    assert on_desk(test)["title"] == "Case 1 of 6"
    assert str(visit.world.round_id) in test.query_params["round"]  # kept over a reload


def test_the_place_is_in_the_database_not_in_the_session(visit: Visit) -> None:
    for position in (1, 2, 3):
        assert on_desk(visit.reads())["title"] == f"Case {position} of 6"
        assert visit.submits()["case"]["title"] == f"Case {position + 1} of 6"
    assert on_desk(visit.reads("other"))["title"] == "Case 1 of 6"  # each reader has a place of their own


def test_leaving_goes_back_to_the_list_and_keeps_the_place(visit: Visit) -> None:
    test = visit.reads()
    visit.submits()
    send(test, "leave", "1-2")
    assert "1 of 6 cases read" in str([bar.proto.text for bar in test.get("progress")])
    assert test.button(key="read-1").label == "Continue"
    test.button(key="read-1").click().run()
    assert on_desk(test)["title"] == "Case 2 of 6"


def test_a_round_of_others_is_closed(visit: Visit) -> None:
    for number in (visit.world.round_id + 7, 0):
        test = visit.as_("reader", "reading", round=number)
        assert not test.exception
        assert len(test.error) == 1
        assert "on desk" not in test.session_state
    assert "Rounds to read" in shown(visit.as_("reader", "reading", round="1; DROP TABLE strip"))


# ---- answers ----


def test_a_submitted_answer_is_what_is_stored(visit: Visit, db: Database) -> None:
    before = datetime.now(UTC)
    visit.reads()
    sent = replace(GOOD_ANSWER, realism=4, cues=[CUES[2], CUES[-1]], comment="  the same beat, twelve times  ", marks=[Mark("V2", 500, 700)])
    change = {"at_ms": 9, "what": "gain", "to": 20}
    visit.submits(sent, viewing={"reading_ms": 4100, "away_ms": 20, "speed": 25, "calipers": 2, "changes": [change]})
    [judgement] = stored(db)
    assert (judgement.realism, judgement.rhythm, judgement.morphology, judgement.revision) == (4, "NSR", GOOD_ANSWER.morphology, 1)
    assert judgement.cues == [CUES[2], CUES[-1]]
    assert judgement.comment == "the same beat, twelve times"
    assert judgement.marks == [{"lead": "V2", "from_ms": 500, "to_ms": 700}]
    assert (judgement.reading_ms, judgement.away_ms) == (4100, 20)
    assert (judgement.viewing["speed"], judgement.viewing["calipers"], judgement.viewing["changes"]) == (25, 2, [change])
    assert judgement.reader_id == visit.world.people["reader"].id
    assert before <= judgement.shown_at <= judgement.submitted_at <= datetime.now(UTC)


def test_the_server_s_clock_begins_when_it_first_sends_the_strip(visit: Visit, db: Database) -> None:
    first = datetime.now(UTC)
    visit.reads()
    sent_by = datetime.now(UTC)
    visit.reads()  # a reload
    visit.submits()
    visit.submits()
    one, two = stored(db)
    assert first <= one.shown_at <= sent_by
    assert one.submitted_at <= two.shown_at <= two.submitted_at  # the next came with the answer's receipt


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (replace(GOOD_ANSWER, rhythm=None), "rhythm"),
        (replace(GOOD_ANSWER, morphology={}), "P wave"),
        (replace(GOOD_ANSWER, cues=[CUES[-1]]), "comment: one of your cues refers to it"),
        (replace(GOOD_ANSWER, quality="good"), "quality: this is not asked now"),
    ],
)
def test_an_answer_that_will_not_do_is_refused_in_words_and_the_case_stays(visit: Visit, db: Database, answer: Answer, said: str) -> None:
    assert said in visit.submits(answer)["problem"]
    assert stored(db) == []
    assert visit.submits(place="1-1")["case"]["place"] == "1-2"
    assert [one.position for one in given(visit)] == [1]


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        7,
        "submit",
        [],
        {},
        {"place": "1-1"},
        {"place": "1-1", "answer": [1]},
        {"place": "1-1", "answer": {"cues": 5}},
        {"place": "1-1\n", "answer": {}},
    ],
)
def test_nonsense_from_a_browser_stores_nothing_and_is_answered_in_words(visit: Visit, db: Database, nonsense: Any) -> None:
    if isinstance(nonsense, dict):
        nonsense = nonsense | {"key": visit.key("1-1")}
    assert set(cases.answered(db, visit.world.people["reader"], nonsense)) == {"problem"}
    assert stored(db) == []


def test_of_two_windows_at_the_same_case_the_first_answer_stands_and_the_second_is_told(visit: Visit, db: Database) -> None:
    visit.reads()
    visit.reads()
    assert visit.submits(replace(GOOD_ANSWER, realism=2), place="1-1")["notice"] is None
    second = visit.submits(replace(GOOD_ANSWER, realism=6), place="1-1")
    assert (second["case"]["place"], second["notice"]) == ("1-2", ELSEWHERE)
    assert [judgement.realism for judgement in stored(db)] == [2]


def test_an_answer_that_is_sent_again_is_stored_once_and_says_nothing(visit: Visit, db: Database) -> None:
    for _ in range(3):  # the browser had not heard yet
        found = visit.submits(replace(GOOD_ANSWER, comment=" twice "), place="1-1")
        assert (found["case"]["place"], found["notice"]) == ("1-2", None)
    assert len(stored(db)) == 1


def test_an_answer_is_bound_to_its_reader_its_case_and_its_database(visit: Visit, db: Database) -> None:
    """Ada's window sends again after Ben has signed in; or a browser keeps the draft of a database that is no more."""
    visit.reads()
    answer = GOOD_ANSWER.as_dict()
    for key in (visit.key("1-1", "other"), visit.key("1-2"), "", None, "0" * 32):
        with pytest.raises(NotYours):
            cases.answered(db, visit.world.people["reader"], {"place": "1-1", "key": key, "answer": answer})
    assert stored(db) == []
    visit.submits()
    with pytest.raises(NotYours):
        cases.answered(db, visit.world.people["reader"], {"place": "1-1-again", "key": visit.key("1-2"), "answer": answer})
    with pytest.raises(NotYours):
        cases.answered(db, visit.world.people["reader"], {"place": "1-1", "key": visit.key("1-1", "other"), "answer": answer})
    assert len(stored(db)) == 1


def test_a_case_that_was_not_shown_takes_no_answer(visit: Visit, db: Database) -> None:
    assert "not shown to you yet" in visit.submits(place="1-5")["problem"]
    assert stored(db) == []


def test_when_a_strip_was_sent_outlives_the_server_and_a_clock_set_back(visit: Visit, db: Database) -> None:
    visit.reads()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    with db.write() as session:
        session.execute(update(Placement).where(Placement.position == 1).values(shown_at=ahead))
    visit.submits()
    [judgement] = stored(db)
    assert judgement.shown_at == judgement.submitted_at < ahead


def test_a_stale_window_cannot_answer_for_a_case_it_does_not_show(visit: Visit, db: Database) -> None:
    """The window shows case 1 while cases 1 and 2 are read in another: its Submit answers neither case 2 nor 3."""
    for _ in range(2):
        visit.submits(replace(GOOD_ANSWER, realism=1))
    assert visit.submits(replace(GOOD_ANSWER, realism=6), place="1-1")["case"]["title"] == "Case 3 of 6"
    assert [judgement.realism for judgement in stored(db)] == [1, 1]


def test_an_unblinded_or_foreign_round_takes_no_answer(visit: Visit, db: Database) -> None:
    assert "no round" in visit.submits(place="77-1")["problem"]
    assert (
        "not among yours" in cases.answered(db, visit.world.people["reader"], {"place": "practice-1-1-1", "answer": GOOD_ANSWER.as_dict()})["problem"]
    )
    assert "may not" in cases.answered(db, visit.world.people["coordinator"], {"place": "1-1", "answer": GOOD_ANSWER.as_dict()})["problem"]


# ---- corrections, and the signature ----


def test_the_case_before_is_corrected_and_reading_goes_on_where_it_was(visit: Visit, db: Database) -> None:
    test = visit.reads()
    for realism in (1, 2):
        visit.submits(replace(GOOD_ANSWER, realism=realism))
    send(test, "back", "1-3")
    assert on_desk(test)["title"] == "Correcting case 2 of 6"
    assert on_desk(test)["given"]["realism"] == 2
    assert visit.submits(replace(GOOD_ANSWER, realism=6), place="1-2-again")["case"]["title"] == "Case 3 of 6"
    send(test, "onward", "1-2-again")
    assert on_desk(test)["title"] == "Case 3 of 6"
    assert sorted((row.revision, row.realism) for row in stored(db)) == [(1, 1), (1, 2), (2, 6)]


def test_a_case_that_was_not_answered_cannot_be_opened_by_its_address(visit: Visit) -> None:
    test = visit.as_("reader", "reading", round=1, case=4)
    assert on_desk(test)["title"] == "Case 1 of 6"
    assert "no answer to correct" in visit.submits(place="1-4-again")["problem"]


def test_a_round_is_signed_after_a_last_look_and_then_stands(visit: Visit, db: Database) -> None:
    read_through(visit)
    test = visit.reads()
    assert "Round read through" in shown(test)
    assert shown(test).count("probably real · sinus rhythm · implausible: ST segment") == 6
    test.button(key="correct-4").click().run()
    assert on_desk(test)["title"] == "Correcting case 4 of 6"
    assert visit.submits(replace(GOOD_ANSWER, realism=5), place="1-4-again") == {"done": True, "notice": None}
    send(test, "onward", "1-4-again")
    assert "probably synthetic · sinus rhythm" in shown(test)
    by_label(test, "Sign the round").click().run()
    assert "you have signed them" in shown(test)
    assert "its answers stand" in visit.submits(place="1-4-again")["problem"]
    assert "signed on" in shown(visit.as_("reader", "reading"))
    assert len(stored(db)) == 7


# ---- true scale ----


def test_a_screen_s_scale_is_kept_for_its_reader(visit: Visit, db: Database) -> None:
    test = send(visit.reads(), "calibrated", {"screen": "k3x9-1440x900", "pixels_per_mm": 4.25})
    assert on_desk(test)["scales"] == {"k3x9-1440x900": 4.25}
    send(test, "calibrated", {"screen": "k3x9-1440x900", "pixels_per_mm": 4000})
    with db.read() as session:
        assert [screen.pixels_per_mm for screen in session.scalars(select(Screen))] == [4.25]
    assert on_desk(visit.reads("other"))["scales"] == {}


# ---- what the protocol asks ----


@pytest.mark.parametrize(
    ("order", "first"),
    [(REALISM_LAST, ("rhythm", "morphology", "realism", "cues", "marks")), (PURPOSE_BLIND, ("quality", "rhythm", "morphology"))],
)
def test_the_protocol_says_what_is_asked_in_which_order(db: Database, monkeypatch: pytest.MonkeyPatch, order: str, first: tuple[str, ...]) -> None:
    visit = Visit(world.make(db, question_order=order))
    monkeypatch.setattr(access, "sign_in_token", lambda: visit.token)
    without_a_browser(monkeypatch)
    assert on_desk(visit.reads())["questions"] == first


def test_a_purpose_blind_round_asks_for_the_arm_after_all_cases(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit(world.make(db, cases=2, question_order=PURPOSE_BLIND))
    monkeypatch.setattr(access, "sign_in_token", lambda: visit.token)
    without_a_browser(monkeypatch)
    title = on_desk(visit.reads())["title"]
    for position in (1, 2):
        assert title == f"Case {position} of 4, part 1"
        title = visit.submits(replace(GOOD_ANSWER, realism=None, quality="good"))["case"]["title"]
    assert title == "Case 3 of 4, part 2"
    assert visit.submits(Answer(realism=5))["case"]["title"] == "Case 4 of 4, part 2"
    assert visit.submits(Answer(realism=5))["done"] is True
    assert "Round read through" in shown(visit.reads())
