"""Values written as JSON, as ``json.Marshal`` writes them.

Go source: ``encoding/json/encode.go``. Go also escapes ``<``, ``>``, ``&``, U+2028 and U+2029 (``SetEscapeHTML`` is on
by default). None of them occurs outside of strings, so :func:`escaped` does it once for a whole text; the ``…_text``
functions leave it to their caller.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final

from gomachinery_py.golang.json_number import NUMBER, Number
from gomachinery_py.golang.strconv import float64_text

__all__ = ["escaped", "quote", "string_text", "value_text", "write_value"]

string_text: Final[Callable[[str], str]] = encode_basestring
"""A string with quotes; TypeError for anything that is not text."""

_LATE: Final = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_NUMBER: Final = re.compile(NUMBER)


def escaped(text: str) -> str:
    """A JSON text with Go's further escapes."""
    if text.isascii() and "<" not in text and ">" not in text and "&" not in text:
        return text
    return _LATE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    # A lone surrogate is no UTF-8; Go writes these six characters for it.
    return "\\ufffd" if code >= 0xD800 else f"\\u{code:04x}"


def quote(text: str) -> str:
    """A JSON string with all of Go's escapes."""
    return escaped(string_text(text))


def write_value(value: Any) -> str:
    """A value as ``json.Marshal`` writes an ``interface{}``. Raises ValueError or TypeError for what it cannot be."""
    return escaped(value_text(value))


def value_text(value: Any) -> str:
    """As :func:`write_value`, but for what :func:`escaped` does."""
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if not isinstance(value, _CONTAINERS):
        return _scalar_text(value)
    parts: list[str] = []
    # Text, containers that are still to be written, and identities of those that end here.
    stack: list[Any] = [value]
    open_containers: set[int] = set()
    while stack:
        item = stack.pop()
        if type(item) is str:
            parts.append(item)
        elif type(item) is int:
            open_containers.discard(item)
        elif id(item) in open_containers:
            raise ValueError(f"json: unsupported value: encountered a cycle via {type(item).__name__}")
        else:
            open_containers.add(id(item))
            stack.append(id(item))
            stack += reversed(_members(item) if isinstance(item, dict) else _elements(item))
    return "".join(parts)


_CONTAINERS: Final = (dict, list, tuple)


def _elements(items: Any) -> list[Any]:
    """An array as text and inner containers."""
    pieces: list[Any] = []
    for item in items:
        pieces += (",", _piece(item))
    if not pieces:
        return ["[]"]
    pieces[0] = "["
    pieces.append("]")
    return pieces


def _members(items: dict[Any, Any]) -> list[Any]:
    """An object as text and inner containers; by key, in the order of UTF-8, which is that of code points."""
    pieces: list[Any] = []
    for key in sorted(items):
        pieces += (",", string_text(key), ":", _piece(items[key]))
    if not pieces:
        return ["{}"]
    pieces[0] = "{"
    pieces.append("}")
    return pieces


def _piece(item: Any) -> Any:
    write = _WRITERS.get(type(item))
    if write is not None:
        return write(item)
    return item if isinstance(item, _CONTAINERS) else _scalar_text(item)


def _scalar_text(value: Any) -> str:
    """Subclasses, and what cannot be written."""
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    raise TypeError(f"json: unsupported type: {type(value).__name__}")


def _bytes_text(value: bytes | bytearray | memoryview) -> str:
    return f'"{b64encode(value).decode()}"'


def _number_text(value: Number) -> str:
    if _NUMBER.fullmatch(value) is None:
        raise ValueError(f"json: invalid number literal {str(value)!r}")
    return str(value)


# Subclasses before their bases.
_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    Number: _number_text,
    str: string_text,
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    float: float64_text,
    type(None): lambda _: "null",
    bytes: _bytes_text,
    bytearray: _bytes_text,
    memoryview: _bytes_text,
}
