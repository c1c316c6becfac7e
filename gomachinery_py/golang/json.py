"""``encoding/json``: one value read from bytes as Go's Decoder reads it, and values written as Go writes them.

Go source: ``encoding/json/scanner.go``, ``decode.go``, ``encode.go``. What becomes of a value in a struct is in
``wire/decode.py``; this module only knows JSON. Nothing here recurses, so no document is too deep for it.
"""

from __future__ import annotations

import base64
import codecs
import re
from typing import Any, Final

from gomachinery_py.errors import WireError
from gomachinery_py.golang.strconv import float32_text, float64_text

__all__ = [
    "MAX_DEPTH",
    "EscapedText",
    "Number",
    "Pairs",
    "float32_text",
    "float64_text",
    "number_value",
    "parse",
    "plain_value",
    "quote",
    "write_value",
]

MAX_DEPTH: Final = 10_000
"""Arrays and objects within each other (Go: ``maxNestingDepth``)."""


class Number(str):
    """A number literal that no Python number would write the same way again: ``1.50``, ``1E5``, ``-0`` (Go: ``json.Number``)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Number({str(self)!r})"


class EscapedText(str):
    """A string that was written with escapes; Go's times refuse them."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object's members in their order, duplicates included."""

    __slots__ = ()


def _one_each(error: UnicodeError) -> tuple[str, int]:
    """Go replaces each byte that is not UTF-8 by itself."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd", error.start + 1


codecs.register_error("gomachinery.one-each", _one_each)

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"([^"\\\x00-\x1f]*)"')
_CHUNK: Final = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE: Final = re.compile(r'\\(?:(["\\/bfnrt])|u([0-9A-Fa-f]{4}))')
_SIMPLE: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final = (("true", True), ("false", False), ("null", None))


def parse(data: bytes) -> Any:
    """The first JSON value in ``data``; what follows it is ignored, as Go's Decoder does.

    Objects come back as :class:`Pairs`, arrays as lists, numbers as :class:`Number`. Raises WireError.
    """
    text = data.decode("utf-8", "gomachinery.one-each")
    try:
        return _parse(text)
    except _Syntax as error:
        offset = len(text[: error.at].encode("utf-8", "surrogatepass")) if text.isascii() else _offset(data, error.at)
        raise WireError(error.reason, offset) from None


def _offset(data: bytes, characters: int) -> int:
    """The byte at which a character of the decoded text begins."""
    decoder = codecs.getincrementaldecoder("utf-8")("gomachinery.one-each")
    low, high = 0, len(data)
    del decoder
    while low < high:
        middle = (low + high) // 2
        if len(data[:middle].decode("utf-8", "gomachinery.one-each")) < characters:
            low = middle + 1
        else:
            high = middle
    return low


class _Syntax(Exception):
    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


def _unexpected(text: str, at: int, where: str) -> _Syntax:
    if at >= len(text):
        return _Syntax("unexpected end of JSON input", at)
    return _Syntax(f"invalid character {text[at]!r} {where}", at)


def _parse(text: str) -> Any:
    space = _SPACE.match
    at = space(text, 0).end()  # type: ignore[union-attr]
    stack: list[tuple[Any, str | None]] = []
    holder: Any = None
    key: str | None = None
    while True:
        # One value begins at `at`.
        first = text[at : at + 1]
        if first == "{":
            if len(stack) >= MAX_DEPTH:
                raise _Syntax("exceeded max depth", at)
            stack.append((holder, key))
            holder, key = Pairs(), None
            at = space(text, at + 1).end()  # type: ignore[union-attr]
            if text[at : at + 1] != "}":
                key, at = _key(text, at)
                continue
            at += 1
            value: Any = holder
            holder, key = stack.pop()
        elif first == "[":
            if len(stack) >= MAX_DEPTH:
                raise _Syntax("exceeded max depth", at)
            stack.append((holder, key))
            holder, key = [], None
            at = space(text, at + 1).end()  # type: ignore[union-attr]
            if text[at : at + 1] != "]":
                continue
            at += 1
            value = holder
            holder, key = stack.pop()
        elif first == '"':
            value, at = _string(text, at)
        else:
            value, at = _scalar(text, at)
        # A value has ended: it goes to its holder, and as many holders end as can.
        while True:
            if holder is None:
                return value
            is_object = key is not None
            if is_object:
                holder.append((key, value))
            else:
                holder.append(value)
            at = space(text, at).end()  # type: ignore[union-attr]
            mark = text[at : at + 1]
            if mark == ",":
                at = space(text, at + 1).end()  # type: ignore[union-attr]
                if is_object:
                    key, at = _key(text, at)
                break
            if mark != ("}" if is_object else "]"):
                raise _unexpected(
                    text, at, "after object key:value pair" if is_object else "after array element"
                )
            at += 1
            value = holder
            holder, key = stack.pop()


def _key(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        raise _unexpected(text, at, "looking for beginning of object key string")
    key, at = _string(text, at)
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    if text[at : at + 1] != ":":
        raise _unexpected(text, at, "after object key")
    return key, _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]


def _string(text: str, at: int) -> tuple[str, int]:
    whole = _STRING.match(text, at)
    if whole is not None:
        return whole[1], whole.end()
    parts: list[str] = []
    at += 1
    while True:
        chunk = _CHUNK.match(text, at)
        assert chunk is not None
        parts.append(chunk.group())
        at = chunk.end()
        if text[at : at + 1] == '"':
            return EscapedText("".join(parts)), at + 1
        escape = _ESCAPE.match(text, at)
        if escape is None:
            where = "in string escape code" if text[at : at + 1] == "\\" else "in string literal"
            raise _unexpected(text, at, where)
        at = escape.end()
        if escape[1]:
            parts.append(_SIMPLE[escape[1]])
            continue
        unit = int(escape[2], 16)
        if 0xD800 <= unit < 0xDC00:
            low = _ESCAPE.match(text, at)
            second = int(low[2], 16) if low is not None and low[2] else 0
            if low is not None and 0xDC00 <= second < 0xE000:
                unit = 0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00)
                at = low.end()
        parts.append("\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit))


def _scalar(text: str, at: int) -> tuple[Any, int]:
    number = _NUMBER.match(text, at)
    if number is not None:
        return Number(number.group()), number.end()
    for word, value in _WORDS:
        if text.startswith(word, at):
            return value, at + len(word)
    raise _unexpected(text, at, "looking for beginning of value")


# -- values --


def number_value(literal: str) -> Any:
    """A plain int or float where it would be written as ``literal`` again, else the :class:`Number`."""
    if "." not in literal and "e" not in literal and "E" not in literal:
        # Python refuses to convert thousands of digits, and nobody counts with them.
        return int(literal) if literal != "-0" and len(literal) <= 4000 else Number(literal)
    if len(literal) <= 40:
        number = float(literal)
        if number not in (float("inf"), float("-inf")) and float64_text(number) == literal:
            return number
    return Number(literal)


def plain_value(node: Any) -> Any:
    """A parsed value as Go's ``interface{}`` holds it: objects as dicts (the last duplicate wins), numbers as numbers."""
    root: list[Any] = [None]
    stack: list[tuple[Any, Any, Any]] = [(node, root, 0)]
    while stack:
        item, target, place = stack.pop()
        if isinstance(item, Number):
            target[place] = number_value(item)
        elif isinstance(item, Pairs):
            made: dict[str, Any] = {}
            target[place] = made
            # The last duplicate wins, as in a Go map; only its value is looked at.
            for key, value in dict(item).items():
                name = str(key)
                made[name] = None
                stack.append((value, made, name))
        elif isinstance(item, list):
            elements: list[Any] = [None] * len(item)
            target[place] = elements
            stack.extend((value, elements, position) for position, value in enumerate(item))
        else:
            target[place] = str(item) if isinstance(item, EscapedText) else item
    return root[0]


# -- writing --

_SPECIAL: Final = re.compile("[\x00-\x1f\"\\\\<>&\u2028\u2029\ud800-\udfff]")
_WRITTEN: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def _written(match: re.Match[str]) -> str:
    character = match.group()
    known = _WRITTEN.get(character)
    if known is not None:
        return known
    code = ord(character)
    # Go writes what is not UTF-8 as these six characters.
    return "\\ufffd" if code >= 0xD800 else f"\\u{code:04x}"


def quote(text: str) -> str:
    """A JSON string with Go's escapes (``SetEscapeHTML`` is on by default)."""
    return f'"{_SPECIAL.sub(_written, text)}"' if _SPECIAL.search(text) else f'"{text}"'


class _Raw(str):
    """Text that is written as it is, among values that are still to be written."""

    __slots__ = ()


def write_value(value: Any) -> str:
    """A value as ``json.Marshal`` writes an ``interface{}``. Raises ValueError or TypeError for what it cannot be."""
    kind = type(value)
    if kind is str:
        return quote(value)
    if kind is int:
        return str(value)
    parts: list[str] = []
    stack: list[Any] = [value]
    depth_guard: set[int] = set()
    while stack:
        item = stack.pop()
        if isinstance(item, _Raw):
            parts.append(item)
        elif item is None:
            parts.append("null")
        elif isinstance(item, bool):
            parts.append("true" if item else "false")
        elif isinstance(item, Number):
            if _NUMBER.fullmatch(item) is None:
                raise ValueError(f"json: invalid number literal {str(item)!r}")
            parts.append(str(item))
        elif isinstance(item, str):
            parts.append(quote(item))
        elif isinstance(item, int):
            parts.append(str(int(item)))
        elif isinstance(item, float):
            parts.append(float64_text(item))
        elif isinstance(item, bytes | bytearray | memoryview):
            parts.append(f'"{base64.b64encode(item).decode()}"')
        elif isinstance(item, dict):
            _enter(item, depth_guard, stack)
            stack.append(_Raw("}"))
            if not all(isinstance(key, str) for key in item):
                raise TypeError("JSON objects have text keys only")
            # Byte order of UTF-8 is the order of code points.
            for position, key in enumerate(sorted(item, reverse=True)):
                stack.append(item[key])
                stack.append(_Raw(f"{',' if position < len(item) - 1 else ''}{quote(key)}:"))
            stack.append(_Raw("{"))
        elif isinstance(item, list | tuple):
            _enter(item, depth_guard, stack)
            stack.append(_Raw("]"))
            for position, element in enumerate(reversed(item)):
                stack.append(element)
                if position < len(item) - 1:
                    stack.append(_Raw(","))
            stack.append(_Raw("["))
        elif isinstance(item, _Leave):
            depth_guard.discard(item.identity)
        else:
            raise TypeError(f"json: unsupported type: {type(item).__name__}")
    return "".join(parts)


class _Leave:
    __slots__ = ("identity",)

    def __init__(self, identity: int) -> None:
        self.identity = identity


def _enter(item: Any, open_items: set[int], stack: list[Any]) -> None:
    """A container that holds itself would never end."""
    if id(item) in open_items:
        raise ValueError("json: unsupported value: encountered a cycle")
    open_items.add(id(item))
    stack.append(_Leave(id(item)))
