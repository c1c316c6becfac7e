"""Numbers as Go writes and reads them (live Go is asked in compat-tests)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomachinery_py.golang.strconv import (
    NumError,
    float32_text,
    float64_text,
    parse_float,
    parse_int,
    parse_uint,
)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float64_means_itself(number: float) -> None:
    """The text reads as the very same float, and holds no more digits than Python's."""
    text = float64_text(number)
    assert struct.pack("d", number) == struct.pack("d", float(text))
    digits = len(repr(abs(number)).partition("e")[0].replace(".", "").strip("0"))
    assert len(text.lstrip("-").partition("e")[0].replace(".", "").strip("0")) <= digits


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_means_itself(number: float) -> None:
    """The text reads as the same float32, and one digit less would not."""
    text = float32_text(number)
    assert struct.pack("f", number) == struct.pack("f", float(text))
    digits = len(text.lstrip("-").partition("e")[0].replace(".", "").strip("0"))
    if digits > 1:
        assert number != struct.unpack("f", struct.pack("f", _capped(f"{number:.{digits - 2}e}")))[0]


def _capped(text: str) -> float:
    return max(-3.4028234e38, min(3.4028234e38, float(text)))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (9.999999e-7, "9.999999e-7"),
        (1e20, "100000000000000000000"),
        (9.99e20, "999000000000000000000"),
        (1e21, "1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (-1.25e-10, "-1.25e-10"),
    ],
)
def test_float64_texts(number: float, text: str) -> None:
    """Exponents below 1e-6 and from 1e21, nowhere else."""
    assert text == float64_text(number)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (16777216.0, "16777216"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (1.401298464324817e-45, "1e-45"),
        (struct.unpack("f", struct.pack("f", 1e-6))[0], "0.000001"),
        (struct.unpack("f", struct.pack("f", 1e21))[0], "1e+21"),
        (-0.0, "-0"),
        (2.0**-12, "0.00024414063"),
        (2.0**-96, "1.2621775e-29"),
    ],
)
def test_float32_texts(number: float, text: str) -> None:
    """The shortest digits among float32, and its own bounds for exponents."""
    assert text == float32_text(number)


@pytest.mark.parametrize("write", [float32_text, float64_text])
@pytest.mark.parametrize(("number", "shown"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")])
def test_what_is_no_number(write: Callable[[float], str], number: float, shown: str) -> None:
    """NaN and infinities are refused in Go's words."""
    with pytest.raises(ValueError, match=f"^json: unsupported value: {shown.replace('+', '.')}$"):
        write(number)


def test_beyond_float32() -> None:
    """A float64 that no float32 is near is refused."""
    with pytest.raises(ValueError, match="does not fit float32"):
        float32_text(3.5e38)


@pytest.mark.parametrize(
    ("parse", "literal", "text"),
    [
        (parse_int, "1.0", 'strconv.ParseInt: parsing "1.0": invalid syntax'),
        (parse_int, "", 'strconv.ParseInt: parsing "": invalid syntax'),
        (parse_int, "٣", 'strconv.ParseInt: parsing "٣": invalid syntax'),
        (parse_int, "9223372036854775808", 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        (parse_int, "18446744073709551616@", 'strconv.ParseInt: parsing "18446744073709551616@": value out of range'),
        (
            parse_int,
            "-18446744073709551616.5",
            'strconv.ParseInt: parsing "-18446744073709551616.5": value out of range',
        ),
        (parse_int, "018446744073709551615@", 'strconv.ParseInt: parsing "018446744073709551615@": invalid syntax'),
        (parse_uint, "-18446744073709551616", 'strconv.ParseUint: parsing "-18446744073709551616": invalid syntax'),
        (parse_uint, "9" * 50 + "x", f'strconv.ParseUint: parsing "{"9" * 50}x": value out of range'),
        (parse_uint, "-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        (parse_uint, "18446744073709551616", 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
        (parse_float, "1e400", 'strconv.ParseFloat: parsing "1e400": value out of range'),
        (parse_float, "x", 'strconv.ParseFloat: parsing "x": invalid syntax'),
    ],
)
def test_numbers_that_cannot_be(parse: Callable[[str], float], literal: str, text: str) -> None:
    """Errors have Go's text."""
    with pytest.raises(NumError) as caught:
        parse(literal)
    assert text == str(caught.value)


def test_numbers_at_the_limits() -> None:
    """The widest integers are read, and leading zeros do not count."""
    assert (1 << 63) - 1 == parse_int("9223372036854775807")
    assert -(1 << 63) == parse_int("-9223372036854775808")
    assert (1 << 64) - 1 == parse_uint("18446744073709551615")
    assert 7 == parse_int("0" * 5000 + "7")
    assert 0.1 == parse_float("1e-1")
