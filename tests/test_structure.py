"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"app", "pages", "study", "generator", "storage"}


def imported(file: Path) -> set[str]:
    """Top-level names of everything a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_front_door_knows_pages_and_study_only() -> None:
    assert imported(ROOT / "app.py") & ROOMS <= {"pages", "study"}


def test_nothing_but_the_app_and_the_pages_knows_streamlit() -> None:
    for room in ("study", "generator", "storage"):
        knowing = [str(file.relative_to(ROOT)) for file in (ROOT / room).rglob("*.py") if "streamlit" in imported(file)]
        assert not knowing


def test_page_modules_run_nothing_when_they_are_imported() -> None:
    """Streamlit could be made to run a file in pages/ by its name alone: it must show nothing."""
    inert = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for file in (ROOT / "pages").glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            type_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            assert isinstance(node, inert) or docstring or type_only, f"{file.name}, line {node.lineno}"
            assert not (isinstance(node, ast.Assign) and "st." in ast.unparse(node.value)), f"{file.name}, line {node.lineno}"


def test_the_web_process_imports_no_torch_and_no_classifiers() -> None:
    heavy = ("torch", "distributed", "dask", "sklearn")
    code = f"import app, pages.screens, sys; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
