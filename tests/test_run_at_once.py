"""A task that begins before anybody has read its state is stored as one whose state was read first."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import SimPort
from inprocess import drive, engine_of, fetch, server_on
from manual_clock import ManualClock
from miniredis import MiniRedis

from gomachinery_py import RetryTaskLater
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.wire import Arg, Signature, encode_signature

WRITTEN = '{"TaskUUID":"t1","TaskName":"%s","State":"PENDING","Results":null,"Error":"","CreatedAt":"%s","TTL":0}'
PLAIN = WRITTEN % ("add", "2026-05-05T10:00:00.123456789Z")


def _written(state: str | None, quick: bool, name: str, crash_safe: bool) -> list[list[bytes]]:
    """Every write of one run of a task, in order, when this is stored of it before."""
    redis = MiniRedis(lambda: 1_700_000_000_000_000_000)
    server = server_on(SimPort(redis), clock=ManualClock())
    assert isinstance(server.broker, RedisBroker)
    server.broker.crash_safe = crash_safe

    @server.task
    def add(first: int, second: int) -> int:
        return first + second

    @server.task
    def fail(first: int, second: int) -> int:
        raise ValueError(f"{first} and {second}")

    @server.task
    def later(first: int, second: int) -> int:
        raise RetryTaskLater(f"not yet {first} and {second}", 1 << 20)

    @server.task
    def many(first: int, second: int) -> tuple[str, list[int], Any]:
        return '<"&>', [first, second], None if first == 7 else 1.5

    signature = Signature(name, [Arg("int64", 1), Arg("int64", 2)], "t1", "machinery_tasks")
    if name == "unfit":
        signature = Signature("add", [Arg("int64", "x"), Arg("int64", 2)], "t1", "machinery_tasks")
    if state is not None:
        redis.execute("SET", "t1", state)
    redis.execute("RPUSH", "machinery_tasks", encode_signature(signature))
    (delivery,) = fetch(server, "worker")
    engine = engine_of(server)
    if not quick:
        engine._begins_at_once = lambda *_: False  # type: ignore[method-assign]
    written: list[list[bytes]] = []
    redis.on_write = lambda words: written.append([word for word in words if not word.startswith(b"gmpy:")])
    drive(engine.process(delivery), lambda: None, lambda: None)
    return written


@pytest.mark.parametrize("crash_safe", [True, False])
@pytest.mark.parametrize("name", ["add", "fail", "later", "many", "unfit"])
@pytest.mark.parametrize(
    "state",
    [
        PLAIN,
        PLAIN.replace("PENDING", "RETRY"),
        WRITTEN % ("another", "2026-05-05T10:00:00Z"),
        WRITTEN % ("add", "2026-05-05T10:00:00+02:00"),
        WRITTEN % ("add", "2026-02-30T10:00:00Z"),
        PLAIN.replace('"Results":null', '"Results":[]'),
        PLAIN.replace(",", ", "),
        PLAIN.replace("t1", "t2"),
        "no state",
        None,
    ],
)
def test_both_ways_write_the_same(state: str | None, name: str, crash_safe: bool) -> None:
    """Whatever is stored, whatever becomes of the task."""
    at_once = _written(state, True, name, crash_safe)
    assert at_once == _written(state, False, name, crash_safe)
    assert at_once


def test_the_usual_task_takes_two_requests() -> None:
    """One to begin and one to end, whose writes are those of Go in Go's order."""
    states = [words[2].decode() for words in _written(PLAIN, True, "add", True) if words[0] == b"SET"]
    assert [PLAIN.replace("PENDING", "RECEIVED"), PLAIN.replace("PENDING", "STARTED")] == states[:2]
    done = PLAIN.replace("PENDING", "SUCCESS").replace("null", '[{"Type":"int64","Value":3}]')
    assert [done] == states[2:]
