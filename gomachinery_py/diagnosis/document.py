"""A signature as it was written: every member in its order, unknown ones, duplicates and the spelling of keys included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gomachinery_py.golang.json import Members, Shape, parse
from gomachinery_py.wire.decode import SIGNATURE, Field, Struct

__all__ = ["Key", "Member", "document_end", "members_of", "read", "text_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it was written, and the field that Go takes it for; None for one that Go drops."""

    written: str
    field: Field | None


class Member(NamedTuple):
    """One member of a signature or an argument, or an element of a list in one."""

    path: str
    """For people: ``OnSuccess[0].Args[1].Value``."""
    go_path: str
    """As Go's errors have it, without positions: ``OnSuccess.Args.Value``."""
    struct: Struct[Any]
    """What holds it."""
    key: Key
    position: int | None
    """The place in the list, for an element."""
    value: Any
    at: int
    """The character before which nothing but spaces belongs to it."""


class _Written:
    """A shape that keeps every member (``golang.json.Shape``)."""

    def __init__(self, struct: Struct[Any]) -> None:
        self._struct = struct

    def member(self, key: str) -> tuple[Key, Shape | None]:
        found = self._struct.member(key)
        if found is None:
            return Key(key, None), None
        field, inner = found
        return Key(key, field), None if inner is None else _Written(inner)


def text_of(data: bytes) -> str:
    """The characters that positions count: each byte that is not UTF-8 is one."""
    return data.decode("utf-8", "surrogateescape")


def read(data: bytes) -> Any:
    """The first JSON value: :class:`~gomachinery_py.golang.json.Members` with :class:`Key` names for an object.

    Raises JsonSyntaxError.
    """
    return parse(data, _Written(SIGNATURE))


def members_of(tree: Members) -> Iterator[Member]:
    """Every member in the order of the text, those of nested arguments and signatures right after what holds them."""
    stack: list[Iterator[Member]] = [_members(tree, SIGNATURE, "", "")]
    while stack:
        member = next(stack[-1], None)
        if member is None:
            stack.pop()
            continue
        yield member
        field = member.key.field
        if field is None or field.struct is None:
            continue
        if type(member.value) is Members and (member.position is not None) == field.kind.startswith("[]"):
            stack.append(_members(member.value, field.struct, member.path + ".", member.go_path + "."))
        elif type(member.value) is list and member.position is None and field.kind.startswith("[]"):
            stack.append(_elements(member))


def _members(members: Members, struct: Struct[Any], path: str, go_path: str) -> Iterator[Member]:
    for key, value, at in members:
        name = key.written if key.field is None else key.field.name
        yield Member(f"{path}{name}", f"{go_path}{name}", struct, key, None, value, at)


def _elements(member: Member) -> Iterator[Member]:
    for position, value in enumerate(member.value):
        yield member._replace(path=f"{member.path}[{position}]", position=position, value=value)


_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def document_end(text: str) -> int:
    """Where an object or array that can be read ends, in characters."""
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)
