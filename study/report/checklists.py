"""The items of GRRAS (Kottner et al. 2011) and STARD 2015 (Bossuyt et al.), each with where it is answered, or the answer from the database.

The reading is the index test; the record of a strip's origin is the reference standard. What blindstrip cannot know is said to be missing.
"""

from __future__ import annotations

from typing import NamedTuple

from study.report import methods
from study.report.facts import Facts, counted, day, listed, scale_in_words
from study.report.parts import Paragraph, Row, Section, Table

NOT_RECORDED = "Not recorded by blindstrip: state it in the paper."
_HEAD, _WIDTHS = ("Item", "Asks for", "Answer"), (7, 38, 63)


class Item(NamedTuple):
    number: str
    topic: str
    asks: str


GRRAS = (
    Item("1", "Title and abstract", "Say in title or abstract that interrater or intrarater reliability or agreement was investigated"),
    Item("2", "Introduction", "Name and describe the diagnostic or measurement device"),
    Item("3", "Introduction", "Specify the subject population"),
    Item("4", "Introduction", "Specify the rater population"),
    Item("5", "Introduction", "What is already known about reliability and agreement; rationale of the study"),
    Item("6", "Methods", "How the sample size was chosen; the numbers of raters, subjects and replicate observations"),
    Item("7", "Methods", "The sampling method"),
    Item("8", "Methods", "The rating process: time between repeated measurements, clinical information available, blinding"),
    Item("9", "Methods", "Whether ratings were made independently"),
    Item("10", "Methods", "The statistical analysis"),
    Item("11", "Results", "The actual numbers of raters, subjects and replicate observations"),
    Item("12", "Results", "Characteristics of raters and subjects, such as training and experience"),
    Item("13", "Results", "Estimates of reliability and agreement with their statistical uncertainty"),
    Item("14", "Discussion", "The practical relevance of the results"),
    Item("15", "Auxiliary material", "Detailed results, if possible (such as online)"),
)

STARD = (
    Item("1", "Title or abstract", "Identification as a study of diagnostic accuracy by at least one measure of accuracy"),
    Item("2", "Abstract", "Structured summary of design, methods, results and conclusions"),
    Item("3", "Introduction", "Scientific and clinical background, with intended use and clinical role of the index test"),
    Item("4", "Introduction", "Objectives and hypotheses"),
    Item(
        "5",
        "Methods: study design",
        "Whether data collection was planned before index test and reference standard (prospective) or after (retrospective)",
    ),
    Item("6", "Methods: participants", "Eligibility criteria"),
    Item("7", "Methods: participants", "On what basis eligible participants were identified"),
    Item("8", "Methods: participants", "Where and when eligible participants were identified"),
    Item("9", "Methods: participants", "Whether participants formed a consecutive, random or convenience series"),
    Item("10a", "Methods: test methods", "The index test, in sufficient detail to allow replication"),
    Item("10b", "Methods: test methods", "The reference standard, in sufficient detail to allow replication"),
    Item("11", "Methods: test methods", "Rationale for the reference standard, if alternatives exist"),
    Item("12a", "Methods: test methods", "Cut-offs or categories of the index test, pre-specified or exploratory"),
    Item("12b", "Methods: test methods", "Cut-offs or categories of the reference standard, pre-specified or exploratory"),
    Item("13a", "Methods: test methods", "Whether clinical information and the reference standard were available to readers of the index test"),
    Item("13b", "Methods: test methods", "Whether clinical information and index test results were available to assessors of the reference standard"),
    Item("14", "Methods: analysis", "Methods for estimating or comparing measures of diagnostic accuracy"),
    Item("15", "Methods: analysis", "How indeterminate results of index test or reference standard were handled"),
    Item("16", "Methods: analysis", "How missing data on index test and reference standard were handled"),
    Item("17", "Methods: analysis", "Analyses of variability in accuracy, pre-specified or exploratory"),
    Item("18", "Methods: analysis", "Intended sample size and how it was determined"),
    Item("19", "Results: participants", "Flow of participants, by a diagram"),
    Item("20", "Results: participants", "Baseline demographic and clinical characteristics of participants"),
    Item("21a", "Results: participants", "Distribution of severity of disease in those with the target condition"),
    Item("21b", "Results: participants", "Distribution of alternative diagnoses in those without the target condition"),
    Item("22", "Results: participants", "Time interval and interventions between index test and reference standard"),
    Item("23", "Results: test results", "Cross tabulation of index test results by those of the reference standard"),
    Item("24", "Results: test results", "Estimates of diagnostic accuracy and their precision"),
    Item("25", "Results: test results", "Adverse events from index test or reference standard"),
    Item("26", "Discussion", "Limitations: sources of bias, statistical uncertainty, generalisability"),
    Item("27", "Discussion", "Implications for practice, with intended use and clinical role of the index test"),
    Item("28", "Other information", "Registration number and name of registry"),
    Item("29", "Other information", "Where the full study protocol can be accessed"),
    Item("30", "Other information", "Sources of funding and other support; role of funders"),
)


def sections(facts: Facts) -> tuple[Section, ...]:
    grras, stard = grras_answers(facts), stard_answers(facts)
    return (
        Section(
            "GRRAS: guidelines for reporting reliability and agreement studies",
            (
                Paragraph("Kottner et al. 2011, J Clin Epidemiol 64:96-106; items shortened. Subjects are strips, raters are readers.", kind="note"),
                Table("The 15 items", _HEAD, _rows(GRRAS, grras), _WIDTHS),
            ),
        ),
        Section(
            "STARD 2015: standards for reporting diagnostic accuracy studies",
            (
                Paragraph(
                    "Bossuyt et al. 2015, BMJ 351:h5527 (CC BY); items shortened. Participants are strips, the index test is a reader's "
                    "judgement, the target condition is being synthetic, the reference standard is the record of a strip's origin.",
                    kind="note",
                ),
                Table("The 30 items", _HEAD, _rows(STARD, stard), _WIDTHS),
            ),
        ),
    )


def _rows(items: tuple[Item, ...], answers: dict[str, str]) -> tuple[Row, ...]:
    return tuple(Row((item.number, f"{item.topic}: {item.asks}", answers[item.number])) for item in items)


# ---- answers ----


def grras_answers(facts: Facts) -> dict[str, str]:
    return {
        "1": f"The title of this study is {facts.found.title!r}. The title of the paper: {_small(NOT_RECORDED)}",
        "2": f"See Methods, Questions: a reader's answers, {scale_in_words()}; rhythm; morphology; and Methods, Display.",
        "3": f"See Methods, Strips, and the table of scored strips. {_collections(facts)} How the collection was gathered: see its own description.",
        "4": f"{_raters(facts)} Which readers they stand for is not recorded by blindstrip: state it in the paper.",
        "5": NOT_RECORDED,
        "6": f"{_numbers(facts)} How these numbers were chosen is not recorded by blindstrip: state it in the paper.",
        "7": f"{_sampling(facts)} How readers were chosen is not recorded by blindstrip: state it in the paper.",
        "8": f"{methods.between_repeats(facts)} No clinical information was shown. See Methods, Blinding and order.",
        "9": "Independently: each reader had an order of their own and could not see other readers' answers.",
        "10": "See Methods, Analysis, and the table of formulas.",
        "11": _numbers(facts),
        "12": f"{_raters(facts)} Subjects: see the table of scored strips. Readers' training and experience: {_small(NOT_RECORDED)}",
        "13": "See Agreement, with intervals; where an estimate is undefined, its reason stands below the table.",
        "14": NOT_RECORDED,
        "15": "The export bundle of this study: every judgement, case, order and seed, all tables of results, the strips, and scripts that "
        "recompute the main table.",
    }


def stard_answers(facts: Facts) -> dict[str, str]:
    frozen = facts.data.study.frozen_at
    when = f"; the protocol froze with the first judgement on {day(frozen)}" if frozen else ""
    opened = listed([day(one.opened_at) for one in facts.data.rounds])
    return {
        "1": f"Measures of accuracy: accuracy, sensitivity, specificity and AUC. Title and abstract of the paper: {_small(NOT_RECORDED)}",
        "2": f"The verdict stands first in this report. The abstract: {_small(NOT_RECORDED)}",
        "3": NOT_RECORDED,
        "4": "Whether readers tell synthetic strips from real ones: equivalence of accuracy to chance within the margin of "
        f"{100 * facts.found.protocol.margin:g} percentage points, set in the protocol. Further objectives: {_small(NOT_RECORDED)}",
        "5": f"Readings were planned before they were made (set up on {day(facts.data.study.created_at)}{when}); recordings were made earlier, "
        "for other purposes.",
        "6": "Recordings: 12 leads or the eight that determine them, at least 10 s, labelled NSR or AF, neither flat nor "
        "clipped (canonical form). Synthetic strips: see Methods, Synthetic strips (quality control). Readers: " + _small(NOT_RECORDED),
        "7": f"By the rhythm label of the collection, NSR or AF. {_collections(facts)}",
        "8": f"Rounds were opened on {opened}. Readers: {listed(list(facts.sites))}. Where and when recordings were made: see the collection's "
        "description.",
        "9": f"A random series. {_sampling(facts)}",
        "10a": "See Methods, Questions and Display.",
        "10b": "The stored record of each strip's origin, written when it was imported or drawn and kept apart from the strip: drawings.csv and "
        "recordings.csv of the bundle.",
        "11": "No alternative: a strip was recorded from a patient or drawn by the generator.",
        "12a": "Answers 4 to 6 of the six-point scale call a strip synthetic: fixed in the software before any reading. The AUC uses all six.",
        "12b": "Real or synthetic, known for every strip: fixed before any reading.",
        "13a": "Neither: readers saw the strip and a random code. See Methods, Blinding and order.",
        "13b": "Does not apply: the reference standard was recorded before any reading, by the program.",
        "14": "See Methods, Analysis, and the table of formulas.",
        "15": "The six-point scale has no undecided answer. Cannot judge (morphology) counts in no share of plausible and is reported as a share "
        "of its own.",
        "16": f"{_missing(facts)} Unread cases are left out of every figure, not imputed. The reference standard has no missing value.",
        "17": "By reader, hospital, rhythm and arm: laid down in the software before any reading. Other analyses: " + _small(NOT_RECORDED),
        "18": f"{_numbers(facts)} How the size was determined: {_small(NOT_RECORDED)}",
        "19": "See the picture under Flow of strips and readings.",
        "20": "See the table of scored strips: age and sex as the collection gives them.",
        "21a": "Does not apply: being synthetic has no severity. Rhythms: see the table of scored strips.",
        "21b": "Does not apply. Rhythms of the real strips: see the table of scored strips.",
        "22": "Does not apply: the origin of a strip does not change with time.",
        "23": "See Can readers tell?, Answers against the truth.",
        "24": "See Can readers tell?, the main table.",
        "25": "None are possible: strips were read, nobody was examined.",
        "26": "What the database shows of them stands under What was left out, and what the figures rest on. The others: " + _small(NOT_RECORDED),
        "27": NOT_RECORDED,
        "28": NOT_RECORDED,
        "29": f"protocol.json of the export bundle, hash {facts.found.protocol_hash}. Where the bundle is published: {_small(NOT_RECORDED)}",
        "30": NOT_RECORDED,
    }


def _small(words: str) -> str:
    return words[0].lower() + words[1:]


def _raters(facts: Facts) -> str:
    return f"{counted(len(facts.data.readers), 'reader')}: {listed([f'{len(codes)} at {site}' for site, codes in facts.sites.items()])}."


def _numbers(facts: Facts) -> str:
    scored = {case.strip_id for case in facts.data.cases if case.role == "scored"}
    repeats = int((facts.latest["role"] == "repeat").sum())
    return (
        f"{counted(len(facts.data.readers), 'reader')}, {counted(len(scored), 'scored strip')}, {counted(len(facts.scored), 'scored reading')}, "
        f"{counted(repeats, 'replicate reading')}."
    )


def _sampling(facts: Facts) -> str:
    seeds = listed([str(one.plan.get("seed", "not kept")) for one in facts.data.rounds])
    return f"Recordings at random among those of the wanted rhythm that the study had not shown, one a patient; seeds of the rounds {seeds}."


def _collections(facts: Facts) -> str:
    names = sorted({row.collection for row in facts.origin.recordings})
    return f"Collections: {listed(names)}." if names else "No recording was shown."


def _missing(facts: Facts) -> str:
    early = [note for note in facts.found.notes if "ended early" in note]
    return early[0] if early else "Every case given to a reader was read."
