"""States that are made of the stored document's bytes are those that are encoded from its values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


_WRITTEN = b'{"TaskUUID":"t","TaskName":"a","State":"PENDING","Results":null,"Error":"","CreatedAt":"%b","TTL":0}'


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


def test_results_that_cannot_be_written_are_told() -> None:
    """As by the exact way: a WireError that names the field."""
    document = encode_task_state(TaskState("t", "a", "STARTED", created_at=Time.from_unix_ns(0)))
    text = StateText.of(document, "t")
    assert text is not None
    with pytest.raises(WireError, match="Results"):
        text.document("SUCCESS", [TaskResult("int64", object())])
