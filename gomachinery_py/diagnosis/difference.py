"""Two messages compared: what Go sees differ, and what is only written in another way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from gomachinery_py.diagnosis.decoding import Decoding, decode
from gomachinery_py.diagnosis.document import Member, members_of
from gomachinery_py.diagnosis.suggestions import shown
from gomachinery_py.golang.json import EscapedText, Members, Number, parse, value_text
from gomachinery_py.wire import decode_signature, encode_signature

__all__ = ["Difference", "Meaning", "differences"]


class Meaning(StrEnum):
    """What a difference means to Go."""

    DIFFERS = "differs"
    """Another task, or one that only one of them is."""
    NIL = "nil or empty"
    """``null`` and ``[]`` or ``{}``: the same to a task, other bytes when it is passed on."""
    LITERAL = "literal"
    """One number, written in two ways: the same to a float, and other bytes when it is passed on."""
    WRITTEN = "written"
    """The same to Go, which writes both alike."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``left`` and ``right`` are what stands there, as text for people."""

    meaning: Meaning
    path: str
    left: str
    right: str


_STEP: Final = re.compile(r"[.\[]")
_ABSENT: Final = object()


def differences(left: bytes, right: bytes) -> list[Difference]:
    """How two messages differ; empty only when they are the same bytes."""
    if left == right:
        return []
    decoded = decode(left), decode(right)
    if decoded[0].error or decoded[1].error:
        return [Difference(Meaning.DIFFERS, "", *(one.error or "can be read" for one in decoded))]
    found = list(_seen(_canonical(left), _canonical(right)))
    told = {difference.path for difference in found}
    found += (difference for difference in _written(*decoded) if not _is_within(difference.path, told))
    return found or [Difference(Meaning.WRITTEN, "", *("other spaces, escapes or text behind",) * 2)]


def _is_within(path: str, told: set[str]) -> bool:
    """Whether a path, or what holds it, is among those told."""
    return path in told or any(path[: mark.start()] in told for mark in _STEP.finditer(path))


def _canonical(data: bytes) -> Any:
    """As Go would write it; what cannot be written, as it was written."""
    signature = decode_signature(data)
    try:
        return parse(encode_signature(signature))
    except ValueError:
        return parse(data)


def _seen(left: Any, right: Any) -> Iterator[Difference]:
    stack: list[tuple[str, Any, Any]] = [("", left, right)]
    while stack:
        path, one, other = stack.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            keys = [*one, *(key for key in other if key not in one)]
            stack += [
                (f"{path}.{key}" if path else key, one.get(key, _ABSENT), other.get(key, _ABSENT))
                for key in reversed(keys)
            ]
        elif isinstance(one, list) and isinstance(other, list):
            count = max(len(one), len(other))
            stack += [(f"{path}[{at}]", _item(one, at), _item(other, at)) for at in reversed(range(count))]
        elif not _same(one, other):
            yield Difference(_meaning(one, other), path, _text(one), _text(other))


def _item(items: list[Any], at: int) -> Any:
    return items[at] if at < len(items) else _ABSENT


def _same(one: Any, other: Any) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return value_text(one) == value_text(other)


def _meaning(one: Any, other: Any) -> Meaning:
    if (one is None and other in ([], {})) or (other is None and one in ([], {})):
        return Meaning.NIL
    if _is_number(one) and _is_number(other):
        try:
            if Decimal(value_text(one)) == Decimal(value_text(other)):
                return Meaning.LITERAL
        except InvalidOperation:
            pass
    return Meaning.DIFFERS


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Number) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return "absent" if value is _ABSENT else shown(value)


# -- how it is written --


def _written(left: Decoding, right: Decoding) -> Iterator[Difference]:
    sides = [_keys(side) for side in (left, right)]
    for path in [*sides[0], *(path for path in sides[1] if path not in sides[0])]:
        words = [side.get(path, "not written") for side in sides]
        if words[0] != words[1]:
            yield Difference(Meaning.WRITTEN, path, *words)
    orders = [[path for path in side if path in sides[1 - at]] for at, side in enumerate(sides)]
    if orders[0] != orders[1]:
        first = next(pair for pair in zip(*orders, strict=True) if pair[0] != pair[1])
        yield Difference(Meaning.WRITTEN, "", f"{first[0]} comes first", f"{first[1]} comes first")


def _keys(side: Decoding) -> dict[str, str]:
    """How each key is written, by its path, in the order of the text."""
    found: dict[str, str] = {}
    if type(side.tree) is Members:
        for member in members_of(side.tree):
            if member.position is None:
                words = _words(member)
                found[member.path] = f"{words}, twice" if member.path in found else words
    return found


def _words(member: Member) -> str:
    if member.key.field is None:
        return f"dropped by Go: {_text(member.value)}"
    escapes = ", with escapes" if type(member.value) is EscapedText else ""
    return f'as "{member.key.written}"{escapes}'
