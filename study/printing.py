"""A case on paper for its reader: a PDF to scale that carries the case's code and nothing else about it."""

from __future__ import annotations

from collections.abc import Mapping

from storage.database import Database
from study import reading
from study.ecg_paper import Sheet
from study.errors import StudyError
from study.people import Person
from study.roles import Action, demand


def strip_pdf(db: Database, person: Person, asked: Mapping[str, str]) -> tuple[str, bytes]:
    """File name and content for what an address asks: round, case (position), layout, order, speed, gain, paper (A4 or Letter).

    Only the case that the reader has before them, or has answered. Raises NotAllowed, StudyError for anything else and for words that no sheet knows.
    """
    from study.ecg_pdf import pdf  # reportlab: only once somebody prints

    demand(person, Action.READ_CASES)
    round_id, position = (_number(asked, name) for name in ("round", "case"))
    case = reading.case_again(db, person, round_id, position) or reading.next_case(db, person, round_id)
    if case is None or case.position != position:
        raise StudyError("This case was not shown to you yet. Print it when it is before you.")
    standard = Sheet()
    sheet = Sheet(
        asked.get("layout", standard.layout),
        asked.get("order", standard.order),
        _decimal(asked, "speed", standard.speed),
        _decimal(asked, "gain", standard.gain),
    )
    return f"case-{case.code}.pdf", pdf(case.counts, case=case.code, sheet=sheet, paper=asked.get("paper", "A4"))


def _number(asked: Mapping[str, str], name: str) -> int:
    value = asked.get(name, "")
    if not (value.isdecimal() and len(value) < 10):
        raise StudyError(f"{name}: {value!r} is no number. Print from the reading page.")
    return int(value)


def _decimal(asked: Mapping[str, str], name: str, standard: float) -> float:
    try:
        return float(asked.get(name, standard))
    except ValueError as error:
        raise StudyError(f"{name}: {asked[name]!r} is no number. Print from the reading page.") from error
