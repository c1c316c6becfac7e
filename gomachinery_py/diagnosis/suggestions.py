"""What to write instead: values and times as Machinery wants them, guessed from what somebody wrote."""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime
from typing import Any, Final

from gomachinery_py.diagnosis.arguments import Outcome, convert
from gomachinery_py.golang.json import EscapedText, Members, Number, parse, write_value
from gomachinery_py.golang.time import Time, format_time
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import ELEMENTS, TYPE_NAMES

__all__ = ["argument", "shown", "similar_type", "time_text", "type_of", "whole_number"]

_LONGEST: Final = 60
# Nobody reads a suggestion for more elements or characters than these.
_MOST: Final = 1000
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
# Whoever counts in milliseconds is beyond this in 1973; whoever counts in seconds, in 5138.
_MILLISECONDS: Final = 10**11

_ALIASES: Final = {
    "integer": "int64",
    "long": "int64",
    "bigint": "int64",
    "int64_t": "int64",
    "number": "float64",
    "float": "float64",
    "double": "float64",
    "real": "float64",
    "decimal": "string",
    "boolean": "bool",
    "str": "string",
    "text": "string",
    "varchar": "string",
    "unicode": "string",
    "char": "string",
    "date": "string",
    "datetime": "string",
    "time.time": "string",
    "uuid": "string",
    "byte": "uint8",
    "rune": "int32",
    "bytes": "[]byte",
    "binary": "[]byte",
    "blob": "[]byte",
    "buffer": "[]byte",
}
_STRUCTURED: Final = ("json", "object", "map", "dict", "struct", "interface", "any", "mixed", "array", "list", "null")


def shown(value: Any) -> str:
    """A value as JSON, cut short."""
    if type(value) is Members:
        return "{…}"
    if isinstance(value, list) and any(type(item) is Members for item in value):
        return "[…]"
    text = write_value(str(value) if type(value) is EscapedText else value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def type_of(value: Any) -> str:
    """The Machinery type that a value most likely is of; empty when there is none."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(1 << 63) <= value < 1 << 63 else "uint64" if 0 < value < 1 << 64 else ""
    if isinstance(value, float | Number):
        return "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list) and value and not any(isinstance(item, list) for item in value):
        kinds = {type_of(item) for item in value}
        kind = "float64" if kinds == {"int64", "float64"} else kinds.pop() if len(kinds) == 1 else ""
        return f"[]{kind}" if kind else ""
    return ""


def similar_type(written: str, value: Any) -> str:
    """What is meant by a type that Machinery does not have; empty when that cannot be said."""
    name = written.strip().lower().removeprefix("*")
    if name in TYPE_NAMES:
        return name
    inner = re.fullmatch(r"(?:array|list|vector)<(.+)>|\[\](.+)|(.+)\[\]", name)
    if inner is not None:
        element = similar_type(next(filter(None, inner.groups())), None)
        return f"[]{element}" if f"[]{element}" in ELEMENTS else ""
    if name in _ALIASES:
        return _ALIASES[name]
    if name.startswith(_STRUCTURED) and isinstance(value, dict):
        return "string"
    return type_of(value)


def argument(arg: Arg) -> str:
    """The ``Type`` and ``Value`` to write instead of an argument that does not fit; empty when nothing is at hand."""
    value = arg.value
    if isinstance(value, list | dict | str) and len(value) > _MOST:
        return ""
    if arg.type not in TYPE_NAMES:
        kind = similar_type(arg.type, value)
        if kind == "string" and not isinstance(value, str):
            # Machinery has no type for structure: it travels as JSON text.
            return _pair("string", write_value(value))
        better = Arg(kind, value)
        return "" if not kind else _pair(kind, value) if _fits(better) else argument(better) or f'"Type": "{kind}"'
    for candidate in _candidates(arg.type, value):
        if _fits(candidate):
            return _pair(candidate.type, candidate.value)
    return ""


def _candidates(kind: str, value: Any) -> list[Arg]:
    """The same type with the value put right, then the type that the value is of."""
    found: list[Arg] = []
    if kind in ELEMENTS:
        found += [Arg(kind, fixed) for fixed in _lists(kind, value)]
    elif isinstance(value, str) and not isinstance(value, Number):
        word = value.strip().lower()
        if kind == "bool" and word in ("true", "false", "yes", "no", "1", "0"):
            found.append(Arg(kind, word in ("true", "yes", "1")))
        found.append(Arg(kind, _parsed(value)))
    elif kind == "string" and value is not None:
        found.append(Arg(kind, write_value(value)))
    elif kind == "bool" and value in (0, 1):
        found.append(Arg(kind, bool(value)))
    elif isinstance(value, float | Number) and (whole := whole_number(value)) is not None:
        found.append(Arg(kind, whole))
    natural = type_of(value)
    if natural:
        found.append(Arg(natural, value))
    return found


def _lists(kind: str, value: Any) -> list[Any]:
    if isinstance(value, dict):
        # PHP writes an array whose keys have a gap as an object.
        return [list(value.values())]
    if isinstance(value, str) and not isinstance(value, Number):
        read = _parsed(value)
        encoded = base64.b64encode(value.encode("utf-8", "replace")).decode()
        return [*([read] if isinstance(read, list) else []), *([encoded] if ELEMENTS[kind] == "uint8" else []), [value]]
    if isinstance(value, list):
        return [[_element(ELEMENTS[kind], item) for item in value]]
    return [[value], [_element(ELEMENTS[kind], value)]]


def _element(kind: str, item: Any) -> Any:
    if _fits(Arg(kind, item)):
        return item
    return next((better.value for better in _candidates(kind, item) if better.type == kind and _fits(better)), item)


def _fits(arg: Arg) -> bool:
    return convert(arg).outcome is Outcome.FITS


def _parsed(text: str) -> Any:
    try:
        return parse(text.encode("utf-8", "replace"))
    except ValueError:
        return None


def _pair(kind: str, value: Any) -> str:
    text = write_value(value)
    return f'"Type": "{kind}", "Value": {text if len(text) <= 200 else "…"}'


def whole_number(value: Any) -> int | None:
    """A number with a fraction of zero as a whole one; None for any other."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 1 << 53 else None


def time_text(value: Any) -> str:
    """A time that Go reads, from what somebody wrote for one; empty when that cannot be said."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, str) and (_WHOLE.match(value) or isinstance(value, Number)):
        value = whole_number(value)
    if isinstance(value, int | float):
        seconds = value / 1000 if abs(value) >= _MILLISECONDS else value
        try:
            return format_time(Time.from_unix_ns(round(seconds * 1_000_000_000)))
        except (ValueError, OverflowError):
            return ""
    if not isinstance(value, str):
        return ""
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return ""
    return format_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
