"""What one worker holds of one Pub/Sub subscription: messages that run, and messages that wait for their ETA."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Final

from gomachinery_py.brokers.base import Delivery

__all__ = ["LEAST_ACK_DEADLINE", "Held", "Holding"]

LEAST_ACK_DEADLINE: Final = 10
"""Seconds; no subscription has a shorter one."""
# What waits for its time is kept here so long as it is not too much.
_MOST_PARKED: Final = 1_000
_MOST_PARKED_BYTES: Final = 64 << 20
_FOREVER_NS: Final = 1 << 62


@dataclass(slots=True, eq=False)
class Held:
    """A message's lease. ``until`` is by the monotonic clock; ``attempt`` is 0 where Pub/Sub does not count."""

    subscription: str
    ack_id: str
    message_id: str
    until: float
    attempt: int


class Holding:
    """Used by the thread that takes messages, the one that ends them and the heartbeat; each step is one of a dict.

    The heap of what waits is that of the taking thread alone.
    """

    def __init__(self, subscription: str) -> None:
        self.subscription = subscription
        #: Seconds that a message is ours for when it comes, by the subscription when that was asked.
        self.first_seconds = LEAST_ACK_DEADLINE
        self.known = False
        self.held: dict[str, Held] = {}
        self._parked: list[tuple[int, int, Delivery]] = []
        self._parked_bytes = 0
        self._order = itertools.count()

    def park(self, eta_ns: int, delivery: Delivery) -> bool:
        """Keep it until its time; False when there is too much already."""
        if len(self._parked) >= _MOST_PARKED or self._parked_bytes + len(delivery.body) > _MOST_PARKED_BYTES:
            return False
        heapq.heappush(self._parked, (eta_ns, next(self._order), delivery))
        self._parked_bytes += len(delivery.body)
        return True

    def due(self, now_ns: int, limit: int) -> list[Delivery]:
        """Those whose time has come, the earliest first."""
        due: list[Delivery] = []
        while len(due) < limit and self._parked and self._parked[0][0] <= now_ns:
            due.append(heapq.heappop(self._parked)[2])
            self._parked_bytes -= len(due[-1].body)
        return due

    def next_due_ns(self, now_ns: int) -> int:
        """Nanoseconds until the next one's time."""
        return max(0, self._parked[0][0] - now_ns) if self._parked else _FOREVER_NS

    def unpark(self) -> list[Delivery]:
        """All of them, to be given back."""
        parked = [delivery for _, _, delivery in self._parked]
        self._parked.clear()
        self._parked_bytes = 0
        return parked
