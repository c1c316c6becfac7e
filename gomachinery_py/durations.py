"""Times that callers give: seconds, or a ``timedelta``."""

from __future__ import annotations

import math
from datetime import timedelta

from gomachinery_py.arguments import need

__all__ = ["nanoseconds", "seconds"]


def nanoseconds(duration: float | timedelta, where: str) -> int:
    """A duration in nanoseconds. Raises TypeError for what is no time, ValueError for one without end."""
    if isinstance(duration, timedelta):
        return duration // timedelta(microseconds=1) * 1000
    need(duration, int | float, where, "seconds or a timedelta")
    if isinstance(duration, int):
        return duration * 1_000_000_000
    exact = duration * 1_000_000_000
    if not math.isfinite(exact):
        raise ValueError(f"{where} must be a number of seconds, not {duration}")
    return round(exact)


def seconds(duration: float | timedelta, where: str) -> float:
    """A duration in seconds, also one without end. Raises TypeError for what is no time, ValueError for NaN."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    need(duration, int | float, where, "seconds or a timedelta")
    if math.isnan(duration):
        raise ValueError(f"{where} must be a number of seconds, not nan")
    return duration
