"""Checks this bundle with Python's standard library alone: checksums, audit trail, snapshot, what the tables say of it, commitments to rounds' seeds.

`python verify.py [folder or zip of the bundle]` prints what was checked as JSON, or the first thing that does not hold (exit status 1).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import sys
import zipfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

START = "0" * 64  # what the first entry of the trail names as the hash before it
SUMS = "checksums.sha256"
LINE_END = re.compile(r"\r\n?")  # in a table they are all \n
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
MALFORMED = (LookupError, ValueError, TypeError, AttributeError, RecursionError, csv.Error)  # what reading a file of another kind ends in


class Broken(Exception):
    """The first thing that does not hold."""


def read(bundle: Path) -> dict[str, bytes]:
    """Name -> content of every file of a bundle, a folder or a zip. Raises Broken where there is none."""
    try:
        if bundle.is_dir():
            return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()}
        with zipfile.ZipFile(bundle) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error) as error:  # RuntimeError: encrypted
        raise Broken(f"{bundle}: {error}. Name the zip of an export, or the folder that it was unpacked into.") from error


def verify(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What was checked. Raises Broken, naming the file, entry, judgement or round; one of MALFORMED for files of another make."""
    checked: dict[str, Any] = {"files": checksums(files)}
    trail = chain(files)
    checked |= {"audit_entries": len(trail), "last_hash": trail[-1]["hash"] if trail else START}
    checked["withheld"] = sum(not entry["action"] for entry in trail)
    snapshot = of_snapshot(files, trail)
    checked["snapshot"] = hashlib.sha256(files["snapshot.json"]).hexdigest() if snapshot else "none: unblinded before there were snapshots"
    if snapshot:
        record(trail, snapshot)
        checked |= {"judgements": judgements(trail, snapshot), "tables": tables(files, trail, snapshot)}
    return checked | {"rounds": commitments(files, trail)}


def checksums(files: Mapping[str, bytes]) -> int:
    """Every file is there as it was written, and none beside them."""
    if SUMS not in files:
        raise Broken(f"{SUMS}: missing. This is no whole bundle.")
    sums = {line[66:]: line[:64] for line in files[SUMS].decode().splitlines()}  # digits, two blanks, name
    for name in sorted({*sums, *files} - {SUMS}):
        if name not in files:
            raise Broken(f"{name}: missing.")
        if name not in sums:
            raise Broken(f"{name}: is not of this bundle ({SUMS} does not name it).")
        if hashlib.sha256(files[name]).hexdigest() != sums[name]:
            raise Broken(f"{name}: was changed after the bundle was written.")
    return len(sums)


def chain(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The entries of audit.csv, each the link after the one before; what is withheld of other studies is bound by its hash alone."""
    previous, entries = START, []
    for number, row in enumerate(rows(files, "audit.csv"), start=1):
        if int(row["entry"]) != number:
            raise Broken(f"audit.csv: entry {number} is missing (entry {row['entry']} follows).")
        if row["previous"] != previous:
            raise Broken(f"audit.csv: entry {number} does not follow from the entry before it.")
        person, detail = int(row["person"]) if row["person"] else None, json.loads(row["detail"]) if row["detail"] else None
        if row["action"] and sha256([number, row["at"], person, row["action"], row["subject"], detail, previous], ascii_only=False) != row["hash"]:
            raise Broken(f"audit.csv: entry {number} ({row['action']}) was changed after it was written.")
        entries.append({**row, "person": person, "detail": detail})
        previous = row["hash"]
    return entries


def of_snapshot(files: Mapping[str, bytes], trail: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The snapshot, which has the hash that the trail names where the study was unblinded; None where the trail names none."""
    told = [entry["detail"] for entry in trail if entry["action"] == "unblinded"]
    if not told:
        raise Broken("audit.csv: the entry of the unblinding is missing or withheld, and nothing else says which snapshot was taken.")
    named = told[0].get("snapshot")
    if named is None and "snapshot.json" not in files:
        return None
    if named is None or hashlib.sha256(files.get("snapshot.json", b"")).hexdigest() != named:
        raise Broken(f"snapshot.json: is not the snapshot that was taken at unblinding (the audit trail names SHA-256 {named}).")
    return dict(json.loads(files["snapshot.json"]))


# ---- the snapshot and the trail ----


def judgements(trail: list[dict[str, Any]], snapshot: Mapping[str, Any]) -> int:
    """Every judgement of the snapshot was noted in the trail with the hash of its answer, and every one that was noted is there."""
    codes = {case["id"]: case["code"] for case in snapshot["cases"]}
    noted: dict[tuple[str, int | None, int, int], str] = {}
    for entry in trail:
        if entry["action"] in ("judgement submitted", "judgement revised"):
            detail = entry["detail"]
            noted[entry["subject"], entry["person"], detail["position"], detail["revision"]] = detail.get("to") or detail["sha256"]
    for row in snapshot["judgements"]:
        what = f"revision {row['revision']} of case {codes[row['case_id']]} by person {row['reader_id']}"
        there = noted.pop((f"case {codes[row['case_id']]}", row["reader_id"], row["position"], row["revision"]), None)
        if there is None:
            raise Broken(f"snapshot.json: {what} has no entry in the audit trail.")
        if there != answer_hash(row):
            raise Broken(f"snapshot.json: {what} is not the answer whose hash the audit trail holds.")
    if noted:
        raise Broken(f"snapshot.json: {next(iter(noted))} is in the audit trail, and its judgement is not there.")
    return len(snapshot["judgements"])


def answer_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 of a judgement's answer, as the trail holds it: of the fields of the form, without those of later forms where they are empty."""
    said = {name: row[name] for name in ("realism", "rhythm", "morphology", "cues", "comment")}
    said |= {name: row[name] for name in ("quality", "marks") if row[name]}
    return sha256(said)


def record(trail: list[dict[str, Any]], snapshot: Mapping[str, Any]) -> None:
    """Rounds, what closed them, and amendments are in the snapshot and in the trail, the same in both."""
    kept = [["round opened", f"round {row['id']}", row["opened_by"], None] for row in snapshot["rounds"]]
    kept += [["round closed", f"round {row['round_id']}", row["closed_by"], row["reason"]] for row in snapshot["closings"]]
    kept += [["protocol amended", row["amended_by"], [row["before"], row["after"], row["reason"]]] for row in snapshot["amendments"]]
    rounds = [entry for entry in trail if entry["action"] in ("round opened", "round closed")]
    amending = [entry for entry in trail if entry["action"] == "protocol amended"]
    noted = [[entry["action"], entry["subject"], entry["person"], entry["detail"].get("why")] for entry in rounds]
    noted += [[entry["action"], entry["person"], [entry["detail"][name] for name in ("from", "to", "why")]] for entry in amending]
    for one in [*noted, *kept]:
        if noted.count(one) != kept.count(one):
            raise Broken(f"audit.csv: {one[0]} ({one[1]}) is in the trail or in snapshot.json alone, or not the same in both.")


def commitments(files: Mapping[str, bytes], trail: list[dict[str, Any]]) -> dict[str, str]:
    """Of each round, whether the seeds that are told now are those that the hash bound before the round was read."""
    found = {}
    noted = {entry["subject"]: entry for entry in trail if entry["action"] == "seeds committed to"}
    for opened in document(files, "seeds.json")["rounds"]:
        bound, name, entry = opened["commitment"], f"round {opened['round']}", noted.get(f"round {opened['id']}")
        if bound is None and entry is None:
            found[name] = "no commitment: opened before there were any"
            continue
        if bound is None or entry is None or entry["detail"]["to"] != bound["sha256"]:
            raise Broken(f"seeds.json: the commitment of {name} is not the one in the audit trail.")
        told = [opened["id"], opened["protocol_hash"], bound["nonce"], opened["plan"]["seed"], opened["plan"]["seeds"]]
        if bound["sha256"] != sha256(["blindstrip: seeds of a round", *told]):
            raise Broken(f"seeds.json: the seeds of {name} are not those that were committed to.")
        if any(one["action"] == "judgement submitted" and one["detail"]["round"] == opened["id"] for one in trail[: int(entry["entry"])]):
            raise Broken(f"audit.csv: {name} was read before its seeds were committed to.")
        found[name] = "seeds as committed to before it was read"
    return found


# ---- the tables and the snapshot ----


class Snapshot:
    """A snapshot, looked up by id."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self.whole, self.study, self.amendments = whole, whole["study"], whole["amendments"]
        self.rounds, self.cases = ({row["id"]: row for row in whole[name]} for name in ("rounds", "cases"))
        self.arms = {row["strip_id"]: row for row in whole["arms"]}
        self.bound, self.closed = ({row["round_id"]: row for row in whole[name]} for name in ("commitments", "closings"))
        self.sites = {one["id"]: one["site"] for one in whole["readers"]}
        shuffled = sorted(self.sites, key=lambda person: hashlib.sha256(f"{self.study['seed']}:{person}".encode()).hexdigest())
        self.readers = {person: f"R{number:02d}" for number, person in enumerate(shuffled, start=1)}
        self.phases = 2 if self.study["protocol"]["question_order"] == "purpose-blind" else 1
        self.newest = {(row["case_id"], row["reader_id"], row["phase"]): row for row in sorted(whole["judgements"], key=lambda row: row["revision"])}
        self.frozen = self.amendments[0]["hash_before"] if self.amendments else self.study["protocol_hash"]

    def case(self, case_id: int) -> dict[str, Any]:
        """What judgements.csv and cases.csv both say of a case."""
        case = self.cases[case_id]
        strip, repeated = self.arms[case["strip_id"]], self.cases.get(case["repeat_of"], {}).get("code")
        return {
            **{"round": case["round_number"], "case": case["code"], "role": case["role"], "repeat_of": repeated, "label": case["rhythm"]},
            **{"strip_sha256": strip["sha256"], "arm": strip["arm"], "stand_in": strip["stand_in"]},
        }

    def round(self, round_id: int) -> dict[str, Any]:
        """What each row says of its round."""
        return {"protocol_hash": self.rounds[round_id]["protocol_hash"], "round": self.rounds[round_id]["number"]}

    def in_force(self, at: str) -> str:
        """The protocol's hash at a moment, as the trail writes moments."""
        return str(next((row["hash_after"] for row in reversed(self.amendments) if row["amended_at"] <= at), self.frozen))


def tables(files: Mapping[str, bytes], trail: list[dict[str, Any]], whole: Mapping[str, Any]) -> list[str]:
    """The files that say word for word what follows from snapshot and trail: their names. Of signatures all but the moment, which neither has."""
    of = Snapshot(whole)
    form, utility = document(files, "protocol.json")["form"], document(files, "seeds.json")["utility"]  # whose seed is chosen later
    documents = {"protocol.json": protocol(of, form, files), "seeds.json": {**seeds(of), "utility": utility}}
    for name, whole_file in documents.items():
        there = document(files, name)
        for part in {**there, **whole_file}:
            if there.get(part) != whole_file.get(part):
                raise Broken(f"{name}: does not say what the snapshot says: {part}.")
    written = {
        "judgements.csv": (judgement_rows(of, form), ("round", "reader", "case", "phase", "revision")),
        "cases.csv": (case_rows(of), ("case",)),
        "placements.csv": (placement_rows(of), ("round", "reader", "position")),
        "readers.csv": ([{"reader": code, "person": person, "site": of.sites[person]} for person, code in of.readers.items()], ("reader",)),
        "rounds.csv": (round_rows(of), ("round",)),
        "amendments.csv": (amendment_rows(of), ("number",)),
        "signatures.csv": (signature_rows(of, trail, rows(files, "signatures.csv")), ("round", "reader")),
    }
    for name, (wanted, keys) in written.items():
        compare(name, rows(files, name), [{"demo": of.study["demo"], "protocol_hash": of.study["protocol_hash"], **row} for row in wanted], keys)
    return [*documents, *written]


def compare(name: str, there: list[dict[str, str]], wanted: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
    """Raises Broken for the first row that is missing, one too many, or says something else. Their order says nothing."""
    found, known = ({tuple(cell(row[key]) for key in keys): row for row in some} for some in (there, wanted))
    for key in [*known, *found]:
        which = ", ".join(f"{column} {value}" for column, value in zip(keys, key, strict=True))
        if key not in found or key not in known or len(there) != len(wanted):
            raise Broken(f"{name}: does not say what the snapshot says: a row is missing or one too many, at {which}.")
        for column in {**known[key], **found[key]}:
            if column not in known[key] or column not in found[key] or not same(found[key][column], known[key][column]):
                raise Broken(f"{name}: does not say what the snapshot says: {column} of {which}.")


def judgement_rows(of: Snapshot, form: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = []
    for row in of.whole["judgements"]:
        key = (row["case_id"], row["reader_id"])
        heart = row if row["phase"] == 1 else of.newest[*key, 1]  # what was said of quality, rhythm and morphology
        shown_at, submitted_at = (datetime.fromisoformat(row[name]) for name in ("shown_at", "submitted_at"))
        told.append(
            {
                **of.case(row["case_id"]),
                **{"protocol_hash": row["protocol_hash"], "site": of.sites[row["reader_id"]], "reader": of.readers[row["reader_id"]]},
                **{name: row[name] for name in ("position", "phase", "revision", "realism", "comment")},
                "latest": row["phase"] == of.phases and row["revision"] == of.newest[*key, row["phase"]]["revision"],
                "called_synthetic": None if row["realism"] is None else row["realism"] >= 4,
                **{name: heart[name] for name in ("quality", "rhythm")},
                **{item.lower().replace(" ", "_"): heart["morphology"].get(item) for item in form["morphology"]},
                "cues": "; ".join(row["cues"]),
                "marks": "; ".join(f"{mark['lead']} {mark['from_ms']}-{mark['to_ms']} ms" for mark in row["marks"]),
                **{"shown_at": moment(row["shown_at"]), "submitted_at": moment(row["submitted_at"])},
                "seconds": (submitted_at - shown_at).total_seconds(),
                **{f"{name}_seconds": None if row[f"{name}_ms"] is None else row[f"{name}_ms"] / 1000 for name in ("reading", "away")},
                "viewing": json.dumps(row["viewing"], sort_keys=True, separators=(",", ":"), ensure_ascii=False),
            }
        )
    return told


def case_rows(of: Snapshot) -> list[dict[str, Any]]:
    first = {round_id: min(case["id"] for case in of.cases.values() if case["round_id"] == round_id) for round_id in of.rounds}
    return [{**of.round(case["round_id"]), **of.case(case_id), "number": case_id - first[case["round_id"]] + 1} for case_id, case in of.cases.items()]


def placement_rows(of: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            **{**of.round(row["round_id"]), "reader": of.readers[row["reader_id"]], "case": of.cases[row["case_id"]]["code"]},
            **{"position": row["position"], "phase": row["phase"]},
        }
        for row in of.whole["placements"]
    ]


def round_rows(of: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            **{**of.round(row["id"]), "id": row["id"], "cases": row["cases"], "commitment": of.bound.get(row["id"], {}).get("sha256")},
            **{"opened_at": moment(row["opened_at"]), "starts_at": moment(row["starts_at"])},
            "closed_by_hand_at": moment(of.closed[row["id"]]["closed_at"]) if row["id"] in of.closed else None,
            "closed_because": of.closed.get(row["id"], {}).get("reason"),
        }
        for row in of.rounds.values()
    ]


def amendment_rows(of: Snapshot) -> list[dict[str, Any]]:
    told = []
    for row in of.amendments:
        before, after = row["before"], row["after"]
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        standing = f"after {row['done']} of {row['total']} judgements, before the rounds were closed"
        if row["closed"]:
            standing = f"after every round was closed ({row['done']} of {row['total']} judgements), when unblinding could have been asked for"
        told.append(
            {
                **{"number": row["number"], "at": moment(row["amended_at"]), "by": f"person {row['amended_by']}", "why": row["reason"]},
                "change": "; ".join(f"{name.replace('_', ' ')} {before.get(name)} -> {after.get(name)}" for name in changed),
                **{"judgements": row["done"], "of": row["total"], "standing": standing},
                **{"hash_before": row["hash_before"], "hash_after": row["hash_after"]},
            }
        )
    return told


def signature_rows(of: Snapshot, trail: list[dict[str, Any]], there: list[dict[str, str]]) -> list[dict[str, Any]]:
    """A row for each signing that the trail notes, with the hash of the answers that the snapshot has."""
    signed_at = {(row["round"], row["reader"]): row["signed_at"] for row in there}
    told = []
    for entry in (one for one in trail if one["action"] == "round signed"):
        number, code = of.rounds[int(entry["subject"].removeprefix("round "))]["number"], of.readers[entry["person"]]
        own = [row for row in of.newest.values() if (f"round {row['round_id']}", row["reader_id"]) == (entry["subject"], entry["person"])]
        signed = sha256([[row["position"], row["revision"], answer_hash(row)] for row in sorted(own, key=lambda row: row["position"])])
        if signed != entry["detail"]["judgements_sha256"]:
            raise Broken(f"snapshot.json: the answers of {code} in round {number} are not those that were signed.")
        row = {"round": number, "reader": code, "signed_at": signed_at.get((str(number), code)), "judgements_sha256": signed}
        told.append({"protocol_hash": of.in_force(entry["at"]), **row})
    return told


def protocol(of: Snapshot, form: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What protocol.json has to say; the words of its form are those that the protocol's hash was computed from."""
    words = {name: told for name, told in form.items() if name != "quality" or of.phases == 2}  # asked in purpose-blind studies alone
    rules = of.study["protocol"]
    if sha256({"rules": rules, "form": words}) != of.study["protocol_hash"]:
        raise Broken("protocol.json: rules and words of the form are not those that the protocol's hash was computed from.")
    amended = [
        {"number": row["number"], "at": moment(row["amended_at"]), "rules": row["after"], "protocol_hash": row["hash_after"], "reason": row["reason"]}
        for row in of.amendments
    ]
    return {
        **{name: of.study[name] for name in ("title", "demo", "protocol_hash")},
        **{name: of.study[name] and moment(of.study[name]) for name in ("created_at", "frozen_at", "unblinded_at")},
        **{"rules": rules, "form": form, "amendments": amended, "snapshot": hashlib.sha256(files["snapshot.json"]).hexdigest()},
        "frozen": {"rules": of.amendments[0]["before"] if of.amendments else rules, "protocol_hash": of.frozen},
    }


def seeds(of: Snapshot) -> dict[str, Any]:
    bound = {round_id: {"sha256": row["sha256"], "nonce": row["nonce"], "made_at": moment(row["made_at"])} for round_id, row in of.bound.items()}
    rounds = [
        {
            **{"round": row["number"], "id": row["id"], "opened_at": moment(row["opened_at"]), "plan": row["plan"], "leak gate": row["leak"]},
            **{"protocol_hash": row["protocol_hash"], "commitment": bound.get(row["id"])},
        }
        for row in of.rounds.values()
    ]
    return {"demo": of.study["demo"], "study": of.study["seed"], "rounds": rounds}


# ---- small things ----


def moment(text: str) -> str:
    return datetime.fromisoformat(text).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def same(text: str, value: Any) -> bool:
    """Whether a cell says this value; numbers to nine digits, as tables have ten."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return NUMBER.fullmatch(text) is not None and math.isclose(float(text), value, rel_tol=1e-9, abs_tol=1e-9)
    return LINE_END.sub("\n", text) == cell(value)


def cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).upper()
    return ("'" if str(value).startswith(("=", "+", "-", "@", "\t", "\r")) else "") + LINE_END.sub("\n", str(value))


def content(files: Mapping[str, bytes], name: str) -> str:
    if name not in files:
        raise Broken(f"{name}: missing.")
    return files[name].decode()


def document(files: Mapping[str, bytes], name: str) -> Any:
    return json.loads(content(files, name))


def rows(files: Mapping[str, bytes], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(files, name), newline="")))


def sha256(value: Any, *, ascii_only: bool = True) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only).encode()).hexdigest()


if __name__ == "__main__":
    try:
        print(json.dumps(verify(read(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))), indent=1))
    except Broken as problem:
        sys.exit(f"BROKEN: {problem}")
    except MALFORMED as problem:
        sys.exit(f"BROKEN: a file is not as blindstrip writes it ({type(problem).__name__}: {problem}).")
