"""The lock inside this process: other schedulers do not see it.

Go source: ``v2/locks/eager/eager.go``. What is refused there is tried again three times, five seconds apart, by when
other ticks are due; here a tick asks once.
"""

from __future__ import annotations

import threading

from gomachinery_py.effects import Clock
from gomachinery_py.locks.base import Lock

__all__ = ["EagerLock"]


class EagerLock(Lock):
    """A dictionary of keys and the Unix nanoseconds until which they are held."""

    is_shared = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._held_until: dict[str, int] = {}
        self._guard = threading.Lock()

    async def acquire(self, key: str, until_ns: int) -> bool:
        with self._guard:
            held_until = self._held_until.get(key)
            if held_until is not None and self.clock.unix_ns() <= held_until:
                return False
            self._held_until[key] = until_ns
            return True
