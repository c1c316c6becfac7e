"""A queue whose page is kept for the next mover when the one that took it dies: Redis."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DELAYED, KINDS, PENDING, Departure, Mover
from gomachinery_py.effects import sleep
from gomachinery_py.errors import ServiceError
from gomachinery_py.incoming import brief
from gomachinery_py.moving.address import Refused, belongs
from gomachinery_py.moving.sources import Page, Source
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import Target

__all__ = ["LEASE_SECONDS", "HeldSource", "MoveConflict", "Owner"]

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
"""A mover that was silent for so long is taken to be dead."""
_LOOK_SECONDS = 0.5
_FIRST_PAGE = 8
_PAGE_BYTES = 4 << 20


class MoveConflict(ServiceError):
    """What an interrupted move holds was for another place."""


@dataclass(frozen=True, slots=True)
class Owner:
    """``run`` is this run's own name, ``process`` says which process it is.

    ``is_gone`` tells whether such a process is known to have ended (False: it lives, or nobody here can tell).
    """

    run: str
    process: str
    is_gone: Callable[[str], bool]


class HeldSource(Source):
    """Redis: looks first, then takes what can arrive, and leaves everything else in its place."""

    def __init__(
        self,
        broker: Broker,
        queue: str,
        page: int,
        tally: Tally,
        owner: Owner,
        *,
        kinds: Sequence[str] = (DELAYED, PENDING),
        all_delayed: bool = False,
        put_back: bool = False,
    ) -> None:
        super().__init__(page, tally)
        self.broker = broker
        self.queue = queue
        self._owner = owner
        self._kinds = tuple(kinds)
        self._all_delayed = all_delayed
        self._put_back = put_back
        self._about = b""
        self._at = 0
        self._start = 0
        self._count = min(_FIRST_PAGE, page)
        self._took = False
        # What cannot go, of this round, and of each kind's last one.
        self._refused = Tally()
        self._stays: dict[str, Tally] = {}
        self._registered: set[str] = set()
        self._shown = -LEASE_SECONDS
        # What the target did not take when it was tried.
        self._not_taken: set[bytes] = set()
        # Pages that others left: kind and mover.
        self._left_over: list[tuple[str, str]] = []

    def _mover(self, kind: str) -> str:
        """Who this is among those that move one kind of tasks."""
        return f"{kind}-{self._owner.run}"

    # -- beginning --

    async def begin(self, target: Target, stopped: Callable[[], bool]) -> None:
        """Raises MoveConflict, or ServiceError when the target is the queue itself."""
        await super().begin(target, stopped)
        told = {"owner": self._owner.process, "queue": self.queue, "to": str(target)}
        self._about = json.dumps(told).encode()
        for kind in KINDS:
            await self._take_over(kind, stopped)
        for kind in self._kinds:
            await self.broker.take_over(self.queue, kind, self._mover(kind), b"", self._about)
            self._registered.add(kind)
            if await target.is_left_by(kind, self._mover(kind)):
                await self.finish()
                raise ServiceError(f"{brief(self.queue)!r} is the queue itself: name another queue or another broker")

    async def _take_over(self, kind: str, stopped: Callable[[], bool]) -> None:
        """Find what movers that died have left, and wait for those of which nobody can tell."""
        seen: dict[str, Mover] = {}
        told = 0
        while True:
            open_questions = 0
            for mover in await self.broker.movers(self.queue, kind):
                about = _read(mover.about)
                if about.get("queue") != self.queue or mover.about == self._about:
                    continue
                if self._owner.is_gone(str(about.get("owner", ""))) or mover.silent > LEASE_SECONDS:
                    await self._inherit(kind, mover, str(about.get("to", "")))
                elif mover.held and not _went_on(seen.get(mover.name), mover):
                    seen[mover.name] = mover
                    open_questions += 1
            if not open_questions or stopped():
                return
            if len(seen) > told:
                told = len(seen)
                log.warning(
                    "%d other moves hold tasks of %r and may still be at work; they are waited for, for up to %d s",
                    told,
                    brief(self.queue),
                    LEASE_SECONDS,
                )
            await sleep(_LOOK_SECONDS)

    async def _inherit(self, kind: str, mover: Mover, to: str) -> None:
        if mover.held and to != str(self._target) and not self._put_back:
            raise MoveConflict(
                f"an interrupted move of {brief(self.queue)!r} to {brief(to)} holds {mover.held} {kind} tasks, which "
                "may have arrived there: finish it first by moving there again, or use --put-back to return them to "
                "their queue (what has arrived runs twice then)"
            )
        if not await self.broker.take_over(self.queue, kind, mover.name, mover.about, self._about):
            return
        if mover.held and self._put_back:
            departures = await self.broker.held(self.queue, kind, mover.name)
            self._tally.note_twice(departures)
            bodies = [departure.body for departure in departures]
            await self.broker.free(self.queue, kind, mover.name, self._about, [], bodies)
        self._left_over.append((kind, mover.name))

    # -- taking --

    async def take(self) -> Page | None:
        while self._left_over:
            kind, mover = self._left_over[0]
            departures = await self.broker.held(self.queue, kind, mover)
            if departures:
                page = await self._resumed(mover, departures)
                if page is not None:
                    return page
            await self.broker.end_mover(self.queue, kind, mover, self._about)
            self._left_over.pop(0)
        while self._at < len(self._kinds):
            kind = self._kinds[self._at]
            looked = await self.broker.look(self.queue, kind, self._start, self._count)
            if not looked:
                self._next_round()
                continue
            page = await self._chosen(kind, looked)
            if page is not None:
                return page
        self._at = 0
        await self._show_life()
        return None

    async def _show_life(self) -> None:
        """A mover that waits for more tasks holds nothing and asks for nothing, and is not dead."""
        now = self.broker.clock.monotonic()
        if now - self._shown > LEASE_SECONDS / 3:
            self._shown = now
            for kind in self._registered:
                await self.broker.take_over(self.queue, kind, self._mover(kind), self._about, self._about)

    def _next_round(self) -> None:
        """Once more over the same kind if anything was taken: others take tasks too, and what follows moves up."""
        if not self._took:
            self._stays[self._kinds[self._at]] = self._refused
            self._at += 1
        self._start, self._took = 0, False
        self._refused = Tally()

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
                self._target.judge(departure)
            except Refused as refused:
                self._refused.note_left(refused)
                self._start += 1
            else:
                wanted.append(departure.body)
        size = sum(len(departure.body) for departure in looked) + 1
        reach = self._start + 2 * len(looked)
        self._count = max(1, min(self._most, _PAGE_BYTES * len(looked) // size))
        if not wanted:
            return None
        mover = self._mover(kind)
        departures = await self.broker.hold(self.queue, kind, mover, self._about, reach, wanted)
        self._took = True
        return await self._judged(mover, departures) if departures else None

    async def _resumed(self, mover: str, departures: list[Departure]) -> Page | None:
        self._tally.resumed += 1
        for departure in departures:
            departure.repeated = True
        return await self._judged(mover, departures)

    async def _judged(self, mover: str, departures: list[Departure]) -> Page | None:
        page, back = Page(mover), []
        self.in_hand = len(departures)
        for departure in departures:
            try:
                arrival = self._target.judge(departure)
            except Refused as refused:
                # Its time, or the other side's settings, have changed since it was taken.
                self._tally.note_left(refused)
                back.append(departure)
            else:
                page.departures.append(departure)
                page.arrivals.append(arrival)
        if not page.departures:
            await self.settle(Page(mover), [], back)
            return None
        page.departures += back
        return page

    async def settle(self, page: Page, gone: Sequence[Departure], back: Sequence[Departure]) -> None:
        kind = page.mover.partition("-")[0]
        back = [*back, *page.departures[len(page.arrivals) :]]
        bodies = [each.body for each in gone], [each.body for each in back]
        await self.broker.free(self.queue, kind, page.mover, self._about, *bodies)
        self.in_hand = 0
        self._not_taken.update(map(_name, back))
        # They are at the head again.
        self._start += len(back)

    async def finish(self) -> None:
        for stays in self._stays.values():
            self._tally.add_left(stays)
        self._stays.clear()
        for kind in self._registered:
            await self.broker.end_mover(self.queue, kind, self._mover(kind), self._about)


def _name(departure: Departure) -> bytes:
    return hashlib.sha256(departure.body).digest()


def _went_on(before: Mover | None, now: Mover) -> bool:
    """Whether a mover has given a sign of life since it was looked at."""
    return before is not None and (now.page != before.page or now.silent < before.silent)


def _read(about: bytes) -> dict[str, Any]:
    try:
        told = json.loads(about)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
