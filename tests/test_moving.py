"""Moving between brokers: a mover dies before and after each of its requests, and nothing is lost.

Exhaustive: a move is repeated as often as it makes requests, and dies at another one each time.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from inprocess import FakeRedisPort, drive
from moving_world import (
    CLOCK,
    ConsumedPort,
    Run,
    Side,
    amqp_side,
    died,
    fill,
    interleaved,
    interrupted,
    moved,
    redis_side,
    task,
)

from gomachinery_py.amqp_commands import AMQPRefused
from gomachinery_py.brokers.amqp import AMQPBroker
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.moves import DEAD, DELAYED, PENDING, Arrival, Departure
from gomachinery_py.brokers.redis_moves import RedisMoves
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError, WrongKeyType
from gomachinery_py.moving import held as held_module
from gomachinery_py.moving.held import MoveConflict
from gomachinery_py.moving.sources import FetchedSource
from gomachinery_py.wire import encode_signature

PENDING_TASKS = [task(f"p{number}") for number in range(3)]
DELAYED_TASKS = [task("d0", delay=100)]
PAGE = 2

SIDES: dict[str, Callable[[], Side]] = {"redis": redis_side, "amqp": amqp_side}
PATHS = [("redis", "redis"), ("redis", "amqp"), ("amqp", "redis"), ("amqp", "amqp")]


def tasks_of(kind: str) -> list[Any]:
    """What can wait on a side: RabbitMQ's delayed tasks cannot be found, they come to the queue by themselves."""
    return [*PENDING_TASKS, *(DELAYED_TASKS if kind == "redis" else [])]


def world(path: tuple[str, str]) -> tuple[Side, Side, Counter[str]]:
    source, target = SIDES[path[0]](), SIDES[path[1]]()
    tasks = tasks_of(path[0])
    fill(source, tasks)
    return source, target, Counter(each.uuid for each in tasks)


@functools.cache
def safe_crashes(path: tuple[str, str]) -> list[tuple[int, Counter[str], Counter[str], int]]:
    """:func:`crashes` with every safeguard in place."""
    return crashes(path)


def crashes(path: tuple[str, str]) -> list[tuple[int, Counter[str], Counter[str], int]]:
    """For each half step: how much was lost and doubled after the next run, and how much that said may be."""
    outcomes = []
    crash_at, crashed = 0, True
    while crashed:
        source, target, sent = world(path)
        crashed = died(source, Run(source, target, page=PAGE), crash_at)
        tally = moved(Run(source, target, page=PAGE))
        found = target.uuids() + source.uuids()
        outcomes.append((crash_at, sent - found, found - sent, tally.maybe_twice))
        assert source.uuids() == Counter(), f"half step {crash_at}: something stayed"
        crash_at += 1
    assert crash_at > 12
    return outcomes


@pytest.mark.parametrize("path", PATHS, ids="-to-".join)
def test_a_kill_at_every_step(path: tuple[str, str]) -> None:
    """Nothing is lost; between two Redis nothing is there twice, elsewhere one page at most, and it is counted."""
    for crash_at, lost, doubled, told in safe_crashes(path):
        where = f"half step {crash_at}"
        assert Counter() == lost, where
        assert sum(doubled.values()) <= (0 if path == ("redis", "redis") else PAGE), where
        assert sum(doubled.values()) <= told, where


@pytest.mark.parametrize("path", PATHS, ids="-to-".join)
def test_some_kill_does_double_a_task_where_the_broker_cannot_tell(path: tuple[str, str]) -> None:
    """What is counted does happen: so the counting is needed, and the one path that has none is shown by the same."""
    assert (path != ("redis", "redis")) == any(doubled for _, _, doubled, _ in safe_crashes(path))


@pytest.mark.parametrize("path", PATHS, ids="-to-".join)
def test_a_second_kill_while_the_first_is_made_good(path: tuple[str, str]) -> None:
    """The mover that goes on dies as well, at every one of its steps: still nothing is lost."""
    for first in (10, 13):
        second, crashed = 0, True
        while crashed:
            source, target, sent = world(path)
            assert died(source, Run(source, target, page=PAGE), first)
            crashed = died(source, Run(source, target, page=PAGE), second)
            tally = moved(Run(source, target, page=PAGE))
            found = target.uuids() + source.uuids()
            where = f"half steps {first} and {second}"
            assert Counter() == sent - found, where
            assert sum((found - sent).values()) <= (0 if path == ("redis", "redis") else 2 * PAGE), where
            assert tally.refused == 0, where
            second += 1


def test_without_a_page_that_is_kept_a_kill_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above would notice: taken as Go takes tasks, some kill loses a page."""
    original = RedisMoves.hold

    async def hold(self: RedisMoves, queue: str, kind: str, mover: str, about: bytes, *more: Any) -> list[Departure]:
        departures = await original(self, queue, kind, mover, about, *more)
        await self.free(queue, kind, mover, about, [], [])
        return departures

    monkeypatch.setattr(RedisMoves, "hold", hold)
    assert any(lost for _, lost, _, _ in crashes(("redis", "amqp")))


def test_without_the_record_of_arrivals_a_kill_doubles_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above would notice: a Redis that keeps no record of what has arrived has some of it twice."""
    original = RedisMoves.arrive

    async def arrive(self: RedisMoves, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        for arrival in arrivals:
            arrival.identity = ""
        return await original(self, mover, arrivals)

    monkeypatch.setattr(RedisMoves, "arrive", arrive)
    assert any(doubled for _, _, doubled, _ in crashes(("redis", "redis")))


def test_settled_before_it_has_arrived_a_kill_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above would notice: acknowledged when it is taken, some kill loses it."""
    original = AMQPBroker.depart

    async def depart(self: AMQPBroker, *arguments: Any) -> list[Delivery]:
        deliveries = await original(self, *arguments)
        for delivery in deliveries:
            await self.settle(delivery)
        return deliveries

    async def settle(*_arguments: Any) -> None:
        """Was settled before."""

    monkeypatch.setattr(AMQPBroker, "depart", depart)
    monkeypatch.setattr(FetchedSource, "settle", settle)
    assert any(lost for _, lost, _, _ in crashes(("amqp", "redis")))


# -- what a task is when it has arrived --


def stored(side: Side, key: str) -> list[bytes]:
    assert isinstance(side.port, FakeRedisPort)
    bodies: Any = side.port.redis.lrange(key, 0, -1)
    return list(bodies)


def test_the_bytes_stay_what_they_were() -> None:
    """Also those that no Go program would write, as long as the queue has the same name."""
    source, target = redis_side(), redis_side()
    foreign = (
        b'{ "Extra": 1, "RoutingKey":"orders", "Name":"add", "UUID":"x",\n "Args":[{"Type":"float64","Value":1.50}]}'
    )
    go = encode_signature(task("go"))
    source.port.redis.rpush("orders", foreign, go)  # type: ignore[attr-defined]

    moved(Run(source, target))

    assert stored(target, "orders") == [foreign, go]


def test_another_queue_is_another_routing_key_and_nothing_else() -> None:
    """Number literals and everything else are as they were; callbacks keep the queues that they name."""
    source, target = redis_side(), redis_side("bills")
    signature = task("x", on_success=[task("y")])
    body = encode_signature(signature).replace(b'"Value":1', b'"Value":1.50')
    source.port.redis.rpush("orders", body)  # type: ignore[attr-defined]

    moved(Run(source, target, "bills"))

    assert stored(target, "bills") == [body.replace(b'"orders"', b'"bills"', 1)]


def test_rabbitmq_names_its_default_queue_otherwise() -> None:
    """The default queue's tasks have the binding key, as a Go producer writes it, and its headers and priority."""
    source, target = redis_side(), amqp_side()
    fill(source, [task("x", priority=7)])
    source.port.redis.rpush("orders", encode_signature(task("y")).replace(b'"Headers":{}', b'"Headers":{"k":"v"}'))  # type: ignore[attr-defined]

    moved(Run(source, target))

    assert isinstance(target.port, ConsumedPort)
    published = [fields for name, fields in target.port.sent if name == "basic_publish"]
    assert [fields["routing_key"] for fields in published] == ["machinery_task", "machinery_task"]
    assert [json.loads(fields["body"])["RoutingKey"] for fields in published] == ["machinery_task", "machinery_task"]
    assert [fields["properties"].get("priority") for fields in published] == [7, None]
    assert [fields["properties"].get("headers") for fields in published] == [None, {"k": "v"}]


def test_delayed_tasks_keep_their_time() -> None:
    """Score and bytes on Redis; the milliseconds that are left on RabbitMQ."""
    source, target, rabbit = redis_side(), redis_side(), amqp_side()
    fill(source, [task("x", delay=100.5)])
    assert isinstance(source.port, FakeRedisPort)
    before = source.port.redis.zrange("delayed_tasks", 0, -1, withscores=True)

    moved(Run(source, target))

    assert isinstance(target.port, FakeRedisPort)
    assert before == target.port.redis.zrange("delayed_tasks", 0, -1, withscores=True)
    moved(Run(target, rabbit))
    assert isinstance(rabbit.port, ConsumedPort)
    assert "delay.100500.machinery_exchange.machinery_task" in rabbit.port.queues


def test_only_the_delayed_tasks_of_the_queue_go_with_it() -> None:
    """Others stay, unless all are asked for: then each goes to the queue that it names."""
    source, target = redis_side(), redis_side()
    fill(
        source,
        [task("mine", delay=100), task("other", delay=101, routing_key="others"), task("d", routing_key="", delay=99)],
    )

    tally = moved(Run(source, target))

    assert (tally.moved[DELAYED], source.uuids(), target.uuids()) == (2, Counter(["other"]), Counter(["mine", "d"]))
    moved(Run(source, target, all_delayed=True))
    assert [json.loads(body)["RoutingKey"] for body in target.bodies()] == ["orders", "orders", "others"]


def test_what_cannot_go_stays_in_its_place() -> None:
    """Undecodable, or more than the target can delay: counted, told with the reason, and not in anyone's way."""
    source, target = redis_side(), amqp_side()
    assert isinstance(source.port, FakeRedisPort)
    source.port.redis.rpush("orders", b"no JSON")
    fill(source, [*PENDING_TASKS, task("far", delay=30 * 86_400), task("near", delay=5)])
    source.port.redis.rpush("orders", b"{}x"[:1])

    tally = moved(Run(source, target))

    assert stored(source, "orders") == [b"no JSON", b"{"]
    assert source.port.redis.zcard("delayed_tasks") == 1
    assert (tally.moved[PENDING], tally.moved[DELAYED], tally.refused, tally.undecodable) == (3, 1, 1, 2)
    assert ["far add", "", ""] == [left.task for left in tally.left]
    assert "RabbitMQ delays 24 at most" in tally.left[0].reason


def test_a_full_target_gives_back_what_it_did_not_take() -> None:
    """What RabbitMQ nacks goes back to the head of the queue and is told; the rest is moved."""
    source, target = redis_side(), amqp_side()
    fill(source, PENDING_TASKS)
    assert isinstance(target.port, ConsumedPort)
    target.port.errors["basic_publish"] = [AMQPRefused("RabbitMQ did not take the message: is its queue full?", 0)]

    tally = moved(Run(source, target))

    assert (tally.moved[PENDING], tally.refused) == (2, 1)
    assert stored(source, "orders") == [encode_signature(task("p0"))]


def test_a_target_that_is_no_queue() -> None:
    """Nothing is moved, and nothing is lost: the page goes back with ``put_back``."""
    source, target = redis_side(), redis_side()
    fill(source, PENDING_TASKS)
    assert isinstance(target.port, FakeRedisPort)
    target.port.redis.set("orders", "something else")

    with pytest.raises(WrongKeyType, match="'orders' holds something that is not a queue"):
        moved(Run(source, target))
    other = redis_side()
    moved(Run(source, other, put_back=True))

    assert other.uuids() == Counter(each.uuid for each in PENDING_TASKS)


def test_an_interrupted_move_to_elsewhere_is_not_sent_here() -> None:
    """Its page may have arrived there: moving to another place says so, and ``put_back`` returns it first."""
    source, _, held = interrupted(amqp_side, PENDING_TASKS)
    second = amqp_side("elsewhere")
    with pytest.raises(MoveConflict, match=r"holds \d pending tasks, which may have arrived there"):
        moved(Run(source, second, "elsewhere"))

    tally = moved(Run(source, second, "elsewhere", put_back=True))

    assert tally.maybe_twice == held
    assert second.uuids() == Counter(each.uuid for each in PENDING_TASKS)


def test_every_task_that_may_be_there_twice_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """However many they are; the document has the first hundred."""
    source, target = amqp_side(), redis_side()
    tasks = [task(f"p{number}") for number in range(250)]
    fill(source, tasks)
    assert isinstance(source.port, ConsumedPort)
    assert len(run(source.broker.depart("orders", "one that dies", 1000, 0.0))) == 250
    source.port.died()
    tally = moved(Run(source, target, page=100))
    named = [uuid for record in caplog.records for uuid in record.getMessage().rpartition(": ")[2].split(", ")]
    assert named == [each.uuid for each in tasks]
    assert (tally.maybe_twice, tally.maybe_twice_uuids) == (250, named[:100])


def test_what_is_put_back_is_named_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """It may have arrived, and whoever put it back may be killed before it says so."""
    source, _, held = interrupted(amqp_side, PENDING_TASKS)
    moved(Run(source, amqp_side("elsewhere"), "elsewhere", put_back=True))
    [record] = caplog.records
    assert record.getMessage().startswith(f"{held} tasks had been taken before")


def test_a_queue_that_is_slow_to_give_is_not_taken_for_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ says that something waits, so it is waited for; for ever only if nobody else has a right to it."""
    source, target = amqp_side(), redis_side()
    fill(source, PENDING_TASKS)
    original, asked = AMQPBroker.depart, itertools.count()

    async def depart(self: AMQPBroker, *arguments: Any) -> list[Delivery]:
        return [] if next(asked) % 3 else await original(self, *arguments)

    monkeypatch.setattr(AMQPBroker, "depart", depart)
    next(asked)
    assert moved(Run(source, target)).moved[PENDING] == len(PENDING_TASKS)

    async def never(*_arguments: Any) -> list[Delivery]:
        return []

    monkeypatch.setattr(AMQPBroker, "depart", never)
    fill(source, PENDING_TASKS)
    with pytest.raises(ServiceError, match="has it a single active or exclusive consumer"):
        moved(Run(source, target))


def test_a_queue_is_not_moved_to_itself() -> None:
    """Under whatever name its server goes."""
    side = redis_side()
    fill(side, PENDING_TASKS)
    with pytest.raises(ServiceError, match="'orders' is the queue itself"):
        moved(Run(side, side))
    assert stored(side, "orders") == [encode_signature(each) for each in PENDING_TASKS]
    assert isinstance(side.port, FakeRedisPort)
    assert side.port.redis.keys("*gmpy*") == []


def test_movers_at_once_share_the_queue() -> None:
    """Each holds pages of its own, and leaves alone what another one holds that lives."""
    source, target = redis_side(), redis_side()
    tasks = [*PENDING_TASKS, *(task(f"more{number}") for number in range(20)), *DELAYED_TASKS]
    fill(source, tasks)

    tallies = interleaved(*(Run(source, target, is_gone=lambda _owner: False) for _ in range(3)))

    assert target.uuids() == Counter(each.uuid for each in tasks)
    assert [0, 0, 0] == [tally.resumed for tally in tallies]
    assert min(tally.total for tally in tallies) > 0


def test_a_mover_of_another_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here can tell whether it lives, until it has been silent for the lease."""
    source, target, held = interrupted(redis_side, PENDING_TASKS)
    unknown = Run(source, target, is_gone=lambda _owner: False)
    looks = itertools.count()
    impatient = unknown.move(stopped=lambda: next(looks) > 3)
    drive(impatient.run(), lambda: None, lambda: None)
    assert (impatient.tally.total, next(looks) > 3) == (0, True)

    monkeypatch.setattr(held_module, "LEASE_SECONDS", -1.0)
    tally = moved(unknown)

    assert (tally.resumed, tally.total, tally.maybe_twice) == (1, len(PENDING_TASKS), 0)
    assert held > 0


def test_one_that_waits_for_more_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long nothing comes: another move of the same queue leaves it alone, and what comes then it moves."""
    source, target, elsewhere = redis_side(), redis_side(), redis_side()
    fill(source, PENDING_TASKS[:1])
    assert isinstance(source.port, FakeRedisPort)
    movers, rounds = source.port.redis, itertools.count()

    def stopped() -> bool:
        at = next(rounds)
        if at == 2:
            # Long ago.
            names = [name for name in movers.hkeys("{orders}:gmpy:movers") if name.endswith(b" seen")]  # type: ignore[union-attr]
            movers.hset("{orders}:gmpy:movers", mapping=dict.fromkeys(names, 1))
            monkeypatch.setattr(CLOCK, "seconds", CLOCK.seconds + 1000.0)
        elif at == 4:
            assert moved(Run(source, elsewhere, is_gone=lambda _owner: False)).total == 0
            fill(source, PENDING_TASKS[1:])
        return at == 8

    drive(Run(source, target).move(idle=1.0, stopped=stopped).run(), lambda: None, lambda: None)
    assert target.uuids() == Counter(each.uuid for each in PENDING_TASKS)


def test_who_has_lost_its_page_to_another_stops() -> None:
    """A mover that slept past its lease, at whichever step, gives up nothing that is no longer its own."""
    stopped: list[str] = []
    for steal_at in range(8, 22):
        source, target = redis_side(), redis_side()
        fill(source, PENDING_TASKS)
        steps = itertools.count()

        def steal(steps: Any = steps, at: int = steal_at, source: Side = source, target: Side = target) -> None:
            if next(steps) == at:
                moved(Run(source, target))

        try:
            drive(Run(source, target).move().run(), steal, lambda: None)
        except ServiceError as error:
            stopped.append(str(error))
        assert target.uuids() == Counter(each.uuid for each in PENDING_TASKS), steal_at
        assert source.uuids() == Counter(), steal_at
    assert stopped != []
    assert all("another move has taken over" in text for text in stopped)


def test_dead_letters_go_to_the_dead_letters() -> None:
    """With their reasons and whatever they hold; only when they are asked for."""
    source, target, rabbit = redis_side(), redis_side(), amqp_side()
    assert isinstance(source.port, FakeRedisPort)
    source.port.redis.rpush("{orders}:gmpy:dead", b"no JSON", encode_signature(task("x")))
    run(source.broker.bury_body("orders", b"third", "a reason"))
    moved(Run(source, target))
    assert run(target.broker.dead("orders")) == []

    tally = moved(Run(source, target, kinds=(PENDING, DEAD)))

    assert tally.moved[DEAD] == 3
    assert run(target.broker.dead("orders"))[::2] == [(b"no JSON", ""), (b"third", "a reason")]
    assert source.port.redis.keys("*") == []
    moved(Run(target, rabbit, kinds=(DEAD,)))
    assert isinstance(rabbit.port, ConsumedPort)
    assert rabbit.port.queues["orders.dead"] == [b"no JSON", encode_signature(task("x")), b"third"]


def test_nothing_of_ours_is_left_when_all_is_moved() -> None:
    """On neither side, but for the record's key while it expires, which is empty and so not there."""
    source, target, _ = world(("redis", "redis"))
    moved(Run(source, target))
    keys = [key for side in (source, target) for key in side.port.redis.keys("*")]  # type: ignore[attr-defined]
    assert sorted(keys) == [b"delayed_tasks", b"orders"]
