"""The data dictionary of the bundle: type, unit and meaning of every column of every table. A column without an entry cannot be exported."""

from __future__ import annotations

import pandas as pd

_EVERYWHERE = {
    "demo": ("yes/no", "", "TRUE: a demo study: its readers may be simulated, and so may its real arm (stand_in)"),
    "protocol_hash": (
        "text",
        "SHA-256",
        "the protocol in force, rules and words of the form: when the judgement, signature or audit entry was made; when the round that the row "
        "belongs to was opened; of other rows, when the study was unblinded",
    ),
    "round": ("whole number", "", "number of the round in the study, from 1"),
    "site": ("text", "", "hospital of the reader"),
    "reader": ("text", "", "code of the reader"),
    "case": ("text", "", "random code of the case, its only name while the study was blind"),
    "role": ("text", "", "scored: counts in accuracy; repeat: a scored case's strip again; control: an obvious strip, in no figure but its own"),
    "repeat_of": ("text", "", "code of the case, of this or an earlier round, whose strip is shown again; empty if none"),
    "position": ("whole number", "", "place of the case in this reader's order, from 1"),
    "phase": ("whole number", "", "1; 2 where a purpose-blind round asks, after all cases, whether each is real"),
    "strip_sha256": ("text", "SHA-256", "the strip's samples, int16 little-endian (8 leads, 1000 samples)"),
    "arm": ("text", "", "the truth: real (recorded from a patient) or synthetic (drawn by the generator)"),
    "stand_in": ("yes/no", "", "TRUE: a simulator's strip in a recording's place (demo studies only)"),
    "label": ("text", "", "rhythm that the recording was labelled with or the generator asked for: NSR or AF"),
    "checkpoint": ("text", "SHA-256", "the generator's configuration and weights; simulator: an obviously mechanical control"),
    "seed": ("whole number", "", "seed of the batch"),
}

_ITEM = ("text", "", "plausible, implausible or cannot judge")

_FIGURE = {
    "group": ("text", "", "whose readings: all, site, between sites (pairs of readers from different sites), reader"),
    "name": ("text", "", "which site or reader; all"),
    "site": ("text", "", "the hospital, where the group is a site or a reader"),
    "rhythm": ("text", "", "strips counted: all, or those labelled NSR or AF"),
    "item": ("text", "", "question of the form"),
    "arm": ("text", "", "strips counted: all, real, synthetic; synthetic - real: the difference"),
    "cue": ("text", "", "what gave the strip away"),
    "lead": ("text", "", "lead in which a region was marked as the cue"),
    "step": ("whole number", "", "step of the scale, 1 definitely real to 6 definitely synthetic"),
    "figure": ("text", "", "name of the figure"),
    "value": ("number", "see unit", "empty where undefined: see reason"),
    "low": ("number", "see unit", "lower end of the interval (95 % unless method says otherwise)"),
    "high": ("number", "see unit", "upper end of the interval"),
    "unit": ("text", "", "unit of value, low and high"),
    "n": ("whole number", "see counted", "observations that the figure rests on"),
    "counted": ("text", "", "what n counts"),
    "method": ("text", "", "formula and interval"),
    "reason": ("text", "", "why a value or an interval is empty"),
}

_TABLES: dict[str, dict[str, tuple[str, str, str]]] = {
    "judgements.csv": {
        "revision": ("whole number", "", "1 for the first answer; a correction is a row of its own with the next number"),
        "latest": ("yes/no", "", "TRUE on the revision that counts, of the last phase"),
        "realism": ("whole number", "", "1 definitely real, 2 probably, 3 possibly real, 4 possibly, 5 probably, 6 definitely synthetic"),
        "called_synthetic": ("yes/no", "", "TRUE for realism 4 to 6"),
        "quality": ("text", "", "of the tracing: good, adequate, poor; asked in purpose-blind studies alone"),
        "rhythm": ("text", "", "the reader's answer: NSR, AF, other, unsure"),
        "p_wave": _ITEM,
        "pr_interval": _ITEM,
        "qrs_complex": _ITEM,
        "st_segment": _ITEM,
        "t_wave": _ITEM,
        "qt_interval": _ITEM,
        "cues": ("text", "", "cues named, separated by '; '"),
        "marks": ("text", "", "regions pointed at as the cue, separated by '; ': lead, from and to in ms after the strip's first sample"),
        "comment": ("text", "", "free text of the reader"),
        "shown_at": ("moment", "UTC, ISO 8601", "when the server sent the strip"),
        "submitted_at": ("moment", "UTC, ISO 8601", "when the answer was stored"),
        "seconds": ("number", "s", "from shown_at to submitted_at, interruptions included"),
        "reading_seconds": ("number", "s", "with the strip in view and the reader at work, as the browser counted; empty where it did not"),
        "away_seconds": ("number", "s", "paused, in another window, or idle, as the browser counted"),
        "viewing": (
            "JSON",
            "",
            "scale on the screen (device pixels for a mm, calibrated or not), layout, speed, gain, changes, calipers",
        ),
    },
    "cases.csv": {"number": ("whole number", "", "number of the case in its round, from 1, as readers' orders are drawn from")},
    "readers.csv": {"person": ("whole number", "", "number of the reader in the audit trail and in the seed of the reader's order")},
    "rounds.csv": {
        "id": ("whole number", "", "of the round in the database, as the audit trail and the commitment name it"),
        "opened_at": ("moment", "UTC, ISO 8601", "when it was opened"),
        "starts_at": ("moment", "UTC, ISO 8601", "from when it could be read; a reader's own wash-out may be later"),
        "cases": ("whole number", "", "cases of all readers together"),
        "commitment": ("text", "SHA-256", "binds the seeds: shown before the round was read; verify.py computes it from seeds.json"),
        "closed_by_hand_at": ("moment", "UTC, ISO 8601", "when it was closed before every reader had read and signed it; empty if it was not"),
        "closed_because": ("text", "", "the reason given"),
    },
    "amendments.csv": {
        "number": ("whole number", "", "number of the amendment, from 1"),
        "at": ("moment", "UTC, ISO 8601", "when"),
        "by": ("text", "", "who: the number in the audit trail"),
        "change": ("text", "", "what: rule, from -> to"),
        "why": ("text", "", "the reason given"),
        "judgements": ("whole number", "", "answers that were in at that moment"),
        "of": ("whole number", "", "answers asked for in the rounds open by then"),
        "standing": ("text", "", "the same in words, and whether every round was closed"),
        "hash_before": ("text", "SHA-256", "of the protocol before"),
        "hash_after": ("text", "SHA-256", "of the protocol afterwards"),
    },
    "placements.csv": {},
    "signatures.csv": {
        "signed_at": ("moment", "UTC, ISO 8601", "when the reader signed the round: from then on its answers stand"),
        "judgements_sha256": ("text", "SHA-256", "of the JSON list of [position, revision, the answer's SHA-256 in the audit trail] that was signed"),
    },
    "drawings.csv": {
        "sampler": ("text", "", "sampling algorithm"),
        "steps": ("whole number", "", "evaluations of the network"),
        "guidance": ("number", "", "weight of classifier-free guidance; 1: none"),
        "number": ("whole number", "", "number of the strip in its batch, from 0"),
        "conditions": ("JSON", "", "what the strip was drawn to: heart rate (1/min) and the like"),
        "device": ("text", "", "kind of processor: the same seed gives the same strip on the same kind"),
    },
    "recordings.csv": {
        "collection": ("text", "", "data set that the recording came from; simulator: a stand-in"),
        "patient": ("text", "", "code: same patient, same code in this bundle"),
        "age": ("number", "years", "as the collection gives it; empty if it does not"),
        "sex": ("text", "", "as the collection gives it; empty if it does not"),
        "rate": ("number", "samples/s", "of the file, before it was brought to 100"),
    },
    "rejections.csv": {
        "rhythm": ("text", "", "rhythm asked for: NSR or AF"),
        "number": ("whole number", "", "number of the sample in its batch, from 0"),
        "reason": ("text", "", "which rule of quality control the sample broke, or why the canonical form refused it"),
    },
    "audit.csv": {
        "entry": ("whole number", "", "number of the entry, without gaps"),
        "at": ("moment", "UTC, ISO 8601", "when; empty where the entry concerns something else than this study"),
        "person": ("whole number", "", "who did it; empty: the program, or withheld"),
        "action": ("text", "", "what was done"),
        "subject": ("text", "", "to what"),
        "detail": ("JSON", "", "with what"),
        "previous": ("text", "SHA-256", "hash of the entry before"),
        "hash": ("text", "SHA-256", "of the JSON list entry, at, person, action, subject, detail, previous"),
    },
    "results/readers.csv": {
        "readings": ("whole number", "", "scored cases read"),
        "repeats": ("whole number", "", "repeated cases read"),
    },
    "results/verdicts.csv": _FIGURE
    | {
        "margin": ("number", "proportion", "of the protocol: accuracy from 0.5 - margin to 0.5 + margin counts as chance"),
        "outcome": ("text", "", "equivalent to chance within the margin, better than chance, worse than chance, undecided"),
        "sentence": ("text", "", "the verdict in words"),
        "low": ("number", "see unit", "lower end of the 90 % interval that two one-sided tests at 5 % correspond to"),
        "high": ("number", "see unit", "upper end of the 90 % interval"),
    },
    **{f"results/{name}.csv": _FIGURE for name in ("realism", "agreement", "rhythm", "morphology", "times", "cues", "marks", "sites", "calibration")},
    "results/learning.csv": _FIGURE | {"round": ("text", "", "number of the round; 2 - 1: what the second is more than the first")},
    "results/repeats.csv": _FIGURE
    | {"apart": ("text", "", "repeats counted: all, those within a round, those of an earlier round's cases, across the wash-out")},
    "results/controls.csv": _FIGURE
    | {"kind": ("text", "", "controls counted: all, mechanical (a simulator's strip without noise: synthetic), recorded (a noisy recording: real)")},
    "results/utility.csv": _FIGURE
    | {
        "experiment": ("text", "", "TSTR / TRTR: the headline, their ratio; TSTR, TRTS, TRTR, TSTS"),
        "meaning": ("text", "", "the experiment in words"),
        "classifier": ("text", "", "kind of classifier"),
    },
    "results/rejected.csv": {name: meaning for name, meaning in _FIGURE.items() if name not in ("group", "name", "site", "item", "arm", "cue")}
    | {
        "round": ("text", "", "all, or the round's number"),
        "rhythm": ("text", "", "samples counted: all, or those drawn as NSR or AF"),
        "figure": ("text", "", "rejected: share of the samples drawn that were; rejected, with a reason: share rejected for it"),
    },
    "results/machine.csv": _FIGURE | {"group": ("text", "", "whose AUC: machine (all strips that were read), all, site, reader")},
    "results/suspicion.csv": _FIGURE | {"beside": ("text", "", "what suspicion is correlated with: machine's score, distance from real strips")},
    "results/rhythm_calls.csv": _FIGURE | {"group": ("text", "", "who named the rhythm: all, site, reader, classifier")},
    "results/fooled.csv": _FIGURE,
    "results/strips.csv": {
        "readers": ("whole number", "", "readers who judged the strip"),
        "wrong": ("whole number", "", "of these, those who took it for the other arm"),
        "suspicion": ("number", "step of the scale", "mean over readers, 1 definitely real to 6 definitely synthetic"),
        "machine": (
            "number",
            "proportion",
            "probability of synthetic, by a classifier that had not seen the strip's patient; empty if none was computed",
        ),
        "distance": ("number", "standard deviations", "to the nearest real strip of the same rhythm and another patient, in features"),
        "training": ("number", "1 - correlation", "of average beats, estimated: to the nearest strip that the generator was trained on"),
    },
    "data_dictionary.csv": {
        "file": ("text", "", "file of the bundle"),
        "column": ("text", "", "column of that table, or field of that file"),
        "type": ("text", "", "whole number, number, text, yes/no (TRUE, FALSE), moment, JSON"),
        "unit": ("text", "", "unit; empty where there is none"),
        "meaning": ("text", "", "what the column says"),
    },
}

_OTHERS = (  # files that are no tables: file, field, type, unit, meaning
    ("six_point_scale.imrmc", "reader", "text", "", "code of the reader; -1 in the rows of truth"),
    ("six_point_scale.imrmc", "case", "text", "", "code of the scored case"),
    ("six_point_scale.imrmc", "modality", "text", "", "strip: there is one modality; truth in the rows of truth"),
    (
        "six_point_scale.imrmc",
        "score",
        "whole number",
        "",
        "1 definitely real to 6 definitely synthetic; in the rows of truth 1 for synthetic, 0 for real",
    ),
    (
        "strips/CASE.dat",
        "samples",
        "whole number",
        "2.5 microvolts",
        "12 leads, 1000 samples each, 100 a second; I, II, V1 to V6 in steps of 5 microvolts",
    ),
    (
        "strips/CASE.hea",
        "comments",
        "text",
        "",
        "SYNTHETIC where no patient was recorded; collection and licence, arm, rhythm, round, role, strip_sha256",
    ),
)


def data_dictionary(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a column of every table, itself included, then the other files' fields: file, column, type, unit, meaning.

    Raises KeyError for a column that has no entry.
    """
    columns = {name: list(table.columns) for name, table in tables.items()}
    columns["data_dictionary.csv"] = ["demo", "protocol_hash", *_TABLES["data_dictionary.csv"]]
    rows = []
    for name in sorted(columns):
        for column in columns[name]:
            kind, unit, meaning = _TABLES[name].get(column) or _EVERYWHERE[column]
            rows.append({"file": name, "column": column, "type": kind, "unit": unit, "meaning": meaning})
    rows += [dict(zip(("file", "column", "type", "unit", "meaning"), other, strict=True)) for other in _OTHERS]
    return pd.DataFrame(rows)
