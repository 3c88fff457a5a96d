"""The strips of an unblinded study for other programs: one zip with a file or two a case, and a table that says what each is."""

from __future__ import annotations

import csv
import io

from generator.formats.synthetic import SYNTHETIC
from generator.formats.write import FORMS, strip_as
from generator.strip import from_bytes
from storage import export, strips
from storage.database import Database
from study import exports
from study.bundle import slug_of, zipped
from study.bundle_strips import SIMULATOR, comments, licences
from study.errors import StudyError
from study.people import Person
from study.results import unblinded
from study.roles import Action, demand

TABLE = "strips.csv"
README = "README.txt"
COLUMNS = ("case", "arm", "synthetic", "rhythm", "round", "role", "strip_sha256")


def strips_as(db: Database, person: Person, study_id: int, form: str) -> tuple[str, bytes]:
    """File name and content of the zip, the same bytes each time; the audit trail notes who took it out. form: of generator.formats.write.FORMS.

    A strip that no heart made, a simulator's stand-in in a demo included, says SYNTHETIC in the file itself.
    Raises NotAllowed, and StudyError while the study is blind and for a form that is none.
    """
    demand(person, Action.EXPORT)
    if form not in FORMS:
        raise StudyError(f"Strips cannot be written as {form!r}. Choose one of {', '.join(FORMS)}.")
    data = unblinded(db, person, study_id)
    with db.read() as session:
        origin = export.provenance(session, study_id)
        samples = strips.samples(session, data.sha256)
    collections = {row.strip_id: row.collection for row in origin.recordings}
    simulated = {row.strip_id for row in origin.drawings if row.checkpoint == SIMULATOR}
    files: dict[str, bytes] = {}
    rows: list[tuple[object, ...]] = []
    for case in sorted(data.cases, key=lambda case: case.code):
        told = comments(data, case, collections.get(case.strip_id), case.strip_id in simulated)
        synthetic = told[0].startswith(SYNTHETIC)
        files |= strip_as(form, case.code, from_bytes(samples[case.strip_id]), synthetic=synthetic, told=told)
        yes_or_no, arm = "TRUE" if synthetic else "FALSE", data.arms[case.strip_id].arm
        rows.append((case.code, arm, yes_or_no, case.rhythm, case.round_number, case.role, data.sha256[case.strip_id]))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    words = f"Strips of a reading study, for research; {TABLE} says what each is. Licences:\n{licences(data, origin)}\n"
    content = zipped({**files, TABLE: text.getvalue().encode(), README: words.encode()})
    digest = exports.note(db, person, study_id, content, strips=form)
    return f"blindstrip-{slug_of(data.study)}-strips-{form}-{digest[:12]}.zip", content
