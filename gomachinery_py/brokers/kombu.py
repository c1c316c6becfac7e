"""The queues of Celery's transport, kombu, on the services that both speak to: looked at, and emptied one by one.

``brokers/redis_kombu.py`` and ``brokers/amqp_kombu.py`` are the two that there are; a broker gives its own by
``Broker.kombu()``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gomachinery_py.effects import Command

__all__ = ["KombuMessage", "KombuQueues"]


@dataclass(slots=True, eq=False)
class KombuMessage:
    """One message as the service has it: on RabbitMQ with its properties, on Redis with none, all is in the body."""

    queue: str
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    token: Any = field(default=None, repr=False)


class KombuQueues(ABC):
    """Core logic, driven as a broker's is."""

    #: Several commands and the removal of a message can be one step.
    is_atomic = False

    @abstractmethod
    async def names(self, queue: str) -> list[str]:
        """The names under which a queue is kept: with Redis one more for each priority, the most urgent first."""

    @abstractmethod
    async def waiting(self, name: str, skip: int, count: int) -> list[KombuMessage]:
        """A page of what waits, the next to run first, behind ``skip`` others; the empty one is the last.

        Where looking means taking (RabbitMQ) ``skip`` is not needed, and nobody else gets what was seen before
        :meth:`release`.
        """

    @abstractmethod
    async def remove(self, message: KombuMessage, commands: Sequence[Command] = ()) -> bool:
        """Take a message out for good; where :attr:`is_atomic` together with ``commands``, all or nothing.

        False when it was no longer there: then nothing was done.
        """

    async def release(self) -> None:
        """Give back what was seen and not removed, in its place."""

    async def held(self) -> int:
        """How many messages Celery's workers hold, as far as that is to be seen: those with an ETA among them."""
        return 0
