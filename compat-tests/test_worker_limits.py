"""A Python worker at its limits on a real Redis: names that nobody knows, and messages as large as they may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from harness.faults import memory_mib
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import push, signature

from gomachinery_py import Server
from gomachinery_py.effects import run
from gomachinery_py.incoming import MAX_BODY_BYTES
from gomachinery_py.worker import intake

QUEUE = "machinery_tasks"
TIMEOUT = 60
LARGE = 16
# Of each message there are a few copies at a time: as it came, as it is held, its text, and on its way.
MOST_MIB = 450


def test_a_task_that_nobody_knows_becomes_a_dead_letter(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its tries it is kept with the reason, while known tasks go on; put back, it is tried anew."""
    monkeypatch.setattr(intake, "_TRIES", 4)
    client = redis_server.client
    with Server(redis_server.url()) as server:

        @server.task
        def known(number: int) -> int:
            return number

        push(client, QUEUE, signature("elsewhere", UUID="task_unknown"))
        with server.worker(concurrency=1):
            wait_until(lambda: run(server.broker.dead(QUEUE)), TIMEOUT, "a dead letter")
            assert known.send(3).get(timeout=TIMEOUT) == 3
        [(body, reason)] = run(server.broker.dead(QUEUE))
        assert json.loads(body)["UUID"] == "task_unknown"
        assert reason == "task 'elsewhere' is not registered here, and nobody else has taken it for long"
        assert client.llen(QUEUE) == 0
        assert run(server.broker.revive(QUEUE, 1)) == 1
        assert client.llen(QUEUE) == 1


def push_large(client: Any) -> list[str]:
    """Put sixteen tasks of 16 MiB on the queue."""
    text = "x" * (MAX_BODY_BYTES - 1_000)
    uuids = [f"task_large_{number}" for number in range(LARGE)]
    for uuid in uuids:
        push(client, QUEUE, signature("return_just_error", ("string", text), ("bool", False), UUID=uuid))
    return uuids


def test_large_messages_do_not_pile_up(redis_server: RedisServer, python_worker: Callable[..., Any]) -> None:
    """Sixteen messages of 16 MiB wait for ten slots: a few at a time are taken, all are done."""
    client = redis_server.client
    uuids = push_large(client)
    worker = python_worker(concurrency=10)

    def done() -> bool:
        return all(state and b"SUCCESS" in state for state in client.mget(uuids))

    wait_until(done, 120, "all large tasks done", interval=0.1)
    assert memory_mib(worker.pid, "VmHWM") < MOST_MIB
    assert client.llen(QUEUE) == 0


def test_large_messages_pile_up_when_all_are_taken(
    redis_server: RedisServer, python_worker: Callable[..., Any]
) -> None:
    """The same with a worker that takes whatever waits."""
    push_large(redis_server.client)
    worker = python_worker(concurrency=10, app="sabotaged_tasks:server", sabotage="takes_all")
    wait_until(lambda: memory_mib(worker.pid, "VmHWM") > MOST_MIB, 120, "a worker that has taken too much")
