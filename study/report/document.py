"""The report as a file, HTML or PDF: for those who may export, of unblinded studies alone."""

from __future__ import annotations

from storage import export
from storage.database import Database
from study import exports
from study.errors import StudyError
from study.people import Person
from study.report.content import report_of
from study.report.page import page
from study.results import results_of, unblinded
from study.roles import Action, demand

FORMATS = ("html", "pdf")


def document(db: Database, person: Person, study_id: int, form: str) -> bytes:
    """form: html or pdf. The same study gives the same bytes; the audit trail notes who took them out.

    Raises NotAllowed, and StudyError while the study is blind or for another form. Readers are in it by code, never by name.
    """
    demand(person, Action.EXPORT)
    if form not in FORMATS:
        raise StudyError(f"A report is written as {' or '.join(FORMATS)}, not as {form or 'a file without an ending'}. Name a file that ends so.")
    data = unblinded(db, person, study_id)
    with db.read() as session:
        origin = export.provenance(session, study_id)
    report = report_of(data, origin, results_of(data))
    if form == "html":
        content = page(report).encode()
    else:
        from study.report.pdf import pdf

        content = pdf(report)
    exports.note(db, person, study_id, content, report=form)
    return content
