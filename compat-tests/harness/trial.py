"""Messages that no worker should ever get, good tasks between them, and what became of all."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from gomachinery_py import wire
from gomachinery_py.redis_transactions import unmarked
from harness import hostile
from harness.hostile import CUSTOM_QUEUE, DEAD, DONE, FAILED, QUEUE, RAN, WAITS, Message
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer
from harness.sends import NAMES

__all__ = ["DEAD_KEY", "Trial"]

REGISTERED = frozenset(NAMES)
DEAD_KEY = f"{{{QUEUE}}}:gmpy:dead"
SECONDS = 40.0


class Trial:
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
        return Counter(unmarked(entry) for key in lists for entry in self.client.lrange(key, 0, -1))

    def settle(self, worker: PythonWorker, seconds: float = SECONDS) -> None:
        """Wait until nothing moves any more but what nobody here knows."""
        expected = Counter(message.body for message in self.messages if message.fate == WAITS)
        deadline = time.monotonic() + seconds
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

    def missing(self) -> Counter[bytes]:
        """Messages that should be among the dead letters and are not."""
        expected = Counter(message.body for message in self.messages if message.fate == DEAD)
        return expected - Counter(self.client.lrange(DEAD_KEY, 0, -1))

    def check(self) -> None:
        """Every good task done, every bad one where it belongs, byte for byte, and no key of others touched."""
        assert {self.state(uuid)["State"] for uuid in self.good} == {"SUCCESS"}
        dead = Counter(self.client.lrange(DEAD_KEY, 0, -1))
        expected = Counter(message.body for message in self.messages if message.fate == DEAD)
        missing = self.missing()
        assert missing == Counter(), f"{missing.total()} are not among the dead letters, such as {[*missing][:3]}"
        for message in self.messages:
            if message.fate == "" and message.body in dead:
                # Another mutation's callback may have made its UUID the name of a queue.
                continue
            state = self.state(message.uuid)
            if message.fate in (DONE, RAN):
                assert (message.name, state["State"]) == (message.name, "SUCCESS")
            elif message.fate == FAILED:
                found = state["State"], state["Error"][: len(message.text)]
                assert (message.name, *found) == (message.name, "FAILURE", message.text)
            elif message.fate == "":
                # A mutation that still is a task: it ran, or waits for its next try.
                assert state["State"] in ("SUCCESS", "FAILURE", "PENDING"), message
        callbacks = dead - expected - Counter(message.body for message in self.messages if message.fate == "")
        # What else is there are callbacks, and all of them can be read.
        assert all(wire.decode_signature(body) for body in callbacks)
        assert callbacks.total() >= sum(message.fate == RAN for message in self.messages)
        assert self.foreign() == self.before
        assert self.client.type(CUSTOM_QUEUE) in (b"none", b"list")
        assert self.client.type("delayed_tasks") in (b"none", b"zset")
