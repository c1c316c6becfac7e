"""The Redis result backend on a cluster, where only the keys of one slot can be written in one step.

Go source: ``v2/backends/redis/goredis.go``; v1 alike. ``TriggerChordMutex`` and a group's document are in different
slots, so the lock is taken as Go takes it (redsync: ``SET NX PX 8000`` with a random value, released by a script that
compares the value) and the document is marked under it.
"""

from __future__ import annotations

import uuid

from gomachinery_py import redis_scripts as lua
from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.base import GroupSnapshot
from gomachinery_py.backends.redis import RedisBackend
from gomachinery_py.effects import sleep
from gomachinery_py.wire import names

__all__ = ["RedisClusterBackend"]

# redsync's defaults.
_MUTEX_MILLISECONDS = 8000
# A lock that a crashed worker left behind has expired by then.
_ORPHAN_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.02


class RedisClusterBackend(RedisBackend):
    """One JSON document a key, each in the slot of its UUID."""

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        if snapshot.meta.chord_triggered:
            return False
        token = uuid.uuid4().hex
        deadline = self.clock.monotonic() + _ORPHAN_SECONDS
        taking = ("SET", names.TRIGGER_CHORD_MUTEX, token, "NX", "PX", _MUTEX_MILLISECONDS)
        while await self.port.execute(taking) is None and self.clock.monotonic() <= deadline:
            await sleep(_LOOK_AGAIN_SECONDS)
        release = lua.script(lua.RELEASE, [names.TRIGGER_CHORD_MUTEX], token)
        try:
            marked = await self._mark(snapshot, token)
        except Exception:
            # Not when a worker quits and closes this coroutine: nobody would carry it out then.
            await self.port.execute(release)
            raise
        await self.port.execute(release)
        return marked

    async def _mark(self, snapshot: GroupSnapshot, token: str) -> bool:
        """Only over the document that was read. The token tells an answer that was lost from somebody else's mark."""
        group = snapshot.meta.group_uuid
        commands = self.trigger_commands(snapshot)
        # In braces a name that has a "}" itself would be in another slot.
        mark_key = "" if "}" in group else names.chord_mark_key(group)
        if mark_key:
            commands.append(("SET", mark_key, token, "EX", self.results_expire_in))
        reply = await self.port.execute(tx.transaction(commands, equals=[(group, snapshot.raw)]))
        if reply == tx.CHANGED and mark_key:
            return bool(await self.port.execute(("GET", mark_key)) == token.encode())
        return bool(reply == tx.DONE)
