"""AMQP commands as plain data, for the broker and the result store; ``ports/amqp.py`` carries them out.

A command is a pair of a method's name and its fields. Go source: ``v2/common/amqp.go`` (``Connect``), v1 alike.

===============================  =============================================================================
``exchange_declare`` … these are sent one after the other without waiting; they are answered together
``queue_declare`` ``queue_bind``
``basic_publish``                mandatory, answered by the confirm: None, or an AMQPRefused
``ensure``                       commands of the first three kinds that one connection needs to carry out once
``queue_declare`` with passive   (messages, consumers); waited for, so that an unused queue's time starts again: a
or with ``answered``             declaration that nobody waits for leaves it as it is when the queue is there already.
                                 With ``answered`` "later" only publishes may follow, and they do not wait for it
``parallel``                     several series of commands, each on a channel of its own: their replies, one after the
                                 other, or the first error
``queue_purge`` ``queue_delete`` the number of messages
``queue_unbind``                 None
``browse``                       reads messages with ``basic_get`` and gives all of them back: [(body, headers)]
``take``                         reads messages and acknowledges them
``move``                         get, publish elsewhere, acknowledge; how many were moved
``fetch`` ``holds`` ``basic_ack`` ``basic_nack`` ``stop_taking`` ``retire``    see ``ports/amqp_consumer.py``
``claim`` ``release``            see ``ports/amqp_claims.py``
===============================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from gomachinery_py.config import AMQPConfig
from gomachinery_py.errors import ServiceError

__all__ = [
    "ACCESS_REFUSED",
    "DEFAULT_EXCHANGE",
    "MAX_NAME_BYTES",
    "MAX_PREFETCH",
    "NOT_FOUND",
    "NO_ROUTE",
    "PRECONDITION_FAILED",
    "RESOURCE_LOCKED",
    "AMQPCommand",
    "AMQPRefused",
    "Held",
    "Int32",
    "Int64",
    "bind",
    "declare_exchange",
    "declare_queue",
    "ensure",
    "parallel",
    "publish",
]

AMQPCommand: TypeAlias = tuple[str, dict[str, Any]]
"""A method's name and its fields."""

DEFAULT_EXCHANGE: Final = ""
MAX_NAME_BYTES: Final = 255
"""A short string: names of queues and exchanges, routing keys, and the keys of a table."""
MAX_PREFETCH: Final = (1 << 16) - 1
"""Unacknowledged messages that a consumer can ask for; it is an unsigned short."""

NO_ROUTE: Final = 312
ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404
RESOURCE_LOCKED: Final = 405
PRECONDITION_FAILED: Final = 406


class AMQPRefused(ServiceError):
    """RabbitMQ answered a command with an error; ``code`` is AMQP's, 0 for a publish that was nacked."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Int32(int):
    """A table's value that is written as a signed 32-bit integer, as Go writes int and int32."""


class Int64(int):
    """A table's value that is written as a signed 64-bit integer, as Go writes int64.

    RabbitMQ compares the types of a queue's arguments too when the queue is declared again.
    """


@dataclass(slots=True, eq=False)
class Held:
    """A message that a consumer was given: what ``fetch`` returns, and what settles it.

    ``tag`` is valid on the channel that is the consumer's ``generation``; both change when the same message comes again
    after a lost connection while it is still worked on here.
    """

    queue: str
    worker: str
    body: bytes
    redelivered: bool
    properties: dict[str, Any] = field(repr=False)
    generation: int
    tag: int


def declare_exchange(settings: AMQPConfig) -> AMQPCommand:
    """The exchange as every connection of Go declares it."""
    return (
        "exchange_declare",
        {"exchange": settings.exchange, "exchange_type": settings.exchange_type, "durable": True},
    )


def declare_queue(
    queue: str,
    *,
    durable: bool = True,
    auto_delete: bool = False,
    arguments: Mapping[str, Any] | None = None,
    answered: bool | Literal["later"] = False,
) -> AMQPCommand:
    """A queue; never exclusive."""
    fields = {"queue": queue, "durable": durable, "auto_delete": auto_delete, "arguments": dict(arguments or {})}
    return ("queue_declare", {**fields, "answered": answered} if answered else fields)


def bind(queue: str, routing_key: str, settings: AMQPConfig, arguments: Mapping[str, Any] | None = None) -> AMQPCommand:
    """A queue bound to the exchange."""
    fields = {"queue": queue, "exchange": settings.exchange, "routing_key": routing_key}
    return ("queue_bind", {**fields, "arguments": dict(arguments or {})})


def ensure(key: str, *commands: AMQPCommand) -> AMQPCommand:
    """Commands whose effect lasts: a connection carries them out once for each ``key``."""
    return ("ensure", {"key": key, "commands": commands})


def parallel(series: Sequence[Sequence[AMQPCommand]]) -> AMQPCommand:
    """Series that do not depend on each other, at the same time: RabbitMQ makes a channel wait for each new queue."""
    return ("parallel", {"series": series})


def publish(exchange: str, routing_key: str, body: bytes, **properties: Any) -> AMQPCommand:
    """A persistent JSON message, to be confirmed; it comes back when no queue takes it."""
    persistent: dict[str, Any] = {"content_type": "application/json", "delivery_mode": 2, **properties}
    fields = {"exchange": exchange, "routing_key": routing_key, "body": body, "mandatory": True}
    return ("basic_publish", {**fields, "properties": persistent})
