"""For the same scenario Python sends Go's commands, and leaves in Redis what Go leaves, at each step."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.fixtures import golden, plain, transcript
from harness.python_side import python_send, python_work
from harness.recording import go_send, go_work, record
from harness.redis_server import RedisServer
from harness.scenarios import PRODUCER, WORKER, Scenario

VERSIONS = ["v1", "v2"]
# Python has one send_chain, which is Go's SendChain; Go's variant with a context gives every task headers.
SENT = [scenario for scenario in PRODUCER if not scenario.with_context]
# Our producer refuses an argument that does not fit its type.
SENDABLE = [scenario for scenario in WORKER if scenario.typed]


def named(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize("scenario", SENT, ids=named)
def test_python_sends_what_go_sends(scenario: Scenario, redis_server: RedisServer, tmp_path: Path) -> None:
    """Our producer's commands and what they store are Go's."""
    recording = record(scenario, redis_server, tmp_path, python_send)

    for version in VERSIONS:
        assert plain(recording.sent) == plain(transcript(version, "producer", "redigo", scenario.name))
        assert {"changes": recording.changes, "stored": recording.stored} == golden(version, scenario.name)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", WORKER, ids=named)
def test_python_stores_what_go_stores(
    scenario: Scenario, version: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A Go producer's tasks, done by the Python worker, leave the same bytes, step by step, as a Go worker."""
    send = go_send(redis_server, tmp_path, version, "redigo")

    recording = record(scenario, redis_server, tmp_path, send, python_work(redis_server, tmp_path))

    assert recording.changes == golden(version, scenario.name)["changes"]
    assert recording.stored == golden(version, scenario.name)["stored"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", SENDABLE, ids=named)
def test_go_does_what_python_sends(scenario: Scenario, version: str, redis_server: RedisServer, tmp_path: Path) -> None:
    """Our producer's tasks, done by a Go worker, leave the same bytes, step by step, as a Go producer's."""
    work = go_work(redis_server, tmp_path, version, "redigo")

    recording = record(scenario, redis_server, tmp_path, python_send, work)

    assert recording.changes == golden(version, scenario.name)["changes"]
    assert recording.stored == golden(version, scenario.name)["stored"]
