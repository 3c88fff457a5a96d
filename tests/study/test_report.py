"""The report: its content is that of the tables, every checklist item is there, it asks for nothing outside, and both files say the same."""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pypdf
import pytest

from storage import audit, export
from storage import studies as stored
from storage.database import Database
from storage.export import Provenance, StudyData
from storage.studies import ReaderRow
from study import exports
from study.bundle import bundle
from study.errors import NotAllowed, StudyError
from study.judgements import reader_codes
from study.leak_gate import REFUSED_BY_THE_GATE
from study.notices import STAND_INS, banner
from study.people import Person
from study.practice_round import PracticePlan, open_practice
from study.protocol import Protocol
from study.report import checklists
from study.report.content import LEFT_OUT, report_of
from study.report.document import document
from study.report.facts import Cells, Facts
from study.report.page import page
from study.report.parts import Dot, Line, Listed, Paragraph, Picture, Report, Row, Section, Table
from study.report.pdf import pdf
from study.results import Results, records, results, results_of
from study.roles import Role
from study.studies import create_study
from tests.databases import new_url
from tests.study.cli_calls import fails, run
from tests.study.factory import Planted, PlantedReader, read_study
from tests.study.hospital import Drawer, add_recordings, hospital


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(new_url(tmp_path_factory.mktemp("report")))
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="module")
def planted(house: Database) -> Planted:
    return read_study(house)


@pytest.fixture(scope="module")
def found(house: Database, planted: Planted) -> Results:
    return results(house, planted.coordinator, planted.study_id)


@pytest.fixture(scope="module")
def rested(house: Database, planted: Planted) -> tuple[StudyData, Provenance]:
    return data_of(house, planted.study_id)


@pytest.fixture(scope="module")
def report(rested: tuple[StudyData, Provenance], found: Results) -> Report:
    return report_of(*rested, found)


@pytest.fixture(scope="module")
def web(report: Report) -> str:
    return page(report)


@pytest.fixture(scope="module")
def paper(report: Report) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(pdf(report)))


def data_of(db: Database, study_id: int) -> tuple[StudyData, Provenance]:
    with db.read() as session:
        return export.study_data(session, study_id), export.provenance(session, study_id)


def report_on(db: Database, study: Planted) -> Report:
    data, origin = data_of(db, study.study_id)
    return report_of(data, origin, results_of(data))


def parts(report: Report) -> list[Any]:
    return [*report.opening, *(part for section in report.sections for part in section.parts)]


def table(report: Report, title: str) -> list[dict[str, str]]:
    [wanted] = [part for part in parts(report) if isinstance(part, Table) and part.title == title]
    return [dict(zip(wanted.head, row.cells, strict=True)) for row in wanted.rows]


def section(report: Report, heading: str) -> Section:
    [wanted] = [one for one in report.sections if one.heading.startswith(heading)]
    return wanted


def words(reader: pypdf.PdfReader) -> str:
    return " ".join(" ".join(one.extract_text() for one in reader.pages).split())


def value(found: Results, table_name: str, /, **wanted: object) -> dict[str, Any]:
    [row] = records(getattr(found, table_name), **wanted)
    return row


# ---- content against the tables ----


def test_the_verdict_comes_first_and_then_the_picture(report: Report, found: Results, web: str) -> None:
    sentence = value(found, "verdicts", group="all", figure="accuracy for equivalence")["sentence"]
    verdict, *_more, picture = report.opening
    assert isinstance(verdict, Paragraph)
    assert verdict.kind == "verdict"
    assert sentence.startswith(verdict.text)
    assert " ".join(part.text for part in report.opening if isinstance(part, Paragraph)) == sentence
    assert isinstance(picture, Picture)
    assert web.index(html.escape(verdict.text).replace(" %", "\u00a0%")) < web.index("<svg") < web.index("<h2>Methods")


def test_the_picture_draws_each_interval_where_it_lies(report: Report, found: Results) -> None:
    """Positions follow from the figures by the axis' own marks: chance in the middle, the margin about it."""
    [picture] = [part for part in report.opening if isinstance(part, Picture)]
    dots = [shape for shape in picture.shapes if isinstance(shape, Dot)]
    assert [dot.square for dot in dots] == [True, True, False, False, True, False, False]
    spans = [(one.x1, one.x2) for one in picture.shapes if isinstance(one, Line) and one.y1 == one.y2 and one.stroke > 0.4]
    rows = [row for row in records(found.verdicts) if row["figure"] == "accuracy for equivalence"]
    order = ["all", "Heidelberg", *sorted(r["name"] for r in rows if r["site"] == "Heidelberg" and r["group"] == "reader")]
    order += ["Mannheim", *sorted(r["name"] for r in rows if r["site"] == "Mannheim" and r["group"] == "reader")]
    by_name = {row["name"]: row for row in rows}
    [chance] = [one.x1 for one in picture.shapes if isinstance(one, Line) and one.dashed]
    ends = [one for one in picture.shapes if isinstance(one, Line) and one.y1 == one.y2 and one.stroke == 0.25]
    [axis] = [(one.x1, one.x2) for one in ends if one.x2 - one.x1 > 50]
    assert chance == pytest.approx(sum(axis) / 2)
    for name, dot, span in zip(order, dots, spans, strict=True):
        row = by_name[name]
        shares = [(x - axis[0]) / (axis[1] - axis[0]) for x in (dot.x, *span)]
        assert shares == pytest.approx([row["value"], row["low"], row["high"]]), name


def test_the_main_table_is_that_of_the_results(report: Report, found: Results) -> None:
    rows = table(report, "Real or synthetic: the main table")
    assert [row["Readers"] for row in rows] == ["All readers", "Heidelberg", *codes(found, "Heidelberg"), "Mannheim", *codes(found, "Mannheim")]
    for row in rows:
        name = "all" if row["Readers"] == "All readers" else row["Readers"]
        group = "all" if name == "all" else "reader" if name.startswith("R0") else "site"
        for figure in ("balanced accuracy", "sensitivity", "specificity"):
            wanted = value(found, "realism", name=name, rhythm="all", figure=figure if group == "reader" else f"{figure} (readers and cases)")
            assert row[figure.capitalize()] == f"{100 * wanted['value']:.1f} %\n({100 * wanted['low']:.1f} to {100 * wanted['high']:.1f})"
        area = value(found, "realism", name=name, rhythm="all", figure="AUC")
        assert row["AUC"] == f"{area['value']:.2f}\n({area['low']:.2f} to {area['high']:.2f})"
        assert row["Readings"] == str(value(found, "realism", name=name, rhythm="all", figure="accuracy")["n"])


def codes(found: Results, site: str) -> list[str]:
    return sorted(found.readers.loc[found.readers["site"] == site, "reader"])


def test_agreement_morphology_times_and_cues_are_those_of_the_results(report: Report, found: Results) -> None:
    [synthetic] = [row for row in table(report, "Agreement on real or synthetic, by hospital and arm") if (row["Readers"], row["Strips"]) == MANNHEIM]
    wanted = value(found, "agreement", group="site", name="Mannheim", item="real or synthetic", arm="synthetic", rhythm="all", figure="raw agreement")
    assert synthetic["Raw agreement"].startswith(f"{100 * wanted['value']:.1f} % ({100 * wanted['low']:.1f} to")
    [p_wave] = [row for row in table(report, "Morphology judged plausible") if (row["Readers"], row["Item"]) == ("All readers", "P wave")]
    keys = {"group": "all", "rhythm": "all", "item": "P wave", "figure": "plausible"}
    for head, arm in (("Plausible, real", "real"), ("Plausible, synthetic", "synthetic")):
        assert p_wave[head].startswith(f"{100 * value(found, 'morphology', arm=arm, **keys)['value']:.1f} %")
    apart = value(found, "morphology", arm="synthetic - real", **keys)
    assert p_wave["Difference, percentage points"] == f"{100 * apart['value']:+.1f} ({100 * apart['low']:+.1f} to {100 * apart['high']:+.1f})"
    cue = table(report, "Cues named, share of all readings")[0]
    assert cue["Synthetic"].startswith(f"{100 * value(found, 'cues', group='all', cue=cue['Cue'], arm='synthetic')['value']:.1f} %")
    everybody = next(row for row in table(report, "Reading times, seconds") if row["Figure"] == "median reading time")
    assert everybody["All strips"].startswith(f"{value(found, 'times', group='all', arm='all', figure='median reading time')['value']:.0f} s")


MANNHEIM = ("Mannheim", "synthetic")


def test_hospitals_and_steps_of_the_scale_are_those_of_the_results(report: Report, found: Results) -> None:
    rows = table(report, "Differences between hospitals")
    assert len(rows) == len(found.sites)
    wanted = value(found, "sites", name="Heidelberg - Mannheim", figure="difference of AUC")
    [told] = [row["Value"] for row in rows if (row["Hospitals"], row["Figure"]) == ("Heidelberg - Mannheim", "difference of AUC")]
    assert told == f"{100 * wanted['value']:+.1f} ({100 * wanted['low']:+.1f} to {100 * wanted['high']:+.1f})"
    [everybody, *_] = table(report, "Share of truly synthetic strips by step of the scale")
    assert everybody["6 definitely synthetic"].startswith(f"{100 * value(found, 'calibration', group='all', step=6)['value']:.1f} %")


def test_one_hospital_cannot_be_compared_and_says_so(db: Database) -> None:
    report = report_on(db, read_study(db, [PlantedReader("Heidelberg", 0.7), PlantedReader("Heidelberg", 0.6)], cases=8, repeats=0))
    assert any(isinstance(part, Paragraph) and "there is one site" in part.text for part in parts(report))


def test_answers_against_the_truth_add_up(report: Report) -> None:
    rows = table(report, "Answers against the truth, scored readings")
    numbers = {(row["Readers"], row["Truth"]): [int(cell) for head, cell in row.items() if re.match(r"\d ", head)] for row in rows}
    assert sum(map(sum, (numbers["All readers", arm] for arm in ("real", "synthetic")))) == 96
    for arm in ("real", "synthetic"):
        assert numbers["All readers", arm] == [a + b for a, b in zip(numbers["Heidelberg", arm], numbers["Mannheim", arm], strict=True)]


def test_every_note_of_the_results_is_told(report: Report, found: Results) -> None:
    [listed] = section(report, LEFT_OUT).parts
    assert isinstance(listed, Listed)
    assert list(listed.items) == found.notes


def test_no_figure_stands_without_its_interval_or_its_reason(db: Database) -> None:
    """A study in which much is undefined: one reader of a site, all right, no repeats, one arm of a rhythm unread."""
    study = read_study(db, [PlantedReader("Heidelberg", 1.0), PlantedReader("Mannheim", 1.0)], cases=8, repeats=0, revise=0)
    report = report_on(db, study)
    figures = re.compile(r"^[+-]?\d+\.\d+|^\d+ s\b|^–")
    checked = 0
    for part in parts(report):
        if isinstance(part, Table) and part.title not in ("Scored strips", "Rounds"):
            for row in part.rows:
                for cell in row.cells[1:]:
                    if figures.match(cell):
                        checked += 1
                        assert re.search(r"\(.+ to .+\)|\[[a-z]+\]", cell), (part.title, row)
                        for letter in re.findall(r"\[([a-z]+)\]", cell):
                            assert any(note.startswith(f"[{letter}] ") and len(note) > 8 for note in part.notes), (part.title, letter)
    assert checked > 100


def test_a_figure_that_is_not_among_the_tables_is_told_in_words(rested: tuple[StudyData, Provenance], found: Results) -> None:
    bare = replace(
        found,
        realism=found.realism[found.realism["figure"] != "AUC"],
        agreement=found.agreement[found.agreement["figure"] != "Gwet's AC1"],
        repeats=pd.DataFrame(),
        verdicts=found.verdicts[found.verdicts["group"] != "site"],
        controls=pd.DataFrame(),
    )
    report = report_of(*rested, bare)
    assert {row["AUC"] for row in table(report, "Real or synthetic: the main table")} == {"– [a]"}
    [main] = [part for part in parts(report) if isinstance(part, Table) and part.title.startswith("Real or synthetic: the main")]
    assert "[a] this version of blindstrip does not compute it" in main.notes
    assert pypdf.PdfReader(io.BytesIO(pdf(report))).pages


def test_figures_by_round_in_a_table_do_not_hide_those_of_all_rounds(rested: tuple[StudyData, Provenance], found: Results) -> None:
    """Tables may come to tell rounds apart: what is asked for without a round is of all."""
    once = found.realism.assign(round="all")
    again = found.realism.assign(round="1", value=0.001, low=0.0, high=0.002)
    facts = Facts(*rested, replace(found, realism=pd.concat([again, once], ignore_index=True)))
    wanted = value(found, "realism", name="all", rhythm="all", figure="AUC")["value"]
    row = facts.one("realism", name="all", figure="AUC")
    assert row is not None
    assert row["value"] == wanted
    assert facts.rows("realism", nothing="like it") == []
    assert facts.rows("no such table") == []


def test_reasons_have_a_letter_each() -> None:
    cells = Cells()
    undefined = {"value": None, "low": None, "high": None}
    told = [cells.cell({**undefined, "reason": f"reason {i}"}) for i in (1, 2, 1)]
    assert told == ["– [a]", "– [b]", "– [a]"]
    assert cells.cell({"value": 1.0, "low": None, "high": None, "reason": "reason 2"}) == "1.00 [b]"
    assert cells.notes == ("[a] reason 1", "[b] reason 2")


# ---- methods and checklists ----


def test_the_methods_say_what_was_done(report: Report, found: Results, rested: tuple[StudyData, Provenance]) -> None:
    told = {part.lead: part.text for part in section(report, "Methods").parts if isinstance(part, Paragraph)}
    assert "4 readers at 2 hospitals in 1 round" in told["Design."]
    assert "Heidelberg (2) and Mannheim (2)" in told["Readers."]
    assert "12 from ptbxl" in told["Strips."]
    assert "checkpoint cccccccccccc, sampler dpm++2m, 20 steps" in told["Synthetic strips."]
    assert "AUC 0.50" in told["Leak gate."]
    assert "8 answers were corrected" in told["Blinding and order."]
    assert "Rounds signed by their readers: 4 of 4" in told["Blinding and order."]
    assert "margin of 10 percentage points" in told["Analysis."]
    assert "at least 10 positions" in told["Rounds, repeats and wash-out."]
    assert found.protocol_hash in told["Software."]
    assert f"Seed of the study, which drives every bootstrap: {rested[0].study.seed}" in told["Software."]


def test_refused_openings_and_practice_are_told(db: Database) -> None:
    place = hospital(db)
    add_recordings(db, 30)
    study_id = create_study(db, place.coordinator, "With practice", Protocol(), place.reader_ids)
    open_practice(db, place.coordinator, study_id, PracticePlan(cases=6, pass_mark=0.8, seed=3), Drawer())
    with db.read() as session:
        practice = stored.practice_round(session, study_id)
    study = read_study(db)
    data, origin = data_of(db, study.study_id)
    with db.write() as session:
        audit.append(session, study.coordinator.id, REFUSED_BY_THE_GATE, f"study {study.study_id}", {"auc": 0.9})
    _data, after = data_of(db, study.study_id)
    told = str(report_of(data, replace(after, practice=practice), results_of(data)))
    assert "It refused 1 opening before that" in told
    assert "a practice of 6 cases whose answers were told (naming 80 % of its rhythms right opened the rounds)" in told
    assert origin.practice is None


def test_all_fifteen_items_of_grras_and_all_thirty_of_stard_are_answered(report: Report) -> None:
    grras, stard = table(report, "The 15 items"), table(report, "The 30 items")
    assert [row["Item"] for row in grras] == [str(number) for number in range(1, 16)]
    assert list(dict.fromkeys(row["Item"].rstrip("ab") for row in stard)) == [str(number) for number in range(1, 31)]
    assert [row["Item"] for row in stard if row["Item"][-1] in "ab"] == ["10a", "10b", "12a", "12b", "13a", "13b", "21a", "21b"]
    assert all(len(row["Answer"]) > 20 for row in (*grras, *stard))
    answers = {row["Item"]: row["Answer"] for row in stard}
    assert answers["28"] == answers["30"] == checklists.NOT_RECORDED
    assert "4 readers, 24 scored strips, 96 scored readings, 16 replicate readings" in answers["18"]
    assert "ended early" not in answers["16"]


def test_what_the_checklists_point_to_is_there(report: Report) -> None:
    headings = [one.heading for one in report.sections]
    leads = {part.lead.rstrip(".") for part in section(report, "Methods").parts if isinstance(part, Paragraph)}
    for row in (*table(report, "The 15 items"), *table(report, "The 30 items")):
        for words_after in re.findall(r"See Methods, ([A-Z][a-z]+(?: [a-z]+)*)", row["Answer"]):
            assert any(words_after.startswith(lead) for lead in leads), row
    for heading in ("Flow of strips and readings", "Can readers tell?", "Agreement", LEFT_OUT):
        assert heading in headings


def test_a_study_ended_early_says_so_in_stard_16(db: Database) -> None:
    report = report_on(db, read_study(db, unread=4))
    answer = {row["Item"]: row["Answer"] for row in table(report, "The 30 items")}["16"]
    assert "16 of 112 cases given to readers were not read" in answer
    [flow] = [part for part in section(report, "Flow").parts if isinstance(part, Picture)]
    assert "not read: 8" in flow.told


# ---- the page ----


class Asks(HTMLParser):
    """Whatever an HTML file would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "embed", "image", "use", "video", "audio", "base", "form"):
            self.asked.append(tag)
        for name, content in attrs:
            if name in ("src", "data", "action", "srcset", "poster") or name.startswith("on"):
                self.asked.append(f"{tag} {name}")
            if name in ("href", "xlink:href") and not (content or "").startswith("#"):
                self.asked.append(f"{tag} {content}")


def test_the_page_asks_for_nothing_outside(web: str) -> None:
    asks = Asks()
    asks.feed(web)
    assert asks.asked == []
    style = web.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in web


def test_the_page_s_contents_lead_somewhere(web: str) -> None:
    there = set(re.findall(r"<section id=(s\d+)>", web))
    assert set(re.findall(r"href='#(s\d+)'", web)) == there
    assert len(there) == 18


def test_what_people_typed_stays_text_in_the_page_and_the_pdf(db: Database) -> None:
    title = "</style><script>alert(1)</script> & \"50 %\" 'Łódź' <b>"
    study = read_study(db, [PlantedReader("St. <i>Łukasz</i>", 0.7), PlantedReader("B&B", 0.6)], title=title)
    report = report_on(db, study)
    web = page(report)
    assert web.count("<style>") == web.count("</style>") == 1
    assert "<script" not in web
    assert "<i>" not in web
    asks = Asks()
    asks.feed(web)
    assert asks.asked == []
    told = words(pypdf.PdfReader(io.BytesIO(pdf(report))))
    assert "St. <i>Łukasz</i>" in told
    assert "Łódź" in told


# ---- the PDF ----


def test_the_pdf_says_the_verdict_and_the_hash(paper: pypdf.PdfReader, found: Results) -> None:
    told = words(paper)
    first = value(found, "verdicts", group="all", figure="accuracy for equivalence")["sentence"].split(". ")[0]
    assert first in " ".join(paper.pages[0].extract_text().split())
    assert found.protocol_hash in told.replace(" ", "")
    for number, one in enumerate(paper.pages, start=1):
        assert f"{number} / {len(paper.pages)}" in one.extract_text()
        assert f"protocol {found.protocol_hash[:12]}" in one.extract_text()


def test_page_and_pdf_say_the_same(paper: pypdf.PdfReader, report: Report, web: str) -> None:
    told = re.sub(r"\s", "", words(paper))
    shown = re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]+>", "", web)))
    for part in parts(report):
        texts = [part.text] if isinstance(part, Paragraph) else [part.caption] if isinstance(part, Picture) else []
        texts += list(part.items) if isinstance(part, Listed) else []
        if isinstance(part, Table):
            texts += [part.title, *part.head, *part.notes, *(cell for row in part.rows for cell in row.cells)]
        for text in texts:
            assert re.sub(r"\s", "", text) in shown, text
            if not isinstance(part, Table) and len(text) < 200:  # longer ones and tables go over pages
                assert re.sub(r"\s", "", text) in told, text
    outline = [entry.title for entry in paper.outline if not isinstance(entry, list)]
    assert outline == [one.heading for one in report.sections]


def test_neither_has_a_date_but_the_study_s_own(report: Report, paper: pypdf.PdfReader, rested: tuple[StudyData, Provenance]) -> None:
    assert paper.metadata is not None
    assert set(paper.metadata) == {"/Title"}
    study, rounds = rested[0].study, rested[0].rounds
    own = [study.created_at, study.frozen_at, study.unblinding_asked_at, study.unblinded_at, *(opened.opened_at for opened in rounds)]
    assert set(re.findall(r"20\d\d-\d\d-\d\d", str(report))) <= {f"{moment:%Y-%m-%d}" for moment in own if moment}


def test_a_demo_says_so_on_each_page(db: Database) -> None:
    demo = read_study(db, demo=True, title="Demo study")
    report = report_on(db, demo)
    assert report.banner == banner(STAND_INS)
    for one in pypdf.PdfReader(io.BytesIO(pdf(report))).pages:
        assert banner(STAND_INS) in one.extract_text()
    web = page(report)
    assert f'@top-left {{ content: "{banner(STAND_INS)}"' in web
    assert "simulated in recordings&#x27; place (real)" in web
    assert "class=demo" in web


def test_a_study_that_is_none_has_no_banner(paper: pypdf.PdfReader, web: str) -> None:
    assert "DEMO" not in words(paper)
    assert "DEMO" not in web


@pytest.mark.parametrize(("readers", "drawn"), [(45, True), (400, False)])
def test_many_readers_go_over_pages(rested: tuple[StudyData, Provenance], found: Results, readers: int, drawn: bool) -> None:
    """Who has no figures has a reason in each cell; the picture fills a page at most, and leaves single readers to the tables if they are many."""
    data, origin = rested
    many = [ReaderRow(1000 + i, "Somebody", f"Hospital {i % 3} of {'a very long name ' * 6}") for i in range(readers)]
    data = replace(data, readers=[*data.readers, *many])
    codes_of = reader_codes(data)
    listed = pd.DataFrame([{"reader": codes_of[one.id], "site": one.site} for one in data.readers])
    report = report_of(data, origin, replace(found, readers=listed))
    [picture] = [part for part in report.opening if isinstance(part, Picture)]
    assert picture.height < 230
    assert ("too many to draw" in picture.caption) != drawn
    reader = pypdf.PdfReader(io.BytesIO(pdf(report)))
    told = words(reader)
    assert told.count(f"R{readers:02d}") >= 4
    assert told.count("Readings Balanced") > 1  # the head is repeated on each page


def test_a_study_without_a_scored_reading_has_a_report_all_the_same(db: Database) -> None:
    data, origin = data_of(db, read_study(db, cases=8, repeats=0).study_id)
    unscored = replace(data, cases=[replace(case, role="control") for case in data.cases])
    report = report_of(unscored, origin, results_of(unscored))
    assert any(isinstance(part, Paragraph) and "No scored reading" in part.text for part in parts(report))
    assert page(report)
    assert pdf(report)


def test_learning_and_marks_are_told_where_they_are(rested: tuple[StudyData, Provenance]) -> None:
    """Two rounds, made of one, and a mark in every second reading of a synthetic strip."""
    data, origin = rested
    later = sorted(case.id for case in data.cases if case.role == "scored")[12:]
    cases = [replace(case, round_number=2) if case.id in later else case for case in data.cases]
    synthetic = {case.id for case in data.cases if data.arms[case.strip_id].arm == "synthetic"}
    marked = [{"lead": "V2", "from_ms": 100, "to_ms": 300}]
    judgements = [replace(one, marks=marked) if one.case_id in synthetic and one.case_id % 4 == 1 else one for one in data.judgements]
    changed = replace(data, cases=cases, judgements=judgements)
    report = report_of(changed, origin, results_of(changed))
    [everybody, *_] = table(report, "Accuracy by round")
    n = {}
    for number in (1, 2):
        ids = {case.id for case in cases if case.role == "scored" and case.round_number == number}
        newest = {(one.case_id, one.reader_id): one for one in judgements if one.case_id in ids}
        right = [((one.realism or 0) > 3) == (one.case_id in synthetic) for one in newest.values()]
        n[number] = sum(right) / len(right)
        assert everybody[f"Round {number}"].startswith(f"{100 * n[number]:.1f} % (")
    assert everybody["Round 2 less round 1, percentage points"].startswith(f"{100 * (n[2] - n[1]):+.1f} (")
    [v2] = table(report, "Where cues were marked, share of all readings")
    share = sum(case.role == "scored" and case.id in synthetic and case.id % 4 == 1 for case in cases) / 12
    assert v2["Lead"] == "V2"
    assert v2["Real"].startswith("0.0 % (")
    assert v2["Synthetic"].startswith(f"{100 * share:.1f} % (")


def test_a_table_with_a_cell_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="another number of columns"):
        Table("Wrong", ("A", "B"), (Row(("only one",)),), (1, 1))


# ---- who may have it ----


def test_the_same_study_gives_the_same_bytes_and_is_noted_once(house: Database, planted: Planted) -> None:
    for form in ("html", "pdf"):
        first = document(house, planted.coordinator, planted.study_id, form)
        assert document(house, planted.coordinator, planted.study_id, form) == first
    other = Person(planted.coordinator.id + 1, "researcher1", "Rhea Searcher", Role.RESEARCHER, "Mannheim", False)
    document(house, other, planted.study_id, "pdf")
    with house.read() as session:
        notes = export.trail(session, f"study {planted.study_id}", exports.EXPORTED)
        audit.verify(session)
    assert [(entry.person_id, entry.detail["report"]) for entry in notes] == [
        (planted.coordinator.id, "html"),
        (planted.coordinator.id, "pdf"),
        (other.id, "pdf"),
    ]


def test_a_report_taken_out_does_not_change_the_bundle(db: Database) -> None:
    study = read_study(db)
    before = bundle(db, study.coordinator, study.study_id)
    document(db, study.coordinator, study.study_id, "html")
    assert bundle(db, study.coordinator, study.study_id) == before


def test_the_report_of_the_bundle_is_the_report(house: Database, planted: Planted) -> None:
    archive = zipfile.ZipFile(io.BytesIO(bundle(house, planted.coordinator, planted.study_id)[1]))
    assert archive.read("report.html") == document(house, planted.coordinator, planted.study_id, "html")


def test_readers_are_named_by_code_alone(house: Database, planted: Planted, web: str, paper: pypdf.PdfReader) -> None:
    for name in ("Reader Number", "Cora", "Rhea", "reader1-0", "coordinator1"):
        assert name not in web
        assert name not in words(paper)
    admin = replace(planted.coordinator, role=Role.ADMIN)
    assert b"Reader Number" not in document(house, admin, planted.study_id, "html")


def test_nobody_has_the_report_of_a_blind_study_and_readers_have_none(db: Database) -> None:
    blind = read_study(db, unblinded=False)
    with pytest.raises(StudyError, match="still blind"):
        document(db, blind.coordinator, blind.study_id, "html")
    reader = Person(blind.reader_ids[0], "reader1-0", "Reader Number0", Role.READER, "Heidelberg", False)
    with pytest.raises(NotAllowed):
        document(db, reader, blind.study_id, "html")
    with db.read() as session:
        assert export.trail(session, f"study {blind.study_id}", exports.EXPORTED) == []


def test_the_command_writes_both_and_refuses_other_endings(db: Database, url: str, tmp_path: Path) -> None:
    study = read_study(db)
    given = ("report", study.study_id, "--as", "coordinator1", "--db", url)
    for form, start in (("html", b"<!doctype html>"), ("pdf", b"%PDF-")):
        file = tmp_path / "new folder" / f"report.{form}"
        made = run(*given, "--out", file)
        assert made == {"file": str(file), "bytes": file.stat().st_size}
        assert file.read_bytes().startswith(start)
    assert "html or pdf" in fails(*given, "--out", tmp_path / "report.docx")
    assert not (tmp_path / "report.docx").exists()
