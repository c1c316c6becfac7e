"""Cron specs exactly as ``cron.ParseStandard`` of robfig/cron v3 reads and follows them.

Machinery's periodic tasks are scheduled by that library, so a Python scheduler next to a Go one has to name the same
moments, its habits around clock changes included. Whoever runs periodic tasks drives this; nothing here sleeps.

Go source: robfig/cron v3.0.1 ``parser.go``, ``spec.go``, ``constantdelay.go``; ``time.Date`` and ``Time.AddDate`` of
Go's ``time``.

One deviation: where a zone skipped a whole day (Pacific/Apia, 2011-12-30), Go's search for a day never ends; ours goes
on with the next day that there was.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from gomachinery_py.errors import MachineryError
from gomachinery_py.golang.duration import parse_duration
from gomachinery_py.golang.location import load_location, local_zone
from gomachinery_py.golang.strconv import NumError, parse_int
from gomachinery_py.golang.time import Time, unix_ns

__all__ = ["ConstantDelaySchedule", "Schedule", "ScheduleError", "SpecSchedule", "local_zone", "parse"]

_BILLION: Final = 1_000_000_000
_DAY: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAYS: Final = date(1970, 1, 1).toordinal()
# The calendar repeats every 400 years, weekdays included: a search near the ends of datetime is moved inside.
_CYCLE: Final = 146_097 * _DAY
_LOWEST: Final = (date(2, 1, 1).toordinal() - _EPOCH_DAYS) * _DAY
_HIGHEST: Final = (date(9980, 1, 1).toordinal() - _EPOCH_DAYS) * _DAY
_END: Final = (date.max.toordinal() + 1 - _EPOCH_DAYS) * _DAY
_YEARS_SEARCHED: Final = 5

_STAR: Final = 1 << 63
"""Set in a field that was given as ``*`` or ``?`` (Go: ``starBit``)."""
# unicode.IsSpace; str.split() would also split at the separators U+001C to U+001F.
_SPACES: Final = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_FIELD: Final = re.compile(f"[^{_SPACES}]+")
_TRIM: Final = re.compile(f"^[{_SPACES}]+|[{_SPACES}]+$")

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b"})


class _Bounds(NamedTuple):
    """Lowest and highest value of a field and its names (Go: ``bounds``)."""

    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def all(self) -> int:
        """Go: ``all``."""
        return _bits(self.low, self.high, 1) | _STAR


_MINUTES: Final = _Bounds(0, 59)
_HOURS: Final = _Bounds(0, 23)
_DAYS: Final = _Bounds(1, 31)
_MONTHS: Final = _Bounds(1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
_WEEKDAYS: Final = _Bounds(0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))


class ScheduleError(MachineryError, ValueError):
    """A cron spec that Go's scheduler refuses as well; ``reason`` is Go's text, ``spec`` the spec."""

    def __init__(self, spec: str, reason: str) -> None:
        super().__init__(f"cron spec {spec!r}: {reason}")
        self.spec = spec
        self.reason = reason


class _RefusedError(Exception):
    """Go's reason why a part of a spec is refused; ``parse`` adds the spec."""


class Schedule(ABC):
    """When a periodic task is due (Go: ``cron.Schedule``)."""

    @abstractmethod
    def next(self, after: datetime) -> datetime | None:
        """The first moment due later than ``after``, on a whole second.

        Args:
            after: an aware ``datetime``, or a ``Time``, whose nanoseconds count.

        Returns:
            The moment in the zone of ``after``, a ``Time`` for a ``Time``. None where Go has the zero time, which is
            when five years pass without a match, and after the year 9999.

        Raises:
            ValueError: ``after`` has no time zone.
        """


@dataclass(frozen=True, slots=True)
class ConstantDelaySchedule(Schedule):
    """``@every``: a whole number of seconds apart, on the second (Go: ``ConstantDelaySchedule``)."""

    seconds: int

    def next(self, after: datetime) -> datetime | None:
        """Go: ``ConstantDelaySchedule.Next``."""
        return _shown(unix_ns(after) // _BILLION + self.seconds, after)


@dataclass(frozen=True, slots=True)
class SpecSchedule(Schedule):
    """Five fields as bit sets, and the zone that they are read in (Go: ``SpecSchedule``; its second is always 0)."""

    minute: int
    hour: int
    day: int
    month: int
    weekday: int
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        """Go: ``SpecSchedule.Next``."""
        if not (self.minute and self.hour and self.month):
            return None  # a field of commas only; Go counts the minutes of five years to say the same
        start = unix_ns(after) // _BILLION + 1
        cycles = (start - _LOWEST) // _CYCLE if start < _LOWEST else max(0, (start - _HIGHEST) // _CYCLE + 1)
        cursor = _Cursor(start - cycles * _CYCLE, self.zone)
        year_limit = cursor.wall.year + _YEARS_SEARCHED
        while cursor.wall.year <= year_limit:
            if (
                self._seek_month(cursor)
                and self._seek_day(cursor)
                and self._seek_hour(cursor)
                and self._seek_minute(cursor)
                and self._seek_second(cursor)
            ):
                return _shown(cursor.seconds + cycles * _CYCLE, after)
        return None

    # The steps of Next. Each is False when its field wrapped around, so that those before it have to be looked at
    # again; without a wrap they are not, even if a clock change has moved them. That is how Go behaves there.

    def _seek_month(self, cursor: _Cursor) -> bool:
        while not self.month >> cursor.wall.month & 1:
            cursor.reset(day=1, hour=0)
            cursor.add_date(months=1)
            if cursor.wall.month == 1:
                return False
        return True

    def _seek_day(self, cursor: _Cursor) -> bool:
        while not self._day_matches(cursor.wall):
            cursor.reset(hour=0)
            before = cursor.seconds
            cursor.add_date(days=1)
            if cursor.seconds <= before:
                cursor.move(before + _DAY)  # the deviation: the zone has no such day, Go would stay here for good
            hour = cursor.wall.hour
            if hour:  # midnight was skipped or repeated
                cursor.move(cursor.seconds + (24 - hour if hour > 12 else -hour) * 3600)
            if cursor.wall.day == 1:
                return False
        return True

    def _seek_hour(self, cursor: _Cursor) -> bool:
        while not self.hour >> cursor.wall.hour & 1:
            cursor.reset()
            cursor.move(cursor.seconds + 3600)
            if cursor.wall.hour == 0:
                return False
        return True

    def _seek_minute(self, cursor: _Cursor) -> bool:
        while not self.minute >> cursor.wall.minute & 1:
            if not cursor.added:
                cursor.added = True
                cursor.seconds -= cursor.seconds % 60
            cursor.move(cursor.seconds + 60)
            if cursor.wall.minute == 0:
                return False
        return True

    def _seek_second(self, cursor: _Cursor) -> bool:
        while cursor.wall.second:
            cursor.added = True
            cursor.move(cursor.seconds + 1)
            if cursor.wall.second == 0:
                return False
        return True

    def _day_matches(self, wall: datetime) -> bool:
        """Both days count if one of them was a star, else either does (Go: ``dayMatches``)."""
        day = bool(self.day >> wall.day & 1)
        weekday = bool(self.weekday >> wall.isoweekday() % 7 & 1)
        return (day and weekday) if (self.day | self.weekday) & _STAR else (day or weekday)


class _Cursor:
    """The moment that a search has come to: seconds since 1970, and what the clocks of the zone show then."""

    __slots__ = ("added", "seconds", "wall", "zone")

    def __init__(self, seconds: int, zone: tzinfo) -> None:
        self.zone = zone
        self.added = False
        self.move(seconds)

    def move(self, seconds: int) -> None:
        self.seconds = seconds
        self.wall = _wall(seconds, self.zone)

    def reset(self, day: int | None = None, hour: int | None = None) -> None:
        """Before the first increment, and only then, drop what is smaller than the field that is incremented."""
        if not self.added:
            self.added = True
            wall = self.wall
            day, hour = wall.day if day is None else day, wall.hour if hour is None else hour
            self.move(_date(wall.year, wall.month, day, hour, self.zone))

    def add_date(self, *, months: int = 0, days: int = 0) -> None:
        """Go: ``Time.AddDate``."""
        wall = self.wall
        year, month = divmod(wall.year * 12 + wall.month - 1 + months, 12)
        self.move(_date(year, month + 1, wall.day + days, wall.hour, self.zone, wall.minute * 60 + wall.second))


def _wall(seconds: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(seconds=seconds)).astimezone(zone)


def _offset(seconds: int, zone: tzinfo) -> int:
    offset = _wall(seconds, zone).utcoffset() or timedelta()
    return offset.days * _DAY + offset.seconds


def _date(year: int, month: int, day: int, hour: int, zone: tzinfo, second: int = 0) -> int:
    """Seconds since 1970 of a time on the wall, which a clock change may skip or repeat (Go: ``time.Date``)."""
    local = (date(year, month, 1).toordinal() + day - 1 - _EPOCH_DAYS) * _DAY + hour * 3600 + second
    return local - _offset(local - _offset(local, zone), zone)


def _shown(seconds: int, like: datetime) -> datetime | None:
    """A moment in the zone of another, None if it is beyond the year 9999 (Go: ``Time.In``)."""
    if isinstance(like, Time):
        offset = like.offset_seconds
        return Time.from_unix_ns(seconds * _BILLION, offset) if seconds + offset < _END else None
    try:
        return (_EPOCH + timedelta(seconds=seconds)).astimezone(like.tzinfo)
    except OverflowError:
        return None


def parse(spec: str, *, local: tzinfo | None = None) -> Schedule:
    """The schedule that a spec means (Go: ``cron.ParseStandard``, ``Parser.Parse``).

    Args:
        spec: five fields (minute, hour, day of month, month, day of week) of lists, ranges, steps, names, ``*`` and
            ``?``; or ``@yearly``, ``@annually``, ``@monthly``, ``@weekly``, ``@daily``, ``@midnight``, ``@hourly``,
            ``@every 1h30m``. Each may stand after ``TZ=Zone/Name`` or ``CRON_TZ=Zone/Name`` and a space.
        local: the zone of a spec that names none; by default the machine's, as a Go process there finds it.

    Raises:
        ScheduleError: Go refuses the spec too, or would panic.
    """
    try:
        return _parse(spec, local)
    except _RefusedError as refused:
        raise ScheduleError(spec, str(refused)) from None


def _parse(spec: str, local: tzinfo | None) -> Schedule:
    if not spec:
        raise _RefusedError("empty spec string")
    if spec.startswith(("TZ=", "CRON_TZ=")):
        name, space, spec = spec.partition("=")[2].partition(" ")
        if not space:
            raise _RefusedError("the time zone is not followed by a space and a schedule")  # Go panics
        try:
            zone = load_location(name, local)
        except ValueError as refused:
            raise _RefusedError(f"provided bad location {name}: {refused}") from None
        spec = _TRIM.sub("", spec)
    else:
        zone = local_zone() if local is None else local
    if spec.startswith("@"):
        return _descriptor(spec, zone)
    fields = _FIELD.findall(spec)
    if len(fields) != 5:
        raise _RefusedError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minute, hour, day, month, weekday = map(_field, fields, (_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS))
    return SpecSchedule(minute, hour, day, month, weekday, zone)


def _descriptor(text: str, zone: tzinfo) -> Schedule:
    """``@hourly`` and its like (Go: ``parseDescriptor``)."""
    match text:
        case "@yearly" | "@annually":
            return SpecSchedule(1, 1, 1 << 1, 1 << 1, _WEEKDAYS.all, zone)
        case "@monthly":
            return SpecSchedule(1, 1, 1 << 1, _MONTHS.all, _WEEKDAYS.all, zone)
        case "@weekly":
            return SpecSchedule(1, 1, _DAYS.all, _MONTHS.all, 1, zone)
        case "@daily" | "@midnight":
            return SpecSchedule(1, 1, _DAYS.all, _MONTHS.all, _WEEKDAYS.all, zone)
        case "@hourly":
            return SpecSchedule(1, _HOURS.all, _DAYS.all, _MONTHS.all, _WEEKDAYS.all, zone)
    if text.startswith("@every "):
        try:
            duration = parse_duration(text.removeprefix("@every "))
        except ValueError as refused:
            raise _RefusedError(f"failed to parse duration {text}: {refused}") from None
        return ConstantDelaySchedule(max(1, duration // _BILLION))  # Go: Every
    raise _RefusedError(f"unrecognized descriptor: {text}")


def _field(text: str, bounds: _Bounds) -> int:
    """The bits of a list of ranges; commas alone are none (Go: ``getField``)."""
    bits = 0
    for part in filter(None, text.split(",")):
        bits |= _range(part, bounds)
    return bits


def _range(text: str, bounds: _Bounds) -> int:
    """The bits of ``number | number "-" number [ "/" number ]`` (Go: ``getRange``)."""
    (span, *steps) = text.split("/")
    (first, *rest) = span.split("-")
    star = 0
    if first in ("*", "?"):
        start, end, star = bounds.low, bounds.high, _STAR  # Go does not look at what follows a hyphen here
    else:
        start = end = _number_or_name(first, bounds)
        if len(rest) == 1:
            end = _number_or_name(rest[0], bounds)
        elif rest:
            raise _RefusedError(f"too many hyphens: {text}")
    step = 1
    if len(steps) == 1:
        step = _number(steps[0])
        if not rest:
            end = bounds.high
        if step > 1:
            star = 0
    elif steps:
        raise _RefusedError(f"too many slashes: {text}")
    if start < bounds.low:
        raise _RefusedError(f"beginning of range ({start}) below minimum ({bounds.low}): {text}")
    if end > bounds.high:
        raise _RefusedError(f"end of range ({end}) above maximum ({bounds.high}): {text}")
    if start > end:
        raise _RefusedError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise _RefusedError(f"step of range should be a positive number: {text}")
    return _bits(start, end, step) | star


def _bits(low: int, high: int, step: int) -> int:
    """Go: ``getBits``."""
    return sum(1 << bit for bit in range(low, high + 1, step))


def _number_or_name(text: str, bounds: _Bounds) -> int:
    """Go: ``parseIntOrName``."""
    # Go lowers U+0130 to a plain i, Python to an i and a dot.
    name = text.replace("\u0130", "i").lower()
    return bounds.low + bounds.names.index(name) if name in bounds.names else _number(text)


def _number(text: str) -> int:
    """Go: ``mustParseInt``."""
    try:
        number = parse_int(text)
    except NumError as error:
        reason = str(error).rpartition(": ")[2]
        shown = "".join(map(_printable, text.translate(_ESCAPES)))
        raise _RefusedError(f'failed to parse int from {text}: strconv.Atoi: parsing "{shown}": {reason}') from None
    if number < 0:
        raise _RefusedError(f"negative number ({number}) not allowed: {text}")
    return number


def _printable(character: str) -> str:
    """Go: ``appendEscapedRune`` of ``strconv/quote.go``."""
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
