"""What a worker refuses before anything of it runs, and text that is safe to log and to store."""

from __future__ import annotations

from typing import Any

import pytest

from gomachinery_py.errors import SignatureError
from gomachinery_py.golang.time import Time, parse_time
from gomachinery_py.incoming import (
    LAST_ETA_NS,
    MAX_ARGUMENTS,
    MAX_BODY_BYTES,
    MAX_RETRY_TIMEOUT,
    MAX_SIGNATURES,
    MAX_TEXT,
    brief,
    brief_error,
    check_body,
    clipped,
    error_text,
    reject_reason,
)
from gomachinery_py.wire.model import Arg, Signature

QUEUES = frozenset({"machinery_tasks", "other"})


def is_reserved(name: str) -> bool:
    return name == "delayed_tasks" or name.startswith("machinery_lock_")


def task(name: str = "add", **fields: Any) -> Signature:
    given: dict[str, Any] = {"uuid": "task_1", **fields}
    return Signature(name, **given)


def reason(signature: Signature, body: bytes = b"{}") -> str | None:
    return reject_reason(signature, body, is_reserved, QUEUES)


GOOD = [
    task(),
    task(uuid=""),
    task(routing_key="machinery_tasks"),
    task(routing_key="elsewhere"),
    task(group_uuid="group_1", group_task_count=1, chord_callback=task("c", uuid="chord_1")),
    task(args=[Arg("int64", 1)] * MAX_ARGUMENTS),
    task(retry_timeout=MAX_RETRY_TIMEOUT, retry_count=1 << 62),
    task(eta=Time.from_unix_ns(LAST_ETA_NS)),
    task(eta=parse_time("0001-01-01T00:00:00Z")),
    task(eta=parse_time("2024-01-01T00:00:00+23:59")),
    task(on_success=[task("b", uuid="b", routing_key="other", on_error=[task("c", uuid="")])], on_error=[]),
    task(on_success=[task("b", uuid="")] * (MAX_SIGNATURES - 1)),
]


@pytest.mark.parametrize("signature", GOOD, ids=range(len(GOOD)))
def test_good_tasks_may_run(signature: Signature) -> None:
    """Up to each limit, and whatever Go runs without harm."""
    assert reason(signature) is None


REFUSED: list[tuple[Signature, str]] = [
    (task(""), "it names no task"),
    (task(args=[Arg("int64", 1)] * (MAX_ARGUMENTS + 1)), "10001 arguments"),
    (task(retry_timeout=-1), "RetryTimeout -1"),
    (task(retry_timeout=MAX_RETRY_TIMEOUT + 1), "RetryTimeout 31622401"),
    (task(retry_timeout=(1 << 63) - 1), "RetryTimeout 9223372036854775807"),
    (task(eta=Time.from_unix_ns(LAST_ETA_NS + 1)), "ETA is after 2262"),
    (task(eta=parse_time("9999-12-31T23:59:59Z")), "ETA is after 2262"),
    (task(eta=parse_time("2024-01-01T00:00:00+24:00")), "an offset of a whole day"),
    (task(uuid="machinery_tasks"), "UUID 'machinery_tasks' is the name of a queue or key"),
    (task(uuid="other"), "UUID 'other'"),
    (task(uuid="delayed_tasks"), "UUID 'delayed_tasks'"),
    (task(uuid="machinery_lock_x"), "UUID 'machinery_lock_x'"),
    (task(uuid="q", routing_key="q"), "UUID 'q'"),
    (task(group_uuid="machinery_tasks"), "GroupUUID 'machinery_tasks'"),
    (task(group_uuid="q", routing_key="q"), "GroupUUID 'q'"),
    (task(uuid="g", group_uuid="g"), "UUID 'g' is also the UUID of a group"),
    (task(routing_key="delayed_tasks"), "RoutingKey 'delayed_tasks' is the name of a key that is no queue"),
    (task(on_success=[None]), "a callback in OnSuccess or OnError is null"),
    (task(on_error=[task("b", uuid="b"), None]), "a callback in OnSuccess or OnError is null"),
    (task(uuid="q", on_success=[task("b", uuid="b", routing_key="q")]), "UUID 'q'"),
    (task(on_success=[task("b", uuid="other")]), "callback 'b': UUID 'other'"),
    (task(on_error=[task("b", uuid="", eta=parse_time("9999-01-01T00:00:00Z"))]), "callback 'b': ETA"),
    (task(group_uuid="g", chord_callback=task("c", uuid="g")), "callback 'c': UUID 'g' is also"),
    (task(chord_callback=task("c", uuid="", on_success=[task("d", on_error=[None])])), "is null"),
    (task(on_success=[task("b", uuid="", retry_timeout=1 << 62)]), "callback 'b': RetryTimeout"),
    (task(on_success=[task("b", uuid="")] * MAX_SIGNATURES), "more than 10000 tasks hang on it"),
]


@pytest.mark.parametrize(("signature", "expected"), REFUSED, ids=range(len(REFUSED)))
def test_harmful_tasks_may_not(signature: Signature, expected: str) -> None:
    """The reason names the field, and the callback when it is one's."""
    found = reason(signature)
    assert found is not None
    assert expected in found


def test_large_bodies_may_not() -> None:
    """16 MiB is the most, for a worker and for a producer."""
    body = b"x" * MAX_BODY_BYTES
    assert reason(task(), body) is None
    assert reason(task(), body + b"x") == "16777217 bytes are more than the 16777216 that a task may have"
    assert check_body(task(), body) is body
    with pytest.raises(SignatureError, match="16777217 bytes"):
        check_body(task(), body + b"x")


def test_a_circle_of_callbacks_ends() -> None:
    """Nothing that was decoded can hold itself, but the look at it would end all the same."""
    circle = task(uuid="")
    circle.on_success = [circle]
    assert reason(circle) == "more than 10000 tasks hang on it"


LONG = "ż" * 5_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("żółw", "żółw"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("\ud800", "\\ud800"),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120 + "… (121 characters)"),
        (LONG, "ż" * 60 + "… (5000000 characters)"),
        ("\U000e0001" * 120, "\\U000e0001" * 12 + "… (120 characters)"),
    ],
    ids=range(9),
)
def test_brief_text(text: str, expected: str) -> None:
    """One line of about 120 bytes, whatever was in it."""
    assert brief(text) == expected


class Silent(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class Odd(str):
    def __str__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("x"), "x"),
        (ValueError(), "ValueError"),
        (Silent("x"), "Silent"),
        (NoText(), "NoText"),
        (SystemExit(3), "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("y" * MAX_TEXT), "y" * MAX_TEXT),
        (ValueError("y" * 2 * MAX_TEXT), "y" * MAX_TEXT + "… (2097152 characters)"),
    ],
    ids=range(8),
)
def test_the_text_of_any_exception(error: BaseException, expected: str) -> None:
    """Its own, its class name when there is none, and never more than a mebibyte of it."""
    assert error_text(error) == expected
    assert type(error_text(ValueError(Odd("x")))) is str


def test_brief_errors() -> None:
    """Class, text and places in one short line."""
    shown = ""
    try:
        list[str]().index(LONG)
    except ValueError as error:
        shown = brief_error(ValueError(LONG).with_traceback(error.__traceback__))
    assert shown.startswith("ValueError: żżż")
    assert "(test_incoming.py:" in shown
    assert len(shown.encode()) < 700
    assert clipped("short") == "short"
