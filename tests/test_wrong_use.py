"""Arguments of the wrong kind are refused where they are given, in words that say what is right."""

from __future__ import annotations

import asyncio
import datetime
import functools
from collections.abc import Callable
from typing import Any

import pytest
from inprocess import FakeRedisPort, server_on

from gomachinery_py import Chain, Chord, Config, Group, Server

URL = "redis://localhost:6379"


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """What a call raises: its class, and its text."""
    try:
        call()
    except Exception as error:
        return type(error).__name__, str(error)
    return "nothing", ""


def server() -> Server:
    """One whose tasks nobody runs."""
    server = server_on(FakeRedisPort())
    server.broker.lease = 30.0

    @server.task
    def add(*numbers: int) -> int:
        return sum(numbers)

    return server


WAITS: list[tuple[dict[str, Any], str, str]] = [
    ({"timeout": "5"}, "TypeError", "timeout must be seconds or a timedelta, not str"),
    ({"timeout": True}, "TypeError", "timeout must be seconds or a timedelta, not bool"),
    ({"timeout": float("nan")}, "ValueError", "timeout must be a number of seconds, not nan"),
    ({"interval": "5"}, "TypeError", "interval must be seconds or a timedelta, not str"),
    (
        {"interval": -1},
        "ValueError",
        "interval is the pause between two looks, in seconds; it cannot be negative",
    ),
]


@pytest.mark.parametrize(("given", "kind", "text"), WAITS)
def test_waiting(given: dict[str, Any], kind: str, text: str) -> None:
    """At once, before anything is waited for; the same for each kind of result and for the twins."""
    running = server()
    add = running.tasks["add"]
    results: list[Any] = [
        add.send(1),
        running.send_chain(Chain(add.s(1), add.s(2))),
        running.send_group(Group(add.s(1))),
        running.send_chord(Chord(Group(add.s(1)), add.s())),
    ]
    for result in results:
        assert (kind, text) == refusal(functools.partial(result.get, **given))
        assert (kind, text) == refusal(lambda result=result: asyncio.run(result.aget(**given)))


def test_waiting_for_no_time() -> None:
    """A timeout that is over already is one look."""
    result = server().tasks["add"].send(1)
    for timeout in (0, -1, datetime.timedelta(0)):
        kind, text = refusal(functools.partial(result.get, timeout=timeout))
        assert ("ResultTimeout", "its state is PENDING") == (kind, text[-20:])


SERVERS: dict[str, tuple[Callable[[], object], str, str]] = {
    "no broker": (lambda: Server(None), "ConfigError", "broker must be a URL or a Config, not None"),  # type: ignore[arg-type]
    "bytes": (lambda: Server(b"redis://x"), "ConfigError", "broker must be a URL or a Config, not bytes"),  # type: ignore[arg-type]
    "result_backend": (
        lambda: Server(URL, result_backend=5),  # type: ignore[arg-type]
        "ConfigError",
        "result_backend must be a URL, not int",
    ),
    "lock": (lambda: Server(URL, lock=True), "ConfigError", "lock must be a URL, not bool"),  # type: ignore[arg-type]
    "queue": (lambda: Server(URL, default_queue=5), "ConfigError", "default_queue must be text, not int"),  # type: ignore[arg-type]
    "expiry": (
        lambda: Server(URL, results_expire_in="5"),  # type: ignore[arg-type]
        "ConfigError",
        "results_expire_in must be a whole number, not str",
    ),
    "no expiry": (
        lambda: Server(URL, results_expire_in=-5),
        "ConfigError",
        (
            "results_expire_in is -5: it must be from 0 (which is an hour) to 3162240000 seconds, a hundred years; "
            "otherwise nobody could read a result"
        ),
    ),
    "half a second": (
        lambda: Server(URL, results_expire_in=0.5),  # type: ignore[arg-type]
        "ConfigError",
        "results_expire_in must be a whole number, not float",
    ),
    "lease": (lambda: Server(URL, lease="30"), "ConfigError", "lease must be a number of seconds, not str"),  # type: ignore[arg-type]
    "no lease": (
        lambda: Server(URL, lease=float("nan")),
        "ConfigError",
        "lease is in seconds, 2 at least: a shorter one would give away tasks that still run",
    ),
    "endless lease": (
        lambda: Server(URL, lease=float("inf")),
        "ConfigError",
        "lease must be a number of seconds, not without an end",
    ),
    "observers": (
        lambda: Server(URL, observers=[5]),  # type: ignore[list-item]
        "TypeError",
        "observers must be a list of gomachinery_py.observing.Observer with nothing else in it, not int",
    ),
    "signing": (
        lambda: Server(URL, signing="a secret of 16 bytes or more"),  # type: ignore[arg-type]
        "TypeError",
        "signing must be a gomachinery_py.signing.Signing, not str",
    ),
    "program": (
        lambda: Server(URL, lock_program=5),  # type: ignore[arg-type]
        "TypeError",
        "lock_program must be text, not int",
    ),
    "config": (lambda: Config(broker=5), "ConfigError", "broker must be a URL, not int"),  # type: ignore[arg-type]
    "section": (
        lambda: Config(redis=5),  # type: ignore[arg-type]
        "ConfigError",
        "redis must be a RedisConfig, not int",
    ),
    "in a section": (
        lambda: Config.of(redis__read_timeout="15"),
        "ConfigError",
        "redis.read_timeout must be a whole number, not str",
    ),
    "later": (
        lambda: Server(_changed(Config(broker=URL, result_backend=URL), default_queue=5)),
        "ConfigError",
        "default_queue must be text, not int",
    ),
}


def _changed(config: Config, **settings: Any) -> Config:
    for name, value in settings.items():
        setattr(config, name, value)
    return config


@pytest.mark.parametrize("kind", SERVERS)
def test_servers(kind: str) -> None:
    """A setting is named with what it must be."""
    call, error, text = SERVERS[kind]
    assert (error, text) == refusal(call)


def _function(number: int) -> int:
    return number


class _Callable:
    def __call__(self, number: int) -> int:
        return number


SENDS: dict[str, tuple[Callable[[Server], object], str, str]] = {
    "a list as chain": (
        lambda server: server.send_chain([server.tasks["add"].s(1)]),  # type: ignore[arg-type]
        "TypeError",
        "send_chain() takes a Chain, not list: write Chain(a, b)",
    ),
    "a signature as chain": (
        lambda server: server.send_chain(server.tasks["add"].s(1)),  # type: ignore[arg-type]
        "TypeError",
        "send_chain() takes a Chain, not Signature: write Chain(a, b)",
    ),
    "a list as group": (
        lambda server: server.send_group([server.tasks["add"].s(1)]),  # type: ignore[arg-type]
        "TypeError",
        "send_group() takes a Group, not list: write Group(a, b)",
    ),
    "a group as chord": (
        lambda server: server.send_chord(Group(server.tasks["add"].s(1))),  # type: ignore[arg-type]
        "TypeError",
        "send_chord() takes a Chord, not Group: write Chord(Group(a, b), callback)",
    ),
    "publishes": (
        lambda server: server.send_group(Group(server.tasks["add"].s(1)), concurrency="2"),  # type: ignore[arg-type]
        "TypeError",
        "concurrency must be a whole number, not str",
    ),
    "a function": (
        lambda server: server.send_many(_function, [(1,)]),  # type: ignore[arg-type]
        "TypeError",
        "send_many() takes a task, not function",
    ),
    "no rows": (
        lambda server: server.send_many(server.tasks["add"], 5),  # type: ignore[arg-type]
        "TypeError",
        "send_many() takes rows of arguments, as [(1, 2), (3, 4)], not int",
    ),
    "a number as row": (
        lambda server: server.send_many(server.tasks["add"], [(1,), 5]),  # type: ignore[list-item]
        "TypeError",
        "send_many() row 2 must be a tuple or list of arguments, not int",
    ),
    "a text as row": (
        lambda server: server.send_many(server.tasks["add"], ["12"]),
        "TypeError",
        "send_many() row 1 must be a tuple or list of arguments, not str",
    ),
    "beyond time": (
        lambda server: server.tasks["add"].using(countdown=1e300).send(1),
        "ValueError",
        "task add: countdown must be a number of seconds, not 1e+300",
    ),
    "result": (lambda server: server.result(None), "TypeError", "a task's UUID must be text, not None"),  # type: ignore[arg-type]
    "pending": (lambda server: server.pending(5), "TypeError", "queue must be text, not int"),  # type: ignore[arg-type]
    "cancel": (lambda server: server.cancel_delayed(5), "TypeError", "a task's UUID must be text, not int"),  # type: ignore[arg-type]
    "revoke": (
        lambda server: server.revoke(["task_1"]),  # type: ignore[arg-type]
        "TypeError",
        "a task's UUID must be text, not list",
    ),
    "revoke for": (
        lambda server: server.revoke("task_1", expires_in="5"),  # type: ignore[arg-type]
        "TypeError",
        "expires_in must be seconds or a timedelta, not str",
    ),
    "spec": (
        lambda server: server.periodic_task(5, "name", server.tasks["add"].s()),  # type: ignore[arg-type]
        "TypeError",
        "spec must be text, not int",
    ),
    "periodic name": (
        lambda server: server.periodic_task("@hourly", None, server.tasks["add"].s()),  # type: ignore[arg-type]
        "TypeError",
        "name must be text, not None",
    ),
    "worker's tag": (lambda server: server.worker(10), "TypeError", "tag must be text, not int"),  # type: ignore[arg-type]
    "worker's concurrency": (
        lambda server: server.worker(concurrency="2"),  # type: ignore[arg-type]
        "TypeError",
        "concurrency must be a whole number, not str",
    ),
    "half a task": (
        lambda server: server.worker(concurrency=1.5),  # type: ignore[arg-type]
        "TypeError",
        "concurrency must be a whole number, not float",
    ),
    "less than no task": (
        lambda server: server.worker(concurrency=-1),
        "ValueError",
        "concurrency is the number of tasks at once; 0 is twice the CPUs",
    ),
    "nothing ahead": (
        lambda server: server.worker(prefetch=0),
        "ValueError",
        "prefetch is the number of tasks that a worker may hold, 1 at least",
    ),
    "a queue": (lambda server: server.worker(queue=5), "TypeError", "queue must be text or a list of it, not int"),  # type: ignore[arg-type]
    "queues": (
        lambda server: server.worker(queue=["mine", 5]),  # type: ignore[list-item]
        "TypeError",
        "queue must be text, not int",
    ),
    "no queue's name": (lambda server: server.worker(queue=["mine", ""]), "ConfigError", "a queue needs a name"),
    "processes": (
        lambda server: server.worker().run(processes="2"),  # type: ignore[arg-type]
        "TypeError",
        "processes must be a whole number, not str",
    ),
    "a number as task": (
        lambda server: server.task(5),  # type: ignore[call-overload]
        "TypeError",
        "a task's name must be text, not int",
    ),
    "a remote task without brackets": (
        lambda server: server.remote(_function),  # type: ignore[arg-type]
        "TypeError",
        'remote is called: write @server.remote() or @server.remote("name")',
    ),
    "nothing to call": (
        lambda server: server.task("name")(5),  # type: ignore[call-overload]
        "TypeError",
        "task name: int is nothing that can be called",
    ),
    "a partial": (
        lambda server: server.task(functools.partial(_function, 1)),
        "TypeError",
        'partial has no name of its own: write server.task("name")(…)',
    ),
    "an object": (
        lambda server: server.remote()(_Callable()),
        "TypeError",
        '_Callable has no name of its own: write server.remote("name")(…)',
    ),
}


@pytest.mark.parametrize("kind", SENDS)
def test_methods(kind: str) -> None:
    """Nothing is sent, nothing is waited for."""
    call, error, text = SENDS[kind]
    running = server()
    assert (error, text) == refusal(lambda: call(running))
    assert [] == list(running.pending())


def test_a_queue_that_is_named_twice() -> None:
    """It is consumed once."""
    assert ("a", "b") == server().worker(queue=["a", "b", "a"]).queues


def test_named_callables() -> None:
    """What has no name of its own is a task as well, by the name that it is given."""
    running = server()
    running.task("partial")(functools.partial(_function, 1))
    running.task("object")(_Callable())
    assert {"add", "partial", "object"} == set(running.tasks)
