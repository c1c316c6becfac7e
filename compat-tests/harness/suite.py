"""Machinery's own integration checks, built from the module cache against a worker that runs elsewhere."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

import gobuild

__all__ = ["MODULES", "run_suite", "suite_binary"]

MODULES = {"v1": "github.com/RichardKnop/machinery", "v2": "github.com/RichardKnop/machinery/v2"}
SUITE_SECONDS = 60


def _go(*arguments: str) -> str:
    done = subprocess.run(
        [gobuild.go(), *arguments],
        cwd=gobuild.HARNESS,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"go {arguments[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.cache
def suite_binary(version: str) -> Path:
    """The compiled checks of one version; Machinery's file is read where Go keeps it and never copied."""
    package = gobuild.HARNESS / "integration" / version
    output = gobuild.HARNESS / "bin" / f"suite-{version}.test"
    output.parent.mkdir(exist_ok=True)
    with (output.parent / ".suite.lock").open("w") as lock, tempfile.TemporaryDirectory() as directory:
        fcntl.flock(lock, fcntl.LOCK_EX)
        module = Path(_go("list", "-m", "-f", "{{.Dir}}", MODULES[version]).strip())
        suite = module / "integration-tests" / "suite_test.go"
        overlay = Path(directory, "overlay.json")
        overlay.write_text(json.dumps({"Replace": {str(package / "suite_test.go"): str(suite)}}))
        flags = ["-tags", "machinery_suite", "-trimpath", "-overlay", str(overlay), "-o", str(output)]
        _go("test", "-c", *flags, f"./integration/{version}")
    return output


def run_suite(version: str, *, seconds: int = SUITE_SECONDS, **settings: str | int) -> tuple[int, str]:
    """Run testAll of one version, as a producer with these settings; exit code and output.

    The checks wait for results without a limit, so the run is ended after ``seconds``. ``settings`` are the flags of
    go-harness' producer, with ``_`` for ``-``: broker, backend, queue, client, …
    """
    told = {"version": version, **settings}
    flags = "\n".join(f"-{name.replace('_', '-')}={value}" for name, value in told.items())
    done = subprocess.run(
        [suite_binary(version), "-test.v", f"-test.timeout={seconds}s"],
        env={**os.environ, "SUITE_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
