"""Where tasks come from. A source takes only what can arrive at its target.

Here: queues that give a page back by themselves when whoever took it dies. Those that do not are in ``held.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.brokers.moves import PENDING, Arrival, Departure
from gomachinery_py.errors import ServiceError
from gomachinery_py.incoming import brief
from gomachinery_py.moving.address import Refused
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import Target

__all__ = ["FetchedSource", "Page", "Source"]

_IDLE_SECONDS = 1.0
_IDLE_ROUNDS = 60


@dataclass(slots=True)
class Page:
    """Tasks that are taken and not yet settled; ``mover`` is who took them."""

    mover: str
    departures: list[Departure] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


class Source(ABC):
    """Something that is emptied page by page."""

    #: Tasks that are taken and not settled, and do not come back by themselves when this run ends.
    in_hand = 0

    def __init__(self, page: int, tally: Tally) -> None:
        self._most = page
        self._tally = tally
        self._target: Target

    async def begin(self, target: Target, stopped: Callable[[], bool]) -> None:  # noqa: ARG002
        """Before anything is taken; what does not fit the target is not."""
        self._target = target

    @abstractmethod
    async def take(self) -> Page | None:
        """The next page, to be settled before another one is taken; None when there is nothing more for now."""

    @abstractmethod
    async def settle(self, page: Page, gone: Sequence[Departure], back: Sequence[Departure]) -> None:
        """``gone`` has arrived; ``back`` stays here."""

    async def finish(self) -> None:
        """Nothing more is taken."""


class FetchedSource(Source):
    """RabbitMQ, SQS, Pub/Sub: takes as a worker does; what is not settled comes back to the queue by itself."""

    def __init__(self, broker: Broker, queue: str, page: int, tally: Tally, *, name: str) -> None:
        super().__init__(page, tally)
        self.broker = broker
        self.queue = queue
        self._consumer = f"gmpy-move-{name}"
        # Messages have names of their own, if any, so that all who move them may share one record of them.
        self._mover = f"from-{queue}"
        self._kept: list[Delivery] = []

    async def take(self) -> Page | None:
        while True:
            self._check_kept()
            deliveries = await self._given()
            if not deliveries:
                return None
            page = Page(self._mover)
            for delivery in deliveries:
                identity = self.broker.identity(delivery)
                departure = Departure(PENDING, delivery.body, None, identity, delivery.attempts > 0, token=delivery)
                try:
                    page.arrivals.append(self._target.judge(departure))
                    page.departures.append(departure)
                except Refused as refused:
                    self._keep(delivery, refused)
            if page.departures:
                return page

    async def _given(self) -> list[Delivery]:
        """What the queue gives out; nothing only when there is nothing. Raises ServiceError when it gives to others."""
        was_empty = False
        for _ in range(_IDLE_ROUNDS):
            deliveries = await self.broker.depart(self.queue, self._consumer, self._most, _IDLE_SECONDS)
            if deliveries or was_empty:
                return deliveries
            # What was under way to us when this was asked has come when the next wait is over.
            was_empty = await self.broker.is_empty(self.queue)
        raise ServiceError(
            f"tasks wait in {brief(self.queue)!r}, and none is given out: has it a single active or exclusive consumer?"
        )

    def _keep(self, delivery: Delivery, refused: Refused) -> None:
        self._tally.note_left(refused)
        self._kept.append(delivery)

    def _check_kept(self) -> None:
        if len(self._kept) > self._most:
            raise ServiceError(
                f"more than {self._most} tasks of {brief(self.queue)!r} cannot be moved, the last one because: "
                f"{self._tally.left[-1].reason}; what is behind them was not looked at (a larger --page looks further)"
            )

    async def settle(
        self,
        page: Page,  # noqa: ARG002
        gone: Sequence[Departure],
        back: Sequence[Departure],
    ) -> None:
        for departure in gone:
            await self.broker.settle(departure.token)
        self._kept += [departure.token for departure in back]

    async def finish(self) -> None:
        # The last one first, so that they end up in their order.
        await self.broker.hand_back(self._kept)
        self._kept.clear()
        await self.broker.retire(self.queue, self._consumer)
