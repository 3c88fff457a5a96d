"""The Quality screen: what is offered, what a click asks for, what the last result shows, and what it never shows."""

from __future__ import annotations

import pytest

from generator.quality.result import Figure, Pair, Quality, Target
from generator.strip import to_bytes
from storage import jobs as stored
from storage import strips
from storage.database import Database
from study import jobs, quality, strip_sets
from study.quality import Asked
from tests.pages.visiting import Visit, by_label, shown
from tests.world import beats

CHECKPOINT = "d" * 64


@pytest.fixture
def ready(visit: Visit, db: Database) -> list[int]:
    """Two drawn strips for the gallery; the world's own synthetic strips are drawn for its round."""
    with db.write() as session:
        made = []
        for i, rhythm in enumerate(("AF", "NSR")):
            new = strips.NewDrawing(to_bytes(beats(900 + i)), rhythm, CHECKPOINT, "dpm++2m", 20, 1.0, 7, i, "cpu", "gallery")
            made.append(strips.add_drawing(session, new))
    return [one for one in made if one is not None]


def finished(db: Database, visit: Visit, synthetic: int, train: int) -> None:
    """A stored result, as the runner leaves it."""
    figures = (
        Figure("detail", "detail ratio", "AF", 0.7, 1.01, (0.6, 0.8), (0.9, 1.1), n=1, n_real=1, n_beside=1),
        Figure("detail", "detail ratio", "NSR", None, reason="1 strips of NSR; 5 are needed", beside_reason="1 strips of NSR; 5 are needed"),
        Figure("memorisation", "share closer than 1st percentile", "AF", 0.5, 0.01, n=1, n_real=1, n_beside=1),
    )
    targets = (Target("detail ratio", "AF", 0.7, "0.8 to 1.2", False), Target("detail ratio", "NSR", None, "0.8 to 1.2", None, "too few"))
    sizes = {"real": {"AF": 1, "NSR": 1}}
    result = Quality(0, ("detail", "memorisation"), sizes, figures, targets, (Pair("AF", 0.012, 0, 0),), {})
    person = visit.world.people["researcher"]
    asked = Asked(CHECKPOINT, "simulator").as_dict()
    with db.write() as session:
        digest = quality._digest(strip_sets.members(session, Asked.from_dict(asked)))
        job_id = stored.add(session, "quality", person.id, asked)
        stored.claim(session, ["quality"])
        answer = {"quality": result.as_dict(), "pairs": [{"synthetic": synthetic, "train": train}], "digest": digest}
        stored.finish(session, job_id, "done", "Done.", answer)


def recordings(db: Database) -> list[int]:
    with db.read() as session:
        return [one.strip_id for rhythm in ("AF", "NSR") for one in strips.recorded_strips(session, collection="simulator", rhythm=rhythm)]


def test_before_there_is_anything_to_compare_the_screen_says_what_is_missing(visit: Visit) -> None:
    text = shown(visit.as_("researcher", "quality"))
    assert "There are no drawn strips to measure" in text
    assert "Nothing has been measured yet" in text


def test_a_click_asks_for_what_was_chosen_once(visit: Visit, db: Database, ready: list[int]) -> None:
    test = visit.as_("researcher", "quality")
    assert not test.exception
    test.number_input(key="quality-seed").set_value(5).run()
    test.selectbox(key="quality-drawn").select_index(0).run()
    [option] = test.selectbox(key="quality-drawn").options
    assert "1 AF, 1 NSR" in option  # not those of the round
    by_label(test, "Measure").click().run()
    asked = jobs.recent_jobs(db, visit.world.people["researcher"], "quality")
    if not asked:  # too few patients to hold a fifth out: refused in words
        assert "no strip in the real set" in shown(test)
    else:
        assert asked[0].asked["seed"] == 5


def test_the_last_result_stands_with_targets_figures_reasons_and_pairs(visit: Visit, db: Database, ready: list[int]) -> None:
    with db.write() as session:
        new = strips.NewRecording(to_bytes(beats(950)), "AF", "ward", "r1", "p1", 100.0)
        free = strips.add_recording(session, new)
    assert free is not None
    finished(db, visit, ready[0], free)
    test = visit.as_("researcher", "quality")
    assert not test.exception
    text = shown(test)
    assert "0 of 2 targets met" in text
    assert "1 of 3 figures are undefined: 1 strips of NSR; 5 are needed" in text
    assert "blue dots: recordings in their place. [a] 1 strips of NSR; 5 are needed." in text
    assert "distance 0.012" in text
    assert "ward, r1" in text
    assert "Out of date" not in text
    tables = [frame.value for frame in test.dataframe]
    assert any("✗ miss" in table.to_string() for table in tables)


def test_a_recording_of_a_blind_round_is_not_shown_as_real(visit: Visit, db: Database, ready: list[int]) -> None:
    finished(db, visit, ready[0], recordings(db)[0])
    text = shown(visit.as_("researcher", "quality"))
    assert "not shown, as it is in a round that is still blind" in text
    assert "simulator, r" not in text


def test_a_result_of_other_strips_says_that_it_is_out_of_date(visit: Visit, db: Database, ready: list[int]) -> None:
    finished(db, visit, ready[0], recordings(db)[0])
    with db.write() as session:
        strips.add_drawing(session, strips.NewDrawing(to_bytes(beats(990)), "AF", CHECKPOINT, "dpm++2m", 20, 1.0, 7, 9, "cpu", "gallery"))
    assert "Out of date" in shown(visit.as_("researcher", "quality"))


@pytest.mark.parametrize("who", ["reader", "coordinator"])
def test_who_may_not_see_strips_sees_no_figure(visit: Visit, db: Database, ready: list[int], who: str) -> None:
    finished(db, visit, ready[0], recordings(db)[0])
    test = visit.as_(who, "quality")
    assert "may not see the recordings" in test.error[0].value
    assert not test.dataframe
    assert len(test.main.children) == 1
