"""The Redis result backend.

Go source: ``v2/backends/redis/redis.go`` (redigo), ``v2/backends/redis/goredis.go`` (go-redis); v1 alike.

``SET uuid document EX results_expire_in``; the time to live starts again with each write. Go marks a chord as
triggered under a lock named ``TriggerChordMutex``. Here that is one script which does nothing while a Go worker holds
that lock, and compares the group with what was read, so a chord is marked once however many workers try.
"""

from __future__ import annotations

import math
import uuid
from typing import Any

from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.base import GroupSnapshot, Kept
from gomachinery_py.backends.keyvalue import KeyValueBackend, document_of, read_kept
from gomachinery_py.effects import Clock, Command, Port, sleep
from gomachinery_py.errors import ServiceError, WrongKeyType
from gomachinery_py.wire import encode_group_meta, names

__all__ = ["RedisBackend"]

# A lock that a crashed worker left behind expires after 8 s (Go: redsync's default expiry).
_ORPHAN_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.02
# Redis hangs up on a longer word (proto-max-bulk-len), whoever sends it how often.
_LARGEST_BYTES = 512 * 1024 * 1024

_NO_EXPIRY = -1
_PAGE = 500


class RedisBackend(KeyValueBackend):
    """One JSON document a key, on one Redis server."""

    merges = True
    keeps_revocations = True

    def __init__(self, port: Port, clock: Clock, results_expire_in: int) -> None:
        super().__init__(port, clock, results_expire_in or names.RESULTS_EXPIRE_IN)

    def read_command(self, key: str) -> Command:
        return ("GET", key)

    def write_command(self, key: str, value: bytes) -> Command:
        if len(value) > _LARGEST_BYTES:
            raise ServiceError(f"{len(value)} bytes are more than the {_LARGEST_BYTES} that Redis takes as one value")
        return ("SET", key, value, "EX", self.results_expire_in)

    def delete_command(self, key: str) -> Command:
        return ("DEL", key)

    def is_reserved(self, name: str) -> bool:
        return names.is_reserved_key(name)

    def trigger_guards(self, snapshot: GroupSnapshot) -> tuple[list[str], list[tuple[str, bytes]]]:
        return [names.TRIGGER_CHORD_MUTEX], [(snapshot.meta.group_uuid, snapshot.raw)]

    def trigger_commands(self, snapshot: GroupSnapshot) -> list[Command]:
        return [self.write_command(snapshot.meta.group_uuid, encode_group_meta(self.triggered(snapshot)))]

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        if snapshot.meta.chord_triggered:
            return False
        absent, equals = self.trigger_guards(snapshot)
        # Tells an answer that was lost, after which this is sent again, from somebody else's mark.
        mark_key, mark = names.chord_mark_key(snapshot.meta.group_uuid), uuid.uuid4().hex
        commands = [*self.trigger_commands(snapshot), ("SET", mark_key, mark, "EX", self.results_expire_in)]
        deadline = self.clock.monotonic() + _ORPHAN_SECONDS
        while True:
            reply = await self.port.execute(tx.transaction(commands, absent=absent, equals=equals))
            if reply == tx.CHANGED:
                return bool(await self.port.execute(("GET", mark_key)) == mark.encode())
            if reply != tx.LOCKED:
                return bool(reply == tx.DONE)
            if self.clock.monotonic() > deadline:
                absent = []
            await sleep(_LOOK_AGAIN_SECONDS)

    async def check(self) -> None:
        await self.port.execute(("PING",))

    # -- copying --

    async def kept(self, uuid: str) -> Kept | None:
        value, left = await self.port.attempt_many([("GET", uuid), ("PTTL", uuid)])
        if not isinstance(value, bytes) or not isinstance(left, int):
            return None
        return read_kept(uuid, value, math.inf if left == _NO_EXPIRY else max(1, left) / 1000)

    async def keep(self, kept: Kept, *, overwrite: bool) -> bool:
        """Raises WrongKeyType where ``overwrite`` would destroy something else, a queue for instance."""
        command = self.kept_command(kept.uuid, document_of(kept), kept.seconds)
        if not overwrite:
            return await self.port.execute((*command, "NX")) is not None
        if await self.port.execute(tx.transaction([command])) == tx.FOREIGN:
            raise WrongKeyType("the other store has something else than a result under this name; it stays")
        return True

    def kept_command(self, key: str, value: bytes, seconds: float | None) -> Command:
        if seconds == math.inf:
            return ("SET", key, value)
        return ("SET", key, value, "PX", round(1000 * (self.results_expire_in if seconds is None else seconds)))

    async def uuids(self, cursor: Any = None) -> tuple[list[str], Any]:
        following, keys = await self.port.execute(("SCAN", cursor or b"0", "COUNT", _PAGE, "TYPE", "string"))
        found = [key.decode("utf-8", "replace") for key in keys]
        return [key for key in found if not names.is_reserved_key(key)], None if following == b"0" else following
