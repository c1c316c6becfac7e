"""The recorded fixtures: which files they are, how they are made from Go, how they are read.

``fixtures/transcripts/<version>/<side>.<client>.jsonl``: every command of a side (``producer`` or ``worker``), one a
line: ``{"scenario": …, "command": […]}``. ``fixtures/golden/<version>/redis-<scenario>.json``: every change of a
Machinery key and what is stored in the end; one file for both of Go's clients, which leave the same.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gobuild

from harness.recording import Recording, go_send, go_work, record
from harness.redis_server import RedisServer
from harness.scenarios import PRODUCER, WORKER

__all__ = ["CLIENTS", "FIXTURES", "VERSIONS", "golden", "plain", "render", "stale", "transcript"]

FIXTURES = gobuild.HARNESS.parent / "fixtures"
CLIENTS = ("redigo", "goredis")


def _exact_versions() -> dict[str, str]:
    """v1 and v2 → the versions that go-harness pins."""
    pinned = re.findall(
        r"^\s*github\.com/RichardKnop/machinery(?:/v2)? (v(\d)\S+)$",
        (gobuild.HARNESS / "go.mod").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {f"v{major}": version for version, major in pinned}


VERSIONS = _exact_versions()


def render(version: str, client: str, redis: RedisServer, directory: Path) -> dict[Path, str]:
    """Record every scenario with Go alone; the texts of the fixture files, by path below ``fixtures/``."""
    send = go_send(redis, directory, version, client)
    work = go_work(redis, directory, version, client)
    recordings = {scenario.name: record(scenario, redis, directory, send, work) for scenario in (*PRODUCER, *WORKER)}
    exact = VERSIONS[version]
    sides = {
        "producer": {name: recording.sent for name, recording in recordings.items()},
        "worker": {name: recording.worked for name, recording in recordings.items()},
    }
    files = {Path("transcripts", exact, f"{side}.{client}.jsonl"): _lines(commands) for side, commands in sides.items()}
    for name, recording in recordings.items():
        files[Path("golden", exact, f"redis-{name}.json")] = _document(recording)
    return files


def _lines(commands: dict[str, list[list[str]]]) -> str:
    return "".join(
        json.dumps({"scenario": name, "command": command}, ensure_ascii=False) + "\n"
        for name, sent in commands.items()
        for command in sent
    )


def _document(recording: Recording) -> str:
    told = {"changes": recording.changes, "stored": recording.stored}
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def stale(rendered: Iterable[Path]) -> list[Path]:
    """Recorded files, below ``fixtures/``, that recording no longer makes."""
    patterns = ("golden/*/redis-*.json", "transcripts/*/*.jsonl")
    found = {path.relative_to(FIXTURES) for pattern in patterns for path in FIXTURES.glob(pattern)}
    return sorted(found - set(rendered))


@functools.cache
def _transcripts(version: str, side: str, client: str) -> dict[str, list[list[str]]]:
    path = FIXTURES / "transcripts" / VERSIONS[version] / f"{side}.{client}.jsonl"
    told: dict[str, list[list[str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        told.setdefault(entry["scenario"], []).append(entry["command"])
    return told


def transcript(version: str, side: str, client: str, scenario: str) -> list[list[str]]:
    """Go's commands for a scenario, as recorded; ``side`` is ``producer`` or ``worker``."""
    return _transcripts(version, side, client)[scenario]


def golden(version: str, scenario: str) -> dict[str, Any]:
    """``changes`` and ``stored`` of a scenario, as recorded from Go."""
    path = FIXTURES / "golden" / VERSIONS[version] / f"redis-{scenario}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def plain(commands: list[list[str]]) -> list[list[str]]:
    """Commands in one spelling: Go's two clients differ in letter case and in how they write a score."""
    return [_plain(command) for command in commands]


def _plain(command: list[str]) -> list[str]:
    verb = command[0].upper()
    if verb == "SET":
        return [verb, *command[1:3], *(option.upper() for option in command[3:])]
    if verb == "ZADD" and not command[2].startswith("<"):
        return [verb, command[1], f"{float(command[2]):.0f}", *command[3:]]
    return [verb, *command[1:]]
