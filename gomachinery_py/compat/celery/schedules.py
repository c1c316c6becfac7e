"""Celery's schedules as Machinery's cron specs.

Celery's times are UTC unless ``timezone`` says otherwise, Machinery's are local; so a ``crontab`` gets its zone in
front.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.schedule import parse

__all__ = ["crontab", "schedule", "spec_of"]

Field = int | str | Iterable[int]

_NAME: Final = re.compile(r"[A-Za-z]+")


class crontab:  # noqa: N801
    """``crontab(minute=30, hour="7,19", day_of_week="mon-fri")``."""

    def __init__(
        self,
        minute: Field = "*",
        hour: Field = "*",
        day_of_week: Field = "*",
        day_of_month: Field = "*",
        month_of_year: Field = "*",
        **refused: Any,
    ) -> None:
        for name in refused:
            raise CeleryDifference(f"crontab has no {name} here")
        self.fields = [_field(field) for field in (minute, hour, day_of_month, month_of_year, day_of_week)]

    def __repr__(self) -> str:
        return f"<crontab: {' '.join(self.fields)} (m/h/dM/MY/d)>"

    def spec(self, timezone: str) -> str:
        """As Machinery's scheduler reads it. Raises CeleryDifference where it would mean other days."""
        _, _, day_of_month, _, day_of_week = self.fields
        if not _is_open(day_of_month) and not _is_open(day_of_week):
            raise CeleryDifference(
                f"{self!r}: Celery runs it on days that fit both day_of_month and day_of_week, Machinery's cron on "
                "days that fit one of them. Give one, and look at the other inside the task"
            )
        return f"CRON_TZ={timezone} {' '.join(self.fields)}"


def _field(field: Field) -> str:
    """The same for Machinery, where days and months have three letters; Celery looks at no more of them."""
    parts = str(field).split(",") if isinstance(field, int | str) else map(str, sorted(field))
    return _NAME.sub(lambda name: name[0][:3], ",".join(part.strip() for part in parts))


def _is_open(field: str) -> bool:
    """Whether Machinery's cron looks for days that fit this field and the other (robfig/cron: ``starBit``)."""
    return not {"*", "*/1"}.isdisjoint(field.split(","))


class schedule:  # noqa: N801
    """``schedule(run_every=timedelta(minutes=5))``."""

    def __init__(self, run_every: float | timedelta, relative: bool = False) -> None:
        if relative:
            raise CeleryDifference("schedule(relative=True) cannot be followed; write a crontab")
        self.run_every = run_every if isinstance(run_every, timedelta) else timedelta(seconds=run_every)

    def __repr__(self) -> str:
        return f"<schedule: every {self.run_every.total_seconds():g} s>"


def spec_of(when: Any, timezone: str) -> str:
    """The spec of what a ``beat_schedule`` says. Raises CeleryDifference, TypeError or ScheduleError."""
    if isinstance(when, crontab):
        spec = when.spec(timezone)
        parse(spec)
        return spec
    if isinstance(when, schedule):
        when = when.run_every
    if isinstance(when, int | float) and not isinstance(when, bool):
        when = timedelta(seconds=when)
    if not isinstance(when, timedelta):
        raise TypeError(f"a schedule is seconds, a timedelta, schedule(…) or crontab(…), not {type(when).__name__}")
    seconds, rest = divmod(when, timedelta(seconds=1))
    if rest or seconds < 1:
        raise CeleryDifference(
            f"every {when.total_seconds():g} s cannot be followed: Machinery's scheduler counts seconds"
        )
    return f"@every {seconds}s"
