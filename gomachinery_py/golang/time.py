"""Go's ``time.Time`` as JSON carries it, and ``time.Duration`` as text.

Go source: ``time/format_rfc3339.go``, ``time/format.go`` (``Parse`` with RFC 3339), ``time/time.go``
(``UnmarshalJSON``, ``MarshalJSON``, ``Duration.String``).
"""

from __future__ import annotations

import re
import time as _clock
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

__all__ = ["ZERO_TIME", "Time", "format_duration", "format_time", "parse_time", "unix_ns"]

_EPOCH_DAYS: Final = date(1970, 1, 1).toordinal()
# The calendar repeats every 400 years; Go's year 0 is our year 400.
_CYCLE_DAYS: Final = 146_097
_BILLION: Final = 1_000_000_000
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)


class Time(datetime):
    """An aware ``datetime`` that also carries nanoseconds and the exact offset from UTC.

    What ``datetime`` cannot hold (year 0, offsets of 24 hours) is held as well: :attr:`unix_ns` and
    :attr:`offset_seconds` are the truth, the ``datetime`` is then the nearest that there is.
    """

    __slots__ = ("offset_seconds", "unix_ns")

    unix_ns: int
    """Nanoseconds since 1970-01-01T00:00:00Z, of any size."""
    offset_seconds: int
    """East of UTC."""

    @classmethod
    def from_unix_ns(cls, ns: int, offset: int = 0) -> Time:
        """A moment by its nanoseconds since 1970, shown with an offset in seconds."""
        seconds, fraction = divmod(ns, _BILLION)
        zone = _zone(offset)
        local = seconds + offset
        days, second = divmod(local, 86_400)
        ordinal = days + _EPOCH_DAYS
        if ordinal < 1:
            day = date.min
        elif ordinal > date.max.toordinal():
            day = date.max
        else:
            day = date.fromordinal(ordinal)
        made = super().__new__(
            cls, day.year, day.month, day.day, second // 3600, second // 60 % 60, second % 60, fraction // 1000, zone
        )
        made.unix_ns = ns
        made.offset_seconds = offset
        return made

    def __new__(cls, *args: Any, **kwargs: Any) -> Time:
        """As ``datetime``; a time without a zone is UTC."""
        plain = datetime(*args, **kwargs)
        if plain.tzinfo is None:
            plain = plain.replace(tzinfo=timezone.utc)
        return cls.from_unix_ns(unix_ns(plain), _offset(plain))

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Time:  # noqa: ARG003
        """This moment in UTC, to the nanosecond."""
        return cls.from_unix_ns(_clock.time_ns())

    @property
    def nanosecond(self) -> int:
        """0 to 999,999,999."""
        return self.unix_ns % _BILLION

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Time):
            return self.unix_ns == other.unix_ns
        return super().__eq__(other)

    __hash__ = datetime.__hash__

    def __deepcopy__(self, _memo: Any) -> Time:
        return self

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return (Time.from_unix_ns, (self.unix_ns, self.offset_seconds))

    def __repr__(self) -> str:
        try:
            return f"Time({format_time(self)!r})"
        except ValueError:
            return f"Time.from_unix_ns({self.unix_ns}, {self.offset_seconds})"


def _zone(offset: int) -> timezone:
    if offset == 0:
        return timezone.utc
    bounded = max(-86_399, min(86_399, offset))
    return timezone(timedelta(seconds=bounded))


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError(f"{moment} has no time zone; give it one, for instance tzinfo=timezone.utc")
    return offset.days * 86_400 + offset.seconds


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)


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
        ns, offset = moment.unix_ns, moment.offset_seconds
    else:
        ns, offset = unix_ns(moment), _offset(moment)
    seconds, fraction = divmod(ns, _BILLION)
    # Go drops what is left of the offset beyond whole minutes.
    minutes = int(offset / 60)
    days, second = divmod(seconds + offset, 86_400)
    ordinal = days + _EPOCH_DAYS
    year_shift = 0
    if ordinal < 1:
        ordinal, year_shift = ordinal + _CYCLE_DAYS, -400
    if not 1 <= ordinal <= date.max.toordinal():
        raise ValueError("year outside of range [0,9999]")
    day = date.fromordinal(ordinal)
    year = day.year + year_shift
    if not 0 <= year <= 9999:
        raise ValueError("year outside of range [0,9999]")
    text = f"{year:04}-{day.month:02}-{day.day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    if fraction:
        text += f".{fraction:09}".rstrip("0")
    if offset == 0:
        return text + "Z"
    if abs(minutes) >= 24 * 60:
        raise ValueError("timezone hour outside of range [0,23]")
    sign = "-" if minutes < 0 else "+"
    return f"{text}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def parse_time(text: str) -> Time:
    """RFC 3339 as Go reads it (``UnmarshalJSON``, which takes more than it writes). Raises ValueError."""
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
    seconds = (ordinal - _EPOCH_DAYS) * 86_400 + hour * 3600 + minute * 60 + second - offset
    return Time.from_unix_ns(seconds * _BILLION + fraction, offset)


ZERO_TIME: Final = Time.from_unix_ns((1 - _EPOCH_DAYS) * 86_400 * _BILLION)
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
