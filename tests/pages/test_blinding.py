"""Blinding, over the wire. A reader goes through practice and a round of real recordings and drawn strips; everything the server sends for each case
is kept, and nothing in it but the samples may tell the arms apart, or a case from its repeat."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from pages.access import COOKIE
from pages.desk import script
from tests.pages.blind_round import PLAN, Case, Reading, Sent, blind_round
from tests.pages.wire import data, differences, element, leaves, told

pytestmark = pytest.mark.xdist_group("blinding")  # one round for the file
DEMO = {"the word arm", "the word real", "the word simulated"}  # what every screen of a demo says of itself
WAYS = ("entered", "followed", "http", "pdf", "refused", "again", "revised")


@pytest.fixture(scope="module")
def round_read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with blind_round(tmp_path_factory.mktemp("blinding")) as made:
        yield made


@pytest.fixture
def reading(round_read: Any) -> Reading:
    return round_read[0]


# ---- what was sent ----


def test_the_round_has_both_arms_and_repeats(reading: Reading) -> None:
    assert [len(reading.of(arm)) >= 6 for arm in ("real", "synthetic")] == [True, True]
    assert sorted({case.role for case in reading.cases}) == ["repeat", "scored"]
    assert len({payload(case.entered) for case in reading.cases}) == PLAN.cases - 2  # the strips did cross the wire, each its own


@pytest.mark.parametrize("way", WAYS)
def test_real_and_synthetic_cases_differ_in_nothing_but_the_samples(reading: Reading, way: str) -> None:
    cases = [case for case in reading.cases if getattr(case, way) is not None]
    first = next(case for case in cases if case.arm == "real")
    for case in cases:
        assert differences(getattr(first, way), getattr(case, way), first.place, case.place) == [], f"{case.arm}, {case.role}, {case.place}"


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_truth_is_told(reading: Reading, way: str) -> None:
    allowed = set() if reading.real else DEMO
    for case in reading.cases:
        assert set(told(getattr(case, way), reading.secrets)) <= allowed, case.place


def test_nothing_of_the_truth_is_told_at_the_end_or_in_practice_before_an_answer(reading: Reading) -> None:
    allowed = set() if reading.real else DEMO
    assert set(told(reading.end, reading.secrets)) <= allowed
    for case in reading.practice:
        assert set(told([case.entered, case.refused], reading.secrets)) <= allowed | {"the word practice"}, case.place


@pytest.mark.parametrize("way", ["entered", "refused"])
def test_practice_cases_differ_in_nothing_before_their_answers(reading: Reading, way: str) -> None:
    first = next(case for case in reading.practice if case.arm == "real")
    assert {case.arm for case in reading.practice} == {"real", "synthetic"}
    for case in reading.practice:
        assert differences(getattr(first, way), getattr(case, way), first.place, case.place) == [], f"{case.arm}, {case.place}"


def test_the_same_answer_sent_twice_is_told_the_same(reading: Reading) -> None:
    """What an unsure browser sends again brings what the first brought: the next case, whichever it is."""
    for case, coming in zip(reading.cases, reading.cases[1:], strict=False):
        assert case.twice[0]["json"] == (coming.followed or [{}])[0]["json"]


def test_what_is_sent_is_as_long_for_either_arm(reading: Reading) -> None:
    """Byte by byte: frames of the websocket and bodies of answers, among cases whose position is written with as many digits."""
    compared = set()
    for cases in (reading.cases, reading.practice):
        for way in ("entered", "followed", "refused", "again", "revised"):
            groups: dict[tuple[int, int, bool], list[Case]] = {}
            for case in (case for case in cases if way in case.bytes):
                position = case.place.position
                groups.setdefault((len(str(position)), len(str(position - 1)), position > 1), []).append(case)
            for group in groups.values():
                assert len({case.bytes[way] for case in group}) == 1, (way, [(case.arm, case.bytes[way]) for case in group])
                compared |= {way} if len({case.arm for case in group}) == 2 else set()
    assert compared == {"entered", "followed", "refused", "again", "revised"}


def test_frames_are_not_packed_on_the_way(round_read: Any) -> None:
    """Packed, the length of a message would follow the samples. Browsers always offer to unpack."""
    _reading, server, cookie = round_read
    opening = connect(
        server.url.replace("http", "ws", 1) + "/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]
        additional_headers={"Cookie": f"{COOKIE}={cookie}"},
        compression="deflate",
    )
    with opening as socket:
        assert not socket.protocol.extensions


def test_no_address_leads_to_anything_of_a_case(reading: Reading) -> None:
    """Strips travel in the messages, their paper is drawn by the browser: no file to fetch, whose name or headers could differ."""
    for case in reading.cases:
        for path, value in leaves([case.entered, case.followed]):
            if isinstance(value, str) and not path.endswith(("_content", "-policy")):
                assert "/media/" not in value
                assert "http" not in value.lower().replace("httponly", ""), path


def test_the_script_of_the_desk_is_the_same_for_everybody(reading: Reading) -> None:
    for case in reading.cases:
        assert element(case.entered)["js_content"] == script()


def test_samples_have_the_same_grid_and_the_same_length_in_both_arms(reading: Reading) -> None:
    for case in reading.cases:
        counts = np.frombuffer(base64.b64decode(payload(case.entered)), dtype="<i2").reshape(8, 1000)  # 5 microvolts each: no finer grid
        assert np.all(np.ptp(counts, axis=1) > 10)
        assert np.all(np.abs(np.median(counts, axis=1)) <= 1)


def payload(sent: Sent) -> str:
    [samples] = [value for path, value in leaves(sent) if path.endswith(".counts")]
    assert isinstance(samples, str)
    return samples


# ---- the test of the test: leaks that must be found ----


def one_sample_less(sent: Sent) -> None:
    data(sent)["counts"] = base64.b64encode(base64.b64decode(data(sent)["counts"])[:-2]).decode()


def as_float64(sent: Sent) -> None:
    counts = np.frombuffer(base64.b64decode(data(sent)["counts"]), "<i2")
    data(sent)["counts"] = base64.b64encode(counts.astype("<f8").tobytes()).decode()


def as_a_list(sent: Sent) -> None:
    data(sent)["counts"] = np.frombuffer(base64.b64decode(data(sent)["counts"]), "<i2").tolist()


LEAKS: dict[str, Callable[[Sent], object]] = {
    "samples in another kind": as_float64,
    "samples as a list": as_a_list,
    "a sample less": one_sample_less,
    "a name for the strip": lambda sent: data(sent).update(name="00042_lr"),
    "a lesson": lambda sent: data(sent).update(lesson={"lines": [], "next": "Next case"}),
    "an earlier answer": lambda sent: data(sent).update(given={"realism": 2}),
    "a question more": lambda sent: data(sent).update(questions=[*data(sent)["questions"], "quality"]),
    "other words for the blind": lambda sent: data(sent).update(title=data(sent)["title"] + " "),
    "a hash in the title": lambda sent: data(sent).update(title=data(sent)["title"] + "0123456789abcdef" * 2),
    "a place of another kind": lambda sent: data(sent).update(place=data(sent)["place"] + "s"),
    "the arm in a key": lambda sent: element(sent).update(id=element(sent)["id"] + "-s"),
    "another script": lambda sent: element(sent).update(js_content=element(sent)["js_content"] + ";"),
    "a wrong progress": lambda sent: data(sent).update(done=data(sent)["done"] + 1),
    "a message more": lambda sent: sent.append({"heartbeat_ack": True}),
    "a message less": lambda sent: sent.pop(),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_would_be_found(reading: Reading, leak: str) -> None:
    real, synthetic = (reading.of(arm)[-1] for arm in ("real", "synthetic"))
    leaking = copy.deepcopy(synthetic.entered)
    LEAKS[leak](leaking)
    assert differences(real.entered, synthetic.entered, real.place, synthetic.place) == []
    assert differences(real.entered, leaking, real.place, synthetic.place), leak


def test_a_word_of_the_truth_would_be_found(reading: Reading) -> None:
    for what, word in reading.secrets.items():
        for hidden in ({"alt": f"strip {word}, 25 mm/s"}, {word: None}, {"id": f"$$ID-{word}-strip"}, {"spec": {"data": [{"name": word}]}}):
            assert what in told(hidden, reading.secrets), f"{what} in {hidden}"
