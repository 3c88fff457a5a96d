"""Order diagnostics for the coordinator: whether the readers' orders look as random as they were drawn."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.access import database
from study.people import Person

_WORDS = (
    "Each reader's order was drawn at random from the round's seed, kept apart from the others. Of twenty p-values one is below 0.05 by chance. "
    "A label that comes in too few runs comes in blocks, in too many it alternates: both can be felt."
)


def orders(person: Person, study_id: int) -> None:
    """Every round's diagnostics, computed when they are asked for."""
    if not st.toggle("Order diagnostics", key="order-diagnostics"):
        return
    from study.order_diagnostics import RUNS_TEST, order_diagnostics  # SciPy's statistics: only when somebody looks

    st.caption(f"{_WORDS} Runs: {RUNS_TEST}. Before unblinding they know rhythms alone; after it arms too.")
    for one in order_diagnostics(database(), person, study_id):
        st.markdown(f"**Round {one.round}**")
        st.dataframe([_label(row) for row in one.labels], hide_index=True, alt=f"Runs and shares in round {one.round}")
        left, right = st.columns(2, gap="large")
        with left:
            st.caption("Who begins with which case")
            rows = [
                {"Part": row.phase, "Case": row.case, "Rhythm": row.rhythm, "Arm": row.arm, "Readers": f"{row.readers} of {row.of}"}
                for row in one.first
            ]
            st.dataframe(_without_empty(rows), hide_index=True, alt=f"First cases of round {one.round}")
        with right:
            st.caption("Places from a case to its repeat")
            rows = [
                {
                    "Reader": row.reader,
                    "Part": row.phase,
                    "Repeats": row.repeats,
                    "Nearest": row.nearest,
                    "Farthest": row.farthest,
                    "Asked": row.asked,
                }
                for row in one.repeats
            ]
            st.dataframe(rows, hide_index=True, alt=f"Distance of repeats in round {one.round}")
        for found in one.correlation:
            if found.mean is None:
                st.caption(f"Part {found.phase}: {found.reason}.")
            else:
                st.caption(
                    f"Part {found.phase}: correlation between the orders of two readers, {found.pairs} pairs: mean {found.mean:.2f}, "
                    f"from {found.lowest:.2f} to {found.highest:.2f}. Independent orders scatter about 0 with SD {found.expected_sd:.2f}."
                )


def _label(row: Any) -> dict[str, Any]:
    quarters = {f"Quarter {number}": f"{share:.0%}" for number, share in enumerate(row.blocks, start=1)}
    return {
        "Reader": row.reader,
        "Hospital": row.site,
        "Part": row.phase,
        "Label": row.label,
        "Cases": row.cases,
        "Runs": row.runs,
        "Expected": None if row.expected_runs is None else round(row.expected_runs, 1),
        "p": None if row.p_value is None else round(row.p_value, 3),
        "Share": f"{row.share:.0%}",
        **quarters,
    }


def _without_empty(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Before unblinding there is no column of arms."""
    return [{name: value for name, value in row.items() if name != "Arm" or value is not None} for row in rows]
