"""``gomachinery``, which kills itself at one of its requests, or has one of its safeguards taken away.

``GMPY_KILL_AT=N``: kill -9 right before its Nth request is sent (N negative: right after the service has answered it).
``GMPY_KILL_AFTER=STEP``: right after its first ``hold``, ``depart`` or ``arrive`` (see ``brokers/base.py``).
``GMPY_SABOTAGE=NAME``: one of the functions below.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Sequence
from typing import Any

from gomachinery_py.brokers.amqp import AMQPBroker
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.moves import Arrival, Departure
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.brokers.redis_moves import RedisMoves
from gomachinery_py.brokers.sqs import SQSBroker
from gomachinery_py.cli import main
from gomachinery_py.effects import Request
from gomachinery_py.moving.sources import FetchedSource
from gomachinery_py.ports.amqp import AMQPPort
from gomachinery_py.ports.redis import RedisPort
from gomachinery_py.ports.sqs import SQSPort


def kill_at(number: int) -> None:
    """Count the requests of every service together."""
    requests = itertools.count(1)
    for kind in (RedisPort, AMQPPort, SQSPort):
        original: Any = kind.send

        def send(self: Any, some: Sequence[Request], original: Any = original) -> list[list[Any] | Exception]:
            at = next(requests)
            if at == number:
                os.kill(os.getpid(), signal.SIGKILL)
            answers: list[list[Any] | Exception] = original(self, some)
            if at == -number:
                os.kill(os.getpid(), signal.SIGKILL)
            return answers

        kind.send = send  # type: ignore[method-assign]


def kill_after(step: str) -> None:
    """Of whichever broker has it."""
    for kind in (RedisBroker, AMQPBroker, SQSBroker):
        found: Any = getattr(kind, step)

        async def last(self: Any, *arguments: Any, original: Any = found) -> Any:
            if await original(self, *arguments):
                os.kill(os.getpid(), signal.SIGKILL)
            return []

        setattr(kind, step, last)


def no_hold() -> None:
    """A page is taken off its queue and kept nowhere."""
    original = RedisMoves.hold

    async def hold(self: RedisMoves, queue: str, kind: str, mover: str, about: bytes, *more: Any) -> list[Departure]:
        departures = await original(self, queue, kind, mover, about, *more)
        await self.free(queue, kind, mover, about, [], [])
        return departures

    RedisMoves.hold = hold  # type: ignore[method-assign,assignment]


def no_record() -> None:
    """The target does not know what has arrived."""
    original = RedisMoves.arrive

    async def arrive(self: RedisMoves, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        for arrival in arrivals:
            arrival.identity = ""
        return await original(self, mover, arrivals)

    RedisMoves.arrive = arrive  # type: ignore[method-assign]


def early_ack() -> None:
    """RabbitMQ is told that a page has arrived before it has."""
    original = AMQPBroker.depart

    async def depart(self: AMQPBroker, *arguments: Any) -> list[Delivery]:
        deliveries = await original(self, *arguments)
        for delivery in deliveries:
            await self.settle(delivery)
        # RabbitMQ answers no acknowledgement, but what is asked after it.
        await self.check()
        return deliveries

    async def settle(*_arguments: Any) -> None:
        """Was settled before."""

    AMQPBroker.depart = depart  # type: ignore[method-assign,assignment]
    FetchedSource.settle = settle  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ.get("GMPY_KILL_AT"):
        kill_at(int(os.environ["GMPY_KILL_AT"]))
    if os.environ.get("GMPY_SABOTAGE"):
        globals()[os.environ["GMPY_SABOTAGE"]]()
    if os.environ.get("GMPY_KILL_AFTER"):
        kill_after(os.environ["GMPY_KILL_AFTER"])
    main()
