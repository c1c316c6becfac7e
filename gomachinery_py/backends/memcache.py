"""The memcache result backend.

Go source: ``v2/backends/memcache/memcache.go``; v1 alike.

The documents of Redis, with flags 0, that expire at a moment in unix seconds. Nothing is merged: states after PENDING
have no name and no time of creation. Go marks a chord as triggered by reading and writing, so that two workers may both
do it; here the mark is written only over what was read (``cas``).
"""

from __future__ import annotations

import math
import uuid
from typing import Final

from gomachinery_py.backends.base import GroupSnapshot
from gomachinery_py.backends.keyvalue import KeyValueBackend
from gomachinery_py.effects import Clock, Command, Port, sleep
from gomachinery_py.wire import decode_group_meta, encode_group_meta, names
from gomachinery_py.wire.model import GroupMeta

__all__ = ["MemcacheBackend"]

# Go holds its lock for a moment. One that a crashed worker left behind is never given back.
_ORPHAN_SECONDS: Final = 10.0
_LOOK_AGAIN_SECONDS: Final = 0.02
# 2038: memcached takes a later moment for one that is past, and keeps nothing.
_LAST_EXPTIME: Final = 2**31 - 1


class MemcacheBackend(KeyValueBackend):
    """One JSON document a key, on the server that Go's client picks for it.

    Commands: ``("get", key)``, ``("set", key, value, exptime)``, ``("delete", key)``, ``("gets", key)`` for the value
    and its version, and ``("cas", key, value, exptime, version)``, which says whether it was written.
    """

    uuid_bytes = 250

    def __init__(self, port: Port, clock: Clock, results_expire_in: int) -> None:
        super().__init__(port, clock, results_expire_in or names.RESULTS_EXPIRE_IN)

    def _exptime(self, seconds: int | None = None) -> int:
        seconds = self.results_expire_in if seconds is None else seconds
        return min(_LAST_EXPTIME, self.clock.unix_ns() // 1_000_000_000 + seconds)

    def read_command(self, key: str) -> Command:
        return ("get", key)

    def write_command(self, key: str, value: bytes) -> Command:
        return ("set", key, value, self._exptime())

    def delete_command(self, key: str) -> Command:
        return ("delete", key)

    def kept_command(self, key: str, value: bytes, seconds: float | None) -> Command:
        if seconds is None:
            return self.write_command(key, value)
        expires = 0 if seconds == math.inf else self._exptime(max(1, math.ceil(seconds)))
        return ("set", key, value, expires)

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        key = snapshot.meta.group_uuid
        # Go's decoder ignores what follows the document. It tells an answer that was lost, after which this is sent
        # again, from somebody else's mark.
        mine = b"\n" + uuid.uuid4().hex.encode()
        deadline = self.clock.monotonic() + _ORPHAN_SECONDS
        while True:
            found: tuple[bytes, bytes] | None = await self.port.execute(("gets", key))
            if found is None:
                return False
            raw, version = found
            meta = decode_group_meta(raw)
            if meta.chord_triggered:
                if not raw.endswith(mine):
                    return False
                await self._tidy(key, meta, version)
                return True
            if meta.lock and self.clock.monotonic() < deadline:
                await sleep(_LOOK_AGAIN_SECONDS)
                continue
            meta.chord_triggered, meta.lock = True, False
            await self.port.execute(("cas", key, encode_group_meta(meta) + mine, self._exptime(), version))

    async def _tidy(self, key: str, meta: GroupMeta, version: bytes) -> None:
        """Leave what Go would have written, unless somebody was faster."""
        await self.port.execute(("cas", key, encode_group_meta(meta), self._exptime(), version))

    async def check(self) -> None:
        await self.port.execute(("version",))
