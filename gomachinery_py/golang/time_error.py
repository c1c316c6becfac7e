"""What Go says of a text that is no RFC 3339 time.

Go source: ``time/format.go`` (``parse``, ``ParseError``, ``quote``) with the layout ``time.RFC3339``.
"""

from __future__ import annotations

import calendar
import re
from typing import Final, NamedTuple

__all__ = ["time_error"]

_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"


class _Element(NamedTuple):
    prefix: bytes
    layout: str
    pattern: re.Pattern[bytes]
    """Where it matches, the digits are group 1."""
    name: str
    """What is out of range, in Go's words; empty where nothing can be."""
    low: int
    high: int


_ELEMENTS: Final = (
    _Element(b"", "2006", re.compile(rb"([0-9]{4})"), "", 0, 9999),
    _Element(b"-", "01", re.compile(rb"([0-9]{2})"), "month", 1, 12),
    _Element(b"-", "02", re.compile(rb"([0-9]{2})"), "", 0, 99),
    _Element(b"T", "15", re.compile(rb"([0-9]{1,2})"), "hour", 0, 23),
    _Element(b":", "04", re.compile(rb"([0-9]{2})"), "minute", 0, 59),
    _Element(b":", "05", re.compile(rb"([0-9]{2})"), "second", 0, 59),
)
_FRACTION: Final = re.compile(rb"[.,][0-9]+")
_TWO_DIGITS: Final = re.compile(rb"[0-9]{2}")


def time_error(text: bytes) -> str:
    """The text of ``time.Parse``'s error for what it refuses (``parse_time`` takes what it takes); else ""."""
    rest = text
    numbers: list[int] = []
    for element in _ELEMENTS:
        if not rest.startswith(element.prefix):
            return _cannot(text, rest, element.prefix.decode())
        rest = rest[len(element.prefix) :]
        match = element.pattern.match(rest)
        if match is None:
            return _cannot(text, rest, element.layout)
        numbers.append(int(match[1]))
        beyond = not element.low <= numbers[-1] <= element.high
        rest = rest[match.end() :]
        if beyond and element.name:
            return _out_of_range(text, element.name)
    fraction = _FRACTION.match(rest)
    return _zone_error(text, rest[fraction.end() :] if fraction else rest) or _day_error(text, *numbers[:3])


def _zone_error(text: bytes, rest: bytes) -> str:
    if rest[:1] == b"Z":
        return _extra(text, rest[1:])
    if len(rest) < 6 or rest[3:4] != b":":
        return _cannot(text, rest, "Z07:00")
    hour = _TWO_DIGITS.fullmatch(rest[1:3])
    minute = _TWO_DIGITS.fullmatch(rest[4:6]) if hour else None
    # Go looks at the range of what could be read first, and at the later of two.
    if minute is not None and int(minute[0]) > 60:
        return _out_of_range(text, "time zone offset minute")
    if hour is not None and int(hour[0]) > 24:
        return _out_of_range(text, "time zone offset hour")
    if hour is None or minute is None or rest[:1] not in (b"+", b"-"):
        return _cannot(text, rest, "Z07:00")
    return _extra(text, rest[6:])


def _extra(text: bytes, rest: bytes) -> str:
    return f"parsing time {_quoted(text)}: extra text: {_quoted(rest)}" if rest else ""


def _day_error(text: bytes, year: int, month: int, day: int) -> str:
    # The calendar repeats every 400 years, and Python has no year 0.
    days = calendar.monthrange(year or 400, month)[1]
    return "" if 1 <= day <= days else _out_of_range(text, "day")


def _out_of_range(text: bytes, what: str) -> str:
    return f"parsing time {_quoted(text)}: {what} out of range"


def _cannot(text: bytes, rest: bytes, element: str) -> str:
    layout = _quoted(_LAYOUT.encode())
    return f"parsing time {_quoted(text)} as {layout}: cannot parse {_quoted(rest)} as {_quoted(element.encode())}"


def _quoted(text: bytes) -> str:
    """Go: ``time.quote``: each byte beyond ASCII by its number."""
    shown = []
    for byte in text:
        if byte >= 0x80 or byte < 0x20:
            shown.append(f"\\x{byte:02x}")
        else:
            shown.append(f"\\{chr(byte)}" if byte in b'"\\' else chr(byte))
    return f'"{"".join(shown)}"'
