"""The reading desk in a real browser: keys, calipers, marks, scale, breaks, corrections, and what of it is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from pages.desk import words
from pages.paper import CSS_PIXELS_PER_MM
from storage.database import Database
from storage.tables import Judgement, Screen
from study.ecg_paper import Sheet
from study.protocol import CUES, MORPHOLOGY_ITEMS
from study.screens import CARD_MM
from tests import world
from tests.browser.driving import Server, at_the_desk, on_desk, press
from tests.study.waiting import until
from tests.world import World

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("desk")]

CASES = 16
SHEET = Sheet()


@pytest.fixture(scope="module")
def hospital(server: Server) -> Iterator[World]:
    db = Database(server.database)
    yield world.make(db, cases=CASES)
    db.close()


@pytest.fixture(scope="module")
def desk(server: Server, chrome: Browser, hospital: World) -> Iterator[Page]:
    page = at_the_desk(server, chrome, hospital.tokens["reader"])
    yield page
    page.context.close()


@pytest.fixture
def at(desk: Page, server: Server, hospital: World) -> int:
    """A desk with an empty form; the position of the case on it, as the database has it."""
    desk.goto(server.url + "/healthz")  # the desk keeps a draft when it is left
    desk.evaluate("Object.keys(localStorage).filter(name => name.includes('/draft/')).forEach(name => localStorage.removeItem(name))")
    desk.goto(server.url + "/?round=1")
    position = len({row.case_id for row in judgements(hospital)}) + 1
    on_desk(desk, f"1-{position}")
    return position


def choose(page: Page, question: str, answer: str) -> None:
    page.locator(f"[data-question='{question}'] label", has_text=answer).first.click()


def judgements(hospital: World) -> list[Judgement]:
    with hospital.db.read() as session:
        rows = list(session.scalars(select(Judgement).where(Judgement.reader_id == hospital.people["reader"].id).order_by(Judgement.id)))
        session.expunge_all()
    return rows


def screens(hospital: World) -> list[float]:
    """Pixels for a millimetre of every screen that was calibrated."""
    with hospital.db.read() as session:
        return list(session.scalars(select(Screen.pixels_per_mm)))


def submitted(page: Page, hospital: World, position: int) -> Judgement:
    page.keyboard.press("Enter")
    on_desk(page, f"1-{position + 1}")
    return judgements(hospital)[-1]


def click(page: Page, x: float, y: float) -> None:
    """On the paper, in millimetres from its upper left corner at true scale."""
    box = page.locator("svg.overlay").bounding_box()
    assert box
    page.mouse.click(box["x"] + x * CSS_PIXELS_PER_MM, box["y"] + y * CSS_PIXELS_PER_MM)


def test_the_keyboard_does_everything(desk: Page, hospital: World, at: int) -> None:
    press(desk, "5ays")  # probably synthetic, atrial fibrillation, all plausible but the ST segment
    press(desk, "tt")  # the T wave: implausible, then cannot judge
    desk.keyboard.press("w")
    desk.keyboard.press("Space")  # the first cue
    press(desk, "k")
    desk.keyboard.type("read by keys 2y")
    desk.keyboard.press("Escape")
    row = submitted(desk, hospital, at)
    assert (row.realism, row.rhythm, row.cues, row.comment) == (5, "AF", [CUES[0]], "read by keys 2y")
    assert row.morphology == {**dict.fromkeys(MORPHOLOGY_ITEMS, "plausible"), "ST segment": "implausible", "T wave": "cannot judge"}


def test_the_pointer_does_it_too_and_leaves_no_answer_to_the_arrow_keys(desk: Page, hospital: World, at: int) -> None:
    choose(desk, "realism", "possibly real")
    choose(desk, "rhythm", "unsure")
    for item in MORPHOLOGY_ITEMS:
        choose(desk, item, "plausible")
    desk.keyboard.press("ArrowRight")
    desk.keyboard.press("ArrowDown")
    expect(desk.locator(".overlay .lead")).to_have_count(1)  # the arrows chose a lead
    desk.get_by_role("button", name="Submit").dblclick()
    on_desk(desk, f"1-{at + 1}")
    row = judgements(hospital)[-1]
    assert (row.realism, row.rhythm, set(row.morphology.values())) == (3, "unsure", {"plausible"})


def test_an_incomplete_answer_says_what_is_missing_and_is_not_stored(desk: Page, hospital: World, at: int) -> None:
    press(desk, "2pq")
    before = len(judgements(hospital))
    desk.keyboard.press("Enter")
    expect(desk.locator(".status")).to_have_text("Not submitted yet. Still to answer: rhythm, PR interval, ST segment, T wave, QT interval.")
    assert len(judgements(hospital)) == before
    press(desk, "ny")
    assert submitted(desk, hospital, at).rhythm == "NSR"


def test_nothing_is_chosen_beforehand_not_even_after_a_case(desk: Page, hospital: World, at: int) -> None:
    press(desk, "1uy")
    submitted(desk, hospital, at)
    assert desk.locator(".form input:checked").count() == 0
    assert desk.locator("textarea").input_value() == ""


def test_calipers_measure_what_the_grid_says(desk: Page, at: int) -> None:
    """20 mm along and 5 mm up at 25 mm/s and 10 mm/mV: 800 ms, 75 bpm, 0.5 mV; the same points at 50 mm/s and 20 mm/mV say half."""
    desk.keyboard.press("c")
    row = SHEET.baselines[1]
    click(desk, SHEET.first + 10, row)
    click(desk, SHEET.first + 30, row - 5)
    expect(desk.locator(".overlay .words")).to_have_text(re.compile(r"^(799|800|801) ms +75 bpm +0\.50 mV$"))
    desk.keyboard.press("m")
    marched = desk.locator(".overlay .march")
    expect(marched).to_have_count(3)  # lead II's 2.5 s hold it three times, from 0.4 s on
    desk.keyboard.press("c")
    desk.keyboard.press("c")
    press(desk, "]")
    click(desk, SHEET.first + 10, row)
    click(desk, SHEET.first + 30, row - 5)
    expect(desk.locator(".overlay .words")).to_contain_text(re.compile(r"^(399|400|401) ms"))
    press(desk, "[c")


def test_a_qt_and_an_rr_give_qtc(desk: Page, at: int) -> None:
    desk.keyboard.press("c")
    for _ in range(20):
        desk.keyboard.press("ArrowLeft")  # legs of 500 ms come 10 ms nearer each time, the pointer's apart
    words_before = desk.locator(".overlay .words").text_content() or ""
    qt = int(words_before.split()[0])
    desk.keyboard.press("e")
    for _ in range(14):
        desk.keyboard.press("Shift+ArrowRight")
    rr = int((desk.locator(".overlay .words").text_content() or "").split()[0])
    desk.keyboard.press("h")
    bazett, fridericia = round(qt / (rr / 1000) ** 0.5), round(qt / (rr / 1000) ** (1 / 3))
    expect(desk.locator(".qtc")).to_have_text(f"QT {qt} ms   RR {rr} ms   QTc {bazett} ms (Bazett), {fridericia} ms (Fridericia)")
    desk.keyboard.press("c")


def test_a_region_is_marked_and_stored_with_how_the_strip_was_viewed(desk: Page, hospital: World, at: int) -> None:
    desk.keyboard.press("x")
    row = SHEET.baselines[0]
    click(desk, SHEET.first + 10, row)
    click(desk, SHEET.first + 15, row)
    expect(desk.locator(".overlay .mark")).to_have_count(1)
    desk.keyboard.press("x")
    click(desk, SHEET.first + 70, SHEET.baselines[2])
    click(desk, SHEET.first + 80, SHEET.baselines[2])
    desk.get_by_role("button", name=re.compile("Remove the mark on I,")).click()
    press(desk, "]")  # 50 mm/s, and back
    press(desk, "[.+0")  # gain 20, larger, true scale
    press(desk, "6ny")
    row_stored = submitted(desk, hospital, at)
    [mark] = row_stored.marks
    assert mark["lead"] == "aVF"
    assert mark["from_ms"] == pytest.approx(2800, abs=15)
    assert mark["to_ms"] == pytest.approx(3200, abs=15)
    viewing: dict[str, Any] = row_stored.viewing
    assert [(change["what"], change["to"]) for change in viewing["changes"]] == [
        ("speed", 50),
        ("speed", 25),
        ("gain", 20),
        ("zoom", 1.5),
        ("zoom", 1),
    ]
    assert (viewing["speed"], viewing["gain"], viewing["zoom"], viewing["layout"], viewing["order"]) == (25, 20, 1, SHEET.layout, SHEET.order)
    assert (viewing["calibrated"], viewing["magnifier"]) == (False, 1)
    assert viewing["pixels_per_mm"] == pytest.approx(CSS_PIXELS_PER_MM)


def test_calipers_begin_anew_on_another_lead_and_with_the_pointer(desk: Page, at: int) -> None:
    press(desk, "c")
    expect(desk.locator(".overlay .leg")).to_have_count(2)  # with legs for the arrow keys
    first = desk.locator(".overlay .leg").first.get_attribute("x1")
    press(desk, "c")
    for _ in range(2):
        desk.keyboard.press("ArrowRight")  # to V1's column
    press(desk, "c")
    assert desk.locator(".overlay .leg").first.get_attribute("x1") != first
    click(desk, SHEET.first + 20, SHEET.baselines[0])
    expect(desk.locator(".overlay .leg")).to_have_count(1)  # the first of two clicks
    click(desk, SHEET.first + 40, SHEET.baselines[0])
    expect(desk.locator(".overlay .words")).to_contain_text(re.compile(r"^(799|800|801) ms"))
    press(desk, "lll")  # 12x1, where lead I runs on: the interval stays
    expect(desk.locator(".overlay .words")).to_contain_text(re.compile(r"^(799|800|801) ms"))
    desk.keyboard.press("Escape")
    desk.keyboard.press("Escape")
    expect(desk.locator(".overlay .leg")).to_have_count(0)
    press(desk, "l")


def test_minus_avr_is_avr_the_other_way_up(desk: Page, at: int) -> None:
    press(desk, "c")
    click(desk, SHEET.first + 70, SHEET.baselines[0])
    click(desk, SHEET.first + 80, SHEET.baselines[0] - 8)
    expect(desk.locator(".overlay .words")).to_contain_text(" 0.80 mV")
    press(desk, "lllv")
    expect(desk.locator(".overlay .words")).to_contain_text("-0.80 mV")
    press(desk, "vl")


def test_a_correction_is_left_unchanged_by_esc_and_not_by_chance(desk: Page, hospital: World, at: int) -> None:
    before = len(judgements(hospital))
    desk.keyboard.press("Backspace")
    on_desk(desk, f"1-{at - 1}-again")
    given = desk.locator(".form input[name=realism]:checked").get_attribute("value")
    press(desk, "5u" if given != "5" else "4u")
    desk.keyboard.press("Backspace")
    expect(desk.locator(".status")).to_contain_text("Store the correction first")
    desk.keyboard.press("Escape")
    on_desk(desk, f"1-{at}")
    assert len(judgements(hospital)) == before
    desk.keyboard.press("Backspace")
    on_desk(desk, f"1-{at - 1}-again")
    assert desk.locator(".form input[name=realism]:checked").get_attribute("value") == given


def test_a_held_key_counts_once(desk: Page, at: int) -> None:
    for _ in range(5):
        desk.keyboard.down("q")  # the first down, then repeats
    desk.keyboard.up("q")
    assert desk.locator("[data-question='QRS complex'] input:checked").get_attribute("value") == "plausible"


def test_the_next_case_is_at_the_standard_scale_again(desk: Page, hospital: World, at: int) -> None:
    press(desk, "].c1uy")
    submitted(desk, hospital, at)
    assert desk.get_by_label("Paper speed").input_value() == f"{SHEET.speed:g}"
    assert desk.get_by_label("Gain").input_value() == f"{SHEET.gain:g}"
    assert desk.locator(".overlay > *").count() == 0


def test_a_break_covers_the_strip_and_is_no_reading_time(desk: Page, hospital: World, at: int) -> None:
    desk.keyboard.press("b")
    expect(desk.get_by_text("A break. The strip is covered and the clock stands.")).to_be_visible()
    press(desk, "1")  # answers nothing behind the cover
    desk.wait_for_timeout(700)
    desk.keyboard.press("Enter")
    expect(desk.get_by_text("A break.")).to_be_hidden()
    assert desk.locator(".form input:checked").count() == 0
    press(desk, "4uy")
    row = submitted(desk, hospital, at)
    assert row.away_ms is not None
    assert row.reading_ms is not None
    assert 700 <= row.away_ms < 5000
    assert row.reading_ms + row.away_ms <= (row.submitted_at - row.shown_at).total_seconds() * 1000 + 50


def test_the_case_before_is_corrected_and_a_half_filled_form_waits(desk: Page, hospital: World, at: int) -> None:
    press(desk, "3ny")
    submitted(desk, hospital, at)
    at += 1
    on_desk(desk, f"1-{at}")
    press(desk, "3o")  # half an answer to this case
    desk.keyboard.press("Backspace")
    on_desk(desk, f"1-{at - 1}-again")
    assert desk.locator(".form input:checked").count() == 8
    press(desk, "1")
    desk.keyboard.press("Enter")
    on_desk(desk, f"1-{at}")
    newest = judgements(hospital)[-1]
    assert (newest.revision, newest.realism) == (2, 1)
    assert [box.get_attribute("value") for box in desk.locator(".form input:checked").all()] == ["3", "other"]
    press(desk, "y")
    submitted(desk, hospital, at)


def test_a_screen_is_brought_to_true_scale_once_and_stays_so(desk: Page, hospital: World, at: int) -> None:
    desk.keyboard.press("g")
    slider = desk.get_by_label("Width of the frame")
    slider.fill("385")
    frame = desk.locator(".card").bounding_box()
    assert frame
    assert frame["width"] == pytest.approx(385, abs=0.5)
    desk.get_by_role("button", name="The frame is as wide as the card").click()
    pixels = 385 / CARD_MM
    for _ in range(2):
        box = desk.locator(".stage canvas").bounding_box()
        assert box
        assert box["width"] == pytest.approx(SHEET.width * pixels, abs=0.5)
        assert box["height"] == pytest.approx(SHEET.height * pixels, abs=0.5)
        until(lambda: len(screens(hospital)) == 1)
        desk.reload()
        on_desk(desk, f"1-{at}")
    assert screens(hospital) == pytest.approx([pixels])
    press(desk, "2ny")
    viewing = submitted(desk, hospital, at).viewing
    assert viewing["calibrated"] is True
    assert viewing["pixels_per_mm"] == pytest.approx(pixels)


def test_every_key_of_the_form_is_told_and_means_one_thing(desk: Page, at: int) -> None:
    desk.keyboard.press("?")
    told = desk.get_by_role("dialog", name="Keys").inner_text()
    desk.keyboard.press("Escape")
    form = words()
    letters = [letter for _, _, letter in form["rhythm"]] + [letter for _, letter in form["items"]] + list("YWKCMEHXLVDBFG")
    quality = [letter for _, letter in form["quality"]]
    assert len({*letters, *quality}) == len(letters) + len(quality)
    assert all(letter in told for letter in letters)
    assert "quality" not in told  # it is not asked here
