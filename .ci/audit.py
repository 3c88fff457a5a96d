"""Known vulnerabilities in the versions that .constraints.txt names: `make audit`.

pip-audit asks PyPI. Exit status 1 for a vulnerability that .ci/ignored-vulnerabilities.toml does not explain, and for an audit that failed. Where
PyPI, or its answers about vulnerabilities, cannot be reached, that is said and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 50
NOT_CHECKED = "Vulnerabilities NOT CHECKED: service not reached"
UNREACHED = ("ConnectionError", "ServiceError", "Max retries", "timed out", "Could not connect", "Name or service not known", "ProxyError")


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--requirement", ".constraints.txt", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return told(0, f"{NOT_CHECKED} within {SECONDS} s.")
    ignored = tomllib.loads((ROOT / ".ci" / "ignored-vulnerabilities.toml").read_text())
    return judge(done.stdout, done.stderr, ignored)


def judge(output: str, errors: str, ignored: dict[str, Any]) -> int:
    """The exit status for what pip-audit said, with words for people. ignored: identifier to reason."""
    without = [name for name, reason in ignored.items() if not isinstance(reason, str) or len(reason.split()) < 3]
    if without:
        return told(1, f".ci/ignored-vulnerabilities.toml: {', '.join(without)} without a reason. Say why it does not matter here.")
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = errors.strip().splitlines()[-1:] or ["no answer"]
        return told(0, f"{NOT_CHECKED} ({last[0]}).") if any(words in errors for words in UNREACHED) else told(1, f"pip-audit failed:\n{errors}")
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if len(unknown) == len(packages):
        return told(0, f"{NOT_CHECKED} (it knows none of {len(packages)} packages).")
    found = {f"{one['name']} {one['version']}: {flaw['id']}": flaw for one in packages for flaw in one.get("vulns", [])}
    bad = {what: flaw for what, flaw in found.items() if not {flaw["id"], *flaw.get("aliases", [])} & ignored.keys()}
    for what, flaw in bad.items():
        print(f"{what}, repaired in {', '.join(flaw.get('fix_versions', [])) or 'no version yet'}. {flaw.get('description', '')[:200]}")
    some = f"; {len(unknown)} it does not know: {', '.join(unknown)}" if unknown else ""
    checked = len(packages) - len(unknown)
    return told(1 if bad else 0, f"{checked} packages checked, {len(bad)} vulnerabilities, {len(found) - len(bad)} ignored{some}.")


def told(status: int, words: str) -> int:
    print(words)
    return status


if __name__ == "__main__":
    sys.exit(main())
