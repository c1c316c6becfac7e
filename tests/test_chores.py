"""What a worker of several queues does beside its tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from gomachinery_py import Server
from gomachinery_py.brokers.base import Broker
from gomachinery_py.effects import Command, Port, run
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
        run(_execute(server.broker.port, ("SET", f"{{{broken}}}:gmpy:workers", "no sorted set")))
        with pytest.raises(ServiceError):
            chore(server.broker, [broken, well], "w", 1.0)._call()
        assert [worker.name for worker in run(server.broker.workers(well))] == ["w"]


@pytest.mark.parametrize("deaths", [0, 3])
def test_recovery_tells_what_became_of_tasks(deaths: int, embedded_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A task that is given back, and one that has killed too many workers."""
    queue = f"recovered-{deaths}"
    body = b'{"UUID":"task_1","Name":"x"}'
    with Server(embedded_url) as server:
        port, broker = server.broker.port, server.broker
        run(_execute(port, ("RPUSH", queue, body)))
        run(_execute(port, ("HSET", f"{{{queue}}}:gmpy:attempts", body, deaths)))
        run(_execute(port, ("SET", "task_1", b'{"TaskUUID":"task_1","State":"STARTED"}')))
        [delivery] = run(broker.fetch(queue, "victim", 1, 0.0))
        assert broker.is_suspect(delivery) == bool(deaths)
        assert not deaths or run(broker.set_apart(delivery))
        run(_execute(port, ("ZADD", f"{{{queue}}}:gmpy:workers", 1, "victim")))
        recovery(broker, [queue], "w", 1.0)._call()

    assert caplog.messages == [
        f"1 tasks of '{queue}' are kept as dead letters: too many workers died while they ran"
        if deaths
        else f"1 tasks of a worker that died went back to '{queue}'"
    ]


async def _execute(port: Port, command: Command) -> Any:
    return await port.execute(command)
