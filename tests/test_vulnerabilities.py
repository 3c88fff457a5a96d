"""The audit of packages fails for what is known and unexplained, and says so where it could not look."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from typing import Any

import pytest

from tests.conftest import ROOT

_SPEC = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
assert _SPEC is not None
assert _SPEC.loader is not None
audit = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audit)

FLAW = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": "reads too much"}
SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
FLAWED = {"name": "wfdb", "version": "4.3.1", "vulns": [FLAW]}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}
REASON = "2026-11-27: only its plotting, which is not used"


@pytest.mark.parametrize(
    ("packages", "ignored", "status", "words"),
    [
        ([SOUND], {}, 0, "1 packages checked, 0 vulnerabilities"),
        ([SOUND, FLAWED], {}, 1, "wfdb 4.3.1: PYSEC-2026-1, repaired in 2.0"),
        ([SOUND, FLAWED], {"CVE-2026-1": REASON}, 0, "0 vulnerabilities, 1 ignored"),
        ([SOUND, FLAWED], {"CVE-2026-2": REASON}, 1, "1 vulnerabilities"),
        ([SOUND, FLAWED], {"CVE-2026-1": ""}, 1, "without a reason"),
        ([SOUND, UNKNOWN], {}, 0, "1 it does not know: torch"),
        ([UNKNOWN, UNKNOWN], {}, 0, "NOT CHECKED: service not reached"),
    ],
)
def test_what_is_known_fails_unless_it_is_explained(
    packages: list[dict[str, Any]], ignored: dict[str, str], status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.judge(json.dumps({"dependencies": packages, "fixes": []}), "", ignored) == status
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("errors", "status", "words"),
    [
        ("requests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded", 0, "NOT CHECKED: service not reached"),
        ("pip_audit: error: unrecognized arguments", 1, "pip-audit failed"),
        ("No module named pip_audit", 1, "pip-audit failed"),
    ],
)
def test_no_answer_is_told_apart_from_a_failure(errors: str, status: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.judge("", errors, {}) == status
    assert words in capsys.readouterr().out


def test_what_is_ignored_has_its_reasons() -> None:
    ignored = tomllib.loads((ROOT / ".ci" / "ignored-vulnerabilities.toml").read_text())
    assert audit.judge(json.dumps({"dependencies": [SOUND], "fixes": []}), "", ignored) == 0
