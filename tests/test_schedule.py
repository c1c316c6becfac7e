"""Cron specs against what Go wrote down about them (the live comparison is in compat-tests)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gomachinery_py.errors import MachineryError
from gomachinery_py.golang.time import Time, format_time, parse_time
from gomachinery_py.schedule import ConstantDelaySchedule, ScheduleError, SpecSchedule, local_zone, parse

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parent.parent / "fixtures" / "golden" / "cron.json").read_text(encoding="utf-8")
)
FOLLOWED = [case for case in GOLDEN if "times" in case["go"]]
REFUSED = [case for case in GOLDEN if "times" not in case["go"]]
BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def following(case: dict[str, Any], moment: datetime) -> list[datetime | None]:
    """As many times as Go gave, from a start in the kind of ``moment``."""
    schedule = parse(case["spec"], local=ZoneInfo(case["zone"]))
    times: list[datetime | None] = []
    for _ in case["go"]["times"]:
        found = schedule.next(moment)
        times.append(found)
        if found is None:
            break
        moment = found
    return times


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: f"{case['about']}: {case['spec']}")
def test_datetimes_follow_go(case: dict[str, Any]) -> None:
    """From a datetime in a zone, the next times and their offsets are those that Go wrote."""
    start = (EPOCH + timedelta(microseconds=parse_time(case["start"]).unix_ns // 1000)).astimezone(
        ZoneInfo(case["zone"])
    )
    actual = [found and format_time(found) for found in following(case, start)]
    assert actual == case["go"]["times"]


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: f"{case['about']}: {case['spec']}")
def test_times_follow_go(case: dict[str, Any]) -> None:
    """From a Time, which carries nanoseconds and only an offset, the next times are the same moments as Times."""
    found = following(case, parse_time(case["start"]))
    zone = ZoneInfo(case["zone"])
    actual = [
        moment and format_time((EPOCH + timedelta(microseconds=moment.unix_ns // 1000)).astimezone(zone))
        for moment in found
        if moment is None or isinstance(moment, Time)
    ]
    assert actual == case["go"]["times"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: repr(case["spec"]))
def test_refused_specs_tell_go_s_reason(case: dict[str, Any]) -> None:
    """What Go refuses is refused with Go's text, and what makes Go panic is refused too."""
    with pytest.raises(ScheduleError) as refused:
        parse(case["spec"], local=UTC)
    panicked = "the time zone is not followed by a space and a schedule"
    assert (refused.value.spec, refused.value.reason) == (case["spec"], case["go"].get("error", panicked))


def test_the_error_names_the_spec() -> None:
    """A ScheduleError is a MachineryError and a ValueError whose text shows the spec and the reason."""
    with pytest.raises(ScheduleError) as refused:
        parse("* * *", local=UTC)
    assert str(refused.value) == "cron spec '* * *': expected exactly 5 fields, found 3: [* * *]"
    assert isinstance(refused.value, MachineryError)
    assert isinstance(refused.value, ValueError)


def test_the_local_zone_is_the_machine_s_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec without a zone is read in the zone of the call, else in that of TZ."""
    start = datetime(2024, 7, 1, tzinfo=UTC)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert parse("0 12 * * *").next(start) == datetime(2024, 7, 1, 6, 15, tzinfo=UTC)
    assert parse("0 12 * * *", local=BERLIN).next(start) == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert parse("TZ=Local 0 12 * * *").next(start) == datetime(2024, 7, 1, 6, 15, tzinfo=UTC)
    assert parse("TZ=Local 0 12 * * *", local=BERLIN).next(start) == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert parse("TZ=UTC 0 12 * * *", local=BERLIN).next(start) == datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("tz", ["", ":", "UTC", "Nowhere/City", "CET-1CEST", "/nowhere/at/all"])
def test_what_is_no_zone_in_tz_is_utc(tz: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go reads names and files from TZ, and takes UTC for anything else."""
    monkeypatch.setenv("TZ", tz)
    assert local_zone() == UTC


def test_the_result_is_in_the_zone_of_the_start() -> None:
    """The zone of the spec says when, the zone of the start how it is shown."""
    start = datetime(2024, 7, 1, tzinfo=timezone(timedelta(hours=-3)))
    found = parse("TZ=Asia/Tokyo 0 9 * * *").next(start)
    assert found is not None
    assert (found.isoformat(), found.tzinfo) == ("2024-07-01T21:00:00-03:00", start.tzinfo)


def test_nanoseconds_count() -> None:
    """A nanosecond before the minute is before it, and a delay runs from the whole second."""
    minute = parse_time("2024-07-01T00:01:00Z").unix_ns
    every_minute, delay = parse("* * * * *", local=UTC), parse("@every 10s")
    assert every_minute.next(Time.from_unix_ns(minute - 1)) == Time.from_unix_ns(minute)
    assert every_minute.next(Time.from_unix_ns(minute)) == Time.from_unix_ns(minute + 60 * 10**9)
    assert delay.next(Time.from_unix_ns(minute - 1)) == Time.from_unix_ns(minute + 9 * 10**9)


def test_a_naive_start_is_refused() -> None:
    """A datetime without a zone is no moment."""
    for spec in ("* * * * *", "@every 1s"):
        with pytest.raises(ValueError, match="no time zone"):
            parse(spec, local=UTC).next(datetime(2024, 7, 1))


def test_after_the_last_year_there_is_none() -> None:
    """Beyond the year 9999 there is no datetime to give."""
    for spec in ("0 0 1 1 *", "@every 24h"):
        schedule = parse(spec, local=UTC)
        assert schedule.next(datetime(9999, 12, 31, 23, tzinfo=UTC)) is None
        assert schedule.next(parse_time("9999-12-31T23:00:00Z")) is None
        assert schedule.next(datetime(9998, 12, 31, tzinfo=UTC)) == datetime(9999, 1, 1, tzinfo=UTC)


def test_the_zero_time_has_a_next() -> None:
    """Go's zero time is a start like any other, also where the clocks still show the year 0."""
    found = parse("TZ=America/New_York 0 0 1 1 *").next(parse_time("0001-01-01T00:00:00Z"))
    assert found is not None
    assert format_time(found) == "0001-01-01T04:56:02Z"


def test_a_day_that_the_zone_skipped_is_passed() -> None:
    """Samoa had no 2011-12-30, where Go searches for ever; the 31st is found."""
    found = parse("0 0 31 12 *", local=ZoneInfo("Pacific/Apia")).next(datetime(2011, 12, 1, tzinfo=UTC))
    assert found == datetime(2011, 12, 30, 10, tzinfo=UTC)


def test_schedules_are_values() -> None:
    """Equal specs make equal schedules, which show what they are."""
    assert parse("@every 90s") == parse("@every 1m30s") == ConstantDelaySchedule(seconds=90)
    assert parse("@hourly", local=UTC) == parse("0 * * * *", local=UTC)
    assert isinstance(parse("0 * * * *", local=UTC), SpecSchedule)
    assert parse("0 0 */2 * *", local=UTC) != parse("0 0 1/2 * *", local=BERLIN)
