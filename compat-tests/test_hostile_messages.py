"""A Python worker among messages that stop, kill or fool a Go worker: it does every good task and loses no bad one."""

from __future__ import annotations

import functools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import hostile
from harness.go_worker import GoWorker
from harness.hostile import CUSTOM_QUEUE, DEAD, DONE, FAILED, QUEUE, RAN, WAITS, Message
from harness.process import wait_until
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer
from harness.sends import NAMES
from seeds import FRESH_SEED

from gomachinery_py import Server, wire
from gomachinery_py.effects import run

MUTATIONS = 700
REGISTERED = frozenset(NAMES)
DEAD_KEY = f"{{{QUEUE}}}:gmpy:dead"
LINE_BYTES = 1024
SECONDS = 40.0


class _Trial:
    """Messages, good tasks in equal number between them, and what became of all."""

    def __init__(self, redis: RedisServer, messages: Sequence[Message], seed: int) -> None:
        self.client: Any = redis.client
        self.messages = list(messages)
        random.Random(seed).shuffle(self.messages)
        self.good = [f"task_good_{number}" for number in range(len(self.messages))]
        hostile.plant(self.client)
        members = ["task_a chord that lacks a member", "task_gone"]
        self.client.set("group_incomplete", json.dumps({"GroupUUID": "group_incomplete", "TaskUUIDs": members}))
        self.before = self.foreign()

    def foreign(self) -> dict[str, tuple[bytes, int]]:
        """The keys of others, as they are now."""
        return {
            key: (self.client.dump(key), self.client.execute_command("PEXPIRETIME", key)) for key in hostile.planted
        }

    def bodies(self) -> Iterator[bytes]:
        for message, uuid in zip(self.messages, self.good, strict=True):
            yield message.body
            task = {"UUID": uuid, "Name": "add", "Args": [{"Type": "int64", "Value": number} for number in (2, 3)]}
            yield wire.encode_signature(wire.decode_signature(json.dumps(task).encode()))

    def state(self, uuid: str) -> dict[str, Any]:
        stored = self.client.get(uuid)
        return json.loads(stored) if stored else {"State": "nothing", "Error": ""}

    def unfinished(self) -> list[str]:
        """Good tasks that are not done, and bad ones whose state is still on its way."""
        uuids = self.good + [message.uuid for message in self.messages if message.fate in (DONE, FAILED, RAN)]
        return [
            uuid
            for uuid, stored in zip(uuids, self.client.mget(uuids), strict=True)
            if stored is None or not re.search(rb'"State":"(?:SUCCESS|FAILURE)"', stored)
        ]

    def waiting(self) -> Counter[bytes]:
        """What is in the queue or in a worker's hands."""
        held = [DEAD_KEY.replace("dead", "inflight:") + "*"]
        lists = [QUEUE, *(key for pattern in held for key in self.client.keys(re.sub(r"([\[\]])", r"\\\1", pattern)))]
        return Counter(body for key in lists for body in self.client.lrange(key, 0, -1))

    def settle(self, worker: PythonWorker) -> None:
        """Wait until nothing moves any more but what nobody here knows."""
        expected = Counter(message.body for message in self.messages if message.fate == WAITS)
        deadline = time.monotonic() + SECONDS
        while True:
            unfinished = self.unfinished()
            if not unfinished and not self.client.zcount("delayed_tasks", 0, time.time_ns()):
                waiting = self.waiting()
                # Callbacks of mutations may have names that nobody knows, too.
                others = [body for body in waiting - expected if wire.decode_signature(body).name in REGISTERED]
                if not others and expected <= waiting:
                    return
                unfinished = [repr(body[:200]) for body in (*others, *(expected - waiting))]
            if time.monotonic() > deadline:
                raise worker.failed(f"has not dealt with {len(unfinished)} tasks, such as {unfinished[:3]}")
            time.sleep(0.1)

    def check(self) -> None:
        """Every good task done, every bad one where it belongs, byte for byte, and no key of others touched."""
        assert {self.state(uuid)["State"] for uuid in self.good} == {"SUCCESS"}
        dead = Counter(self.client.lrange(DEAD_KEY, 0, -1))
        expected = Counter(message.body for message in self.messages if message.fate == DEAD)
        assert expected - dead == Counter()
        for message in self.messages:
            state = self.state(message.uuid)
            if message.fate in (DONE, RAN):
                assert (message.name, state["State"]) == (message.name, "SUCCESS")
            elif message.fate == FAILED:
                found = state["State"], state["Error"][: len(message.text)]
                assert (message.name, *found) == (message.name, "FAILURE", message.text)
            elif message.fate == "" and message.body not in dead:
                # A mutation that still is a task: it ran, or waits for its next try.
                assert state["State"] in ("SUCCESS", "FAILURE", "PENDING"), message
        callbacks = dead - expected - Counter(message.body for message in self.messages if message.fate == "")
        # What else is there are callbacks, and all of them can be read.
        assert all(wire.decode_signature(body) for body in callbacks)
        assert callbacks.total() >= sum(message.fate == RAN for message in self.messages)
        assert self.foreign() == self.before
        assert self.client.type(CUSTOM_QUEUE) in (b"none", b"list")
        assert self.client.type("delayed_tasks") in (b"none", b"zset")


def _memory(worker: PythonWorker, field: str) -> float:
    status = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii")
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def _messages(seed: int) -> list[Message]:
    dice = random.Random(seed)
    garbage = [Message("garbage", b"\xff" + dice.randbytes(dice.randrange(300)), DEAD) for _ in range(100)]
    return [*hostile.kinds(), *garbage, *hostile.mutations(MUTATIONS, seed, REGISTERED)]


def _report(what: str, trial: _Trial, worker: PythonWorker, began: float, before: float) -> None:
    seconds, peak = time.monotonic() - began, _memory(worker, "VmHWM")
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
    before = _memory(worker, "VmRSS")
    trial = _Trial(redis_server, _messages(seed), seed)
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
    before = _memory(worker, "VmRSS")
    # On its way it would go to a queue that nobody here consumes.
    by_body = {message.body: message for message in _messages(7) if message.name != hostile.OWN_QUEUE}
    trial = _Trial(redis_server, list(by_body.values()), 7)
    began = time.monotonic()
    for body in trial.bodies():
        trial.client.zadd("delayed_tasks", {body: time.time_ns()})
    trial.messages = [message.moved() for message in trial.messages]
    trial.settle(worker)
    trial.check()
    assert worker.consumes(30)
    _report("on the delayed set", trial, worker, began, before)


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
    trial = _Trial(redis_server, kinds, 1)
    for body in trial.bodies():
        trial.client.rpush(QUEUE, body)
    worker = go_worker(version, concurrency=4, normal_poll=100)
    wait_until(lambda: not worker.alive or not worker.consumes(1), 20, "a Go worker that ends or stops")
    done = sum(trial.state(uuid)["State"] == "SUCCESS" for uuid in trial.good)
    with capsys.disabled():
        state = "no longer consuming" if worker.alive else "dead"
        print(f"\nGo {version} among {len(kinds)} bad messages: {done} of {len(trial.good)} good tasks done, {state}")
    assert done < len(trial.good)
