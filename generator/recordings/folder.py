"""Any folder of recordings, at any depth, with a table `record,rhythm[,patient]` (and, if known, age, sex, fold; rate, unit, leads).

A recording is a WFDB record or one file of a kind that generator.formats reads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from generator.errors import GeneratorError
from generator.formats import Stated
from generator.recordings import table
from generator.recordings.candidate import Candidate, Listing, pseudonym
from generator.recordings.labels import rhythm_from_word
from generator.recordings.paths import inside, without_extension

COLUMNS = ["record", "rhythm"]
OPTIONAL = ["patient", "age", "sex", "fold", "rate", "unit", "leads"]
SEX = {"f": "female", "female": "female", "m": "male", "male": "male", "": None}

Places = dict[str, list[Path]]


def listing(directory: Path, labels: Path, collection: str) -> Listing:
    """record: a path relative to the directory, or a name that occurs once below it. patient: empty means a patient of their own.

    Raises GeneratorError for a broken table and a name that occurs twice.
    """
    records, files = _records_and_files(directory)
    candidates: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for row in table.rows(labels, COLUMNS, OPTIONAL):
        rhythm, reason = rhythm_from_word(row["rhythm"])
        if rhythm is None:
            left_out[reason] += 1
            continue
        path = _path(directory, row["record"], records, files, labels)
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
                stated=_stated(row, labels),
            )
        )
    return Listing("folder", candidates, left_out)


def is_other_file(path: Path) -> bool:
    """Whether a recording is one file, and not a WFDB record, of which the path has no extension."""
    return not path.with_name(path.name + ".hea").is_file() and path.is_file()


def _records_and_files(directory: Path) -> tuple[Places, Places]:
    """By name, where records and where other files lie; of a file both its name and its stem are names."""
    records: Places = defaultdict(list)
    files: Places = defaultdict(list)
    for file in sorted(directory.rglob("*")):
        if file.suffix == ".hea":
            records[file.stem].append(file.with_suffix(""))
        elif file.suffix != ".dat" and file.is_file():
            for name in {file.name, file.stem}:
                files[name].append(file)
    return records, files


def _path(directory: Path, record: str, records: Places, files: Places, labels: Path) -> Path:
    exact = inside(directory, record, labels)
    if exact.with_name(exact.name + ".hea").is_file() or exact.is_file():
        return exact
    found = records.get(without_extension(record)) or files.get(record, [])
    if len(found) > 1:
        places = ", ".join(str(path.relative_to(directory)) for path in found[:3])
        raise GeneratorError(f"{labels}: record {record!r} occurs {len(found)} times ({places}). Write its path.")
    return inside(directory, str(found[0].relative_to(directory)), labels) if found else exact  # where there is none, reading says so


def _stated(row: dict[str, str], labels: Path) -> Stated | None:
    rate, unit, leads = table.number(row.get("rate", ""), labels, "rate"), row.get("unit"), row.get("leads", "").replace(",", " ").split()
    return Stated(rate, unit or None, tuple(leads) or None) if rate is not None or unit or leads else None


def _sex(word: str, labels: Path) -> str | None:
    try:
        return SEX[word.lower()]
    except KeyError as error:
        raise GeneratorError(f"{labels}: {word!r} in column sex. Write F, M or nothing.") from error
