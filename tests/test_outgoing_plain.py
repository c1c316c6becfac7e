"""Signatures that take the quick way through the checks are those that the whole way takes, and come out the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gomachinery_py.outgoing import _Walk
from gomachinery_py.outgoing_fields import Limits
from gomachinery_py.outgoing_plain import plain_copy
from gomachinery_py.wire.model import Arg, Signature

names = st.one_of(
    st.sampled_from(["", "task_1", "task_2", "machinery_tasks", "delayed_tasks", "lock_1", "é", "\ud800"]),
    st.text(),
    st.sampled_from([None, 1, b"task"]),
)
numbers = st.one_of(st.just(0), st.sampled_from([1, -1, 256, 1 << 31, 1 << 70, True, 0.0, None, "0"]))
flags = st.one_of(st.just(False), st.sampled_from([True, 0, None]))
values = st.one_of(
    st.integers(-300, 300),
    st.integers(),
    st.text(),
    st.booleans(),
    st.floats(),
    st.none(),
    st.just("x" * 2000),
    st.lists(st.integers(0, 300), max_size=2),
)
types = st.sampled_from(
    ["int64", "int8", "uint8", "uint64", "string", "bool", "float64", "float32", "[]int64", "no", 7]
)
args = st.one_of(
    st.none(),
    st.just([]),
    st.lists(st.builds(Arg, types, values, st.sampled_from(["", "", "a", None])), max_size=3),
    st.sampled_from([(), [None], "no"]),
)
odd: dict[str, st.SearchStrategy[Any]] = {
    "eta": st.sampled_from([datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1), "soon"]),
    "headers": st.sampled_from([{}, {"a": 1}, {1: "a"}, [], "no"]),
    "priority": numbers,
    "immutable": flags,
    "retry_count": numbers,
    "retry_timeout": numbers,
    "on_success": st.sampled_from([[], [None], [Signature("b")], 7]),
    "on_error": st.sampled_from([[], [None], [Signature("b")], 7]),
    "chord_callback": st.sampled_from([Signature("c"), 7]),
    "broker_message_group_id": names,
    "sqs_receipt_handle": names,
    "stop_task_deletion_on_error": flags,
    "ignore_when_task_not_registered": flags,
    "group_task_count": numbers,
}


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    fields: dict[str, Any] = {
        "name": draw(st.one_of(st.just("add"), names)),
        "args": draw(args),
        "uuid": draw(names),
        "routing_key": draw(st.one_of(st.just(""), names)),
        "group_uuid": draw(st.one_of(st.just(""), names)),
        "group_task_count": draw(st.integers(0, 3)),
        "headers": draw(st.sampled_from([None, {}])),
    }
    for field in draw(st.lists(st.sampled_from(sorted(odd)), max_size=1)):
        fields[field] = draw(odd[field])
    return Signature(**fields)


limits = st.builds(
    Limits,
    reserved=st.just(frozenset({"machinery_tasks", "delayed_tasks"})),
    keys=st.just(frozenset({"delayed_tasks"})),
    is_reserved=st.just(lambda name: name.startswith("lock_")),
    uuid_bytes=st.sampled_from([0, 0, 5]),
    backend_is_null=st.booleans(),
    broker_is_amqp=st.booleans(),
)


@given(signatures(), limits, st.booleans())
def test_what_is_plain_would_pass_unchanged(signature: Signature, allowed: Limits, in_group: bool) -> None:
    """A plain signature is refused by no check, and its copy is the one that the checks make."""
    plain = plain_copy(signature, allowed, in_group)
    if plain is not None:
        exact = _Walk(allowed, in_group).copied(signature)
        assert exact == plain
        assert repr(exact) == repr(plain)
        assert plain is not signature
        assert signature.args is None or plain.args is not signature.args


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)), st.booleans())
def test_a_usual_send_is_plain(numbers: list[int], in_group: bool) -> None:
    """The quick way is taken: whole numbers, a UUID of its own, in a group or not."""
    signature = Signature("add", [Arg("int64", number) for number in numbers], "task_1", "machinery_tasks")
    if in_group:
        signature.group_uuid, signature.group_task_count = "group_1", 2
    assert plain_copy(signature, Limits(reserved=frozenset({"machinery_tasks"})), in_group) == _Walk(
        Limits(), in_group
    ).copied(signature)
