"""``%v`` of what ``encoding/json`` decodes, as Machinery's error texts show it.

Go source: ``fmt/print.go`` (maps are printed with sorted keys).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from gomachinery_py.golang.strconv import float64_text

__all__ = ["LONGEST", "format_value"]

LONGEST: Final = 1_000_000
"""Characters after which a value is cut short: whoever sends 16 MiB of the wrong kind need not read it all again."""


def format_value(value: Any) -> str:
    """Go: ``fmt.Sprintf("%v", value)`` of a decoded JSON value; what is longer than :data:`LONGEST` ends in ``…``."""
    parts: list[str] = []
    length = 0
    # Values may be nested deeper than Python recurses.
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        for item in stack[-1]:
            if isinstance(item, dict):
                text = "map["
                stack.append(_members(item))
            elif isinstance(item, list | tuple):
                text = "["
                stack.append(_elements(item))
            else:
                text = _scalar(item)
            parts.append(text)
            length += len(text)
            if length > LONGEST:
                return f"{''.join(parts)[:LONGEST]}…"
            if text in ("[", "map[") and not isinstance(item, str):
                break
        else:
            stack.pop()
    return "".join(parts)


class _Text(str):
    """Text that is printed as it is, among values that are still to be printed."""

    __slots__ = ()


_SPACE: Final = _Text(" ")
_END: Final = _Text("]")


def _elements(items: Any) -> Iterator[Any]:
    return chain((part for at, item in enumerate(items) for part in ((_SPACE, item) if at else (item,))), (_END,))


def _members(items: dict[str, Any]) -> Iterator[Any]:
    return chain(
        (part for at, key in enumerate(sorted(items)) for part in (_Text(f"{' ' if at else ''}{key}:"), items[key])),
        (_END,),
    )


def _scalar(item: Any) -> str:
    if item is None:
        return "<nil>"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return str(item)
    if isinstance(item, int):
        return str(int(item))
    if isinstance(item, float):
        return float64_text(item)
    return "[" + " ".join(map(str, item)) + "]"
