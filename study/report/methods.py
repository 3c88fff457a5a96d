"""How the study was done, in paragraphs that a methods section can take over, written from the protocol and the rounds' records."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from generator.strip import BAND_HZ, MICROVOLTS_PER_COUNT, RATE, SECONDS
from study.leak_gate import REFUSED_BY_THE_GATE
from study.licences import LICENCES
from study.protocol import MORPHOLOGY_ITEMS, PURPOSE_BLIND, QUALITY_ANSWERS, REALISM_FIRST
from study.report.facts import ARMS, SIMULATOR, Facts, counted, day, listed, minute, scale_in_words, shown
from study.report.parts import Paragraph, Part, Row, Section, Table

RECORDED = "recorded from patients"


def methods(facts: Facts) -> Section:
    paragraphs = (
        ("Design.", _design(facts)),
        ("Readers.", _readers(facts)),
        ("Strips.", _strips(facts)),
        ("Synthetic strips.", _synthetic(facts)),
        ("Leak gate.", leak_gate(facts)),
        ("Blinding and order.", _blinding(facts)),
        ("Questions.", questions(facts)),
        ("Display.", display(facts)),
        ("Rounds, repeats and wash-out.", _rounds(facts)),
        ("Analysis.", analysis(facts)),
        ("Software.", software(facts)),
    )
    tables: tuple[Part, ...] = (rounds_table(facts), strips_table(facts))
    return Section("Methods", (*(Paragraph(text, lead) for lead, text in paragraphs if text), *tables))


# ---- paragraphs ----


def _design(facts: Facts) -> str:
    rotated = any("rotation" in opened.plan.get("achieved", {}) for opened in facts.data.rounds)
    crossed = (
        "Anchor cases were read by every reader, the others by some, dealt out so that a case's readers came from different hospitals"
        if rotated
        else "Every reader was given the same cases (crossed design)"
    )
    made = f"The study was set up on {day(facts.data.study.created_at)}"
    if facts.data.study.frozen_at:
        made += f"; its protocol froze with the first judgement on {day(facts.data.study.frozen_at)}"
    return (
        f"Blind, multi-reader, multi-case study of {counted(len(facts.data.readers), 'reader')} at {counted(len(facts.sites), 'hospital')} in "
        f"{counted(len(facts.data.rounds), 'round')}. Readers judged 12-lead ECG strips of {SECONDS} s, of which some were {recorded(facts)} "
        f"(real) and some drawn by a generator (synthetic). {crossed}. {made} and was unblinded on {day(facts.found.unblinded_at)}."
    )


def recorded(facts: Facts) -> str:
    """What the real arm is; a demo's is no recording."""
    stand_ins = any(arm.stand_in for arm in facts.data.arms.values())
    return "simulated in recordings' place" if stand_ins else RECORDED


def _readers(facts: Facts) -> str:
    at = listed([f"{site} ({len(codes)})" for site, codes in facts.sites.items()])
    return f"{at}. Readers are named by code. Their training and experience are not recorded by blindstrip: state them in the paper."


def _strips(facts: Facts) -> str:
    came_from = Counter(row.collection for row in facts.origin.recordings if row.strip_id in shown_strips(facts, "real"))
    origin = listed([f"{number} from {LICENCES[name].words if name in LICENCES else name}" for name, number in came_from.items()])
    return (
        f"Every strip, real or synthetic, passed through the same canonical form: {RATE} samples/s, {SECONDS} s, zero-phase band-pass "
        f"{BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, {MICROVOLTS_PER_COUNT:g} microvolts a count, each lead's median removed; III, aVR, aVL and aVF "
        f"computed from I and II in both arms. Real strips: {origin or 'none'}; one strip a patient in a round, none shown before in the study, "
        "chosen at random by the round's seed."
    )


def _synthetic(facts: Facts) -> str:
    drawn = [row for row in facts.origin.drawings if row.checkpoint != SIMULATOR]
    if not drawn:
        return "No synthetic strip was drawn for this study."
    ways = sorted({(row.checkpoint[:12], row.sampler, row.steps, row.guidance) for row in drawn})
    how = listed([f"checkpoint {name}, sampler {sampler}, {steps} steps, guidance {guidance:g}" for name, sampler, steps, guidance in ways])
    return (
        f"Drawn by a diffusion model (SSSD-ECG network; {how}) before the round opened, by stored seeds. {quality_control(facts)} Rejected samples "
        "were replaced by the next ones of the same seed and stay in the denominator."
    )


def quality_control(facts: Facts) -> str:
    """How many samples were rejected."""
    total = facts.one("rejected", round="all", rhythm="all", figure="rejected")
    if total is None or total["value"] is None:
        reason = "" if total is None else f" ({total['reason']})"
        return f"How many samples quality control rejected is not known{reason}."
    share = f"{shown(total['value'], 'percent')}, 95 % interval {shown(total['low'], 'percent')} to {shown(total['high'], 'percent')}"
    return f"Quality control rejected {round(total['value'] * total['n'])} of {total['n']} samples ({share})."


def leak_gate(facts: Facts) -> str:
    """What the gate found before each round, and how often it kept one shut."""
    told = [_gate(opened.number, opened.leak) for opened in facts.data.rounds]
    refused = sum(entry.action == REFUSED_BY_THE_GATE and entry.subject == f"study {facts.data.study.id}" for entry in facts.origin.audit)
    shut = f" It refused {counted(refused, 'opening')} before that; these are in the audit trail." if refused else ""
    return (
        "Before a round opened, a classifier that sees format features alone (quantisation, offset, edges, band power, limb-lead residual), never "
        f"the heart, had to fail to tell the arms apart. {' '.join(told)}{shut}"
    )


def _gate(number: int, leak: dict[str, Any]) -> str:
    if leak.get("auc") is None:
        return f"Round {number}: not applied ({leak.get('reason', 'no figure was kept')})."
    ends = leak.get("auc_ci")
    interval = f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else " (no interval was kept)"
    p = f", permutation p = {leak['p_value']:.3f}" if leak.get("p_value") is not None else ""
    worst = f", most of all by {leak['worst_feature']}" if leak.get("verdict") in ("warn", "refuse") and leak.get("worst_feature") else ""
    return f"Round {number}: AUC {leak['auc']:.2f}{interval}{p}{worst}; verdict: {leak.get('verdict', 'not kept')}."


def _blinding(facts: Facts) -> str:
    practice = facts.origin.practice
    practised = ""
    if practice is not None:
        mark = practice.plan.get("pass_mark")
        passing = "going through it" if mark is None else f"naming {100 * mark:g} % of its rhythms right"
        practised = (
            f" Readers first went through a practice of {counted(practice.cases, 'case')} whose answers were told ({passing} opened the rounds); "
            "its strips appear in no round and its answers in no figure."
        )
    asked = facts.data.study.unblinding_asked_at
    unblinded = f"asked for on {minute(asked)} and " if asked else ""
    return (
        "Readers saw a strip and a random code: neither its origin, nor its label, nor the share of synthetic strips, nor clinical information, "
        "nor other readers' answers. Each reader had an order of their own, a random permutation from the round's seed. Nobody, coordinators "
        f"included, could see accuracy before unblinding, which takes two people: it was {unblinded}confirmed by a second person on "
        f"{minute(facts.found.unblinded_at)}. {revisions(facts)}{practised}"
    )


def revisions(facts: Facts) -> str:
    """What became of corrected answers, and who signed."""
    revised = int((facts.table["revision"] > 1).sum())
    signed, to_sign = len(facts.origin.signatures), len({(row.round_id, row.reader_id) for row in facts.data.placements})
    return (
        f"{counted(revised, 'answer')} were corrected before signing; every revision is kept and the last one counts. Rounds signed by their "
        f"readers: {signed} of {to_sign}."
    ).replace("1 answer were", "1 answer was")


def questions(facts: Facts) -> str:
    """The form, in the protocol's order."""
    order = facts.found.protocol.question_order
    scale = f"real or synthetic on a six-point scale ({scale_in_words()}; 4 to 6 call the strip synthetic)"
    heart = f"the rhythm (NSR, AF, other, unsure) and whether {', '.join(MORPHOLOGY_ITEMS)} are plausible, implausible or cannot be judged"
    if order == PURPOSE_BLIND:
        return (
            f"Purpose-blind: readers first judged quality ({', '.join(QUALITY_ANSWERS)}), {heart} of every case; only then, in a second part in "
            f"another order, {scale}, with cues and the regions that gave a strip away."
        )
    first, second = (scale, heart) if order == REALISM_FIRST else (heart, scale)
    return f"On one form: first {first}; then {second}; then the cues that gave a strip away, the regions where they are, and a comment."


def display(facts: Facts) -> str:
    """On what the strips were read, as far as browsers told."""
    viewed = [view for view in facts.latest["viewing"] if view]
    paper = "Strips were drawn on ECG paper, by default 3x4 leads and a rhythm strip at 25 mm/s and 10 mm/mV, with calipers"
    if not viewed:
        return f"{paper}. How they were viewed is not recorded for this study."
    true = sum(bool(view.get("calibrated")) for view in viewed)
    measured = sum(bool(view.get("calipers")) for view in viewed)
    return (
        f"{paper}. Of {counted(len(viewed), 'reading')} whose display was recorded, {true} were on a screen calibrated to true scale; calipers "
        f"were used in {measured}."
    )


def _rounds(facts: Facts) -> str:
    protocol = facts.found.protocol
    again = f"A repeated strip stood at least {protocol.min_repeat_distance} positions after its first showing"
    days = sorted({int(opened.plan.get("washout_days") or 0) for opened in facts.data.rounds[1:]})
    wash_out = f"between a reader's last judgement in one round and the first in the next lay at least {listed([str(one) for one in days])} days"
    if not days:
        wash_out = f"the protocol's wash-out between rounds is {protocol.washout_days} days; there was one round"
    return f"{again}; {wash_out}. {between_repeats(facts)}"


def between_repeats(facts: Facts) -> str:
    """The time from a strip's first reading to its repeat."""
    repeats = facts.latest[facts.latest["role"] == "repeat"]
    pairs = repeats.merge(facts.scored[["reader", "case", "shown_at"]], left_on=["reader", "repeat_of"], right_on=["reader", "case"])
    if pairs.empty:
        return "No strip was read twice by the same reader."
    hours = (pairs["shown_at_x"] - pairs["shown_at_y"]).dt.total_seconds().clip(lower=0) / 3600
    return (
        f"{counted(len(pairs), 'reading')} were repeats; from the first reading to the repeat passed {_time(hours.median())} in the median (range "
        f"{_time(hours.min())} to {_time(hours.max())})."
    ).replace("1 reading were repeats", "1 reading was a repeat")


def _time(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"


def analysis(facts: Facts) -> str:
    """The rule of the verdict; formulas stand in a table of their own."""
    margin = 100 * facts.found.protocol.margin
    return (
        f"The primary figure is accuracy against chance, judged by two one-sided tests at 5 % with the protocol's margin of {margin:g} percentage "
        f"points: equivalent to chance if the 90 % interval lies within {50 - margin:g} % to {50 + margin:g} %; better or worse than chance if a "
        "two-sided test at 5 % leaves 50 % out; undecided otherwise. Readers and cases are both taken as random where readers are taken together. "
        "Intervals are 95 % unless said otherwise. Repeats and controls are in no figure but their own. The other figures are secondary and not "
        "adjusted for multiplicity unless their table says so; the table of formulas says how each was computed."
    )


def software(facts: Facts) -> str:
    study = facts.data.study
    return (
        f"blindstrip {facts.version}. Protocol hash (SHA-256 of the rules and the form's words): {facts.found.protocol_hash}. Seed of the study, "
        f"which drives every bootstrap: {study.seed}. Seeds of the rounds: "
        f"{listed([str(opened.plan.get('seed', 'not kept')) for opened in facts.data.rounds])}."
    )


# ---- tables ----


def rounds_table(facts: Facts) -> Table:
    rows = []
    for opened in facts.data.rounds:
        mine = [case for case in facts.data.cases if case.round_id == opened.id]
        roles = Counter(case.role for case in mine)
        arms = Counter(facts.data.arms[case.strip_id].arm for case in mine if case.role == "scored")
        readers = {row.reader_id for row in facts.data.placements if row.round_id == opened.id}
        signed = sum(round_id == opened.id for round_id, _reader in facts.origin.signatures)
        scored = f"{roles['scored']}: {arms['real']} real, {arms['synthetic']} synthetic"
        cells = (str(opened.number), day(opened.opened_at), scored, str(roles["repeat"]), str(roles["control"]), f"{signed} of {len(readers)}")
        rows.append(Row((*cells, str(opened.plan.get("seed", "not kept")))))
    head = ("Round", "Opened", "Scored cases", "Repeats", "Controls", "Signed", "Seed")
    return Table("Rounds", head, tuple(rows), (8, 14, 34, 10, 10, 12, 14))


def strips_table(facts: Facts) -> Table:
    """The strips scored, with what is known of the patients."""
    recordings = {row.strip_id: row for row in facts.origin.recordings}
    rows = []
    for arm in ARMS:
        for rhythm in ("NSR", "AF"):
            ids = sorted({case.strip_id for case in facts.data.cases if case.role == "scored" and case.rhythm == rhythm} & shown_strips(facts, arm))
            known = [recordings[strip_id] for strip_id in ids if strip_id in recordings]
            ages = pd.Series([row.age for row in known if row.age is not None], dtype=float)
            sexes = Counter(row.sex for row in known if row.sex)
            age = f"{ages.median():.0f} ({ages.min():.0f} to {ages.max():.0f}), known of {len(ages)}" if len(ages) else "not known"
            sex = ", ".join(f"{number} {name}" for name, number in sorted(sexes.items())) or "not known"
            rates = ", ".join(f"{rate:g}" for rate in sorted({row.rate for row in known}))
            patients = str(len({row.patient for row in known}))
            rows.append(Row((arm, rhythm, str(len(ids)), *((patients, age, sex, rates or "–") if arm == "real" else ("–", "–", "–", "–")))))
    head = ("Arm", "Rhythm", "Strips", "Patients", "Age, median (range), years", "Sex", "Samples/s of the file")
    note = "As the collection gives them; synthetic strips have no patient."
    return Table("Scored strips", head, tuple(rows), (12, 10, 9, 10, 26, 18, 15), (note,))


def shown_strips(facts: Facts, arm: str) -> set[int]:
    return {strip_id for strip_id, of in facts.data.arms.items() if of.arm == arm}
