"""Calls that are handed over many at a time: none waits for a slow one, every outcome comes back once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from gomachinery_py.worker.executor import Executor


class _Caller:
    """What the pump does with an executor, as far as it matters here."""

    def __init__(self, threads: int) -> None:
        self.told: SimpleQueue[None] = SimpleQueue()
        self.executor = Executor(threads, lambda: self.told.put(None), "test")
        self.values: list[Any] = []

    def wait(self, count: int, seconds: float = 10.0) -> list[Any]:
        """The outcomes in the order in which they came."""
        deadline = time.monotonic() + seconds
        while len(self.values) < count and time.monotonic() < deadline:
            with contextlib.suppress(Empty):
                self.told.get(timeout=0.1)
            for key, value, _ in self.executor.collect():
                self.executor.returned()
                self.values.append((key, value))
        return self.values


@pytest.fixture
def caller() -> Iterator[_Caller]:
    made = _Caller(4)
    yield made
    made.executor.close()


def _calls(*functions: Callable[[], Any]) -> list[tuple[int, Callable[[], Any]]]:
    return list(enumerate(functions))


def test_as_many_at_once_as_there_are_threads(caller: _Caller) -> None:
    """Four calls that wait for each other all end."""
    barrier = threading.Barrier(4)
    caller.executor.begin(_calls(*[lambda: barrier.wait(10) >= 0] * 4))
    assert [(key, True) for key in range(4)] == sorted(caller.wait(4))


def test_more_calls_than_threads_all_end(caller: _Caller) -> None:
    """What finds no thread free runs when one is."""
    caller.executor.begin(_calls(*[lambda: time.sleep(0.002)] * 50))
    assert [(key, None) for key in range(50)] == sorted(caller.wait(50))


def test_whatever_a_call_raises_comes_back(caller: _Caller) -> None:
    """Even what ends a thread elsewhere; the thread goes on."""

    def leave() -> None:
        raise SystemExit(3)

    caller.executor.begin(_calls(leave, lambda: 1))
    (_, error), second = sorted(caller.wait(2), key=lambda ended: int(ended[0]))
    assert isinstance(error, SystemExit)
    assert (1, 1) == second


def test_coroutines_end_by_themselves(caller: _Caller) -> None:
    """Each coroutine's outcome is told, those that end at once and those that wait."""

    async def work(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    calls: list[tuple[int, Callable[[], Any]]] = [(key, lambda: work(0.0)) for key in range(20)]
    calls.append((20, lambda: work(0.02)))
    caller.executor.begin_async(calls)
    values = caller.wait(21)
    assert (20, 0.02) == values[-1]
    assert list(range(20)) == sorted(key for key, _ in values[:-1])
