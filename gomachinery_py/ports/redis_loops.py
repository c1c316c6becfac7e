"""The connections of event loops to one Redis server: each loop has its own, and they do not outlive it for long.

A program may run many loops one after the other, one for each ``asyncio.run``, and close nothing. What such a loop has
left open is closed when the next one needs a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import redis.asyncio

__all__ = ["LoopPools"]


class LoopPools:
    """A pool for each event loop, made by ``make``, and a gate to it.

    A pool that has given all its connections away raises; whoever goes through the gate first waits for one instead.
    """

    def __init__(self, make: Callable[[], redis.asyncio.ConnectionPool], limit: int) -> None:
        self._make = make
        self._limit = limit
        # Connections hold their loop, so weak references to it would hold it no less.
        self._by_loop: dict[asyncio.AbstractEventLoop, tuple[Any, asyncio.Semaphore]] = {}

    def here(self) -> tuple[Any, asyncio.Semaphore]:
        """Pool and gate of the running loop."""
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is None:
            self.drop_closed()
            found = self._by_loop[loop] = (self._make(), asyncio.Semaphore(self._limit))
        return found

    def pop(self) -> Any:
        """The pool of the running loop, to be closed by the caller; None when it has none."""
        pool, _ = self._by_loop.pop(asyncio.get_running_loop(), (None, None))
        return pool

    def drop_closed(self) -> None:
        """Close what loops have left open that have ended."""
        for loop in [loop for loop in list(self._by_loop) if loop.is_closed()]:
            pool, _ = self._by_loop.pop(loop, (None, None))
            if pool is not None:
                for connection in (*pool._available_connections, *pool._in_use_connections):
                    _close_socket(connection)


def _close_socket(connection: Any) -> None:
    """Without its loop a connection cannot be closed in order; of other loops than asyncio's the collector does it."""
    transport = getattr(getattr(connection, "_writer", None), "transport", None)
    wrapped = None if transport is None else transport.get_extra_info("socket")
    plain = getattr(wrapped, "_sock", None)
    if plain is not None:
        plain.close()
