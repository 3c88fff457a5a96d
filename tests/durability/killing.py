"""Readers at work on a server that is killed again and again: what they were told is stored, against what is there at the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import select

from storage.database import Database
from storage.tables import Judgement, Placement
from study import audit_check
from study.answers import Answer
from study.load.reader import Away, Case, Reader, some_answer
from study.load.server import Server, free_port, is_well, start
from study.load.setting import set_up
from study.people import Person
from tests.durability.unit import command
from tests.study.waiting import until
from tests.world import beats

READERS = 4
CASES_PER_KILL = 20  # what a reader can answer in one life of the server, and more
LONGEST_LIFE = 1.5  # seconds from the first sign of life to the kill
LONGEST_START = 3.0  # seconds from the start to the kill, where it is killed while it starts
WHILE_STARTING = 0.1  # of the kills
THINKING = 0.1  # seconds at most: somebody is always sending
BETWEEN_ATTEMPTS = 0.1


@dataclass
class Told:
    """What one reader sent, and what the server said of it."""

    sent: dict[str, Answer] = field(default_factory=dict)  # place -> the answer
    acknowledged: list[tuple[int, float]] = field(default_factory=list)  # (position, Unix time of the start of the server that said so)
    again: set[str] = field(default_factory=set)  # places that were sent more than once
    attempts: int = 0
    at_desk: bool = False


@dataclass(frozen=True)
class Report:
    seed: int
    kills: int
    while_starting: int
    acknowledged: int
    sent_again: int  # answers whose first sending brought no receipt
    receipts_lost: int  # of them: they were stored already, and the kill took the receipt alone
    attempts: int
    present: int
    audit_entries: int
    seconds: float


def run(url: str, folder: Path, kills: int, seed: int, unit: tuple[str, str] | None = None) -> Report:
    """Prints each kill. unit: name and address of a systemd service on that database, which is killed in place of a server of our own.

    Raises AssertionError where an acknowledged judgement is missing, another or doubled, or an order does not go on; StorageError where the
    audit trail does not hold.
    """
    begun, chance = time.monotonic(), random.Random(seed)
    with closing(Database(url)) as db:
        db.migrate()
        who = set_up(db, CASES_PER_KILL * (kills + 1), READERS, strip=lambda _rhythm, number: beats(number))
    service, over = _Unit(*unit) if unit else _Service(url, folder), threading.Event()
    service.start()
    told = [Told() for _ in who]
    faults: list[BaseException] = []
    threads = [
        threading.Thread(target=_kept, args=(faults, _read, service, *one, seed + i, over)) for i, one in enumerate(zip(who, told, strict=True))
    ]
    for thread in threads:
        thread.start()
    early = 0
    try:
        until(lambda: bool(faults) or all(one.at_desk for one in told))
        for number in range(kills):
            starting = chance.random() < WHILE_STARTING
            if not starting:
                service.wait()
            early += starting
            time.sleep(moment := chance.uniform(0, LONGEST_START if starting else LONGEST_LIFE))
            service.kill()
            when = "from its start, starting" if starting else "from its first sign of life"
            stored = sum(len(one.acknowledged) for one in told)
            print(f"seed {seed}, kill {number + 1}: {moment:.3f} s {when}; {stored} answers acknowledged so far", flush=True)
            service.start()
        service.wait()
        over.set()  # who waits for a receipt goes on until it is there
        for thread in threads:
            thread.join()
        assert not faults, faults[0]
        _next_cases(service, who, told)
    finally:
        over.set()
        service.kill()
    with closing(Database(url)) as db:
        present, lost = _compared(db, who, told)
        trail = audit_check.database(db)
    assert trail["judgements"] == present
    acknowledged, again = sum(len(one.acknowledged) for one in told), sum(len(one.again) for one in told)
    attempts = sum(one.attempts for one in told)
    seconds = round(time.monotonic() - begun, 1)
    return Report(seed, kills, early, acknowledged, again, lost, attempts, present, trail["audit_entries"], seconds)


class _Service:
    """The server as its unit would have it: at one port, started again at once. `since`: Unix time of the last start."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._log, self._port = url, folder / "server.log", free_port()
        self.since = 0.0

    def start(self) -> None:
        self.since = time.time()
        self._server: Server = start(self._url, self._port, self._log, command())

    def wait(self) -> None:
        self._server.wait()

    @property
    def address(self) -> str:
        return self._server.url

    def kill(self) -> None:
        """SIGKILL to the server and then to all that it started, as systemd does after its main process has died so."""
        main = psutil.Process(self._server.process.pid)
        family = [main, *main.children(recursive=True)]
        for one in family:
            one.kill()
        self._server.process.wait()
        psutil.wait_procs(family, timeout=10)


class _Unit:
    """The server of a systemd unit: we kill its main process, systemd does the rest. `since`: Unix time of the last start."""

    def __init__(self, name: str, address: str) -> None:
        self._name, self.address, self._killed = name, address, 0
        self.since = 0.0

    def start(self) -> None:
        """Waits until systemd has."""
        until(lambda: self._main() not in (0, self._killed))
        self.since = time.time()

    def wait(self) -> None:
        until(lambda: is_well(self.address))

    def kill(self) -> None:
        self._killed = self._main()
        os.kill(self._killed, signal.SIGKILL)

    def _main(self) -> int:
        shown = subprocess.run(["systemctl", "show", "--property=MainPID", "--value", self._name], check=True, capture_output=True, text=True)
        return int(shown.stdout)


def _kept(faults: list[BaseException], read: object, *details: object) -> None:
    try:
        read(*details)  # type: ignore[operator]
    except BaseException as fault:
        faults.append(fault)


def _read(service: _Service | _Unit, whose: tuple[Person, str], told: Told, seed: int, over: threading.Event) -> None:
    """Until it is over: thinks, sends, and sends again what no receipt came for."""
    chance = random.Random(seed)
    with Reader(service.address, whose[1]) as reader:
        case = _opened(reader)
        told.at_desk = True
        while case is not None and not over.wait(chance.uniform(0, THINKING)):
            answer = told.sent.setdefault(case.place, some_answer(chance, f"{whose[0].username} at {case.place}"))
            case = _sent(reader, case, answer, told, service)


def _opened(reader: Reader) -> Case | None:
    while True:
        try:
            return reader.open()
        except Away:
            time.sleep(BETWEEN_ATTEMPTS)


def _sent(reader: Reader, case: Case, answer: Answer, told: Told, service: _Service | _Unit) -> Case | None:
    while True:
        since, told.attempts = service.since, told.attempts + 1
        try:
            following = reader.submit(case, answer)
        except Away:
            told.again.add(case.place)
            time.sleep(BETWEEN_ATTEMPTS)
        else:
            told.acknowledged.append((case.position, since))
            return following


def _next_cases(service: _Service | _Unit, who: list[tuple[Person, str]], told: list[Told]) -> None:
    """Each reader's screen shows the case after the last that was acknowledged."""
    for (person, token), one in zip(who, told, strict=True):
        with Reader(service.address, token) as reader:
            case = reader.open()
        assert case is not None, f"{person.username} has no case left: the round was too short"
        assert case.position == len(one.acknowledged) + 1, f"{person.username} is shown case {case.position} after {len(one.acknowledged)}"


def _compared(db: Database, who: list[tuple[Person, str]], told: list[Told]) -> tuple[int, int]:
    """Judgements that are there, and how many of them were there before the server that acknowledged them was started."""
    present = lost = 0
    with db.read() as session:
        for (person, _token), one in zip(who, told, strict=True):
            order = {row.case_id: row.position for row in session.scalars(select(Placement).where(Placement.reader_id == person.id))}
            rows = list(session.scalars(select(Judgement).where(Judgement.reader_id == person.id).order_by(Judgement.id)))
            there = [(order[row.case_id], row.revision) for row in rows]
            doubled = [place for place, times in Counter(there).items() if times > 1]
            assert not doubled, f"{person.username}: doubled at {doubled}"
            assert [position for position, _ in one.acknowledged] == list(range(1, len(one.acknowledged) + 1)), f"{person.username}: order broken"
            assert there == [(position, 1) for position, _ in one.acknowledged], f"{person.username}: acknowledged and present differ"
            for row, (position, since) in zip(rows, one.acknowledged, strict=True):
                answer = next(answer for place, answer in one.sent.items() if place.endswith(f"-{position}"))
                there_says = Answer.from_dict({name: getattr(row, name) for name in Answer.__dataclass_fields__})
                assert there_says == answer, f"{person.username}: another answer at {position}"
                lost += row.submitted_at.timestamp() < since
            present += len(rows)
    return present, lost
