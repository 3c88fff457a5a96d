"""How fast strips are drawn and shown, as ratios within one run: `python -m tests.benchmarks.drawing` prints JSON.

Seconds depend on the machine; the ratios hardly do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import plotly.graph_objects as go

from generator.request import DrawRequest
from generator.sssd import draw
from generator.strip import Counts, millivolts
from pages import paper

ROUNDS = 5


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median over rounds, after one that is not counted."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[rounds // 2]


def by_traces(counts: Counts) -> go.Figure:
    """What the ECG paper replaces: one Plotly object a lead, floats, explicit times."""
    figure = go.Figure()
    for lead in millivolts(counts):
        figure.add_trace(go.Scatter(x=[i / 100 for i in range(lead.size)], y=lead))
    return figure


def main() -> None:
    model = draw.load()
    fast = seconds(lambda: draw.draw(DrawRequest("NSR", 4, 1), checkpoint=model, quality_control=False)) / 4
    published = seconds(lambda: draw.draw(DrawRequest("NSR", 4, 1, sampler="ancestral"), checkpoint=model, quality_control=False), rounds=1) / 4
    [strip] = [one.counts for one in draw.draw(DrawRequest("NSR", 1, 1), checkpoint=model, quality_control=False) if one.counts is not None]
    figure, traces = seconds(lambda: paper.figure(strip)), seconds(lambda: by_traces(strip).to_plotly_json())
    print(
        json.dumps(
            {
                "seconds a strip, 20 multistep steps, one thread": round(fast, 3),
                "200 ancestral steps over 20 multistep steps": round(published / fast, 1),
                "milliseconds a figure": round(1000 * figure, 1),
                "figure by go.Figure over figure as a dict": round(traces / figure, 1),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
