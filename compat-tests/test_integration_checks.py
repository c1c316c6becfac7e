"""Machinery's own integration checks (``integration-tests``, testAll) with a worker in another process.

The checks send and wait as Go; the worker is ours, or Go's own to show that the checks themselves hold.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from harness.process import Process
from harness.redis_server import RedisServer
from harness.suite import run_suite

QUEUE = "test_queue"
PRODUCERS = [("v1", "redigo"), ("v2", "redigo"), ("v2", "goredis")]
WORKERS = ["go-v1", "go-v2", "python"]
Worker = Callable[[str], Process]


@pytest.fixture
def worker(go_worker: Callable[..., Any], python_worker: Callable[..., Any]) -> Worker:
    """Starts the worker of a name in WORKERS."""

    def starter(name: str) -> Process:
        kind = python_worker if name == "python" else functools.partial(go_worker, name.removeprefix("go-"))
        started: Process = kind(queue=QUEUE)
        return started

    return starter


@pytest.mark.parametrize(("version", "client"), PRODUCERS, ids=["-".join(pair) for pair in PRODUCERS])
@pytest.mark.parametrize("name", WORKERS)
def test_machinerys_own_checks(name: str, version: str, client: str, redis_server: RedisServer, worker: Worker) -> None:
    """testAll passes: tasks, groups, chord, chain, errors, several results, panic and delay."""
    running = worker(name)

    code, output = run_suite(version, client=client, broker=redis_server.url(), queue=QUEUE)

    assert code == 0, f"{output}\nthe worker's log ends:\n{running.log[-2000:]}"
    assert "--- PASS: TestExternalWorker" in output
    assert running.alive


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_checks_can_fail(version: str, redis_server: RedisServer, go_worker: Callable[..., Any]) -> None:
    """With a worker whose ``panic`` task is unknown testAll does not pass, so a pass means something."""
    go_worker("v1", queue=QUEUE, only="add,sum,multiply")

    code, output = run_suite(version, broker=redis_server.url(), queue=QUEUE, seconds=3)

    assert code != 0
    assert "panic: test timed out" in output
