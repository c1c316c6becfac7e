"""kombu's queues on RabbitMQ: messages whose headers are the task's, held while they are looked at.

RabbitMQ shows nothing that it does not hand out; what is not acknowledged goes back to its place, also when this
program dies.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from gomachinery_py.amqp_commands import NOT_FOUND, AMQPRefused, Held
from gomachinery_py.brokers.kombu import KombuMessage, KombuQueues
from gomachinery_py.effects import Command, Port

__all__ = ["AMQPKombu"]

# AMQP's largest prefetch: more cannot be held at once.
_MOST: Final = 65535
_WAIT_SECONDS: Final = 5.0


class AMQPKombu(KombuQueues):
    """A consumer that takes as many messages as there are when it begins."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._worker = f"translate-{uuid.uuid4().hex[:12]}"
        self._expected: dict[str, int] = {}

    async def names(self, queue: str) -> list[str]:
        return [queue]

    async def waiting(self, name: str, skip: int, count: int) -> list[KombuMessage]:  # noqa: ARG002
        if name not in self._expected:
            self._expected[name] = await self._count(name)
        limit = min(count, self._expected[name])
        if limit == 0:
            return []
        fields = {
            "queue": name,
            "worker": self._worker,
            "topology": (),
            "prefetch": min(self._expected[name], _MOST),
            "strict": True,
            "limit": limit,
            "wait": _WAIT_SECONDS,
        }
        taken: list[Held] = await self._port.execute(("fetch", fields))
        self._expected[name] -= len(taken) if taken else self._expected[name]
        return [KombuMessage(name, held.body, held.properties, held) for held in taken]

    async def _count(self, queue: str) -> int:
        try:
            messages, _ = await self._port.execute(("queue_declare", {"queue": queue, "passive": True}))
        except AMQPRefused as error:
            if error.code != NOT_FOUND:
                raise
            return 0
        return int(messages)

    async def remove(self, message: KombuMessage, commands: Sequence[Command] = ()) -> bool:  # noqa: ARG002
        await self._port.execute(("basic_ack", {"held": message.token}))
        return True

    async def release(self) -> None:
        # What a closed channel held goes back to its place.
        for name in self._expected:
            await self._port.execute(("retire", {"queue": name, "worker": self._worker}))
        self._expected.clear()
