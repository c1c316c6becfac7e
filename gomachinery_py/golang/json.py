"""``encoding/json``: reading, writing, and numbers that keep their text."""

from __future__ import annotations

from gomachinery_py.golang.json_number import Number, number_value
from gomachinery_py.golang.json_read import MAX_DEPTH, EscapedText, JsonSyntaxError, Members, Shape, byte_offset, parse
from gomachinery_py.golang.json_write import escaped, quote, string_text, value_text, write_value
from gomachinery_py.golang.strconv import float32_text, float64_text

__all__ = [
    "MAX_DEPTH",
    "EscapedText",
    "JsonSyntaxError",
    "Members",
    "Number",
    "Shape",
    "byte_offset",
    "escaped",
    "float32_text",
    "float64_text",
    "number_value",
    "parse",
    "quote",
    "string_text",
    "value_text",
    "write_value",
]
