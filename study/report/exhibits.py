"""The pictures of a study's results in their order, each with a caption in plain words and a table: for results page and report alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from generator.leads import LEADS
from study.protocol import CUES, MORPHOLOGY_ITEMS
from study.protocol import SCALE as SCALE_WORDS
from study.report import machine_exhibits
from study.report.chart import Axis, Entry, Mark, around, from_zero, roc_picture
from study.report.exhibit import Exhibit, by_group, made, marked, nothing, table_of
from study.report.facts import ARMS, DIFFERENCE, NOT_THERE, Figure, Lookup, counted, shown
from study.report.parts import Row, Table

PUBLISHED = {"TSTR": 0.80, "TRTS": 0.91}  # F1 of Hegde et al. 2025, doi 10.3233/SHTI251414
CHANCE, ALIKE = (0.5, "chance"), (0.0, "alike")
REALISM = "real or synthetic"
SQUARES = "Squares: readers together; dots: single readers."
ARMS_TOLD = "Blue dots: real strips; orange squares: synthetic ones; right: synthetic less real, with 0 for arms that are alike."
POOLED = "Intervals take readings as independent, although readers saw the same strips: they are too narrow."
NO_CONTROLS = "No control was read: whether readers looked closely cannot be seen from obvious strips."
CLASSIFIER, FOOLED = "What are the same strips worth to a classifier?", "Which strips fooled everybody, and which nobody?"
_POINTS = "difference, percentage points"


def sections(found: Lookup) -> list[tuple[str, tuple[Exhibit, ...]]]:
    """Headings with the pictures below each; the picture of the verdict, which stands above all, is `accuracy`."""
    return [
        ("How sure are they, and are they right to be?", (roc(found), areas(found), arms(found), by_rhythm(found), scale(found))),
        ("Do the hospitals differ?", (hospitals(found),)),
        ("Do readers agree?", (agreement(found), repeats(found))),
        ("What looks plausible?", (morphology(found), rhythm(found))),
        ("Does it change from round to round?", (learning(found),)),
        ("How long do they look?", (times(found),)),
        ("What gave strips away?", (cues(found), marks(found))),
        ("Were the obvious strips seen?", (controls(found),)),
        (CLASSIFIER, (utility(found),)),
        ("Do readers and machine see the same?", tuple(of(found) for of in MACHINE)),
        (FOOLED, (machine_exhibits.fooled(found),)),
    ]


MACHINE = (machine_exhibits.roc, machine_exhibits.against_machine, machine_exhibits.suspicion, machine_exhibits.rhythm_calls)


def verdict(found: Lookup) -> tuple[str, str]:
    """On all readers: one sentence, and what follows from it, which may be nothing."""
    row = found.one("verdicts", group="all", name="all")
    told = "No verdict was computed." if row is None else str(row["sentence"] or f"No verdict: {row['reason']}.")
    first, stop, more = told.partition(". ")
    return first + stop.strip(), more


def accuracy(found: Lookup) -> Exhibit:
    """Each group's balanced accuracy with the interval that its verdict rests on, against the protocol's margin."""
    margin = found.found.protocol.margin
    entries = []
    for group, name, called in found.groups():
        row = found.one("verdicts", group=group, name=name) or nothing(group, name, "accuracy for equivalence", "no verdict was computed")
        entries.append(Entry(called, ((Mark(row),),), group, row.get("outcome") or "no verdict"))
    caption = (
        f"Accuracy (of several readers the mean of sensitivity and specificity) with the 90 % interval that the verdict rests on. {SQUARES} Green: "
        f"the margin. An interval wholly within it shows equivalence to chance; one that merely crosses 50 % shows nothing. To be called better or "
        f"worse than chance, the 95 % interval must lie clear of 50 % too."
    )
    axis = Axis("accuracy, %", reference=CHANCE, band=(0.5 - margin, 0.5 + margin, f"margin: 50 % ± {100 * margin:g}"))
    return made("accuracy", "Accuracy against the margin of equivalence", caption, [axis], entries, {"Readers": "name", "Verdict": "outcome"})


# ---- telling real from synthetic ----


def roc(found: Lookup) -> Exhibit:
    """Its table holds the points of the curves: a row for each reader and step of the scale."""
    curves, everybody, title = found.found.curves, "all readings", "ROC curves"
    steps = [f"{number} {SCALE_WORDS[number - 1]}" for number in range(len(SCALE_WORDS), 0, -1)]
    columns = ("name", "called synthetic from", "of real", "of synthetic")
    rows = tuple(
        dict[str, Any](zip(columns, (name, step, real, synthetic), strict=True))
        for name, curve in curves.items()
        for step, (real, synthetic) in zip(steps, curve[1:], strict=True)
    )
    shares = [Row((row["name"], row[columns[1]], *(shown(row[of], "percent") for of in columns[2:]))) for row in rows]
    head = ("Readers", "Called synthetic from step", "Of real strips", "Of synthetic strips")
    table = Table(title, head, tuple(shares), (30, 40, 25, 25), () if rows else ("No reader gave answers to strips of both arms.",))
    if not rows:
        return Exhibit("roc", title, None, "No figure: no reader gave answers to strips of both arms.", table, rows)
    read = [found.one("realism", group="all", name="all", figure=figure) for figure in ("specificity", "sensitivity")]
    n = "" if None in read else " n = {} readings of real strips, {} of synthetic ones.".format(*(row["n"] for row in read if row))
    caption = (
        "Each line is a reader, from the strictest use of the six-point scale at the lower left to the laxest at the upper right. On the dashed line "
        "readers guess; who can tell lies above it. Bold: all readings together, for the eye alone. In a hospital's panel its own readers are black, "
        f"the others grey.{n}"
    )
    return Exhibit("roc", title, roc_picture(caption, curves, everybody, found.sites), "", table, rows)


def areas(found: Lookup) -> Exhibit:
    entries = by_group(found, lambda group, name: [[found.one("realism", group=group, name=name, figure="AUC")]])
    caption = (
        "Area under the ROC curve with its 95 % interval: how often, of a real and a synthetic strip, a reader puts the synthetic one higher on the "
        f"scale. 0.5 is guessing, 1 is always right. {SQUARES} Readers together: the mean of their areas, readers and strips random."
    )
    return made("auc", "Area under the ROC curve", caption, [Axis("AUC", unit="number", reference=CHANCE)], entries, {"Readers": "name"})


def arms(found: Lookup) -> Exhibit:
    entries = by_group(found, lambda group, name: [[found.rate(group, name, figure) for figure in ("specificity", "sensitivity")]], ARMS)
    caption = (
        "Share of real strips called real (specificity, blue dots) and of synthetic strips called synthetic (sensitivity, orange squares), with 95 % "
        "intervals. Both at 50 % is guessing; one high and the other low is a preference for one answer."
    )
    keys = {"Readers": "name", "Figure": "figure"}
    return made("arms", "Sensitivity and specificity", caption, [Axis("called right, %", reference=CHANCE)], entries, keys)


def by_rhythm(found: Lookup) -> Exhibit:
    names = {"NSR": "sinus rhythm", "AF": "atrial fibrillation"}
    entries = by_group(found, lambda group, name: [[found.rate(group, name, "balanced accuracy", rhythm=label)] for label in names])
    caption = (
        "Balanced accuracy (the mean of sensitivity and specificity) on strips of each rhythm, with 95 % intervals. Whether one rhythm is told more "
        f"easily than the other these intervals do not test. {SQUARES}"
    )
    axes = [Axis(f"{called}, % right", reference=CHANCE) for called in names.values()]
    return made("rhythms", "Balanced accuracy by rhythm", caption, axes, entries, {"Readers": "name", "Rhythm": "rhythm"})


def scale(found: Lookup) -> Exhibit:
    rows = [found.one("calibration", group="all", name="all", step=step) for step in range(1, len(SCALE_WORDS) + 1)]
    entries = [Entry(words, marked([[row]])) for words, row in zip(SCALE_WORDS, rows, strict=True)]
    caption = (
        "Of the readings of all readers that gave an answer of the scale, the share whose strip was synthetic, with 95 % intervals. It rises from "
        f"above downwards where readers can tell and know how sure to be. {POOLED}"
    )
    return made("scale", "The six-point scale against the truth", caption, [Axis("synthetic, %")], entries, {"Answer": "step"})


def hospitals(found: Lookup) -> Exhibit:
    title, entries = "Differences between hospitals", []
    rows = [row for row in found.rows("sites") if row["figure"].startswith("difference of ")]
    for pair in dict.fromkeys(row["name"] for row in rows):
        of_pair = [row for row in rows if row["name"] == pair]
        entries += [Entry(pair), *(Entry(row["figure"].removeprefix("difference of "), marked([[row]]), "part") for row in of_pair)]
    caption = (
        "How much higher a figure is at the first hospital of a pair than at the second, with 95 % intervals, readers nested in hospitals, readers "
        "and strips random. An interval that holds 0 does not show that hospitals are alike."
    )
    axes = [Axis(_POINTS + " (AUC: hundredths)", *around(0, rows), "points", ALIKE)]
    others = [row for row in found.rows("sites") if row not in rows]
    return made("hospitals", title, caption, axes, entries, {"Hospitals": "name", "Figure": "figure"}, others)


# ---- agreement ----


def agreement(found: Lookup) -> Exhibit:
    def of(group: str, name: str) -> list[list[Figure | None]]:
        figures = {"group": group, "name": name, "item": REALISM, "figure": "Gwet's AC1"}
        return [[found.one("agreement", arm=arm, **figures) for arm in ARMS], [found.one("agreement", arm=DIFFERENCE, **figures)]]

    entries = by_group(found, of, ARMS, readers=False)
    caption = (
        f"Gwet's AC1 of readers on real or synthetic, with 95 % intervals: 1 is full agreement, 0 that of readers who toss a coin. Readers who lean "
        f"to one answer agree more often without telling anything. {ARMS_TOLD} Strips that nobody can tell apart are agreed on alike."
    )
    apart = [mark.figure for entry in entries for mark in entry.marks[1]]
    axes = [Axis("AC1", -1, 1, "number", (0.0, "tossed coins")), Axis("difference of AC1", *around(0, apart), "difference", ALIKE)]
    return made("agreement", "Agreement between readers, by hospital and arm", caption, axes, entries, {"Readers": "name", "Strips": "arm"})


def repeats(found: Lookup) -> Exhibit:
    entries = by_group(found, lambda group, name: [[found.one("repeats", group=group, name=name, item=REALISM, figure="raw agreement")]])
    caption = (
        "Share of the strips shown twice that got the same answer, real or synthetic, both times, with 95 % intervals. Who tosses a coin repeats an "
        f"answer half of the time; who leans to one answer repeats it more often without seeing anything. {SQUARES}{_pooled(found)}"
    )
    axes = [Axis("answered alike, %")]
    return made("repeats", "Agreement of readers with their own repeats", caption, axes, entries, {"Readers": "name"})


# ---- arms beside each other ----


def morphology(found: Lookup) -> Exhibit:
    keys, p = {"item": "Item"}, "p of plausible alike"
    tests = [row for item in MORPHOLOGY_ITEMS if (row := found.one("morphology", group="all", name="all", arm=DIFFERENCE, item=item, figure=p))]
    caption = "Share of the readings that could judge which found an item plausible, all readers"
    return _by_arm(found, "morphology", "Morphology judged plausible, by arm", caption, "plausible", keys, MORPHOLOGY_ITEMS, "plausible, %", tests)


def rhythm(found: Lookup) -> Exhibit:
    def of(group: str, name: str) -> list[list[Figure | None]]:
        rows = {arm: found.one("rhythm", group=group, name=name, arm=arm, figure="rhythm right") for arm in (*ARMS, DIFFERENCE)}
        return [[rows[arm] for arm in ARMS], [rows[DIFFERENCE]]]

    entries = by_group(found, of, ARMS, readers=False)
    caption = f"Share of readings that named the rhythm a strip was labelled or drawn with, with 95 % intervals. {ARMS_TOLD} {POOLED}"
    axes = _arm_axes(entries, "named as labelled, %")
    return made("rhythm", "Rhythm named as labelled, by arm", caption, axes, entries, {"Readers": "name", "Strips": "arm"})


def cues(found: Lookup) -> Exhibit:
    caption = "Share of all readings that named a cue"
    return _by_arm(found, "cues", "Cues named, by arm", caption, "named", {"cue": "Cue"}, CUES, "named, %")


def marks(found: Lookup) -> Exhibit:
    there = [row for arm in ARMS for row in found.rows("marks", group="all", name="all", arm=arm, figure="marked")]
    leads = [lead for lead in LEADS if any(row["value"] for row in there if row["lead"] == lead)]
    if there and not leads:
        title = "Where cues were marked, by lead and arm"
        return Exhibit(
            "marks", title, None, "No reader marked where a cue is.", table_of(title, {"Lead": "lead", "Strips": "arm"}, there), tuple(there)
        )
    caption = "Share of all readings in which a region of a lead was marked as the cue; leads without a mark are left out"
    return _by_arm(found, "marks", "Where cues were marked, by lead and arm", caption, "marked", {"lead": "Lead"}, leads, "marked, %")


def _by_arm(
    found: Lookup,
    name: str,
    title: str,
    caption: str,
    figure: str,
    key: dict[str, str],
    items: Sequence[str],
    called: str,
    more: Sequence[Figure] = (),
) -> Exhibit:
    """An item a row: real and synthetic on the left, their difference on the right."""
    [(column, head)] = key.items()

    def of(item: str, arm: str) -> Figure | None:
        return found.one(name, group="all", name="all", arm=arm, figure=figure, **{column: item})

    entries = [Entry(item, marked([[of(item, arm) for arm in ARMS], [of(item, DIFFERENCE)]], ARMS)) for item in items]
    caption = f"{caption}, with 95 % intervals. {ARMS_TOLD} {POOLED}"
    keys = {head: column, "Strips": "arm"} | ({"Figure": "figure"} if more else {})
    return made(name, title, caption, _arm_axes(entries, called), entries, keys, more)


def _pooled(found: Lookup) -> str:
    return f" {POOLED}" if len(found.found.readers) > 1 else ""


def _arm_axes(entries: Sequence[Entry], called: str) -> list[Axis]:
    """Shares from 0, on a shorter axis where all are small."""
    own, apart = ([mark.figure for entry in entries for mark in entry.marks[number]] for number in (0, 1))
    return [Axis(called, 0, min(1.0, from_zero(own))), Axis(_POINTS, *around(0, apart), "points", ALIKE)]


# ---- rounds, time, controls, classifiers ----


def learning(found: Lookup) -> Exhibit:
    there = found.found.learning
    numbers = sorted({str(number) for number in there["round"] if " - " not in str(number)}, key=int)
    entries: list[Entry] = []
    more: list[Figure] = []
    for group, name, called in found.groups():
        own = [found.one("learning", group=group, name=name, round=number, figure="accuracy") for number in numbers]
        apart = [found.one("learning", group=group, name=name, round=f"{number} - {numbers[0]}", figure="accuracy") for number in numbers[1:]]
        if group == "reader":
            more += [row for row in (*own, *apart) if row]
            continue
        both = [Entry(f"Round {numbers[0]}", marked([own[:1], []]), "part")] if numbers else []
        both += [Entry(f"Round {number}", marked([[row], [less]]), "part") for number, row, less in zip(numbers[1:], own[1:], apart, strict=True)]
        entries += [Entry(called), *both]
    title, keys = "Accuracy round by round", {"Readers": "name", "Round": "round"}
    if len(numbers) < 2:
        told = f"{counted(len(numbers), 'round')} had scored readings: nothing can be said about learning over rounds."
        rows = [mark.figure for entry in entries for marks in entry.marks for mark in marks] + more
        return Exhibit("learning", title, None, told, table_of(title, keys, rows), tuple(rows))
    caption = (
        "Left: share of all readings of a round that were right, with 95 % intervals; 50 % is guessing where both arms have as many strips. Right: "
        f"how much higher it was than in the first round. Each round has other strips: what changes may be the strips, not the readers."
        f"{_pooled(found)}"
    )
    differences = [mark.figure for entry in entries for marks in entry.marks[1:] for mark in marks]
    axes = [Axis("accuracy, %", reference=CHANCE), Axis(_POINTS, *around(0, differences), "points", (0.0, "as at first"))]
    return made("learning", title, caption, axes, entries, keys, more)


def times(found: Lookup) -> Exhibit:
    all_time, in_view = "median reading time", "median reading time without time away"
    entries = by_group(found, lambda group, name: [[found.one("times", group=group, name=name, figure=all_time, arm=arm) for arm in ARMS]], ARMS)
    away = [
        row
        for group, name, _called in found.groups()
        for row in (found.one("times", group=group, name=name, figure=in_view, arm=arm) for arm in ARMS)
        if row
    ]
    known = any(row["value"] is not None for row in away)
    caption = (
        "Median seconds from showing a strip to storing its answer, interruptions included, with 95 % intervals. Blue dots: real strips; orange "
        "squares: synthetic ones. Without the time away from the page: "
        + ("in the table." if known else f"unknown, because {away[0]['reason'] if away else NOT_THERE}.")
        + _pooled(found)
    )
    axes = [Axis("seconds", 0, from_zero([mark.figure for entry in entries for marks in entry.marks for mark in marks]), "seconds")]
    return made(
        "times", "Reading time by arm", caption, axes, entries, {"Readers": "name", "Strips": "arm", "Figure": "figure"}, away if known else ()
    )


def controls(found: Lookup) -> Exhibit:
    kinds = {"recorded": "real", "mechanical": "synthetic"}

    def of(group: str, name: str) -> list[list[Figure | None]]:
        return [[found.one("controls", group=group, name=name, kind=kind, figure="controls called right") for kind in kinds]]

    entries = by_group(found, of, tuple(kinds.values()))
    caption = (
        "Share of controls called right, with 95 % intervals: obviously recorded strips (blue dots) and obviously mechanical ones (orange squares). "
        f"They are in no other figure. Who misses one did not look closely or did not understand the scale.{_pooled(found)}"
    )
    keys = {"Readers": "name", "Control": "kind"}
    return made("controls", "Obvious strips called right", caption, [Axis("called right, %")], entries, keys, instead=NO_CONTROLS)


def utility(found: Lookup) -> Exhibit:
    entries: list[Entry] = []
    rows = [row for row in found.rows("utility") if row["figure"] in ("ratio of macro F1", "macro F1")]
    for experiment, meaning in dict.fromkeys((row["experiment"], row["meaning"]) for row in rows):
        of_it = [row for row in rows if row["experiment"] == experiment]
        entries += [Entry(f"{experiment}: {meaning}"), *(Entry(row["classifier"] or "no classifier", marked([[row]]), "part") for row in of_it)]
    published = " and ".join(f"{value:.2f} ({name})" for name, value in PUBLISHED.items())
    caption = (
        "Macro F1 (the mean of both rhythms' F1) of classifiers of sinus rhythm and atrial fibrillation, with 95 % intervals by bootstrap over test "
        "patients. TRTR is the ceiling: the headline, TSTR / TRTR, says what share of it classifiers reach that learned from synthetic strips. "
        f"Features: RR and waveform intervals. The published study reports F1 {published} with other recordings, features and classifiers: a "
        "reference, not a comparison."
    )
    more = [row for row in found.rows("utility") if row not in rows]
    keys = {"Experiment": "experiment", "Classifier": "classifier", "Figure": "figure"}
    highest = max((row[end] for row in rows for end in ("value", "high") if row[end] is not None), default=1.0)
    end = next((end for end in (1.0, 1.2) if highest <= end), from_zero(rows))
    axis = Axis("macro F1; of the headline: their ratio", 0, end, "number", (1.0, ""))
    return made("utility", "Classifier utility", caption, [axis], entries, keys, more)
