"""How many more messages a worker may take.

As many as there are free slots, and some in advance while tasks are so short that waiting for the next ones would
cost more than running them. One slow task and nothing is taken in advance any more.
"""

from __future__ import annotations

import threading

__all__ = ["Room"]

# Taken in advance is what the slots finish in this time.
_AHEAD_SECONDS = 0.05
_UNKNOWN_SECONDS = 1.0
# With so many bytes in hand nothing more is taken: memory is what large messages need, not how many they are.
_BYTES = 32 * 1024 * 1024


class Room:
    """Counts what a worker holds; shared by the threads that take messages and the one that ends them."""

    def __init__(self, concurrency: int, prefetch: int) -> None:
        self.concurrency = concurrency
        self._ahead_limit = max(0, prefetch - concurrency)
        self._ahead = 0
        #: How long tasks take here, the latest ones counting most.
        self.mean_seconds = _UNKNOWN_SECONDS
        self._held = 0
        self._bytes = 0
        self._is_closed = False
        self._condition = threading.Condition()

    def take(self, timeout: float) -> int:
        """Keep room for as many messages as may be taken now; 0 when there is none within ``timeout`` seconds."""
        with self._condition:
            if self._free() <= 0:
                self._condition.wait(timeout)
            room = max(0, self._free())
            self._held += room
            return room

    def give_back(self, count: int, *, is_idle: bool = True) -> None:
        """Messages are done with, or were not there.

        Unless ``is_idle``, whoever waits is woken only when there is room for several: to take them costs much the
        same as to take one.
        """
        with self._condition:
            self._held -= count
            if is_idle or self._held <= self.concurrency + self._ahead // 2:
                self._condition.notify()

    def weigh(self, size: int) -> None:
        """Messages of so many bytes came, or, when it is negative, are done with."""
        with self._condition:
            self._bytes += size

    def close(self) -> None:
        """There is no room until :meth:`open`."""
        self._is_closed = True

    def open(self) -> None:
        """There is as much room as is left."""
        with self._condition:
            self._is_closed = False
            self._condition.notify_all()

    def ran(self, seconds: float) -> None:
        """A task took so long; called by one thread only."""
        self.mean_seconds += (seconds - self.mean_seconds) * 0.2
        expected = self.concurrency * _AHEAD_SECONDS / max(self.mean_seconds, 1e-6)
        self._ahead = min(self._ahead_limit, int(expected))

    def too_slow(self) -> None:
        """What was taken in advance had to be given back."""
        with self._condition:
            self.mean_seconds = _UNKNOWN_SECONDS
            self._ahead = 0

    def _free(self) -> int:
        if self._is_closed or self._bytes >= _BYTES:
            return 0
        return self.concurrency + self._ahead - self._held
