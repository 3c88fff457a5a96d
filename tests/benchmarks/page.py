"""From Submit to the next strip painted, beside a bare Streamlit page in the same run: `blindstrip bench page`, or `python -m tests.benchmarks.page`.

A headless Chromium reads a round on a server of its own, alone and then beside simulated readers, who hold Streamlit's websocket open and answer as
the desk does. Seconds depend on the machine; the ratio hardly does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import select

from generator.request import RHYTHMS, DrawRequest
from generator.sssd import draw as sssd
from storage.database import Database
from storage.tables import Placement, ReadingCase, Truth
from study.load.measure import THINKING, at_work, summary
from study.load.setting import set_up
from study.people import Person
from tests.browser.conftest import _FLAGS as FLAGS
from tests.browser.driving import ROOT, at_the_desk, free_port, on_desk, press, settled, start_server
from tests.conftest import chromium

BARE = """
import streamlit as st
st.session_state.setdefault("n", 0)
def on(): st.session_state.n += 1
st.button("Next", on_click=on)
st.text(f"line {st.session_state.n}")
"""
# Milliseconds from the click until what it asked for is there and a frame with it has been handed over. Elements of our own stand in shadow trees.
CLICK = """([button, selector, text]) => new Promise((done, failed) => {
  const trees = (root) => [root, ...[...root.querySelectorAll("*")].filter((one) => one.shadowRoot).flatMap((one) => trees(one.shadowRoot))];
  const find = (root, wanted) => trees(root).flatMap((tree) => [...tree.querySelectorAll(wanted)]);
  const pressed = find(document, button)[0], tree = pressed.getRootNode(), begun = performance.now();
  const there = () => [...tree.querySelectorAll(selector)].some((one) => text === null || one.textContent === text);
  const handedOver = () => {
    const next = new MessageChannel();
    next.port1.onmessage = () => done(performance.now() - begun);
    next.port2.postMessage(0);
  };
  const look = () => {
    if (there()) requestAnimationFrame(handedOver);
    else if (performance.now() - begun > 20000) failed(new Error("nothing came"));
    else requestAnimationFrame(look);
  };
  pressed.click();
  look();
})"""


def measure(*, cases: int, readers: int) -> dict[str, Any]:
    """Milliseconds of `cases` clicks on the bare page, on the reading page, and on the reading page beside `readers` others."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        server = start_server(folder)
        bare = _bare(folder)
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        db = Database(server.database)
        try:
            drawn = [counts for rhythm in RHYTHMS for counts in _drawn(rhythm, -(-(cases + 1) // 2))]
            who = set_up(db, 2 * cases + 2, 1 + readers, drawn)
            reader, token = who[0]
            desk = at_the_desk(server, browser, token)
            plain = browser.new_page()
            _wait_for(plain, bare.url)
            lines, alone = [], []
            for position in range(1, cases + 1):  # in turn: what slows the machine slows both
                lines.append(_next_line(plain, position))
                alone.append(_next_strip(desk, position))
            with at_work(server.url, [token for _, token in who[1:]]) as work:
                time.sleep(THINKING[1] if readers else 0)  # until all are in their stride
                beside = [_next_strip(desk, position) for position in range(cases + 1, 2 * cases + 1)] if readers else []
            arms = arms_that_came(db, reader)
        finally:
            browser.close()
            bare.stop()
            server.stop()
            db.close()
    found = {"bare page": summary(lines), "reading page": summary(alone)}
    by_arm = {arm: summary([ms for ms, one in zip(alone + beside, arms, strict=False) if one == arm]) for arm in ("real", "synthetic")}
    return {
        "clicks": cases,
        "milliseconds": found | ({f"beside {readers} readers": summary(beside)} if readers else {}),
        "by arm, all of the reading page": by_arm,
        "median of the reading page / bare page": round(found["reading page"]["median"] / found["bare page"]["median"], 2),
        **({"answers of the readers beside": len(work.taken)} if readers else {}),
    }


# ---- clicks ----


def _next_line(page: Page, number: int) -> float:
    settled(page)
    ms: float = page.evaluate(CLICK, [".stButton button", "[data-testid=stText]", f"line {number}"])
    return ms


def _next_strip(page: Page, position: int) -> float:
    on_desk(page, f"1-{position}")
    settled(page)
    press(page, "2ny")
    ms: float = page.evaluate(CLICK, [".end .submit", f'.desk[data-painted="1-{position + 1}"]', None])
    return ms


# ---- what is clicked ----


class _Bare:
    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def _bare(folder: Path) -> _Bare:
    script, port = folder / "bare.py", free_port()
    script.write_text(BARE)
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    return _Bare(f"http://127.0.0.1:{port}", subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def _wait_for(page: Page, url: str) -> None:
    for _ in range(100):
        try:
            page.goto(url)
            page.get_by_role("button", name="Next").wait_for(timeout=20_000)
            return
        except Exception:  # not up yet
            time.sleep(0.3)
    raise RuntimeError("The bare page did not start.")


def _drawn(rhythm: str, number: int) -> list[Any]:
    made = sssd.draw(DrawRequest(rhythm=rhythm, n=2 * number, seed=3, steps=8), checkpoint=sssd.load(device="cpu"))
    return [one.counts for one in made if one.counts is not None][:number]


def arms_that_came(db: Database, reader: Person) -> list[str]:
    """The arm of what each click brought: the strip of the next position."""
    with db.read() as session:
        rows = session.scalars(
            select(Truth.arm)
            .join(ReadingCase, ReadingCase.strip_id == Truth.strip_id)
            .join(Placement, Placement.case_id == ReadingCase.id)
            .where(Placement.reader_id == reader.id)
            .order_by(Placement.position)
        )
        return list(rows)[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--readers", type=int, default=20)
    given = parser.parse_args()
    if chromium() is None:
        sys.exit("No Chromium on the path. Install it (Debian: apt-get install chromium) and try again.")
    print(json.dumps(measure(cases=given.clicks, readers=given.readers), indent=1))


if __name__ == "__main__":
    main()
