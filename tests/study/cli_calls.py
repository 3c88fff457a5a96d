"""Commands called in this process, and what their answers must be."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from study import cli

PASSWORD = "correct horse battery"

Run = Callable[..., dict[str, Any]]


def call(*arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = cli.main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def run(*arguments: object) -> dict[str, Any]:
    """The answer of a command that must succeed: exactly one JSON object on standard output, nothing else."""
    status, out, err = call(*arguments, "--json")
    assert status == 0, err
    answered = json.loads(out)
    assert isinstance(answered, dict)
    assert out.count("\n") == 1
    return answered


def fails(*arguments: object) -> str:
    """The sentence of a command that must not succeed: status 2, nothing on standard output, at most progress before it."""
    status, out, err = call(*arguments, "--json")
    assert (status, out) == (2, "")
    *_progress, sentence = err.splitlines()
    assert sentence.startswith("blindstrip: ")
    assert "Traceback" not in err
    assert "fault of blindstrip" not in err
    return sentence


def add(ask: Run, folder: Path, username: str, role: str, site: str = "North") -> dict[str, Any]:
    """The first, who has to be an administrator, gets a password; others a link."""
    password = folder / "password"
    secret = [] if password.exists() else ["--password-file", password]
    password.write_text(PASSWORD + "\n")
    return ask("people", "add", username, "--name", username.title(), "--role", role, "--site", site, *secret)
