"""Recordings come in: a zip from this computer or a folder on the server. What was refused is named, with its reason."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from generator.physionet import COLLECTIONS
from generator.request import RHYTHMS
from pages import progress, sheet, words
from pages.access import database, require
from study import fetch, jobs, staging, strips
from study.errors import Problems, StudyError
from study.people import Person
from study.roles import Action

PER_PAGE = 4
_LAYOUTS = (
    "PTB-XL and MIMIC-IV-ECG are recognised by their tables. Any other folder of recordings (WFDB, DICOM, EDF, HL7 aECG, GE MUSE, Philips Sierra, "
    "SCP-ECG; CSV and NumPy with columns rate, unit, leads) needs a table labels.csv with the columns record, rhythm (NSR or AF) and, where known, "
    "patient, age, sex. Recordings of at least 10 s, 100 samples/s, with I, II and V1 to V6."
)


def render() -> None:
    person = require(Action.IMPORT_RECORDINGS)
    words.heading("Recordings", demo=person.demo)
    words.outcome()
    try:
        latest = [progress.follow(person, Action.IMPORT_RECORDINGS, kind) for kind in ("import", "fetch")]
        if ended := [job for job in latest if job is not None and job.result]:
            _report(max(ended, key=lambda job: job.id).result or {})
        _bring_in(person)
        _collections(person)
    except Problems as error:
        words.problem(error)


# ---- bringing in ----


def _bring_in(person: Person) -> None:
    with st.expander("Bring recordings in", icon=":material/upload_file:", expanded=not strips.collections(database(), person)):
        if person.demo:
            st.text("In the demo, recordings can be tried out, but its studies show simulated strips only.")
        st.caption(_LAYOUTS)
        upload, server, physionet = st.tabs(["Zip from this computer", "Folder on the server", "PhysioNet"])
        with upload, st.form("upload", border=False, clear_on_submit=True):
            st.file_uploader("Zip of recordings with their table of labels", type=["zip"], key="upload-zip")
            st.form_submit_button("Import the zip", type="primary", on_click=_import_zip, args=(person,))
        with server, st.form("server", border=False):
            st.text_input("Folder", key="server-folder", placeholder="/data/ptb-xl")
            st.text_input("Table of labels (CSV), if not in the folder", key="server-labels")
            st.form_submit_button("Import the folder", type="primary", on_click=_import_folder, args=(person,))
        with physionet:
            _offer_physionet(person)


def _offer_physionet(person: Person) -> None:
    if person.demo:
        st.text(
            "The demo downloads nothing. Set up a study to fetch recordings of PTB-XL or MIMIC-IV-ECG here, or use blindstrip fetch on the server."
        )
        return
    name = st.selectbox("Collection", list(COLLECTIONS), format_func=lambda one: COLLECTIONS[one].title, key="fetch-collection", width=420)
    collection = COLLECTIONS[name]
    with st.form("fetch", border=False):
        st.caption(
            "The server downloads the tables, chooses by rhythm, age and sex, one recording of a patient before a second, and then only the files "
            "that it needs."
            if collection.age_and_sex
            else "The server downloads the tables (some hundred megabytes), chooses by rhythm, one recording of a patient before a second, and "
            "then only the files that it needs. These tables tell neither age nor sex."
        )
        st.multiselect("Rhythms", RHYTHMS, default=RHYTHMS, key="fetch-rhythms", width=420)
        st.number_input("Recordings", min_value=2, max_value=fetch.MOST_FROM_A_SCREEN, value=400, key="fetch-n", width=420)
        st.number_input("Seed of the sample", min_value=0, value=0, key="fetch-seed", width=420)
        st.checkbox(f"I accept the licence. {collection.consent}", key="fetch-accepted")
        st.form_submit_button("Fetch and import", type="primary", on_click=_fetch, args=(person, name))


def _fetch(person: Person, collection: str) -> None:
    rhythms, n, seed, accepted = (st.session_state[f"fetch-{name}"] for name in ("rhythms", "n", "seed", "accepted"))
    asked = {"collection": collection, "rhythms": list(rhythms), "n": int(n), "folds": None, "seed": int(seed), "accepted": accepted}
    words.attempt("", jobs.ask, database(), person, "fetch", asked)


def _import_zip(person: Person) -> None:
    words.attempt("", _stage_and_ask, person, st.session_state["upload-zip"])


def _stage_and_ask(person: Person, uploaded: UploadedFile | None) -> None:
    """Puts the zip into a folder of its own, which goes when the import has ended; unpacking and reading are the runner's."""
    if uploaded is None:
        raise StudyError("Choose a zip file first.")
    if jobs.active_jobs(database(), person, "import"):
        raise StudyError("An import of yours is running. Wait for it, or cancel it.")
    folder = staging.stage(database(), uploaded.name, uploaded)
    try:
        jobs.ask(database(), person, "import", {"directory": str(folder), "temporary": True})
    except BaseException:
        staging.clear(folder)
        raise


def _import_folder(person: Person) -> None:
    folder, labels = st.session_state["server-folder"].strip(), st.session_state["server-labels"].strip()
    words.attempt("", jobs.ask, database(), person, "import", {"directory": folder, "labels": labels or None})


def _report(result: dict[str, Any]) -> None:
    """What became of the files of the last import."""
    refused: dict[str, int] = result["refused"]
    with st.container(border=True):
        st.markdown("**Last import**")
        with st.container(horizontal=True):
            st.metric("Imported", result["imported"])
            st.metric("There already", result["already_present"])
            st.metric("Refused", sum(refused.values()))
            st.metric("Left out", sum(result["left_out"].values()), help="Rows of the table that are neither sinus rhythm nor AF by the label rules.")
        for reason, files in result["refused_files"].items():
            with st.expander(words.plain(f"{reason}: {refused[reason]}")):
                for file in files:
                    st.text(file)
                if refused[reason] > len(files):
                    st.text(f"... and {refused[reason] - len(files)} more.")
        if missing := result.get("missing"):
            with st.expander(f"Not to be had from the server: {missing}"):
                for why in result["missing_files"]:
                    st.text(why)
        if result["left_out"]:
            with st.expander("Left out"):
                rows = [{"Reason": reason, "Rows": n} for reason, n in result["left_out"].items()]
                st.dataframe(rows, hide_index=True, alt="Rows left out by reason")
        if dropped := result.get("dropped"):  # an import of before has none
            with st.expander("Left in the files"):
                st.caption("What the files say of patients and staff was not stored. By kind, never by value:")
                rows = [{"Fields": kind, "Files": n} for kind, n in sorted(dropped.items())]
                st.dataframe(rows, hide_index=True, alt="Kinds of fields that were not stored, with the number of files")


# ---- what is there ----


def _collections(person: Person) -> None:
    found = strips.collections(database(), person)
    if not found:
        st.info("No recordings yet.")
        return
    st.subheader("In the database")
    rows = [{"Collection": one.name, "Rhythm": one.rhythm, "Recordings": one.recordings, "Patients": one.patients} for one in found]
    st.dataframe(rows, hide_index=True, width=720, alt="Recordings by collection and rhythm")
    chosen = st.selectbox("Look at", range(len(found)), format_func=lambda i: f"{found[i].name}, {found[i].rhythm}", key="collection", width=420)
    one = found[chosen]
    page = min(sheet.current("recordings-page"), (one.recordings - 1) // PER_PAGE)
    sheet.page_of(strips.recordings(database(), person, one.name, one.rhythm, page=page, per_page=PER_PAGE))
    sheet.pages(one.recordings, PER_PAGE, "recordings-page")
