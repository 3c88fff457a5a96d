"""The recordings screen after an import: what came in, what was refused, and which fields stayed in the files."""

from __future__ import annotations

from sqlalchemy import update
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from generator.formats import dropped
from storage import jobs as stored_jobs
from storage.database import Database
from storage.people_tables import Person as PersonRow
from tests.pages.visiting import Visit, shown

RESULT = {"imported": 3, "already_present": 0, "refused": {}, "refused_files": {}, "left_out": {}}


def finished(db: Database, visit: Visit, result: dict[str, object]) -> None:
    with db.write() as session:
        job = stored_jobs.add(session, "import", visit.world.people["researcher"].id, {"directory": "ward", "labels": None, "temporary": False})
        stored_jobs.claim(session)
        stored_jobs.finish(session, job, "done", result=result)


def test_what_was_left_in_the_files_is_told_by_kind(visit: Visit, db: Database) -> None:
    finished(db, visit, {**RESULT, "dropped": {dropped.NAME: 3, dropped.BORN: 2}})
    test = visit.as_("researcher", "recordings")
    assert not test.exception
    assert "Left in the files" in {one.label for one in test.expander}
    tables = [frame.value.to_dict("records") for frame in test.dataframe]
    assert [{"Fields": "date of birth", "Files": 2}, {"Fields": "patient's name", "Files": 3}] in tables


def test_where_files_hold_nothing_else_nothing_is_said(visit: Visit, db: Database) -> None:
    finished(db, visit, {**RESULT, "dropped": {}})
    test = visit.as_("researcher", "recordings")
    assert not test.exception
    assert "Last import" in shown(test)
    assert "Left in the files" not in {one.label for one in test.expander}


def test_nothing_is_fetched_from_physionet_before_the_licence_is_accepted(visit: Visit, db: Database) -> None:
    with db.write() as session:
        session.execute(update(PersonRow).values(demo=False))
    test = visit.as_("researcher", "recordings")
    fetch_of(test).click().run()
    assert "Creative Commons Attribution 4" in "".join(one.value for one in test.error)
    test.checkbox(key="fetch-accepted").check()
    fetch_of(test).click().run()
    assert not test.exception
    with db.read() as session:
        (job,) = stored_jobs.active(session, "fetch")
    assert job.asked.items() >= {"collection": "ptb-xl", "rhythms": ["NSR", "AF"], "n": 400, "folds": None, "seed": 0}.items()


def test_the_demo_does_not_offer_to_download(visit: Visit) -> None:
    test = visit.as_("researcher", "recordings")
    assert "Fetch and import" not in {one.label for one in test.button}
    assert "The demo downloads nothing" in shown(test)


def fetch_of(test: AppTest) -> Button:
    return next(one for one in test.button if one.label == "Fetch and import")
