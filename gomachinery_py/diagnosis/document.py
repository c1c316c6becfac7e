"""A signature as it was written: every member in its order, unknown keys, duplicates and spelling included."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gomachinery_py.golang.json import Members, Shape, parse
from gomachinery_py.wire.decode import SIGNATURE, Field, Struct

__all__ = ["Key", "Member", "document_end", "members_of", "read", "shortened", "text_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it was written, and the field that Go takes it for; None for one that Go drops."""

    written: str
    field: Field | None


class Member(NamedTuple):
    """One member of a signature or an argument, or an element of a list in one."""

    parent: Member | None
    """The member, or element, that holds it."""
    struct: Struct[Any]
    """What kind of object it is in."""
    holder: int
    """Which object it is in: one number for each."""
    key: Key
    position: int | None
    """The place in the list, for an element."""
    value: Any
    at: int
    """The character before which nothing but spaces belongs to it."""

    @property
    def path(self) -> str:
        """For people: ``OnSuccess[0].Args[1].Value``; of a very long one the end."""
        return shortened(".".join(reversed([member._step(with_position=True) for member in self._ancestry()])))

    @property
    def go_path(self) -> str:
        """As Go's errors have it, without positions: ``OnSuccess.Args.Value``."""
        return ".".join(reversed([member._step(with_position=False) for member in self._ancestry()]))

    def _ancestry(self) -> Iterator[Member]:
        member: Member | None = self
        while member is not None:
            yield member
            member = member.parent

    def _step(self, *, with_position: bool) -> str:
        name = self.key.written if self.key.field is None else self.key.field.name
        return f"{name}[{self.position}]" if with_position and self.position is not None else name


def shortened(path: str) -> str:
    """A path that people can still read."""
    return path if len(path) <= _LONGEST_PATH else f"…{path[-_LONGEST_PATH:]}"


_LONGEST_PATH: Final = 300


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
    holders = itertools.count()
    stack: list[Iterator[Member]] = [_members(tree, SIGNATURE, None, next(holders))]
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
            stack.append(_members(member.value, field.struct, member, next(holders)))
        elif type(member.value) is list and member.position is None and field.kind.startswith("[]"):
            stack.append(_elements(member))


def _members(members: Members, struct: Struct[Any], parent: Member | None, holder: int) -> Iterator[Member]:
    for key, value, at in members:
        yield Member(parent, struct, holder, key, None, value, at)


def _elements(member: Member) -> Iterator[Member]:
    for position, value in enumerate(member.value):
        yield member._replace(position=position, value=value)


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
