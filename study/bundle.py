"""The export of an unblinded study: one zip with everything that it takes to check its results, the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import pandas as pd

from storage import export, snapshots, strips
from storage.database import Database
from storage.export import Provenance, StudyData
from storage.studies import StudyRow
from study import exports, notices
from study.bundle_dictionary import data_dictionary
from study.bundle_strips import licences, six_point_scale, strip_files
from study.exports import EXPORTED
from study.judgements import judgement_table, reader_codes
from study.people import Person
from study.protocol import CUES, MORPHOLOGY_ANSWERS, MORPHOLOGY_ITEMS, QUALITY_ANSWERS, RHYTHM_ANSWERS, SCALE
from study.protocol_in_force import frozen_hash, hash_at, hashes_of_entries
from study.report.content import report_of
from study.report.page import page
from study.results import TABLES, Results, results_of, unblinded
from study.roles import Action, demand

IMRMC = "six_point_scale.imrmc"
SCRIPTS = ("recompute.py", "recompute.R", "verify.py")


def bundle(db: Database, person: Person, study_id: int) -> tuple[str, bytes]:
    """File name (with a hash of the content) and content of the zip; the audit trail notes who took it out.

    Raises NotAllowed, and StudyError while the study is blind: nothing leaves before. Readers are in it by code, never by name.
    """
    demand(person, Action.EXPORT)
    data = unblinded(db, person, study_id)
    with db.read() as session:
        origin = export.provenance(session, study_id)
        samples = strips.samples(session, data.sha256)
        snapshot = snapshots.stored(session, study_id)
    content = zipped(bundle_files(data, origin, samples, snapshot))
    digest = exports.note(db, person, study_id, content)
    return f"blindstrip-{slug_of(data.study)}-{digest[:12]}.zip", content


def slug_of(study: StudyRow) -> str:
    """A study's title as a part of a file's name."""
    slug = re.sub(r"[^a-z0-9]+", "-", study.title.lower()).strip("-")[:40] or f"study-{study.id}"
    return f"demo-{slug}" if study.demo else slug


def bundle_files(data: StudyData, origin: Provenance, samples: Mapping[int, bytes], snapshot: bytes | None) -> dict[str, bytes]:
    """Name -> content of every file of the bundle, checksums last.

    samples: of every strip of the study, by its id; snapshot: its text as it was taken, None where none was.
    """
    found = results_of(data)
    tables = {f"{name}.csv": table for name, table in _records(data, origin).items()}
    tables |= {f"results/{name}.csv": getattr(found, name) for name in TABLES}
    tables["results/readers.csv"] = found.readers.drop(columns="name")
    tables["amendments.csv"] = found.amendments
    tables["data_dictionary.csv"] = data_dictionary({name: _with_study(table, data) for name, table in tables.items()})
    texts = {name: _csv(_with_study(table, data)) for name, table in tables.items()}
    texts |= {"protocol.json": _json(_protocol(data)), "seeds.json": _json(_seeds(data)), "README.txt": _readme(found, licences(data, origin))}
    texts |= {name: (files("study") / "bundle_files" / name).read_text(encoding="utf-8") for name in SCRIPTS}
    texts["report.html"] = page(report_of(data, origin, found))
    contents = {name: text.encode() for name, text in texts.items()}
    if snapshot is not None:
        contents["snapshot.json"] = snapshot
    contents |= {IMRMC: six_point_scale(_scored(data), _described(found)), **strip_files(data, origin, samples)}
    sums = "".join(f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in sorted(contents))
    return {**contents, "checksums.sha256": sums.encode()}


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on the contents alone: names in order, no moments, no users."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(entry, contents[name])
    return buffer.getvalue()


# ---- the tables ----


def _records(data: StudyData, origin: Provenance) -> dict[str, pd.DataFrame]:
    """Where rows were made under a protocol of their own time, `protocol_hash` is it: that of a round's opening, or of the moment of the row."""
    opened_under = {opened.id: opened.protocol_hash for opened in data.rounds}
    first_shown: dict[int, str] = {}  # strip id -> the hash under which the first round that shows it was opened
    for case in data.cases:
        first_shown.setdefault(case.strip_id, opened_under[case.round_id])
    codes, numbers = reader_codes(data), {case.id: case.code for case in data.cases}
    judgements = judgement_table(data)
    judgements["cues"] = ["; ".join(cues) for cues in judgements["cues"]]
    judgements["marks"] = ["; ".join(f"{mark['lead']} {mark['from_ms']}-{mark['to_ms']} ms" for mark in marks) for marks in judgements["marks"]]
    judgements["viewing"] = [_canonical(viewing) for viewing in judgements["viewing"]]
    for column in ("shown_at", "submitted_at"):
        judgements[column] = [_moment(at) for at in judgements[column]]
    judgements = judgements.rename(columns=_column)
    cases = pd.DataFrame(
        [
            {
                "protocol_hash": opened_under[case.round_id],
                "round": case.round_number,
                "case": case.code,
                "number": case.id - min(other.id for other in data.cases if other.round_id == case.round_id) + 1,
                "role": case.role,
                "repeat_of": numbers.get(case.repeat_of or 0),
                "strip_sha256": data.sha256[case.strip_id],
                "label": case.rhythm,
                "arm": data.arms[case.strip_id].arm,
                "stand_in": data.arms[case.strip_id].stand_in,
            }
            for case in data.cases
        ]
    )
    rounds = {opened.id: opened.number for opened in data.rounds}
    placements = [
        {
            **{"protocol_hash": opened_under[row.round_id], "round": rounds[row.round_id], "reader": codes[row.reader_id]},
            **{"case": numbers[row.case_id], "position": row.position, "phase": row.phase},
        }
        for row in data.placements
    ]
    readers = [{"reader": codes[reader.id], "person": reader.id, "site": reader.site} for reader in data.readers]
    drawings = [
        {
            "protocol_hash": first_shown[row.strip_id],
            "strip_sha256": data.sha256[row.strip_id],
            **{name: getattr(row, name) for name in ("checkpoint", "sampler", "steps", "guidance", "seed", "number")},
            "conditions": _canonical(row.conditions),
            "device": row.device,
        }
        for row in origin.drawings
    ]
    patients = _patient_codes(data, origin)
    recordings = [
        {
            **{"protocol_hash": first_shown[row.strip_id], "strip_sha256": data.sha256[row.strip_id], "collection": row.collection},
            **{"patient": patients[row.patient], "age": row.age, "sex": row.sex, "rate": row.rate},
        }
        for row in origin.recordings
    ]
    signed = [
        {
            **{"protocol_hash": hash_at(data, at), "round": rounds[round_id], "reader": codes[reader_id]},
            **{"signed_at": _moment(at), "judgements_sha256": sha256},
        }
        for (round_id, reader_id), (at, sha256) in origin.signatures.items()
        if round_id in rounds
    ]
    of_batch = {(row.checkpoint, row.seed): first_shown[row.strip_id] for row in reversed(origin.drawings)}
    rejections = [
        {"protocol_hash": of_batch[row.checkpoint, row.seed], **{name: getattr(row, name) for name in _REJECTION}} for row in origin.rejections
    ]
    return {
        "judgements": judgements,
        "cases": cases,
        "readers": pd.DataFrame(readers, columns=["reader", "person", "site"]).sort_values("reader"),
        "rounds": _rounds(data),
        "placements": _frame(placements, ("round", "reader", "case", "position", "phase")).sort_values(["round", "reader", "position"]),
        "signatures": _frame(signed, ("round", "reader", "signed_at", "judgements_sha256")).sort_values(["round", "reader"]),
        "drawings": _frame(drawings, ("strip_sha256", "checkpoint", "sampler", "steps", "guidance", "seed", "number", "conditions", "device")),
        "recordings": _frame(recordings, ("strip_sha256", "collection", "patient", "age", "sex", "rate")),
        "rejections": _frame(rejections, _REJECTION),
        "audit": _audit(data, origin),
    }


_REJECTION = ("checkpoint", "rhythm", "seed", "number", "reason")


def _rounds(data: StudyData) -> pd.DataFrame:
    closed = {row.round_id: row for row in data.closings}
    committed = {row.round_id: row.sha256 for row in data.commitments}
    rows = [
        {
            **{"protocol_hash": opened.protocol_hash, "round": opened.number, "id": opened.id, "opened_at": _moment(opened.opened_at)},
            **{"starts_at": _moment(opened.starts_at), "cases": opened.cases, "commitment": committed.get(opened.id)},
            "closed_by_hand_at": _moment(closed[opened.id].closed_at) if opened.id in closed else None,
            "closed_because": closed[opened.id].reason if opened.id in closed else None,
        }
        for opened in data.rounds
    ]
    return _frame(rows, ("round", "id", "opened_at", "starts_at", "cases", "commitment", "closed_by_hand_at", "closed_because"))


def _patient_codes(data: StudyData, origin: Provenance) -> dict[str, str]:
    """Stored hash -> P001, P002, ...: the hash itself could be found again by whoever tries all numbers that a hospital gives out."""
    patients = {row.patient for row in origin.recordings}
    shuffled = sorted(patients, key=lambda patient: hashlib.sha256(f"{data.study.seed}:{patient}".encode()).hexdigest())
    return {patient: f"P{number:03d}" for number, patient in enumerate(shuffled, start=1)}


def _audit(data: StudyData, origin: Provenance) -> pd.DataFrame:
    """The trail up to this study's last entry (exports aside, or each export would change the next), other entries' content withheld."""
    own = {f"study {data.study.id}"} | {f"round {opened.id}" for opened in data.rounds} | {f"case {case.code}" for case in data.cases}
    last = max((entry.id for entry in origin.audit if entry.subject in own and entry.action != EXPORTED), default=0)
    rows = []
    for entry, in_force in zip(origin.audit, hashes_of_entries(data, origin.audit), strict=True):
        if entry.id <= last:
            shown = {"at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"), "person": entry.person_id, "action": entry.action}
            shown |= {"subject": entry.subject, "detail": _canonical(entry.detail)}
            hidden = dict.fromkeys(shown)
            told = shown if entry.subject in own else hidden
            rows.append({"protocol_hash": in_force, "entry": entry.id, **told, "previous": entry.previous, "hash": entry.hash})
    return _frame(rows, ("entry", "at", "person", "action", "subject", "detail", "previous", "hash")).astype({"person": "Int64"})


def _scored(data: StudyData) -> pd.DataFrame:
    table = judgement_table(data)
    return table[table["latest"] & (table["role"] == "scored")]


def _described(found: Results) -> str:
    """The head of the .imrmc file."""
    demo = f"{notices.banner(found.notice)}\n" if found.demo else ""
    scale = ", ".join(f"{number} {words}" for number, words in enumerate(SCALE, start=1))
    return f"{demo}Real or synthetic on a six-point scale: {scale}\nTruth 1: synthetic. Protocol hash: {found.protocol_hash}"


def _protocol(data: StudyData) -> dict[str, Any]:
    form = {
        "scale": SCALE,
        "quality": QUALITY_ANSWERS,
        "rhythm": RHYTHM_ANSWERS,
        "morphology": MORPHOLOGY_ITEMS,
        "morphology answers": MORPHOLOGY_ANSWERS,
        "cues": CUES,
    }
    study = {"title": data.study.title, "demo": data.study.demo, "created_at": data.study.created_at, "frozen_at": data.study.frozen_at}
    amended = [
        {"number": row.number, "at": row.amended_at, "rules": row.after, "protocol_hash": row.hash_after, "reason": row.reason}
        for row in data.amendments
    ]
    frozen = data.amendments[0].before if data.amendments else data.study.protocol
    now = {"rules": data.study.protocol, "form": form, "protocol_hash": data.study.protocol_hash}
    return {
        **study,
        "unblinded_at": data.study.unblinded_at,
        "snapshot": data.snapshot,
        **now,
        "frozen": {"rules": frozen, "protocol_hash": frozen_hash(data)},
        "amendments": amended,
    }


def _seeds(data: StudyData) -> dict[str, Any]:
    committed = {row.round_id: {"sha256": row.sha256, "nonce": row.nonce, "made_at": row.made_at} for row in data.commitments}
    rounds = [
        {
            **{"round": opened.number, "id": opened.id, "opened_at": opened.opened_at, "plan": opened.plan, "leak gate": opened.leak},
            **{"protocol_hash": opened.protocol_hash, "commitment": committed.get(opened.id)},
        }
        for opened in data.rounds
    ]
    return {"demo": data.study.demo, "study": data.study.seed, "rounds": rounds, "utility": None if data.utility is None else data.utility["seed"]}


def _readme(found: Results, collections: str) -> str:
    template = (files("study") / "bundle_files" / "README.txt").read_text(encoding="utf-8")
    notes = "\nWhat the figures rest on:\n" + "".join(f"- {note}\n" for note in found.notes)
    return template.format(
        title=found.title,
        underline="=" * len(found.title),
        demo=f"{notices.banner(found.notice)}\n\n" if found.demo else "",
        version=version("blindstrip"),
        unblinded=found.unblinded_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
        protocol_hash=found.protocol_hash,
        snapshot=found.snapshot or "none: unblinded before there were snapshots",
        notes=notes,
        collections=collections,
    )


# ---- how a table becomes text ----


def _with_study(table: pd.DataFrame, data: StudyData) -> pd.DataFrame:
    """With the two columns that stand first in every table; the hash is that of unblinding where a table has none of its own."""
    in_force = table["protocol_hash"] if "protocol_hash" in table.columns else data.study.protocol_hash
    first = pd.DataFrame({"demo": data.study.demo, "protocol_hash": in_force}, index=table.index)
    return pd.concat([first, table.drop(columns="protocol_hash", errors="ignore")], axis=1)


def _csv(table: pd.DataFrame) -> str:
    plain = table.astype(object).map(_cell)
    text = plain.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    assert isinstance(text, str)
    return text


def _cell(value: Any) -> Any:
    if value is True or value is False:
        return str(value).upper()
    if isinstance(value, str):  # a lone carriage return would end the row: nothing puts it in quotes
        return ("'" if value[:1] in tuple("=+-@\t\r") else "") + re.sub("\r\n?", "\n", value)
    return value


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["protocol_hash", *columns])


def _column(name: str) -> str:
    return name.lower().replace(" ", "_")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=lambda at: _moment(at)) + "\n"
