"""The measurement of a server under many readers: what it speaks is what Streamlit speaks, and it counts what is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from storage.database import Database
from study.cli import FAILED, main
from study.load import measure, reader
from tests import world


def test_the_message_that_runs_a_screen_is_streamlit_s() -> None:
    read = BackMsg.FromString(reader.run_message("round=12"))
    assert read.WhichOneof("type") == "rerun_script"
    assert read.rerun_script.query_string == "round=12"
    assert reader.run_message("round=12") == read.SerializeToString()


@pytest.mark.parametrize(
    ("message", "end"),
    [
        (ForwardMsg(hash="h" * 300, script_finished=ForwardMsg.FINISHED_SUCCESSFULLY), True),
        (ForwardMsg(script_finished=ForwardMsg.FINISHED_WITH_COMPILE_ERROR), True),
        (ForwardMsg(script_finished=ForwardMsg.FINISHED_EARLY_FOR_RERUN), False),
        (ForwardMsg(hash="h", ref_hash="0" * 200), False),
        (ForwardMsg(), False),
    ],
)
def test_the_end_of_a_run_is_read_as_streamlit_writes_it(message: ForwardMsg, end: bool) -> None:
    message.metadata.cacheable = True
    assert reader.is_end(message.SerializeToString()) is end


def test_readers_on_a_server_of_their_own_are_counted_with_and_without_drawing_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "THINKING", (0.1, 0.2))
    monkeypatch.setattr(measure, "SECONDS_TO_COME_IN", 0.1)
    monkeypatch.setattr(measure, "SECONDS_TO_OPEN", 5.0)
    found = measure.load(readers=2, minutes=0.05, drawing=1)
    assert found["judgements"]["expected"] == found["judgements"]["present"] > 0
    assert found["sent_again"] == 0
    took = found["milliseconds_from_submit_to_next_strip"]
    assert sum(one["answers"] for one in took.values()) == found["judgements"]["expected"]
    assert all(one["median"] <= one["95th percentile"] for one in took.values() if one["answers"])
    assert found["drawing"]["strips_asked"] == 1
    assert len(found["server_memory_mb_by_minute"]) == 1
    assert found["server_memory_mb_by_minute"][0] > 50
    assert found["memory_growth_mb_from_minute_2"] is None  # there is none


def test_a_database_with_people_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = Database(f"sqlite:///{tmp_path / 'study.db'}")
    world.make(db)
    db.close()
    assert main(["bench", "load", "--db", db.url, "--readers", "1", "--minutes", "1"]) == FAILED
    assert "empty database" in capsys.readouterr().err


def test_the_95th_percentile_is_a_value_that_95_of_100_do_not_exceed() -> None:
    assert measure.summary([float(one) for one in range(100, 0, -1)]) == {"median": 50.5, "95th percentile": 95.0}
    assert measure.summary([7.0]) == {"median": 7.0, "95th percentile": 7.0}
