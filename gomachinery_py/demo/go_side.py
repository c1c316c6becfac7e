"""Go's side of the demo: the harness' worker and producer, where Go and the harness are at hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["GoProgram", "build", "harness_directory", "why_not"]

_BUILD_SECONDS = 600


def harness_directory() -> Path:
    """Where the harness is in a checkout of this project."""
    return Path(__file__).resolve().parents[2] / "go-harness"


def why_not() -> str | None:
    """Why Go's side cannot be shown, or None."""
    if not (harness_directory() / "go.mod").exists():
        return "the Go side is shown in a checkout of the project only"
    if shutil.which("go") is None:
        return "no Go on this machine: its side of the demo is left out"
    return None


def build(name: str) -> Path:
    """Build one program of the harness; raises RuntimeError with what Go says."""
    target = harness_directory() / "bin" / name
    done = subprocess.run(
        ["go", "build", "-o", str(target), f"./cmd/{name}"],
        cwd=harness_directory(),
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(f"go build ./cmd/{name} failed: {lines[-1] if lines else 'no reason given'}")
    return target


class GoProgram:
    """A running program of the harness: commands in and answers out, a line of JSON each."""

    def __init__(self, binary: Path, *flags: str) -> None:
        self._process = subprocess.Popen(
            [str(binary), *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def line(self) -> str:
        """The next line that it prints, "" when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def command(self, **fields: Any) -> Any:
        """One command of the harness' producer; raises RuntimeError with its error."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self.line() or '{"error": "the Go program has ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["ok"]

    def stop(self) -> None:
        """End it, now."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
