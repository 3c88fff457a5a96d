"""The command on a file of anybody's readings: all figures under --json, else the main ones as tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]


def agreement(given: argparse.Namespace) -> dict[str, Any]:
    from study.agreement import analysis

    found = analysis.of_file(given.file, answers=given.answers, margin=given.margin, seed=given.seed, draws=given.draws)
    return found if given.json else in_words(found)


def in_words(found: dict[str, Any]) -> dict[str, Any]:
    """The figures of all and of each site, on all strips and on each arm; each reader on all strips. Rounds and rhythms are under --json."""
    if "by_modality" in found:
        told = {"file": found["file"], "modalities": _table(found["modalities"]), "modalities_alike": _tests(found["modality_tests"])}
        return told | {f"modality {name}": in_words(one) for name, one in found["by_modality"].items()}
    names = ("file", "readings", "readers", "cases", "cases_by_arm", "sites", "rounds", "rhythms", "margin", "seed", "draws")
    told = {name: ", ".join(found[name]) if isinstance(found[name], list) else found[name] for name in names if found[name] is not None}
    verdicts = [row for row in found.get("verdicts", []) if _main(row) and row["group"] != "reader"]
    told["verdict"] = [f"{_whose(row)}, {row['figure'].removesuffix(' for equivalence')}: {row['sentence']}" for row in verdicts]
    told["agreement_between_readers"] = _table(row for row in found["agreement"] if row["group"] != "reader" and _shown(row))
    told["agreement_on_real_less_on_synthetic_strips"] = _table(found["real_minus_synthetic"])
    told["agreement_within_and_between_sites"] = _table(row for row in found["between_sites"] if _main(row))
    told["agreement_with_oneself"] = _table(row for row in found["within_readers"] if row["group"] != "reader" and _main(row))
    told["told_apart"] = _table(
        {**row, "figure": row["figure"] + ("" if row["figure"].startswith("mean") else ", pooled")}
        for row in found.get("realism", [])
        if row["group"] != "reader" and _main(row)
    )
    told["calibration_of_the_score"] = _table(
        {**row, "figure": f"score {row['step']}"} for row in found.get("calibration", []) if row["group"] == "all"
    )
    told["differences_between_sites"] = _table(row for row in found.get("site_differences", []) if _main(row) and _random(row))
    told["sites_alike"] = _tests(row for row in found.get("site_tests", []) if _main(row) and _random(row))
    told["readers_one_by_one"] = _readers(found)
    told = {name: value for name, value in told.items() if value != []}
    told["left_out"] = [f"{row['what']}: {row['number']} ({row['why']})" for row in found["left_out"]] or "nothing"
    return told | {"more": "every figure by reader, rhythm and round, with its method: --json"}


def _main(row: Row) -> bool:
    return bool(row["rhythm"] == row["round"] == row["arm"] == row.get("apart", "all") == "all")


def _shown(row: Row) -> bool:
    """All strips, and each arm for all readers; figures that are for two readers, or for complete tables, only where they are defined."""
    if row["value"] is None and row["figure"].startswith(("Cohen's kappa", "z of")) and row["n"]:
        return False
    return _main(row) or (row["group"] == "all" and row["arm"] != "all")


def _random(row: Row) -> bool:
    return bool(row["readers"] == row["cases"] == "random")


def _whose(row: Row) -> str:
    if row["group"] == "all":
        return "all readers"
    return str(row["name"]) if row["group"] in (row["name"], "between sites", "modality", "between modalities") else f"{row['group']} {row['name']}"


def _table(rows: Iterable[Row]) -> list[Row]:
    return [
        {
            "whose": _whose(row),
            **({"of": row["item"]} if "item" in row else {}),
            **({"random": " and ".join(one for one in ("readers", "cases") if row[one] == "random")} if "readers" in row else {}),
            "strips": row["arm"],
            "figure": row["figure"],
            "value": _number(row["value"]),
            "95 % interval": "" if row["low"] is None else f"{_number(row['low'])} to {_number(row['high'])}",
            "SE": _number(row["se"]) if row["se"] is not None else "",
            "n": f"{row['n']} {row['counted']}",
            "remark": row["reason"] or "",
        }
        for row in rows
    ]


def _readers(found: dict[str, Any]) -> list[Row]:
    """One line a reader."""
    first = found["items"][0]["item"] if found["items"] else None
    shown = {"raw agreement": "agrees with others", "accuracy": "accuracy", "d'": "d'", "criterion": "criterion", "AUC": "AUC"}
    lines: dict[str, Row] = {}
    for row in [*found["agreement"], *found.get("realism", [])]:
        if row["group"] == "reader" and row["figure"] in shown and _main(row) and row.get("item", first) == first:
            line = lines.setdefault(row["name"], {"reader": row["name"], "site": row["site"] or ""})
            edges = "" if row["low"] is None else f" ({_number(row['low'])} to {_number(row['high'])})"
            line[shown[row["figure"]]] = _number(row["value"]) + edges
    return list(lines.values())


def _tests(rows: Iterable[Row]) -> list[Row]:
    return [
        {
            "figure": row["figure"],
            "readers": row["readers"],
            "cases": row["cases"],
            "statistic": _number(row["statistic"]),
            "degrees of freedom": "" if row["freedom"] is None else ", ".join("infinite" if one is None else f"{one:g}" for one in row["freedom"]),
            "p": _number(row["p"]),
            "remark": row["reason"] or "",
        }
        for row in rows
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
