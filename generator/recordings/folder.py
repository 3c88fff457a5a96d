"""Any folder of WFDB records, at any depth, with a table `record,rhythm[,patient]` (and, if known, age, sex, fold)."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from generator.errors import GeneratorError
from generator.recordings import table
from generator.recordings.candidate import Candidate, Listing, pseudonym
from generator.recordings.labels import rhythm_from_word
from generator.recordings.paths import inside, without_extension

COLUMNS = ["record", "rhythm"]
OPTIONAL = ["patient", "age", "sex", "fold"]
SEX = {"f": "female", "female": "female", "m": "male", "male": "male", "": None}


def listing(directory: Path, labels: Path, collection: str) -> Listing:
    """record: a path relative to the directory, or a name that occurs once below it. patient: empty means a patient of their own.

    Raises GeneratorError for a broken table and a name that occurs twice.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for header in sorted(directory.rglob("*.hea")):
        by_name[header.stem].append(header.with_suffix(""))
    candidates: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for row in table.rows(labels, COLUMNS, OPTIONAL):
        rhythm, reason = rhythm_from_word(row["rhythm"])
        if rhythm is None:
            left_out[reason] += 1
            continue
        path = _path(directory, row["record"], by_name, labels)
        record = path.relative_to(directory.resolve()).as_posix()
        fold = table.number(row.get("fold", ""), labels, "fold")
        candidates.append(
            Candidate(
                path=path,
                record=record,
                collection=collection,
                rhythm=rhythm,
                patient=pseudonym(collection, row.get("patient") or f"record {record}"),
                age=table.number(row.get("age", ""), labels, "age"),
                sex=_sex(row.get("sex", ""), labels),
                fold=None if fold is None else int(fold),
            )
        )
    return Listing("folder", candidates, left_out)


def _path(directory: Path, record: str, by_name: dict[str, list[Path]], labels: Path) -> Path:
    exact = inside(directory, record, labels)
    if exact.with_name(exact.name + ".hea").is_file():
        return exact
    found = by_name.get(without_extension(record), [])
    if len(found) > 1:
        places = ", ".join(str(path.relative_to(directory)) for path in found[:3])
        raise GeneratorError(f"{labels}: record {record!r} occurs {len(found)} times ({places}). Write its path.")
    return inside(directory, str(found[0].relative_to(directory)), labels) if found else exact  # where there is none, reading says so


def _sex(word: str, labels: Path) -> str | None:
    try:
        return SEX[word.lower()]
    except KeyError as error:
        raise GeneratorError(f"{labels}: {word!r} in column sex. Write F, M or nothing.") from error
