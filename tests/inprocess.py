"""A Redis inside the test and a way to run workers on it step by step, so that one can die between any two steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import fakeredis
from redis.exceptions import ResponseError

from gomachinery_py import redis_transactions as tx
from gomachinery_py.brokers.base import Delivery, Recovered
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.effects import Clock, Command, Invoke, Port, Request, Sleep, Slot, run
from gomachinery_py.engine import Engine
from gomachinery_py.errors import ServiceError, WrongKeyType
from gomachinery_py.observing import Observer
from gomachinery_py.runs import Handlers
from gomachinery_py.server import Server

__all__ = [
    "Crashed",
    "FakeRedisPort",
    "drive",
    "engine_of",
    "fetch",
    "inflight",
    "make_due",
    "recover",
    "server_on",
    "work_until_quiet",
]


class Crashed(Exception):
    """The worker process has just died."""


class FakeRedisPort(Port):
    """Commands on an in-process fakeredis, Lua included."""

    def __init__(self, server: fakeredis.FakeServer | None = None) -> None:
        self.redis = fakeredis.FakeStrictRedis(server=server or fakeredis.FakeServer(version=(7,)))
        #: Told of each command that took effect.
        self.on_done: Callable[[Command], None] = lambda _command: None

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [[self._run(command) for command in request.commands] for request in requests]

    async def asend(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return self.send(requests)

    def _run(self, command: Command) -> Any:
        is_transaction = command[0] == "TRANSACT"
        try:
            reply = self.redis.execute_command(*(tx.joined([command]) if is_transaction else command))
        except ResponseError as error:
            return WrongKeyType(str(error)) if "WRONGTYPE" in str(error) else ServiceError(str(error))
        if not is_transaction or reply[0] == tx.DONE or isinstance(reply[0], bytes):
            self.on_done(command)
        if is_transaction:
            return reply[0]
        if command[0] == "ZSCAN":
            # The client of these tests has parsed it.
            return [b"%d" % reply[0], [word for pair in reply[1] for word in pair]]
        return {True: b"OK"}.get(reply, reply) if isinstance(reply, bool) else reply


def server_on(
    broker: Port, store: Port | None = None, observers: Sequence[Observer] = (), clock: Clock | None = None
) -> Server:
    """A server on in-process Redis; one port for both, or one each."""
    server = Server("redis://in-process", observers=observers, clock=clock)
    server.broker.port = broker
    server.backend.port = store or broker
    server.broker.sees_states = server._producer.fused = server.broker.can_fuse(server.backend.port)
    server.broker.lease = 0.0
    return server


def engine_of(server: Server) -> Engine:
    """What a worker of this server runs."""
    return server._engine(Handlers())


def drive(core: Coroutine[Any, Any, Any], before: Callable[[], None], after: Callable[[], None]) -> None:
    """Run one life to its end; ``before`` and ``after`` are called around each request and may raise Crashed."""
    value: Any = None
    resume: Callable[[Any], Any] = core.send
    try:
        while True:
            effect = resume(value)
            resume, value = core.send, None
            if isinstance(effect, Request):
                before()
                value = effect.port.send((effect,))[0]
                after()
            elif isinstance(effect, Invoke):
                value = asyncio.run(effect.call()) if effect.is_async else effect.call()
            else:
                assert isinstance(effect, Sleep | Slot)
    except StopIteration:
        return
    finally:
        core.close()


def fetch(server: Server, worker: str, limit: int = 1) -> list[Delivery]:
    """What a worker takes, its first sign of life included."""
    run(server.broker.beat("machinery_tasks", worker))
    return run(server.broker.fetch("machinery_tasks", worker, limit, 0.0))


def recover(server: Server) -> Recovered:
    """Give back what dead workers held, and bring delayed tasks to their queue whatever their time."""
    recovered = run(server.broker.recover("machinery_tasks"))
    make_due(server)
    run(server.broker.move_due())
    return recovered


def make_due(server: Server) -> None:
    """Let the time of all delayed tasks come."""
    port = server.broker.port
    assert isinstance(port, FakeRedisPort)
    assert isinstance(server.broker, RedisBroker)
    for body in port.redis.zrange(server.broker.delayed_key, 0, -1):
        port.redis.zadd(server.broker.delayed_key, {body: 1})


def work_until_quiet(server: Server) -> None:
    """A healthy worker runs all that is left."""
    for round_ in range(200):
        recover(server)
        deliveries = fetch(server, f"healthy-{round_}", limit=10)
        if not deliveries:
            return
        for delivery in deliveries:
            drive(engine_of(server).process(delivery), lambda: None, lambda: None)
    raise AssertionError("work never ends")


def inflight(port: FakeRedisPort) -> list[bytes]:
    """What is held by any worker."""
    keys = port.redis.keys("{machinery_tasks}:gmpy:inflight:*")
    return [body for key in keys for body in port.redis.lrange(key, 0, -1)]
