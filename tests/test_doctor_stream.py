"""What circles in the stream of a Redis server's commands, and what only looks like it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomachinery_py import Arg, Signature, wire
from gomachinery_py.doctor.redis_stream import Listener, digest, unescaped
from gomachinery_py.golang.time import Time
from gomachinery_py.wire.model import TaskState

QUEUE = "machinery_tasks"
_SHORT = {b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t", b"\a": b"\\a", b"\b": b"\\b", b'"': b'\\"', b"\\": b"\\\\"}


def quoted(word: bytes) -> bytes:
    """Redis' ``sdscatrepr``."""
    escaped = re.sub(
        rb'[^ -~]|["\\]', lambda found: _SHORT.get(found[0], b"\\x%02x" % found[0][0]), word, flags=re.DOTALL
    )
    return b'"' + escaped + b'"'


def line(*words: str | bytes, client: str = "127.0.0.1:5000", db: int = 0) -> bytes:
    """A line of ``MONITOR``."""
    encoded = [word if isinstance(word, bytes) else word.encode() for word in words]
    return f"1700000000.123456 [{db} {client}] ".encode() + b" ".join(map(quoted, encoded))


def body(name: str = "ghost", uuid: str = "task_1", **fields: object) -> bytes:
    return wire.encode_signature(Signature(name, [Arg("string", 'a "b" \\ ☃')], uuid=uuid, **fields))  # type: ignore[arg-type]


def state(kind: str, uuid: str = "task_1", name: str = "ghost") -> tuple[str, str, bytes]:
    return ("SET", uuid, wire.encode_task_state(TaskState(uuid, name, kind)))


def listened(*lines: bytes, seen: Sequence[bytes] = ()) -> Listener:
    """A listener that was told all this; ``seen`` are bodies that the queue held when ``ECHO mark`` was said."""
    listener = Listener(0, [QUEUE], "delayed_tasks", {b"mark": (QUEUE, [digest(each) for each in seen])})
    listener.feed(lines)
    return listener


def times(listener: Listener) -> dict[str, int]:
    return {name: each.times for (_, name), each in listener.circling.items()}


@given(st.binary())
def test_words_are_read_as_redis_writes_them(word: bytes) -> None:
    """Every byte."""
    assert unescaped(quoted(word)[1:-1]) == word


@pytest.mark.parametrize("client", ["127.0.0.1:5000", "[::1]:5000", "unix:/a socket", "lua"])
@pytest.mark.parametrize("verb", ["RPUSH", "rpush"])
def test_the_same_body_again(client: str, verb: str) -> None:
    """Whoever pushes it, by whatever client."""
    pushed = line(verb, QUEUE, body(), client=client)
    assert times(listened(pushed, pushed, pushed)) == {"ghost": 2}


def test_a_body_that_was_in_the_queue() -> None:
    """One push is enough of what was read there, once it was read."""
    pushed = line("RPUSH", QUEUE, body())
    assert times(listened(line("ECHO", "mark"), pushed, seen=[body()])) == {"ghost": 1}
    assert times(listened(pushed, line("ECHO", "mark"), seen=[body()])) == {}


@pytest.mark.parametrize(
    "between",
    [
        [line(*state("PENDING"))],
        [line(*state("RECEIVED")), line(*state("SUCCESS")), line(*state("PENDING"))],
        [line(*state("PENDING"), db=3)],
    ],
)
def test_sent_again_under_its_old_uuid(between: list[bytes]) -> None:
    """As periodic tasks are: a state was stored since, in whatever database."""
    pushed = line("RPUSH", QUEUE, body())
    assert times(listened(pushed, *between, pushed, *between, pushed)) == {}


@pytest.mark.parametrize(
    "other",
    [
        line("LPUSH", QUEUE, body()),
        line("RPUSH", "another", body()),
        line("RPUSH", QUEUE, body(), db=1),
        line("RPUSH", QUEUE, body(uuid="task_2")),
        line("RPUSH", QUEUE, b"not json"),
        line("PING"),
        b"garbage",
        b"",
    ],
)
def test_what_does_not_circle(other: bytes) -> None:
    """Given back at the head, elsewhere, another task, no task, no line."""
    assert times(listened(line("RPUSH", QUEUE, body()), other, line("GET", QUEUE))) == {}


def test_a_list_that_is_no_queue() -> None:
    """It was read, and then found to hold something else: nothing is kept of it."""
    listener = Listener(0, [QUEUE], "delayed_tasks", {b"mark": ("celery", [digest(body())])})
    listener.feed([line("ECHO", "mark"), line("RPUSH", "celery", body())])
    assert times(listener) == {}


def test_pushed_by_nobody_who_stored_a_state() -> None:
    """It may have been sent long ago, unless its time has come or its group is being sent."""
    later = Time.from_unix_ns(1_700_000_000 * 10**9)
    pushes = [body(uuid="old"), body(uuid="sent"), body(uuid="due", eta=later), body(uuid="member", group_uuid="g")]
    listener = listened(line(*state("PENDING", "sent")), *(line("RPUSH", QUEUE, each) for each in pushes))
    assert (listener.unannounced, times(listener)) == ({"old": (QUEUE, "ghost")}, {})


def test_who_serves_and_who_moves() -> None:
    """States after PENDING by the names of their tasks, pops by queue, and a look at what is delayed."""
    listener = listened(
        line(*state("PENDING")),
        line(*state("STARTED", name="näme")),
        line("BLPOP", QUEUE, "1"),
        line("lpop", QUEUE, client="lua"),
        line("BLPOP", "another", "1"),
        line("ZREVRANGEBYSCORE", "delayed_tasks", "1", "0"),
    )
    assert (listener.served, listener.pops, listener.moves) == ({"näme": 1}, {QUEUE: 2}, True)
