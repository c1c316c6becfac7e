"""Looking into queues on Redis, taking out what is there, and moving dead letters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence

from gomachinery_py import redis_scripts as lua
from gomachinery_py import redis_transactions as tx
from gomachinery_py.brokers.base import Broker, QueueInfo
from gomachinery_py.effects import Command
from gomachinery_py.errors import WireError, WrongKeyType
from gomachinery_py.fleet import WorkerSign
from gomachinery_py.wire import decode_signature, names

__all__ = ["RedisQueues", "sha1_of"]

_PAGE = 500
# UUIDs that mean nothing in a pattern, and are written in JSON as they are.
_is_plain = re.compile(r"[\w.:-]+", re.ASCII).fullmatch


class RedisQueues(Broker):
    """The half of the Redis broker that no worker needs."""

    delayed_key: str

    async def pending(self, queue: str, start: int = 0, count: int = 1000) -> list[bytes]:
        return list(await self.port.execute(("LRANGE", queue, start, start + count - 1)))

    async def delayed(self, start: int = 0, count: int = 1000) -> list[bytes]:
        return list(await self.port.execute(("ZRANGE", self.delayed_key, start, start + count - 1)))

    async def delayed_count(self) -> int | None:
        return int(await self.port.execute(("ZCARD", self.delayed_key)))

    async def delayed_next(self) -> int | None:
        score = await self.port.execute(lua.script(lua.NEXT_DUE, [self.delayed_key]))
        return None if score is None else int(float(score))

    async def find_delayed(self, uuids: Collection[str]) -> list[tuple[str, bytes]]:
        # By ZSCAN, which misses nothing while others take members away, as reading by rank would.
        found: dict[bytes, str] = {}
        only = next(iter(uuids)) if len(uuids) == 1 else ""
        pattern = ("MATCH", f"*{only}*") if _is_plain(only) else ()
        cursor = b"0"
        while True:
            cursor, page = await self.port.execute(("ZSCAN", self.delayed_key, cursor, *pattern, "COUNT", _PAGE))
            for member in page[::2]:
                try:
                    uuid = decode_signature(member).uuid
                except WireError:
                    continue
                if uuid in uuids:
                    found[member] = uuid
            if cursor == b"0":
                return [(uuid, member) for member, uuid in found.items()]

    async def cancel(self, body: bytes, commands: Sequence[Command] = ()) -> bool:
        keys, words = [self.delayed_key], []
        for name, key, *rest in commands:
            keys.append(key)
            words += [name, *rest]
        reply = await self.port.execute(lua.script(lua.CANCEL, keys, body, *words))
        if reply == tx.FOREIGN:
            raise WrongKeyType("the key of the task's state holds something that is not Machinery's; nothing was done")
        return bool(reply == tx.DONE)

    async def queues(self, wanted: Sequence[str]) -> list[QueueInfo]:
        wanted = wanted or await self._find_queues()
        infos = []
        for queue in wanted:
            workers = await self.port.execute(("ZRANGE", names.workers_key(queue), 0, -1))
            alive = await self.port.execute(("ZCOUNT", names.workers_key(queue), 0, "+inf"))
            waiting, dead, *held = await self.port.attempt_many(
                [
                    ("LLEN", queue),
                    ("LLEN", names.dead_key(queue)),
                    *(("LLEN", names.inflight_key(queue, worker.decode())) for worker in workers),
                ]
            )
            if isinstance(waiting, Exception):
                continue
            infos.append(QueueInfo(queue, waiting, sum(held), dead, alive))
        return infos

    async def workers(self, queue: str) -> list[WorkerSign]:
        # All of them, instead of those without a sign of life for long; those that were recovered count below 0.
        now, found = await self.port.execute(lua.script(lua.STALE, [names.workers_key(queue)], -86_400))
        ages = {name.decode(): now - float(beat) for name, beat in zip(found[::2], found[1::2], strict=True)}
        alive = {name: max(0.0, age) for name, age in ages.items() if age <= now}
        reports = await self.port.execute_many([("GET", names.report_key(queue, name)) for name in alive])
        return [WorkerSign(name, age, report) for (name, age), report in zip(alive.items(), reports, strict=True)]

    async def failures(self, queue: str, count: int = 100) -> list[bytes]:
        return list(await self.port.execute(("LRANGE", names.failures_key(queue), 0, count - 1)))

    async def _find_queues(self) -> list[str]:
        found, cursor = {self.default_queue}, b"0"
        while True:
            cursor, keys = await self.port.execute(("SCAN", cursor, "COUNT", _PAGE, "TYPE", "list"))
            found.update(queue for key in keys if (queue := names.queue_of(key.decode("utf-8", "replace"))))
            if cursor == b"0":
                return sorted(found)

    async def purge(self, queue: str) -> int:
        kind = await self.port.execute(("TYPE", queue))
        if kind not in (b"list", b"none"):
            raise WrongKeyType(f"{queue!r} holds a {kind.decode()}, not a queue; nothing was dropped")
        length, _ = await self.port.execute_many([("LLEN", queue), ("DEL", queue)], atomic=True)
        return int(length)

    async def dead(self, queue: str, start: int = 0, count: int = 1000) -> list[tuple[bytes, str]]:
        bodies = await self.port.execute(("LRANGE", names.dead_key(queue), start, start + count - 1))
        if not bodies:
            return []
        reasons = await self.port.execute(("HMGET", names.dead_reasons_key(queue), *(sha1_of(body) for body in bodies)))
        return [
            (body, (reason or b"").decode("utf-8", "replace")) for body, reason in zip(bodies, reasons, strict=True)
        ]

    async def revive(self, queue: str, count: int) -> int:
        dead, reasons = names.dead_key(queue), names.dead_reasons_key(queue)
        revived = 0
        while revived < count:
            body = await self.port.execute(("LINDEX", dead, 0))
            if body is None:
                break
            # The reason goes first: a worker may bury the letter again, with a new one, at once.
            await self.port.execute_many(
                [("HDEL", reasons, sha1_of(body)), ("LMOVE", dead, queue, "LEFT", "RIGHT")], atomic=True
            )
            revived += 1
        return revived

    async def purge_dead(self, queue: str) -> int:
        dead = names.dead_key(queue)
        length, *_ = await self.port.execute_many(
            [("LLEN", dead), ("DEL", dead), ("DEL", names.dead_reasons_key(queue))], atomic=True
        )
        return int(length)


def sha1_of(body: bytes) -> str:
    """A body's name inside a hash: what Redis' own Lua offers, and nothing that has to be safe."""
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()
