"""What is wrong, or not as it looks, with the arguments of a task."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

from gomachinery_py.diagnosis.arguments import Outcome, convert
from gomachinery_py.diagnosis.findings import Finding, error, note, warning
from gomachinery_py.diagnosis.suggestions import argument
from gomachinery_py.golang.fmt import format_value
from gomachinery_py.golang.json import Number
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import ELEMENTS, RANGES, TYPE_NAMES

__all__ = ["value", "values"]

# Beyond these, one finding is as good as a thousand more.
_MOST: Final = 1000


def values(args: list[Arg] | None, prefix: str = "") -> Iterator[Finding]:
    """Findings about each argument; ``prefix`` is the path of the signature that has them."""
    for position, arg in enumerate((args or ())[:_MOST]):
        yield from value(arg, f"{prefix}Args[{position}]")


def value(arg: Arg, path: str) -> Iterator[Finding]:
    """Findings about one argument at a path."""
    conversion = convert(arg)
    if arg.type not in TYPE_NAMES:
        yield error("unknown-type", f"{path}.Type", conversion.text, argument(arg))
    elif conversion.outcome is Outcome.ERROR:
        place = _place(arg)
        yield error("no-fit", f"{path}.Value{place}", _readable(arg, conversion.text), argument(arg))
    elif conversion.outcome is Outcome.PANIC:
        yield error(
            "panic",
            f"{path}.Value",
            f"{arg.type} is given no list, and Go's process exits: {conversion.text}",
            argument(arg),
        )
    elif conversion.outcome is Outcome.CHANGES:
        yield _changed(arg, path)
    elif arg.type in ELEMENTS:
        yield from _list(arg, f"{path}.Value")
    elif "\ufffd" in str(arg.value):
        yield warning("replaced", f"{path}.Value", "holds U+FFFD: half a surrogate pair, or text that was not UTF-8")


def _place(arg: Arg) -> str:
    """Which element of a list does not fit."""
    if arg.type in ELEMENTS and isinstance(arg.value, list):
        for position, item in enumerate(arg.value):
            if convert(Arg(ELEMENTS[arg.type], item)).outcome is Outcome.ERROR:
                return f"[{position}]"
    return ""


def _readable(arg: Arg, text: str) -> str:
    """Go's text, and what it means where it does not say so."""
    parsed = re.search(r'parsing "(.*)":', text)
    if parsed is not None:
        return f"{parsed[1]} is no {ELEMENTS.get(arg.type, arg.type)} ({text})"
    if isinstance(arg.value, str) and not isinstance(arg.value, Number) and arg.type not in ELEMENTS:
        return f"text is no {arg.type} ({text})"
    return text


def _changed(arg: Arg, path: str) -> Finding:
    """Go takes another value than was written, and says nothing."""
    kind = ELEMENTS.get(arg.type, arg.type)
    items = arg.value if arg.type in ELEMENTS else [arg.value]
    at, item = next((at, item) for at, item in enumerate(items) if convert(Arg(kind, item)).outcome is Outcome.CHANGES)
    place = f"[{at}]" if arg.type in ELEMENTS else ""
    wider = kind.rstrip("0123456789") + "64"
    instead = f'"Type": "{"[]" if arg.type in ELEMENTS else ""}{wider}"'
    what = f"Go takes {_taken(kind, item)} for {format_value(item)}, in silence"
    return error("other-value", f"{path}.Value{place}", what, f"{instead}, if the function takes it")


def _taken(kind: str, value: Any) -> str:
    if kind == "float32":
        return "-Inf" if str(value).startswith("-") else "+Inf"
    low, high = RANGES[kind]
    return str((int(value) - low) % (high - low + 1) + low)


def _list(arg: Arg, path: str) -> Iterator[Finding]:
    given = arg.value
    unsigned = ELEMENTS[arg.type].startswith("uint")
    if given is None:
        yield note("null-list", path, "null is an empty list", "[]")
    elif isinstance(given, Number | int | float):
        digits = format_value(given)
        what = f"Go takes the bytes of the digits for a list: {format_value(list(digits.encode()))}"
        yield error("digits", path, what, f'"Value": [{digits}]')
    elif isinstance(given, dict):
        yield warning("empty-object", path, "{} is an empty list", "[]")
    elif isinstance(given, str) and ELEMENTS[arg.type] == "uint8":
        return
    elif isinstance(given, str) and (unsigned or not given):
        what = (
            "text is read as base64, and each byte of it is an element" if unsigned else "empty text is an empty list"
        )
        yield warning("text-for-list", path, what, "a list of numbers" if unsigned else "[]")
    elif isinstance(given, list) and ELEMENTS[arg.type] == "uint8":
        yield note("list-of-bytes", path, "works; Go itself writes base64", _base64(given))


def _base64(items: list[int]) -> str:
    text = base64.b64encode(bytes(items)).decode()
    return f'"Value": "{text}"' if len(text) < 200 else "base64"
