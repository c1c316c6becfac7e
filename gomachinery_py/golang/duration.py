"""Durations as Go's ``time.ParseDuration`` reads them.

Go source: ``ParseDuration``, ``leadingInt``, ``leadingFraction``, ``quote`` in ``time/format.go``.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_duration"]

_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_SECOND: Final = 1_000_000_000
_NS_OF_UNIT: Final = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6, "s": _SECOND}
_UNITS: Final = {**_NS_OF_UNIT, "m": 60 * _SECOND, "h": 3600 * _SECOND}


def parse_duration(text: str) -> int:
    """Nanoseconds of ``1h30m``, ``-1.5s``. Raises ValueError with Go's text."""
    invalid = ValueError(f"time: invalid duration {_quoted(text)}")
    rest = text[1:] if text.startswith(("-", "+")) else text
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0
    while rest:
        part = _PART.match(rest)
        if part is None or not (part[1] or part[2]):
            raise invalid
        whole, fraction, unit_name = int(part[1][-40:] or "0"), part[2] or "", part[3]
        rest = rest[part.end() :]
        if part[1].lstrip("0")[:-40] or whole > 1 << 63:
            raise invalid
        if not unit_name:
            raise ValueError(f"time: missing unit in duration {_quoted(text)}")
        unit = _UNITS.get(unit_name)
        if unit is None:
            raise ValueError(f"time: unknown unit {_quoted(unit_name)} in duration {_quoted(text)}")
        value = whole * unit + _fraction_ns(fraction, unit)
        total = (total + value) % (1 << 64)
        if whole * unit > 1 << 63 or value > 1 << 63 or total > 1 << 63:
            raise invalid
    if text.startswith("-"):
        return -total
    if total == 1 << 63:
        raise invalid
    return total


def _fraction_ns(digits: str, unit: int) -> int:
    """The part after the point, in Go's floating point (Go: ``leadingFraction``)."""
    number, scale = 0, 1.0
    for digit in digits:
        longer = number * 10 + int(digit)
        if number > ((1 << 63) - 1) // 10 or longer > 1 << 63:
            break
        number, scale = longer, scale * 10
    return int(number * (unit / scale))


def _quoted(text: str) -> str:
    """Go: ``quote`` of ``time/format.go``."""
    data = text.replace("\\", "\\\\").replace('"', '\\"').encode(errors="surrogatepass")
    return '"' + "".join(chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}" for byte in data) + '"'
