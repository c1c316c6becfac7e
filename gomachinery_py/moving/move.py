"""From one queue to another, page by page, so that a kill at any moment loses nothing.

A page is taken, stored at the target, and only then given up at the source. Between the last two a kill leaves it in
both places: the next move finds it at the source and stores it again, which a Redis target notices (exactly once) and
others cannot (twice at most, and counted).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DEAD, DELAYED, PENDING, Arrival, Departure, Mover
from gomachinery_py.effects import sleep
from gomachinery_py.errors import MachineryError, ServiceError
from gomachinery_py.incoming import brief
from gomachinery_py.moving.address import addressed
from gomachinery_py.moving.sources import FetchedSource, HeldSource, Page, Source
from gomachinery_py.moving.tally import Tally

__all__ = ["LEASE_SECONDS", "Move", "MoveConflict", "Place", "Route"]

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
"""A mover that was silent for so long is taken to be dead."""
_LOOK_SECONDS = 0.5
_FOLLOW_SECONDS = 1.0


class MoveConflict(ServiceError):
    """What an interrupted move holds was for another place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A queue of a broker; ``label`` is the broker's URL without what is secret."""

    broker: Broker
    queue: str
    label: str

    def __str__(self) -> str:
        return f"{self.queue} on {self.label}"


@dataclass(frozen=True, slots=True)
class Route:
    """What is to be moved where.

    ``kinds`` are of ``brokers.moves``; ``name`` is this run's own, ``owner`` says which process it is, and ``is_gone``
    whether such a process is known to have ended (False: it lives, or nobody here can tell).
    """

    source: Place
    target: Place
    name: str
    owner: str
    is_gone: Callable[[str], bool]
    kinds: Sequence[str] = (DELAYED, PENDING)
    page: int = 100
    all_delayed: bool = False
    #: Bring the page of an interrupted move back to its queue instead of on its way.
    put_back: bool = False
    #: Go on when the queue is empty, until it is stopped.
    follow: bool = False


@dataclass(slots=True)
class Move:
    """One run; ``told`` is called after every page, ``stopped`` asked before each."""

    route: Route
    stopped: Callable[[], bool] = lambda: False
    told: Callable[[Tally], None] = lambda _tally: None
    tally: Tally = field(default_factory=Tally)

    async def run(self) -> Tally:
        """Move until nothing is left, or until it is stopped. Raises ServiceUnavailable, ServiceError, MoveConflict."""
        source = await self._source()
        try:
            await self._empty(source)
        except MachineryError:
            with suppress(MachineryError):
                await source.finish()
            raise
        await source.finish()
        return self.tally

    async def _empty(self, source: Source) -> None:
        while not self.stopped():
            page = await source.take()
            if page is not None:
                await self._carry(source, page)
                self.told(self.tally)
            elif self.route.follow:
                await sleep(_FOLLOW_SECONDS)
            else:
                break

    # -- carrying --

    async def _carry(self, source: Source, page: Page) -> None:
        target = self.route.target.broker
        self._note_twice(page, target)
        outcomes = await target.arrive(page.mover, page.arrivals)
        gone: list[Departure] = []
        back: list[Departure] = []
        arrived: list[Arrival] = []
        for departure, arrival, outcome in zip(page.departures, page.arrivals, outcomes, strict=False):
            if outcome is None:
                gone.append(departure)
                if not departure.repeated:
                    arrived.append(arrival)
            else:
                back.append(departure)
                self.tally.note_refusal(departure, outcome)
        await source.settle(page, gone, back)
        # Not what was taken a second time: who had it first may only have slept, and be about to deliver it.
        await target.forget_arrived(page.mover, arrived)
        for departure in gone:
            self.tally.moved[departure.kind] += 1

    def _note_twice(self, page: Page, target: Broker) -> None:
        """Count what may have arrived before. Said at once, since this move may be killed as well."""
        twice = [each for each in page.departures if each.repeated and not (target.arrives_once and each.identity)]
        for departure in twice:
            self.tally.note_twice(departure)
        if twice:
            uuids = self.tally.maybe_twice_uuids[-len(twice) :]
            log.warning(
                "%d tasks had been taken before by somebody who did not finish, and may be there twice: %s",
                len(twice),
                brief(", ".join(uuids), 2_000),
            )

    def _judge(self, departure: Departure) -> Arrival:
        keeps_queue = self.route.all_delayed and departure.kind == DELAYED
        return addressed(departure, self.route.target.broker, None if keeps_queue else self.route.target.queue)

    # -- beginning --

    def _about(self) -> bytes:
        route = self.route
        told = {"owner": route.owner, "queue": route.source.queue, "to": str(route.target)}
        return json.dumps({**told, "all_delayed": route.all_delayed}).encode()

    async def _source(self) -> Source:
        route = self.route
        broker, queue = route.source.broker, route.source.queue
        if not broker.holds_departures:
            if set(route.kinds) - {DELAYED, PENDING}:
                raise NotImplementedError(
                    "dead letters are moved from Redis only; elsewhere put them back first: gomachinery queue requeue"
                )
            # Its messages have names of their own, if any, so that all who move them may share one record of them.
            mover = f"from-{queue}"
            consumer = f"gmpy-move-{route.name}"
            return FetchedSource(broker, queue, route.page, self._judge, self.tally, consumer=consumer, mover=mover)
        source = HeldSource(
            broker,
            queue,
            route.page,
            self._judge,
            self.tally,
            kinds=route.kinds,
            name=route.name,
            about=self._about(),
            all_delayed=route.all_delayed,
        )
        await self._take_over(source)
        await source.register()
        try:
            await self._check_apart(source)
        except MachineryError:
            await source.finish()
            raise
        return source

    async def _check_apart(self, source: HeldSource) -> None:
        """Raises ServiceError when both sides are one and the same queue, whatever their URLs."""
        target = self.route.target
        for kind in source.kinds:
            if kind == DELAYED and not self.route.all_delayed:
                continue
            if await target.broker.is_left_by(target.queue, kind, source.mover(kind)):
                raise ServiceError(f"{brief(target.queue)!r} is the queue itself: name another queue or another broker")

    async def _take_over(self, source: HeldSource) -> None:
        """Find what movers that died have left, and wait for those of which nobody can tell."""
        for kind in (DELAYED, PENDING, DEAD):
            seen: dict[str, Mover] = {}
            while True:
                open_questions = 0
                for mover in await source.broker.movers(source.queue, kind):
                    about = _read(mover.about)
                    if about.get("queue") != source.queue or mover.about == self._about():
                        continue
                    if self.route.is_gone(str(about.get("owner", ""))) or mover.silent > LEASE_SECONDS:
                        await self._inherit(source, kind, mover, str(about.get("to", "")))
                    elif mover.held and not _went_on(seen.get(mover.name), mover):
                        seen[mover.name] = mover
                        open_questions += 1
                if not open_questions or self.stopped():
                    break
                await sleep(_LOOK_SECONDS)

    async def _inherit(self, source: HeldSource, kind: str, mover: Mover, to: str) -> None:
        route = self.route
        if mover.held and to != str(route.target) and not route.put_back:
            raise MoveConflict(
                f"an interrupted move of {brief(source.queue)!r} to {brief(to)} holds {mover.held} {kind} tasks, which "
                "may have arrived there: finish it first by moving there again, or use --put-back to return them to "
                "their queue (what has arrived runs twice then)"
            )
        if not await source.broker.take_over(source.queue, kind, mover.name, mover.about, self._about()):
            return
        if mover.held and route.put_back:
            departures = await source.broker.held(source.queue, kind, mover.name)
            for departure in departures:
                self.tally.note_twice(departure)
            bodies = [departure.body for departure in departures]
            await source.broker.free(source.queue, kind, mover.name, self._about(), [], bodies)
        source.left_over.append((kind, mover.name))


def _went_on(before: Mover | None, now: Mover) -> bool:
    """Whether a mover has given a sign of life since it was looked at."""
    return before is not None and (now.page != before.page or now.silent < before.silent)


def _read(about: bytes) -> dict[str, Any]:
    try:
        told = json.loads(about)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
