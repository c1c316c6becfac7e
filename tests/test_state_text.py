"""States that are made of the stored document's bytes are those that are encoded from its values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniredis import MiniRedis

from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.redis import RedisBackend
from gomachinery_py.effects import Port, SystemClock, run
from gomachinery_py.golang.time import Time
from gomachinery_py.wire import TaskResult, TaskState, WireError, decode_task_state, encode_task_state
from gomachinery_py.wire.states import StateText

plain_text = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\<>&'))
any_text = st.text()
times = st.one_of(
    st.integers(0, 7_000_000_000_000_000_000).map(Time.from_unix_ns),
    st.integers(0, 7_000_000_000).map(lambda seconds: Time.from_unix_ns(seconds * 1_000_000_000)),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.timezones()),
)
stored = st.builds(
    TaskState,
    st.one_of(plain_text, any_text),
    st.one_of(plain_text, any_text),
    st.sampled_from(["PENDING", "RECEIVED", "STARTED", "RETRY", "SUCCESS", "FAILURE", "", "odd"]),
    st.one_of(st.none(), st.just([]), st.just([TaskResult("int64", 1)])),
    st.one_of(st.just(""), any_text),
    times,
    st.sampled_from([0, 0, 0, 7]),
)
values = st.one_of(st.integers(), st.text(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False))
results = st.one_of(st.none(), st.lists(st.builds(TaskResult, st.sampled_from(["int64", "string", "<&>"]), values)))
steps = st.tuples(st.sampled_from(["RECEIVED", "STARTED", "RETRY", "SUCCESS", "FAILURE"]), results, any_text)


_WRITTEN = b'{"TaskUUID":"t","TaskName":"a","State":"PENDING","Results":null,"Error":"","CreatedAt":"%b","TTL":0}'


class _Stored(Port):
    """A Redis that holds one value."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def send(self, requests):  # type: ignore[no-untyped-def]
        return [[self.value for _ in request.commands] for request in requests]


@given(stored, st.lists(steps, min_size=1, max_size=3))
def test_next_states_are_those_of_the_exact_way(
    state: TaskState, later: list[tuple[str, list[TaskResult] | None, str]]
) -> None:
    """Whatever is stored: the commands are those that decoding and encoding give."""
    backend = RedisBackend(_Stored(encode_task_state(state)), SystemClock(), 3600)
    uuid = decode_task_state(backend.port.value).task_uuid  # type: ignore[attr-defined]
    origin = run(backend.origin(uuid))
    exactly = [
        command
        for name, result, error in later
        for command in backend.state_commands(backend.next_state(uuid, name, origin, results=result, error=error))
    ]
    assert exactly == backend.next_commands(uuid, origin, later)


@given(stored)
def test_a_plain_document_is_one_that_we_would_write(state: TaskState) -> None:
    """What is taken as it is decodes to values that encode to the very same bytes."""
    document = encode_task_state(state)
    text = StateText.of(document, state.task_uuid)
    if text is not None:
        assert document == text.document(text.state)
        assert document == encode_task_state(decode_task_state(document))


@given(times)
def test_what_go_stores_is_plain(moment: Time) -> None:
    """PENDING as Machinery writes it, with a UTC time of these centuries, is taken as it is."""
    moment = Time.from_unix_ns(abs(int(moment.timestamp())) % 7_000_000_000 * 1_000_000_000 + moment.microsecond)
    document = encode_task_state(TaskState("task_1", "add", "PENDING", created_at=moment))
    text = StateText.of(document, "task_1")
    if (moment.month, moment.day) != (2, 29):
        assert text is not None
        assert text.state == "PENDING"


def _begun(document: bytes, uuid: str, name: str) -> bytes | None:
    """STARTED as the script makes it of a stored document; None when it does nothing because that one is not plain."""
    head = StateText.head(uuid, name)
    if head is None:
        return None
    redis, written = MiniRedis(lambda: 0), []
    redis.execute("SET", uuid, document)
    redis.on_write = lambda words: written.append(words[2])
    (reply,) = redis.execute(*tx.joined([tx.beginning(uuid, 60, head, None)]))
    if reply == tx.UNPLAIN:
        assert [] == written
        return None
    received, started = written
    text = StateText.between(head, "STARTED", reply)
    assert received == text.document("RECEIVED")
    assert started == text.document("STARTED")
    return bytes(started)


def _made(document: bytes, uuid: str) -> bytes | None:
    text = StateText.of(document, uuid)
    return None if text is None else text.document("STARTED")


@given(stored)
def test_the_script_says_the_same(state: TaskState) -> None:
    """What is plain to Python is plain to Lua, and both make the same of it."""
    document = encode_task_state(state)
    kept = decode_task_state(document)
    assert _begun(document, kept.task_uuid, kept.task_name) == _made(document, kept.task_uuid)


@given(st.integers(0, 13), st.integers(0, 39), st.integers(0, 29), st.integers(1800, 2300))
def test_the_script_knows_the_same_days(month: int, day: int, hour: int, year: int) -> None:
    """Each of them, those that are none included, and their hours."""
    document = _WRITTEN % (b"%d-%02d-%02dT%02d:00:00Z" % (year, month, day, hour))
    assert _begun(document, "t", "a") == _made(document, "t")


@pytest.mark.parametrize("at", range(len(_WRITTEN) + 18))
def test_the_script_looks_at_every_byte(at: int) -> None:
    """Whatever stands in the place of one byte is taken or left as in Python; another name is left to Python."""
    good = _WRITTEN % b"2026-01-01T10:00:00.5Z"
    for byte in b'"%-<A[]\\^{}~ 09Z':
        document = good[:at] + bytes([byte]) + good[at + 1 :]
        begun = _begun(document, "t", "a")
        assert begun == _made(document, "t") or (begun is None and b'"TaskName":"a"' not in document)


@pytest.mark.parametrize(
    "document",
    [
        _WRITTEN % b"2026-02-30T00:00:00Z",
        _WRITTEN % b"2026-04-31T00:00:00Z",
        _WRITTEN % b"2026-01-01T24:00:00Z",
        _WRITTEN % b"2026-01-01T00:00:00.10Z",
        _WRITTEN % b"2026-01-01T00:00:00Z" + b" ",
        _WRITTEN.replace(b'"a"', b'"a<"') % b"2026-01-01T00:00:00Z",
        _WRITTEN.replace(b'"t"', b'"u"') % b"2026-01-01T00:00:00Z",
    ],
)
def test_what_is_written_otherwise_is_not_plain(document: bytes) -> None:
    """Dates that are none, times that Go writes otherwise, text with escapes, another task's state."""
    assert StateText.of(document, "t") is None
    assert _begun(document, "t", "a") is None


def test_results_that_cannot_be_written_are_told() -> None:
    """As by the exact way: a WireError that names the field."""
    document = encode_task_state(TaskState("t", "a", "STARTED", created_at=Time.from_unix_ns(0)))
    text = StateText.of(document, "t")
    assert text is not None
    with pytest.raises(WireError, match="Results"):
        text.document("SUCCESS", [TaskResult("int64", object())])
