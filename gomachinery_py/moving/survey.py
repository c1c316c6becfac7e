"""A move that is only thought through: what would go, and what would stay and why. Nothing is taken."""

from __future__ import annotations

from collections.abc import Callable

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DELAYED, PENDING, Departure
from gomachinery_py.moving.address import Refused, addressed, belongs
from gomachinery_py.moving.move import Route
from gomachinery_py.moving.tally import Tally

__all__ = ["survey"]

_PAGE = 100
# Who looks at messages in RabbitMQ gets all that lie before them each time, so they are read in one go.
_MOST_READ = 10_000


async def survey(route: Route, told: Callable[[Tally], None] = lambda _tally: None) -> tuple[Tally, bool]:
    """What a move would do, and whether every task could be looked at."""
    tally = Tally()
    source = route.source.broker
    if not source.holds_departures:
        return tally, await _read_through(route, tally)
    for kind in route.kinds:
        start = 0
        while looked := await source.look(route.source.queue, kind, start, _PAGE):
            start += len(looked)
            for departure in looked:
                if kind != DELAYED or route.all_delayed or belongs(departure.body, source, route.source.queue):
                    _judge(route, departure, tally)
            told(tally)
    return tally, True


async def _read_through(route: Route, tally: Tally) -> bool:
    waiting = await _waiting(route.source.broker, route.source.queue)
    try:
        bodies = await route.source.broker.pending(route.source.queue, 0, min(waiting, _MOST_READ))
    except NotImplementedError:
        tally.moved[PENDING] = waiting
        return False
    for body in bodies:
        _judge(route, Departure(PENDING, body), tally)
    tally.moved[PENDING] += max(0, waiting - len(bodies))
    return waiting <= len(bodies)


async def _waiting(broker: Broker, queue: str) -> int:
    infos = await broker.queues([queue])
    return (infos[0].waiting or 0) if infos else 0


def _judge(route: Route, departure: Departure, tally: Tally) -> None:
    keeps_queue = route.all_delayed and departure.kind == DELAYED
    try:
        addressed(departure, route.target.broker, None if keeps_queue else route.target.queue)
    except Refused as refused:
        tally.note_left(refused)
    else:
        tally.moved[departure.kind] += 1
