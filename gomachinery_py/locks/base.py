"""What a lock for periodic tasks is: of all schedulers that hold a key, one sends the tick.

Go source: ``v2/locks/iface/interfaces.go``, ``v2/utils/utils.go``, ``RegisterPeriodicTask`` in ``v2/server.go``.

At each tick every scheduler asks for the lock until the next tick. The value that is kept is that moment, so the lock
frees itself: it is held while its value is to come. Nobody gives it back.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod

from gomachinery_py.effects import Clock, Port
from gomachinery_py.wire import names

__all__ = ["Lock", "lock_key", "program_name"]


class Lock(ABC):
    """Where schedulers agree on who sends a tick."""

    #: Whether schedulers in other processes see it.
    is_shared = True

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    @property
    def port(self) -> Port | None:
        """The connection, if there is any; the server closes it."""
        return None

    @abstractmethod
    async def acquire(self, key: str, until_ns: int) -> bool:
        """Hold ``key`` until a moment (Unix nanoseconds); False when another one holds it.

        Go: ``LockWithRetries``, which makes no difference between another holder and a failure. Raises
        ServiceUnavailable or ServiceError when the lock cannot be asked.
        """

    async def check(self) -> None:
        """Reach the service once; raises ServiceUnavailable naming what to do."""


def program_name() -> str:
    """Go: ``filepath.Base(os.Args[0])``."""
    program = (sys.argv[0] if sys.argv else "").rstrip("/")
    return os.path.basename(program) or "."


def lock_key(program: str, name: str, spec: str) -> str:
    """The key of a periodic task; schedulers that share its work have all three in common (Go: ``GetLockName``)."""
    return f"{names.LOCK_PREFIX}{program}{name}{spec}"
