"""Go's times and durations (live Go is asked in compat-tests; the golden cases have more texts)."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomachinery_py.golang.time import ZERO_TIME, Time, format_duration, format_time, parse_time, unix_ns

NS = 1_709_209_845_123_456_789
moments = st.integers(-62_167_132_800 * 10**9, 253_402_214_400 * 10**9 - 1)
offsets = st.integers(-1439, 1439).map(lambda minutes: minutes * 60)


@given(moments, offsets)
def test_times_survive(ns: int, offset: int) -> None:
    """Nanoseconds and offset come back from the text, whatever the year."""
    made = Time.from_unix_ns(ns, offset)
    read = parse_time(format_time(made))
    assert (ns, offset) == (read.unix_ns, read.offset_seconds)
    assert format_time(made) == format_time(read) == format_time(Time.from_unix_ns(ns, offset))


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)), offsets)
def test_a_time_is_its_datetime(naive: datetime, offset: int) -> None:
    """A Time shows the same fields as the datetime of that moment and zone, and equals it."""
    plain = naive.replace(tzinfo=timezone(timedelta(seconds=offset)))
    made = Time.from_unix_ns(unix_ns(plain), offset)
    assert (plain.date(), plain.time(), plain.utcoffset()) == (made.date(), made.time(), made.utcoffset())
    assert plain == made
    assert hash(plain) == hash(made)
    assert format_time(plain) == format_time(made)


@given(st.text("0123456789-:TZ.,+ é٣", max_size=30) | st.text(max_size=5))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    """Text is refused with a ValueError or read as a time that shows itself."""
    try:
        read = parse_time(text)
    except ValueError:
        return
    assert format_time(read)[:4] == text[:4]


@pytest.mark.parametrize(
    ("text", "ns", "offset"),
    [
        ("2024-02-29T12:30:45.123456789Z", NS, 0),
        ("2024-02-29T12:30:45.1234567891Z", NS, 0),
        ("2024-02-29T14:30:45,123456789+02:00", NS, 7200),
        ("1970-01-01T0:00:00Z", 0, 0),
        ("1969-12-31T23:59:59.9Z", -100_000_000, 0),
        ("1970-01-02T00:00:00+24:00", 0, 86_400),
        ("0000-01-01T00:00:00Z", -62_167_219_200 * 10**9, 0),
    ],
)
def test_texts_are_read(text: str, ns: int, offset: int) -> None:
    """Texts that Go reads, canonical or not."""
    read = parse_time(text)
    assert (ns, offset) == (read.unix_ns, read.offset_seconds)


def test_what_cannot_be_written() -> None:
    """Offsets of a day and years of five digits have no text, and say so as Go does."""
    with pytest.raises(ValueError, match=r"^timezone hour outside of range \[0,23\]$"):
        format_time(parse_time("2024-01-01T00:00:00+24:00"))
    beyond = Time.from_unix_ns(253_402_300_800 * 10**9)
    with pytest.raises(ValueError, match=r"^year outside of range \[0,9999\]$"):
        format_time(beyond)
    assert "Time.from_unix_ns(253402300800000000000, 0)" == repr(beyond)
    with pytest.raises(ValueError, match="has no time zone"):
        format_time(datetime(2024, 1, 1))


def test_the_zero_time() -> None:
    """Go's zero time is the first moment of year 1."""
    assert "0001-01-01T00:00:00Z" == format_time(ZERO_TIME)
    assert datetime.min.replace(tzinfo=UTC) == ZERO_TIME


def test_offsets_of_seconds_are_cut() -> None:
    """Go shows whole minutes of an offset, and a sign only from a minute on."""
    assert "1970-01-01T00:00:30+00:00" == format_time(Time.from_unix_ns(0, 30))
    assert "1969-12-31T23:59:30+00:00" == format_time(Time.from_unix_ns(0, -30))
    assert "1969-12-31T23:58:30-00:01" == format_time(Time.from_unix_ns(0, -90))


def test_comparisons_are_exact() -> None:
    """A nanosecond makes a difference, an offset none."""
    first, second = Time.from_unix_ns(NS), Time.from_unix_ns(NS + 1)
    assert first < second
    assert first <= second
    assert second > first
    assert second >= first
    assert first != second
    assert first == Time.from_unix_ns(NS, 3600)
    assert hash(first) == hash(Time.from_unix_ns(NS, 3600))
    assert first != datetime(2024, 2, 29, 12, 30, 45, 123456, UTC)
    assert first > datetime(2024, 2, 29, 12, 30, 45, 123455, UTC)
    assert first != datetime(2024, 2, 29, 12, 30, 45, 123456)
    assert (first == "2024") is False


def test_datetime_methods_give_times() -> None:
    """What datetime's own methods make of a Time is a Time that can be written."""
    made = Time.from_unix_ns(NS, 3600)
    others = [
        made + timedelta(seconds=1),
        made.replace(hour=1),
        made.astimezone(timezone(timedelta(hours=-3))),
        Time(2024, 1, 1),
        Time.combine(date(2024, 1, 1), time(1)),
        Time.fromisoformat("2024-01-01T00:00:00+01:00"),
        Time.fromtimestamp(5, UTC),
        Time.strptime("2024", "%Y"),
    ]
    assert {Time} == {type(other) for other in others}
    assert "2024-02-29T01:30:45.123456+01:00" == format_time(made.replace(hour=1))
    assert "2024-02-29T13:30:46.123456+01:00" == format_time(made + timedelta(seconds=1))
    assert "2024-01-01T00:00:00Z" == format_time(Time(2024, 1, 1))
    assert timedelta() == made - made


def test_copies_are_exact() -> None:
    """Pickled and copied times keep nanoseconds and offset."""
    made = Time.from_unix_ns(NS, 3600)
    for twin in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert (NS, 3600) == (twin.unix_ns, twin.offset_seconds)
    assert 123_456_789 == made.nanosecond


def test_now() -> None:
    """The present in UTC, or in a zone."""
    before = Time.now()
    there = Time.now(timezone(timedelta(hours=2)))
    assert before <= there <= Time.now()
    assert (0, 7200) == (before.offset_seconds, there.offset_seconds)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (999_999_999, "999.999999ms"),
        (3_300_000_000, "3.3s"),
        (60_000_000_000, "1m0s"),
        (245_000_000_000, "4m5s"),
        (18_367_008_000_000, "5h6m7.008s"),
        (-1_500_000_000, "-1.5s"),
        (-(1 << 63), "-2562047h47m16.854775808s"),
    ],
)
def test_durations(ns: int, text: str) -> None:
    """Durations read as Go prints them."""
    assert text == format_duration(ns)
