"""From one place to another, page by page, so that a kill at any moment loses nothing.

A page is taken, stored at the target, and only then given up at the source. Between the last two a kill leaves it in
both places: the next run finds it at the source and stores it again, which a Redis target notices (exactly once) and
others cannot (twice at most, and counted).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gomachinery_py.brokers.moves import Arrival, Departure
from gomachinery_py.effects import sleep
from gomachinery_py.errors import MachineryError
from gomachinery_py.moving.sources import Page, Source
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import Target

__all__ = ["Move"]


@dataclass(slots=True)
class Move:
    """One run; ``told`` is called after every page, ``stopped`` asked before each.

    ``idle`` is how many seconds to wait before a source that has nothing more is asked again; None ends the run then.
    """

    source: Source
    target: Target
    tally: Tally
    stopped: Callable[[], bool] = lambda: False
    told: Callable[[Tally], None] = lambda _tally: None
    idle: float | None = None

    async def run(self) -> Tally:
        """Move until nothing is left, or until it is stopped. Raises ServiceUnavailable, ServiceError, MoveConflict."""
        await self.source.begin(self.target, self.stopped)
        try:
            await self._empty()
        except MachineryError:
            with suppress(MachineryError):
                await self.source.finish()
            raise
        await self.source.finish()
        return self.tally

    async def _empty(self) -> None:
        while not self.stopped():
            page = await self.source.take()
            if page is not None:
                await self._carry(page)
                self.told(self.tally)
            elif self.idle is None:
                return
            else:
                await sleep(self.idle)

    async def _carry(self, page: Page) -> None:
        once = self.target.arrives_once
        self.tally.note_twice([each for each in page.departures if each.repeated and not (once and each.identity)])
        outcomes = await self.target.arrive(page.mover, page.arrivals)
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
        await self.source.settle(page, gone, back)
        for departure in gone:
            self.tally.moved[departure.kind] += 1
        # Not what was taken a second time: who had it first may only have slept, and be about to deliver it.
        await self.target.forget_arrived(page.mover, arrived)
