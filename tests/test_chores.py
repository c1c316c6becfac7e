"""What a worker of several queues does beside its tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import cast

import pytest

from gomachinery_py import Server
from gomachinery_py.brokers.base import Broker
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.worker.chores import Chore, heartbeat, recovery


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


def test_a_node_that_is_away_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Each queue of a cluster may be on another node; it is told once, and nothing is told of this worker meanwhile."""
    with caplog.at_level(logging.WARNING):
        broker = beaten({"first": ServiceUnavailable("nobody answers")})

    assert broker.queues[:6] == ["first", "second", "third"] * 2
    assert broker.told == 0
    assert caplog.messages == ["w-heartbeat: nobody answers"]


@pytest.mark.parametrize("chore", [heartbeat, recovery])
def test_a_queue_that_fails_takes_no_sign_of_life_from_the_others(
    chore: Callable[..., Chore], embedded_url: str
) -> None:
    """Otherwise the tasks that run here would be given to others, since one node of a cluster is down."""
    broken, well = f"{chore.__name__}-broken", f"{chore.__name__}-well"
    with Server(embedded_url) as server:
        run(_set(server, f"{{{broken}}}:gmpy:workers", "no sorted set"))
        with pytest.raises(ServiceError):
            chore(server.broker, [broken, well], "w", 1.0)._call()
        assert [worker.name for worker in run(server.broker.workers(well))] == ["w"]


async def _set(server: Server, key: str, value: str) -> None:
    await server.broker.port.execute(("SET", key, value))
