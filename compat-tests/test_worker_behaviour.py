"""How a Python worker works: how many tasks at once, for whom, what it is told and what it does when it must end.

Workers that only have to be watched run inside the test; those that have to be signalled or measured are processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import push, signature

from gomachinery_py import Server

TIMEOUT = 60
QUEUE = "machinery_tasks"


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[Server]:
    """A server of ours without tasks."""
    with Server(redis_server.url()) as server:
        yield server


class Gauge:
    """How many are in it now, and the most that ever were."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1


@pytest.mark.parametrize("kind", ["sync", "async", "both"])
def test_concurrency_is_reached_and_never_exceeded(kind: str, server: Server) -> None:
    """Of many waiting tasks, functions and coroutines alike, as many run at once as were asked for."""
    gauge = Gauge()

    @server.task
    def plain() -> None:
        with gauge:
            time.sleep(0.03)

    @server.task
    async def coroutine() -> None:
        with gauge:
            await asyncio.sleep(0.03)

    tasks: list[Any] = [plain, coroutine] if kind == "both" else [plain] if kind == "sync" else [coroutine]
    sent = [result for task in tasks for result in server.send_many(task, [()] * (40 // len(tasks)))]
    with server.worker(concurrency=3):
        for result in sent:
            result.get(TIMEOUT)

    assert gauge.most == 3


def test_concurrency_zero_is_twice_the_cpus(server: Server) -> None:
    """As in Go."""
    assert server.worker(concurrency=0).concurrency == 2 * (os.cpu_count() or 1)


@pytest.fixture
def slow(server: Server) -> Iterator[tuple[Any, Any, threading.Event]]:
    """A task that lasts until the event is set, one that is quick, and the event."""
    done = threading.Event()

    @server.task("sleep_ms")
    def slow(_milliseconds: int) -> int:
        done.wait(TIMEOUT)
        return 0

    @server.task("noop")
    def quick() -> None:
        return

    yield slow, quick, done
    done.set()


def test_a_slow_task_leaves_the_other_slots_free(server: Server, slow: tuple[Any, Any, threading.Event]) -> None:
    """One of two slots is busy for long: everything else goes through the other one."""
    long, quick, done = slow
    first = server.send_many(quick, [()] * 50)
    late = long.send(1)
    second = server.send_many(quick, [()] * 50)

    with server.worker(concurrency=2):
        for result in (*first, *second):
            result.get(TIMEOUT)
        assert late.state.state == "STARTED"
        done.set()
        assert late.get(TIMEOUT) == 0


@pytest.mark.parametrize("other", ["go-v1", "go-v2", "python"])
def test_no_task_is_stranded_behind_a_busy_slot(
    other: str,
    server: Server,
    slow: tuple[Any, Any, threading.Event],
    go_worker: Callable[..., Any],
    python_worker: Callable[..., Any],
) -> None:
    """What a busy worker has taken in advance goes back, and a free worker of any kind does it."""
    long, quick, done = slow
    # So many quick ones that the worker has learnt to take more than it can run.
    before = server.send_many(quick, [()] * 300)
    blocking = long.send(1)
    behind = server.send_many(quick, [()] * 100)

    with server.worker(concurrency=1):
        for result in before:
            result.get(TIMEOUT)
        wait_until(lambda: blocking.state.state == "STARTED", TIMEOUT, "the slow task running")
        if other == "python":
            python_worker(concurrency=2)
        else:
            go_worker(other.removeprefix("go-"), concurrency=2)
        for result in behind:
            result.get(TIMEOUT)
        assert blocking.state.state == "STARTED"
        done.set()
        assert blocking.get(TIMEOUT) == 0


def test_prefetched_tasks_go_back_in_order(
    server: Server, slow: tuple[Any, Any, threading.Event], redis_server: RedisServer
) -> None:
    """Behind a slow task the queue soon holds all that waits, the oldest first, for anyone to take."""
    long, quick, done = slow
    before = server.send_many(quick, [()] * 300)
    blocking = long.send(1)
    behind = [result.uuid for result in server.send_many(quick, [()] * 20)]

    with server.worker(concurrency=1):
        for result in before:
            result.get(TIMEOUT)
        wait_until(lambda: redis_server.client.llen(QUEUE) == len(behind), TIMEOUT, "all that waits on the queue")
        assert [task.uuid for task in server.pending()] == behind
        done.set()
        blocking.get(TIMEOUT)


# -- unregistered tasks --


def calls_of(redis: RedisServer, command: str) -> int:
    """How often the server has done a command, in scripts as well."""
    stats: dict[str, Any] = redis.client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_unregistered_tasks_do_not_spin(redis_server: RedisServer, python_worker: Callable[..., Any]) -> None:
    """They go round ever more slowly: little load, one line in the log, and a known task is still done."""
    client = redis_server.client
    worker = python_worker(only="noop", concurrency=2)
    uuids = [f"task_unknown_{number}" for number in range(3)]
    for uuid in uuids:
        push(client, QUEUE, signature("add", ("int64", 1), UUID=uuid))

    first = calls_of(redis_server, "rpush")
    time.sleep(3)
    between, cpu = calls_of(redis_server, "rpush"), cpu_seconds(worker.pid)
    time.sleep(3)
    last = calls_of(redis_server, "rpush")

    # Go does thousands a second. Three tasks went round once at least, and less often later than at first.
    assert between - first > last - between
    assert last - between < 60
    assert cpu_seconds(worker.pid) - cpu < 1.5
    assert worker.log.count("not registered") == 1
    assert len(worker.log) < 4000
    assert worker.consumes(TIMEOUT)
    assert worker.stop() == 0
    assert sorted(json.loads(body)["UUID"] for body in client.lrange(QUEUE, 0, -1)) == uuids


def test_known_tasks_among_unregistered_ones(redis_server: RedisServer, python_worker: Callable[..., Any]) -> None:
    """While known tasks come by, unknown ones do not slow them down; the unknown ones are all kept."""
    client = redis_server.client
    known = [f"task_known_{number}" for number in range(200)]
    for number, uuid in enumerate(known):
        push(client, QUEUE, signature("noop", UUID=uuid))
        if number % 4 == 0:
            push(client, QUEUE, signature("add", UUID=f"task_unknown_{number}"))
    worker = python_worker(only="noop", concurrency=2)

    wait_until(lambda: client.exists(*known) == len(known), TIMEOUT, "all known tasks begun")
    wait_until(lambda: all(b"SUCCESS" in state for state in client.mget(known)), TIMEOUT, "all known tasks done")

    assert worker.stop() == 0
    assert client.llen(QUEUE) == 50


# -- signals --


def test_the_first_signal_drains(redis_server: RedisServer, python_worker: Callable[..., Any]) -> None:
    """The running task ends, what waits is back on the queue in its order, and the exit code is 0."""
    client = redis_server.client
    for number in (signal.SIGTERM, signal.SIGINT):
        redis_server.flush()
        worker = python_worker(concurrency=1)
        push(client, QUEUE, signature("sleep_ms", ("int64", 1000), UUID="task_running"))
        waiting = [f"task_{place}" for place in range(20)]
        for uuid in waiting:
            push(client, QUEUE, signature("noop", UUID=uuid))
        wait_until(lambda: b"STARTED" in (client.get("task_running") or b""), TIMEOUT, "a running task")

        worker.signal(number)

        assert worker.wait(TIMEOUT) == 0
        assert json.loads(client.get("task_running"))["State"] == "SUCCESS"
        assert [json.loads(body)["UUID"] for body in client.lrange(QUEUE, 0, -1)] == waiting
        assert client.keys("{*}:gmpy:*") == []
        assert client.exists(*waiting) == 0


def test_the_second_signal_quits(redis_server: RedisServer, python_worker: Callable[..., Any]) -> None:
    """The worker ends at once with exit code 1; the task that ran stays in its list, to be recovered by others."""
    client = redis_server.client
    worker = python_worker(concurrency=1)
    push(client, QUEUE, signature("sleep_ms", ("int64", 600_000), UUID="task_running"))
    wait_until(lambda: b"STARTED" in (client.get("task_running") or b""), TIMEOUT, "a running task")

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "waiting for running tasks" in worker.log, TIMEOUT, "the first signal noticed")
    assert worker.alive
    worker.signal(signal.SIGTERM)

    assert worker.wait(TIMEOUT) == 1
    [inflight] = client.keys(f"{{{QUEUE}}}:gmpy:inflight:*")
    # Before each body stands a line that tells it from others like it.
    held = [json.loads(entry.partition(b"\n")[2]) for entry in client.lrange(inflight, 0, -1)]
    assert [document["UUID"] for document in held] == ["task_running"]
    assert client.llen(QUEUE) == 0


def test_an_idle_worker_ends_soon(redis_server: RedisServer, python_worker: Callable[..., Any]) -> None:
    """Nothing to wait for: one signal, exit code 0, and the worker has signed off."""
    worker = python_worker()

    assert worker.stop() == 0

    assert not worker.signed_on
    assert redis_server.client.keys("*") == []
