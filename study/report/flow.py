"""What became of every strip and every reading: the flow that STARD asks for, and answers against the truth."""

from __future__ import annotations

from collections import Counter
from typing import Any

from study.judgements import FIRST_SYNTHETIC
from study.protocol import SCALE, phases
from study.report.chart import Stage, flow_picture
from study.report.facts import ARMS, SIMULATOR, Facts, counted
from study.report.methods import RECORDED, recorded, shown_strips
from study.report.parts import Paragraph, Row, Section, Table


def flow(facts: Facts) -> Section:
    stages, left = _stages(facts), _left(facts)
    caption = "Flow of strips and readings. Repeats and controls are read beside this flow and are in no figure but their own."
    heads = ("Real strips", "Synthetic strips")
    rows = tuple(Row((what, str(number), why)) for what, number, why in left)
    gone = Table("What is in no scored figure", ("What", "Number", "Why"), rows, (34, 12, 54))
    return Section("Flow of strips and readings", (flow_picture(caption, heads, stages), gone))


def _stages(facts: Facts) -> list[Stage]:
    drawn = [row for row in facts.origin.drawings if row.checkpoint != SIMULATOR]
    scored = {arm: {case.id for case in facts.data.cases if case.role == "scored" and facts.data.arms[case.strip_id].arm == arm} for arm in ARMS}
    last = phases(facts.data.study.protocol["question_order"])
    given = {arm: sum(row.case_id in ids and row.phase == last for row in facts.data.placements) for arm, ids in scored.items()}
    read = {arm: int((facts.scored["arm"] == arm).sum()) for arm in ARMS}
    called = {arm: int(facts.scored.loc[facts.scored["arm"] == arm, "called_synthetic"].astype(bool).sum()) for arm in ARMS}
    rejected = _rejected(facts)
    chosen = {case.strip_id for case in facts.data.cases if case.role == "scored"} & shown_strips(facts, "real")
    source = f"{len(chosen)} {'recordings' if recorded(facts) == RECORDED else 'simulated stand-ins'} chosen"
    unread = tuple(f"not read: {given[arm] - read[arm]}" if given[arm] > read[arm] else "" for arm in ARMS)
    calls = (f"called real: {read['real'] - called['real']}; synthetic: {called['real']}", _synthetic_calls(read, called))
    return [
        Stage((source, f"{len(drawn) + rejected} samples drawn"), ("", f"rejected by quality control: {rejected}" if rejected else "")),
        Stage((f"{len(scored['real'])} scored cases", f"{len(scored['synthetic'])} scored cases")),
        Stage((counted(given["real"], "reading") + " asked for", counted(given["synthetic"], "reading") + " asked for"), (unread[0], unread[1])),
        Stage((counted(read["real"], "reading") + " scored", counted(read["synthetic"], "reading") + " scored")),
        Stage(calls),
    ]


def _synthetic_calls(read: dict[str, int], called: dict[str, int]) -> str:
    return f"called synthetic: {called['synthetic']}; real: {read['synthetic'] - called['synthetic']}"


def _rejected(facts: Facts) -> int:
    """By the rounds' own records; where they are silent, by the rejections of the same batches."""
    records = [of for opened in facts.data.rounds for of in opened.plan.get("drawn", {}).values()]
    return sum(of["rejected"] for of in records) if records else len(facts.origin.rejections)


def _left(facts: Facts) -> list[tuple[str, int, str]]:
    roles = Counter(facts.latest["role"])
    revised = int((facts.table["revision"] > 1).sum())
    rows: list[tuple[str, int, str]] = [
        ("readings of repeats", roles["repeat"], "agreement of readers with themselves alone"),
        ("readings of controls", roles["control"], "reported apart: obvious strips, to see who looked"),
        ("earlier revisions of answers", revised, "corrected by their readers before signing; the last one counts"),
    ]
    if facts.origin.practice is not None:
        rows.append(("cases of practice", facts.origin.practice.cases, "answers were told; no answer to them is analysed"))
    reasons = Counter(row.reason for row in facts.origin.rejections)
    rows += [("rejected sample" if number == 1 else "rejected samples", number, reason) for reason, number in reasons.most_common()]
    rows += [(f"judgements of round {number} not made", missing, why) for number, missing, why in _unread(facts) if missing]
    return rows


def _unread(facts: Facts) -> list[tuple[int, int, str]]:
    """Round, judgements that were asked for and not made, why."""
    reasons = {row.round_id: f"the round was closed by hand; reason given: {row.reason}" for row in facts.data.closings}
    given = Counter(row.round_id for row in facts.data.placements)
    made = Counter(row.round_id for row in facts.data.judgements if row.revision == 1)
    return [(one.number, given[one.id] - made[one.id], reasons.get(one.id, "the study was ended early")) for one in facts.data.rounds]


def crossed(facts: Facts) -> Table:
    """STARD 23: answers of the six-point scale by truth."""
    rows = []
    for group, name, called in facts.groups(readers=False):
        part = facts.scored if group == "all" else facts.scored[facts.scored["site"] == name]
        for arm in ARMS:
            answers: Counter[Any] = Counter(part.loc[part["arm"] == arm, "realism"])
            numbers = [answers[answer] for answer in range(1, len(SCALE) + 1)]
            calls = f"{sum(numbers[: FIRST_SYNTHETIC - 1])} : {sum(numbers[FIRST_SYNTHETIC - 1 :])}"
            rows.append(Row((called, arm, *map(str, numbers), calls), group == "all"))
    head = ("Readers", "Truth", *(f"{number} {words}" for number, words in enumerate(SCALE, start=1)), "called real : synthetic")
    return Table("Answers against the truth, scored readings", head, tuple(rows), (26, 11, *(9,) * len(SCALE), 15))


def empty(facts: Facts) -> tuple[Paragraph, ...]:
    """Said first where nothing was scored."""
    return () if len(facts.scored) else (Paragraph("No scored reading is there: every figure is undefined.", kind="note"),)
