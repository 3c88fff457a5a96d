"""What the answers show, table by table. Every figure has its interval beside it, or a letter whose reason stands below the table."""

from __future__ import annotations

from collections.abc import Sequence

from generator.leads import LEADS
from study.protocol import CUES, MORPHOLOGY_ITEMS
from study.protocol import SCALE as SCALE_WORDS
from study.report import exhibits, machine_exhibits
from study.report.exhibit import Exhibit
from study.report.facts import ARMS, DIFFERENCE, NOT_THERE, Cells, Facts, Figure, counted
from study.report.flow import crossed, empty
from study.report.parts import Paragraph, Part, Picture, Row, Section, Table
from study.results import records
from study.utility import RATIO

AGREEMENT = ("raw agreement", "Fleiss' kappa", "Krippendorff's alpha", "Gwet's AC1")
COHEN = "mean Cohen's kappa"
RATES = ("balanced accuracy", "sensitivity", "specificity")
REALISM, SCALE = "real or synthetic", "six-point scale"
BELOW = (
    "Accuracy below chance is discrimination too, not realism; an accuracy that is not significantly different from 50 % is not thereby equivalent."
)
POOLED = "Readings of several readers are taken as independent in these intervals, although readers saw the same strips: they are too narrow."
_ARM_HEADS = ("Real", "Synthetic", "Difference, percentage points")


def sections(facts: Facts) -> tuple[Section, ...]:
    told: tuple[Part, ...] = (
        main_table(facts),
        *_seen(exhibits.roc(facts)),
        verdicts(facts),
        between_hospitals(facts),
        crossed(facts),
        calibration(facts),
    )
    by_arm: tuple[Part, ...] = (_by_arm_rhythm(facts), *_seen(exhibits.morphology(facts)), morphology(facts), Paragraph(POOLED, kind="note"))
    return (
        Section("Can readers tell?", (*empty(facts), *told)),
        agreement(facts),
        Section("Rhythm and morphology by arm", by_arm),
        Section("Reading times", (times(facts),)),
        learning(facts),
        Section("Cues, and where they were marked", (cues(facts), marks(facts), Paragraph(POOLED, kind="note"))),
        controls(facts),
        utility(facts),
        readers_and_machine(facts),
        fooled(facts),
    )


def _seen(exhibit: Exhibit) -> tuple[Picture, ...]:
    """A picture of the results page, where there is one."""
    return (exhibit.picture,) if exhibit.picture else ()


def main_table(facts: Facts) -> Table:
    cells, rows = Cells(), []
    for group, name, called in facts.groups():
        figures = [cells.cell(facts.rate(group, name, figure), "percent") for figure in RATES]
        figures += [cells.cell(facts.one("realism", group=group, name=name, figure=figure)) for figure in ("AUC", "d'", "criterion")]
        accuracy = facts.one("realism", group=group, name=name, figure="accuracy")
        stacked = [figure.replace(" (", "\n(") for figure in figures]
        rows.append(Row((called, str(accuracy["n"]) if accuracy else "–", *stacked), group != "reader"))
    head = ("Readers", "Readings", "Balanced accuracy", "Sensitivity", "Specificity", "AUC", "d'", "Criterion")
    notes = (
        *cells.notes,
        "Sensitivity: synthetic strips called synthetic; specificity: real strips called real; balanced accuracy: their mean. 95 % intervals.",
        BELOW,
    )
    return Table("Real or synthetic: the main table", head, tuple(rows), (22, 8, 13, 13, 13, 12, 14, 12), notes)


def between_hospitals(facts: Facts) -> Part:
    """Whether the hospitals differ, not only what they come to together."""
    there = facts.rows("sites")
    if not any(row["value"] is not None for row in there):
        return Paragraph(f"No figure: {next((row['reason'] for row in there if row['reason']), NOT_THERE)}.", "Differences between hospitals.")
    cells = Cells()
    rows = [Row((row["name"], row["figure"], cells.cell(row, "points" if "difference of" in row["figure"] else "number"))) for row in there]
    notes = (*cells.notes, "Differences in percentage points (of the AUC: hundredths), readers nested in hospitals, readers and cases random.")
    return Table("Differences between hospitals", ("Hospitals", "Figure", "Value"), tuple(rows), (50, 36, 22), notes)


def calibration(facts: Facts) -> Table:
    """What each step of the scale was worth."""
    cells = Cells()
    steps = range(1, len(SCALE_WORDS) + 1)
    rows = [
        Row((called, *(cells.cell(facts.one("calibration", group=group, name=name, step=step), "percent").replace(" (", "\n(") for step in steps)))
        for group, name, called in facts.groups(readers=False)
    ]
    head = ("Readers", *(f"{step} {SCALE_WORDS[step - 1]}" for step in steps))
    notes = (*cells.notes, "Of the readings that gave a step. It rises with the step for readers who can tell.")
    return Table("Share of truly synthetic strips by step of the scale", head, tuple(rows), (24, *(14,) * len(steps)), notes)


def verdicts(facts: Facts) -> Table:
    rows = []
    for group, name, called in facts.groups():
        found = facts.rows("verdicts", group=group, name=name)
        told = [verdict["sentence"] or verdict["reason"] or "no verdict" for verdict in found] or ["no verdict was computed"]
        rows += [Row((called, words), group != "reader") for words in told]
    return Table("Verdicts: equivalence to chance", ("Readers", "Verdict"), tuple(rows), (24, 84))


# ---- agreement ----


def agreement(facts: Facts) -> Section:
    between = [("between sites", "between sites", "Readers of different hospitals")] if len(facts.sites) > 1 else []
    groups = [*facts.groups(readers=False), *between]
    by_arm = _agreement(facts, "Agreement on real or synthetic, by hospital and arm", groups, [(REALISM, arm) for arm in ("all", *ARMS)])
    items = [(item, "all") for item in (REALISM, SCALE, "rhythm", *MORPHOLOGY_ITEMS)]
    by_item = _agreement(facts, "Agreement of all readers, by question", groups[:1], items, by_item=True)
    note = (
        "Low agreement on real or synthetic is what guessing looks like, and what carelessness looks like: compare it with agreement on rhythm, "
        "with readers' agreement with themselves, and between the arms."
    )
    return Section("Agreement", (*_seen(exhibits.agreement(facts)), by_arm, by_item, _with_oneself(facts), Paragraph(note, kind="note")))


def _agreement(
    facts: Facts, title: str, groups: Sequence[tuple[str, str, str]], strata: Sequence[tuple[str, str]], *, by_item: bool = False
) -> Table:
    cells, rows = Cells(), []
    for group, name, called in groups:
        for item, arm in strata:
            found = {row["figure"]: row for row in facts.rows("agreement", group=group, name=name, item=item, arm=arm)}
            if not found:
                continue
            names = AGREEMENT[:3] + (("Gwet's AC2",) if item == SCALE else AGREEMENT[3:])
            figures = [_agreed(cells, found, figure) for figure in names]
            rows.append(Row((item if by_item else called, arm if not by_item else str(_n(found)), *figures), group == "all" and not by_item))
    heads = ("Question", "Cases") if by_item else ("Readers", "Strips")
    head = (*heads, "Raw agreement", "Fleiss' kappa", "Krippendorff's alpha", "Gwet's AC1")
    notes = (*cells.notes, *(("The six-point scale: ordinal weights, and Gwet's AC2.",) if by_item else ()), "Bootstrap intervals over cases, 95 %.")
    return Table(title, head, tuple(rows), (28, 10, 17, 17, 17, 17), notes)


def _agreed(cells: Cells, found: dict[str, Figure], figure: str) -> str:
    if figure == "Fleiss' kappa" and figure not in found and COHEN in found:  # pairs of readers from different hospitals
        return f"{cells.cell(found[COHEN])} [{cells.letter(COHEN + ' over pairs of readers')}]"
    return cells.cell(found.get(figure), "percent" if figure == "raw agreement" else "number")


def _n(found: dict[str, Figure]) -> int:
    return max(row["n"] or 0 for row in found.values())


def _with_oneself(facts: Facts) -> Table:
    cells, rows = Cells(), []
    for group, name, called in facts.groups():
        for apart in _apart(facts):
            raw = facts.one("repeats", group=group, name=name, item=REALISM, apart=apart, figure="raw agreement")
            kappa = facts.one("repeats", group=group, name=name, item=REALISM, apart=apart, figure="Cohen's kappa")
            rhythm = facts.one("repeats", group=group, name=name, item="rhythm", apart=apart, figure="raw agreement")
            figures = (cells.cell(raw, "percent"), cells.cell(kappa), cells.cell(rhythm, "percent"))
            rows.append(Row((called, apart, str(raw["n"]) if raw else "–", *figures), group != "reader"))
    head = ("Readers", "Repeats", "Pairs", "Raw agreement", "Cohen's kappa", "Rhythm, raw agreement")
    return Table("Agreement of readers with themselves on real or synthetic", head, tuple(rows), (28, 14, 8, 19, 19, 19), cells.notes)


def _apart(facts: Facts) -> list[str]:
    table = facts.found.repeats
    return sorted(set(table["apart"]), key=lambda apart: (apart != "all", apart)) if "apart" in table else ["all"]


# ---- by arm ----


def _arms(cells: Cells, facts: Facts, table: str, **wanted: str) -> list[str]:
    """Real, synthetic, and their difference."""
    own = [cells.cell(facts.one(table, arm=arm, **wanted), "percent") for arm in ARMS]
    return [*own, cells.cell(facts.one(table, arm=DIFFERENCE, **wanted), "points")]


def _by_arm_rhythm(facts: Facts) -> Table:
    cells = Cells()
    rows = [
        Row((called, *_arms(cells, facts, "rhythm", group=group, name=name, figure="rhythm right")), group == "all")
        for group, name, called in facts.groups(readers=False)
    ]
    return Table("Rhythm named as labelled", ("Readers", *_ARM_HEADS), tuple(rows), (34, 22, 22, 22), cells.notes)


def morphology(facts: Facts) -> Table:
    cells = Cells()
    rows = []
    for group, name, called in facts.groups(readers=False):
        for item in MORPHOLOGY_ITEMS:
            of = {"group": group, "name": name, "item": item}
            plausible = _arms(cells, facts, "morphology", figure="plausible", **of)
            rows.append(Row((called, item, *plausible, cells.cell(_cannot(facts, of), "percent")), group == "all"))
    head = ("Readers", "Item", "Plausible, real", "Plausible, synthetic", "Difference, percentage points", "Cannot judge, synthetic")
    notes = (*cells.notes, "Plausible: of the readings that could judge. Differences with Newcombe intervals.")
    return Table("Morphology judged plausible", head, tuple(rows), (24, 13, 17, 17, 17, 17), notes)


def _cannot(facts: Facts, of: dict[str, str]) -> Figure | None:
    return facts.one("morphology", arm="synthetic", figure="cannot judge", **of)


def times(facts: Facts) -> Table:
    cells, rows = Cells(), []
    figures = sorted({row["figure"] for row in facts.rows("times", group="all", name="all")})
    for group, name, called in facts.groups():
        for figure in figures:
            own = [cells.cell(facts.one("times", group=group, name=name, figure=figure, arm=arm), "seconds") for arm in ("all", *ARMS)]
            rows.append(Row((called, figure, *own), group != "reader"))
    head = ("Readers", "Figure", "All strips", "Real", "Synthetic")
    notes = (*cells.notes, "From showing a strip to storing its answer, interruptions included.")
    return Table("Reading times, seconds", head, tuple(rows), (26, 22, 17, 17, 17), notes)


def cues(facts: Facts) -> Table:
    cells = Cells()
    rows = [Row((cue, *_arms(cells, facts, "cues", group="all", name="all", cue=cue, figure="named"))) for cue in CUES]
    return Table("Cues named, share of all readings", ("Cue", *_ARM_HEADS), tuple(rows), (34, 22, 22, 22), cells.notes)


def marks(facts: Facts) -> Part:
    """Where readers pointed, lead by lead."""
    there = [row for arm in ARMS for row in facts.rows("marks", group="all", name="all", arm=arm, figure="marked")]
    leads = [lead for lead in LEADS if any(row["value"] for row in there if row["lead"] == lead)]
    if not leads:
        return Paragraph("No reader marked where a cue is." if there else f"Not told: {NOT_THERE}.", "Marks.")
    cells = Cells()
    rows = [Row((lead, *_arms(cells, facts, "marks", group="all", name="all", lead=lead, figure="marked"))) for lead in leads]
    notes = (*cells.notes, "Leads without a mark are left out. Where in the lead: judgements.csv of the bundle, column marks.")
    return Table("Where cues were marked, share of all readings", ("Lead", *_ARM_HEADS), tuple(rows), (34, 22, 22, 22), notes)


# ---- the rest ----


def learning(facts: Facts) -> Section:
    """Accuracy round by round, and what the last is more than the first."""
    heading, numbers = "Learning over rounds", sorted({int(number) for number in facts.scored["round"]})
    if len(numbers) < 2:
        told = f"{counted(len(numbers), 'round')} had scored readings: nothing can be said about learning over rounds."
        return Section(heading, (Paragraph(told),))
    apart = f"{numbers[-1]} - {numbers[0]}"
    cells, rows = Cells(), []
    for group, name, called in facts.groups():
        of = {"group": group, "name": name, "figure": "accuracy"}
        own = [cells.cell(facts.one("learning", round=str(number), **of), "percent") for number in numbers]
        rows.append(Row((called, *own, cells.cell(facts.one("learning", round=apart, **of), "points")), group != "reader"))
    head = ("Readers", *(f"Round {number}" for number in numbers), f"Round {numbers[-1]} less round {numbers[0]}, percentage points")
    widths = (26, *(50 / len(numbers),) * len(numbers), 24)
    notes = (*cells.notes, "Rounds show other strips: a difference is not of learning alone.")
    table = Table("Accuracy by round", head, tuple(rows), widths, notes)
    return Section(heading, (*_seen(exhibits.learning(facts)), table, Paragraph(POOLED, kind="note")))


def controls(facts: Facts) -> Section:
    heading = "Controls"
    if not any(row["n"] for row in facts.rows("controls", group="all", name="all")):
        return Section(heading, (Paragraph(exhibits.NO_CONTROLS),))
    cells, rows = Cells(), []
    for group, name, called in facts.groups():
        kinds = ("all", "mechanical", "recorded")
        own = [cells.cell(facts.one("controls", group=group, name=name, kind=kind, figure="controls called right"), "percent") for kind in kinds]
        rows.append(Row((called, *own), group != "reader"))
    head = ("Readers", "All controls", "Mechanical (synthetic)", "Recorded (real)")
    return Section(heading, (Table("Obvious strips called right", head, tuple(rows), (34, 22, 22, 22), cells.notes),))


def utility(facts: Facts) -> Section:
    heading = "What the same strips are worth to a classifier"
    there = facts.rows("utility")
    if not any(row["value"] is not None for row in there):
        reason = next((row["reason"] for row in there if row["reason"]), "not computed")
        return Section(heading, (Paragraph(f"No figure: {reason}."),))
    cells, rows = Cells(), []
    headline = [row for row in there if row["experiment"] == RATIO]
    of_experiments = [row for row in there if row not in headline]
    told = "; ".join(f"{row['classifier']} {cells.cell(row)}" for row in headline)
    names = list(dict.fromkeys(row["figure"] for row in of_experiments))
    for experiment, meaning, classifier in dict.fromkeys((row["experiment"], row["meaning"], row["classifier"]) for row in of_experiments):
        own = [cells.cell(facts.one("utility", experiment=experiment, classifier=classifier, figure=figure)) for figure in names]
        rows.append(Row((f"{experiment}: {meaning}", classifier, *own)))
    head = ("Experiment", "Classifier", *names)
    widths = (30, 18, *(52 / len(names),) * len(names))
    table = Table("Atrial fibrillation against sinus rhythm", head, tuple(rows), widths, cells.notes)
    first = (Paragraph(f"{told}.", f"{RATIO}, {headline[0]['meaning']}:"),) if headline else ()
    return Section(heading, (*first, *_seen(exhibits.utility(facts)), table))


def readers_and_machine(facts: Facts) -> Section:
    """The same strips, read by people and by classifiers."""
    parts: list[Part] = []
    for exhibit in (of(facts) for of in exhibits.MACHINE):
        table = {"machine-roc": None, "rhythm-calls": _rhythm_calls(facts)}.get(exhibit.name, exhibit.table)
        parts += [exhibit.picture or Paragraph(exhibit.instead, f"{exhibit.title}."), *([table] if table else [])]
    return Section("Readers and machine on the same strips", tuple(parts))


def _rhythm_calls(facts: Facts) -> Table:
    """What each label was named, a row an arm: readers together, and each classifier."""
    cells, rows = Cells(), []
    names = ["named AF", "named NSR", "named other", "named unsure"]
    for label in machine_exhibits.LABELS:
        of_label = facts.rows("rhythm_calls", rhythm=label, arm="real")
        for group, name in dict.fromkeys((row["group"], row["name"]) for row in of_label if row["group"] in ("all", "classifier")):
            for arm in ARMS:
                found = {row["figure"]: row for row in facts.rows("rhythm_calls", group=group, name=name, rhythm=label, arm=arm)}
                why = next((row["reason"] for row in found.values() if row["value"] is None and row["reason"]), "classifiers name AF or NSR alone")
                told = [cells.cell(found[figure], "percent") if figure in found else f"– [{cells.letter(why)}]" for figure in names]
                rows.append(Row((f"{label}, {'all readers' if group == 'all' else name}", arm, *told), group == "all"))
    notes = (*cells.notes, "Hospitals and readers: results/rhythm_calls.csv of the bundle.")
    head = ("Label, and who named it", "Strips", "AF", "NSR", "Other", "Unsure")
    return Table("What strips of each label were named", head, tuple(rows), (30, 12, 16, 16, 16, 16), notes)


def fooled(facts: Facts) -> Section:
    """Which strips fooled every reader, by code: strips/ of the bundle holds them."""
    exhibit = machine_exhibits.fooled(facts)
    rows = [row for row in records(facts.found.strips) if row["readers"] > 1 and row["wrong"] in (0, row["readers"])]
    rows.sort(key=lambda row: (row["arm"], -row["wrong"], row["case"]))
    answers = {case: sorted(map(int, given)) for case, given in facts.scored.groupby("case")["realism"]}
    lines = [
        Row((row["case"], row["arm"], row["label"], "every reader" if row["wrong"] else "no reader", ", ".join(map(str, answers[row["case"]]))))
        for row in rows
    ]
    head = ("Case", "Arm", "Rhythm", "Fooled", "Answers, 1 definitely real to 6 definitely synthetic")
    table = Table("Strips that fooled every reader, and no reader", head, tuple(lines), (26, 14, 12, 18, 38))
    parts: list[Part] = [exhibit.picture or Paragraph(exhibit.instead), exhibit.table]
    return Section(exhibits.FOOLED.removesuffix("?"), (*parts, table) if lines else tuple(parts))
