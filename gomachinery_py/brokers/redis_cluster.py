"""The Redis broker on a cluster, where only the keys of one slot can be written in one step.

Go source: ``v2/brokers/redis/goredis.go`` with several addresses or ``ClusterEnabled``; v1 alike with ``ClusterMode``.

A queue and our own keys beside it (``{queue}:gmpy:*``) are in one slot: fetching, holding, giving back, burying and
recovery are the same scripts as on one server. States, other queues and ``delayed_tasks`` are elsewhere, so a task
ends in the order state, callbacks, chord, and its message is settled last. Delayed tasks go by way of
``{delayed_tasks}:gmpy:moving``: claimed there in one step, pushed, and only then forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NoReturn

from gomachinery_py import redis_scripts as lua
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.effects import Command, Port
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable, WireError
from gomachinery_py.incoming import brief
from gomachinery_py.logs import about_message
from gomachinery_py.wire import decode_signature, encode_signature, names
from gomachinery_py.wire.model import Signature

__all__ = ["RedisClusterBroker"]

log = logging.getLogger(__name__)

_PAGE = 500
_PAGE_BYTES = 8 * 1024 * 1024
# A mover that has not pushed what it claimed by then is taken to be dead, in microseconds.
_CLAIM_US = 30_000_000


class RedisClusterBroker(RedisBroker):
    """Lists and one sorted set, each in the slot of its key."""

    def can_fuse(self, port: Port) -> bool:  # noqa: ARG002
        return False

    def kombu(self) -> NoReturn:
        raise NotImplementedError("Celery has no queues on a Redis cluster")

    async def publish_all(self, signatures: Sequence[Signature]) -> None:
        await self.port.execute_many(
            [command for signature in signatures for command in self.publish_commands(signature)]
        )

    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:
        if self.crash_safe and "}" in queue:
            raise ConfigError(
                f"queue {brief(queue)!r}: on a Redis cluster a queue that is kept safe from crashes cannot have a"
                " '}' in its name, since its tasks would be held on another node; rename it, or switch crash safety off"
            )
        return await super().fetch(queue, worker, limit, wait)

    async def move_due(self) -> int:
        moving = names.moving_key(self.delayed_key)
        claimed: list[bytes] = await self.port.execute(
            lua.script(lua.CLAIM_DUE, [self.delayed_key, moving], _PAGE, _PAGE_BYTES, _CLAIM_US)
        )
        if not claimed:
            return 0
        claim, members = claimed[0], claimed[1:]
        pushes = [self._push(member) for member in members]
        replies = await self.port.attempt_many(pushes)
        moved: list[bytes] = []
        for member, reply in zip(members, replies, strict=True):
            if isinstance(reply, ServiceUnavailable):
                continue
            if isinstance(reply, ServiceError):
                await self._refuse(member, f"cannot be pushed: {reply}")
            moved.append(member)
        return int(await self.port.execute(lua.script(lua.MOVED, [moving], claim, *moved))) if moved else 0

    def _push(self, member: bytes) -> Command:
        try:
            signature = decode_signature(member)
            self.adjust_routing_key(signature)
            queue = signature.routing_key
            if queue == self.delayed_key or names.is_reserved_key(queue):
                raise WireError("RoutingKey is the name of a key that is no queue")
            return ("RPUSH", queue, encode_signature(signature))
        except WireError as error:
            log.error(
                "delayed task of %d bytes is kept as a dead letter: %s",
                len(member),
                brief(str(error), 300),
                extra=about_message(member),
            )
            return self._dead_letter(member, str(error))

    async def _refuse(self, member: bytes, reason: str) -> None:
        log.error(
            "delayed task of %d bytes is kept as a dead letter: %s",
            len(member),
            brief(reason, 300),
            extra=about_message(member),
        )
        await self.port.execute(self._dead_letter(member, reason))

    def _dead_letter(self, member: bytes, reason: str) -> Command:
        queue = self.default_queue
        return lua.script(
            lua.BURY,
            [names.dead_key(queue), names.dead_reasons_key(queue)],
            member,
            brief(f"delayed task: {reason}", 300),
        )
