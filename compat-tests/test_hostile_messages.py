"""A Python worker among messages that stop, kill or fool a Go worker: it does every good task and loses no bad one."""

from __future__ import annotations

import functools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import hostile
from harness.faults import memory_mib
from harness.go_worker import GoWorker
from harness.hostile import CUSTOM_QUEUE, DEAD, QUEUE, Message
from harness.process import wait_until
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer
from harness.sends import NAMES
from harness.trial import DEAD_KEY, Trial
from seeds import FRESH_SEED

from gomachinery_py import Server
from gomachinery_py.effects import run

MUTATIONS = 700
REGISTERED = frozenset(NAMES)
LINE_BYTES = 1024


def _messages(seed: int) -> list[Message]:
    dice = random.Random(seed)
    garbage = [Message("garbage", b"\xff" + dice.randbytes(dice.randrange(300)), DEAD) for _ in range(100)]
    return [*hostile.kinds(), *garbage, *hostile.mutations(MUTATIONS, seed, REGISTERED)]


def _report(what: str, trial: Trial, worker: PythonWorker, began: float, before: float) -> None:
    seconds, peak = time.monotonic() - began, memory_mib(worker.pid, "VmHWM")
    lines = worker.log_path.read_bytes().splitlines()
    bad = len(trial.messages)
    print(
        f"\n{bad} bad messages ({len(hostile.kinds())} kinds, {MUTATIONS} mutations) among {len(trial.good)} good "
        f"tasks {what}: {seconds:.1f} s, {trial.client.llen(DEAD_KEY)} dead letters, "
        f"{sum(map(len, lines)) / bad:.0f} bytes of log a message, {before:.0f} MiB before and {peak:.0f} MiB at most"
    )
    assert max(map(len, lines)) < LINE_BYTES
    assert sum(map(len, lines)) < LINE_BYTES * bad
    assert peak - before < 450


@pytest.mark.parametrize("seed", [20240601, FRESH_SEED], ids=["fixed", "fresh"])
def test_on_the_queue(seed: int, redis_server: RedisServer, python_worker: Callable[..., PythonWorker]) -> None:
    """Every kind, garbage and mutations, pushed raw."""
    worker = python_worker(arguments=("-q", CUSTOM_QUEUE))
    before = memory_mib(worker.pid)
    trial = Trial(redis_server, _messages(seed), seed)
    began = time.monotonic()
    for body in trial.bodies():
        trial.client.rpush(QUEUE, body)
    trial.settle(worker)
    trial.check()
    assert worker.consumes(30)
    _report("on the queue", trial, worker, began, before)


def test_on_the_delayed_set(redis_server: RedisServer, python_worker: Callable[..., PythonWorker]) -> None:
    """The same as delayed tasks whose time has come; what can be decoded reaches the queue as Go writes it."""
    worker = python_worker(arguments=("-q", CUSTOM_QUEUE))
    before = memory_mib(worker.pid)
    # On its way it would go to a queue that nobody here consumes.
    by_body = {message.body: message for message in _messages(7) if message.name != hostile.OWN_QUEUE}
    trial = Trial(redis_server, list(by_body.values()), 7)
    began = time.monotonic()
    for body in trial.bodies():
        trial.client.zadd("delayed_tasks", {body: time.time_ns()})
    trial.messages = [message.moved() for message in trial.messages]
    trial.settle(worker)
    trial.check()
    assert worker.consumes(30)
    _report("on the delayed set", trial, worker, began, before)


def test_what_is_dropped_is_missed(redis_server: RedisServer, python_worker: Callable[..., PythonWorker]) -> None:
    """With a worker that keeps nothing the same check finds every message missing that should be a dead letter."""
    worker = python_worker(app="sabotaged_tasks:server", sabotage="no_dead_letters", arguments=("-q", CUSTOM_QUEUE))
    trial = Trial(redis_server, [message for message in _messages(7) if message.fate == DEAD], 7)
    for body in trial.bodies():
        trial.client.rpush(QUEUE, body)
    trial.settle(worker)
    assert trial.missing().total() == len(trial.messages)


# -- dead letters --


@pytest.fixture
def server(redis_server: RedisServer) -> Iterator[Server]:
    """A server of our own on this test's Redis."""
    with Server(redis_server.url()) as server:
        yield server


def test_dead_letters_can_be_looked_at_and_put_back(
    server: Server, redis_server: RedisServer, python_worker: Callable[..., PythonWorker]
) -> None:
    """Each with its reason, the oldest first; what was put right meanwhile then runs."""
    client, broker = redis_server.client, server.broker
    hostile.plant(client)
    worker = python_worker()
    bad = [
        b"\xff not json",
        b'{"UUID":"foreign list","Name":"add","Args":[{"Type":"int64","Value":7}]}',
        b'{"UUID":"task_null","Name":"add","OnError":[null]}',
    ]
    for number, body in enumerate(bad, start=1):
        client.rpush(QUEUE, body)
        wait_until(functools.partial(_has_dead, client, number), 10, "a dead letter")

    letters = run(broker.dead(QUEUE))
    assert [body for body, _ in letters] == bad
    assert [reason[:40] for _, reason in letters] == [
        "cannot be decoded: invalid character 'ÿ'",
        "the key 'foreign list' cannot be a task'",
        "a callback in OnSuccess or OnError is nu",
    ]
    assert run(broker.dead(QUEUE, 1, 1)) == letters[1:2]
    assert run(broker.dead(QUEUE, 3)) == []

    client.delete("foreign list")
    assert run(broker.revive(QUEUE, 2)) == 2
    wait_until(lambda: b"SUCCESS" in (client.get("foreign list") or b""), 10, "the task that was put right")
    wait_until(lambda: client.llen(DEAD_KEY) == 2, 10, "the hopeless one back among the dead")
    assert Counter(run(broker.dead(QUEUE))) == Counter([letters[0], letters[2]])

    assert run(broker.purge_dead(QUEUE)) == 2
    assert run(broker.dead(QUEUE)) == []
    assert client.keys("*:gmpy:dead*") == []
    assert worker.consumes(30)


def _has_dead(client: Any, count: int) -> bool:
    return bool(client.llen(DEAD_KEY) == count)


def test_many_dead_letters_are_put_back_in_order(server: Server, redis_server: RedisServer) -> None:
    """As many as wanted, equal ones too, and no more than there are."""
    client, broker = redis_server.client, server.broker
    bodies = [f"letter {number // 2}".encode() for number in range(1_200)]
    for body in bodies:
        run(broker.bury_body(QUEUE, body, "no reason"))
    assert [body for body, _ in run(broker.dead(QUEUE, 0, 2_000))] == bodies
    assert run(broker.revive(QUEUE, 500)) == 500
    assert client.lrange(QUEUE, 0, -1) == bodies[:500]
    assert run(broker.revive(QUEUE, 10_000)) == 700
    assert client.lrange(QUEUE, 0, -1) == bodies
    assert client.exists(DEAD_KEY) == 0


# -- Go, beside ours --


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_go_workers_fare_worse(
    version: str, redis_server: RedisServer, go_worker: Callable[..., GoWorker], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same kinds among as many good tasks: the process dies or consumes no more, and good tasks stay undone."""
    kinds = [message for message in hostile.kinds() if len(message.body) < 1_000_000]
    trial = Trial(redis_server, kinds, 1)
    for body in trial.bodies():
        trial.client.rpush(QUEUE, body)
    worker = go_worker(version, concurrency=4, normal_poll=100)
    wait_until(lambda: not worker.alive or not worker.consumes(1), 20, "a Go worker that ends or stops")
    done = sum(trial.state(uuid)["State"] == "SUCCESS" for uuid in trial.good)
    with capsys.disabled():
        state = "no longer consuming" if worker.alive else "dead"
        print(f"\nGo {version} among {len(kinds)} bad messages: {done} of {len(trial.good)} good tasks done, {state}")
    assert done < len(trial.good)
