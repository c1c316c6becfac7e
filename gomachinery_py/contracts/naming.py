"""Identifiers for names that may be any text, such as ``billing.charge`` or ``send-mail``."""

from __future__ import annotations

import keyword
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterable
from typing import Final

__all__ = ["GO_RESERVED", "distinct", "go_name", "numbered", "pascal_name", "python_name"]

_GO_WORDS: Final = (
    "break case chan const continue default defer else fallthrough for func go goto if import interface map package "
    "range return select struct switch type var "
    "any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune string uint "
    "uint8 uint16 uint32 uint64 uintptr true false iota nil append cap clear close complex copy delete imag len make "
    "max min new panic print println real recover init main _"
)
GO_RESERVED: Final = frozenset(_GO_WORDS.split())
"""Go's keywords and predeclared identifiers: none of them is shadowed."""


def python_name(text: str, reserved: Collection[str] = ()) -> str:
    """A Python identifier that resembles ``text``; one of Python's words or of ``reserved`` gets a ``_``."""
    normal = unicodedata.normalize("NFKC", text)
    name = "".join(character if f"a{character}".isidentifier() else "_" for character in normal)
    if name.startswith("__"):
        # Private to a class, and mangled inside one.
        name = name.lstrip("_")
    if not name.isidentifier():
        name = f"task_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in reserved else name


def go_name(text: str, reserved: Collection[str] = ()) -> str:
    """A Go identifier that resembles ``text``, for a parameter."""
    name = "".join(character if _is_go(character) else "_" for character in text)
    if not name or name[0].isdigit():
        name = f"_{name}"
    return f"{name}_" if name in GO_RESERVED or name in reserved else name


def pascal_name(text: str) -> str:
    """``text`` as a part of a Go identifier: ``BillingCharge`` of ``billing.charge``; may begin with a digit."""
    words = "".join(character if _is_go(character) and character != "_" else " " for character in text).split()
    return "".join(word[0].upper()[0] + word[1:] for word in words)


def _is_go(character: str) -> bool:
    return character == "_" or unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")


def distinct(names: Iterable[str], identifier: Callable[[str], str]) -> dict[str, str]:
    """An identifier for each name, none twice.

    Of names with one identifier only the one that *is* it keeps it, the others get a checksum behind it: a name that is
    added later must never take over an identifier that calls another task.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(identifier(name), []).append(name)
    return {
        name: found if len(group) == 1 or name == found else f"{found}_{zlib.crc32(name.encode()):08x}"
        for found, group in groups.items()
        for name in group
    }


def numbered(names: Iterable[str | None], identifier: Callable[[str], str]) -> list[str]:
    """An identifier for each parameter, none twice; ``arg1`` … for those without a name."""
    found: list[str] = []
    for index, name in enumerate(names, start=1):
        one = identifier(f"arg{index}" if name is None else name)
        while one in found:
            one += "_"
        found.append(one)
    return found
