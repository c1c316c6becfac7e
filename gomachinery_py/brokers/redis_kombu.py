"""kombu's queues on Redis: ``kombu/transport/redis.py``.

A queue is a list that is written on the left and read on the right; each priority above 0 has a list of its own,
``<queue>\\x06\\x16<priority>``, and a lower number is more urgent. What a worker holds is in the hash ``unacked``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gomachinery_py import redis_transactions as tx
from gomachinery_py.brokers.kombu import KombuMessage, KombuQueues
from gomachinery_py.effects import Command, Port
from gomachinery_py.errors import WrongKeyType

__all__ = ["RedisKombu"]

_SEPARATOR: Final = "\x06\x16"
_UNACKED: Final = "unacked"
_PAGE: Final = 500


class RedisKombu(KombuQueues):
    """Lists that nobody takes anything from while they are looked at."""

    is_atomic = True

    def __init__(self, port: Port) -> None:
        self._port = port

    async def names(self, queue: str) -> list[str]:
        kind = await self._port.execute(("TYPE", queue))
        if kind not in (b"list", b"none"):
            raise WrongKeyType(f"{queue!r} holds a {kind.decode()}, not a queue")
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", queue) + _SEPARATOR + "*"
        found, cursor = set[str](), b"0"
        while True:
            cursor, keys = await self._port.execute(("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, "TYPE", "list"))
            found.update(key.decode("utf-8", "replace") for key in keys)
            if cursor == b"0":
                return [queue, *sorted(found, key=_priority)]

    async def waiting(self, name: str, skip: int, count: int) -> list[KombuMessage]:
        bodies = await self._port.execute(("LRANGE", name, -skip - count, -skip - 1))
        return [KombuMessage(name, body) for body in reversed(bodies)]

    async def remove(self, message: KombuMessage, commands: Sequence[Command] = ()) -> bool:
        hold = tx.Hold(message.queue, message.body, True)
        return bool(await self._port.execute(tx.transaction(commands, hold=hold)) == tx.DONE)

    async def held(self) -> int:
        kind = await self._port.execute(("TYPE", _UNACKED))
        return int(await self._port.execute(("HLEN", _UNACKED))) if kind == b"hash" else 0


def _priority(name: str) -> int:
    number = name.rpartition(_SEPARATOR)[2]
    return int(number) if number.isdecimal() else 0
