"""Which screens there are, what each is for, and the navigation of one person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

import streamlit as st

from pages import account, gallery, people, planning, quality, reading, recordings, results, server, studies, utility
from study import metrics
from study.people import Person
from study.roles import Action, may

ICON = "🫀"
LAYOUT = "<style>.stMainBlockContainer { padding: 4.2rem 2.5rem 3rem; max-width: 1240px; }</style>"


@dataclass(frozen=True)
class Screen:
    render: Callable[[], None]
    title: str
    url_path: str  # never the name of a file in pages/: see app.py
    icon: str
    action: Action  # who may do this sees the screen


SCREENS = (
    Screen(reading.render, "Read", "read", ":material/ecg_heart:", Action.READ_CASES),
    Screen(studies.render, "Studies", "conduct", ":material/assignment:", Action.SEE_STUDIES),
    Screen(planning.render, "Planning", "plan", ":material/query_stats:", Action.SEE_STUDIES),
    Screen(results.render, "Results", "findings", ":material/insights:", Action.SEE_RESULTS),
    Screen(gallery.render, "Draw strips", "draw", ":material/stylus:", Action.DRAW_STRIPS),
    Screen(quality.render, "Quality", "measure", ":material/straighten:", Action.SEE_STRIPS),
    Screen(utility.render, "Utility", "worth", ":material/model_training:", Action.SEE_STRIPS),
    Screen(recordings.render, "Recordings", "import", ":material/folder_open:", Action.IMPORT_RECORDINGS),
    Screen(people.render, "People", "team", ":material/group:", Action.MANAGE_PEOPLE),
    Screen(server.render, "Server", "state", ":material/monitor_heart:", Action.SEE_SERVER),
)


def _timed(screen: Screen) -> Callable[[], None]:
    @wraps(screen.render)
    def render() -> None:
        with metrics.SERVER.timed(f"screen: {screen.title}"):
            screen.render()

    return render


def for_person(person: Person) -> dict[str, list[st.Page]]:
    """The pages for st.navigation: the screens this person may enter, the first as default, and the way out."""
    allowed = [screen for screen in SCREENS if may(person, screen.action)]
    pages = [st.Page(_timed(s), title=s.title, url_path=s.url_path, icon=s.icon, default=i == 0) for i, s in enumerate(allowed)]
    out = st.Page(account.render, title="Account, sign out", url_path="me", icon=":material/account_circle:")
    return {"": pages, "Account": [out]}
