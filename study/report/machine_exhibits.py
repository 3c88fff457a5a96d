"""The pictures of readers and machine on the same strips: for results page and report alike. Their tables are those of study/machine.py."""

from __future__ import annotations

from typing import Any

from study import machine
from study.protocol import SCALE
from study.report.chart import Axis, Cloud, Entry, around, clouds_picture, from_zero, roc_beside
from study.report.exhibit import Exhibit, made, marked, table_of, unit
from study.report.facts import ARMS, DIFFERENCE, Cells, Figure, Lookup, shown
from study.report.parts import Row, Table
from study.results import records

LEARNED = (
    "The machine is a logistic regression on features of the heart (rhythm, intervals, amplitudes), which learned real and synthetic from this "
    "study's other strips, never from the same patient's: readers were not taught so."
)
ALIKE = (0.0, "alike")


def roc(found: Lookup) -> Exhibit:
    """Its table holds the areas and the points of the curves of readers and machine."""
    title = "Readers and machine on the same strips"
    own = found.rows("machine", group=machine.MACHINE)
    corners = machine.curve(found.found.strips)
    columns = ("name", "called synthetic", "of real", "of synthetic")
    steps = [f"from step {number} {SCALE[number - 1]}" for number in range(len(SCALE), 0, -1)]
    readers = {name: curve for name, curve in found.found.curves.items() if name != "all readings"}
    places = [(name, step, *at) for name, curve in readers.items() for step, at in zip(steps, curve[1:], strict=True)]
    places += [(machine.MACHINE, f"corner {number}", *at) for number, at in enumerate(corners[1:], start=1)]
    rows = tuple(dict[str, Any](zip(columns, place, strict=True)) for place in places)
    shares = [Row((row["name"], row[columns[1]], *(shown(row[of], "percent") for of in columns[2:]))) for row in rows]
    head = ("Whose", "Called synthetic", "Of real strips", "Of synthetic strips")
    if not corners:
        why = own[0]["reason"] if own and own[0]["reason"] else "no strip of both arms was read"
        empty: tuple[str, ...] = () if rows else ("No reader gave answers to strips of both arms.",)
        return Exhibit("machine-roc", title, None, f"No figure: {why}.", Table(title, head, tuple(shares), (30, 40, 25, 25), empty), rows)
    cells = Cells()
    areas = [row for row in found.rows("machine") if row["figure"] == machine.AREA]
    told = [(str(row["name"]), f"AUC {cells.cell(row, unit(row))}") for row in areas]
    caption = (
        "ROC curves: share of synthetic strips called synthetic (upwards) against that of real ones, from the strictest threshold to the laxest. "
        f"Bold: the machine; thin: each reader, of the six-point scale. {LEARNED} Intervals, 95 %, take the machine as it is. "
        f"n = {own[0]['n']} strips."
    )
    caption += "".join(f" {note}." for note in cells.notes)
    curves = {machine.MACHINE: corners, **readers}
    notes = tuple(f"{name}: {words} (95 % interval)." for name, words in told)
    return Exhibit(
        "machine-roc", title, roc_beside(caption, curves, machine.MACHINE, told), "", Table(title, head, tuple(shares), (30, 40, 25, 25), notes), rows
    )


def against_machine(found: Lookup) -> Exhibit:
    """Each reader's AUC less the machine's."""
    entries = []
    for group, name, called in found.groups():
        entries.append(Entry(called, marked([[found.one("machine", group=group, name=name, figure=machine.APART)]]), group))
    apart = [mark.figure for entry in entries for marks in entry.marks for mark in marks]
    caption = (
        "How much larger a reader's area under the ROC curve is than the machine's on the strips that the reader read, with 95 % intervals (paired; "
        f"of several readers: readers and strips random). Right of 0 the reader tells better. {LEARNED}"
    )
    axes = [Axis("AUC less the machine's", *around(0, apart), "difference", ALIKE)]
    more = [row for row in found.rows("machine") if row["figure"] != machine.APART]
    keys = {"Whose": "name", "Figure": "figure"}
    return made("against-machine", "Readers less machine", caption, axes, entries, keys, more, _not_computed(apart))


def suspicion(found: Lookup) -> Exhibit:
    """A point a strip; its table holds the correlations."""
    title, keys = "What readers suspect, and what the machine does", {"Readers": "name", "Beside": "beside", "Strips": "arm"}
    there = [row for beside in (machine.SCORE, machine.DISTANCE) for arm in ("all", *ARMS) for row in found.rows("suspicion", beside=beside, arm=arm)]
    there.sort(key=lambda row: (row["group"] != "all", row["name"]))  # which keeps the order otherwise
    table = table_of(title, keys, there)
    strips = [row for row in records(found.found.strips) if row["machine"] is not None or row["distance"] is not None]
    if not strips:
        why = "; ".join(dict.fromkeys(str(row["reason"]) for row in there if row["reason"])) or "no strip was read"
        return Exhibit("suspicion", title, None, f"No figure: {why}.", table, tuple(there))
    up = Axis("suspicion", 0.5, len(SCALE) + 0.5)
    reach = from_zero([{"value": row["distance"], "low": None, "high": None} for row in strips])
    panels = [
        Cloud(called, axis, up, [(row[column], row["suspicion"], row["arm"]) for row in strips if row[column] is not None])
        for called, column, axis in (
            ("Machine's score", "machine", Axis("probability of synthetic, out of fold")),
            ("Distance from real strips", "distance", Axis("standard deviations", 0, reach)),
        )
    ]
    cells, told = Cells(), []
    for row in there:
        if row["group"] == "all":
            of = f"{row['beside']}, {'all' if row['arm'] == 'all' else row['arm']} strips"
            told.append(f"{of}: {cells.cell(row, 'difference')}")
    caption = (
        "Each mark is a strip: upwards the mean answer of those who read it, across what the machine says. Left: its probability of synthetic. "
        "Right: how far the nearest real strip of the same rhythm and another patient lies, in standard deviations of the real strips' features. "
        f"Spearman's rho, 95 % intervals by bootstrap over strips: {'; '.join(told)}. Only within an arm does it tell whether readers and machine "
        f"suspect the same strips. n = {len(strips)} strips."
    ) + "".join(f" {note}." for note in cells.notes)
    in_words = f"Suspicion of readers against the machine's score and against distance. {'; '.join(told)}"
    return Exhibit("suspicion", title, clouds_picture(caption, in_words, panels, SCALE), "", table, tuple(there))


def rhythm_calls(found: Lookup) -> Exhibit:
    """Readers and classifiers, real and synthetic strips: AF named AF on the left, NSR named NSR on the right."""
    classifiers = list(dict.fromkeys(row["name"] for row in found.rows("rhythm_calls", group="classifier", rhythm="AF", arm="real")))
    groups = [*found.groups(readers=False), *(("classifier", name, f"Machine: {name}") for name in classifiers)]
    entries = []
    for group, name, called in groups:
        figures = [
            [found.one("rhythm_calls", group=group, name=name, rhythm=label, arm=arm, figure=f"named {label}") for arm in ARMS] for label in LABELS
        ]
        entries.append(Entry(called, marked(figures, ARMS), group))
    more = [
        row
        for group, name, _called in groups
        for label in LABELS
        for arm in (*ARMS, DIFFERENCE)
        for row in found.rows("rhythm_calls", group=group, name=name, rhythm=label, arm=arm)
        if (row["figure"] == f"named {label}") == (arm == DIFFERENCE)
    ]
    caption = (
        "Left: of strips labelled or drawn as atrial fibrillation, the share named AF; right: of sinus rhythm, the share named so, with 95 % "
        "intervals. Blue dots: real strips; orange squares: synthetic ones. The classifiers learned from real strips alone, a real strip's from "
        "other patients' (features: RR and waveform intervals). Intervals of readers take readings as independent: they are too narrow."
    )
    axes = [Axis("AF named AF, %"), Axis("NSR named NSR, %")]
    keys = {"Whose": "name", "Label": "rhythm", "Strips": "arm", "Figure": "figure"}
    return made("rhythm-calls", "Does a synthetic AF read as AF?", caption, axes, entries, keys, more)


def fooled(found: Lookup) -> Exhibit:
    """How many strips everybody took for the other arm, and nobody."""
    figures = {"Every reader wrong": "fooled every reader", "No reader wrong": "fooled no reader"}
    entries = [
        Entry(called, marked([[found.one("fooled", group="all", name="all", arm=arm, figure=figure) for arm in ARMS]], ARMS))
        for called, figure in figures.items()
    ]
    more = [row for arm in ARMS for row in found.rows("fooled", arm=arm) if row["figure"] not in figures.values()]
    known = [row for row in more if row["value"] is not None]
    chance = "; ".join(f"{row['figure'].partition(',')[0]}, {row['arm']} strips: {shown(row['value'], 'percent')}" for row in known)
    caption = (
        "Share of the strips, read by two readers or more, that every one of them took for the other arm, and that every one called right, with 95 % "
        f"intervals. Readers who err independently, each at their own rate, would come to: {chance or 'unknown'}. More than that of both: strips "
        "differ in how they fool."
    )
    keys = {"Strips": "arm", "Figure": "figure"}
    return made("fooled", "Strips that fooled everybody, and nobody", caption, [Axis("of the strips, %")], entries, keys, more)


LABELS = ("AF", "NSR")


def _not_computed(figures: list[Figure]) -> str:
    reasons = dict.fromkeys(str(row["reason"]) for row in figures if row["value"] is None and row["reason"])
    return f"No figure: {'; '.join(reasons)}." if reasons else ""
