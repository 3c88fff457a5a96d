"""The Utility screen, as a researcher uses it on checkpoints that are broken on purpose: each is named in words. Results of a small computation."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from streamlit.testing.v1 import AppTest

from generator.quality import measure, resample
from generator.quality.result import RHYTHMS
from generator.request import checkpoint_sha256
from generator.strip import to_bytes
from pages import access
from storage import jobs as stored
from storage import strips
from storage.database import Database
from study import jobs, strip_sets, work
from tests import world
from tests.pages.visiting import Visit, by_label, shown
from tests.study.hospital import add_recordings, simulated
from tests.world import World

pytestmark = pytest.mark.xdist_group("utility screen")  # its results are computed once
TRAIN, HELD, EACH = 14, 16, 10  # strips of each rhythm: recordings to train on and held-out ones, drawn ones
LACK, COPY, ONE = "lack fine detail", "are closer to a training strip than held-out recordings", "synthetic strips are of one rhythm"


def sound(rhythm: str, i: int) -> NDArray[np.int16]:
    return simulated(rhythm, 7000 + i)


def sinus_only(rhythm: str, i: int) -> NDArray[np.int16]:
    """Sinus rhythm whatever was asked for."""
    return simulated("NSR", 7100 + i + EACH * (rhythm == "AF"))


def smoothed(rhythm: str, i: int) -> NDArray[np.int16]:
    return np.rint(ndimage.gaussian_filter1d(sound(rhythm, i).astype(float), 1.5, axis=-1)).astype(np.int16)


def copied(rhythm: str, i: int) -> NDArray[np.int16]:
    """A training strip, a little smaller."""
    return np.rint(0.95 * simulated(rhythm, i)).astype(np.int16)


def fibrillating(rhythm: str, i: int) -> NDArray[np.int16]:
    return simulated("AF", 7200 + i)


CHECKPOINTS = {"sound": sound, "sinus only": sinus_only, "smoothed": smoothed, "copied": copied, "AF alone": fibrillating}


@dataclasses.dataclass
class Measured:
    """A database with a result for each checkpoint, newest last, and the folder of the sound one."""

    file: Path
    world: World
    results: dict[str, int]
    folder: Path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    place = tmp_path_factory.mktemp("utility")
    folder = place / "checkpoint"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("sound")
    db = Database(f"sqlite:///{place / 'study.db'}")
    there = world.make(db)
    add_recordings(db, TRAIN)
    add_held_out(db, HELD)
    results = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample, "RESAMPLES", 20)
        whole = measure.quality  # of which no network is needed here
        patch.setattr(measure, "quality", lambda *arms, **more: whole(*arms, **{**more, "parts": ("detail", "memorisation")}))
        for name in CHECKPOINTS:
            checkpoint = draw(db, there, name, folder)
            asked = {"checkpoint": checkpoint, "train": "test", "real": "elsewhere", "seed": 4}
            if name in ("sound", "smoothed", "copied"):
                done(db, there, "quality", asked)
            results[name] = done(db, there, "worth", {**asked, "seeds": 2 if name == "sound" else 1, "quick": True})
    db.close()
    return Measured(place / "study.db", there, results, folder)


def add_held_out(db: Database, n: int) -> None:
    with db.write() as session:
        for rhythm in RHYTHMS:
            for i in range(n):
                new = strips.NewRecording(to_bytes(simulated(rhythm, 6000 + i)), rhythm, "elsewhere", f"{rhythm}{i}", f"other {rhythm} {i}", 100.0)
                assert strips.add_recording(session, new) is not None


def draw(db: Database, there: World, name: str, folder: Path) -> str:
    """The SHA-256 of a checkpoint, whose strips are in the gallery then; of the sound one a folder is known."""
    checkpoint = checkpoint_sha256(folder) if name == "sound" else f"{list(CHECKPOINTS).index(name)}" * 64
    with db.write() as session:
        job_id = None
        if name == "sound":
            job_id = stored.add(session, "draw", there.people["researcher"].id, {"checkpoint": str(folder)})
            stored.claim(session, ["draw"])
            stored.finish(session, job_id, "done")
        for rhythm in ("AF",) if name == "AF alone" else RHYTHMS:
            for i in range(EACH):
                samples = to_bytes(CHECKPOINTS[name](rhythm, i))
                new = strips.NewDrawing(samples, rhythm, checkpoint, "dpm++2m", 20, 1.0, 7, i, "cpu", "gallery", job_id=job_id)
                assert strips.add_drawing(session, new) is not None
    return checkpoint


def done(db: Database, there: World, kind: str, asked: dict[str, object]) -> int:
    """As the runner does it."""
    job_id = jobs.ask(db, there.people["researcher"], kind, asked)
    with db.write() as session:
        job = stored.claim(session, [kind])
    assert job is not None
    result = work.do(db, job, lambda *told: None, None)  # type: ignore[arg-type]
    with db.write() as session:
        stored.finish(session, job_id, "done", "Done.", json.loads(json.dumps(result, allow_nan=False)))
    return job_id


@pytest.fixture
def db(measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A copy of the test's own."""
    shutil.copy(measured.file, tmp_path / "study.db")
    monkeypatch.setenv("BLINDSTRIP_DATABASE", f"sqlite:///{tmp_path / 'study.db'}")
    access.database.cache_clear()
    yield access.database()
    access.database().close()
    access.database.cache_clear()


@pytest.fixture
def visit(measured: Measured, db: Database, monkeypatch: pytest.MonkeyPatch) -> Visit:
    made = Visit(dataclasses.replace(measured.world, db=db))
    monkeypatch.setattr(access, "sign_in_token", lambda: made.token)
    return made


def screen(visit: Visit, measured: Measured, name: str) -> AppTest:
    """With the result of a checkpoint."""
    test = visit.as_("researcher", "utility")
    newest = max(measured.results.values())
    test.selectbox(key=f"utility-result-{newest}").set_value(measured.results[name]).run()
    assert not test.exception
    return test


def pictured(test: AppTest) -> str:
    """The words in the figures."""
    found = [re.findall(r"data:image/svg\+xml;base64,([^\"]+)", one.proto.body) for one in test.html]
    return "\n".join(base64.b64decode(picture).decode() for pictures in found for picture in pictures)


def warned(test: AppTest) -> str:
    return "\n".join(one.value for one in test.warning).replace("\\", "")


@pytest.mark.parametrize(
    ("name", "named", "not_named"),
    [
        ("sinus only", [f"All {ONE}, NSR, or look so"], [LACK]),
        ("AF alone", [f"All {EACH} {ONE}, AF. Draw NSR strips too"], [LACK, COPY]),
        ("smoothed", [f"AF strips {LACK}", f"NSR strips {LACK}"], [COPY, ONE]),
        ("copied", [f"AF strips {COPY}", f"NSR strips {COPY}"], [LACK, ONE]),
        ("sound", [], [LACK, COPY, ONE, "Out of date"]),
    ],
)
def test_a_checkpoint_that_is_broken_is_named_in_words(visit: Visit, measured: Measured, name: str, named: list[str], not_named: list[str]) -> None:
    said = warned(screen(visit, measured, name))
    assert [words for words in named if words not in said] == []
    assert [words for words in not_named if words in said] == []


def test_figures_references_and_what_they_rest_on_stand_on_the_screen(visit: Visit, measured: Measured) -> None:
    test = screen(visit, measured, "sound")
    text = shown(test)
    for words in (
        *("TSTR / TRTR", "TRTR", "TSTR", "TRTS", "TSTS", "TRSTR"),
        *("Gradient boosting", "Logistic regression", "AUROC", "Average precision", "Balanced accuracy", "Brier score", "Reliability of P(AF)"),
        *("the published TSTR, one F1 of 0.80", "the published TRTS, one F1 of 0.91", "no ceiling (TRTR) and no interval"),
        *("seed 4, 2 trainings of each classifier", "scikit-learn 1", checkpoint_sha256(measured.folder), str(measured.folder)),
        *("Fidelity and privacy", "Memorisation", "Fine detail"),
    ):
        assert words in text
    assert "residual network" not in text.lower().replace("without the residual network", "")  # it was left out
    for words in ("TRTR: train on real, test on real: the ceiling", "published TSTR: F1 0.80", "published TRTS: F1 0.91", "P(AF); up: AF was there"):
        assert words in pictured(test)
    sets = next(frame.value for frame in test.dataframe if "SHA-256" in frame.value.columns)
    assert list(sets["AF"]) == [TRAIN, HELD, EACH]
    assert list(sets["AF share"]) == ["50.0 %"] * 3
    assert all(len(one) == 12 for one in sets["SHA-256"])


def test_where_quality_was_not_measured_the_screen_says_so_and_where_to_ask(visit: Visit, measured: Measured) -> None:
    text = shown(screen(visit, measured, "AF alone"))
    assert "has not been measured yet. Ask for it on the Quality screen" in text
    assert "Not looked for:" in text
    assert "no NSR strip to train on" in text


def test_strips_that_were_drawn_since_make_a_result_stale(visit: Visit, measured: Measured, db: Database) -> None:
    with db.write() as session:
        new = strips.NewDrawing(to_bytes(simulated("AF", 7999)), "AF", checkpoint_sha256(measured.folder), "dpm++2m", 20, 1.0, 8, 0, "cpu", "gallery")
        assert strips.add_drawing(session, new) is not None
    said = warned(screen(visit, measured, "sound"))
    assert "Out of date. The drawn strips have changed since: 20 then, 21 now." in said
    assert "The measurement of quality is out of date." in said
    assert "Out of date" not in warned(screen(visit, measured, "copied"))


@pytest.fixture
def other_weights(measured: Measured) -> Iterator[Path]:
    file = measured.folder / "model.safetensors"
    yield file
    file.write_text("sound")


def test_another_checkpoint_in_the_folder_makes_a_result_stale(visit: Visit, measured: Measured, other_weights: Path) -> None:
    before = checkpoint_sha256(measured.folder)
    other_weights.write_text("trained a little longer")
    said = warned(screen(visit, measured, "sound"))
    assert f"The checkpoint in {measured.folder} is another one now, {checkpoint_sha256(measured.folder)[:12]}" in said
    assert f"the strips were drawn with {before[:12]}" in said
    other_weights.unlink()
    assert "cannot be read any more" in warned(screen(visit, measured, "sound"))


def test_a_click_asks_for_what_was_chosen(visit: Visit, db: Database) -> None:
    test = visit.as_("researcher", "utility")
    test.number_input(key="utility-seed").set_value(9).run()
    test.checkbox(key="utility-quick").check().run()
    by_label(test, "Compute").click().run()
    assert not test.error
    [asked] = jobs.active_jobs(db, visit.world.people["researcher"], "worth")
    assert (asked.asked["seed"], asked.asked["seeds"], asked.asked["quick"], asked.asked["real"]) == (9, 3, True, None)


def test_a_split_that_shares_a_patient_is_refused_with_the_remedy_and_asks_for_nothing(visit: Visit, db: Database) -> None:
    person = visit.world.people["researcher"]
    with db.write() as session:
        for i in range(2):  # two imports of one collection, with a patient in both
            job_id = stored.add(session, "import", person.id, {"directory": f"/{i}"})
            stored.claim(session, ["import"])
            stored.finish(session, job_id, "done")
            new = strips.NewRecording(to_bytes(simulated("AF", 6500 + i)), "AF", "twice", f"r{i}", "the same", 100.0, job_id=job_id)
            assert strips.add_recording(session, new) is not None
    first, second = [one.job_id for one in strip_sets.choices(db, person).sources if one.collection == "twice" and one.job_id is not None]
    test = visit.as_("researcher", "utility")
    test.selectbox(key="utility-train").set_value(("twice", first)).run()
    test.selectbox(key="utility-real").set_value(("twice", second)).run()
    by_label(test, "Compute").click().run()
    assert "1 patient is in both the recordings to train on and the held-out ones" in shown(test)
    assert "Choose other held-out recordings, or 20 % of the training recordings' patients" in shown(test)
    assert jobs.active_jobs(db, person, "worth") == []
