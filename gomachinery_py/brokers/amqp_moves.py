"""Moving tasks away from RabbitMQ, to it, and copying what arrives there.

A page that leaves is not acknowledged before it has arrived, so RabbitMQ gives it to the next one when a mover dies.
Its messages have no names of their own: what was delivered before can only be counted. RabbitMQ copies by itself:
a second queue with the same binding gets everything that the first one gets.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from gomachinery_py.amqp_commands import NO_ROUTE, AMQPRefused, Held, bind, declare_exchange, declare_queue
from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.brokers.moves import Arrival
from gomachinery_py.config import AMQPConfig
from gomachinery_py.effects import Command, first_error_raised
from gomachinery_py.errors import PublishError, SignatureError
from gomachinery_py.incoming import brief
from gomachinery_py.wire.model import Signature

__all__ = ["AMQPMoves", "attempts_of"]

# RabbitMQ deletes an unused queue, with all that is in it, after twice its delay. A shorter delay leaves too little
# time between declaring the queue and publishing to it.
_LEAST_DELAY_MS: Final = 100


class AMQPMoves(Broker):
    """The part of the AMQP broker that moves tasks."""

    settings: AMQPConfig
    _is_direct: bool

    @abstractmethod
    def _commands(self, signature: Signature, delayed_queue: str, moved: Arrival | None = None) -> list[Command]:
        """How a task is published; the first command is for its queue, the rest for itself."""

    @abstractmethod
    async def _publish_delayed(self, signature: Signature, moved: Arrival | None = None) -> None:
        """Publish a task that is due later. Raises PublishError."""

    def _bound_by(self, queue: str) -> str:
        """The routing key whose tasks a queue gets."""
        own = queue != self.default_queue and self._is_direct
        return queue if own else self.settings.binding_key

    def _milliseconds(self, due_ns: int | None) -> int:
        if due_ns is None:
            return 0
        left = due_ns - self.clock.unix_ns()
        return max(_LEAST_DELAY_MS, -(-left // 1_000_000)) if left > 0 else 0

    def routing_key_of(self, queue: str) -> str:
        return self.settings.binding_key if self._is_direct and queue == self.default_queue else queue

    def refusal(self, arrival: Arrival) -> str | None:
        if arrival.signature is None:
            return None
        try:
            self._commands(arrival.signature, self.settings.delayed_queue, arrival)
        except SignatureError as error:
            return str(error)
        if len(arrival.queue.encode()) > self.routing_key_bytes:
            return "the name of its queue is longer than RabbitMQ takes"
        return None

    async def depart(self, queue: str, mover: str, limit: int, wait: float) -> list[Delivery]:
        """Unlike a worker it declares nothing, and takes no more than it can hold: what it keeps counts too."""
        fields = {"queue": queue, "worker": mover, "topology": (), "prefetch": 2 * limit, "strict": True}
        taken: list[Held] = await self.port.execute(("fetch", {**fields, "limit": limit, "wait": wait}))
        return [Delivery(queue, held.body, mover, attempts_of(held), held) for held in taken]

    async def is_empty(self, queue: str) -> bool:
        """RabbitMQ counts exactly, and may be slow to give out what it has."""
        infos = await self.queues([queue])
        return not (infos and infos[0].waiting)

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:  # noqa: ARG002
        outcomes: list[str | None] = [None] * len(arrivals)
        at_once: list[int] = []
        for at, arrival in enumerate(arrivals):
            signature = arrival.signature
            if signature is None:
                await self.bury_body(arrival.queue, arrival.body, arrival.reason)
            elif self._milliseconds(arrival.due_ns):
                try:
                    await self._publish_delayed(signature, arrival)
                except PublishError as error:
                    outcomes[at] = brief(str(error), 300)
            else:
                at_once.append(at)
        commands: list[Command] = []
        for at in at_once:
            arrival = replace(arrivals[at], due_ns=None)
            assert arrival.signature is not None
            commands += self._commands(arrival.signature, "", arrival)
        replies = await self.port.attempt_many(commands)
        for at, reply in zip(at_once, replies[1::2], strict=True):
            if _is_own_refusal(reply):
                outcomes[at] = str(reply)
        # Of anything else it is not known what came of the others.
        first_error_raised([reply for reply in replies if not _is_own_refusal(reply)])
        return outcomes

    async def begin_copy(self, queue: str, copy: str) -> None:
        settings = self.settings
        binding = bind(copy, self._bound_by(queue), settings, settings.queue_binding_args)
        await self.port.execute_many([declare_exchange(settings), declare_queue(copy), binding])

    async def end_copy(self, queue: str, copy: str) -> None:
        settings = self.settings
        fields = {"queue": copy, "exchange": settings.exchange, "routing_key": self._bound_by(queue)}
        await self.port.execute(("queue_unbind", {**fields, "arguments": dict(settings.queue_binding_args or {})}))

    async def drop_copy(self, copy: str) -> None:
        await self.port.execute(("queue_delete", {"queue": copy}))


def _is_own_refusal(reply: Any) -> bool:
    """A message that RabbitMQ did not take, which says nothing about others."""
    return isinstance(reply, AMQPRefused) and reply.code in (0, NO_ROUTE)


def attempts_of(held: Held) -> int:
    """Quorum queues count deliveries; the others only say that there was one."""
    counted = (held.properties.get("headers") or {}).get("x-delivery-count")
    return counted if isinstance(counted, int) and counted > 0 else int(held.redelivered)
