"""Drawing from the sidebar: what can be asked of a checkpoint, how long it would take, and what is asked in the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from generator.request import TRAINING_BEATS, checkpoint_sha256, shipped_checkpoint
from generator.sssd.config import read_config
from generator.sssd.schedule import Schedule
from storage import jobs as stored
from storage import speeds, strips
from storage.database import Database
from storage.jobs import JobRow
from storage.strips import NewRejection
from study import checkpoints, jobs
from tests.pages.visiting import Visit, by_label, shown
from tests.study import tiny


@dataclass
class Sidebar:
    """The drawing screen of the world's researcher."""

    visit: Visit
    test: AppTest

    def choose(self, **chosen: object) -> Sidebar:
        """Enters values by the ends of their keys."""
        for name, value in chosen.items():
            kinds: tuple[Any, ...] = (self.test.radio, self.test.number_input, self.test.selectbox)
            [widget] = [one for kind in kinds for one in kind if one.key == f"draw-{name}"]
            widget.set_value(value)
            self.test.run()
        assert not self.test.exception
        return self

    def draw(self) -> Sidebar:
        by_label(self.test, "Draw").click().run()
        return self

    def text(self) -> str:
        return shown(self.test)

    def can_enter(self, label: str) -> bool:
        [widget] = [one for one in self.test.number_input if one.label == label]
        return not widget.disabled

    def jobs(self) -> list[JobRow]:
        return jobs.recent_jobs(self.visit.world.db, self.visit.world.people["researcher"], "draw")


@pytest.fixture(autouse=True)
def _typing(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest chooses from a list only; a browser also sends what somebody types into the box."""

    def state(box: Selectbox[Any]) -> WidgetState:
        label = box.format_func(box.value)
        return WidgetState(id=box.id, string_value=label if label in box.options else str(box.value))

    monkeypatch.setattr(Selectbox, "_widget_state", property(state))


@pytest.fixture
def sidebar(visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sidebar:
    monkeypatch.setattr(checkpoints, "_FOLDER", str(tmp_path / "checkpoints"))
    return Sidebar(visit, visit.as_("researcher", "gallery"))


@pytest.fixture
def converted(tmp_path: Path) -> str:
    """A published checkpoint as it is after conversion: no rhythm track, never without labels."""
    check = {"plausible": False}
    return tiny.write(tmp_path / "converted", Schedule(T=150), unconditional=False, converted_from="published.pkl", check=check)


def _measured(db: Database, *, seconds: float, device: str = "x86_64 CPU", workers: int = 1, folder: Path | None = None) -> None:
    """As if the runner had drawn with a checkpoint, the shipped one by default."""
    at = folder or shipped_checkpoint()
    operations = read_config(at).network.operations()
    with db.write() as session:
        speeds.note(session, checkpoints.sha256(at), device, seconds=seconds, operations=operations, workers=workers, weight=1)


def test_what_is_entered_is_what_is_asked(sidebar: Sidebar) -> None:
    sidebar.choose(rhythm="AF", n=25, seed=77, steps=12, guidance=2.5, rate=95).draw()
    [job] = sidebar.jobs()
    request = {"rhythm": "AF", "n": 25, "seed": 77, "steps": 12, "sampler": "dpm++2m-sde", "guidance": 2.5, "heart_rate": 95.0}
    assert job.asked == {"request": request, "checkpoint": None}
    assert job.total == 25


def test_the_time_it_takes_is_told_before_and_follows_what_is_entered(sidebar: Sidebar, db: Database) -> None:
    assert "not known yet" in sidebar.text()
    _measured(db, seconds=0.01)
    assert "About 20 s for 100 strips: 0.2 s a strip and core on x86_64 CPU, 1 worker. No GPU here: the CPU draws." in sidebar.choose(n=100).text()
    assert "About 40 s for 100 strips: 0.4 s a strip" in sidebar.choose(steps=40).text()
    assert "About 65 s for 100 strips: 0.64 s a strip" in sidebar.choose(guidance=3).text()
    assert "About 5 min for 100 strips: 3.2 s a strip" in sidebar.choose(sampler="ancestral").text()  # 200 steps, whatever the others are
    assert "from the size of its network" not in sidebar.text()


def test_several_workers_share_the_work(sidebar: Sidebar, db: Database) -> None:
    _measured(db, seconds=1, workers=3)
    assert "About 11 min for 100 strips: 20 s a strip and core on x86_64 CPU, 3 workers." in sidebar.choose(n=100).text()


def test_a_gpu_takes_as_long_for_a_part_of_a_batch(sidebar: Sidebar, db: Database) -> None:
    _measured(db, seconds=0.01, device="NVIDIA H100")
    assert "About 13 s for 1 strip: 0.2 s a strip on NVIDIA H100, 1 worker." in sidebar.choose(n=1).text()
    assert "About 13 s for 64 strips" in sidebar.choose(n=64).text()
    assert "About 25 s for 65 strips" in sidebar.choose(n=65).text()
    assert "GPU here" not in sidebar.text()


def test_a_checkpoint_that_has_not_been_drawn_with_is_estimated_from_its_size(sidebar: Sidebar, db: Database, converted: str) -> None:
    own, shipped = (read_config(folder).network.operations() for folder in (Path(converted), shipped_checkpoint()))
    _measured(db, seconds=5 * shipped / own)  # so that this one would take 5 s an evaluation
    text = sidebar.choose(checkpoint=converted, n=1, steps=10).text()
    assert "About 50 s for 1 strip: 50 s a strip" in text
    assert "That follows from the size of its network; it has not been drawn with here yet." in text
    _measured(db, seconds=3, folder=Path(converted))
    assert "About 30 s for 1 strip: 30 s a strip" in sidebar.choose(seed=2).text()
    assert "size of its network" not in sidebar.text()


def test_drawings_of_others_are_told(sidebar: Sidebar, db: Database) -> None:
    _measured(db, seconds=0.01)
    with db.write() as session:
        stored.add(session, "draw", sidebar.visit.world.people["coordinator"].id, {})
        stored.add(session, "draw", sidebar.visit.world.people["researcher"].id, {"checkpoint": None})
    assert "Longer, as 1 other drawing will take turns with it." in sidebar.choose(n=100).text()


def test_a_typed_folder_is_drawn_with_and_offered_again(sidebar: Sidebar, converted: str) -> None:
    sidebar.choose(checkpoint=converted)
    text = sidebar.text()
    assert "1 block of 4 channels. Converted from a published checkpoint: I, II, V1, V2, V3, V4, V5, V6" in text
    assert "leads that no heart makes" in text
    sidebar.draw()
    [job] = sidebar.jobs()
    assert job.asked["checkpoint"] == converted
    assert converted in {str(folder) for folder in checkpoints.known(sidebar.visit.world.db, sidebar.visit.world.people["researcher"])}


def test_what_a_checkpoint_cannot_do_cannot_be_entered_and_is_not_asked(sidebar: Sidebar, converted: str) -> None:
    sidebar.choose(guidance=4, rate=90)
    assert all(map(sidebar.can_enter, ("Steps", "Guidance", "Heart rate (beats/min)")))
    sidebar.choose(checkpoint=converted, sampler="ancestral")
    assert not any(map(sidebar.can_enter, ("Steps", "Guidance", "Heart rate (beats/min)")))
    helps = {one.label: one.help for one in sidebar.test.number_input}
    assert "rhythm track" in helps["Heart rate (beats/min)"]
    assert "without labels" in helps["Guidance"]
    assert [one.value for one in sidebar.test.number_input if one.label == "Steps"] == [150]  # its schedule's
    sidebar.draw()
    [job] = sidebar.jobs()
    assert (job.asked["request"]["guidance"], job.asked["request"]["heart_rate"]) == (1.0, None)


@pytest.mark.parametrize(("folder", "words"), [("/nowhere/at/all", "does not exist. A checkpoint is a folder with"), ("here", "from the root on")])
def test_a_folder_that_is_no_checkpoint_is_refused(sidebar: Sidebar, folder: str, words: str) -> None:
    assert words in sidebar.choose(checkpoint=folder).text()
    assert [one.disabled for one in sidebar.test.button if one.label == "Draw"] == [True]


def test_checkpoints_that_are_there_are_offered_the_one_of_the_environment_first(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checkpoints, "_FOLDER", str(tmp_path / "checkpoints"))
    chosen, own = tiny.write(tmp_path / "chosen"), tiny.write(tmp_path / "checkpoints" / "own")
    (tmp_path / "checkpoints" / "empty").mkdir()
    monkeypatch.setenv("BLINDSTRIP_CHECKPOINT", chosen)
    sidebar = Sidebar(visit, visit.as_("researcher", "gallery"))
    assert checkpoints.known(visit.world.db, visit.world.people["researcher"]) == [Path(chosen), shipped_checkpoint(), Path(own)]
    sidebar.draw()
    assert [job.asked["checkpoint"] for job in sidebar.jobs()] == [chosen]


def test_the_shipped_checkpoint_can_be_asked_for_beside_that_of_the_environment(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BLINDSTRIP_CHECKPOINT", tiny.write(tmp_path / "chosen"))
    sidebar = Sidebar(visit, visit.as_("researcher", "gallery")).choose(checkpoint=str(shipped_checkpoint())).draw()
    assert [job.asked["checkpoint"] for job in sidebar.jobs()] == [None]  # the workers' own, wherever they are


def test_a_running_job_shows_strips_done_in_part_and_the_time_left(sidebar: Sidebar, db: Database) -> None:
    sidebar.choose(n=100).draw()
    with db.write() as session:
        job = stored.claim(session)
        assert job
        stored.beat(session, job.id, done=12.44, message="Drawing, about 3 min left")
    [bar] = sidebar.test.run().get("progress")
    assert bar.proto.text.replace("\\", "") == "Drawing, about 3 min left (12.4 of 100)"
    assert bar.proto.value == 12


def test_a_checkpoints_hash_is_read_again_when_what_copies_are_told_by_comes_or_goes(converted: str) -> None:
    folder = Path(converted)
    without = checkpoints.sha256(folder)
    (folder / TRAINING_BEATS).write_bytes(b"some")
    assert checkpoints.sha256(folder) == checkpoint_sha256(folder) != without
    (folder / TRAINING_BEATS).unlink()
    assert checkpoints.sha256(folder) == without


# ---- what was rejected ----


def _drawing(sidebar: Sidebar, db: Database, accepted: int, reasons: dict[str, int]) -> None:
    """A drawing that has ended."""
    sidebar.choose(n=accepted + sum(reasons.values())).draw()
    with db.write() as session:
        job = stored.claim(session)
        assert job
        refused = [reason for reason, times in reasons.items() for _ in range(times)]
        strips.add_rejections(session, [NewRejection("c" * 64, "NSR", 1, number, reason, job.id) for number, reason in enumerate(refused)])
        stored.finish(session, job.id, "done", result={"drawn": accepted, "already_present": 0, "rejected": len(refused)})
    sidebar.test.run()
    assert not sidebar.test.exception


def test_rejected_samples_are_told_with_their_reasons(sidebar: Sidebar, db: Database) -> None:
    _drawing(sidebar, db, 38, {"NSR without P waves": 2})
    assert "2 of 40 samples were rejected (5.0 %): NSR without P waves: 2." in sidebar.text()
    assert not sidebar.test.warning
    [table] = sidebar.test.dataframe
    assert table.value.to_dict("records") == [
        {"Checkpoint": "c" * 12, "Rhythm": "NSR", "Samples": 2, "Rejected": 2, "Share": 1.0, "Why": "NSR without P waves: 2"}
    ]


def test_more_than_a_tenth_rejected_is_warned_of(sidebar: Sidebar, db: Database) -> None:
    _drawing(sidebar, db, 30, {"flat lead": 6, "NSR without P waves": 4})
    [warning] = sidebar.test.warning
    assert "More than 10 % had to be rejected. 10 of 40 samples were rejected (25.0 %): flat lead: 6" in warning.value.replace("\\", "")


def test_a_checkpoint_by_which_copies_cannot_be_told_says_so(sidebar: Sidebar, converted: str) -> None:
    sentence = "copies of its training strips could be told: they are not looked for"
    assert sentence in sidebar.choose(checkpoint=converted).text()
    (Path(converted) / TRAINING_BEATS).write_bytes(b"")
    sidebar.test.run()
    assert sentence not in sidebar.text()
