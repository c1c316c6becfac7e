"""Numbers of JSON that keep their literal text, as ``json.Number`` does under ``Decoder.UseNumber``."""

from __future__ import annotations

import math
from typing import Final

from gomachinery_py.golang.strconv import float64_text

__all__ = ["NUMBER", "Number", "number_value"]

NUMBER: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
"""A number literal, as a regular expression."""

# Nobody counts with more digits, and Python may refuse them (``sys.int_info.default_max_str_digits``).
_LONGEST_INT: Final = 4300
# No float64 is written with more characters.
_LONGEST_FLOAT: Final = 25


class Number(str):
    """A literal that no Python number would be written as again: ``1.50``, ``1E5``, ``-0`` (Go: ``json.Number``)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Number({str(self)!r})"


def number_value(literal: str) -> int | float | Number:
    """A plain int or float where Go would write it as ``literal`` again, else the :class:`Number`."""
    if literal.lstrip("-").isdecimal():
        if len(literal.lstrip("-")) > _LONGEST_INT or literal == "-0":
            return Number(literal)
        try:
            return int(literal)
        except ValueError:  # Python is set to refuse even fewer.
            return Number(literal)
    if len(literal) <= _LONGEST_FLOAT:
        number = float(literal)
        if math.isfinite(number) and float64_text(number) == literal:
            return number
    return Number(literal)
