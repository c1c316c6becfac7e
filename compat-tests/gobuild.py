"""Builds the programs of go-harness, once per process and one build at a time on a machine."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["HARNESS", "binary", "go", "toxiproxy"]

HARNESS = Path(__file__).resolve().parent.parent / "go-harness"
BUILD_SECONDS = 900


def go() -> str:
    """Path of the go command; RuntimeError with the remedy when there is none."""
    executable = shutil.which("go")
    if executable is None:
        raise RuntimeError("go is missing; install Go 1.26 or later (Debian: apt-get install golang-go)")
    return executable


@functools.cache
def binary(name: str) -> Path:
    """The program ``go-harness/cmd/<name>``, built now if anything changed; RuntimeError as the compiler says.

    One that is a module by itself is ``go-harness/<name>``.
    """
    own_module = HARNESS / name
    if (own_module / "go.mod").exists():
        return _build(name, own_module, ".")
    return _build(name, HARNESS, f"./cmd/{name}")


@functools.cache
def toxiproxy() -> Path:
    """The toxiproxy server, at the version that ``go-harness/toxiproxy/go.mod`` pins."""
    return _build("toxiproxy", HARNESS / "toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server")


def _build(name: str, module: Path, package: str) -> Path:
    output = HARNESS / "bin" / name
    output.parent.mkdir(exist_ok=True)
    with (output.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run(
            [go(), "build", "-trimpath", "-o", str(output), package],
            cwd=module,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    if built.returncode != 0:
        raise RuntimeError(f"go build {package} in {module.name} failed:\n{built.stderr}")
    return output
