"""Results as MongoDB keeps them, and back: every type, and texts that look like JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import Number
from gomachinery_py.golang.time import Time
from gomachinery_py.mongodb_documents import (
    Int64,
    date,
    group_document,
    read_group,
    read_state,
    result_document,
)
from gomachinery_py.wire.model import GroupMeta, TaskResult

VALUES = st.one_of(
    st.tuples(st.just("int64"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("uint64"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("float64"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("string"), st.text(st.characters(exclude_categories=["Cs"]))),
    st.tuples(st.just("[]uint64"), st.lists(st.integers(0, 2**64 - 1))),
    st.tuples(st.just("[]string"), st.lists(st.text(st.characters(exclude_categories=["Cs"])))),
)


def stored(value: Any) -> Any:
    """As it comes out of MongoDB."""
    if isinstance(value, Int64):
        return value.value
    if isinstance(value, dict):
        return {key: stored(each) for key, each in value.items()}
    return [stored(each) for each in value] if isinstance(value, list) else value


def back(result: TaskResult) -> TaskResult:
    document = {"_id": "t", "state": "SUCCESS", "results": [stored(result_document(result))]}
    [read] = read_state(document).results or []
    return read


@given(VALUES)
def test_every_result_comes_back(case: tuple[str, Any]) -> None:
    """Whatever BSON makes of it."""
    result = TaskResult(*case)
    assert back(result) == result


# What Go's own decoder makes of them was asked.
TEXTS: list[tuple[str, str, Any]] = [
    ('{"a":1} and more', "json", {"a": 1.0}),
    (' \n{"b":[1,{"c":null}],"a":"x"}', "json", {"b": [1.0, {"c": None}], "a": "x"}),
    ("null", "json", None),
    ("nullable", "json", None),
    ('{"a":NaN}', "string", '{"a":NaN}'),
    ('{"a":-Infinity}', "string", '{"a":-Infinity}'),
    ('{"a":1e400}', "string", '{"a":1e400}'),
    ('{"a":' + "1" + "0" * 400 + "}", "string", '{"a":' + "1" + "0" * 400 + "}"),
    ("[1]", "string", "[1]"),
    ("12", "string", "12"),
    ("{", "string", "{"),
    ("", "string", ""),
]


@pytest.mark.parametrize(("text", "kind", "value"), TEXTS, ids=[text[:20] for text, *_ in TEXTS])
def test_texts_that_look_like_json(text: str, kind: str, value: Any) -> None:
    """Stored as Go stores them, and come back as they were."""
    document = result_document(TaskResult("string", text))
    assert (document["type"], document["value"]) == (kind, value)
    assert back(TaskResult("string", text)) == TaskResult("string", text)


def test_integers_are_of_the_kind_that_go_reads() -> None:
    """64 bits, whatever their type; what does not fit is a text."""
    assert result_document(TaskResult("int8", 5)) == {"type": "int8", "value": Int64(5)}
    assert result_document(TaskResult("[]int64", [1, Number("2")]))["value"] == [Int64(1), Int64(2)]
    assert result_document(TaskResult("uint64", 2**64 - 1))["value"] == str(2**64 - 1)
    assert result_document(TaskResult("[]uint8", "AAH+/w==")) == {"type": "[]uint8", "value": "AAH+/w=="}


def test_what_go_has_stored() -> None:
    """Without our own attribute: decoded JSON is a text again, binary data is base64."""
    document = {
        "_id": "t",
        "state": "SUCCESS",
        "task_name": "x",
        "created_at": datetime(2026, 1, 2, tzinfo=UTC),
        "results": [{"type": "json", "value": {"b": 1.0, "a": None}}, {"type": "[]uint8", "value": b"\x00\x01"}],
    }
    state = read_state(document)
    assert state.results == [TaskResult("string", '{"a":null,"b":1}'), TaskResult("[]uint8", "AAE=")]
    assert state.created_at == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("document", [{}, {"_id": 1}, {"_id": "t", "results": [1]}, {"_id": "t", "created_at": 5}])
def test_what_is_no_state(document: dict[str, Any]) -> None:
    """It is said to be none."""
    with pytest.raises(WireError, match="not a task's state"):
        read_state(document)


def test_groups() -> None:
    """Go's fields in Go's order, with times in milliseconds."""
    moment = Time.from_unix_ns(1_790_000_000_123_456_789)
    document = group_document(GroupMeta("g", ["a", "b"], created_at=moment))
    assert list(document) == ["_id", "task_uuids", "chord_triggered", "lock", "created_at"]
    assert document["created_at"] == date(moment) == datetime(2026, 9, 21, 14, 13, 20, 123_000, tzinfo=UTC)
    assert read_group(document).task_uuids == ["a", "b"]
    with pytest.raises(WireError):
        read_group({})
