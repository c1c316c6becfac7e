"""Wire values to Python values by Machinery's type names, with Go's texts for what does not fit.

Go source: ``v2/tasks/reflect.go`` (``ReflectValue``), ``v2/tasks/task.go`` (``ReflectArgs``).

``bool``, ``int``, ``float`` and ``str`` come back as themselves, ``[]byte`` and ``[]uint8`` as ``bytes``, every other
slice as a ``list``. Where Go would harm itself this module refuses instead, see
``docs/decisions/incoming-ranges.md``:

=====================================  ==================================  ===================
a value                                Go                                  here
=====================================  ==================================  ===================
beyond int8 … int32, uint8 … uint32    wraps silently (300 as int8 is 44)  ArgumentError
beyond float32                         becomes infinite                    ArgumentError
bool or non-empty object for a slice   the process exits                   ArgumentError
=====================================  ==================================  ===================
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final

from gomachinery_py.errors import ArgumentError
from gomachinery_py.golang.fmt import format_value
from gomachinery_py.golang.json import Number
from gomachinery_py.golang.strconv import NumError, format_float, parse_float, parse_int, parse_uint
from gomachinery_py.wire.model import Arg

__all__ = ["ELEMENTS", "RANGES", "TYPE_NAMES", "HarmRefused", "reflect_args", "reflect_value"]

RANGES: Final[dict[str, tuple[int, int]]] = {
    **{f"int{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    "int": (-(1 << 63), (1 << 63) - 1),
    "uint": (0, (1 << 64) - 1),
}
"""The smallest and the largest value of each integer type; ``int`` and ``uint`` have 64 bits."""

_SCALARS: Final = ("bool", *RANGES, "float32", "float64", "string")
# Go's reflected name of an element; []byte is []uint8.
ELEMENTS: Final = {**{f"[]{name}": name for name in _SCALARS}, "[]byte": "uint8"}

TYPE_NAMES: Final = frozenset(_SCALARS) | frozenset(ELEMENTS)
"""Every type that Machinery knows (Go: ``typesMap``)."""

_INT64: Final = RANGES["int64"]


class HarmRefused(ArgumentError):
    """A value that Go would take in a harmful way; where Go finds an error too, Go's text is the one that counts."""


class _Byte(int):
    """One byte of a text that Go indexes as if it were a slice; only unsigned types take it."""

    __slots__ = ()


def reflect_args(args: Sequence[Arg] | None) -> list[Any]:
    """All arguments of a task (Go: ``ReflectArgs``). Raises ArgumentError, ``Reflect task args error: …``."""
    if not args:
        return []
    values: list[Any] = []
    for arg in args:
        value = arg.value
        if type(value) is int:
            if arg.type != "int64" or not -(1 << 63) <= value < 1 << 63:
                break
        elif type(value) is not str or arg.type != "string":
            break
        values.append(value)
    else:
        return values
    try:
        return _all((arg.value for arg in args), (arg.type for arg in args), reflect_value)
    except ArgumentError as error:
        raise ArgumentError(f"Reflect task args error: {error}") from None


def _all(values: Iterable[Any], type_names: Iterable[str], convert: Callable[[str, Any], Any]) -> list[Any]:
    """Convert in order; the first error of Go's is raised, else the first refusal of ours."""
    converted: list[Any] = []
    refusal: HarmRefused | None = None
    for value, type_name in zip(values, type_names, strict=False):
        try:
            converted.append(convert(type_name, value))
        except HarmRefused as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return converted


def reflect_value(type_name: str, value: Any) -> Any:
    """One wire value as the Python value of its type (Go: ``ReflectValue``). Raises ArgumentError with Go's text."""
    kind = type(value)
    if kind is int:
        if type_name == "int64" and _INT64[0] <= value <= _INT64[1]:
            return value
    elif kind is str and type_name == "string":
        return value
    if type_name in ELEMENTS:
        return _slice(type_name, value)
    convert = _CONVERTERS.get(type_name)
    if convert is None:
        raise ArgumentError(f"{type_name} is not one of supported types")
    return convert(type_name, value)


# -- scalars --


def _mismatch(value: Any, type_name: str) -> ArgumentError:
    return ArgumentError(f"{format_value(value)} is not {type_name}")


def _literal(value: Any) -> str | None:
    """The JSON literal of a number, None for everything else."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, bool | _Byte):
        return None
    if isinstance(value, int):
        return _digits(value)
    return format_float(value) if isinstance(value, float) else None


def _digits(value: int) -> str:
    # int() refuses to print long numbers; two halves are each a quarter of the work.
    if value.bit_length() < 10_000:
        return str(value)
    sign, value = ("-", -value) if value < 0 else ("", value)
    half = value.bit_length() * 3 // 20
    high, low = divmod(value, 10**half)
    return f"{sign}{_digits(high)}{_digits(low).zfill(half)}"


def _bool(type_name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _mismatch(value, type_name)


def _string(type_name: str, value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, Number):
        return value
    raise _mismatch(value, type_name)


def _int(type_name: str, value: Any) -> int:
    literal = _literal(value)
    if literal is None:
        raise _mismatch(value, type_name)
    try:
        number = parse_int(literal)
    except NumError as error:
        raise ArgumentError(str(error)) from None
    return _ranged(number, type_name)


def _uint(type_name: str, value: Any) -> int:
    if isinstance(value, _Byte):
        return int(value)
    literal = _literal(value)
    if literal is None:
        raise _mismatch(value, type_name)
    try:
        number = parse_uint(literal)
    except NumError as error:
        raise ArgumentError(str(error)) from None
    return _ranged(number, type_name)


def _ranged(number: int, type_name: str) -> int:
    low, high = RANGES[type_name]
    if low <= number <= high:
        return number
    raise HarmRefused(f"{number} does not fit {type_name} ({low} to {high})")


def _float64(type_name: str, value: Any) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    literal = _literal(value)
    if literal is None:
        raise _mismatch(value, type_name)
    try:
        return parse_float(literal)
    except NumError as error:
        raise ArgumentError(str(error)) from None


def _float32(type_name: str, value: Any) -> float:
    number = _float64(type_name, value)
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        raise HarmRefused(f"{format_float(number)} does not fit float32") from None
    return rounded


_CONVERTERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "bool": _bool,
    "string": _string,
    "float32": _float32,
    "float64": _float64,
    **{name: _uint if name.startswith("uint") else _int for name in RANGES},
}


# -- slices --


def _slice(type_name: str, value: Any) -> Any:
    element = ELEMENTS[type_name]
    is_bytes = element == "uint8"
    items = _items(element, value, type_name)
    if is_bytes and isinstance(items, bytes):
        return items
    kinds = set(map(type, items))
    # One look at the whole list instead of one at each element.
    if kinds == {int}:
        low, high = RANGES.get(element, (0, -1))
        if low <= min(items) and max(items) <= high:
            return bytes(items) if is_bytes else list(items)
    elif (kinds == {str} and element == "string") or (kinds == {bool} and element == "bool"):
        return list(items)
    converted = _all(items, repeat(element), _CONVERTERS[element])
    return bytes(converted) if is_bytes else converted


def _items(element: str, value: Any, type_name: str) -> Any:
    """What Go's reflection iterates over: a text is its bytes, and null and an empty object are empty."""
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, bytes | bytearray):
        return bytes(value) if element == "uint8" else [_Byte(byte) for byte in value]
    if isinstance(value, str) and not isinstance(value, Number):
        if element.startswith("uint"):
            decoded = _base64(value)
            return decoded if element == "uint8" else [_Byte(byte) for byte in decoded]
        return [_Byte(byte) for byte in value.encode("utf-8", "surrogatepass")]
    if isinstance(value, dict) and not value:
        return ()
    literal = _literal(value)
    if literal is None:
        # Go's process exits here, so there is no text of Go's.
        raise HarmRefused(str(_mismatch(value, type_name)))
    return [_Byte(byte) for byte in literal.encode()]


_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_DIGITS: Final = {
    character: index
    for index, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


def _base64(text: str) -> bytes:
    """Go: ``base64.StdEncoding.DecodeString``: padded, line breaks ignored."""
    if _BASE64.fullmatch(text):
        return base64.b64decode(text)
    compact = re.sub(r"[\r\n]", "", text)
    if _BASE64.fullmatch(compact):
        return base64.b64decode(compact)
    raise ArgumentError(f"illegal base64 data at input byte {_illegal_at(text.encode('utf-8', 'surrogatepass'))}")


def _illegal_at(data: bytes) -> int:
    """The offset that Go reports for text that is not base64 (Go: ``Encoding.decodeQuantum``)."""
    at, filled = 0, 0
    while True:
        if at == len(data):
            return at - filled
        byte = chr(data[at])
        at += 1
        if byte in _DIGITS:
            filled = (filled + 1) % 4
            continue
        if byte in "\r\n":
            continue
        if byte != "=" or filled < 2:
            return at - 1
        if filled == 2:
            while at < len(data) and data[at] in b"\r\n":
                at += 1
            if at == len(data):
                return len(data)
            if data[at] != ord("="):
                return at - 1
            at += 1
        while at < len(data) and data[at] in b"\r\n":
            at += 1
        return at
