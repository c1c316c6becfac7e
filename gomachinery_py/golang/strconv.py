"""Numbers as text, with the texts of Go's errors.

Go source: ``strconv/atoi.go``, ``strconv/atof.go``, and the float encoder of ``encoding/json/encode.go``.
"""

from __future__ import annotations

import re
import struct
from decimal import Decimal
from typing import Final

__all__ = ["NumError", "float32_text", "float64_text", "format_float", "parse_float", "parse_int", "parse_uint"]

_SIGNED: Final = re.compile(r"[+-]?[0-9]+")
_UNSIGNED: Final = re.compile(r"[0-9]+")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# int() refuses thousands of digits; nothing that fits 64 bits is longer than this without leading zeros.
_LONGEST: Final = 40


class NumError(ValueError):
    """Go's ``strconv.NumError``: its text names the function and the literal."""

    def __init__(self, function: str, literal: str, reason: str) -> None:
        super().__init__(f'strconv.{function}: parsing "{literal}": {reason}')


def _bounded(function: str, literal: str, low: int, high: int) -> int:
    digits = literal.lstrip("+-").lstrip("0")
    if len(digits) <= _LONGEST:
        number = int(literal)
        if low <= number <= high:
            return number
    raise NumError(function, literal, "value out of range")


def parse_int(literal: str) -> int:
    """Go: ``strconv.ParseInt(literal, 10, 64)``. Raises NumError."""
    if not _SIGNED.fullmatch(literal):
        raise NumError("ParseInt", literal, "invalid syntax")
    return _bounded("ParseInt", literal, -(1 << 63), (1 << 63) - 1)


def parse_uint(literal: str) -> int:
    """Go: ``strconv.ParseUint(literal, 10, 64)``. Raises NumError."""
    if not _UNSIGNED.fullmatch(literal):
        raise NumError("ParseUint", literal, "invalid syntax")
    return _bounded("ParseUint", literal, 0, (1 << 64) - 1)


def parse_float(literal: str) -> float:
    """Go: ``strconv.ParseFloat(literal, 64)`` of a JSON number. Raises NumError."""
    if not _FLOAT.fullmatch(literal):
        raise NumError("ParseFloat", literal, "invalid syntax")
    number = float(literal)
    if number in (float("inf"), float("-inf")):
        raise NumError("ParseFloat", literal, "value out of range")
    return number


def float64_text(number: float) -> str:
    """A float64 as ``encoding/json`` writes it. Raises ValueError for NaN and infinities, with Go's text."""
    if number != number or number in (float("inf"), float("-inf")):
        shown = "NaN" if number != number else "+Inf" if number > 0 else "-Inf"
        raise ValueError(f"json: unsupported value: {shown}")
    return _json_text(repr(number), abs(number))


def float32_text(number: float) -> str:
    """A float32 as ``encoding/json`` writes it: the fewest digits that mean it among all float32."""
    text = float64_text(number)
    single = struct.unpack("f", struct.pack("f", number))[0]
    for precision in range(9):
        candidate = f"{single:.{precision}e}"
        if struct.unpack("f", struct.pack("f", float(candidate)))[0] == single:
            return _json_text(repr(float(candidate)), abs(single))
    return text


def format_float(number: float) -> str:
    """The literal that stands for a float in JSON."""
    return float64_text(number)


def _json_text(shortest: str, size: float) -> str:
    """Python's shortest digits in Go's form: no ``.0``, an exponent only below 1e-6 and from 1e21."""
    if size == 0:
        return "-0" if shortest.startswith("-") else "0"
    if 1e-6 <= size < 1e21:
        if "e" not in shortest:
            return shortest.removesuffix(".0")
        plain = format(Decimal(shortest), "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    mantissa, _, exponent = f"{Decimal(shortest):e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    power = int(exponent)
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}".replace("e-0", "e-")
