"""A wrong argument to ``.send`` is a type error, in mypy and in pyright."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

TYPED = Path(__file__).parent / "typed"
MARKED = {
    number for number, line in enumerate((TYPED / "wrong.py").read_text().splitlines(), 1) if line.endswith("# refused")
}


def _mypy(name: str) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", str(TYPED / name)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TYPED.parent.parent, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(number) for number in re.findall(rf"{name}:(\d+): error", done.stdout)}


def _pyright(name: str) -> set[int]:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(TYPED / name)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TYPED.parent.parent, check=False)
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in diagnostics if item["severity"] == "error"}


def test_mypy() -> None:
    """mypy takes all that is right and refuses all that is wrong."""
    assert (set(), MARKED) == (_mypy("right.py"), _mypy("wrong.py"))


def test_pyright() -> None:
    """pyright takes all that is right and refuses all that is wrong."""
    assert (set(), MARKED) == (_pyright("right.py"), _pyright("wrong.py"))
