"""What the Utility page shows of a stored result: the figures of macro F1, the table of every figure, reliability. Plain data; pages draw it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.report.chart import COLOURS, INK, QUIET, RULE, Axis, Entry, fitting
from study.report.exhibit import Exhibit, made, marked
from study.report.exhibit import unit as unit_of
from study.report.facts import Cells, Figure, shown
from study.report.parts import Box, Dot, Line, Picture, Row, Shape, Table, Word
from study.worth import EXPERIMENTS, PUBLISHED, PUBLISHED_F1

_FIGURES = {  # column: (key of generator.utility, its unit)
    "macro F1": ("macro_f1", "score"),
    "F1 AF": ("f1", "score"),
    "F1 NSR": ("f1", "score"),
    "AUROC": ("auroc", "score"),
    "average precision": ("average_precision", "score"),
    "balanced accuracy": ("balanced_accuracy", "score"),
    "Brier score": ("brier", "probability"),
}
_DRAWN = {"TRTR": ("real", 2.8, 1.4), "TSTR": ("synthetic", 1.9, 1.1)}  # in reliability: series, size of marks and of small ones
_FEW = 5  # strips of a tenth, whose share is little more than chance

Result = Mapping[str, Any]


def rows(result: Result, *experiments: str) -> list[Figure]:
    """A row a figure, as in study.result_tables, of these experiments (none named: all)."""
    found = []
    for experiment in experiments or EXPERIMENTS:
        for classifier, one in result[experiment].items():
            method = f"{one['method']}, bootstrap over test patients and {result['seeds']} trainings, 95 %"
            keys = {"experiment": experiment, "meaning": EXPERIMENTS[experiment], "classifier": classifier}
            for name, (key, unit) in _FIGURES.items():
                value, interval = one[key], one["ci" if key == "macro_f1" else f"{key}_ci"]
                if key == "f1":
                    rhythm = name.removeprefix("F1 ")
                    value, interval = value[rhythm], interval and interval[rhythm]
                low, high = interval or (None, None)
                told = {"figure": name, "value": value, "low": low, "high": high, "unit": unit, "n": sum(one["n"]["test"].values())}
                found.append({**keys, **told, "counted": "strips tested", "method": method, "reason": one["reason"]})
    return found


def tested_on_recordings(result: Result) -> Exhibit:
    caption = (
        "Macro F1 (the mean of both rhythms' F1) on the held-out recordings, with 95 % intervals by bootstrap over their patients and over "
        "trainings. TRTR is the ceiling: the nearer TSTR comes to it, the more the synthetic strips are worth."
    )
    return _macro_f1(result, "tested-on-recordings", "Tested on recordings", caption, ("TRTR", "TSTR", "TRSTR"), "TSTR")


def tested_on_strips(result: Result) -> Exhibit:
    caption = (
        "Macro F1 on synthetic strips, each a patient of its own. TRTS: do they look to a classifier like what they were drawn as? "
        "TSTS: are they easy to tell apart among themselves?"
    )
    return _macro_f1(result, "tested-on-strips", "Tested on synthetic strips", caption, ("TRTS", "TSTS"), "TRTS")


def _macro_f1(result: Result, name: str, title: str, caption: str, experiments: tuple[str, ...], published: str) -> Exhibit:
    of_it = rows(result, *experiments)
    entries: list[Entry] = []
    for experiment in experiments:
        drawn = [row for row in of_it if row["experiment"] == experiment and row["figure"] == "macro F1"]
        entries += [Entry(f"{experiment}: {EXPERIMENTS[experiment]}"), *(Entry(row["classifier"], marked([[row]]), "part") for row in drawn)]
    value = PUBLISHED_F1[published]
    caption += f" Dashed: the published {published}, one F1 of {value:.2f}, with other recordings and classifiers; a reference, not a comparison."
    axis = Axis("macro F1", unit="number", reference=(value, f"published {published}: F1 {value:.2f}"))
    keys = {"Experiment": "experiment", "Classifier": "classifier", "Figure": "figure"}
    return made(name, title, caption, [axis], entries, keys, [row for row in of_it if row["figure"] != "macro F1"])


def published_differs() -> str:
    """What the dashed lines are, and what stands between them and these figures."""
    values = " and ".join(f"{value:.2f} ({name})" for name, value in PUBLISHED_F1.items())
    return f"Dashed, for reference: F1 {values} of {PUBLISHED['source']}. What differs there: {'; '.join(PUBLISHED['differs'])}."


def every_figure(result: Result) -> Table:
    """A row an experiment and classifier."""
    cells = Cells()
    lines = []
    of_it = rows(result)
    for experiment in EXPERIMENTS:
        for classifier, one in result[experiment].items():
            own = {row["figure"]: row for row in of_it if (row["experiment"], row["classifier"]) == (experiment, classifier)}
            told = [cells.cell(own[name], unit_of(own[name])).replace(" (", "\n(") for name in _FIGURES]
            if one["ci"] and one["reason"]:  # an interval that needs a word
                told[0] += f" [{cells.letter(one['reason'])}]"
            share = one["prevalence"]["test"]
            each = "–" if one["macro_f1_by_seed"] is None else ", ".join(shown(value, "number") for value in one["macro_f1_by_seed"])
            lines.append(Row((experiment, classifier, *told, "–" if share is None else shown(share, "percent"), each)))
    head = ("Experiment", "Classifier", *(name[0].upper() + name[1:] for name in _FIGURES), "AF among strips tested", "Macro F1 of each training")
    return Table("Every figure", head, tuple(lines), (9, 9, *(10,) * len(_FIGURES), 8, 9), cells.notes)


def headline(result: Result) -> list[tuple[str, str, str]]:
    """(classifier, TSTR / TRTR, interval or why there is none) each."""
    told = []
    for classifier, one in result["headline"].items():
        value = "–" if one["value"] is None else shown(one["value"], "number")
        ends = f"95 %: {one['ci'][0]:.2f} to {one['ci'][1]:.2f}" if one["ci"] else ""
        told.append((classifier, value, "; ".join(filter(None, (ends, one["reason"])))))
    return told


# ---- reliability ----


def reliability(result: Result) -> Exhibit:
    """For each tenth of P(AF): what was said, and how often AF was there. Of the first training."""
    found: list[Figure] = []
    for experiment in EXPERIMENTS:
        for classifier, one in result[experiment].items():
            for row in one["reliability"] or ():
                found.append({"experiment": experiment, "classifier": classifier, **row})
    title = "Reliability of P(AF)"
    classifiers = list(result["TRTR"])
    drawn = [row for row in found if row["experiment"] in _DRAWN]
    lines = []
    for row in found:
        numbers = (f"{row['from']:.1f} to {row['to']:.1f}", f"{row['predicted']:.2f}", f"{row['observed']:.2f}", str(row["n"]))
        lines.append(Row((row["experiment"], row["classifier"], *numbers)))
    head = ("Experiment", "Classifier", "P(AF)", "Mean P(AF)", "AF was there", "n (strips tested)")
    table = Table(title, head, tuple(lines), (18, 22, 15, 15, 15, 15))
    if not drawn:
        reasons = "; ".join(dict.fromkeys(one["reason"] for name in _DRAWN for one in result[name].values() if one["reason"]))
        return Exhibit("reliability", title, None, f"No figure: {reasons}.", table, tuple(found))
    caption = (
        "How often AF was there (up) among held-out recordings of which a classifier said so with a probability (across), in tenths of it, either "
        "rhythm weighing half, as in training. Blue dots: trained on recordings (TRTR); orange squares: on synthetic strips (TSTR). On the dashed "
        f"line a probability means what it says; below it AF is called too surely. Small marks: fewer than {_FEW} strips. First training of each."
    )
    said = (f"{row['experiment']}, {row['classifier']}: said {row['predicted']:.2f}, was {row['observed']:.2f}, n {row['n']}" for row in drawn)
    side, step = 46.0, 60.0
    shapes = [shape for i, classifier in enumerate(classifiers) for shape in _panel(classifier, drawn, (10 + i * step, 6, side))]
    return Exhibit("reliability", title, Picture(caption, "; ".join(said), 180.0, side + 18, tuple(shapes)), "", table, tuple(found))


def _panel(classifier: str, drawn: list[Figure], place: tuple[float, float, float]) -> list[Shape]:
    x, y, side = place
    foot = y + side
    shapes: list[Shape] = [Box(x, y, side, side, "#ffffff", RULE), Line(x, foot, x + side, y, QUIET, 0.25, dashed=True)]
    shapes.append(Word(x, y - 2, fitting(classifier.capitalize(), side, True), 3.0, bold=True, colour=INK))
    for share in (0, 0.5, 1):
        at = x + share * side, foot - share * side
        shapes += [Word(at[0], foot + 4, f"{share:g}", 2.6, "middle"), Word(x - 1.5, at[1] + 0.9, f"{share:g}", 2.6, "end")]
    shapes.append(Word(x + side / 2, foot + 8, "across: P(AF); up: AF was there", 2.6, "middle", colour=QUIET))
    for experiment, (series, large, small) in _DRAWN.items():
        for row in drawn:
            if (row["experiment"], row["classifier"]) == (experiment, classifier):
                at = x + row["predicted"] * side, foot - row["observed"] * side
                shapes.append(Dot(*at, small if row["n"] < _FEW else large, COLOURS[series], square=series == "synthetic"))
    return shapes
