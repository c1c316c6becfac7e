"""The command line as a process of its own."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["gomachinery"]


def gomachinery(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    command = [sys.executable, "-m", "gomachinery_py", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
