"""Tasks that no Python worker shall begin any more, by UUID: two keys of our own on Redis, which Go ignores.

They are where the broker is a Redis, else where the result store is one. Workers look every two seconds whether
anything has changed, and compare each task that they begin with what they know: a task costs no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gomachinery_py import redis_scripts as lua
from gomachinery_py.backends.base import Backend
from gomachinery_py.brokers.base import Broker
from gomachinery_py.effects import Port
from gomachinery_py.errors import ServiceError
from gomachinery_py.wire import names

__all__ = ["EXPIRES_IN", "LONGEST", "MOST", "Revocations", "port_for_revocations"]

EXPIRES_IN: Final = 86_400
"""Seconds that a revocation is kept unless told otherwise."""
LONGEST: Final = 366 * 86_400
"""Seconds that one may be kept."""
MOST: Final = 10_000
"""Revocations that are kept at a time: every worker holds all of them."""


def port_for_revocations(broker: Broker, backend: Backend) -> Port | None:
    """Where revocations are kept; None where nothing can keep them."""
    if broker.keeps_revocations:
        return broker.port
    return backend.port if backend.keeps_revocations else None


class Revocations:
    """What is revoked, as far as one worker knows."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._keys = (names.REVOKED_KEY, names.REVOKED_CHANGED_KEY)
        self._seen = b""
        self.uuids: frozenset[str] = frozenset()

    async def add(self, uuids: Sequence[str], expires_in: float) -> None:
        """Revoke tasks for so many seconds. Raises ServiceError when there are too many."""
        seconds = max(1, -int(-expires_in // 1))
        if await self._port.execute(lua.script(lua.REVOKE, self._keys, seconds, MOST, *uuids)) < 0:
            raise ServiceError(
                f"{MOST} tasks at most can be revoked at a time, and these would be more; nothing was revoked. "
                "Purge the queue, or let workers of the task refuse it"
            )

    async def look(self) -> None:
        """Learn what has changed since the last look."""
        seen, *changed = await self._port.execute(lua.script(lua.REVOKED, self._keys, self._seen))
        if changed:
            self.uuids = frozenset(uuid.decode("utf-8", "replace") for uuid in changed[0])
        self._seen = seen
