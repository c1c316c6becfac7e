"""Wire values as Python values by type name, with Go's texts (the live comparison is in compat-tests)."""

from __future__ import annotations

from typing import Any

import pytest

from gomachinery_py.errors import ArgumentError
from gomachinery_py.golang.json import Number
from gomachinery_py.wire.model import Arg
from gomachinery_py.wire.reflect import TYPE_NAMES, reflect_args, reflect_value

VALUES: list[tuple[str, Any, Any]] = [
    ("bool", True, True),
    ("int64", 5, 5),
    ("int64", -(1 << 63), -(1 << 63)),
    ("int8", 127, 127),
    ("uint64", (1 << 64) - 1, (1 << 64) - 1),
    ("int64", Number("-0"), 0),
    ("float64", 5, 5.0),
    ("float64", 1.5, 1.5),
    ("float64", Number("1.50"), 1.5),
    ("float64", Number("1E5"), 100000.0),
    ("float64", Number("1e-400"), 0.0),
    ("float64", 1 << 64, 18446744073709551616.0),
    ("float32", 0.1, 0.10000000149011612),
    ("string", "héllo", "héllo"),
    ("[]bool", [True, False], [True, False]),
    ("[]int64", [1, 2], [1, 2]),
    ("[]int64", None, []),
    ("[]int64", {}, []),
    ("[]int64", "", []),
    ("[]float64", [1, Number("1.0")], [1.0, 1.0]),
    ("[]float32", [0.1], [0.10000000149011612]),
    ("[]string", ["a", "b"], ["a", "b"]),
    ("[]byte", "YWI=", b"ab"),
    ("[]uint8", "YWI=", b"ab"),
    ("[]uint8", [1, 2], b"\x01\x02"),
    ("[]uint8", None, b""),
    ("[]uint16", "YWI=", [97, 98]),
    ("[]uint64", 15, [49, 53]),
    ("[]byte", "Y\nW\rI=\n", b"ab"),
    ("[]byte", b"ab", b"ab"),
]


@pytest.mark.parametrize(("type_name", "value", "expected"), VALUES, ids=range(len(VALUES)))
def test_values(type_name: str, value: Any, expected: Any) -> None:
    """A value that Go accepts, and the Python type that it gets."""
    found = reflect_value(type_name, value)
    assert (expected, type(expected)) == (found, type(found))


ERRORS: list[tuple[str, Any, str]] = [
    ("int64", "5", "5 is not int64"),
    ("int64", None, "<nil> is not int64"),
    ("int64", True, "true is not int64"),
    ("int64", [1, "a"], "[1 a] is not int64"),
    ("int64", {"b": 1, "a": None}, "map[a:<nil> b:1] is not int64"),
    ("int64", 1.5, 'strconv.ParseInt: parsing "1.5": invalid syntax'),
    ("int64", Number("1.0"), 'strconv.ParseInt: parsing "1.0": invalid syntax'),
    ("int", 1e21, 'strconv.ParseInt: parsing "1e+21": invalid syntax'),
    ("int64", 1 << 63, 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
    ("uint", -1, 'strconv.ParseUint: parsing "-1": invalid syntax'),
    ("uint64", 1 << 64, 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
    ("float64", Number("1e400"), 'strconv.ParseFloat: parsing "1e400": value out of range'),
    ("float64", "x", "x is not float64"),
    ("bool", 1, "1 is not bool"),
    ("string", Number("1.50"), "1.50 is not string"),
    ("string", None, "<nil> is not string"),
    ("[]int64", "5", "53 is not int64"),
    ("[]int64", 5, "53 is not int64"),
    ("[]string", "5", "53 is not string"),
    ("[]int64", [1, None], "<nil> is not int64"),
    ("[]byte", ["a"], "a is not uint8"),
    ("[]byte", "YQ", "illegal base64 data at input byte 0"),
    ("[]byte", "YQ=", "illegal base64 data at input byte 3"),
    ("[]byte", "YWJj!", "illegal base64 data at input byte 4"),
    ("[]byte", "YQ==x", "illegal base64 data at input byte 4"),
    ("[]byte", "Y===", "illegal base64 data at input byte 1"),
    ("[]uint64", "é", "illegal base64 data at input byte 0"),
    ("int128", 5, "int128 is not one of supported types"),
    ("", 5, " is not one of supported types"),
    ("[][]int", 5, "[][]int is not one of supported types"),
    # Ours, where Go wraps, overflows or dies; where Go finds an error as well, it is Go's.
    ("int8", 300, "300 does not fit int8 (-128 to 127)"),
    ("uint32", 1 << 32, "4294967296 does not fit uint32 (0 to 4294967295)"),
    ("[]int8", [1, 300, 400], "300 does not fit int8 (-128 to 127)"),
    ("[]int8", [300, 1.5], 'strconv.ParseInt: parsing "1.5": invalid syntax'),
    ("float32", Number("3.5e38"), "3.5e+38 does not fit float32"),
    ("[]int64", True, "true is not []int64"),
    ("[]string", {"a": 1}, "map[a:1] is not []string"),
]


@pytest.mark.parametrize(("type_name", "value", "text"), ERRORS, ids=range(len(ERRORS)))
def test_errors(type_name: str, value: Any, text: str) -> None:
    """A value that does not fit, with the text that a Go worker stores."""
    with pytest.raises(ArgumentError) as caught:
        reflect_value(type_name, value)
    assert text == str(caught.value)


def test_arguments() -> None:
    """All arguments in their order; none and nil are none."""
    assert reflect_args([Arg("int64", 1), Arg("string", "a"), Arg("[]int64", [2])]) == [1, "a", [2]]
    assert [] == reflect_args([]) == reflect_args(None)


def test_the_first_bad_argument_is_reported_as_by_a_worker() -> None:
    """Go's text with Machinery's words before it."""
    with pytest.raises(ArgumentError) as caught:
        reflect_args([Arg("int64", 1), Arg("int64", "x"), Arg("nope", 1)])
    assert str(caught.value) == "Reflect task args error: x is not int64"


def test_gos_error_in_a_later_argument_wins_over_a_refusal_of_ours() -> None:
    """Go would have passed over the first."""
    with pytest.raises(ArgumentError) as caught:
        reflect_args([Arg("int8", 300), Arg("bool", 1)])
    assert str(caught.value) == "Reflect task args error: 1 is not bool"


def test_a_number_of_many_digits_is_an_error_in_no_time() -> None:
    """A million digits are out of range, not a second of work or Python's own limit."""
    with pytest.raises(ArgumentError, match="value out of range"):
        reflect_value("int64", 1 << 3_000_000)


def test_every_type_has_its_own_name() -> None:
    """The 29 types of Machinery's typesMap."""
    assert len(TYPE_NAMES) == 29
