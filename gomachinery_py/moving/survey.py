"""A move that is only thought through: what would go, and what would stay and why. Nothing is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DELAYED, PENDING, Departure
from gomachinery_py.moving.address import Refused, belongs
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import Target

__all__ = ["survey", "walk"]

_PAGE = 100
# Who looks at messages in RabbitMQ gets all that lie before them each time, so they are read in one go.
MOST_READ = 10_000


async def walk(
    source: Broker, queue: str, kinds: Sequence[str], seen: Callable[[Departure], None], *, all_delayed: bool = False
) -> int | None:
    """Show every task that waits; how many more there are that could not be looked at, None where nobody can."""
    if not source.holds_departures:
        return await _read_through(source, queue, seen)
    for kind in kinds:
        start = 0
        while looked := await source.look(queue, kind, start, _PAGE):
            start += len(looked)
            for departure in looked:
                if kind != DELAYED or all_delayed or belongs(departure.body, source, queue):
                    seen(departure)
    return 0


async def _read_through(source: Broker, queue: str, seen: Callable[[Departure], None]) -> int | None:
    infos = await source.queues([queue])
    waiting = (infos[0].waiting or 0) if infos else 0
    try:
        bodies = await source.pending(queue, 0, min(waiting, MOST_READ))
    except NotImplementedError:
        return None if waiting else 0
    for body in bodies:
        seen(Departure(PENDING, body))
    return max(0, waiting - len(bodies))


async def survey(
    source: Broker, queue: str, target: Target, kinds: Sequence[str], *, all_delayed: bool = False
) -> tuple[Tally, int | None]:
    """What a move would do, and how many tasks could not be looked at; see :func:`walk`."""
    tally = Tally()

    def judge(departure: Departure) -> None:
        try:
            target.judge(departure)
        except Refused as refused:
            tally.note_left(refused)
        else:
            tally.moved[departure.kind] += 1

    return tally, await walk(source, queue, kinds, judge, all_delayed=all_delayed)
