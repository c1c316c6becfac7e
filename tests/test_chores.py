"""The heartbeat of a worker that takes from several queues."""

from __future__ import annotations

import logging
import threading
from typing import cast

import pytest

from gomachinery_py.brokers.base import Broker
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.worker.chores import heartbeat


class Beaten:
    """Of a broker only what is beaten, and what that leads to."""

    def __init__(self, errors: dict[str, Exception]) -> None:
        self.errors = errors
        self.queues: list[str] = []
        self.told = 0
        self.rounds = threading.Semaphore(0)

    async def beat(self, queue: str, worker: str) -> None:  # noqa: ARG002
        self.queues.append(queue)
        if queue == "first":
            self.rounds.release()
        if queue in self.errors:
            raise self.errors[queue]

    def tell(self) -> None:
        self.told += 1


def beaten(errors: dict[str, Exception]) -> Beaten:
    """Two rounds over three queues."""
    broker = Beaten(errors)
    chore = heartbeat(cast(Broker, broker), ["first", "second", "third"], "w", 0.001, broker.tell)
    chore.start()
    for _ in range(3):
        assert broker.rounds.acquire(timeout=20)
    chore.stop()
    chore.thread.join(20)
    return broker


def test_a_queue_that_is_gone_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What is held of the other queues is kept: their messages would be given to others while they run."""
    with caplog.at_level(logging.WARNING):
        broker = beaten({"first": ServiceError("the subscription is gone")})

    assert broker.queues[:6] == ["first", "second", "third"] * 2
    assert broker.told >= 2
    assert caplog.messages == ["w-heartbeat: the subscription is gone"]


def test_a_service_that_is_away_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is away for every queue, and each question may take its time."""
    with caplog.at_level(logging.WARNING):
        broker = beaten({"first": ServiceUnavailable("nobody answers")})

    assert set(broker.queues) == {"first"}
    assert caplog.messages == ["w-heartbeat: nobody answers"]
