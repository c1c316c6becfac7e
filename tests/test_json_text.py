"""JSON text as Go reads and writes it (live Go is asked in compat-tests)."""

from __future__ import annotations

import json
import re
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gomachinery_py.golang.json import JsonSyntaxError, Number, number_value, parse, quote, write_value


class Colour(IntEnum):
    RED = 3


class Name(str):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-(1 << 70), "-1180591620717411303424"),
        (1.0, "1"),
        (1.5, "1.5"),
        (-0.0, "-0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (123456789012345678.0, "123456789012345680"),
        (Number("1.50"), "1.50"),
        ("", '""'),
        ("<a&b>", '"\\u003ca\\u0026b\\u003e"'),
        ("\u2028\u2029é\x7f/", '"\\u2028\\u2029é\x7f/"'),
        ('"\\\b\f\n\r\t\x00\x1f', '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f"'),
        ("a\ud800b", '"a\\ufffdb"'),
        (b"\x00\xff", '"AP8="'),
        (bytearray(b"abcd"), '"YWJjZA=="'),
        (memoryview(b"a"), '"YQ=="'),
        ([], "[]"),
        ({}, "{}"),
        ((), "[]"),
        ([1, "a", [None, {}], ()], '[1,"a",[null,{}],[]]'),
        ({"b": 1, "a": {"<": [b""]}, "": 2, "é": 3}, '{"":2,"a":{"\\u003c":[""]},"b":1,"é":3}'),
        ({"\U00010000": 1, "\uffff": 2}, '{"\uffff":2,"\U00010000":1}'),
        (Colour.RED, "3"),
        (Name("x"), '"x"'),
    ],
)
def test_values_are_written(value: Any, text: str) -> None:
    """Each value has Go's text."""
    assert text == write_value(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (float("nan"), ValueError),
        ([float("inf")], ValueError),
        (Number("01"), ValueError),
        (Number("1\n"), ValueError),
        (object(), TypeError),
        ([set()], TypeError),
        ({1: 2}, TypeError),
        ({"a": 1, 2: 3}, TypeError),
        (1j, TypeError),
    ],
)
def test_what_json_cannot_hold(value: Any, kind: type[Exception]) -> None:
    """What Go cannot write either is a ValueError or TypeError."""
    with pytest.raises(kind):
        write_value(value)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("1" * 400, int("1" * 400)),
        ("1.5", 1.5),
        ("1e+21", 1e21),
        ("5e-324", 5e-324),
        ("-0", Number("-0")),
        ("-0.0", Number("-0.0")),
        ("1.0", Number("1.0")),
        ("1.50", Number("1.50")),
        ("1e5", Number("1e5")),
        ("1e21", Number("1e21")),
        ("1e400", Number("1e400")),
        ("1" * 5000, Number("1" * 5000)),
        ("0.1000000000000000055511151231257827", Number("0.1000000000000000055511151231257827")),
    ],
)
def test_a_number_is_plain_where_its_text_survives(literal: str, value: Any) -> None:
    """A literal becomes the Python number that is written like it, else it stays a literal."""
    assert (type(value), value) == (type(number_value(literal)), number_value(literal))
    assert literal == write_value(number_value(literal))


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
def test_every_literal_survives(literal: str) -> None:
    """Whatever the number, reading and writing it gives its text."""
    assert literal == write_value(parse(literal.encode()))


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b" [1, 2 ]tail", [1, 2]),
        (b'{"a":1,"b":{"c":[]},"a":null}', {"a": None, "b": {"c": []}}),
        (b'"\\ud83d\\ude00\\ud83d\\u0041\\/"', "😀\ufffdA/"),
        (b'"\xff\xed\xa0\x80"', "\ufffd\ufffd\ufffd\ufffd"),
        (b'{"\xff":"\xc3\xa9"}', {"\ufffd": "é"}),
        (b"nullable", None),
        (b"true", True),
    ],
)
def test_values_are_read(document: bytes, value: Any) -> None:
    """Documents are read as Go reads them into an ``interface{}``."""
    assert value == parse(document)


@pytest.mark.parametrize(
    ("document", "reason", "offset"),
    [
        (b"", "unexpected end of JSON input", 0),
        (b" [1,", "unexpected end of JSON input", 4),
        (b"[1}", "invalid character '}' after array element", 2),
        ('["é",}'.encode(), "invalid character '}' looking for beginning of value", 6),
        (b'["\xff",\xc3\xa9]', "invalid character 'Ã' looking for beginning of value", 5),
        (b'{"a" 1}', "invalid character '1' after object key", 5),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string", 1),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair", 7),
        (b'"a\n"', "invalid character '\\n' in string literal", 2),
        (b'"\\x"', "invalid character 'x' in string escape code", 2),
        (b'"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape", 5),
        (b"[-]", "invalid character ']' in numeric literal", 2),
        (b"[1.]", "invalid character ']' after decimal point in numeric literal", 3),
        (b"[1e-]", "invalid character ']' in exponent of numeric literal", 4),
        (b"[tru]", "invalid character ']' in literal true (expecting 'e')", 4),
        (b"[1.5.5]", "invalid character '.' after array element", 4),
        (b"\x00", "invalid character '\\x00' looking for beginning of value", 0),
        (b"\x85", "invalid character '\\u0085' looking for beginning of value", 0),
        (b"[" * 20_000, "invalid character '[' exceeded max depth", 10_000),
    ],
)
def test_syntax_errors(document: bytes, reason: str, offset: int) -> None:
    """An error has Go's text and the byte that cannot be there."""
    with pytest.raises(JsonSyntaxError) as caught:
        parse(document)
    assert (reason, offset) == (caught.value.reason, caught.value.offset)
    assert f"{reason} (at byte {offset})" == str(caught.value)


@given(st.text(st.characters(codec=None)))
@example("a\ud83d\ude00<")
def test_strings_are_json(text: str) -> None:
    """Whatever a string holds, its text is JSON that means it; what is no Unicode is replaced."""
    assert re.sub("[\ud800-\udfff]", "\ufffd", text) == json.loads(quote(text))
    assert not set("<>&\u2028\u2029\n") & set(quote(text))
