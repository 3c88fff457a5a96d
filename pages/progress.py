"""Work that takes long, as its row in the database tells it: the same after a reload and on another machine."""

from __future__ import annotations

import streamlit as st

from pages import words
from pages.access import database, require
from storage.jobs import JobRow
from study import jobs
from study.errors import Problems
from study.people import Person
from study.roles import Action


def follow(person: Person, action: Action, kind: str) -> JobRow | None:
    """The person's latest job of this kind. While it runs: a bar that follows it, and Cancel. If it ended badly: why. None: there was none."""
    latest = jobs.recent_jobs(database(), person, kind, limit=1)
    if not latest:
        return None
    job = latest[0]
    if job.active:
        st.fragment(_running, run_every="1s")(action, job.id)
    elif job.status == "failed":
        st.error(words.plain(job.message or "The work failed without a message. Look into the server's log."), icon=":material/error:")
    elif job.status == "cancelled":
        st.info(words.plain(job.message or "Cancelled."))
    return job


def _running(action: Action, job_id: int) -> None:
    person = require(action)
    try:
        job = jobs.job(database(), person, job_id)
    except Problems as error:
        words.problem(error)
        return
    if not job.active:
        st.rerun()
    waiting = "Waiting for the runner" if job.status == "queued" else "Working"
    count = f" ({round(job.done, 1):g} of {job.total})" if job.total else ""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"job-{job.id}"):
        st.progress(job.share, text=words.plain((job.message or waiting) + count))
        cancelling = job.status == "cancelling"
        asked = ("", jobs.cancel, database(), person, job.id)
        st.button("Cancel", key=f"cancel-{job.id}", disabled=cancelling, on_click=words.act, args=asked)
