"""For the same scenario Python sends Go's commands, and leaves in Redis what Go leaves, at each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.fixtures import golden, plain, transcript
from harness.journal import Journal
from harness.process import wait_until
from harness.python_side import python_send, python_work
from harness.recording import go_send, go_work, record
from harness.redis_server import RedisServer
from harness.scenarios import PRODUCER, WORKER, Scenario

from gomachinery_py import Arg, Chord, Group, Server, Signature

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


@pytest.mark.parametrize(("given", "kept"), [(77, 77), (0, 3600)])
@pytest.mark.parametrize("doer", ["go", "python"])
def test_results_expire_in(
    doer: str,
    given: int,
    kept: int,
    redis_server: RedisServer,
    go_worker: Callable[..., Any],
    python_worker: Callable[..., Any],
) -> None:
    """Every state and group of producer and worker is kept for as long as was asked, or an hour for 0, as in Go."""
    start = go_worker if doer == "go" else python_worker
    start(results_expire=given)
    add = [Signature("add", [Arg("int64", number)]) for number in (1, 2)]

    with Journal(redis_server) as journal, Server(redis_server.url(), results_expire_in=given) as server:
        chord = server.send_chord(Chord(Group(*add), Signature("add")))
        failed = server.send_task(Signature("fail", [Arg("string", "bad")], retry_count=0))
        assert chord.get(60) == 3
        wait_until(lambda: failed.state.is_completed, 60, "a failed task")
        stored = [change for change in journal.changes() if change.verb == "set"]

    assert {change.key for change in stored} == {
        chord.group.group_uuid,
        chord.callback.uuid,
        failed.uuid,
        *(member.uuid for member in chord.group),
    }
    assert {change.ttl for change in stored} == {kept}
