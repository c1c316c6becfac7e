"""Stopping tasks that have not begun: a part of ``Server``.

Every method has an ``a…`` twin for asyncio.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gomachinery_py.arguments import need
from gomachinery_py.cancelling import cancel_delayed
from gomachinery_py.durations import seconds
from gomachinery_py.effects import arun
from gomachinery_py.producer import Producer
from gomachinery_py.results import blocking
from gomachinery_py.revocations import EXPIRES_IN, LONGEST, Revocations, port_for_revocations

__all__ = ["Withdrawals"]


class Withdrawals:
    """``cancel_delayed`` and ``revoke``."""

    _producer: Producer

    def cancel_delayed(self, uuid: str) -> bool:
        """Take back a task that waits for its time; False when no such task waits, or its time has just come.

        Its result becomes FAILURE, ``cancelled before it ran``; OnError callbacks are not sent. Raises
        NotImplementedError on brokers out of which nothing can be taken: all but Redis.
        """
        return blocking(self._cancel_delayed(uuid), "server.acancel_delayed()")

    async def acancel_delayed(self, uuid: str) -> bool:
        """:meth:`cancel_delayed` for asyncio."""
        return await arun(self._cancel_delayed(uuid))

    async def _cancel_delayed(self, uuid: str) -> bool:
        need(uuid, str, "a task's UUID", "text")
        return bool(await cancel_delayed(self._producer, [uuid]))

    def revoke(self, *uuids: str, expires_in: float | timedelta = EXPIRES_IN) -> None:
        """Have Python workers begin these tasks no more; Go workers know nothing of it and run them.

        It takes hold within two seconds and is kept for ``expires_in`` (seconds, or a timedelta), a day unless given.
        A task that comes to a Python worker meanwhile ends in FAILURE, ``revoked before it ran``; OnError callbacks
        are not sent. One that runs already goes on. Raises NotImplementedError where neither the broker nor the
        result store is a Redis, ServiceError when there are too many.
        """
        blocking(self._revoke(uuids, expires_in), "server.arevoke()")

    async def arevoke(self, *uuids: str, expires_in: float | timedelta = EXPIRES_IN) -> None:
        """:meth:`revoke` for asyncio."""
        await arun(self._revoke(uuids, expires_in))

    async def _revoke(self, uuids: Sequence[str], expires_in: float | timedelta) -> None:
        for uuid in uuids:
            need(uuid, str, "a task's UUID", "text")
        length = seconds(expires_in, "expires_in")
        if not all(uuids) or not 0 < length <= LONGEST:
            raise ValueError(f"revoke() takes UUIDs, and an expires_in of at most {LONGEST} s")
        if uuids:
            await self._revocations().add(uuids, length)

    def _revocations(self) -> Revocations:
        port = port_for_revocations(self._producer.broker, self._producer.backend)
        if port is None:
            raise NotImplementedError(
                "revoked tasks are remembered on Redis, and here neither the broker nor the result store is one"
            )
        return Revocations(port)
