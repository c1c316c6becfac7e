"""A clock that stands still until the test sets it."""

from __future__ import annotations

__all__ = ["SECOND", "START", "ManualClock"]

SECOND = 1_000_000_000
#: 2026-11-23T12:00:00Z
START = 1_795_435_200 * SECOND


class ManualClock:
    """``now`` in Unix nanoseconds."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def unix_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / SECOND
