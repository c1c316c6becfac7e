"""The locks of periodic tasks, on an in-process Redis and a clock that the test sets."""

from __future__ import annotations

import sys

import pytest
from inprocess import FakeRedisPort
from manual_clock import SECOND, START, ManualClock

from gomachinery_py import Server
from gomachinery_py.effects import Command, run
from gomachinery_py.errors import ConfigError, ServiceError
from gomachinery_py.locks.base import Lock, lock_key, program_name
from gomachinery_py.locks.eager import EagerLock
from gomachinery_py.locks.redis import RedisLock

KEY = "machinery_lock_schedname@every 1s"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def port() -> FakeRedisPort:
    return FakeRedisPort()


@pytest.fixture(params=["redis", "eager"])
def lock(request: pytest.FixtureRequest, port: FakeRedisPort, clock: ManualClock) -> Lock:
    return RedisLock(port, clock) if request.param == "redis" else EagerLock(clock)


def test_one_holder_until_its_time_is_past(lock: Lock, clock: ManualClock) -> None:
    """A lock is refused up to the last nanosecond of its time, and free after it."""
    until = START + SECOND - 1
    assert run(lock.acquire(KEY, until))
    assert not run(lock.acquire(KEY, until))
    clock.now = until
    assert not run(lock.acquire(KEY, until + SECOND))
    clock.now = until + 1
    assert run(lock.acquire(KEY, until + SECOND))
    assert not run(lock.acquire(KEY, until + SECOND))


def test_keys_are_apart(lock: Lock) -> None:
    """Holding one key says nothing of another."""
    assert run(lock.acquire(KEY, START + SECOND - 1))
    assert run(lock.acquire(KEY + "2", START + SECOND - 1))


def test_what_redis_is_told(port: FakeRedisPort, clock: ManualClock) -> None:
    """A free lock is one SET; an expired one that is still there is taken over as Go does it."""
    commands: list[Command] = []
    port.on_done = commands.append
    clock.now = START + 1
    run(RedisLock(port, clock).acquire(KEY, START + SECOND - 1))
    clock.now = START + SECOND
    run(RedisLock(port, clock).acquire(KEY, START + 2 * SECOND - 1))
    expected = [
        ("SET", KEY, str(START + SECOND - 1), "PX", 989, "NX"),
        ("SET", KEY, str(START + 2 * SECOND - 1), "PX", 990, "NX"),
        ("GET", KEY),
        ("GETSET", KEY, str(START + 2 * SECOND - 1)),
        ("PEXPIRE", KEY, 990),
    ]
    assert expected == commands
    assert 0 < port.redis.pttl(KEY) <= 1000


def test_a_go_schedulers_key_is_made_to_end_early(port: FakeRedisPort, clock: ManualClock) -> None:
    """Who is refused sees to it that the key is gone at the next tick; not near its end, where it may be another's."""
    port.redis.set(KEY, str(START + 2 * SECOND - 1))
    assert not run(RedisLock(port, clock).acquire(KEY, START + 2 * SECOND - 1))
    assert 1900 < port.redis.pttl(KEY) <= 1990
    port.redis.persist(KEY)
    clock.now += 2 * SECOND - 400_000_000
    assert not run(RedisLock(port, clock).acquire(KEY, START + 2 * SECOND - 1))
    assert -1 == port.redis.pttl(KEY)


def test_zero_is_held_for_ever(port: FakeRedisPort, clock: ManualClock) -> None:
    """Go takes the value 0 for a lock without an end."""
    port.redis.set(KEY, "0")
    assert not run(RedisLock(port, clock).acquire(KEY, START + SECOND))


def test_somebody_elses_key_is_left_alone(port: FakeRedisPort, clock: ManualClock) -> None:
    """A value that is no time is told and not overwritten."""
    port.redis.set(KEY, "their own")
    with pytest.raises(ServiceError, match="'their own', which is no time"):
        run(RedisLock(port, clock).acquire(KEY, START + SECOND))
    assert port.redis.get(KEY) == b"their own"


def test_a_key_that_expires_between_two_looks_is_tried_again(port: FakeRedisPort, clock: ManualClock) -> None:
    """The second try takes what the first one saw and then did not find."""
    port.redis.set(KEY, str(START + SECOND))
    gone: list[Command] = []

    def expire(command: Command) -> None:
        if not gone:
            port.redis.delete(KEY)
        gone.append(command)

    port.on_done = expire
    assert run(RedisLock(port, clock).acquire(KEY, START + SECOND))
    assert ["SET", "GET", "SET"] == [command[0] for command in gone]


def test_a_takeover_has_one_winner(port: FakeRedisPort, clock: ManualClock) -> None:
    """Of two who saw the same past value only the one whose GETSET came first has the lock."""
    port.redis.set(KEY, str(START - 1))
    first = RedisLock(port, clock).acquire(KEY, START + SECOND)
    request = first.send(None)
    for _ in range(2):
        request = first.send(request.port.send((request,))[0])
    assert request.commands[0][0] == "GETSET"
    assert run(RedisLock(port, clock).acquire(KEY, START + SECOND))
    with pytest.raises(StopIteration) as outcome:
        first.send(request.port.send((request,))[0])
    assert outcome.value.value is False


def test_the_key_is_gos() -> None:
    """Prefix, program, name and spec, with nothing between them."""
    assert "machinery_lock_schedname@every 1s" == lock_key("sched", "name", "@every 1s")


@pytest.mark.parametrize(
    ("path", "expected"), [("/usr/bin/beat", "beat"), ("app.py", "app.py"), ("", "."), ("d/", "d")]
)
def test_the_program_is_the_last_part_of_its_path(path: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As filepath.Base has it."""
    monkeypatch.setattr(sys, "argv", [path])
    assert expected == program_name()


def test_a_lock_is_found_by_its_url() -> None:
    """Redis in all its forms, this process when nothing is given; the broker's connection is shared."""
    same = Server("redis://localhost", lock="redis://localhost")
    assert isinstance(same.lock, RedisLock)
    assert same.lock.port is same.broker.port
    tls = Server("redis://localhost", lock="rediss://localhost")
    assert isinstance(tls.lock, RedisLock)
    assert tls.lock.port is not tls.broker.port
    assert isinstance(Server("redis://localhost").lock, EagerLock)
    assert isinstance(Server("redis://localhost", lock="eager").lock, EagerLock)


def test_a_wrong_lock_url_is_refused_without_its_password() -> None:
    """Go would silently lock inside the process."""
    server = Server("redis://localhost", lock="memcache://:secret@localhost")
    with pytest.raises(ConfigError, match="lock") as refused:
        server.scheduler()
    assert "secret" not in str(refused.value)
