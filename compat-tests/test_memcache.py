"""What is stored in memcached, compared with live Go, and what happens when it goes away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from conftest import short_directory
from harness.command_line import gomachinery
from harness.conformance import ConformanceFleet, Subject
from harness.memcached_server import MemcachedServer
from harness.normalise import Names
from harness.process import wait_until
from harness.redis_server import RedisServer, free_port
from harness.services import WORKER_KINDS, MemcacheService
from harness.signatures import signature

from gomachinery_py import Arg, Server, Signature
from gomachinery_py.effects import Request
from gomachinery_py.errors import ServiceError, ServiceUnavailable, WrongKeyType
from gomachinery_py.wire.model import FAILURE, SUCCESS, TaskResult, TaskState

TTL = 3600


@pytest.fixture(scope="module")
def fleet() -> Iterator[ConformanceFleet]:
    """Workers of every kind on Redis, with results in two memcached."""
    with short_directory() as directory, ConformanceFleet(Subject("redis", "memcache"), directory) as fleet:
        yield fleet


def stored(servers: list[MemcachedServer], key: str) -> tuple[int, str, int, int]:
    """Which server has a key, its value, flags and seconds to live."""
    for number, server in enumerate(servers):
        lines = server.told(f"mg {key} v f t")
        if lines[0].startswith("VA "):
            value = server.told(f"get {key}")[1]
            _, _, flags, ttl = lines[0].split()
            return number, value, int(flags[1:]), int(ttl[1:])
    raise AssertionError(f"no server has {key}")


def has(servers: list[MemcachedServer], key: str, text: str) -> bool:
    return any(text in line for server in servers for line in server.told(f"get {key}"))


def documents(fleet: ConformanceFleet, kind: str) -> list[tuple[int, str, int, bool]]:
    """What one kind of producer and worker leaves behind of the same tasks, random names and times replaced."""
    producer = fleet.producer(kind, kind)
    fleet.worker(kind)
    servers = fleet.store.servers if isinstance(fleet.store, MemcacheService) else []
    names = Names()
    keys = []
    for number, task in enumerate(
        [
            signature("add", ("int64", 1), ("int64", 2), UUID="success"),
            signature("fail", ("string", "<no> luck")),
            signature("noop"),
            signature("return_multiple_values", ("string", "ż"), ("string", "b"), ("bool", False)),
        ]
    ):
        keys.append(producer.send_task({**task, "UUID": f"same-{number}"}, typed=True))
    late = producer.send_task({**signature("noop", ETA="2099-01-01T00:00:00Z"), "UUID": "late"})
    members = [{**signature("add", ("int64", number)), "UUID": f"member-{number}"} for number in range(3)]
    chord = producer.send_chord(*members, callback={**signature("add"), "UUID": "callback"}, typed=True)
    wait_until(lambda: has(servers, chord.all[-1], "SUCCESS"), 20, "the chord")
    wait_until(lambda: all(has(servers, key, end) for key, end in zip(keys, ENDS, strict=True)), 20, "the tasks")
    names.hide(chord.group_uuid, "group")
    found = []
    for key in [*keys, late, *chord.all, chord.group_uuid]:
        number, value, flags, ttl = stored(servers, key)
        document = json.loads(value)
        document.pop("TTL")
        # The group's name is random, so its server is too.
        where = -1 if key == chord.group_uuid else number
        text = names.text(value.replace(chord.group_uuid, "group"))
        found.append((where, text, flags, abs(ttl - TTL) < 30))
    return found


ENDS = ("SUCCESS", "FAILURE", "SUCCESS", "SUCCESS")


def test_what_is_stored(fleet: ConformanceFleet) -> None:
    """The same bytes, flags and expiry, on the same one of two servers, as live v1 and v2."""
    found = {}
    for kind in WORKER_KINDS:
        found[kind] = documents(fleet, kind)
        for server in fleet.store.servers if isinstance(fleet.store, MemcacheService) else []:
            server.told("flush_all")
    assert found["python"] == found["v1"] == found["v2"]
    assert {(flags, fits) for _, _, flags, fits in found["python"]} == {(0, True)}


def test_tasks_outlive_a_restart(redis_server: RedisServer, memcached: MemcachedServer) -> None:
    """Nothing is acknowledged while memcached is away, and the worker goes on by itself when it is back."""
    server = Server(redis_server.url(), result_backend=memcached.url())
    ran = []

    @server.task
    def note(number: int) -> None:
        ran.append(number)
        time.sleep(0.001)

    with server:
        server.send_many(note, [(number,) for number in range(2000)])
        with server.worker(concurrency=4):
            wait_until(lambda: len(ran) > 200, 20, "some tasks")
            memcached.stop()
            time.sleep(0.5)
            memcached.start()
            wait_until(lambda: len(set(ran)) == 2000, 60, "all tasks")
            wait_until(lambda: redis_server.client.llen("machinery_tasks") == 0, 10, "an empty queue")
        assert redis_server.client.keys("*inflight*") == []
        assert note.send(1).state.state == "PENDING"


def test_errors_are_for_people(redis_server: RedisServer, memcached: MemcachedServer) -> None:
    """Away, a key that is none, and a value that is too large are each one line that says what to do."""
    options = ("--broker", redis_server.url(), "--result-backend")
    nobody = f"memcache://127.0.0.1:{free_port()}"
    began = time.monotonic()
    code, out, error = gomachinery("send", "add", "1", *options, nobody)
    assert (code, out, error.count("\n")) == (3, "", 1)
    assert "cannot reach memcached at 127.0.0.1" in error
    assert time.monotonic() - began < 10
    with Server(redis_server.url(), result_backend=nobody) as away, pytest.raises(ServiceUnavailable):
        away.send_task(Signature("x"))
    with Server(redis_server.url(), result_backend=memcached.url()) as server:
        with pytest.raises(ServiceError, match="cannot be a key on memcached"):
            server.send_task(Signature("x", uuid="with space"))
        with pytest.raises(ValueError, match="has 251 bytes; this server's result store takes 250 at most"):
            server.send_task(Signature("x", uuid="x" * 251))
        server.send_task(Signature("x", [Arg("string", "y" * 2_000_000)]))
    assert redis_server.client.llen("machinery_tasks") == 1


def test_what_is_refused_harms_no_neighbour(redis_server: RedisServer, memcached: MemcachedServer) -> None:
    """Of states that share an exchange only the one that is too large is refused; so it is with a key that is none."""
    with Server(redis_server.url(), result_backend=memcached.url()) as server:
        backend, port = server.backend, server.backend.port
        states = [TaskState(uuid, state=SUCCESS, results=[]) for uuid in ("first", "large", "last")]
        states[1].results = [TaskResult("string", "x" * 2_000_000)]

        [first], [large], [last] = port.send([Request(port, backend.state_commands(state)) for state in states])

        assert (first, last) == (None, None)
        assert isinstance(large, ServiceError)
        assert "refused 'large'" in str(large)
        reads = [Request(port, [backend.read_command(key)]) for key in ("first", "with space", "last")]
        [first], [nothing], [last] = port.send(reads)
        assert isinstance(nothing, WrongKeyType)
        assert (b'"first"' in first, b'"last"' in last) == (True, True)


def test_an_error_that_is_too_long_is_cut(redis_server: RedisServer, memcached: MemcachedServer) -> None:
    """A task whose error's text memcached cannot take fails with the beginning of it, and is done with."""
    with Server(redis_server.url(), result_backend=memcached.url()) as server:

        @server.task
        def fail() -> None:
            raise ValueError("a long story " * 90_000)

        with server.worker(concurrency=1):
            result = fail.send()
            wait_until(lambda: result.state.state == FAILURE, 20, "a failure")
            wait_until(lambda: not redis_server.client.keys("*inflight*"), 20, "the end of the message")
        assert result.state.error.startswith("a long story a long story")
        assert "characters; the result store did not take it whole: memcached" in result.state.error
        assert redis_server.client.llen("{machinery_tasks}:gmpy:dead") == 0


def test_results_that_are_kept_for_long(redis_server: RedisServer, memcached: MemcachedServer) -> None:
    """Beyond 2038 memcached would take the value and keep nothing."""
    years = 50 * 365 * 24 * 3600
    with Server(redis_server.url(), result_backend=memcached.url(), results_expire_in=years) as server:
        assert server.send_task(Signature("x")).state.state == "PENDING"
