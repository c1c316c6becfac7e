"""Soft time limits: a function that runs for too long gets :class:`SoftTimeLimitExceeded` raised inside it, once.

On a thread it is raised by Python's own means to raise something in another thread: between two steps of Python code,
so a call into C that blocks (``time.sleep``, a query) gets it when it returns. What can be got right is that it never
arrives late: once :func:`limited` has returned, whatever was under way for this call is taken back, and the next task
on the thread is left alone.

In a coroutine it is raised at the ``await`` that is under way. It is an ``asyncio.CancelledError`` as well, so that
task groups and the like treat it as what it is for them: this call is to end.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from datetime import timedelta
from queue import Empty, SimpleQueue
from types import coroutine
from typing import Any, TypeVar

from gomachinery_py.durations import seconds
from gomachinery_py.errors import SoftTimeLimitExceeded

__all__ = ["limited", "seconds_of"]

T = TypeVar("T")

_FIRST_PRUNING = 1024
_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
_NOTHING = ctypes.py_object()


def seconds_of(limit: float | timedelta, where: str) -> float:
    """A limit in seconds. Raises TypeError for what is no time, ValueError unless it is positive and finite."""
    length = seconds(limit, where)
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"{where} must be a positive number of seconds, not {length:g}")
    return float(length)


def limited(function: Callable[..., Any], seconds: float, *, is_async: bool) -> Callable[..., Any]:
    """``function`` with the limit around each call."""
    text = f"soft time limit of {seconds:g} s exceeded"
    if is_async:
        error = _kind(text, SoftTimeLimitExceeded, asyncio.CancelledError)

        async def call_async(*values: Any) -> Any:
            return await _awaited(function(*values), seconds, error)

        return call_async
    kind = _kind(text, SoftTimeLimitExceeded)

    def call(*values: Any) -> Any:
        watch = _Watch(kind)
        try:
            try:
                _watchdog.guard(watch, seconds)
                return function(*values)
            finally:
                watch.close()
        except SoftTimeLimitExceeded:
            # It may have arrived while the line above was at work. It comes only once, so nothing disturbs this one.
            watch.close()
            raise

    return call


def _kind(text: str, *bases: type[BaseException]) -> type[BaseException]:
    """A class of its own for each limit: in another thread only a class can be raised, and it is to have a text."""

    def __init__(self: BaseException, *args: Any) -> None:  # noqa: N807
        BaseException.__init__(self, *(args or (text,)))

    name = SoftTimeLimitExceeded.__name__
    return type(name, bases, {"__init__": __init__, "__module__": SoftTimeLimitExceeded.__module__})


# -- threads --


class _Watch:
    """One call on one thread.

    Whoever takes the only permit decides: the watchdog to raise the exception, or the thread itself to be left alone.
    There is no lock that the exception could leave locked behind it.
    """

    __slots__ = ("_is_closed", "_is_fired", "_kind", "_permit", "_thread")

    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind
        self._thread = threading.get_ident()
        self._permit = [None]
        self._is_fired = False
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        return bool(self._permit)

    def fire(self) -> None:
        """Raise the exception in the thread, unless it has ended; called by the watchdog."""
        try:
            self._permit.pop()
        except IndexError:
            return
        _raise_in_thread(self._thread, self._kind)
        self._is_fired = True

    def close(self) -> None:
        """The call has ended: when this returns, the exception was raised or never will be. May be called again."""
        if self._is_closed:
            return
        try:
            self._permit.pop()
        except IndexError:
            while not self._is_fired:
                time.sleep(0)
            # Raised and not yet arrived: forget it.
            _raise_in_thread(self._thread, _NOTHING)
        self._is_closed = True


class _Watchdog:
    """One thread that fires watches when their time has come; started by the first one."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[tuple[float, _Watch]] = SimpleQueue()
        self._pid = 0
        #: Calls that are watched, ended ones among them.
        self.waiting = 0
        self._starting = threading.Lock()

    def guard(self, watch: _Watch, seconds: float) -> None:
        """Fire the watch in so many seconds."""
        if self._pid != os.getpid():
            self._start()
        self._inbox.put((time.monotonic() + seconds, watch))

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                self._inbox = SimpleQueue()
                threading.Thread(target=self._run, args=(self._inbox,), name="soft-time-limits", daemon=True).start()
                self._pid = os.getpid()

    def _run(self, inbox: SimpleQueue[tuple[float, _Watch]]) -> None:
        waiting: list[tuple[float, int, _Watch]] = []
        order = itertools.count()
        prune_at = _FIRST_PRUNING
        while True:
            try:
                pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
                moment, watch = inbox.get(timeout=pause)
                heapq.heappush(waiting, (moment, next(order), watch))
            except Empty:
                pass
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                heapq.heappop(waiting)[2].fire()
            if len(waiting) >= prune_at:
                # Most calls end long before their limit.
                waiting = [entry for entry in waiting if entry[2].is_open]
                heapq.heapify(waiting)
                prune_at = max(_FIRST_PRUNING, 2 * len(waiting))
            self.waiting = len(waiting)


_watchdog = _Watchdog()


# -- coroutines --


@coroutine
def _awaited(core: Coroutine[Any, Any, T], seconds: float, kind: type[BaseException]) -> Generator[Any, Any, T]:
    """Run ``core``; when its time is up, whatever it waits for is cancelled, and it gets ``kind`` raised there."""
    task = asyncio.current_task()
    assert task is not None
    is_up = is_told = False

    def up() -> None:
        nonlocal is_up
        is_up = True
        task.cancel()

    cancelled_before = task.cancelling()
    timer = asyncio.get_running_loop().call_later(seconds, up)
    resume: Callable[[Any], Any] = core.send
    value: Any = None
    try:
        while True:
            try:
                effect = resume(value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            try:
                value = yield effect
                resume = core.send
            except GeneratorExit:
                core.close()
                raise
            except asyncio.CancelledError as error:
                value, resume = error, core.throw
                if is_up and not is_told:
                    is_told = True
                    # Somebody else may want it to end as well; that is for good.
                    if task.uncancel() <= cancelled_before:
                        value = kind()
            except BaseException as error:
                value, resume = error, core.throw
    finally:
        timer.cancel()
        if is_up and not is_told:
            # What it waited for would not be cancelled, and then it was done.
            task.uncancel()
