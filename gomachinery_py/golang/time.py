"""Go's ``time.Time`` as JSON carries it, and ``time.Duration`` as text.

Go source: ``time/format_rfc3339.go``, ``time/format.go`` (``Parse`` with RFC 3339), ``time/time.go``
(``UnmarshalJSON``, ``MarshalJSON``, ``Duration.String``).
"""

from __future__ import annotations

import re
import time as _clock
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["ZERO_TIME", "Time", "format_duration", "format_time", "format_unix_ns", "parse_time", "unix_ns"]

_BILLION: Final = 1_000_000_000
_DAY: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAYS: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
# The calendar repeats every 400 years; Go's year 0 is our year 400.
_CYCLE_DAYS: Final = 146_097
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,]([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


class Time(datetime):
    """An aware ``datetime`` that also carries nanoseconds and the exact offset from UTC.

    What ``datetime`` cannot hold (year 0, offsets of 24 hours) is held as well: :attr:`unix_ns` and
    :attr:`offset_seconds` are the truth, the ``datetime`` is then the nearest that there is. Arithmetic is
    ``datetime``'s, to the microsecond; comparisons are exact.
    """

    __slots__ = ("_text", "offset_seconds", "unix_ns")

    unix_ns: int
    """Nanoseconds since 1970-01-01T00:00:00Z, of any size."""
    offset_seconds: int
    """East of UTC."""
    _text: str | None

    @classmethod
    def from_unix_ns(cls, ns: int, offset: int = 0) -> Time:
        """A moment by its nanoseconds since 1970, shown with an offset in seconds."""
        seconds, fraction = divmod(ns, _BILLION)
        _, year, month, day, hour, minute, second = _wall_clock(seconds + offset)
        zone = _zone(offset) if offset else UTC
        made = datetime.__new__(cls, year, month, day, hour, minute, second, fraction // 1000, zone)
        made.unix_ns = ns
        made.offset_seconds = offset
        made._text = None
        return made

    def __new__(cls, *args: Any, **kwargs: Any) -> Time:
        """As ``datetime``; a time without a zone is UTC."""
        return cls._of(datetime(*args, **kwargs))

    @classmethod
    def _of(cls, plain: datetime) -> Time:
        if plain.tzinfo is None:
            plain = plain.replace(tzinfo=UTC)
        return cls.from_unix_ns(unix_ns(plain), _offset(plain))

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Time:
        """This moment to the nanosecond, in UTC unless a zone is given."""
        ns = _clock.time_ns()
        return cls.from_unix_ns(ns, _offset(datetime.fromtimestamp(ns // _BILLION, tz)) if tz else 0)

    def replace(self, *args: Any, **kwargs: Any) -> Time:
        """As ``datetime.replace``; keeps whole microseconds."""
        plain = datetime.combine(self.date(), self.timetz())
        return self._of(plain.replace(*args, **kwargs))

    @property
    def nanosecond(self) -> int:
        """0 to 999,999,999."""
        return self.unix_ns % _BILLION

    def __eq__(self, other: object) -> bool:
        if isinstance(other, datetime):
            return other.tzinfo is not None and self.unix_ns == unix_ns(other)
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        # Equal moments have equal hashes, whatever their offsets, and also as a plain datetime.
        return datetime.__hash__(self if self.offset_seconds == 0 else Time.from_unix_ns(self.unix_ns))

    def __lt__(self, other: datetime) -> bool:  # type: ignore[override]
        return self.unix_ns < other.unix_ns if isinstance(other, Time) else super().__lt__(other)

    def __le__(self, other: datetime) -> bool:  # type: ignore[override]
        return self.unix_ns <= other.unix_ns if isinstance(other, Time) else super().__le__(other)

    def __gt__(self, other: datetime) -> bool:  # type: ignore[override]
        return self.unix_ns > other.unix_ns if isinstance(other, Time) else super().__gt__(other)

    def __ge__(self, other: datetime) -> bool:  # type: ignore[override]
        return self.unix_ns >= other.unix_ns if isinstance(other, Time) else super().__ge__(other)

    def __deepcopy__(self, _memo: Any) -> Time:
        return self

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return (Time.from_unix_ns, (self.unix_ns, self.offset_seconds))

    def __repr__(self) -> str:
        try:
            return f"Time({format_time(self)!r})"
        except ValueError:
            return f"Time.from_unix_ns({self.unix_ns}, {self.offset_seconds})"


class _WallClock(NamedTuple):
    text: str | None
    """As RFC 3339 begins; None where it has no such year."""
    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int


# Tasks of the same second are many.
@lru_cache(1024)
def _wall_clock(local_seconds: int) -> _WallClock:
    """What a clock shows that was at zero at the start of 1970; the nearest that ``datetime`` can hold."""
    days, second = divmod(local_seconds, _DAY)
    hour, minute, second = second // 3600, second // 60 % 60, second % 60
    ordinal = days + _EPOCH_DAYS
    shown = None
    if -366 < ordinal <= date.max.toordinal():
        day = date.fromordinal(ordinal if ordinal > 0 else ordinal + _CYCLE_DAYS)
        year = day.year if ordinal > 0 else 0
        shown = f"{year:04}-{day.month:02}-{day.day:02}T{hour:02}:{minute:02}:{second:02}"
    day = date.fromordinal(max(1, min(date.max.toordinal(), ordinal)))
    return _WallClock(shown, day.year, day.month, day.day, hour, minute, second)


def _zone(offset: int) -> timezone:
    return timezone(timedelta(seconds=max(1 - _DAY, min(_DAY - 1, offset))))


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError(f"{moment} has no time zone; give it one, for instance tzinfo=timezone.utc")
    return offset.days * _DAY + offset.seconds


def unix_ns(moment: datetime) -> int:
    """Nanoseconds since 1970 of an aware ``datetime`` (Go: ``Time.UnixNano``, of any size). Raises ValueError."""
    if isinstance(moment, Time):
        return moment.unix_ns
    if moment.utcoffset() is None:
        _offset(moment)
    return (moment - _EPOCH) // _MICROSECOND * 1000


def format_time(moment: datetime) -> str:
    """RFC 3339 as Go writes it (``MarshalJSON``). Raises ValueError with Go's text."""
    if isinstance(moment, Time):
        if moment._text is None:
            moment._text = _format(moment.unix_ns, moment.offset_seconds)
        return moment._text
    return _format(unix_ns(moment), _offset(moment))


def format_unix_ns(ns: int) -> str:
    """:func:`format_time` of a moment in UTC by its nanoseconds since 1970. Raises ValueError with Go's text."""
    return _format(ns, 0)


def _format(ns: int, offset: int) -> str:
    seconds, fraction = divmod(ns, _BILLION)
    text = _wall_clock(seconds + offset).text
    if text is None:
        raise ValueError("year outside of range [0,9999]")
    if fraction:
        text = f"{text}.{fraction:09}".rstrip("0")
    if offset == 0:
        return f"{text}Z"
    # Go drops what is left of the offset beyond whole minutes.
    hours, minutes = divmod(abs(offset) // 60, 60)
    if hours > 23:
        raise ValueError("timezone hour outside of range [0,23]")
    return f"{text}{'-' if offset <= -60 else '+'}{hours:02}:{minutes:02}"


def parse_time(text: str) -> Time:
    """RFC 3339 as Go reads it (``UnmarshalJSON``, which takes more than it writes). Raises ValueError."""
    if text[-1:] == "Z" and text[19:20] == "." and (digits := text[20:-1]).isdecimal() and digits.isascii():
        try:
            seconds = _seconds(text[:19])
        except ValueError:
            return _parse(text)
        made = Time.from_unix_ns(seconds * _BILLION + int(digits[:9].ljust(9, "0")))
        if len(digits) < 10 and digits[-1] != "0":
            made._text = text
        return made
    return _parse(text)


@lru_cache(1024)
def _seconds(text: str) -> int:
    """Unix seconds of ``2006-01-02T15:04:05`` in UTC, written just so. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.isoformat() != text:
        raise ValueError(text)
    return (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def _parse(text: str) -> Time:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a time as in 2006-01-02T15:04:05Z")
    year, month, day, hour, minute, second = (int(match[part]) for part in range(1, 7))
    offset = 0
    if match[8]:
        zone_hour, zone_minute = int(match[9]), int(match[10])
        if zone_hour > 24 or zone_minute > 60:
            raise ValueError(f"the offset of {text[:40]!r} is out of range")
        offset = (zone_hour * 60 + zone_minute) * 60 * (-1 if match[8] == "-" else 1)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"the time of day of {text[:40]!r} is out of range")
    try:
        ordinal = date(year, month, day).toordinal() if year else date(400, month, day).toordinal() - _CYCLE_DAYS
    except ValueError:
        raise ValueError(f"the date of {text[:40]!r} is out of range") from None
    fraction = int((match[7] or "0")[:9].ljust(9, "0"))
    seconds = (ordinal - _EPOCH_DAYS) * _DAY + hour * 3600 + minute * 60 + second - offset
    return Time.from_unix_ns(seconds * _BILLION + fraction, offset)


ZERO_TIME: Final = Time.from_unix_ns((1 - _EPOCH_DAYS) * _DAY * _BILLION)
"""Go's zero ``time.Time``: 0001-01-01T00:00:00Z."""


def format_duration(ns: int) -> str:
    """A duration as Go prints it: ``1h2m3.5s``, ``100ms``, ``0s`` (Go: ``Duration.String``)."""
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns < _BILLION:
        for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
            if ns < size * 1000:
                return f"{sign}{_decimal(ns, size)}{unit}"
    minutes, rest = divmod(ns, 60 * _BILLION)
    text = f"{_decimal(rest, _BILLION)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}." + str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
