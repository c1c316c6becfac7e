"""A worker without threads on a Redis in this process, hostile messages for it, and keys of others in their way."""

from __future__ import annotations

import json
from typing import Any

from inprocess import FakeRedisPort, engine_of, fetch, server_on

from gomachinery_py import Server, TaskState, wire
from gomachinery_py.effects import run

__all__ = ["DEAD_KEY", "QUEUE", "World", "arguments", "document", "look", "plant"]

QUEUE = "machinery_tasks"
DEAD_KEY = "{machinery_tasks}:gmpy:dead"


class World:
    """A server with well-behaved tasks on a Redis in this process."""

    def __init__(self) -> None:
        self.port = FakeRedisPort()
        self.redis: Any = self.port.redis
        self.server: Server = server_on(self.port)
        self.calls = 0

        @self.server.task
        def add(*numbers: int) -> int:
            self.calls += 1
            return sum(numbers)

        @self.server.task
        def noop() -> None:
            self.calls += 1

    def work(self, *bodies: bytes) -> None:
        """One worker runs all of these, and once what comes of them."""
        self.redis.rpush(QUEUE, *bodies)
        deliveries = []
        while more := fetch(self.server, "w", 100):
            deliveries += more
        for delivery in deliveries:
            run(engine_of(self.server).process(delivery))

    def dead(self) -> list[tuple[bytes, str]]:
        letters: list[tuple[bytes, str]] = run(self.server.broker.dead(QUEUE))
        return letters

    def state(self, uuid: str) -> TaskState:
        return self.server.result(uuid).state

    def outcome(self, uuid: str) -> tuple[str, str]:
        state = self.state(uuid)
        return state.state, state.error


def document(**fields: Any) -> bytes:
    return json.dumps({"UUID": "task_1", "Name": "add", "Args": [{"Type": "int64", "Value": 1}], **fields}).encode()


def arguments(kind: str, value: object) -> bytes:
    return document(Args=[{"Type": kind, "Value": value}])


def plant(redis: Any) -> dict[bytes, Any]:
    """Keys of others, and what is in them."""
    state = wire.encode_task_state(TaskState("another"))
    redis.set("foreign string", b"\xff")
    redis.set("foreign state", state)
    redis.rpush("foreign list", "a", "b")
    redis.hset("foreign hash", "a", "b")
    return look(redis)


def look(redis: Any) -> dict[bytes, Any]:
    return {
        b"string": redis.get("foreign string"),
        b"state": redis.get("foreign state"),
        b"list": redis.lrange("foreign list", 0, -1),
        b"hash": redis.hgetall("foreign hash"),
    }
