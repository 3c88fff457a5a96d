"""The screens, each run by Streamlit's AppTest on a database: what a person sees, and what their clicks store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from pages import access
from pages.reading import ELSEWHERE
from storage.database import Database
from storage.tables import Job, Judgement
from study import reading, unblinding
from study.protocol import CUES, MORPHOLOGY_ITEMS, PURPOSE_BLIND, Protocol
from study.studies import create_study
from tests import world
from tests.pages.visiting import SECONDS, Visit, by_label, shown
from tests.world import World

CONDUCT = {"coordinator", "researcher"}
ALLOWED = {  # screen -> who of the world may enter it
    "reading": {"reader", "other"},
    "studies": CONDUCT,
    "results": CONDUCT,
    "gallery": {"researcher"},
    "quality": {"researcher"},
    "recordings": {"researcher"},
    "people": {"coordinator"},
}
HOSTILE = '![x](http://evil.example/p.png) <img src="http://evil.example/q.png"> [link](http://evil.example) $x$ :red[y]'


def fill(test: AppTest, place: str, *, realism: int | None = 5, rhythm: str | None = "AF", skip: tuple[str, ...] = ()) -> None:
    """Answers a case's form; not what is None or named in skip."""
    if realism:
        test.segmented_control(key=f"realism-{place}").set_value(realism)
    if rhythm:
        test.segmented_control(key=f"rhythm-{place}").set_value(rhythm)
    for item in MORPHOLOGY_ITEMS:
        if item not in skip:
            test.radio(key=f"{item.lower().replace(' ', '-')}-{place}").set_value("plausible")


def stored(db: Database) -> list[Judgement]:
    with db.read() as session:
        found = list(session.scalars(select(Judgement).order_by(Judgement.id)))
        session.expunge_all()
        return found


# ---- who sees what ----


@pytest.mark.parametrize("screen", ALLOWED)
@pytest.mark.parametrize("who", ["reader", "coordinator", "researcher"])
def test_a_role_sees_its_own_screens_and_of_others_only_why_not(visit: Visit, who: str, screen: str) -> None:
    test = visit.as_(who, screen)
    assert not test.exception
    refused = [one.value for one in test.error if "may not" in one.value]
    if who in ALLOWED[screen]:
        assert not refused
        assert test.header
    else:
        assert len(refused) == 1
        assert "Sign in as" in refused[0]
        assert len(test.main.children) == 1  # the refusal stands alone
        assert not test.sidebar.children


@pytest.mark.parametrize("screen", [*ALLOWED, "account"])
def test_nobody_sees_a_screen_without_a_sign_in(visit: Visit, screen: str) -> None:
    visit.world.tokens["reader"] = ""
    test = visit.as_("reader", screen)
    assert [one.value for one in test.header] == ["You are signed out"]
    assert not test.button


@pytest.mark.parametrize("screen", [*ALLOWED, "account"])
def test_a_session_bound_to_one_person_shows_nothing_to_anothers_cookie(visit: Visit, screen: str) -> None:
    visit.world.tokens["reader"] = visit.world.tokens["coordinator"]
    test = visit.as_("reader", screen)
    assert [one.value for one in test.header] == ["You are signed out"]


@pytest.mark.parametrize("module", ["access", "charts", "front_door", "paper", "progress", "screens", "sheet", "words", *ALLOWED])
def test_a_module_of_pages_shows_nothing_when_it_is_run_as_a_page(visit: Visit, module: str) -> None:
    test = AppTest.from_file(str(Path(access.__file__).with_name(f"{module}.py")), default_timeout=SECONDS).run()
    assert not test.exception
    assert not test.main.children
    assert not test.sidebar.children


@pytest.mark.parametrize("then", ["signed out", "somebody else"])
def test_a_click_after_signing_out_stores_nothing(visit: Visit, db: Database, then: str) -> None:
    """Streamlit runs a button's callback before the screen asks who is there: an open tab must not act for whom it was drawn."""

    def away() -> None:
        visit.token = visit.world.tokens["other"] if then == "somebody else" else None

    reads, conducts = visit.reads(), visit.as_("coordinator", "studies", study=visit.world.study_id)
    draws = visit.as_("researcher", "gallery")
    fill(reads, "1-1")
    away()
    reads.button(key="submit-1-1").click().run()
    assert stored(db) == []
    assert [one.value for one in reads.header] == ["You are signed out"]

    by_label(conducts, "Open the round").click().run()
    by_label(draws, "Draw").click().run()
    with db.read() as session:
        assert session.scalars(select(Job)).all() == []


def test_words_of_people_load_nothing_and_link_nowhere(visit: Visit, db: Database) -> None:
    """Titles and names may hold Markdown: only st.text shows them, or escaped."""
    coordinator = visit.world.people["coordinator"]
    study_id = create_study(db, coordinator, HOSTILE, Protocol(), [visit.world.people["reader"].id])
    screens = [visit.as_("coordinator", "studies"), visit.as_("coordinator", "studies", study=study_id), visit.as_("coordinator", "results")]
    for test in screens:
        assert not test.exception
        for element in (*test.markdown, *test.caption, *test.html, *test.info, *test.error):
            assert "evil" not in str(getattr(element, "value", None) or element.proto.body)


# ---- reading ----


def test_a_reader_enters_a_round_from_the_list(visit: Visit) -> None:
    test = visit.as_("reader", "reading")
    assert "Round 1" in shown(test)
    assert "Sinus rhythm and AF" in shown(test)
    test.button(key=f"read-{visit.world.round_id}").click().run()
    assert "Case 1 of 6" in shown(test)
    assert str(visit.world.round_id) in test.query_params["round"]  # kept over a reload


def test_a_submitted_answer_is_what_is_stored(visit: Visit, db: Database) -> None:
    before = datetime.now(UTC)
    test = visit.reads()
    fill(test, "1-1", realism=4, rhythm="NSR")
    test.radio(key="t-wave-1-1").set_value("implausible")
    test.pills(key="cues-1-1").set_value(["beats too much alike", "other (see comment)"])
    test.text_area(key="comment-1-1").set_value("  the same beat, twelve times  ")
    test.button(key="submit-1-1").click().run()
    [judgement] = stored(db)
    assert (judgement.realism, judgement.rhythm, judgement.revision) == (4, "NSR", 1)
    assert judgement.morphology == {**dict.fromkeys(MORPHOLOGY_ITEMS, "plausible"), "T wave": "implausible"}
    assert judgement.cues == ["beats too much alike", "other (see comment)"]
    assert judgement.comment == "the same beat, twelve times"
    assert judgement.reader_id == visit.world.people["reader"].id
    assert before <= judgement.shown_at <= judgement.submitted_at <= datetime.now(UTC)


def test_an_incomplete_answer_is_not_stored_and_says_what_is_missing(visit: Visit, db: Database) -> None:
    test = visit.reads()
    fill(test, "1-1", rhythm=None, skip=("P wave", "QT interval"))
    test.text_area(key="comment-1-1").set_value("keep me")
    test.pills(key="cues-1-1").set_value(["amplitudes implausible"])
    test.button(key="submit-1-1").click().run()
    assert stored(db) == []
    assert "Not submitted yet. Still to answer: rhythm, P wave, QT interval." in shown(test)
    assert "Case 1 of 6" in shown(test)
    assert test.segmented_control(key="realism-1-1").value == 5
    assert test.radio(key="st-segment-1-1").value == "plausible"
    assert test.text_area(key="comment-1-1").value == "keep me"
    assert test.pills(key="cues-1-1").value == ["amplitudes implausible"]

    fill(test, "1-1")
    test.button(key="submit-1-1").click().run()
    assert [judgement.comment for judgement in stored(db)] == ["keep me"]
    assert "Still to answer" not in shown(test)


def test_nothing_is_chosen_beforehand_not_even_after_a_case(visit: Visit) -> None:
    test = visit.reads()
    for place in ("1-1", "1-2"):
        assert [one.value for one in test.segmented_control] == [None, None]
        assert [one.value for one in test.radio] == [None] * len(MORPHOLOGY_ITEMS)
        assert [one.value for one in test.pills] == [[]]
        assert [one.value for one in test.text_area] == [""]
        fill(test, place)
        test.text_area(key=f"comment-{place}").set_value("mine")
        test.button(key=f"submit-{place}").click().run()


def test_the_place_is_in_the_database_not_in_the_session(visit: Visit) -> None:
    for position in (1, 2, 3):
        test = visit.reads()
        assert f"Case {position} of 6" in shown(test)
        fill(test, f"1-{position}")
        test.button(key=f"submit-1-{position}").click().run()
        assert f"Case {position + 1} of 6" in shown(test)
    assert "Case 1 of 6" in shown(visit.reads("other"))  # each reader has a place of their own


def test_leaving_goes_back_to_the_list_and_keeps_the_place(visit: Visit) -> None:
    test = visit.reads()
    fill(test, "1-1")
    test.button(key="submit-1-1").click().run()
    test.button(key="leave").click().run()
    assert "1 of 6 cases read" in str([bar.proto.text for bar in test.get("progress")])
    assert test.button(key="read-1").label == "Continue"
    test.button(key="read-1").click().run()
    assert "Case 2 of 6" in shown(test)


def test_a_second_window_at_the_same_case_stores_nothing_twice(visit: Visit, db: Database) -> None:
    one, other = visit.reads(), visit.reads()
    for test, realism in ((one, 2), (other, 6)):
        fill(test, "1-1", realism=realism)
        test.button(key="submit-1-1").click().run()
        assert not test.error
        assert "Case 2 of 6" in shown(test)
    assert [judgement.realism for judgement in stored(db)] == [2]
    assert [warning.value for warning in other.warning] == [ELSEWHERE]  # and the window whose answer counts says nothing
    assert not one.warning
    assert not other.run().warning


def test_a_cue_that_points_to_the_comment_needs_one(visit: Visit, db: Database) -> None:
    test = visit.reads()
    fill(test, "1-1", realism=5)
    test.pills(key="cues-1-1").set_value([CUES[-1]])
    test.button(key="submit-1-1").click().run()
    assert "the comment that your cue refers to" in test.warning[0].value
    assert not stored(db)
    test.text_area(key="comment-1-1").set_value("mirror image of case 3")
    test.button(key="submit-1-1").click().run()
    assert [judgement.comment for judgement in stored(db)] == ["mirror image of case 3"]


def test_a_stale_window_cannot_answer_for_a_case_it_does_not_show(visit: Visit, db: Database) -> None:
    """The window shows case 1 while cases 1 and 2 are read in another: its Submit answers neither case 2 nor 3."""
    stale = visit.reads()
    fill(stale, "1-1", realism=6)
    ahead = visit.reads()
    for position in (1, 2):
        fill(ahead, f"1-{position}", realism=1)
        ahead.button(key=f"submit-1-{position}").click().run()
    stale.button(key="submit-1-1").click().run()
    assert [judgement.realism for judgement in stored(db)] == [1, 1]
    assert "Case 3 of 6" in shown(stale)


def test_the_end_of_a_round(visit: Visit, db: Database) -> None:
    reader = visit.world.people["reader"]
    for _ in range(6):
        case = reading.next_case(db, reader, visit.world.round_id)
        assert case is not None
        reading.submit(db, reader, case.code, world.GOOD_ANSWER, datetime.now(UTC))
    assert "Every case of this round has your answer. Thank you." in shown(visit.reads())
    listed = visit.as_("reader", "reading")
    assert "Read through. Thank you." in shown(listed)
    assert not listed.button


def test_an_unblinded_round_is_closed(visit: Visit) -> None:
    unblind(visit.world)
    test = visit.reads()
    assert "no more judgements are taken" in shown(test)
    assert not test.get("plotly_chart")
    assert "There is nothing to read for you now." in shown(visit.as_("reader", "reading"))


def test_a_round_of_others_is_closed(visit: Visit) -> None:
    for number in (visit.world.round_id + 7, 0):
        test = visit.as_("reader", "reading", round=number)
        assert not test.exception
        assert len(test.error) == 1
        assert not test.get("plotly_chart")
    assert "Rounds to read" in shown(visit.as_("reader", "reading", round="1; DROP TABLE strip"))


def test_a_purpose_blind_study_asks_for_the_rhythm_first(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit(world.make(db, question_order=PURPOSE_BLIND))
    monkeypatch.setattr(access, "sign_in_token", lambda: visit.token)
    assert [one.label for one in visit.reads().segmented_control] == ["Rhythm", "Recorded from a patient, or synthetic?"]


def test_the_usual_order_asks_for_real_or_synthetic_first(visit: Visit) -> None:
    assert [one.label for one in visit.reads().segmented_control] == ["Recorded from a patient, or synthetic?", "Rhythm"]


# ---- before and after unblinding ----


def unblind(made: World) -> None:
    """After one case, as nothing can be unblinded that nobody has judged."""
    reader = made.people["reader"]
    case = reading.next_case(made.db, reader, made.round_id)
    assert case is not None
    reading.submit(made.db, reader, case.code, world.GOOD_ANSWER, datetime.now(UTC))
    unblinding.ask(made.db, made.people["coordinator"], made.study_id, "a test")
    unblinding.confirm(made.db, made.people["researcher"], made.study_id)


@pytest.mark.parametrize("who", sorted(CONDUCT))
def test_before_unblinding_the_results_screen_shows_no_figure(visit: Visit, who: str) -> None:
    for position in (1, 2):
        test = visit.reads()
        fill(test, f"1-{position}")
        test.button(key=f"submit-1-{position}").click().run()
    results = visit.as_(who, "results")
    assert not results.exception
    assert "This study is blind." in shown(results)
    for kind in ("plotly_chart", "arrow_data_frame", "metric", "table", "download_button", "image"):
        assert not results.get(kind), kind
    assert "2 of 12 cases read" in str([bar.proto.text for bar in results.get("progress")])


@pytest.mark.parametrize("who", sorted(CONDUCT))
def test_before_unblinding_the_studies_screen_shows_how_far_and_not_how_well(visit: Visit, who: str) -> None:
    test = visit.reads()
    fill(test, "1-1", realism=6)
    test.button(key="submit-1-1").click().run()
    study = visit.as_(who, "studies", study=visit.world.study_id)
    assert not study.exception
    everything = shown(study) + "".join(frame.value.to_csv() for frame in study.dataframe)
    for word in ("accuracy", "sensitivity", "specificity", "kappa", "definitely synthetic", *visit.world.arm_of_code):
        assert word not in everything.lower()
    assert not study.get("plotly_chart")
    [progress] = [frame.value for frame in study.dataframe if "Read" in frame.value.columns][:1]
    assert progress.set_index("Reader")["Read"].to_dict() == {"Dr. Ada Lindqvist": 1, "Dr. Ben Okafor": 0}


def test_unblinding_takes_two_people(visit: Visit) -> None:
    reads = visit.reads()
    fill(reads, "1-1")
    reads.button(key="submit-1-1").click().run()
    asking = visit.as_("coordinator", "studies", study=visit.world.study_id)
    asking.text_input(key="unblinding-reason").set_value("a test")
    by_label(asking, "Ask for unblinding").click().run()
    assert "Another person has to confirm it." in shown(asking)
    assert "Confirm unblinding" not in shown(asking)
    confirming = visit.as_("researcher", "studies", study=visit.world.study_id)
    assert "Confirm unblinding" not in shown(confirming)  # until the box is ticked
    confirming.checkbox(key="unblinding-sure").check().run()
    by_label(confirming, "Confirm unblinding").click().run()
    assert not confirming.error
    assert "Asked for by Cora Weiss, confirmed by Remy Duval" in shown(confirming)


# ---- a demo says that it is one ----


@pytest.mark.parametrize(("who", "screen"), [(who, screen) for screen, whos in ALLOWED.items() for who in sorted(whos)])
def test_every_screen_of_a_demo_says_so(visit: Visit, who: str, screen: str) -> None:
    assert "Demo: the real arm is simulated" in shown(visit.as_(who, screen))


def test_a_case_of_a_demo_says_so(visit: Visit) -> None:
    assert "Demo: the real arm is simulated" in shown(visit.reads())
