"""One JSON value read from bytes, as Go's Decoder reads it.

Go source: ``encoding/json/scanner.go``, ``decode.go`` (``unquoteBytes``, ``valueInterface``). Nothing here recurses,
so no document is too deep for it. What becomes of an object that fills a struct is for the caller to say: a
:class:`Shape` names the members that are wanted, and they come back as :class:`Members`.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]  # typeshed does not know it
from typing import Any, Final, Protocol

from gomachinery_py.golang.json_number import NUMBER, number_value

__all__ = ["MAX_DEPTH", "EscapedText", "JsonSyntaxError", "Members", "Shape", "byte_offset", "parse", "string_end"]

MAX_DEPTH: Final = 10_000
"""Arrays and objects within each other (Go: ``maxNestingDepth``)."""


class JsonSyntaxError(ValueError):
    """Bytes are not JSON; ``reason`` is Go's text (``json.SyntaxError``), ``offset`` the byte that cannot be."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset


class EscapedText(str):
    """A member of a struct that was written with escapes; Go's times refuse them."""

    __slots__ = ()


class Shape(Protocol):
    """Which members of an object are wanted; arrays hand their shape on to their elements."""

    def member(self, key: str) -> tuple[Any, Shape | None] | None:
        """What to call the member, and the shape of its own value; None for a member that is not wanted."""


class Members(list[tuple[Any, Any, int]]):
    """The wanted members of an object in their order, duplicates included: name, value, character where it begins
    (spaces may come first)."""

    __slots__ = ()


def parse(data: bytes, shape: Shape | None = None) -> Any:
    """The first JSON value in ``data``; what follows it is ignored, as Go's Decoder does.

    Objects come back as dicts (the last duplicate wins), and as :class:`Members` where there is a shape; numbers as
    :func:`~gomachinery_py.golang.json_number.number_value` has them. Raises JsonSyntaxError.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Go replaces each byte that is not UTF-8 by itself.
        text = _SURROGATE.sub("\ufffd", data.decode("utf-8", "surrogateescape"))
    try:
        return _parse(text, shape)
    except _Stopped as stopped:
        offset = byte_offset(data, stopped.at)
        if offset >= len(data):
            raise JsonSyntaxError("unexpected end of JSON input", len(data)) from None
        raise JsonSyntaxError(f"invalid character {_quoted(data[offset])} {stopped.where}", offset) from None


def string_end(text: str, at: int) -> int:
    """Behind the closing quote of a good string that begins ``at`` its quote."""
    match = _STRING_SO_FAR.match(text, at)
    return match.end() + 1 if match else at


def byte_offset(data: bytes, characters: int) -> int:
    """The byte at which a character begins."""
    return len(data.decode("utf-8", "surrogateescape")[:characters].encode("utf-8", "surrogateescape"))


class _Stopped(Exception):
    """The text ends here, or has a character that cannot be here."""

    def __init__(self, at: int, where: str) -> None:
        super().__init__(at, where)
        self.at = at
        self.where = where


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_VALUE: Final = re.compile(
    r"[ \t\r\n]*+(?:"
    r'"([^"\\\x00-\x1f]*+)"'
    rf"|({NUMBER})"
    r"|(true|false|null)"
    r"|([\[{])"
    r")"
)
_STRING, _NUMBER, _WORD, _BRACKET = 1, 2, 3, 4
_WORDS: Final = {"true": True, "false": False, "null": None}
_KEY: Final = re.compile(r'[ \t\r\n]*+"([^"\\\x00-\x1f]*+)"[ \t\r\n]*+:')
_MARK: Final = re.compile(r"[ \t\r\n]*+([],}])")
_EMPTY: Final = {"[": re.compile(r"[ \t\r\n]*+\]"), "{": re.compile(r"[ \t\r\n]*+\}")}


def _parse(text: str, shape: Shape | None) -> Any:
    """``holder`` is what the next value goes into, ``name`` where in it, ``shape`` what is wanted of that value."""
    holder: Any = None
    name: Any = None
    value: Any
    outer: list[tuple[Any, Any, Shape | None, int]] = []
    at = 0
    while True:
        begin = at
        match = _VALUE.match(text, at)
        if match is None:
            value, at = _long_string(text, at)
            if type(holder) is Members:
                value = EscapedText(value)
        else:
            at = match.end()
            kind = match.lastindex
            if kind == _STRING:
                value = match[_STRING]
            elif kind == _NUMBER:
                value = number_value(match[_NUMBER])
            elif kind == _WORD:
                value = _WORDS[match[_WORD]]
            else:
                if len(outer) >= MAX_DEPTH:
                    raise _Stopped(at - 1, "exceeded max depth")
                opened = _opened(match[_BRACKET], shape)
                empty = _EMPTY[match[_BRACKET]].match(text, at)
                if empty is None:
                    outer.append((holder, name, shape, begin))
                    holder = opened
                    if type(holder) is not list:
                        name, shape, at = _key(text, at, shape)
                    continue
                value = _NO_MEMBERS if type(opened) is Members else opened
                at = empty.end()
        # A value is complete: it goes to its holder, and as many holders are complete as end here.
        while holder is not None:
            if isinstance(holder, dict):
                holder[name] = value
            elif not isinstance(holder, Members):
                holder.append(value)
            elif name is not None:
                holder.append((name, value, begin))
            mark = _MARK.match(text, at)
            if mark is None or mark[1] == ("}" if type(holder) is list else "]"):
                raise _no_mark(text, begin, at, holder)
            at = mark.end()
            if mark[1] == ",":
                if type(holder) is not list:
                    name, shape, at = _key(text, at, outer[-1][2])
                break
            value = holder
            holder, name, shape, begin = outer.pop()
        else:
            stopped = _unfinished_number(text, begin, at)
            if stopped is not None:
                raise stopped
            return value


# Empty objects may be hundreds of thousands; nobody adds to this one.
_NO_MEMBERS: Final = Members()


def _opened(bracket: str, shape: Shape | None) -> Any:
    if bracket == "[":
        return []
    return {} if shape is None else Members()


def _key(text: str, at: int, shape: Shape | None) -> tuple[Any, Shape | None, int]:
    """The key that comes now: what its value is called in its holder, the shape of that value, where it begins."""
    match = _KEY.match(text, at)
    if match is not None:
        key, at = match[1], match.end()
    else:
        at = _after_space(text, at)
        if text[at : at + 1] != '"':
            raise _Stopped(at, "looking for beginning of object key string")
        key, at = _long_string(text, at)
        at = _after_space(text, at)
        if text[at : at + 1] != ":":
            raise _Stopped(at, "after object key")
        at += 1
    if shape is None:
        return key, None, at
    name, inner = shape.member(key) or (None, None)
    return name, inner, at


def _long_string(text: str, at: int) -> tuple[str, int]:
    """A string that has escapes, or none at all."""
    at = _after_space(text, at)
    if text[at : at + 1] != '"':
        raise _no_value(text, at)
    try:
        value, end = scanstring(text, at + 1, True)
    except JSONDecodeError:
        raise _no_string(text, at) from None
    # Pairs of surrogates are one character by now; Go replaces what is left alone.
    return _SURROGATE.sub("\ufffd", value), end


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


# -- what is wrong, in Go's words --

_STRING_SO_FAR: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
_ESCAPE_SO_FAR: Final = re.compile(r"\\(u[0-9A-Fa-f]{0,3})?")


def _no_value(text: str, at: int) -> _Stopped:
    if text[at : at + 1] == "-":
        return _Stopped(at + 1, "in numeric literal")
    for word in _WORDS:
        if text[at : at + 1] == word[0]:
            same = next(length for length in range(len(word), 0, -1) if text.startswith(word[:length], at))
            return _Stopped(at + same, f"in literal {word} (expecting {word[same]!r})")
    return _Stopped(at, "looking for beginning of value")


def _no_string(text: str, at: int) -> _Stopped:
    match = _STRING_SO_FAR.match(text, at)
    at = match.end() if match else at
    escape = _ESCAPE_SO_FAR.match(text, at)
    if escape is None:
        return _Stopped(at, "in string literal")
    return _Stopped(escape.end(), "in \\u hexadecimal character escape" if escape[1] else "in string escape code")


def _no_mark(text: str, begin: int, at: int, holder: Any) -> _Stopped:
    """Neither a comma nor the right bracket comes after the value between ``begin`` and ``at``."""
    where = "after array element" if type(holder) is list else "after object key:value pair"
    return _unfinished_number(text, begin, at) or _Stopped(_after_space(text, at), where)


def _unfinished_number(text: str, begin: int, at: int) -> _Stopped | None:
    """What is wrong when the value between ``begin`` and ``at`` is only the good part of a number."""
    following = text[at : at + 1]
    if following not in _NUMBER_GOES_ON:
        return None
    literal = text[begin:at].lstrip(" \t\r\n")
    if not literal.startswith(_NUMBER_BEGINS) or "e" in literal or "E" in literal:
        return None
    if following == ".":
        return None if "." in literal else _Stopped(at + 1, "after decimal point in numeric literal")
    after_sign = at + 2 if text[at + 1 : at + 2] in _SIGNS else at + 1
    return _Stopped(after_sign, "in exponent of numeric literal")


_NUMBER_BEGINS: Final = tuple("-0123456789")
_NUMBER_GOES_ON: Final = (".", "e", "E")
_SIGNS: Final = ("+", "-")
_NAMED_BYTES: Final = {
    ord("'"): "\\'",
    ord("\\"): "\\\\",
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    11: "\\v",
    12: "\\f",
    13: "\\r",
}


def _quoted(byte: int) -> str:
    """Go shows a byte as the character of that number (``quoteChar``)."""
    if byte in _NAMED_BYTES:
        return f"'{_NAMED_BYTES[byte]}'"
    if byte < 0x20 or byte == 0x7F:
        return f"'\\x{byte:02x}'"
    return f"'{chr(byte)}'" if chr(byte).isprintable() else f"'\\u{byte:04x}'"
