"""mypy and pyright at work on files: the lines that they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["mypy", "pyright"]


def mypy(file: Path, cwd: Path) -> set[int]:
    """The lines of a file that mypy refuses in its strict mode."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {int(number) for number in re.findall(rf"{file.name}:(\d+): error", done.stdout)}


def pyright(file: Path, cwd: Path) -> set[int]:
    """The lines of a file that pyright refuses."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    return {
        item["range"]["start"]["line"] + 1
        for item in diagnostics
        if item["severity"] == "error" and Path(item["file"]).name == file.name
    }
