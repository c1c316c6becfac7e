"""Runs a scenario and keeps what it did: commands sent, changes in Redis, what is stored in the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.go_producer import GoProducer
from harness.go_worker import GoWorker, probe
from harness.journal import Change, Journal
from harness.normalise import Names
from harness.process import Process, wait_until
from harness.recorder import Recorder
from harness.redis_server import RedisServer
from harness.scenarios import Scenario

__all__ = ["Recording", "go_send", "go_work", "record"]

# What a connection, a poll or a transaction says besides what it is for.
NOISE = frozenset(
    b"AUTH BLPOP CLIENT COMMAND DISCARD ECHO EXEC HELLO INFO MULTI PING READONLY SCRIPT SELECT UNWATCH WATCH "
    b"ZRANGEBYSCORE ZREVRANGEBYSCORE".split()
)
PROBE = "task_probe_"
EXPIRY_STEP = 60
DONE_SECONDS = 30.0


@dataclass(frozen=True)
class Recording:
    """One scenario's outcome, normalised.

    Attributes:
        sent: the producer's commands.
        worked: the worker's commands, without its polls.
        changes: every change of a Machinery key, producer's first.
        stored: what is in Redis when all is done.
    """

    sent: list[list[str]]
    worked: list[list[str]]
    changes: list[dict[str, Any]]
    stored: dict[str, Any]


def record(
    scenario: Scenario,
    redis: RedisServer,
    directory: Path,
    send: Callable[[Scenario, str], None],
    work: Callable[[str], Process] | None = None,
) -> Recording:
    """Send a scenario on an empty server, let a worker do it, and return what happened.

    Args:
        send: sends the scenario to the Redis URL that it is given.
        work: starts a worker of concurrency 1 on a Redis URL; needed when ``scenario.final`` is not 0.
    """
    redis.flush()
    redis.client.script_flush()
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(redis))
        producer_side = Recorder(redis, directory)
        stack.callback(producer_side.stop)
        worker_side = Recorder(redis, directory)
        stack.callback(worker_side.stop)
        send(scenario, producer_side.url())
        if scenario.final:
            assert work is not None, f"{scenario.name} needs a worker"
            worker = work(worker_side.url())
            stack.callback(worker.kill)
            _wait_until_done(scenario, redis)
        names = Names()
        changes = [_change(change, names) for change in journal.changes() if PROBE not in change.value]
        return Recording(
            sent=_commands(producer_side.commands(), names),
            worked=_commands(worker_side.commands(), names),
            changes=changes,
            stored=_stored(redis, names),
        )


def _wait_until_done(scenario: Scenario, redis: RedisServer) -> None:
    def final() -> int:
        keys = [key for prefix in ("task_*", "chord_*") for key in redis.client.keys(prefix)]
        states = [json.loads(redis.client.get(key) or b"{}").get("State") for key in keys]
        return sum(state in ("SUCCESS", "FAILURE") for state in states)

    wait_until(lambda: final() >= scenario.final, DONE_SECONDS, f"all tasks of {scenario.name} done")
    if not scenario.stops_consumer:
        # A worker of concurrency 1 takes the next task when it is quite through with the last one.
        assert probe(redis, "machinery_tasks", DONE_SECONDS), f"worker idle after {scenario.name}"


def _change(change: Change, names: Names) -> dict[str, Any]:
    told: dict[str, Any] = {"change": change.verb, "key": names.text(change.key)}
    if change.value:
        told["value"] = names.text(change.value)
    if change.ttl is not None:
        told["ttl"] = change.ttl
    if change.score is not None:
        told["score"] = names.score(change.score)
    return told


def _commands(commands: Iterable[list[bytes]], names: Names) -> list[list[str]]:
    told = []
    for raw in commands:
        command = [part.decode("utf-8", "surrogateescape") for part in raw]
        if raw[0].upper() in NOISE or any(PROBE in part for part in command):
            continue
        if raw[0].upper() == b"SET" and command[1] == "TriggerChordMutex":
            names.hide(command[2], "<random>")
        # A score comes before the value that tells what time it stands for.
        values = [names.text(part) for part in command]
        if raw[0].upper() == b"ZADD" and names.score(command[2]).startswith("<"):
            values[2] = names.score(command[2])
        told.append(values)
    return told


def _stored(redis: RedisServer, names: Names) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for key in redis.client.keys("*"):
        if b":gmpy:" in key or key.startswith(b"test:"):
            continue
        kind = redis.client.type(key).decode()
        entry: dict[str, Any] = {"type": kind, "value": READERS[kind](redis.client, key, names)}
        remaining = redis.client.pttl(key)
        if remaining >= 0:
            # Rounded up: the seconds since it was written depend on the machine.
            entry["ttl"] = -(-remaining // (1000 * EXPIRY_STEP)) * EXPIRY_STEP
        stored[names.text(key.decode())] = entry
    return dict(sorted(stored.items()))


def _string(client: Any, key: bytes, names: Names) -> str:
    return _text(client.get(key), names)


def _list(client: Any, key: bytes, names: Names) -> list[str]:
    return [_text(item, names) for item in client.lrange(key, 0, -1)]


def _sorted_set(client: Any, key: bytes, names: Names) -> list[list[str]]:
    members = client.zrange(key, 0, -1, withscores=True)
    return [[_text(item, names), names.score(repr(score))] for item, score in members]


READERS: dict[str, Callable[[Any, bytes, Names], Any]] = {
    "string": _string,
    "list": _list,
    "zset": _sorted_set,
}


def _text(raw: bytes, names: Names) -> str:
    return names.text(raw.decode("utf-8", "surrogateescape"))


def go_send(redis: RedisServer, directory: Path, version: str, client: str) -> Callable[[Scenario, str], None]:
    """A ``send`` for ``record``: a Go producer, one process per scenario."""

    def send(scenario: Scenario, url: str) -> None:
        producer = GoProducer(redis, directory, version, client, broker=url)
        try:
            flags = {"typed": scenario.typed, "with_context": scenario.with_context}
            if scenario.kind == "task":
                producer.send_task(scenario.tasks[0], **flags)
            elif scenario.kind == "chain":
                producer.send_chain(*scenario.tasks, **flags)
            elif scenario.kind == "group":
                producer.send_group(*scenario.tasks, **flags)
            else:
                assert scenario.callback is not None
                producer.send_chord(*scenario.tasks, callback=scenario.callback, **flags)
        finally:
            producer.stop()

    return send


def go_work(redis: RedisServer, directory: Path, version: str, client: str) -> Callable[[str], GoWorker]:
    """A ``work`` for ``record``: a Go worker of concurrency 1."""
    return lambda url: GoWorker(redis, directory, version, client, broker=url, concurrency=1)
