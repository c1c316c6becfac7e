"""Where tasks go: a queue of a broker, or whatever else keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DELAYED, Arrival, Departure
from gomachinery_py.moving.address import addressed

__all__ = ["QueueTarget", "Target"]


class Target(ABC):
    """Takes pages of tasks. ``str()`` names it to people, and to the next run after a kill."""

    #: What arrives a second time, with the same identity, is known and not kept again.
    arrives_once = False

    @abstractmethod
    def judge(self, departure: Departure) -> Arrival:
        """What a task would be here. Raises Refused for one that cannot be kept."""

    @abstractmethod
    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        """Keep tasks; of each the reason why it was not taken, or None. Returns when they are safe."""

    async def forget_arrived(self, mover: str, arrivals: Sequence[Arrival]) -> None:
        """They will not arrive again."""

    async def is_left_by(self, kind: str, mover: str) -> bool:  # noqa: ARG002
        """Whether it is the very queue that a mover takes from."""
        return False


class QueueTarget(Target):
    """A queue of a broker; ``label`` is the broker's URL without what is secret."""

    def __init__(self, broker: Broker, queue: str, label: str, *, all_delayed: bool = False) -> None:
        self.broker = broker
        self.queue = queue
        self.arrives_once = broker.arrives_once
        self._label = label
        self._all_delayed = all_delayed

    def __str__(self) -> str:
        return f"{self.queue} on {self._label}"

    def judge(self, departure: Departure) -> Arrival:
        keeps_queue = self._all_delayed and departure.kind == DELAYED
        return addressed(departure, self.broker, None if keeps_queue else self.queue)

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        return await self.broker.arrive(mover, arrivals)

    async def forget_arrived(self, mover: str, arrivals: Sequence[Arrival]) -> None:
        await self.broker.forget_arrived(mover, arrivals)

    async def is_left_by(self, kind: str, mover: str) -> bool:
        if kind == DELAYED and not self._all_delayed:
            return False
        return await self.broker.is_left_by(self.queue, kind, mover)
