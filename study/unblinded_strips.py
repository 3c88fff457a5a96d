"""One strip of an unblinded study: where it came from, what lies nearest to it, how it measures against the real ones, all that was said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from generator.features import UNITS, features
from generator.strip import Counts, from_bytes
from storage import export, strips
from storage import studies as stored
from storage.database import Database
from storage.export import RecordingRow, StudyData
from storage.studies import CaseRow
from study.bundle_strips import SIMULATOR
from study.errors import StudyError
from study.judgements import judgement_table
from study.licences import terms
from study.machine import FEATURES, Machine, machine_of
from study.people import Person
from study.protocol import MORPHOLOGY_ITEMS, SCALE
from study.report.chart import Spread, spreads_picture
from study.report.exhibit import Exhibit
from study.report.parts import Row, Table
from study.results import unblinded
from study.roles import Action, may
from study.strips import ShownStrip

CLOSED = "Its samples are not in this database. The checkpoint carries random projections of each average beat, from which no strip can be drawn."


@dataclass(frozen=True)
class Beside:
    """What lies nearest. counts: (8, 1000), or None where it cannot be drawn; told: what it is, or why not."""

    title: str
    told: str
    counts: Counts | None


@dataclass(frozen=True)
class UnblindedStrip:
    """A strip's page. Readers are in it by code; judgements: of study.judgements, every revision and every showing, a row each in words."""

    case: str
    arm: str
    label: str
    counts: Counts  # (8, 1000)
    provenance: Table
    machine: list[str]  # sentences
    beside: tuple[Beside, ...]
    features: Exhibit
    judgements: list[dict[str, Any]]


def on_paper(db: Database, person: Person, study_id: int, cases: Sequence[str]) -> list[ShownStrip]:
    """Strips of an unblinded study by their cases' codes, in that order. Raises NotAllowed, StudyError while it is blind or for an unknown case."""
    data = unblinded(db, person, study_id)
    wanted = [_case(data, code) for code in cases]
    with db.read() as session:
        samples = strips.samples(session, [case.strip_id for case in wanted])
    return [ShownStrip(one.strip_id, from_bytes(samples[one.strip_id]), one.rhythm, {"case": one.code}) for one in wanted]


def strip_page(db: Database, person: Person, study_id: int, code: str) -> UnblindedStrip:
    """All that is known of the strip that a case showed. Raises NotAllowed, StudyError while the study is blind and for a case that it has not."""
    data = unblinded(db, person, study_id)
    case = _case(data, code)
    arm, sha256 = data.arms[case.strip_id], data.sha256[case.strip_id]
    real = [one.strip_id for one in data.cases if one.role == "scored" and one.rhythm == case.rhythm and data.arms[one.strip_id].arm == "real"]
    machine = machine_of(data)
    with db.read() as session:
        origin = export.origin(session, study_id, case.strip_id)
        blobs = strips.samples(session, [case.strip_id, *real])
        of_study = {digest: strip_id for strip_id, digest in data.sha256.items()}
        beside = (_training(session, person, machine, sha256, of_study), _nearest(session, data, machine, sha256, of_study))
    counts = from_bytes(blobs[case.strip_id])
    return UnblindedStrip(
        case=code,
        arm="real (a simulator's stand-in)" if arm.stand_in else arm.arm,
        label=case.rhythm,
        counts=counts,
        provenance=Table(
            "Where it came from", ("What", "Which"), tuple(map(Row, (*_origin(origin, stand_in=arm.stand_in), *_places(data, case)))), (30, 70)
        ),
        machine=_told(machine, sha256, arm.arm),
        beside=beside,
        features=measured(counts, [from_bytes(blobs[one]) for one in real if one != case.strip_id], case.rhythm),
        judgements=_judgements(data, case.strip_id),
    )


def measured(counts: Counts, real: Sequence[Counts], rhythm: str) -> Exhibit:
    """Each feature of a strip (8, 1000) against those of real strips: median, range, and the share of the real ones below it, ties half."""
    title = f"The heart of this strip against the real {rhythm} strips of the study"
    own = features(counts[None]).iloc[0]
    others = features(np.stack(real)) if real else pd.DataFrame(columns=list(FEATURES), dtype=float)
    rows, spreads = [], []
    for name in FEATURES:
        unit, meaning = UNITS[name]
        known = others[name].dropna().to_numpy(dtype=float)
        value = float(own[name]) if np.isfinite(own[name]) else None
        row: dict[str, Any] = {"feature": name, "unit": unit, "meaning": meaning, "value": value, "n": len(known)}
        row |= dict.fromkeys(("median", "lowest", "highest", "share_below"))
        if len(known):
            row |= {"median": float(np.median(known)), "lowest": float(known.min()), "highest": float(known.max())}
            if value is not None:
                row["share_below"] = float(((known < value) + 0.5 * (known == value)).mean())
        rows.append(row)
        if len(known) and value is not None:
            quarters = tuple(float(end) for end in np.percentile(known, [25, 75]))
            spreads.append(
                Spread(_called(row), value, row["median"], (row["lowest"], row["highest"]), (quarters[0], quarters[1]), _of(row["share_below"]))
            )
    lines = tuple(Row((_called(row), *(_number(row[of]) for of in _SHOWN), _of(row["share_below"]), str(row["n"]), row["meaning"])) for row in rows)
    head = ("Feature", "This strip", "Real: median", "Lowest", "Highest", "Share below", "n (real strips)", "What it is")
    undefined = str(own["undefined"])
    notes = (f"Undefined in this strip: {undefined}.",) if undefined else ()
    table = Table(title, head, lines, (16, 10, 10, 9, 9, 9, 8, 40), notes)
    if not spreads:
        why = "the study scored no other real strip of this rhythm" if not real else "no feature of this strip could be measured"
        return Exhibit("features", title, None, f"No figure: {why}.", table, tuple(rows))
    caption = (
        "Each line runs from the lowest to the highest value among the study's other real strips of this rhythm, its box over the middle half, its "
        "tick at the median; the dot is this strip (a square beyond the end where it lies outside). Right: the share of the real strips below it, "
        f"its percentile. n = {len(real)} real strips. No feature alone tells an arm; of {len(spreads)}, a few at an edge are to be expected."
    )
    return Exhibit("features", title, spreads_picture(caption, spreads), "", table, tuple(rows))


_WORDS = {"pnn50": "pNN50", "qtc": "QTc"} | {one: one.upper() for one in ("rr", "sd", "cv", "rmssd", "p", "pr", "qrs", "qt", "r", "s", "st", "t")}
_SHOWN = ("value", "median", "lowest", "highest")


def _called(row: Mapping[str, Any]) -> str:
    """A feature as physicians write it, with its unit."""
    words = " ".join(_WORDS.get(word, word) for word in str(row["feature"]).split("_"))
    return words + ("" if row["unit"] == "1" else f", {row['unit']}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _of(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


# ---- where it came from ----


def _case(data: StudyData, code: str) -> CaseRow:
    found = next((case for case in data.cases if case.code == code), None)
    if found is None:
        raise StudyError(f"{data.study.title!r} has no case {code!r}. Choose one of the study's cases on its results page.")
    return found


def _origin(row: Any, *, stand_in: bool) -> list[tuple[str, str]]:
    """Without identifiers: no record, no patient."""
    if isinstance(row, RecordingRow):
        first = "simulated in a recording's place (demo)" if stand_in else "recorded from a patient"
        told = [("Collection", row.collection), ("Licence", terms(row.collection)), ("Samples a second of the file", f"{row.rate:g}")]
        return [("Origin", first), *told, ("Age", "–" if row.age is None else f"{row.age:g}"), ("Sex", row.sex or "–")]
    if row.checkpoint == SIMULATOR:
        return [("Origin", "drawn by a mechanistic simulator (control)"), ("Seed", str(row.seed))]
    more = [(str(name).replace("_", " ").capitalize(), str(value)) for name, value in sorted(row.conditions.items()) if value is not None]
    drawn = [("Checkpoint (SHA-256)", row.checkpoint), ("Seed", str(row.seed)), ("Number in its batch", str(row.number))]
    how = [("Sampler", row.sampler), ("Steps", str(row.steps)), ("Guidance", f"{row.guidance:g}"), ("Device", row.device)]
    return [("Origin", "drawn by a diffusion model"), *drawn, *how, *more]


def _places(data: StudyData, case: CaseRow) -> list[tuple[str, str]]:
    shown = [f"{one.code} (round {one.round_number}, {one.role})" for one in data.cases if one.strip_id == case.strip_id]
    word = "asked for" if data.arms[case.strip_id].arm == "synthetic" else "labelled"
    return [("Rhythm", f"{case.rhythm}, as {word}"), ("Shown as", "; ".join(shown)), ("Strip (SHA-256 of its samples)", data.sha256[case.strip_id])]


# ---- what machines say, what lies nearest ----


def _told(machine: Machine, sha256: str, arm: str) -> list[str]:
    one = machine.of.get(sha256)
    if one is None:
        return [f"Nothing: {machine.why or 'machines were asked about scored strips alone'}."]
    said = []
    if one["synthetic"] is None:
        said.append(f"Real or synthetic: not computed, because {machine.reason('synthetic')}.")
    else:
        said.append(f"Probability of synthetic, by a classifier that never saw this patient: {one['synthetic']:.2f}.")
    if one["distance"] is not None:
        said.append(f"Distance to the nearest real strip of the same rhythm: {one['distance']:.2f} standard deviations of the real strips' features.")
    learned = "from real strips of other patients" if arm == "real" else "from the real strips"
    said += [f"Probability of AF by {name}, which learned {learned}: {p:.2f}." for name, p in one["af"].items()]
    return said


def _nearest(session: Session, data: StudyData, machine: Machine, sha256: str, of_study: Mapping[str, int]) -> Beside:
    """The real strip of the study whose features are nearest."""
    title = "The nearest real strip of the study, by features"
    one = machine.of.get(sha256)
    if one is None or one["nearest"] is None:
        return Beside(title, f"None: {machine.reason('distance') if one else machine.why or 'machines were asked about scored strips alone'}.", None)
    strip_id = of_study[one["nearest"]]
    codes = [case.code for case in data.cases if case.strip_id == strip_id and case.role == "scored"]
    told = f"Case {', '.join(codes)}, {one['distance']:.2f} standard deviations away."
    return Beside(title, told, from_bytes(strips.samples(session, [strip_id])[strip_id]))


def _training(session: Session, person: Person, machine: Machine, sha256: str, of_study: Mapping[str, int]) -> Beside:
    """The strip that the generator was trained on whose average beat is nearest; drawn where it is here and this person may see it."""
    title, one = "The nearest training strip, by the average beat", machine.of.get(sha256)
    found = one["training"] if one else None
    if found is None:
        why = machine.reason("training") if one else machine.why or "machines were asked about scored strips alone"
        return Beside(title, f"Not known: {why}.", None)
    told = f"Number {found['number']} of the list of checkpoint {found['checkpoint'][:12]}; 1 - correlation of the average beats is about "
    told += f"{found['distance']:.3f}"
    told += f", and a drawn strip nearer than {found['copy']:.3f} would have been rejected as a copy. " if found["copy"] is not None else ". "
    recording = strips.recorded_strip(session, found["recording"]) if found["recording"] else None
    if recording is None:
        return Beside(title, told + CLOSED, None)
    mine = found["recording"] in of_study
    if not mine and not may(person, Action.SEE_STRIPS):
        return Beside(title, told + "It is a recording of this database, which researchers and admins may see.", None)
    if not mine and stored.still_blind(session, recording.strip_id):
        return Beside(
            title, told + "It is a recording of this database that a study which is still blind shows: not drawn until that is unblinded.", None
        )
    return Beside(title, f"{told}It is a recording of this database: {recording.collection}, {recording.rhythm}.", from_bytes(recording.samples))


def _judgements(data: StudyData, strip_id: int) -> list[dict[str, Any]]:
    table = judgement_table(data)
    rows = []
    for row in table[table["strip_sha256"] == data.sha256[strip_id]].to_dict(orient="records"):
        asked = row["realism"] is not None and not pd.isna(row["realism"])
        right = None if not asked else bool(row["called_synthetic"]) == (row["arm"] == "synthetic")
        rows.append(
            {
                "reader": row["reader"],
                "hospital": row["site"],
                "shown as": row["role"],
                "round": row["round"],
                "revision": row["revision"],
                "counts": "yes" if row["latest"] else "no",
                "answer": SCALE[int(row["realism"]) - 1] if asked else "not asked yet",
                "right": "" if right is None else "yes" if right else "no",
                "rhythm": row["rhythm"] or "",
                **{item: row[item] or "" for item in MORPHOLOGY_ITEMS},
                "cues": "; ".join(row["cues"]),
                "marked": "; ".join(f"{mark['lead']} {mark['from_ms']}-{mark['to_ms']} ms" for mark in row["marks"]),
                "comment": row["comment"],
                "seconds": round(row["seconds"], 1),
            }
        )
    return rows
