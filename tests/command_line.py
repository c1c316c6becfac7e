"""The command line under test: in this process where that is enough, as a process of its own where it is not."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from gomachinery_py.cli import cli
from gomachinery_py.cli.errors import execute

# Machinery's variables of whoever runs the tests.
_VARIABLES = ("BROKER", "RESULT_BACKEND", "DEFAULT_QUEUE", "LOCK", "RESULTS_EXPIRE_IN")


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    error: str


def gomachinery(*arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
    """Run ``gomachinery`` in this process."""
    out, error = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    root, own = logging.getLogger(), logging.getLogger("gomachinery_py")
    handlers, level = root.handlers[:], own.level
    try:
        with (
            mock.patch.dict(os.environ, _environment(env), clear=True),
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(error),
        ):
            code = execute(cli, arguments)
    finally:
        root.handlers[:] = handlers
        own.setLevel(level)
    return Done(code, _written(out), _written(error))


def process(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, stderr: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start ``python -m gomachinery_py``."""
    return subprocess.Popen(
        [sys.executable, "-m", "gomachinery_py", *arguments],
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def finished(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
    """Run ``python -m gomachinery_py`` to its end."""
    with process(*arguments, cwd=cwd, env=env) as child:
        out, error = child.communicate(timeout=60)
    return Done(child.returncode, out.decode(), error.decode())


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    return {**kept, **(env or {})}


def _written(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
