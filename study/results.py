"""What the answers of an unblinded study show: tables, verdicts, and sentences on what they rest on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import pandas as pd

from generator.quality_control import copies_checked
from storage import snapshots
from storage import studies as stored
from storage.database import Database
from storage.export import StudyData
from storage.studies import RoundRow
from study import machine, notices, overview, result_comparisons, result_record, result_tables
from study.errors import StudyError
from study.judgements import codes_of, judgement_table, reader_codes
from study.people import Person
from study.protocol import Protocol, phases
from study.rejections import COPIES_NOT_CHECKED, Rejected
from study.roles import Action, demand, may
from study.studies import study_to_see
from study.utility import stale, utility_table

FEW_READERS = 5
FEW_REPEATS = 10


@dataclass(frozen=True)
class Results:
    """Every table is long, one row a figure, as `study.result_tables` says; `<NA>` figures have a `reason`. readers and strips hold no figures."""

    study_id: int
    title: str
    demo: bool
    notice: str  # of a demo: study.notices
    protocol: Protocol
    protocol_hash: str
    unblinded_at: datetime
    snapshot: str | None  # SHA-256 of what the figures are computed from; None: unblinded before there were snapshots
    amendments: pd.DataFrame  # of study.result_record
    notes: list[str]  # sentences that belong under the figures
    readers: pd.DataFrame  # reader (code), site, readings (scored), repeats, name (None where this person may not see it)
    verdicts: pd.DataFrame
    realism: pd.DataFrame
    agreement: pd.DataFrame
    repeats: pd.DataFrame
    controls: pd.DataFrame
    rhythm: pd.DataFrame
    morphology: pd.DataFrame
    times: pd.DataFrame
    cues: pd.DataFrame
    marks: pd.DataFrame
    sites: pd.DataFrame
    calibration: pd.DataFrame
    learning: pd.DataFrame
    utility: pd.DataFrame
    rejected: pd.DataFrame
    machine: pd.DataFrame  # this and the next four: of study.machine
    suspicion: pd.DataFrame
    rhythm_calls: pd.DataFrame
    fooled: pd.DataFrame
    strips: pd.DataFrame
    curves: dict[str, list[tuple[float, float]]]  # of study.result_comparisons.curves


TABLES = (
    "readers",
    "verdicts",
    "realism",
    "agreement",
    "repeats",
    "controls",
    "rhythm",
    "morphology",
    "times",
    "cues",
    "marks",
    "sites",
    "calibration",
    "learning",
    "utility",
    "rejected",
    "machine",
    "suspicion",
    "rhythm_calls",
    "fooled",
    "strips",
)


def results(db: Database, person: Person, study_id: int) -> Results:
    """Everything that the results page shows. Raises NotAllowed, and StudyError before the study is unblinded."""
    found = results_of(unblinded(db, person, study_id))
    found.readers["name"] = found.readers["reader"].map(names(db, person, study_id))
    return found


def names(db: Database, person: Person, study_id: int) -> dict[str, str]:
    """Names of readers by code, as far as this person may know them: coordinators and admins whom `overview.sees` names, others nobody.

    Raises NotAllowed, and StudyError before the study is unblinded.
    """
    demand(person, Action.SEE_RESULTS)
    with db.read() as session:
        study = study_to_see(session, person, study_id)
        if study.unblinded_at is None:
            raise StudyError(f"{study.title!r} is still blind.")
        if not may(person, Action.MANAGE_PEOPLE):
            return {}
        readers = stored.readers(session, study_id)
        codes = codes_of((reader.id for reader in readers), study.seed)
        return {codes[reader.id]: reader.name for reader in readers if overview.sees(person, study, reader)}


def unblinded(db: Database, person: Person, study_id: int) -> StudyData:
    """An unblinded study as its snapshot has it, if this person's world includes it.

    Raises NotAllowed, StudyError while it is blind, StorageError for a snapshot that was changed.
    """
    demand(person, Action.SEE_RESULTS)
    with db.read() as session:
        study = study_to_see(session, person, study_id)
        if study.unblinded_at is None:
            raise StudyError(f"{study.title!r} is still blind: until two people have unblinded it, nobody sees more than how far the readers are.")
        return snapshots.study_data(session, study_id)


def results_of(data: StudyData) -> Results:
    """The figures of a study's data, readers by code alone. The study's seed drives every bootstrap."""
    study = data.study
    if study.unblinded_at is None:
        raise StudyError(f"{study.title!r} is still blind.")
    table = judgement_table(data)
    latest = table[table["latest"]]
    scored, again, controls = (latest[latest["role"] == role] for role in ("scored", "repeat", "control"))
    protocol = Protocol.from_dict(study.protocol)
    return Results(
        study_id=study.id,
        title=study.title,
        demo=study.demo,
        notice=notices.of_study(study),
        protocol=protocol,
        protocol_hash=study.protocol_hash,
        unblinded_at=study.unblinded_at,
        snapshot=data.snapshot,
        amendments=result_record.amended(data),
        notes=_notes(data, scored, again, controls),
        readers=_readers(data, scored, again),
        verdicts=result_tables.verdicts(scored, protocol.margin),
        realism=result_tables.realism(scored, study.seed),
        agreement=result_tables.agreement(scored, study.seed),
        repeats=result_tables.repeats(scored, again),
        controls=result_tables.controls(scored, controls),
        rhythm=result_tables.rhythm(scored),
        morphology=result_tables.morphology(scored),
        times=result_tables.times(scored),
        cues=result_tables.cues(scored),
        marks=result_comparisons.marks(scored),
        sites=result_comparisons.sites(scored),
        calibration=result_comparisons.calibration(scored),
        learning=result_comparisons.learning(scored),
        **of_classifiers(data, scored),
        curves=result_comparisons.curves(scored),
        rejected=result_tables.rejected({opened.number: opened.plan for opened in data.rounds}),
    )


def of_classifiers(data: StudyData, scored: pd.DataFrame | None = None) -> dict[str, Any]:
    """The tables that change when utility is computed, which comes after unblinding: by their names in Results. scored: if it is at hand."""
    if scored is None:
        table = judgement_table(data)
        scored = table[table["latest"] & (table["role"] == "scored")]
    return {"utility": utility_table(data.utility, stale(data)), **machine.tables(data, scored)}


def records(table: pd.DataFrame, **wanted: Any) -> list[dict[str, Any]]:
    """The rows of a table whose columns equal `wanted`, as plain dictionaries with None where there is no value."""
    rows = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    plain = [{str(name): value for name, value in row.items()} for row in rows]
    return [row for row in plain if all(row[name] == value for name, value in wanted.items())]


def as_json(found: Results) -> dict[str, Any]:
    """Plain values for `--json`: each table a list of rows, undefined figures null with their reason."""
    plain = {field.name: getattr(found, field.name) for field in fields(Results) if field.name not in TABLES}
    plain |= {"protocol": found.protocol.as_dict(), "unblinded_at": found.unblinded_at.isoformat(), "amendments": records(found.amendments)}
    return plain | {name: records(getattr(found, name)) for name in TABLES}


def _readers(data: StudyData, scored: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    codes = reader_codes(data)
    rows = [
        {
            "reader": codes[reader.id],
            "site": reader.site,
            "readings": int((scored["reader"] == codes[reader.id]).sum()),
            "repeats": int((again["reader"] == codes[reader.id]).sum()),
            "name": None,
        }
        for reader in data.readers
    ]
    return pd.DataFrame(rows, columns=["reader", "site", "readings", "repeats", "name"]).sort_values(["site", "reader"], ignore_index=True)


def _drawing(opened: RoundRow) -> list[str]:
    """What quality control did to a round's synthetic strips, and what it did not look for."""
    plan = opened.plan
    if not plan.get("drawn"):
        return []
    told = []
    reasons = sum((Counter(of.get("reasons", {"reason not recorded": of["rejected"]})) for of in plan["drawn"].values()), Counter[str]())
    rejected = Rejected(sum(of["accepted"] + of["rejected"] for of in plan["drawn"].values()), +reasons)
    if rejected.number:
        told.append(f"Round {opened.number}: {rejected.warning or rejected.sentence} The next samples of the same seed took their places.")
    if not all(map(copies_checked, plan.get("quality_control") or [""])):
        told.append(f"Round {opened.number}: {COPIES_NOT_CHECKED}")
    return told


def _notes(data: StudyData, scored: pd.DataFrame, again: pd.DataFrame, controls: pd.DataFrame) -> list[str]:
    notes = [notices.sentence(notices.of_study(data.study))] if data.study.demo else []
    last = phases(data.study.protocol["question_order"])
    given = sum(place.phase == last for place in data.placements)
    answered = {(judgement.case_id, judgement.reader_id) for judgement in data.judgements if judgement.phase == last}
    if missing := given - len(answered):
        notes.append(f"The study was ended early: {missing} of {given} cases given to readers were not read. Figures rest on those that were.")
    notes += result_record.notes(data, scored)
    revised = sum(judgement.revision > 1 for judgement in data.judgements)
    if revised:
        notes.append(f"{revised} answers were corrected by their readers; the last one counts, the export holds all.")
    for opened in data.rounds:
        if opened.leak.get("verdict") in ("warn", "refuse"):
            notes.append(
                f"Round {opened.number}: the leak gate said {opened.leak['verdict']} (AUC {opened.leak['auc']:.2f}, most of all by "
                f"{opened.leak['worst_feature']}). Readers may have told the arms apart by the format instead of the heart."
            )
    notes += [sentence for opened in data.rounds for sentence in _drawing(opened)]
    arms = scored.groupby("case")["arm"].first().value_counts()
    real, synthetic = int(arms.get("real", 0)), int(arms.get("synthetic", 0))
    notes.append(
        f"{real} real and {synthetic} synthetic strips were scored. Repeated strips count in the agreement of readers with themselves alone."
    )
    if real != synthetic:
        notes.append(
            "The arms are not equally large: a reader who guesses the commoner answer is right more than half the time. Read balanced accuracy."
        )
    if any("rotation" in opened.plan.get("achieved", {}) for opened in data.rounds):
        notes.append(
            "Not every reader was given every case: anchors were read by all, the others by some. Differences between readers are partly differences "
            "between their cases; agreement rests on the cases that two readers share."
        )
    notes.append(
        "Intervals over all readings of a site or of everybody take readings as independent, although readers saw the same strips: they are too "
        "narrow. The clustered interval beside them draws readers and strips anew; verdicts on groups take both as random."
    )
    readers = scored["reader"].nunique()
    if 1 < readers < FEW_READERS:
        notes.append(f"With {readers} readers, what is said about readers in general rests on little: read the readers' own figures first.")
    of_site = scored.groupby("site")["reader"].nunique()
    for site in of_site.index[of_site == 2]:
        notes.append(f"{site} has two readers: their spread is hardly known, which is why its verdict has so wide an interval.")
    repeats = again.groupby("reader").size()
    if len(repeats) and repeats.min() < FEW_REPEATS:
        notes.append(
            f"Some readers saw {repeats.min()} strips twice: agreement with themselves on fewer than {FEW_REPEATS} is a hint, not a measurement."
        )
    notes += _on_controls(controls)
    notes.append(
        "Low agreement between readers on real or synthetic is what guessing looks like, and what carelessness looks like. "
        "Compare it with their agreement on rhythm and with themselves, and between the arms."
    )
    notes.append("Accuracy below 50 % is discrimination too. A difference from 50 % that is not significant is not equivalence.")
    notes.append("Reading times include interruptions.")
    return notes


def _on_controls(controls: pd.DataFrame) -> list[str]:
    """What a missed control means."""
    if controls.empty:
        return []
    right = controls["called_synthetic"].astype(bool) == (controls["arm"] == "synthetic")
    notes = [
        f"{int(right.sum())} of {len(right)} readings of controls (an obviously mechanical strip, an obviously recorded one) were right. Controls "
        "are in no other figure."
    ]
    if missed := sorted(set(controls.loc[~right, "reader"])):
        notes.append(
            f"{', '.join(missed)} missed a control. Who misses one did not look closely, did not understand the scale, or cannot use what tells a "
            "recording: such a reader's accuracy near 50 % says little about the synthetic strips."
        )
    return notes
