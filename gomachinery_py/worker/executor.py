"""Where user code runs: plain functions on threads, coroutine functions on one event loop.

Nothing here knows what a task is. Calls are handed over many at a time and their outcomes are collected many at a
time, since waking a thread costs more than a short call does; the shortest ones never come here, see ``relay.py``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias

__all__ = ["Call", "Ended", "Executor"]

log = logging.getLogger(__name__)

Call: TypeAlias = tuple[Any, Callable[[], Any]]
"""A key of the caller's own, and what is to be called."""
Ended: TypeAlias = tuple[Any, Any, float]
"""The key, what the call returned (or the exception that it raised), and how many seconds it took."""


class Executor:
    """At most ``threads`` threads, started as they are needed, and one event loop, likewise.

    All methods are for one thread. ``tell`` is called on others when there is something to :meth:`collect`.
    """

    def __init__(self, threads: int, tell: Callable[[], None], name: str) -> None:
        self._limit = threads
        self._tell_caller = tell
        self._name = name
        self._work: deque[Call] = deque()
        self._ended: deque[Ended] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        # Plain calls that were handed over and not yet collected.
        self._busy = 0
        # Something to collect was told, and is not yet collected.
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, calls: Sequence[Call]) -> None:
        """Run plain calls on threads."""
        self._busy += len(calls)
        self._work.extend(calls)
        wanted = min(self._limit, self._busy)
        while len(self._threads) < wanted:
            name = f"{self._name}-task-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in range(min(len(calls), self._limit)):
            self._wake.put(None)

    def begin_async(self, calls: Sequence[Call]) -> None:
        """Run calls that return an awaitable on the event loop."""
        loop = self._loop or self._start_loop()
        loop.call_soon_threadsafe(self._begin_tasks, calls)

    def collect(self) -> Iterable[Ended]:
        """All calls that have ended since the last look."""
        self._told = False
        ended, found = self._ended, []
        while ended:
            found.append(ended.popleft())
        return found

    def returned(self) -> None:
        """A plain call that was collected is done with."""
        self._busy -= 1

    def close(self) -> None:
        """Let threads and loop end; calls that still run are left to themselves."""
        self._closed = True
        for _ in self._threads:
            self._wake.put(None)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    # -- threads --

    def _serve(self) -> None:
        work, ended, now = self._work, self._ended, time.monotonic
        while True:
            self._wake.get()
            began = now()
            while not self._closed:
                try:
                    key, call = work.popleft()
                except IndexError:
                    break
                try:
                    value = call()
                except BaseException as error:
                    value = error
                moment = now()
                ended.append((key, value, moment - began))
                began = moment
                # Nothing of a call is kept while the thread waits for the next one.
                del key, call, value
                self._tell()
            if self._closed:
                return

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._tell_caller()

    # -- event loop --

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(
            target=self._run_loop, args=(loop,), name=f"{self._name}-loop", daemon=True
        )
        self._loop = loop
        self._loop_thread.start()
        return loop

    def _run_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _begin_tasks(self, calls: Sequence[Call]) -> None:
        assert self._loop is not None
        for key, call in calls:
            task = self._loop.create_task(self._await(key, call))
            # The loop itself keeps only weak references to its tasks.
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _await(self, key: Any, call: Callable[[], Any]) -> None:
        began = time.monotonic()
        try:
            value = await call()
        except BaseException as error:
            value = error
        self._ended.append((key, value, time.monotonic() - began))
        if not self._told and self._loop is not None:
            # Those that end in the same turn of the loop are told together.
            self._loop.call_soon(self._tell)
