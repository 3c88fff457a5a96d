"""The screens, each run by Streamlit's AppTest on a database: what a person sees, and what their clicks store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from generator.strip import to_bytes
from pages import access
from storage import strips
from storage.database import Database
from storage.tables import Job, Judgement
from study import jobs, practice, reading, signing
from study.practice_round import PracticePlan, open_practice
from study.protocol import Protocol
from study.round_plan import RoundPlan
from study.studies import create_study
from tests import ending, world
from tests.pages.visiting import SECONDS, Visit, by_label, on_desk, shown
from tests.study.hospital import Drawer
from tests.world import GOOD_ANSWER, World, beats

CONDUCT = {"coordinator", "researcher"}
ALLOWED = {  # screen -> who of the world may enter it
    "reading": {"reader", "other"},
    "studies": CONDUCT,
    "results": CONDUCT,
    "gallery": {"researcher"},
    "quality": {"researcher"},
    "utility": {"researcher"},
    "recordings": {"researcher"},
    "people": {"coordinator"},
}
HOSTILE = '![x](http://evil.example/p.png) <img src="http://evil.example/q.png"> [link](http://evil.example) $x$ :red[y]'


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


@pytest.mark.parametrize(
    "module", ["access", "charts", "figure", "front_door", "opening", "orders", "paper", "progress", "screens", "sheet", "words", *ALLOWED]
)
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

    conducts = visit.as_("coordinator", "studies", study=visit.world.study_id)
    draws = visit.as_("researcher", "gallery")
    away()
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


# ---- before and after unblinding ----


def unblind(made: World) -> None:
    """After one case, as nothing can be unblinded that nobody has judged."""
    reader = made.people["reader"]
    case = reading.next_case(made.db, reader, made.round_id)
    assert case is not None
    reading.submit(made.db, reader, case.code, world.GOOD_ANSWER, datetime.now(UTC))
    ending.end(made.db, made.people["coordinator"], made.people["researcher"], made.study_id)


@pytest.mark.parametrize("who", sorted(CONDUCT))
def test_before_unblinding_the_results_screen_shows_no_figure(visit: Visit, who: str) -> None:
    for position in (1, 2):
        assert on_desk(visit.reads())["place"] == f"1-{position}"
        visit.submits()
    results = visit.as_(who, "results")
    assert not results.exception
    assert "This study is blind." in shown(results)
    for kind in ("plotly_chart", "arrow_data_frame", "metric", "table", "download_button", "image"):
        assert not results.get(kind), kind
    assert "2 of 12 cases read" in str([bar.proto.text for bar in results.get("progress")])


@pytest.mark.parametrize("who", sorted(CONDUCT))
def test_before_unblinding_the_studies_screen_shows_how_far_and_not_how_well(visit: Visit, who: str) -> None:
    visit.submits(replace(world.GOOD_ANSWER, realism=6))
    study = visit.as_(who, "studies", study=visit.world.study_id)
    assert not study.exception
    everything = shown(study) + "".join(frame.value.to_csv() for frame in study.dataframe)
    for word in ("accuracy", "sensitivity", "specificity", "kappa", "definitely synthetic", *visit.world.arm_of_code):
        assert word not in everything.lower()
    assert not study.get("plotly_chart")
    progress = {row["Reader"]: row["Read"] for frame in study.dataframe if "Read" in frame.value.columns for _, row in frame.value.iterrows()}
    if who == "coordinator":  # who leads the study
        assert progress == {"Dr. Ada Lindqvist": 1, "Dr. Ben Okafor": 0}
    else:
        assert progress == {}
        assert "1 of 12 answers in all" in everything
        assert "2 readers of other hospitals" in everything


def studies_screen(visit: Visit) -> AppTest:
    return visit.as_("coordinator", "studies", study=visit.world.study_id)


def test_what_a_plan_comes_to_is_said_while_it_is_made(visit: Visit) -> None:
    test = studies_screen(visit)
    assert "Each reader reads 24 cases: 22 scored, 2 repeated" in shown(test)
    test.number_input(key="plan-cases").set_value(44).run()
    assert "Each reader reads 44 cases: 40 scored, 4 repeated" in shown(test)
    test.toggle(key="plan-rotate").set_value(True).run()
    test.number_input(key="plan-controls").set_value(1).run()
    assert "8 scored that all read, 30 scored of a pool of 30, each read by 2, 4 repeated, 2 controls" in shown(test)
    test.number_input(key="plan-readings").set_value(1).run()
    assert "30 scored of a pool of 60, each read by 1" in shown(test)
    test.number_input(key="plan-anchors").set_value(100).run()
    assert "anchors: 100 is out of range" in shown(test)


def test_an_opened_plan_is_what_was_shown(visit: Visit, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(jobs, "ask", lambda _db, _person, kind, what: asked.append({"kind": kind, **what}))
    test = studies_screen(visit)
    test.toggle(key="plan-rotate").set_value(True).run()
    test.number_input(key="plan-anchors").set_value(6)
    test.slider(key="plan-earlier").set_value(10)
    test.number_input(key="plan-seed").set_value(77)
    by_label(test, "Open the round").click().run()
    by_label(test, "Open the practice").click().run()
    plan = RoundPlan(anchors=6, readings=2, earlier_repeats=0.1, seed=77, washout_days=14)
    assert asked == [
        {"kind": "round", "study_id": visit.world.study_id, "plan": plan.as_dict()},
        {"kind": "practice", "study_id": visit.world.study_id, "plan": PracticePlan().as_dict()},
    ]


def test_the_studies_screen_says_who_signed_and_who_practised(visit: Visit, db: Database) -> None:
    world = visit.world
    coordinator, reader = world.people["coordinator"], world.people["reader"]
    with db.write() as session:
        for seed in (5, 6):
            for rhythm in ("NSR", "AF"):
                new = strips.NewRecording(
                    to_bytes(beats(100 * seed + len(rhythm))), rhythm, "simulator", f"p{seed}{rhythm}", f"q{seed}{rhythm}", 100.0
                )
                strips.add_recording(session, replace(new, stand_in=True))
    round_id = open_practice(db, coordinator, world.study_id, PracticePlan(cases=4, pass_mark=0.5), Drawer())
    while case := practice.next_case(db, reader, round_id, 1):
        practice.submit(db, reader, case.code, round_id, 1, GOOD_ANSWER)
    while case_ := reading.next_case(db, reader, world.round_id):
        reading.submit(db, reader, case_.code, GOOD_ANSWER, datetime.now(UTC))
    signing.sign(db, reader, world.round_id, "")
    test = studies_screen(visit)
    assert not test.exception
    frames = [frame.value for frame in test.dataframe]
    [progress] = [frame for frame in frames if "Rounds signed" in frame.columns]
    assert progress.set_index("Reader")["Rounds signed"].to_dict() == {"Dr. Ada Lindqvist": "1 of 1", "Dr. Ben Okafor": "0 of 1"}
    [signed] = [frame for frame in frames if "Signed" in frame.columns]
    assert [bool(moment) for moment in signed["Signed"]] == [False, True]  # in order of site
    [practised] = [frame for frame in frames if "Passed" in frame.columns]
    assert practised.set_index("Reader")["Passed"].to_dict() == {"Dr. Ada Lindqvist": True, "Dr. Ben Okafor": False}
    assert "Readers pass with 50% of the rhythms right." in shown(test)


def test_order_diagnostics_are_computed_when_asked_for_and_know_no_arm(visit: Visit) -> None:
    test = studies_screen(visit)
    before = len(test.dataframe)
    test.toggle(key="order-diagnostics").set_value(True).run()
    assert not test.exception
    frames = [frame.value for frame in test.dataframe]
    assert len(frames) == before + 3
    [labels] = [frame for frame in frames if "Runs" in frame.columns]
    assert set(labels["Label"]) == {"AF"}
    assert not any("Arm" in frame.columns for frame in frames)
    assert "Wald & Wolfowitz" in shown(test)


def test_unblinding_takes_two_people(visit: Visit) -> None:
    visit.submits()
    asking = visit.as_("coordinator", "studies", study=visit.world.study_id)
    assert "when every round is closed" in shown(asking)
    round_id = visit.world.round_id
    asking.text_input(key=f"close-reason-{round_id}").set_value("Ben cannot come")
    by_label(asking, "Close the round").click().run()
    assert "Reason: Ben cannot come" in shown(asking)
    by_label(asking, "Ask for unblinding").click().run()
    assert "reason: write 1 to" in asking.error[0].value.replace("\\", "")
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
