"""Soft time limits: what a task gets when its time is up, and that nobody else gets it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from inprocess import FakeRedisPort, server_on

from gomachinery_py import Server, TaskFailed
from gomachinery_py.errors import SoftTimeLimitExceeded
from gomachinery_py.soft_limits import _Watch, _watchdog, limited

TEXT = "soft time limit of 0.05 s exceeded"


def spin(seconds: float) -> None:
    """Take time in small steps, so that an exception can arrive."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


def too_long() -> str:
    spin(60)
    return "not reached"


def tidy() -> str:
    try:
        spin(60)
    except SoftTimeLimitExceeded as error:
        return f"cleaned up: {error}"
    return "not reached"


def stubborn() -> int:
    """Swallows it and goes on: it comes once."""
    with contextlib.suppress(SoftTimeLimitExceeded):
        spin(60)
    spin(0.2)
    return 7


async def waits() -> str:
    await asyncio.sleep(60)
    return "not reached"


async def waits_tidily() -> str:
    try:
        await asyncio.sleep(60)
    except SoftTimeLimitExceeded as error:
        await asyncio.sleep(0)
        return f"cleaned up: {error}"
    return "not reached"


async def waits_for_others() -> str:
    """A task group ends its members, and is not wrapped in another error."""
    others: list[asyncio.Task[None]] = []
    try:
        async with asyncio.TaskGroup() as group:
            others.append(group.create_task(asyncio.sleep(60)))
    finally:
        assert [other.cancelled() for other in others] == [True]
    return "not reached"


async def waits_with_a_timeout() -> str:
    """A timeout of its own that is not up is not what ended it."""
    async with asyncio.timeout(60):
        await asyncio.sleep(60)
    return "not reached"


async def waits_for_the_stubborn() -> int:
    """What it waits for will not be cancelled; afterwards the task is not being cancelled any more."""

    async def shielded() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return 7

    found = await asyncio.create_task(shielded())
    task = asyncio.current_task()
    assert task is not None
    return found


OUTCOMES: list[tuple[Callable[..., Any], Any]] = [
    (too_long, TEXT),
    (tidy, f"cleaned up: {TEXT}"),
    (stubborn, 7),
    (waits, TEXT),
    (waits_tidily, f"cleaned up: {TEXT}"),
    (waits_for_others, TEXT),
    (waits_with_a_timeout, TEXT),
    (waits_for_the_stubborn, 7),
]


@pytest.mark.parametrize(("function", "expected"), OUTCOMES, ids=lambda value: getattr(value, "__name__", ""))
def test_in_a_worker(function: Callable[..., Any], expected: Any) -> None:
    """It is raised inside; uncaught it is a failed run with a text that says so."""
    server = server_on(FakeRedisPort())
    server.broker.lease = 30.0
    task = server.task(function.__name__, soft_time_limit=timedelta(milliseconds=50))(function)
    with server.worker("w", 2):
        result = task.send()
        try:
            outcome = result.get(timeout=30)
        except TaskFailed as failed:
            outcome = str(failed)
    assert outcome == expected


def test_retries_apply() -> None:
    """A run that took too long is a failed one like any other."""
    server = Server("eager")
    tries = []

    @server.task(retries=1, soft_time_limit=0.05)
    def slow_at_first() -> int:
        tries.append(1)
        spin(60 if len(tries) == 1 else 0)
        return len(tries)

    assert slow_at_first.send().get(timeout=30) == 2


def test_a_direct_call_has_no_limit() -> None:
    """A task is still a function."""
    server = Server("eager")

    @server.task(soft_time_limit=0.01)
    def slow() -> str:
        spin(0.1)
        return "done"

    assert slow() == "done"
    assert slow.soft_time_limit == 0.01


def test_what_is_no_limit() -> None:
    """Refused when the task is declared."""
    server = Server("eager")
    refused: list[tuple[Any, type[Exception]]] = [(0, ValueError), (-1.0, ValueError), (float("nan"), ValueError)]
    for limit, kind in (*refused, ("2", TypeError), (True, TypeError)):
        with pytest.raises(kind, match="task x: soft_time_limit must be"):
            server.task("x", soft_time_limit=limit)(spin)
    with pytest.raises(TypeError, match="soft_time_limit"):
        server.remote("y", soft_time_limit=1)(spin)  # type: ignore[call-arg]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after a few steps, wherever that is."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_never_in_the_next_task() -> None:
    """Thousands of calls that end right at their limit: each gets its own exception or none, and nobody else's."""
    calls, threads, limit = 3000, 3, 0.0001
    strays: list[BaseException] = []
    ended = {"in time": 0, "too late": 0}

    def work(delay: float) -> None:
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            pass

    call = limited(work, limit, is_async=False)

    def serve(number: int) -> None:
        for turn in range(calls):
            try:
                call(limit * ((turn * 7 + number) % 100) / 50)
                ended["in time"] += 1
            except SoftTimeLimitExceeded:
                ended["too late"] += 1
            try:
                # The next task on this thread: whatever arrives here is not its own.
                for _ in range(20):
                    str(turn)
            except BaseException as stray:
                strays.append(stray)

    running = [threading.Thread(target=serve, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert strays == []
    assert sum(ended.values()) == calls * threads
    assert min(ended.values()) > 0


def test_decided_and_not_yet_raised() -> None:
    """The watchdog has decided to raise it, and the call ends before it does: it is waited for, and stays here."""
    decided, may_raise = threading.Event(), threading.Event()
    thread = threading.get_ident()

    class Permit(list[None]):
        def pop(self, *args: Any) -> None:
            super().pop(*args)
            if threading.get_ident() != thread:
                decided.set()
                may_raise.wait(30)

    watch = _Watch(SoftTimeLimitExceeded)
    watch._permit = Permit([None])
    watchdog = threading.Thread(target=watch.fire)
    watchdog.start()
    assert decided.wait(30)
    threading.Timer(0.05, may_raise.set).start()
    with contextlib.suppress(SoftTimeLimitExceeded):
        watch.close()
    watch.close()
    arrived_here = may_raise.is_set()
    may_raise.set()
    watchdog.join()
    stray = 0
    try:
        for number in range(1000):
            str(number)
    except SoftTimeLimitExceeded:
        stray = 1
    assert (arrived_here, stray) == (True, 0)


def test_coroutines_right_at_the_limit() -> None:
    """The same on an event loop; a task is not left in the state of being cancelled."""

    async def work(delay: float) -> None:
        await asyncio.sleep(delay)

    limit = 0.02
    call = limited(work, limit, is_async=True)

    async def one(turn: int) -> str:
        try:
            await call(limit * turn / 50)
            ending = "in time"
        except SoftTimeLimitExceeded:
            ending = "too late"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        return ending

    async def many() -> set[str]:
        return {ending for _ in range(20) for ending in await asyncio.gather(*map(one, range(100)))}

    assert asyncio.run(many()) == {"in time", "too late"}


def test_cancelled_by_others() -> None:
    """Whoever cancels the task itself cancels it."""

    async def main() -> bool:
        task = asyncio.create_task(limited(waits, 60, is_async=True)())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main()) is True


def test_long_limits_hold_no_memory() -> None:
    """Calls that ended are forgotten long before their limit of an hour."""
    call = limited(lambda: None, 3600, is_async=False)
    for _ in range(5000):
        call()
    threads = [thread for thread in threading.enumerate() if thread.name == "soft-time-limits"]
    assert len(threads) == 1
    deadline = time.monotonic() + 30
    while _watchdog._inbox.qsize():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert _watchdog.waiting < 5000
