"""The test tasks on a server from which one safeguard has been taken away, named by ``GMPY_SABOTAGE``.

A fault test that finds nothing must be able to find something: run against ``sabotaged_tasks:server`` its checker
has to complain.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

from pika.channel import Channel
from python_tasks import server

from gomachinery_py.backends.redis import RedisBackend
from gomachinery_py.brokers import redis
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.chords import Chords
from gomachinery_py.effects import Flight, Request
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.ports import amqp_consumer
from gomachinery_py.ports.amqp_lane import Lane
from gomachinery_py.ports.redis import RedisPort
from gomachinery_py.worker.worker import Worker

__all__ = ["server"]


def no_fence() -> None:
    """The end of a task is written whether its worker still holds it or not."""
    RedisBroker._hold = lambda _self, _delivery, **_more: None  # type: ignore[method-assign]


def no_drain() -> None:
    """The first signal ends the worker as the second should."""
    Worker._ask_to_stop = lambda _self: os._exit(0)  # type: ignore[method-assign]


def no_result_needed() -> None:
    """A write that the result store did not take counts as written."""
    original = RedisPort.begin

    def begin(self: RedisPort, requests: Sequence[Request]) -> Flight:
        answers = original(self, requests).finish()
        if self is not server.backend.port:
            return Flight(answers)
        return Flight(
            [
                [None] * len(request.commands) if isinstance(answer, ServiceUnavailable) else answer
                for request, answer in zip(requests, answers, strict=True)
            ]
        )

    RedisPort.begin = begin  # type: ignore[method-assign]


def auto_ack() -> None:
    """A message counts as done as soon as RabbitMQ has sent it."""
    Channel.basic_consume = functools.partialmethod(Channel.basic_consume, auto_ack=True)
    # There is nothing to acknowledge any more, and nothing can be given back.
    Lane.ack = lambda _self, _tags: True  # type: ignore[method-assign]
    amqp_consumer.Consumer._send = lambda *_: None  # type: ignore[method-assign]
    amqp_consumer._PATIENCE = math.inf


def no_dead_letters() -> None:
    """What can never run is dropped."""

    async def bury(self: RedisBroker, delivery: Delivery, _reason: str) -> None:
        await self.settle(delivery)

    RedisBroker.bury = bury  # type: ignore[method-assign]


def takes_all() -> None:
    """A worker takes what waits, however much that is."""
    original = RedisBroker._take

    async def take(self: RedisBroker, queue: str, worker: str, _limit: int, *moved: bytes) -> list[Delivery]:
        return await original(self, queue, worker, 100_000, *moved)

    RedisBroker._take = take  # type: ignore[method-assign]
    redis._FETCH_BYTES = 1 << 40  # type: ignore[misc]


def plain_chord() -> None:
    """A chord is marked without a look at what others have marked, nor at Go's lock."""
    RedisBackend.trigger_guards = lambda _self, _snapshot: ([], [])  # type: ignore[method-assign]


def endless_wait() -> None:
    """Go's lock is waited for as long as Go waits, and then the chord is given up."""

    async def give_up(self: Chords, delivery: Delivery, *_more: Any) -> None:
        await self.broker.settle(delivery)

    Chords._trigger_fused = give_up  # type: ignore[assignment,method-assign]


def no_suspects() -> None:
    """No task is ever run alone, and each that runs when its worker dies is counted."""
    RedisBroker.suspect_after = property(lambda _self: 1_000_000, lambda _self, _given: None)  # type: ignore[assignment]


globals()[os.environ["GMPY_SABOTAGE"]]()
