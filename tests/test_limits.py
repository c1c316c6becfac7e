"""What a worker does not do for ever or without bound: unregistered tasks, bytes in its hands, results too large."""

from __future__ import annotations

import pytest
from hostile_world import QUEUE, World, document
from inprocess import engine_of, fetch, inflight

from gomachinery_py.backends import redis as store
from gomachinery_py.brokers import redis as broker
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.effects import Command, run
from gomachinery_py.errors import ServiceError
from gomachinery_py.worker import intake, room
from gomachinery_py.worker.intake import Bounces
from gomachinery_py.worker.room import Room


@pytest.fixture
def world() -> World:
    return World()


class Clock:
    """Seconds that a test turns on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# -- unregistered tasks --


def test_a_task_that_nobody_knows_is_given_up_after_fifty_tries() -> None:
    """The tries lie ever further apart, half a minute at most: about twenty minutes for a worker that knows it."""
    clock = Clock()
    bounces = Bounces(clock)
    tries = 1
    while not bounces.gives_up(b"unknown"):
        clock.now += 60
        tries += 1
    assert 50 == tries

    clock.now, bounces = 0.0, Bounces(clock)
    while not bounces.gives_up(b"unknown"):
        clock.now += 0.01
    assert 15 * 60 < clock.now < 25 * 60


def test_quick_tries_count_as_one() -> None:
    """On a busy queue a task comes by thousands of times a second; that says nothing about who will come."""
    bounces = Bounces(Clock())
    assert [False] * 10_000 == [bounces.gives_up(b"unknown") for _ in range(10_000)]


def test_tries_are_counted_for_each_message_and_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message's tries are not another's, and only so many messages are remembered."""
    monkeypatch.setattr(intake, "_TRIES", 3)
    monkeypatch.setattr(intake, "_LONGEST_CYCLE", 2)
    clock = Clock()
    bounces = Bounces(clock)

    def tried(body: bytes) -> bool:
        clock.now += 60
        return bounces.gives_up(body)

    assert [False, False, False, False] == [tried(body) for body in (b"a", b"b", b"a", b"b")]
    assert [True, True] == [tried(b"a"), tried(b"b")]
    # Three more messages than are remembered: the first one begins anew.
    assert [False] * 5 == [tried(body) for body in (b"a", b"b", b"c", b"a", b"a")]


def test_what_is_given_up_is_a_dead_letter(world: World) -> None:
    """Byte for byte, with a reason that names the task; before that it goes back."""
    engine = engine_of(world.server)
    asked: list[bytes] = []

    def gives_up(delivery: Delivery) -> str | None:
        asked.append(delivery.body)
        return "is not known" if len(asked) == 2 else None

    engine.gives_up = gives_up
    body = document(Name="elsewhere")
    world.redis.rpush(QUEUE, body)
    for expected in ([body], []):
        [delivery] = fetch(world.server, "w", 1)
        run(engine.process(delivery))
        assert expected == world.redis.lrange(QUEUE, 0, -1)
    assert [(body, "task 'elsewhere' is not known")] == world.dead()
    assert [] == inflight(world.port)


# -- bytes in hand --


def test_a_fetch_brings_only_so_many_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one message beyond, however many there is room for."""
    monkeypatch.setattr(broker, "_FETCH_BYTES", 2_500)
    world.redis.rpush(QUEUE, *[document().ljust(1_000 + number) for number in range(10)])
    assert [3, 3, 3, 1] == [len(fetch(world.server, "w", 10)) for _ in range(4)]


def test_a_worker_with_its_hands_full_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is counted in messages and in bytes; what is done with makes room again."""
    monkeypatch.setattr(room, "_BYTES", 1_000)
    hands = Room(concurrency=4, prefetch=4)
    assert 4 == hands.take(0)
    hands.weigh(1_000)
    hands.give_back(2)
    assert 0 == hands.take(0)
    hands.weigh(-500)
    assert 2 == hands.take(0)


# -- results --


def test_a_result_that_is_too_large_is_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says why; the message is done with, and OnError callbacks are told."""

    @world.server.task
    def large() -> str:
        return "x" * 100_000

    monkeypatch.setattr(store, "_LARGEST_BYTES", 50_000)
    world.work(document(Name="large", Args=[]), document(UUID="task_2"))
    state, error = world.outcome("task_1")
    assert "FAILURE" == state
    assert error.startswith("its result cannot be stored: 100")
    assert error.endswith("bytes are more than the 50000 that Redis takes as one value")
    assert ("SUCCESS", "") == world.outcome("task_2")
    assert ([], []) == (world.dead(), inflight(world.port))


def test_a_result_that_the_store_refuses_is_a_failure(world: World) -> None:
    """A store that answers with an error will do so again."""
    refused: list[Command] = []
    original = world.port._run

    def run_one(command: Command) -> object:
        words = command[2] if command[0] == "TRANSACT" else ()
        if any(isinstance(word, bytes) and b'"State":"SUCCESS"' in word for word in words):
            refused.append(command)
            return ServiceError("Redis: NOPERM this user has no permissions")
        return original(command)

    world.port._run = run_one  # type: ignore[method-assign]
    world.work(document())
    text = "its result cannot be stored: Redis: NOPERM this user has no permissions"
    assert ("FAILURE", text) == world.outcome("task_1")
    assert 1 == len(refused)
    assert ([], []) == (world.dead(), inflight(world.port))
