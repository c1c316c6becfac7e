"""How drivers end, whatever the coroutines that they drive are about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from gomachinery_py import Config, Signature
from gomachinery_py.backends.base import GroupClaim, GroupSnapshot
from gomachinery_py.backends.redis_cluster import RedisClusterBackend
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.chords import Chords
from gomachinery_py.effects import Port, Request, SystemClock, run, sleep
from gomachinery_py.observing import Observers
from gomachinery_py.producer import Producer
from gomachinery_py.registry import open_services
from gomachinery_py.wire.model import GroupMeta, TaskState
from gomachinery_py.worker.pump import Pump
from gomachinery_py.worker.room import Room
from gomachinery_py.writes import Writes

SNAPSHOT = GroupSnapshot(GroupMeta("g", ["m"]), b"{}", [TaskState("m", state="SUCCESS")])
LIMIT = 20


def a_pump(process: Callable[[Delivery], Coroutine[Any, Any, None]]) -> Pump:
    broker = open_services(Config.of(broker="eager", result_backend="eager"), SystemClock()).broker
    pump = Pump(process, broker, SystemClock(), Room(1, 1), "test")
    threading.Thread(target=pump.run, daemon=True).start()
    return pump


def test_it_ends_although_a_life_does_not_want_to() -> None:
    """Whoever quits is not left waiting by one coroutine that would like to ask for something more."""
    began = threading.Event()

    async def process(_delivery: Delivery) -> None:
        try:
            began.set()
            await sleep(600)
        finally:
            await sleep(0)

    pump = a_pump(process)
    pump.take_in([Delivery("q", b"body")])
    assert began.wait(LIMIT)
    pump.abort()
    assert pump.ended.wait(LIMIT)


def amqp_chord() -> Coroutine[Any, Any, Any]:
    """The end of a chord on RabbitMQ, its group claimed."""
    services = open_services(Config.of(broker="amqp://localhost", result_backend="amqp://localhost"), SystemClock())
    chords = Chords(Writes(Producer(services.broker, services.backend), Observers()), SystemClock())

    async def claimed(*_: Any) -> GroupClaim:
        return GroupClaim(SNAPSHOT, "g 1")

    services.backend.claim_group = claimed  # type: ignore[method-assign]
    member = Signature("x", uuid="m", group_uuid="g", group_task_count=1, chord_callback=Signature("c", uuid="c"))
    return chords.collected(Delivery("q", b""), member)


def cluster_chord() -> Coroutine[Any, Any, Any]:
    """A chord's mark on a Redis cluster, from its mutex on."""
    return RedisClusterBackend(Port(), SystemClock(), 60).trigger_chord(SNAPSHOT)


@pytest.mark.parametrize(("chord", "replies"), [(amqp_chord, [None]), (cluster_chord, [None, [b"OK"]])])
def test_a_chord_can_be_left_in_the_middle(chord: Callable[[], Coroutine[Any, Any, Any]], replies: list[Any]) -> None:
    """A worker that quits closes its coroutine, which asks for nothing more then."""
    core = chord()
    for reply in replies:
        assert isinstance(core.send(reply), Request)
    core.close()


def test_an_interrupt_stays_one() -> None:
    """Ctrl-C during a request is told as what it is, although the coroutine has something to do on its way out."""

    class Interrupted(Port):
        def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:  # noqa: ARG002
            raise KeyboardInterrupt

    async def core() -> None:
        try:
            await Interrupted().execute("x")
        finally:
            await sleep(0)

    with pytest.raises(KeyboardInterrupt):
        run(core())
