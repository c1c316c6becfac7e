"""``%v`` of what ``encoding/json`` decodes, as Machinery's error texts show it.

Go source: ``fmt/print.go`` (maps are printed with sorted keys).
"""

from __future__ import annotations

from typing import Any

from gomachinery_py.golang.strconv import float64_text

__all__ = ["format_value"]


def format_value(value: Any) -> str:
    """Go: ``fmt.Sprintf("%v", value)`` of a decoded JSON value."""
    parts: list[str] = []
    # Values may be nested deeper than Python recurses.
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, _Text):
            parts.append(item)
        elif item is None:
            parts.append("<nil>")
        elif isinstance(item, bool):
            parts.append("true" if item else "false")
        elif isinstance(item, str):
            parts.append(str(item))
        elif isinstance(item, int):
            parts.append(str(int(item)))
        elif isinstance(item, float):
            parts.append(float64_text(item))
        elif isinstance(item, bytes | bytearray):
            parts.append("[" + " ".join(map(str, item)) + "]")
        elif isinstance(item, dict):
            stack.append(_Text("]"))
            for position, key in enumerate(sorted(item, reverse=True)):
                stack.append(item[key])
                stack.append(_Text(f"{' ' if position < len(item) - 1 else ''}{key}:"))
            stack.append(_Text("map["))
        else:
            stack.append(_Text("]"))
            for position, element in enumerate(reversed(item)):
                stack.append(element)
                if position < len(item) - 1:
                    stack.append(_Text(" "))
            stack.append(_Text("["))
    return "".join(parts)


class _Text(str):
    """Text that is printed as it is, among values that are still to be printed."""

    __slots__ = ()
