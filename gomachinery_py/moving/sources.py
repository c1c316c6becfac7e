"""Where tasks come from: a queue whose mover's page is kept when it dies, or one that gives a page back by itself.

A source takes only what can arrive: ``judge`` makes an Arrival of a Departure, or raises Refused.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.brokers.moves import DELAYED, PENDING, Arrival, Departure
from gomachinery_py.errors import ServiceError
from gomachinery_py.incoming import brief
from gomachinery_py.moving.address import Refused, belongs
from gomachinery_py.moving.tally import Tally

__all__ = ["FetchedSource", "HeldSource", "Judge", "Page", "Source"]

Judge: TypeAlias = Callable[[Departure], Arrival]

_FIRST_PAGE = 8
_PAGE_BYTES = 4 << 20
_IDLE_SECONDS = 1.0


@dataclass(slots=True)
class Page:
    """Tasks that are taken and not yet settled; ``mover`` is who took them."""

    mover: str
    departures: list[Departure] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


class Source(ABC):
    """A queue that is emptied page by page."""

    def __init__(self, broker: Broker, queue: str, page: int, judge: Judge, tally: Tally) -> None:
        self.broker = broker
        self.queue = queue
        self._most = page
        self._judge = judge
        self._tally = tally

    @abstractmethod
    async def take(self) -> Page | None:
        """The next page, to be settled before another one is taken; None when there is nothing more for now."""

    @abstractmethod
    async def settle(self, page: Page, gone: Sequence[Departure], back: Sequence[Departure]) -> None:
        """``gone`` has arrived; ``back`` stays here."""

    async def finish(self) -> None:
        """Nothing more is taken."""


class HeldSource(Source):
    """Redis: looks first, then takes what can arrive, and leaves everything else in its place."""

    def __init__(
        self,
        broker: Broker,
        queue: str,
        page: int,
        judge: Judge,
        tally: Tally,
        *,
        kinds: Sequence[str],
        name: str,
        about: bytes,
        all_delayed: bool = False,
    ) -> None:
        super().__init__(broker, queue, page, judge, tally)
        self.kinds = list(kinds)
        self._name = name
        self._about = about
        self._all_delayed = all_delayed
        self._at = 0
        self._start = 0
        self._count = min(_FIRST_PAGE, page)
        self._took = False
        self._refused: list[Refused] = []
        self._registered: set[str] = set()
        # What the target did not take when it was tried.
        self._not_taken: set[bytes] = set()
        #: Pages that others left: kind and mover.
        self.left_over: list[tuple[str, str]] = []

    def mover(self, kind: str) -> str:
        """Who this is among those that move one kind of tasks."""
        return f"{kind}-{self._name}"

    async def register(self) -> None:
        """Be known as a mover, so that what is taken can be found."""
        for kind in self.kinds:
            await self.broker.take_over(self.queue, kind, self.mover(kind), b"", self._about)
            self._registered.add(kind)

    async def take(self) -> Page | None:
        while self.left_over:
            kind, mover = self.left_over[0]
            departures = await self.broker.held(self.queue, kind, mover)
            if departures:
                page = await self._resumed(kind, mover, departures)
                if page is not None:
                    return page
            await self.broker.end_mover(self.queue, kind, mover, self._about)
            self.left_over.pop(0)
        while self._at < len(self.kinds):
            kind = self.kinds[self._at]
            looked = await self.broker.look(self.queue, kind, self._start, self._count)
            if not looked:
                self._next_round()
                continue
            page = await self._chosen(kind, looked)
            if page is not None:
                return page
        self._at = 0
        return None

    def _next_round(self) -> None:
        """Once more over the same kind if anything was taken: others take tasks too, and what follows moves up."""
        if not self._took:
            for refused in self._refused:
                self._tally.note_left(refused)
            self._at += 1
        self._start, self._took = 0, False
        self._refused.clear()

    async def _chosen(self, kind: str, looked: Sequence[Departure]) -> Page | None:
        wanted: list[bytes] = []
        for departure in looked:
            if kind == DELAYED and not self._all_delayed and not belongs(departure.body, self.broker, self.queue):
                self._start += 1
                continue
            if self._not_taken and _name(departure) in self._not_taken:
                self._start += 1
                continue
            try:
                self._judge(departure)
            except Refused as refused:
                self._refused.append(refused)
                self._start += 1
            else:
                wanted.append(departure.body)
        size = sum(len(departure.body) for departure in looked) + 1
        reach = self._start + 2 * len(looked)
        self._count = max(1, min(self._most, _PAGE_BYTES * len(looked) // size))
        if not wanted:
            return None
        mover = self.mover(kind)
        departures = await self.broker.hold(self.queue, kind, mover, self._about, reach, wanted)
        self._took = True
        return await self._judged(kind, mover, departures) if departures else None

    async def _resumed(self, kind: str, mover: str, departures: list[Departure]) -> Page | None:
        self._tally.resumed += 1
        for departure in departures:
            departure.repeated = True
        return await self._judged(kind, mover, departures)

    async def _judged(self, kind: str, mover: str, departures: list[Departure]) -> Page | None:
        page, back = Page(mover), []
        for departure in departures:
            try:
                arrival = self._judge(departure)
            except Refused as refused:
                # Its time, or the other side's settings, have changed since it was taken.
                self._tally.note_left(refused)
                back.append(departure)
            else:
                page.departures.append(departure)
                page.arrivals.append(arrival)
        if not page.departures:
            await self.broker.free(self.queue, kind, mover, self._about, [], [each.body for each in back])
            return None
        page.departures += back
        return page

    async def settle(self, page: Page, gone: Sequence[Departure], back: Sequence[Departure]) -> None:
        kind = page.mover.partition("-")[0]
        back = [*back, *page.departures[len(page.arrivals) :]]
        bodies = [each.body for each in gone], [each.body for each in back]
        await self.broker.free(self.queue, kind, page.mover, self._about, *bodies)
        self._not_taken.update(map(_name, back))
        # They are at the head again.
        self._start += len(back)

    async def finish(self) -> None:
        for kind in self._registered:
            await self.broker.end_mover(self.queue, kind, self.mover(kind), self._about)


def _name(departure: Departure) -> bytes:
    return hashlib.sha256(departure.body).digest()


class FetchedSource(Source):
    """RabbitMQ, SQS, Pub/Sub: takes as a worker does; what is not settled comes back to the queue by itself."""

    def __init__(
        self, broker: Broker, queue: str, page: int, judge: Judge, tally: Tally, *, consumer: str, mover: str
    ) -> None:
        super().__init__(broker, queue, page, judge, tally)
        self._consumer = consumer
        self._mover = mover
        self._kept: list[Delivery] = []

    async def take(self) -> Page | None:
        while True:
            deliveries = await self.broker.depart(self.queue, self._consumer, self._most, _IDLE_SECONDS)
            if not deliveries:
                return None
            page = Page(self._mover)
            for delivery in deliveries:
                identity = self.broker.identity(delivery)
                departure = Departure(PENDING, delivery.body, None, identity, delivery.attempts > 0, token=delivery)
                try:
                    page.arrivals.append(self._judge(departure))
                    page.departures.append(departure)
                except Refused as refused:
                    self._keep(delivery, refused)
            if page.departures:
                return page
            self._check_kept()

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
        self._check_kept()

    async def finish(self) -> None:
        # The last one first, so that they end up in their order.
        await self.broker.hand_back(self._kept)
        self._kept.clear()
        await self.broker.retire(self.queue, self._consumer)
