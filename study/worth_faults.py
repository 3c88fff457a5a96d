"""Faults of drawn strips, named in words: what is said of a broken checkpoint. Each is told by a stored figure and a rule: docs/utility.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator.quality.memorisation import ENOUGH, SHARE
from generator.quality.result import BOTH, RHYTHMS, Figure, Quality, Target
from study.report.facts import listed
from study.report.parts import Row, Table

ABLE = 0.8  # macro F1 of TRTR: a classifier below it says little about strips
CALLED = 0.5  # of the strips drawn as a rhythm that at least one classifier must call so
CHANCE = 0.05  # how often strips as good as recordings may be said to be copies


@dataclass(frozen=True)
class Check:
    """One thing that is looked for. figure: what tells it, and value; rule: when it is said; found: whether; None: not known, and reason says why."""

    name: str
    figure: str
    value: str
    rule: str
    found: bool | None
    sentence: str  # what is wrong, where it was found
    reason: str = ""


def checks(utility: Mapping[str, Any], sizes: Mapping[str, Mapping[str, int]], quality: Quality | None) -> list[Check]:
    """Everything that is looked for, in the order in which it is said. utility: of generator.utility, with held-out sets; sizes: of study.worth."""
    return [
        _both_there(sizes["synthetic"]),
        _able(utility),
        _look_like_themselves(utility),
        _worth_less(utility),
        *(look(quality, rhythm) for look in (_detail, _copies, _kinds) for rhythm in RHYTHMS),
        _told_apart(quality),
    ]


def as_table(found: Sequence[Check]) -> Table:
    """All that was looked for, with value, rule and what came of it."""
    verdicts = {True: "✗ found", False: "✓ not found", None: "not known"}
    rows = tuple(Row((one.name, one.figure, one.value, one.rule, verdicts[one.found])) for one in found)
    return Table("Faults that are looked for", ("Fault", "Figure", "Value", "Said when", "Verdict"), rows, (20, 26, 20, 24, 10))


# ---- by classifiers ----


def _both_there(drawn: Mapping[str, int]) -> Check:
    there = [rhythm for rhythm in RHYTHMS if drawn[rhythm]]
    [missing] = [rhythm for rhythm in RHYTHMS if not drawn[rhythm]] or [""]
    sentence = f"All {sum(drawn[rhythm] for rhythm in RHYTHMS)} synthetic strips are of one rhythm, {there[0]}. Draw {missing} strips too."
    value = ", ".join(f"{drawn[rhythm]} {rhythm}" for rhythm in RHYTHMS)
    return Check("one rhythm drawn", "synthetic strips", value, "none of a rhythm", bool(missing), sentence if missing else "")


def _able(utility: Mapping[str, Any]) -> Check:
    scores = {name: one["macro_f1"] for name, one in utility["TRTR"].items() if one["macro_f1"] is not None}
    what = ("classifiers fail on recordings", "TRTR, macro F1 of the best classifier")
    rule = f"below {ABLE:.2f}"
    if not scores:
        return Check(*what, "–", rule, None, "", _reason(utility["TRTR"]))
    best = max(scores, key=lambda name: scores[name])
    found = scores[best] < ABLE
    sentence = (
        f"Even trained on recordings, no classifier tells the rhythms of these recordings (macro F1 {scores[best]:.2f} at best): "
        "the other figures say little about the strips. Choose other recordings, or more of them."
    )
    return Check(*what, f"{scores[best]:.2f}, {best}", rule, found, sentence if found else "")


def _look_like_themselves(utility: Mapping[str, Any]) -> Check:
    """Whether strips of each rhythm are called so by a classifier that learned from recordings and is good at those."""
    name, figure = "one rhythm in all but name", f"TRTS, strips called what they were drawn as (classifiers with TRTR of {ABLE:.2f} or more)"
    rule = f"less than {_percent(CALLED)} of a rhythm, by each classifier"
    able = [one for one, of_it in utility["TRTR"].items() if (of_it["macro_f1"] or 0) >= ABLE]
    recalls = [utility["TRTS"][one]["recall"] for one in able if utility["TRTS"][one]["macro_f1"] is not None]
    if not recalls:
        reason = _reason(utility["TRTS"]) if able else "no classifier is good enough on recordings"
        return Check(name, figure, "–", rule, None, "", reason)
    called = {rhythm: max(one[rhythm] for one in recalls) for rhythm in RHYTHMS}
    lost = [rhythm for rhythm in RHYTHMS if called[rhythm] < CALLED]
    sentence = ""
    if len(lost) == len(RHYTHMS):
        sentence = (
            f"The rhythms look swapped: trained on recordings, classifiers call at most {_percent(called['AF'])} of the strips drawn as AF "
            f"and {_percent(called['NSR'])} of those drawn as NSR so."
        )
    elif lost:
        [other] = set(RHYTHMS) - set(lost)
        sentence = (
            f"All synthetic strips are of one rhythm, {other}, or look so: trained on recordings, classifiers call at most "
            f"{_percent(called[lost[0]])} of those drawn as {lost[0]} so."
        )
    return Check(name, figure, ", ".join(f"{rhythm} {_percent(called[rhythm])}" for rhythm in RHYTHMS), rule, bool(lost), sentence)


def _worth_less(utility: Mapping[str, Any]) -> Check:
    name, figure, rule = "worth less than recordings", "TSTR / TRTR", "the interval ends below 1"
    known = {one: of_it for one, of_it in utility["headline"].items() if of_it["ci"] is not None}
    if not known:
        return Check(name, figure, "–", rule, None, "", _reason(utility["headline"]))
    told = {one: f"{of_it['value']:.2f} ({of_it['ci'][0]:.2f} to {of_it['ci'][1]:.2f})" for one, of_it in known.items()}
    less = [one for one, of_it in known.items() if of_it["ci"][1] < 1]
    sentence = f"Worth less to classifiers than recordings: TSTR / TRTR is {listed([f'{told[one]} by {one}' for one in less])}."
    return Check(name, figure, "; ".join(f"{value}, {one}" for one, value in told.items()), rule, bool(less), sentence if less else "")


def _reason(of_classifiers: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(dict.fromkeys(one["reason"] for one in of_classifiers.values() if one["reason"])) or "no reason given"


# ---- by the stored measurement of quality ----


def _detail(quality: Quality | None, rhythm: str) -> Check:
    what, name = f"fine detail of {rhythm}", "detail ratio"
    figure, target = _measured(quality, "detail", rhythm, name)
    if figure is None or figure.value is None or target is None:
        return _unknown(what, name, figure)
    found, share = target.met is False, f"{_percent(figure.value)} of the recordings'"
    sentence = f"{rhythm} strips lack fine detail: {share}." if figure.value < 1 else f"{rhythm} strips have more fine detail, or noise: {share}."
    return Check(what, name, f"{figure.value:.2f}", f"outside {target.limit}", found, sentence if found else "")


def _copies(quality: Quality | None, rhythm: str) -> Check:
    """Of strips as good as n held-out recordings, chance puts a share above 1 - CHANCE^(1/n) below the least distance of these with a probability
    of CHANCE: (1 - share)^n, as the least of n draws falls above any quantile."""
    what = f"copies of {rhythm}"
    figure, target = _measured(quality, "memorisation", rhythm, SHARE)
    if figure is None or figure.value is None or target is None:
        return _unknown(what, SHARE, figure)
    chance = 1 - CHANCE ** (1 / figure.n_real)
    rule = f"{_broken(target)}, and above {chance:.3f}, which chance gives in {_percent(CHANCE)} of cases"
    found = target.met is False and figure.value > chance
    closest = "the closest" if figure.n_real < ENOUGH else "the closest 1 %"
    sentence = (
        f"{rhythm} strips are closer to a training strip than held-out recordings: {_percent(figure.value)} of them are closer than "
        f"{closest} of the {figure.n_real} held-out {rhythm} recordings."
    )
    return Check(what, SHARE, f"{figure.value:.3f}", rule, found, sentence if found else "")


def _kinds(quality: Quality | None, rhythm: str) -> Check:
    what, name = f"missing kinds of {rhythm}", "coverage, of real against real"
    figure, _ = _measured(quality, "distribution", rhythm, "coverage")
    target = _target(quality, name, rhythm)
    if target is None or target.value is None:
        return _unknown(what, name, figure)
    found = target.met is False
    sentence = f"{rhythm} strips are of fewer kinds than recordings: they cover {_percent(target.value)} of what other recordings cover."
    return Check(what, name, f"{target.value:.2f}", _broken(target), found, sentence if found else "")


def _told_apart(quality: Quality | None) -> Check:
    what, name = "told from recordings", "AUC real or synthetic"
    figure, target = _measured(quality, "realness", BOTH, name)
    if figure is None or figure.value is None or target is None:
        return _unknown(what, name, figure)
    found = target.met is False
    beside = "" if figure.beside is None else f"; recordings from other recordings, {figure.beside:.2f}"
    sentence = f"A network tells the strips from recordings: AUC {figure.value:.2f}{beside}."
    return Check(what, name, f"{figure.value:.2f}", _broken(target), found, sentence if found else "")


def _measured(quality: Quality | None, part: str, rhythm: str, name: str) -> tuple[Figure | None, Target | None]:
    figure = next((one for one in (quality.figures if quality else ()) if one.key == (part, name, rhythm)), None)
    return figure, _target(quality, name, rhythm)


def _target(quality: Quality | None, name: str, rhythm: str) -> Target | None:
    return next((one for one in (quality.targets if quality else ()) if (one.name, one.rhythm) == (name, rhythm)), None)


def _broken(target: Target) -> str:
    """at most 0.03 -> above 0.03"""
    return target.limit.replace("at most", "above").replace("at least", "below")


def _unknown(what: str, name: str, figure: Figure | None) -> Check:
    return Check(what, name, "–", "outside its limit", None, "", (figure and figure.reason) or "not measured: ask for it on the Quality screen")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
