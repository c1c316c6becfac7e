"""The AMQP broker (RabbitMQ).

Go source: ``v2/brokers/amqp/amqp.go``, ``v2/common/amqp.go``; v1 alike.

===============================  ==================================  ===============================================
a message that                   Go                                  here
===============================  ==================================  ===============================================
cannot be decoded                is dropped (nack, no requeue)       goes to ``<queue>.dead`` and is acknowledged then
is empty                         takes everyone's messages with it   the same as any other that cannot be decoded
is not registered                is nacked with requeue              the same, with pauses
is not registered, ignored       v1: stays unacked; v2: is dropped   is dropped (nack, no requeue)
failed                           is acknowledged, stored or not      is acknowledged once its FAILURE is stored
was held by a worker that died   comes again                         comes again; not run when its outcome is stored
===============================  ==================================  ===============================================

Queues, bindings and arguments are Go's, so that either side may declare them again. What is not done as Go does it:

* A publish to the default declares the default queue, bound to the binding key. Go declares a queue *named* like the
  binding key: it takes a copy of every task for ever, and the only one before the first worker's start.
* A worker's own queue on a direct exchange is bound to its own name. Go binds it to the binding key, so that it gets
  every default task a second time.
* Publishing is mandatory and confirmed, delayed tasks too. A delayed task's own queue is declared with it.
* Delays are rounded up to whole milliseconds: a task never runs before its ETA.
* ``prefetch_count`` counts when it was set. Otherwise it is the worker's concurrency, but not under Go's 3, and more
  while tasks are short; what lies behind a slow task goes back to the queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from gomachinery_py.amqp_commands import (
    DEFAULT_EXCHANGE,
    MAX_NAME_BYTES,
    MAX_PREFETCH,
    NO_ROUTE,
    NOT_FOUND,
    PRECONDITION_FAILED,
    AMQPCommand,
    AMQPRefused,
    Held,
    Int64,
    bind,
    declare_exchange,
    declare_queue,
    ensure,
    publish,
)
from gomachinery_py.brokers.amqp_kombu import AMQPKombu
from gomachinery_py.brokers.amqp_moves import AMQPMoves, attempts_of
from gomachinery_py.brokers.base import Delivery, QueueInfo
from gomachinery_py.brokers.moves import Arrival
from gomachinery_py.config import AMQPConfig, Config
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import PublishError, ServiceError, SignatureError
from gomachinery_py.golang.json import Number, value_text
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import brief
from gomachinery_py.wire.model import Signature

__all__ = ["AMQPBroker"]

_REASON_HEADER: Final = "x-gmpy-reason"
_DEAD_SUFFIX: Final = ".dead"
_LEAST_PREFETCH: Final = 3
_DELAY_ATTEMPTS: Final = 5
# x-expires is twice the delay and must be less than 2^32.
_MOST_DELAY_MS: Final = (1 << 31) - 1
_MAX_HEADER_BYTES: Final = 96 * 1024


class AMQPBroker(AMQPMoves):
    """One exchange; a queue for each routing key, and for each delay."""

    is_amqp = True
    why_no_cancel = "RabbitMQ holds each delay in a queue of its own, out of which no client can take one message"
    routing_key_bytes = MAX_NAME_BYTES - len(_DEAD_SUFFIX)

    def __init__(
        self,
        port: Port,
        clock: Clock,
        default_queue: str,
        settings: AMQPConfig | None = None,
        *,
        prefetch_given: bool = False,
    ) -> None:
        super().__init__(port, clock, default_queue)
        self.settings = settings or AMQPConfig()
        self._prefetch_given = prefetch_given and self.settings.prefetch_count > 0
        self._is_direct = self.settings.exchange_type == "direct"

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config, *, crash_safe: bool = True) -> Self:  # noqa: ARG003
        given = "amqp.prefetch_count" in config.names_given()
        return cls(port, clock, config.default_queue, config.amqp_settings, prefetch_given=given)

    @property
    def own_queues(self) -> frozenset[str]:
        return frozenset({self.default_queue, self.settings.binding_key})

    def reserved_names(self) -> set[str]:
        names = {self.default_queue, self.settings.binding_key, self.settings.delayed_queue}
        return {*names, *(_dead(queue) for queue in self.own_queues)} - {""}

    # -- declaring --

    def adjust_routing_key(self, signature: Signature) -> None:
        if signature.routing_key == "":
            signature.routing_key = self.settings.binding_key if self._is_direct else self.default_queue

    def _topology(self, queue: str, routing_key: str) -> tuple[AMQPCommand, ...]:
        settings = self.settings
        return (
            declare_exchange(settings),
            declare_queue(queue, arguments=settings.queue_declare_args),
            bind(queue, routing_key, settings, settings.queue_binding_args),
        )

    def _target(self, routing_key: str) -> AMQPCommand:
        """The queue that a routing key leads to."""
        if not self._is_direct or routing_key == self.settings.binding_key:
            queue, key = self.default_queue, self.settings.binding_key
        else:
            queue, key = routing_key, routing_key
        return ensure(f"{queue} {key}", *self._topology(queue, key))

    def _consumed(self, queue: str) -> tuple[AMQPCommand, ...]:
        return self._topology(queue, self._bound_by(queue))

    # -- sending --

    def publish_commands(self, signature: Signature) -> list[Command]:
        return self._commands(signature, self.settings.delayed_queue)

    def _commands(self, signature: Signature, delayed_queue: str, moved: Arrival | None = None) -> list[Command]:
        """``delayed_queue`` is the queue for all delayed tasks; with none, each delay has a queue of its own.

        What is ``moved`` keeps its bytes, and its time is what it had where it comes from.
        """
        self.adjust_routing_key(signature)
        body = self.encoded(signature) if moved is None else moved.body
        target = self._target(signature.routing_key)
        headers = _header_table(signature)
        properties: dict[str, Any] = {"headers": headers} if headers else {}
        delay = self._delay(signature) if moved is None else self._milliseconds(moved.due_ns)
        if delay:
            return [target, *self._delayed(signature, delay, delayed_queue, body, properties)]
        if signature.priority:
            properties["priority"] = signature.priority
        return [target, publish(self.settings.exchange, signature.routing_key, body, **properties)]

    def _delay(self, signature: Signature) -> int:
        """Milliseconds until its ETA, rounded up; 0 when it is to run at once."""
        return self._milliseconds(None if signature.eta is None else unix_ns(signature.eta))

    def _delayed(
        self, signature: Signature, delay: int, delayed_queue: str, body: bytes, properties: dict[str, Any]
    ) -> list[Command]:
        """A queue that nobody consumes; RabbitMQ passes on what has lain there for the time."""
        if delay > _MOST_DELAY_MS:
            raise SignatureError(
                f"task {brief(signature.name)}: eta is {delay // 86_400_000} days away, RabbitMQ delays 24 at most; "
                "send it later"
            )
        settings = self.settings
        arguments: dict[str, Any] = {
            "x-dead-letter-exchange": settings.exchange,
            "x-dead-letter-routing-key": signature.routing_key,
        }
        if delayed_queue:
            queue = delayed_queue
            properties = {**properties, "expiration": str(delay)}
        else:
            queue = f"delay.{delay}.{settings.exchange}.{signature.routing_key}"
            arguments |= {"x-message-ttl": Int64(delay), "x-expires": Int64(2 * delay)}
        if len(queue.encode()) > MAX_NAME_BYTES:
            raise SignatureError(
                f"task {brief(signature.name)}: routing_key is too long to be delayed by RabbitMQ, whose names have "
                f"{MAX_NAME_BYTES} bytes"
            )
        declared = declare_queue(queue, auto_delete=settings.auto_delete, arguments=arguments, answered=True)
        return [
            declare_exchange(settings),
            declared,
            bind(queue, queue, settings, settings.queue_binding_args),
            publish(settings.exchange, queue, body, **properties),
            # Once more: an unused queue's time must start after the message is in it.
            declared,
        ]

    def check_send(self, signature: Signature) -> None:
        super().check_send(signature)
        _header_table(signature)
        delay = self._delay(signature)
        if delay:
            self._delayed(signature, delay, self.settings.delayed_queue, b"", {})

    def publish_error(self, what: str, error: ServiceError) -> Exception:
        return PublishError(f"{what}: {error}") if isinstance(error, AMQPRefused) else error

    async def publish(self, signature: Signature) -> None:
        await self.publish_all([signature])

    async def publish_all(self, signatures: Sequence[Signature]) -> None:
        """Raises PublishError when RabbitMQ refuses one, SignatureError for what it cannot hold."""
        at_once: list[Signature] = []
        delayed: list[Signature] = []
        for signature in signatures:
            (delayed if self._delay(signature) else at_once).append(signature)
        commands = [command for signature in at_once for command in self.publish_commands(signature)]
        try:
            await self.port.execute_many(commands)
        except AMQPRefused as error:
            what = f"task {brief(at_once[0].name)}" if len(at_once) == 1 else f"some of {len(at_once)} tasks"
            raise self.publish_error(what, error) from error
        for signature in delayed:
            await self._publish_delayed(signature)

    async def _publish_delayed(self, signature: Signature, moved: Arrival | None = None) -> None:
        shared = self.settings.delayed_queue
        for attempt in range(1, _DELAY_ATTEMPTS + 1):
            try:
                await self.port.execute_many(self._commands(signature, shared, moved))
            except AMQPRefused as error:
                last = attempt == _DELAY_ATTEMPTS
                if error.code == PRECONDITION_FAILED and shared and not last:
                    # It leads to one routing key only, that of the first task that was ever delayed there.
                    shared = ""
                # Its queue may be at its end, with its time, between the declaration and the message.
                elif error.code != NO_ROUTE or last:
                    raise PublishError(f"task {brief(signature.name)}: {error}") from error
            else:
                return

    # -- working --

    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:
        prefetch = self.settings.prefetch_count if self._prefetch_given else max(_LEAST_PREFETCH, limit)
        fields = {
            "queue": queue,
            "worker": worker,
            "topology": self._consumed(queue),
            "prefetch": min(prefetch, MAX_PREFETCH),
            "strict": self._prefetch_given,
            "limit": limit,
            "wait": wait,
        }
        taken: list[Held] = await self.port.execute(("fetch", fields))
        return [Delivery(queue, held.body, worker, attempts_of(held), held) for held in taken]

    async def holds(self, delivery: Delivery) -> bool:
        return bool(await self.port.execute(("holds", {"held": delivery.token})))

    async def settle(self, delivery: Delivery) -> bool:
        """Always True: what was done is stored, and a message that comes again for all that is not run again."""
        await self.port.execute(("basic_ack", {"held": delivery.token}))
        return True

    async def requeue(self, delivery: Delivery) -> None:
        await self.port.execute(("basic_nack", {"held": delivery.token, "requeue": True}))

    async def drop(self, delivery: Delivery) -> None:
        await self.port.execute(("basic_nack", {"held": delivery.token, "requeue": False}))

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        await self.port.execute_many(
            [("basic_nack", {"held": delivery.token, "requeue": True}) for delivery in deliveries]
        )

    async def bury(self, delivery: Delivery, reason: str) -> None:
        held: Held = delivery.token
        kept = {name: value for name, value in held.properties.items() if name in ("headers", "priority")}
        await self._bury(delivery.queue, delivery.body, reason, kept)
        await self.settle(delivery)

    async def bury_body(self, queue: str, body: bytes, reason: str) -> None:
        await self._bury(queue, body, reason, {})

    async def _bury(self, queue: str, body: bytes, reason: str, properties: dict[str, Any]) -> None:
        dead = _dead(queue)
        headers = {**(properties.get("headers") or {}), _REASON_HEADER: reason}
        declared = ensure(dead, declare_queue(dead))
        buried = publish(DEFAULT_EXCHANGE, dead, body, **{**properties, "headers": headers})
        await self.port.execute_many([declared, buried])

    async def stop_taking(self, queue: str, worker: str) -> None:
        await self.port.execute(("stop_taking", {"queue": queue, "worker": worker}))

    async def retire(self, queue: str, worker: str) -> None:
        await self.port.execute(("retire", {"queue": queue, "worker": worker}))

    async def abandon(self, queue: str, worker: str) -> None:
        # With its channel goes everything that is not acknowledged.
        await self.retire(queue, worker)

    # -- looking --

    async def pending(self, queue: str, start: int = 0, count: int = 1000) -> list[bytes]:
        return [body for body, _ in await self._browse(queue, start, count)]

    async def delayed(self, start: int = 0, count: int = 1000) -> list[bytes]:
        """Raises ServiceError unless ``delayed_queue`` is set: RabbitMQ cannot list the queues of single delays."""
        if not self.settings.delayed_queue:
            raise AMQPRefused(
                "RabbitMQ holds delayed tasks in queues delay.<milliseconds>.… of their own, which a client cannot "
                "list; look with rabbitmqctl list_queues, or set amqp.delayed_queue",
                NOT_FOUND,
            )
        return [body for body, _ in await self._browse(self.settings.delayed_queue, start, count)]

    async def _browse(self, queue: str, start: int, count: int) -> list[tuple[bytes, dict[str, Any]]]:
        try:
            found = await self.port.execute(("browse", {"queue": queue, "start": start, "count": count}))
        except AMQPRefused as error:
            if error.code != NOT_FOUND:
                raise
            return []
        return list(found)

    async def queues(self, wanted: Sequence[str]) -> list[QueueInfo]:
        infos = []
        for queue in wanted or [self.default_queue]:
            found = await self._counts(queue)
            if found is not None:
                dead = await self._counts(_dead(queue))
                infos.append(QueueInfo(queue, found[0], 0, dead[0] if dead else 0, found[1]))
        return infos

    async def _counts(self, queue: str) -> tuple[int, int] | None:
        """Messages that wait, and consumers; None when there is no such queue."""
        try:
            messages, consumers = await self.port.execute(("queue_declare", {"queue": queue, "passive": True}))
        except AMQPRefused as error:
            if error.code != NOT_FOUND:
                raise
            return None
        return messages, consumers

    async def purge(self, queue: str) -> int:
        if await self._counts(queue) is None:
            return 0
        return int(await self.port.execute(("queue_purge", {"queue": queue})))

    async def dead(self, queue: str, start: int = 0, count: int = 1000) -> list[tuple[bytes, str]]:
        found = await self._browse(_dead(queue), start, count)
        return [(body, str(headers.get(_REASON_HEADER, ""))) for body, headers in found]

    async def revive(self, queue: str, count: int) -> int:
        revived = 0
        fields = {"queue": _dead(queue), "to": queue, "drop_headers": (_REASON_HEADER,)}
        if await self._counts(_dead(queue)) is None:
            return 0
        await self.port.execute(ensure(f"{queue} consumed", *self._consumed(queue)))
        while revived < count and await self.port.execute(("move", fields)):
            revived += 1
        return revived

    async def purge_dead(self, queue: str) -> int:
        return await self.purge(_dead(queue))

    def kombu(self) -> AMQPKombu:
        return AMQPKombu(self.port)

    async def check(self) -> None:
        await self.port.execute(declare_exchange(self.settings))

    async def check_queue(self, queue: str) -> None:
        if len(queue.encode()) > self.routing_key_bytes:
            raise SignatureError(f"RoutingKey {brief(queue)!r} is longer than the name of a queue may be on RabbitMQ")


def _dead(queue: str) -> str:
    return f"{queue}{_DEAD_SUFFIX}"


def _header_table(signature: Signature) -> dict[str, Any]:
    """The message's headers: texts as they are; what Go could not publish again as its JSON text."""
    headers: dict[str, Any] = {}
    size = 0
    for key, value in (signature.headers or {}).items():
        plain = value is None or isinstance(value, bool) or (isinstance(value, str) and not isinstance(value, Number))
        told = value if plain else value_text(value)
        size += len(key.encode()) + len(str(told).encode()) + 6
        if len(key.encode()) <= MAX_NAME_BYTES:
            headers[key] = told
    if size > _MAX_HEADER_BYTES:
        raise SignatureError(
            f"task {brief(signature.name)}: its headers have {size} bytes, RabbitMQ takes {_MAX_HEADER_BYTES}; "
            "send large data as an argument"
        )
    return headers
