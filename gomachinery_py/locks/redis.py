"""The lock on Redis, shared with Go's schedulers.

Go source: ``v2/locks/redis/redis.go``.

``SET key value PX … NX`` takes it; the value is the Unix nanosecond until which it is held, as decimal text, 0 for
ever. A key whose value is past but which is still there (its clock and Redis' differ, or it has no time to live) is
taken over with ``GETSET``: whoever gets the old value back has the lock.
"""

from __future__ import annotations

from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import ServiceError
from gomachinery_py.golang.strconv import NumError, parse_int
from gomachinery_py.locks.base import Lock

__all__ = ["RedisLock"]

_TRIES = 4  # Go: retries 3, and the first; without a pause
_NS_PER_MS = 1_000_000
# A key ends this much before its time. One that is still there at the next tick has to be taken over, where Go locks
# itself out when the key expires just then, and cuts the new time to live to seconds, so that some ticks come twice.
_EARLY_MS = 10
# So long before its end a lock cannot become another one between two commands.
_SAFE_NS = 500_000_000


class RedisLock(Lock):
    """One string a periodic task, on one Redis server."""

    def __init__(self, port: Port, clock: Clock) -> None:
        super().__init__(clock)
        self._port = port

    @property
    def port(self) -> Port:
        return self._port

    async def acquire(self, key: str, until_ns: int) -> bool:
        """Go: ``LockWithRetries``. Another try is made only when the key went away between two looks at it."""
        for _ in range(_TRIES):
            taken = await self._attempt(key, until_ns)
            if taken is not None:
                return taken
        return False

    async def _attempt(self, key: str, until_ns: int) -> bool | None:
        """Go: ``Lock``; None when the key has just expired."""
        now = self.clock.unix_ns()
        if await self._port.execute(_take(key, until_ns, now)) is not None:
            return True
        held = await self._port.execute(("GET", key))
        if held is None:
            return None
        held_until = _time(key, held)
        if held_until == 0:
            return False
        if now <= held_until:
            if held_until - now > _SAFE_NS:
                # Whoever holds it may be a Go scheduler: make its key end early as well.
                await self._port.execute(("PEXPIRE", key, _lifetime_ms(held_until, now)))
            return False
        previous = await self._port.execute(("GETSET", key, str(until_ns)))
        if previous is not None and not 0 < _time(key, previous) < now:
            return False
        await self._port.execute(("PEXPIRE", key, _lifetime_ms(until_ns, now)))
        return True

    async def check(self) -> None:
        await self._port.execute(("PING",))


def _take(key: str, until_ns: int, now: int) -> Command:
    return ("SET", key, str(until_ns), "PX", _lifetime_ms(until_ns, now), "NX")


def _lifetime_ms(until_ns: int, now: int) -> int:
    return max(1, (until_ns + 1 - now) // _NS_PER_MS - _EARLY_MS)


def _time(key: str, value: bytes) -> int:
    text = value.decode("utf-8", "replace")
    try:
        return parse_int(text)
    except NumError:
        raise ServiceError(
            f"the lock {key!r} holds {text[:40]!r}, which is no time: it is somebody else's key; delete or rename it"
        ) from None
