"""The report of an unblinded study as one content, for HTML and PDF alike: the verdict and a picture first, then methods, figures, checklists."""

from __future__ import annotations

import pandas as pd

from storage.export import Provenance, StudyData
from study import notices
from study.licences import terms
from study.report import answers, checklists, exhibits
from study.report.facts import Facts, day, plainly
from study.report.flow import flow
from study.report.methods import methods
from study.report.parts import Listed, Paragraph, Part, Report, Row, Section, Table
from study.report.record import record
from study.results import Results

LEFT_OUT = "What was left out, and what the figures rest on"


def report_of(data: StudyData, origin: Provenance, found: Results) -> Report:
    """Readers are in it by code alone; it depends on the study and the version of the software, and on nothing else."""
    facts = Facts(data, origin, found)
    demo = [Paragraph(notices.sentence(found.notice), kind="demo")] if found.demo else []
    opening: tuple[Part, ...] = (*demo, *_verdict(facts))
    sections = (
        methods(facts),
        flow(facts),
        *answers.sections(facts),
        Section(LEFT_OUT, (Listed(tuple(found.notes)),)),
        Section("How each figure was computed", (_formulas(facts),)),
        record(facts),
        *checklists.sections(facts),
        Section("Where everything came from", (_origins(facts),)),
    )
    return Report(
        title=found.title,
        subtitle=f"Report of a blind reader study by blindstrip {facts.version}; unblinded on {day(found.unblinded_at)}.",
        banner=notices.banner(found.notice),
        foot=f"{found.title}  ·  protocol {found.protocol_hash[:12]}  ·  blindstrip {facts.version}",
        opening=opening,
        sections=sections,
    )


def _verdict(facts: Facts) -> list[Part]:
    """Its first sentence, what follows from it in smaller letters, and the picture."""
    first, more = exhibits.verdict(facts)
    seen = exhibits.accuracy(facts)
    return [Paragraph(first, kind="verdict"), *([Paragraph(more)] if more else []), seen.picture or Paragraph(seen.instead)]


def _formulas(facts: Facts) -> Table:
    """From the tables' own words: what figures were computed by, those that share it together."""
    rows = []
    for name, table in vars(facts.found).items():
        if isinstance(table, pd.DataFrame) and {"figure", "method"} <= set(table.columns):
            methods: dict[str, list[str]] = {}
            for figure, method in dict.fromkeys(zip(table["figure"].astype(str), map(plainly, table["method"].astype(str)), strict=True)):
                known = methods.setdefault(figure.split(":")[0], [])
                known += [method] if method and method not in known else []
            alike: dict[str, list[str]] = {}
            for figure, of_figure in methods.items():
                alike.setdefault("; or: ".join(of_figure), []).append(figure)
            rows += [Row((name, ", ".join(figures), method)) for method, figures in alike.items() if method]
    notes = (
        "Proportions of all readers or of a hospital pool their readings as if they were independent, but where a figure says clustered, mean, or "
        "readers and cases.",
    )
    return Table("Formulas and intervals, as in the tables of the bundle", ("Table", "Figures", "Method"), tuple(rows), (12, 24, 72), notes)


def _origins(facts: Facts) -> Table:
    study = facts.data.study
    checkpoints = sorted({row.checkpoint for row in facts.origin.drawings})
    collections = sorted({row.collection for row in facts.origin.recordings})
    rows = [
        ("Software", f"blindstrip {facts.version}"),
        ("Protocol hash", facts.found.protocol_hash),
        ("Snapshot", facts.found.snapshot or "none: unblinded before there were snapshots"),
        ("Seed of the study", str(study.seed)),
        *((f"Seeds of round {opened.number}", _seeds(opened.plan)) for opened in facts.data.rounds),
        *((f"Checkpoint {number}", checkpoint) for number, checkpoint in enumerate(checkpoints, start=1)),
        *((f"Recordings of {name}", f"licence: {terms(name)}") for name in collections),
        ("Data", "the export bundle of this study: judgements, cases, orders, strips, audit trail, checksums"),
    ]
    return Table("Versions, hashes, seeds", ("What", "Which"), tuple(Row(row) for row in rows), (24, 84))


def _seeds(plan: dict[str, object]) -> str:
    seeds = plan.get("seeds")
    more = "".join(f"; {name}: {value}" for name, value in sorted(seeds.items())) if isinstance(seeds, dict) else ""
    return f"{plan.get('seed', 'not kept')}{more}"
