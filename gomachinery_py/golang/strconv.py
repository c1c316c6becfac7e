"""Numbers as text, with the texts of Go's errors.

Go source: ``strconv/atoi.go``, ``strconv/atof.go``, and the float encoder of ``encoding/json/encode.go``.
"""

from __future__ import annotations

import math
import re
import struct
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal
from typing import Final

__all__ = [
    "NumError",
    "float32_text",
    "float64_text",
    "format_float",
    "parse_float",
    "parse_int",
    "parse_uint",
    "printed_float",
]

_SIGNED: Final = re.compile(r"[+-]?[0-9]+")
_UNSIGNED: Final = re.compile(r"[0-9]+")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# int() refuses thousands of digits; nothing that fits 64 bits has more than this without leading zeros.
_LONGEST: Final = 40


class NumError(ValueError):
    """Go's ``strconv.NumError``: its text names the function and the literal."""

    def __init__(self, function: str, literal: str, reason: str) -> None:
        super().__init__(f'strconv.{function}: parsing "{literal}": {reason}')


def _misread(function: str, literal: str) -> NumError:
    """Go reads from the left, so digits that are too many are noticed before what is no digit behind them."""
    unsigned = literal[1:] if function == "ParseInt" and literal[:1] in ("+", "-") else literal
    found = _UNSIGNED.match(unsigned)
    digits = found[0].lstrip("0") if found else ""
    too_many = len(digits) > _LONGEST or int(digits or "0") >= 1 << 64
    return NumError(function, literal, "value out of range" if too_many else "invalid syntax")


def _bounded(function: str, literal: str, low: int, high: int) -> int:
    digits = literal.lstrip("+-").lstrip("0")
    if len(digits) <= _LONGEST:
        number = int(digits or "0") * (-1 if literal.startswith("-") else 1)
        if low <= number <= high:
            return number
    raise NumError(function, literal, "value out of range")


def parse_int(literal: str) -> int:
    """Go: ``strconv.ParseInt(literal, 10, 64)``. Raises NumError."""
    if not _SIGNED.fullmatch(literal):
        raise _misread("ParseInt", literal)
    return _bounded("ParseInt", literal, -(1 << 63), (1 << 63) - 1)


def parse_uint(literal: str) -> int:
    """Go: ``strconv.ParseUint(literal, 10, 64)``. Raises NumError."""
    if not _UNSIGNED.fullmatch(literal):
        raise _misread("ParseUint", literal)
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
    text = repr(float(number))
    if "e" not in text and "n" not in text:
        return text.removesuffix(".0")
    if text in _UNSUPPORTED:
        raise ValueError(f"json: unsupported value: {_UNSUPPORTED[text]}")
    return _json_text(Decimal(text), plain=1e-6 <= abs(number) < 1e21)


def float32_text(number: float) -> str:
    """A float32 as ``encoding/json`` writes it: the fewest digits that mean it among all float32.

    Raises ValueError for NaN, infinities, and what is beyond float32.
    """
    if not math.isfinite(number):
        return float64_text(number)
    single = _to_float32(number)
    if math.isinf(single):
        raise ValueError(f"{number!r} does not fit float32")
    return _json_text(_shortest32(single), plain=single == 0 or _PLAIN32[0] <= abs(single) < _PLAIN32[1])


def format_float(number: float) -> str:
    """The literal that stands for a float in JSON."""
    return float64_text(number)


def printed_float(number: float, *, single: bool = False) -> str:
    """A float64, or a float32 when ``single``, as ``%v`` prints it (Go: ``strconv.FormatFloat(f, 'g', -1, bits)``)."""
    if not math.isfinite(number):
        return _UNSUPPORTED[repr(float(number))]
    exact = Decimal(float32_text(number) if single else float64_text(number))
    sign, digits, _ = exact.normalize().as_tuple()
    if exact == 0:
        return "-0" if sign else "0"
    power = exact.adjusted()
    if -4 <= power < 6:
        return format(exact.normalize(), "f")
    text = "".join(map(str, digits))
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _to_float32(number: float) -> float:
    """The nearest float32; infinite beyond the largest."""
    try:
        (single,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        return math.copysign(math.inf, number)
    return float(single)


def _shortest32(single: float) -> Decimal:
    """The shortest decimal that reads as this float32, and the nearest of those.

    Below a power of two the next float32 is half as far away, so the nearest decimal may miss where the other side
    does not; and there Go takes the larger of two that are equally near (``internal/strconv/ftoadbox.go``).
    """
    exact = Decimal(single)
    power_of_two = math.frexp(abs(single))[0] == 0.5
    roundings = (ROUND_HALF_UP, ROUND_DOWN, ROUND_UP) if power_of_two else (ROUND_HALF_EVEN,)
    # Nine significant digits are enough for every float32.
    candidates = (
        Context(prec=digits, rounding=rounding).create_decimal(exact)
        for digits in range(1, 10)
        for rounding in roundings
    )
    return next(number for number in candidates if _to_float32(float(number)) == single)


def _json_text(number: Decimal, *, plain: bool) -> str:
    """A number in Go's form: without ``.0``, exponents like ``e-7`` and ``e+21``."""
    if plain:
        text = format(number, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = f"{number:e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    power = int(exponent)
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power)}"


_UNSUPPORTED: Final = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
# Between these, Go writes a float32 without an exponent; it compares them as float32.
_PLAIN32: Final = (_to_float32(1e-6), _to_float32(1e21))
