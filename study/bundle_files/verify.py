"""Checks this bundle with Python's standard library alone: checksums, audit trail, snapshot, judgements, commitments to the rounds' seeds.

`python verify.py [folder or zip of the bundle]` prints what was checked as JSON, or the first thing that does not hold (exit status 1).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START = "0" * 64  # what the first entry of the trail names as the hash before it
SUMS = "checksums.sha256"


class Broken(Exception):
    """The first thing that does not hold."""


def read(bundle: Path) -> dict[str, bytes]:
    """Name -> content of every file of a bundle, a folder or a zip. Raises Broken where there is none."""
    try:
        if bundle.is_dir():
            return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()}
        with zipfile.ZipFile(bundle) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise Broken(f"{bundle}: {error}. Name the zip of an export, or the folder that it was unpacked into.") from error


def verify(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What was checked. Raises Broken, naming the file, entry, judgement or round."""
    checked: dict[str, Any] = {"files": checksums(files)}
    trail = chain(files)
    checked |= {"audit_entries": len(trail), "last_hash": trail[-1]["hash"] if trail else START}
    checked["withheld"] = sum(not entry["action"] for entry in trail)
    snapshot = of_snapshot(files, trail)
    checked["snapshot"] = hashlib.sha256(files["snapshot.json"]).hexdigest() if snapshot else "none: unblinded before there were snapshots"
    checked["judgements"] = judgements(files, trail, snapshot) if snapshot else 0
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
    named = next((entry["detail"].get("snapshot") for entry in trail if entry["action"] == "unblinded"), None)
    if named is None:
        return None
    if hashlib.sha256(files.get("snapshot.json", b"")).hexdigest() != named:
        raise Broken(f"snapshot.json: is not the snapshot that was taken at unblinding (the audit trail names SHA-256 {named}).")
    found: dict[str, Any] = json.loads(files["snapshot.json"])
    return found


def judgements(files: Mapping[str, bytes], trail: list[dict[str, Any]], snapshot: Mapping[str, Any]) -> int:
    """Every judgement of the snapshot was noted in the trail with the hash of its answer, and judgements.csv says what the snapshot says."""
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
    persons = {row["reader"]: int(row["person"]) for row in rows(files, "readers.csv")}
    told = {(row["case"], persons[row["reader"]], int(row["phase"]), int(row["revision"])): row["realism"] for row in rows(files, "judgements.csv")}
    kept = {
        (codes[row["case_id"]], row["reader_id"], row["phase"], row["revision"]): "" if row["realism"] is None else str(row["realism"])
        for row in snapshot["judgements"]
    }
    if told != kept:
        raise Broken("judgements.csv: does not say what the snapshot says.")
    return len(kept)


def answer_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 of a judgement's answer, as the trail holds it: of the fields of the form, without those of later forms where they are empty."""
    said = {name: row[name] for name in ("realism", "rhythm", "morphology", "cues", "comment")}
    said |= {name: row[name] for name in ("quality", "marks") if row[name]}
    return sha256(said)


def commitments(files: Mapping[str, bytes], trail: list[dict[str, Any]]) -> dict[str, str]:
    """Of each round, whether the seeds that are told now are those that the hash bound before the round was read."""
    found = {}
    for opened in seeds(files)["rounds"]:
        bound, name = opened["commitment"], f"round {opened['round']}"
        if bound is None:
            found[name] = "no commitment: opened before there were any"
            continue
        plan = opened["plan"]
        words = "blindstrip: seeds of a round"
        if bound["sha256"] != sha256([words, opened["id"], opened["protocol_hash"], bound["nonce"], plan["seed"], plan["seeds"]]):
            raise Broken(f"seeds.json: the seeds of {name} are not those that were committed to.")
        told = [int(entry["entry"]) for entry in trail if entry["action"] == "seeds committed to" and entry["subject"] == f"round {opened['id']}"]
        if not told or trail[told[0] - 1]["detail"]["to"] != bound["sha256"]:
            raise Broken(f"seeds.json: the commitment of {name} is not in the audit trail.")
        judged = [entry for entry in trail if entry["action"] == "judgement submitted" and entry["detail"]["round"] == opened["id"]]
        if judged and int(judged[0]["entry"]) < told[0]:
            raise Broken(f"audit.csv: {name} was read before its seeds were committed to.")
        found[name] = "seeds as committed to before it was read"
    return found


def seeds(files: Mapping[str, bytes]) -> dict[str, Any]:
    if "seeds.json" not in files:
        raise Broken("seeds.json: missing.")
    found: dict[str, Any] = json.loads(files["seeds.json"])
    return found


def rows(files: Mapping[str, bytes], name: str) -> list[dict[str, str]]:
    if name not in files:
        raise Broken(f"{name}: missing.")
    return list(csv.DictReader(io.StringIO(files[name].decode(), newline="")))


def sha256(value: Any, *, ascii_only: bool = True) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only).encode()).hexdigest()


if __name__ == "__main__":
    try:
        print(json.dumps(verify(read(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))), indent=1))
    except Broken as problem:
        sys.exit(f"BROKEN: {problem}")
