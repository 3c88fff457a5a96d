"""A frozen protocol changes by numbered amendments alone; what was in force stands on every row; results say what was changed."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest

from storage import audit, export
from storage import studies as stored
from storage.database import Database
from study import reading, unblinding
from study.amendments import amend, edit_protocol
from study.bundle import bundle
from study.errors import NotAllowed, StudyError
from study.protocol import PURPOSE_BLIND, REALISM_LAST, Protocol
from study.report.content import report_of
from study.report.page import page
from study.results import results, results_of, unblinded
from study.rounds import open_round
from study.studies import create_study, study
from tests import ending
from tests.study.hospital import Drawer, Hospital, add_recordings, answer, hospital, just_now, open_gate

WHY = "The registry asked for a narrower margin."


@pytest.fixture
def house(db: Database) -> Hospital:
    return hospital(db)


@pytest.fixture
def frozen(house: Hospital) -> tuple[int, int]:
    """(study, its first round), of which one case is judged."""
    add_recordings(house.db, 14)
    study_id = create_study(house.db, house.coordinator, "Sinus rhythm", Protocol(washout_days=0), house.reader_ids[:2])
    round_id = open_round(house.db, house.coordinator, study_id, house.plan(cases=10), Drawer(), gate=open_gate)
    read_some(house, round_id, 1)
    return study_id, round_id


def read_some(house: Hospital, round_id: int, n: int) -> None:
    reader = house.readers[0]
    for _ in range(n):
        case = reading.next_case(house.db, reader, round_id)
        assert case is not None
        reading.submit(house.db, reader, case.code, answer(5), just_now())


def test_an_amendment_has_a_number_a_reason_and_both_hashes(house: Hospital, frozen: tuple[int, int]) -> None:
    study_id, round_id = frozen
    old, new = Protocol(washout_days=0), Protocol(margin=0.05, washout_days=0)
    assert amend(house.db, house.coordinator, study_id, new, f"  {WHY}  ") == 1
    read_some(house, round_id, 2)
    last = Protocol(margin=0.05, washout_days=3, min_repeat_distance=4)
    assert amend(house.db, house.admin, study_id, last, "Readers need a pause.") == 2
    seen = study(house.db, house.coordinator, study_id)
    assert (seen.protocol, seen.protocol_hash) == (last, last.hash())
    assert [(one.number, one.by, one.change, one.reason, one.done, one.total) for one in seen.amendments] == [
        (1, "Cora", "margin 0.1 -> 0.05", WHY, 1, 20),
        (2, "Adam", "min repeat distance 10 -> 4; washout days 0 -> 3", "Readers need a pause.", 3, 20),
    ]
    with house.db.read() as session:
        first, second = export.trail(session, f"study {study_id}", "protocol amended")
        audit.verify(session)
    assert (first.detail["from"], first.detail["to"], first.detail["why"]) == (old.as_dict(), new.as_dict(), WHY)
    assert (first.detail["hash_from"], first.detail["protocol_hash"], second.detail["number"]) == (old.hash(), new.hash(), 2)


def test_judgements_and_rounds_keep_the_hash_that_they_were_made_under(house: Hospital, frozen: tuple[int, int]) -> None:
    study_id, round_id = frozen
    new = Protocol(margin=0.05, washout_days=0, min_repeat_distance=2)
    amend(house.db, house.coordinator, study_id, new, WHY)
    read_some(house, round_id, 1)
    plan = house.plan(cases=14, seed=6, repeat_share=0.2)
    open_round(house.db, house.coordinator, study_id, plan, Drawer(), gate=open_gate)
    with house.db.read() as session:
        first, second = stored.rounds(session, study_id)
        hashes = [row.protocol_hash for row in export.judgements.of_study(session, study_id)]
    old = Protocol(washout_days=0)
    assert (first.protocol_hash, second.protocol_hash) == (old.hash(), new.hash())
    assert (first.plan["min_repeat_distance"], second.plan["min_repeat_distance"]) == (10, 2)  # the open round stays as it was laid out
    assert hashes == [old.hash(), new.hash()]


@pytest.mark.parametrize(
    ("protocol", "reason", "words"),
    [
        (Protocol(washout_days=0, margin=0.2), "  ", "reason: write"),
        (Protocol(washout_days=0, margin=0.2), "x" * 1001, "reason: write"),
        (Protocol(washout_days=0), WHY, "nothing to amend"),
        (Protocol(washout_days=0, question_order=REALISM_LAST), WHY, "question_order: cases were judged"),
        (Protocol(washout_days=0, question_order=PURPOSE_BLIND, margin=0.2), WHY, "question_order: cases were judged"),
    ],
)
def test_what_is_no_honest_amendment_is_refused(house: Hospital, frozen: tuple[int, int], protocol: Protocol, reason: str, words: str) -> None:
    before = study(house.db, house.coordinator, frozen[0])
    with pytest.raises(StudyError, match=words):
        amend(house.db, house.coordinator, frozen[0], protocol, reason)
    assert study(house.db, house.coordinator, frozen[0]) == before


def test_amending_and_editing_each_have_their_time(house: Hospital, frozen: tuple[int, int]) -> None:
    study_id, _round = frozen
    wider = Protocol(margin=0.2, washout_days=0)
    with pytest.raises(StudyError, match="amendment with a reason"):
        edit_protocol(house.db, house.coordinator, study_id, wider)
    other = create_study(house.db, house.coordinator, "Nobody has read it", Protocol(), [])
    with pytest.raises(StudyError, match="is not frozen"):
        amend(house.db, house.coordinator, other, wider, WHY)
    for person in (house.readers[0], house.researcher):
        with pytest.raises(NotAllowed):
            amend(house.db, person, study_id, wider, WHY)
    ending.ask(house.db, house.coordinator, study_id)
    with pytest.raises(StudyError, match="withdraw the request"):
        amend(house.db, house.coordinator, study_id, wider, WHY)
    unblinding.confirm(house.db, house.researcher, study_id)
    with pytest.raises(StudyError, match="was unblinded"):
        amend(house.db, house.coordinator, study_id, wider, WHY)


def test_nobody_amends_a_protocol_that_they_have_not_seen(house: Hospital, frozen: tuple[int, int]) -> None:
    """Two people open the form; the second's would take the first's amendment back without either knowing."""
    study_id, _round = frozen
    seen = study(house.db, house.coordinator, study_id)
    first = replace(seen.protocol, margin=0.05)
    assert amend(house.db, house.admin, study_id, first, WHY, shown=seen.protocol_hash) == 1
    with pytest.raises(StudyError, match=r"Somebody else has changed the protocol of 'Sinus rhythm' since you saw it. Nothing was changed"):
        amend(house.db, house.coordinator, study_id, replace(seen.protocol, washout_days=7), WHY, shown=seen.protocol_hash)
    now = study(house.db, house.coordinator, study_id)
    assert (now.protocol, len(now.amendments)) == (first, 1)
    assert amend(house.db, house.coordinator, study_id, replace(first, washout_days=7), WHY, shown=now.protocol_hash) == 2
    other = create_study(house.db, house.coordinator, "Nobody has read it", Protocol(), [])
    edit_protocol(house.db, house.admin, other, Protocol(margin=0.2), shown=Protocol().hash())
    with pytest.raises(StudyError, match="Somebody else has changed"):
        edit_protocol(house.db, house.coordinator, other, Protocol(washout_days=7), shown=Protocol().hash())


def table(content: bytes, name: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return list(csv.DictReader(io.StringIO(archive.read(name).decode(), newline="")))


@pytest.fixture
def amended(house: Hospital, frozen: tuple[int, int]) -> int:
    """An unblinded study that was amended while it was read, and again once its rounds were closed."""
    study_id, round_id = frozen
    read_some(house, round_id, 2)
    amend(house.db, house.coordinator, study_id, Protocol(margin=0.2, washout_days=0), WHY)
    read_some(house, round_id, 3)
    ending.close_rounds(house.db, house.coordinator, study_id)
    amend(house.db, house.coordinator, study_id, Protocol(margin=0.4, washout_days=0), "Wider still.")
    ending.end(house.db, house.coordinator, house.researcher, study_id)
    return study_id


def test_results_and_report_say_what_was_amended_and_when(house: Hospital, amended: int) -> None:
    found = results(house.db, house.coordinator, amended)
    rows = found.amendments.to_dict(orient="records")
    assert [(row["number"], row["by"], row["change"], row["why"], row["judgements"], row["of"]) for row in rows] == [
        (1, f"person {house.coordinator.id}", "margin 0.1 -> 0.2", WHY, 3, 20),
        (2, f"person {house.coordinator.id}", "margin 0.2 -> 0.4", "Wider still.", 6, 20),
    ]
    assert rows[0]["standing"] == "after 3 of 20 judgements, before the rounds were closed"
    assert "unblinding could have been asked for" in rows[1]["standing"]
    assert set(found.verdicts["margin"]) == {0.4}
    notes = "\n".join(found.notes)
    assert "Protocol amendment 1" in notes
    assert "Under the margin that the protocol froze with (0.1, now 0.4) the verdict on all readers would be" in notes
    assert "Round 1 was closed by hand" in notes
    data = unblinded(house.db, house.coordinator, amended)
    with house.db.read() as session:
        origin = export.provenance(session, amended)
    told = page(report_of(data, origin, results_of(data)))
    for words in ("margin 0.1 -&gt; 0.2", WHY, "Wider still.", "unblinding could have been asked for", "by hand on", found.snapshot or "?"):
        assert words in told, words


def test_each_exported_row_has_the_hash_that_was_in_force(house: Hospital, amended: int) -> None:
    _name, content = bundle(house.db, house.coordinator, amended)
    one, two, three = (Protocol(margin=margin, washout_days=0).hash() for margin in (0.1, 0.2, 0.4))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        tables = {name: table(content, name) for name in archive.namelist() if name.endswith(".csv")}
    assert all(row["protocol_hash"] in (one, two, three) for rows in tables.values() for row in rows)
    assert [row["protocol_hash"] for row in sorted(tables["judgements.csv"], key=lambda row: row["submitted_at"])] == [one] * 3 + [two] * 3
    opened: Callable[[str], set[str]] = lambda name: {row["protocol_hash"] for row in tables[name]}  # noqa: E731
    assert opened("cases.csv") == opened("rounds.csv") == opened("placements.csv") == opened("drawings.csv") == opened("recordings.csv") == {one}
    assert opened("readers.csv") == opened("results/realism.csv") == opened("data_dictionary.csv") == {three}
    by_action = {row["action"]: row["protocol_hash"] for row in tables["audit.csv"]}  # the last of each
    assert (by_action["protocol frozen"], by_action["protocol amended"], by_action["unblinded"]) == (one, three, three)
    assert [(row["number"], row["hash_before"], row["hash_after"]) for row in tables["amendments.csv"]] == [("1", one, two), ("2", two, three)]
