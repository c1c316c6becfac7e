"""Go and Python schedulers side by side: each tick once, under the same key, with the same bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness.command_line import gomachinery
from harness.normalise import Names
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.schedulers import PROGRAM, GoScheduler, PythonScheduler, Watch, watching
from harness.signatures import Document

from gomachinery_py import Server
from gomachinery_py.effects import run

SECONDS = float(os.environ.get("GMPY_PERIODIC_SECONDS", "10"))
SECOND = 1_000_000_000


def told(name: str, **fields: Any) -> Document:
    """A signature as both sides read it."""
    return {"Name": name, **fields}


ADD = told("add", Args=[{"Name": "", "Type": "int64", "Value": 1}, {"Name": "", "Type": "int64", "Value": 2}])
FIXED = {**ADD, "UUID": "task_fixed", "Headers": {"sender": "é<"}, "Priority": 3, "RetryCount": 2}
NESTED = {**ADD, "OnSuccess": [told("next")], "OnError": [told("failed", OnError=[told("worse")])]}


def plan(kind: str, queue: str) -> Document:
    """One periodic workflow whose first tasks go to ``queue``."""
    signatures = {
        "task": [NESTED],
        "chain": [ADD, FIXED, told("last")],
        "group": [ADD, FIXED, NESTED],
        "chord": [ADD, FIXED],
    }[kind]
    return {
        "kind": kind,
        "spec": "@every 1s",
        "name": f"each {kind}",
        "signatures": [{**signature, "RoutingKey": queue} for signature in signatures],
        "callback": told("collect", Args=[{"Name": "n", "Type": "[]string", "Value": ["x"]}]),
        "concurrency": 1,
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_tick_once(redis_server: RedisServer, start: Callable[..., Any], version: str) -> None:
    """Two Go and two Python schedulers of one name: each tick comes once, and Python goes on when Go has ended."""
    entries = [{**plan("task", "ticks"), "name": "shared"}]
    with watching(redis_server, "shared", 1, "ticks") as watch:
        go = [start(GoScheduler, version, entries) for _ in range(2)]
        python = [start(PythonScheduler, entries) for _ in range(2)]
        before = watch.pushes()
        time.sleep(SECONDS)
        together = watch.pushes() - before
        for scheduler in go:
            scheduler.kill()
        before = watch.pushes()
        wait_until(lambda: watch.pushes() >= before + 2, 20, "Python goes on alone")
        assert [0, 0] == [scheduler.stop() for scheduler in python]
    assert [] == watch.troubles()
    assert together >= SECONDS * 0.5
    assert all((end + 1) % SECOND == 0 for end in watch.ticks())


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("0.0 a SET 1, 0.0 a RPUSH, 1.0 b SET 2, 1.0 b RPUSH, 1.1 a SET 2, 1.1 a GET, 1.1 a PEXPIRE", []),
        ("0.0 a SET 1, 0.0 a RPUSH, 1.0 a SET 2, 1.0 a GET, 1.0 a GETSET 2, 1.0 a PEXPIRE, 1.0 a RPUSH", []),
        ("0.0 a SET 1, 0.0 a RPUSH, 0.1 b SET 1, 0.1 b RPUSH", ["second tick"]),
        ("0.0 a SET 1, 0.0 a RPUSH, 1.1 b SET 2, 1.1 b GET", ["though free"]),
        ("0.0 a SET 1, 1.0 a SET 2, 1.0 a RPUSH", ["2 locks, 1 tasks"]),
    ],
)
def test_what_the_watch_tells(events: str, expected: list[str]) -> None:
    """A tick that came twice, one that nobody had though somebody asked, and one that was not sent."""
    watch = Watch(SECOND)
    for event in events.split(", "):
        moment, client, command, *until = event.split()
        watch.events.append((float(moment), client, command, int(until[0]) * SECOND if until else 0))
    found = watch.troubles()
    assert len(expected) == len(found)
    assert all(part in text for part, text in zip(expected, found, strict=True))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_tick_is_gos_bytes(redis_server: RedisServer, start: Callable[..., Any], version: str) -> None:
    """Task, chain, group and chord put on the queue what Go puts there, under Go's keys."""
    kinds = ["task", "chain", "group", "chord"]
    sizes = {"task": 1, "chain": 1, "group": 3, "chord": 2}
    entries = [plan(kind, kind) for kind in kinds]
    seen: list[dict[str, Any]] = []
    for scheduler in (lambda: start(GoScheduler, version, entries), lambda: start(PythonScheduler, entries)):
        redis_server.flush()
        running = scheduler()
        for kind in kinds:
            wait_until(lambda kind=kind: redis_server.client.llen(kind) >= sizes[kind], 20, f"a tick of the {kind}")
        locks = {key: lock(redis_server, key) for key in redis_server.client.keys("machinery_lock_*")}
        running.kill()
        names = Names()
        bodies = {kind: redis_server.client.lrange(kind, 0, sizes[kind] - 1) for kind in kinds}
        seen.append(
            {
                "bodies": {kind: [names.text(body.decode()) for body in bodies[kind]] for kind in kinds},
                "locks": locks,
            }
        )
    go, python = seen
    assert go == python
    assert {f"machinery_lock_{PROGRAM}each {kind}@every 1s".encode() for kind in kinds} == set(go["locks"])


def lock(redis: RedisServer, key: bytes) -> tuple[bool, bool, bool]:
    """Of a lock: whether its value ends a second, is to come at most one away, and its key ends with it."""
    value, ttl, now = redis.client.get(key), redis.client.pttl(key), time.time_ns()
    if value is None:
        # It has just expired; the next tick takes it again.
        time.sleep(0.05)
        return lock(redis, key)
    ends = int(value) + 1
    return ends % SECOND == 0, ends - now <= SECOND, abs(ttl * 1_000_000 - (ends - now)) < SECOND // 2


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_lock_without_an_end_is_taken_over(
    redis_server: RedisServer, start: Callable[..., Any], version: str
) -> None:
    """A past value whose key was left behind holds up neither side."""
    entries = [{**plan("task", "ticks"), "name": "left"}]
    for scheduler in (lambda: start(GoScheduler, version, entries), lambda: start(PythonScheduler, entries)):
        redis_server.flush()
        redis_server.client.set(f"machinery_lock_{PROGRAM}left@every 1s", str(time.time_ns() - 1))
        running = scheduler()
        wait_until(lambda: redis_server.client.llen("ticks") >= 1, 20, "a tick")
        running.kill()


@pytest.mark.parametrize("settings", [{"password": "s3cret p@ss"}, {"user": ("some.one", "s3cret:x")}, {"tls": True}])
def test_a_lock_on_every_kind_of_server(
    make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Password, user and TLS work from the lock's URL; two processes' locks are one."""
    redis = make_redis(**settings)
    if redis.ca_file:
        monkeypatch.setenv("SSL_CERT_FILE", str(redis.ca_file))
    until = time.time_ns() + 20 * SECOND
    taken = []
    for _ in range(2):
        with Server("eager", result_backend="eager", lock=redis.url()) as server:
            taken.append(run(server.lock.acquire("machinery_lock_x", until)))
    assert [True, False] == taken
    assert str(until).encode() == redis.client.get("machinery_lock_x")
    assert 18_000 < redis.client.pttl("machinery_lock_x") <= 20_000


def test_beat_outlives_its_redis(make_redis: Callable[..., RedisServer], start: Callable[..., Any]) -> None:
    """One line for a Redis that is away, then the next tick; SIGTERM ends with 0."""
    redis = make_redis()
    scheduler = start(PythonScheduler, [plan("task", "ticks")], redis=redis)
    wait_until(lambda: redis.client.llen("ticks"), 20, "a tick")
    redis.stop()
    wait_until(lambda: "was not sent" in scheduler.log, 20, "a line about it")
    redis.start()
    wait_until(lambda: redis.client.llen("ticks"), 20, "a tick after the restart")
    assert 0 == scheduler.stop()
    assert "works again" in scheduler.log


def test_beat_says_what_is_wrong(tmp_path: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable lock is one line and exit code 3; an app without periodic tasks is exit code 2."""
    monkeypatch.chdir(tmp_path)
    for name, lock_url, rest in (
        ("away", "redis://:s3cret@127.0.0.1:1", "server.periodic_task('@hourly', 'n', Signature('a'))"),
        ("empty", redis_server.url(), ""),
    ):
        server = f"server = Server({redis_server.url()!r}, lock={lock_url!r})"
        (tmp_path / f"{name}.py").write_text(f"from gomachinery_py import Server, Signature\n{server}\n{rest}\n")
    code, out, error = gomachinery("beat", "away:server")
    assert (3, "", 1) == (code, out, error.count("\n"))
    assert "127.0.0.1:1" in error
    assert "s3cret" not in error
    code, out, error = gomachinery("beat", "empty:server")
    assert (2, "", 1) == (code, out, error.count("\n"))
    assert "periodic_task" in error
