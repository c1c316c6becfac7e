"""Go code that was made from a contract, built with go-harness' pinned Machinery and tried by its package probe."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gobuild

from gomachinery_py.contracts.go_code import GoVersion, go_producer, go_registry
from gomachinery_py.contracts.model import Contract
from harness.go_worker import go_flags
from harness.process import Process
from harness.redis_server import RedisServer

__all__ = ["Probe", "build", "gofmt_diff", "sources"]

ANSWER_SECONDS = 60.0
_MAIN = """package main

import (
	registry "gomachinery.example/go-harness/generated/registry"
	v1 "gomachinery.example/go-harness/generated/v1"
	v2 "gomachinery.example/go-harness/generated/v2"
	"gomachinery.example/go-harness/internal/probe"
)

func main() {
	probe.Main(
		probe.Generated{Signatures: %s, Senders: %s},
		probe.Generated{Signatures: %s, Senders: %s},
		registry.Tasks,
	)
}
"""
_numbers = itertools.count(1)
_VERSIONS: tuple[GoVersion, ...] = ("v1", "v2")


def sources(contract: Contract) -> dict[str, str]:
    """What is made of a contract, by path below ``go-harness/generated``."""
    made = {
        f"{version}/fleet.go": go_producer(contract, "fleet", version, "tasks.machinery.yaml") for version in _VERSIONS
    }
    return made | {"registry/fleet.go": go_registry(contract, "fleet", "tasks.machinery.yaml")}


def gofmt_diff(texts: Mapping[str, str], directory: Path) -> str:
    """What gofmt would change, "" when it is content."""
    files = []
    for number, text in enumerate(texts.values()):
        files.append(directory / f"{number}.go")
        files[-1].write_text(text, encoding="utf-8")
    gofmt = Path(gobuild.go()).with_name("gofmt")
    done = subprocess.run([str(gofmt), "-d", *map(str, files)], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def build(contract: Contract, directory: Path) -> Path:
    """A program of package probe with everything that is made of the contract; the compiler's words when it fails."""
    made = sources(contract)
    tables = [
        _table(made[f"{version}/fleet.go"], version, kind) for version in _VERSIONS for kind in ("signature", "sender")
    ]
    made["main.go"] = _MAIN % tuple(tables)
    overlay: dict[str, str] = {}
    for path, text in made.items():
        real = directory / path.replace("/", "_")
        real.write_text(text, encoding="utf-8")
        overlay[str(gobuild.HARNESS / "generated" / path)] = str(real)
    (directory / "overlay.json").write_text(json.dumps({"Replace": overlay}), encoding="utf-8")
    output = directory / "probe"
    built = subprocess.run(
        [gobuild.go(), "build", "-overlay", str(directory / "overlay.json"), "-o", str(output), "./generated"],
        cwd=gobuild.HARNESS,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=gobuild.BUILD_SECONDS,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return output


def _table(source: str, package: str, kind: str) -> str:
    comment = "is a call of the task" if kind == "signature" else "sends the task"
    found = re.findall(rf'^// (\S+) {comment} ("(?:[^"\\]|\\.)*")', source, re.MULTILINE)
    assert len(found) == source.count("\nfunc New")
    entries = ", ".join(f"{name}: {package}.{function}" for function, name in found)
    return f"map[string]interface{{}}{{{entries}}}"


class Probe(Process):
    """A built program at work, for one version of Machinery."""

    def __init__(self, redis: RedisServer, directory: Path, program: Path, version: str) -> None:
        flags = go_flags(redis, version, "goredis", {})
        super().__init__([program, *flags], name=f"probe-{version}-{next(_numbers)}", directory=directory)

    def ask(self, op: str, name: str = "", values: list[Any] | None = None) -> Any:
        """One request of package probe."""
        self.write_line(json.dumps({"op": op, "name": name, "values": values or []}))
        return json.loads(self.read_line(ANSWER_SECONDS))
