"""What a task's life writes: states, the tasks that it sends on, and the end of its message.

Where broker and result store are one Redis, all of it is one step, taken only if the message is still this worker's:
a worker that lost its lease writes nothing. Elsewhere the order is states, tasks, message.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.base import Backend, Origin, Step
from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.errors import ServiceUnavailable, SignatureError, WireError, WrongKeyType
from gomachinery_py.incoming import brief, reject_reason
from gomachinery_py.logs import about
from gomachinery_py.observing import Observers
from gomachinery_py.producer import Producer
from gomachinery_py.wire import encode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["Writes"]

log = logging.getLogger(__name__)


class Writes:
    """Writes through one broker and one result store."""

    def __init__(self, producer: Producer, observers: Observers) -> None:
        self.producer = producer
        self.broker: Broker = producer.broker
        self.backend: Backend = producer.backend
        self.observers = observers
        #: The queues that are known here; none of them may be a task's UUID. A worker adds its own.
        self.queues = self.broker.own_queues
        self._keys = frozenset(self.broker.reserved_names()) - self.queues

    async def commit(
        self,
        delivery: Delivery,
        task: Signature,
        origin: Origin,
        steps: Sequence[Step],
        sends: Sequence[Signature],
        *,
        settle: bool,
        checked: bool = False,
    ) -> bool:
        """Store states of a task, send tasks, settle; False when this worker no longer holds the message."""
        if sends and not checked:
            sends = await self.sendable(delivery, sends)
        if self.producer.fused:
            commands = self.backend.next_commands(task.uuid, origin, steps)
            for send in sends:
                commands += self.producer.commands(self.producer.prepare(send))
            if not commands and not settle:
                return True
            return _was_done(await self.broker.port.execute(self.broker.transact(delivery, commands, remove=settle)))
        states = [
            self.backend.next_state(task.uuid, state, origin, results=results, error=error)
            for state, results, error in steps
        ]
        await self.backend.store_all(states, task)
        for send in sends:
            await self.producer.send_task(send)
        if settle:
            return await self.broker.settle(delivery)
        return True

    async def store(
        self, delivery: Delivery, task: Signature, origin: Origin, steps: Sequence[Step], *, settle: bool
    ) -> bool:
        """:meth:`commit` of states alone where that is one step."""
        commands = self.backend.next_commands(task.uuid, origin, steps)
        return _was_done(await self.broker.port.execute(self.broker.transact(delivery, commands, remove=settle)))

    async def sendable(self, delivery: Delivery, sends: Sequence[Signature]) -> list[Signature]:
        """The callbacks that may be sent; the others are kept among the dead letters."""
        good = []
        for send in sends:
            try:
                self.producer.prepare(send)
                body = encode_signature(send)
                reason = reject_reason(send, body, self.is_reserved, self.queues)
                if reason is None and not self.backend.reads_once:
                    await self.backend.origin(send.uuid)
                if reason is None:
                    self.broker.check_send(send)
                    await self.broker.check_queue(send.routing_key)
            except ServiceUnavailable:
                raise
            except (WireError, WrongKeyType, SignatureError) as error:
                reason = str(error)
            if reason is None:
                good.append(send)
                continue
            shown = brief(reason)
            log.error(
                "callback %s (%s) cannot be sent: %s", brief(send.uuid), brief(send.name), shown, extra=about(send)
            )
            try:
                await self.broker.bury_body(delivery.queue, encode_signature(send), reason)
            except (WireError, NotImplementedError) as error:
                log.error("and it cannot be kept: %s", brief(str(error)), extra=about(send))
        return good

    async def bury(self, delivery: Delivery, reason: str, signature: Signature | None = None) -> None:
        """Keep a message that can never run among the dead letters, and say so; without ``signature`` it has none."""
        reason = brief(reason, 300)
        message = f"message of {len(delivery.body)} bytes on {brief(delivery.queue)!r}"
        fields = {"queue": brief(delivery.queue)} if signature is None else about(signature, delivery.queue)
        try:
            await self.broker.bury(delivery, reason)
        except WrongKeyType as error:
            what = "%s can never run (%s) and cannot be kept as a dead letter, so it comes again: %s"
            log.error(what, message, reason, error, extra=fields)
            return
        log.error("%s is kept as a dead letter: %s", message, reason, extra=fields)
        self.observers.buried(delivery.queue)

    def is_reserved(self, name: str) -> bool:
        """Whether the service keeps something else under this name."""
        return name in self._keys or self.backend.is_reserved(name)


def _was_done(reply: object) -> bool:
    """Whether a transaction took place; False when this worker no longer holds the message."""
    if reply == tx.FOREIGN:
        raise WrongKeyType("a key or queue that it would write to holds something that is not Machinery's")
    return bool(reply == tx.DONE)
