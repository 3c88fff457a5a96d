"""Whether a deployment is as it should be: each thing checked, in what state it is, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from sqlalchemy.exc import DBAPIError

from storage import audit, health
from storage.database import Database
from study.errors import Problems

STATES = GOOD, WARNING, BAD, NOT_CHECKED = "good", "warning", "bad", "not checked"
ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 11)
LITTLE, ROOM = 1e9, 15e9  # bytes free: below the first nothing much can be stored; uploads want the second (docs/threat-model.md)
SECONDS_SILENT, SECONDS_WAITING = 20, 300  # study.runner takes a job for lost after the first
SECONDS_APART, SECONDS_WRONG = 2, 60  # clocks
HEADERS = ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-opener-policy")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Check:
    name: str
    state: str  # good, warning, bad, not checked
    words: str
    remedy: str = ""


def examine(url: str, checkpoint: Path | None, web: str | None) -> list[Check]:
    """All checks: of this machine, the database at `url`, the checkpoint (None: the one that ships) and, where given, the address people type."""
    return [
        python(sys.version_info[:2]),
        packages(_lock(ROOT / ".constraints.txt"), _installed()),
        *database(url),
        *disk(url),
        *strips(checkpoint),
        telemetry(ROOT / ".streamlit" / "config.toml", os.environ),
        *(at_address(web) if web else [Check("web address", NOT_CHECKED, "no address was given", "Give the address that people type with --url.")]),
    ]


# ---- this machine ----


def python(version: tuple[int, ...]) -> Check:
    words = ".".join(map(str, version))
    return Check("Python", GOOD, words) if version >= OLDEST_PYTHON else Check("Python", BAD, words, "Install Python 3.11 or newer.")


def packages(lock: Mapping[str, str] | None, installed: Mapping[str, str]) -> Check:
    """Those of the lock that are installed have its versions; a build's own suffix (+cpu) counts as the same."""
    if lock is None:
        return Check("packages", NOT_CHECKED, "no .constraints.txt beside the program", "Install from a checkout, with make run.")
    other = sorted(f"{name} {installed[name]} in place of {lock[name]}" for name in lock.keys() & installed.keys() if installed[name] != lock[name])
    if other:
        return Check("packages", WARNING, ", ".join(other), "Install the lock's versions: make run does.")
    return Check("packages", GOOD, f"{len(lock.keys() & installed.keys())} of the lock's versions")


def disk(url: str) -> Iterator[Check]:
    places = {"disk of uploads": Path(tempfile.gettempdir())}
    if url.startswith("sqlite:///"):
        places["disk of the database"] = Path(url.removeprefix("sqlite:///")).expanduser().parent
    for name, place in places.items():
        if place.is_dir():
            yield free(name, shutil.disk_usage(place).free)


def free(name: str, there: float) -> Check:
    words = f"{there / 1e9:.1f} GB free"
    if there >= ROOM:
        return Check(name, GOOD, words)
    return Check(name, BAD if there < LITTLE else WARNING, words, f"Make room: {ROOM / 1e9:.0f} GB are enough for four uploads at once.")


def telemetry(config: Path, environment: Mapping[str, str]) -> Check:
    """Off in Streamlit's configuration, and not switched on again by the environment, which goes before it."""
    name, remedy = "telemetry", "Set gatherUsageStats = false in .streamlit/config.toml, and start blindstrip from its folder."
    if environment.get("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false").casefold() not in ("false", "0"):
        return Check(name, BAD, "switched on by STREAMLIT_BROWSER_GATHER_USAGE_STATS", "Unset that variable.")
    try:
        told = tomllib.loads(config.read_text(encoding="utf-8")).get("browser", {}).get("gatherUsageStats", True)
    except (OSError, ValueError) as error:
        return Check(name, BAD, f"{config} cannot be read: {error}", remedy)
    return Check(name, GOOD, "off") if told is False else Check(name, BAD, f"not switched off in {config}", remedy)


def strips(checkpoint: Path | None) -> Iterator[Check]:
    import torch

    from generator.sssd.checkpoint import load

    try:
        yield Check("checkpoint", GOOD, f"SHA-256 {load(checkpoint).sha256}")
    except Problems as error:
        yield Check("checkpoint", BAD, str(error), "Name another with BLINDSTRIP_CHECKPOINT, or unset it for the one that ships.")
    if torch.cuda.is_available():
        yield Check("GPU", GOOD, ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))
    elif Path("/proc/driver/nvidia").exists():
        yield Check("GPU", WARNING, "there is one that PyTorch does not see", "Install a CUDA build of PyTorch that fits the driver.")
    else:
        yield Check("GPU", GOOD, f"none: {os.cpu_count()} cores draw")


# ---- the database ----


def database(url: str) -> Iterator[Check]:
    """Reached, of this schema, written to, guarded, in time, its work done. The schema is left as it is."""
    reached = "Check --db or BLINDSTRIP_DATABASE; start blindstrip once to make a new database."
    file = Path(url.removeprefix("sqlite:///")).expanduser() if url.startswith("sqlite:///") else None
    if file is not None and not file.is_file():
        yield Check("database", BAD, f"{file} does not exist", reached)
        return
    try:
        db = Database(url)
    except Problems as error:
        yield Check("database", BAD, str(error), reached)
        return
    try:
        if not db.is_current():
            yield Check("database", BAD, f"{db.engine.url} is of an earlier schema", "Make a backup, then start this version with it.")
            return
        yield Check("database", GOOD, f"{db.engine.url}, at this version's schema")
        yield from _at_work(db)
    except Problems as error:
        yield Check("database", BAD, str(error), reached)
    except DBAPIError as error:
        yield Check("database", BAD, str(error.orig).strip().splitlines()[0], "Give its user the rights that docs/audit.md names.")
    finally:
        db.close()


def _at_work(db: Database) -> Iterator[Check]:
    try:
        health.write_and_take_back(db)
        yield Check("write test", GOOD, "a row was written and taken back")
    except Problems as error:
        yield Check("write test", BAD, str(error), "Check owner, rights and room of the database.")
    with db.read() as session:
        bare = audit.unguarded(session)
    if bare:
        yield Check(
            "guards", BAD, f"can be changed: {', '.join(bare)}", "Restore the database from a backup; docs/audit.md says what the guards are."
        )
    else:
        yield Check("guards", GOOD, f"{len(audit.APPEND_ONLY)} tables refuse changes")
    yield clock(health.seconds_ahead(db))
    yield runner(*health.waiting_and_silent(db))


def clock(ahead: float | None) -> Check:
    if ahead is None:
        return Check("clock", NOT_CHECKED, "SQLite has this machine's")
    state = GOOD if abs(ahead) < SECONDS_APART else WARNING if abs(ahead) < SECONDS_WRONG else BAD
    return Check(
        "clock", state, f"the database's is {ahead:+.1f} s from this machine's", "" if state == GOOD else "Let both machines keep time by NTP."
    )


def runner(waiting: float | None, silent: float | None) -> Check:
    """By what its jobs say: there is no other sign of it. waiting, silent: seconds of storage.health.waiting_and_silent."""
    remedy = "See the server's log; the app starts the runner again by itself."
    if silent is not None and silent > SECONDS_SILENT:
        return Check("runner", BAD, f"a job under way was last heard of {silent:.0f} s ago", remedy)
    if silent is not None:
        return Check("runner", GOOD, "at work")
    if waiting is not None:
        return Check("runner", BAD if waiting > SECONDS_WAITING else WARNING, f"nothing is under way, and a job has waited {waiting:.0f} s", remedy)
    return Check("runner", NOT_CHECKED, "no work is under way or waiting")


# ---- the address that people type ----


def at_address(web: str) -> Iterator[Check]:
    """Health, security headers, TLS, and whether a proxy passes on what it must."""
    import httpx

    place = urlparse(web)
    try:
        with httpx.Client(base_url=web, timeout=10) as client:
            healthy, page = client.get("/healthz"), client.get("/")
            upgrade = {
                "connection": "Upgrade",
                "upgrade": "websocket",
                "sec-websocket-version": "13",
                "sec-websocket-key": "YmxpbmRzdHJpcGRvY3Rvcg==",
            }
            socket = client.get("/_stcore/stream", headers=upgrade)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield Check("web address", BAD, f"{web}: {error}", "Check the address, the certificate, and that blindstrip and its proxy run.")
        return
    if healthy.status_code == 200 and healthy.text == "ok":
        yield Check("web address", GOOD, f"{web} is healthy")
    else:
        yield Check("web address", BAD, f"{web}/healthz answered {healthy.status_code}", "See the server's log.")
    missing = [name for name in HEADERS if name not in page.headers]
    yield Check(
        "security headers", BAD if missing else GOOD, f"missing: {', '.join(missing)}" if missing else "all there", _PASS_ON if missing else ""
    )
    yield _encrypted(place.scheme == "https", place.hostname in _LOOPBACK, "strict-transport-security" in page.headers)
    yield (
        Check("websocket", GOOD, "passed on")
        if socket.status_code == 403
        else Check(
            "websocket", BAD, f"not passed on (status {socket.status_code})", "Let the proxy pass on Upgrade and Connection: deploy/nginx.conf."
        )
    )


_PASS_ON = "Let the proxy pass on the headers of blindstrip's answers."


def _encrypted(https: bool, loopback: bool, told: bool) -> Check:
    """told: the server answered as one that was reached by HTTPS, which it knows from the proxy alone."""
    if https and told:
        return Check("HTTPS", GOOD, "the server knows that people come by HTTPS")
    if https:
        return Check("HTTPS", BAD, "the server does not know of it: cookies are not Secure", "Pass X-Forwarded-Proto on; see FORWARDED_ALLOW_IPS.")
    remedy = "Put a proxy with TLS before it: deploy/nginx.conf."
    return Check("HTTPS", WARNING if loopback else BAD, "passwords travel in plain" + (" on this machine" if loopback else ""), remedy)


# ---- versions ----


def _lock(file: Path) -> dict[str, str] | None:
    if not file.is_file():
        return None
    pairs = (line.split("==") for line in file.read_text(encoding="utf-8").splitlines() if "==" in line and not line.startswith("#"))
    return {_plain(name): version.strip() for name, version in pairs}


def _installed() -> dict[str, str]:
    found = importlib.metadata.distributions()
    return {_plain(one.name): one.version.partition("+")[0] for one in found if one.name}


def _plain(name: str) -> str:
    """As package indexes compare names: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
