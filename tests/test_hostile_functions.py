"""Task functions and handlers that do what none should: each is an outcome, and the worker goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hostile_world import QUEUE, World, arguments, document
from inprocess import engine_of, fetch, inflight

from gomachinery_py import Context, RetryTaskLater, wire
from gomachinery_py.effects import run
from gomachinery_py.incoming import MAX_TEXT


@pytest.fixture
def world() -> World:
    return World()


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class LaterWithoutDelay(RetryTaskLater):
    def __init__(self) -> None:
        Exception.__init__(self, "soon")


async def agenerator() -> AsyncIterator[int]:
    yield 1


async def cancelled() -> None:
    raise asyncio.CancelledError


async def exits() -> None:
    raise SystemExit(3)


def raising(error: BaseException) -> Any:
    def function() -> None:
        raise error

    return function


def returning(value: Any) -> Any:
    def function() -> Any:
        return value

    return function


FUNCTIONS: dict[str, tuple[Any, str]] = {
    "exit": (raising(SystemExit("gone")), "gone"),
    "exit without text": (raising(SystemExit()), "SystemExit"),
    "interrupt": (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "generator exit": (raising(GeneratorExit()), "GeneratorExit"),
    "stop iteration": (raising(StopIteration(5)), "5"),
    "cancelled": (cancelled, "CancelledError"),
    "async exit": (exits, "3"),
    "no text": (raising(SilentError("x")), "SilentError"),
    "surrogate": (raising(ValueError("a\ud800b")), "a\ufffdb"),
    "huge": (raising(ValueError("y" * 3 * MAX_TEXT)), "y" * MAX_TEXT + "… (3145728 characters)"),
    "generator": (returning(number for number in (1, 2)), "odd() result 1: generator has no type that Machinery knows"),
    "async generator": (returning(agenerator()), "odd() result 1: async_generator has no type that Machinery knows"),
    "a set": (returning({1}), "odd() result 1: set has no type that Machinery knows"),
    "nan": (returning(float("nan")), "odd() result 1: nan cannot be sent"),
    "too large": (returning(2**64), "odd() result 1: 18446744073709551616 does not fit uint64"),
    "lone surrogate": (returning("\ud800"), "odd() result 1: holds a lone surrogate"),
    "nested": (returning([[1]]), "odd() result 1: a list of []int64"),
    "mixed": (returning([1, "a"]), "odd() result 1: a list of int64, string"),
    "later for ever": (raising(RetryTaskLater("busy", 1e12)), "Task error: busy Will retry in: "),
    "later without a delay": (raising(LaterWithoutDelay()), "soon"),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_whatever_a_function_does_is_an_outcome(world: World, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A FAILURE with a text; the worker goes on, and says so in a line."""
    function, text = FUNCTIONS[kind]
    world.server.task("odd")(function)
    world.work(document(Name="odd", Args=[]), document(UUID="task_after"))
    state, error = world.outcome("task_1")
    assert (state, error[: len(text)]) == ("FAILURE", text)
    assert world.outcome("task_after")[0] == "SUCCESS"
    assert (world.dead(), inflight(world.port)) == ([], [])
    assert len(caplog.text) < 1024


def test_retries_of_a_year_stay_within_what_a_worker_takes(world: World) -> None:
    """The next Fibonacci number would be beyond it."""

    @world.server.task
    def fail() -> None:
        raise ValueError("no")

    world.work(document(Name="fail", Args=[], RetryCount=5, RetryTimeout=366 * 24 * 3600))
    [delayed] = world.redis.zrange("delayed_tasks", 0, -1)
    world.redis.delete("delayed_tasks")
    assert wire.decode_signature(delayed).retry_timeout == 366 * 24 * 3600
    world.work(delayed)
    assert world.dead() == []


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt()], ids=["plain", "exit", "stop"])
def test_handlers_decide_nothing(world: World, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """What they raise is logged, and the task's outcome is its own."""
    engine = engine_of(world.server)

    def handler(_anything: object) -> None:
        raise error

    engine.handlers.pre_task = engine.handlers.post_task = engine.handlers.error = handler
    world.redis.rpush(QUEUE, document(), arguments("int64", "x").replace(b"task_1", b"task_2"))
    for delivery in fetch(world.server, "w", 2):
        run(engine.process(delivery))
    assert [world.outcome(uuid)[0] for uuid in ("task_1", "task_2")] == ["SUCCESS", "FAILURE"]
    assert caplog.text.count("raised") == 3
    assert len(caplog.text) < 2000


def test_a_signature_is_what_the_task_was_sent_as(world: World) -> None:
    """A context's signature is that of the message, huge or odd as it may be."""
    seen: list[str] = []

    @world.server.task
    def look_at(ctx: Context) -> None:
        seen.append(ctx.signature.uuid)

    uuid = "task_" + "\U000e0001" * 10_000
    world.work(document(Name="look_at", UUID=uuid, Args=[]))
    assert seen == [uuid]
    assert world.outcome(uuid)[0] == "SUCCESS"


def test_log_lines_stay_short_and_printable(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever names and UUIDs hold."""
    caplog.set_level(logging.DEBUG, "gomachinery_py")
    for number, text in enumerate(["u" * 1_000_000, "\x1b[31m\r\n", "\U000e0001" * 1_000, "ż" * 1_000]):
        caplog.clear()
        world.work(
            document(UUID=f"{number}{text}", Args=[{"Type": "int64", "Value": text}]),
            document(UUID=f"{number}{text}", Name="noop", Args=[], RoutingKey=f"{number}{text}"),
        )
        assert len(caplog.messages) == 2
        assert all(len(message.encode()) < 1000 and message.isprintable() for message in caplog.messages)
