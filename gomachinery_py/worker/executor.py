"""Where user code runs: plain functions on threads, coroutine functions on one event loop.

Nothing here knows what a task is. A call that was handed over comes back through ``done`` with what it returned;
calls that raise all the same come back as the exception.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = ["Executor"]

log = logging.getLogger(__name__)


class Executor:
    """At most ``threads`` threads, started as they are needed, and one event loop, likewise."""

    def __init__(self, threads: int, done: Callable[[Any, Any], None], name: str) -> None:
        self._limit = threads
        self._done = done
        self._name = name
        self._work: SimpleQueue[tuple[Any, Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, key: Any, call: Callable[[], Any]) -> None:
        """Run a plain call on a thread; ``done(key, value)`` follows, and then :meth:`returned` from the caller."""
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < self._limit:
            thread = threading.Thread(target=self._serve, name=f"{self._name}-task-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put((key, call))

    def returned(self) -> None:
        """A plain call that was submitted is done with; on the submitting thread, so that no lock is needed."""
        self._busy -= 1

    def submit_async(self, key: Any, call: Callable[[], Any]) -> None:
        """Run a call that returns an awaitable on the event loop; ``done(key, value)`` follows."""
        loop = self._loop or self._start_loop()
        loop.call_soon_threadsafe(self._begin, key, call)

    def close(self) -> None:
        """Let threads and loop end; calls that still run are left to themselves."""
        for _ in self._threads:
            self._work.put(None)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self, timeout: float) -> None:
        """Wait for threads and loop to end."""
        for thread in [*self._threads, *([self._loop_thread] if self._loop_thread else [])]:
            thread.join(timeout)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            key, call = item
            try:
                value = call()
            except BaseException as error:
                value = error
            self._done(key, value)
            del item, key, call, value

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

    def _begin(self, key: Any, call: Callable[[], Any]) -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._await(key, call))
        # The loop itself keeps only weak references to its tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(self, key: Any, call: Callable[[], Any]) -> None:
        try:
            value = await call()
        except BaseException as error:
            value = error
        self._done(key, value)
