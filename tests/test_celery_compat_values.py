"""Celery's values on Machinery's wire and back."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomachinery_py.compat.celery.binding import OWN, TAKES, Call, call_of
from gomachinery_py.compat.celery.values import MARK, dumped, loaded, plain, restored, to_arg
from gomachinery_py.errors import ArgumentError
from gomachinery_py.golang.json import parse
from gomachinery_py.wire import decode_signature, encode_signature
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.wire.reflect import reflect_args

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.just(MARK) | st.just(MARK + "null")
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def over_the_wire(*args: Arg) -> list[Any]:
    """What a worker has of arguments."""
    return reflect_args(decode_signature(encode_signature(Signature("x", list(args)))).args)


def typed(value: Any) -> Any:
    """A value with the types of all that is in it, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else (type(value), value)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    """Whatever JSON can hold comes back as it was, types and all."""
    [back] = over_the_wire(to_arg(value))

    assert typed(value) == typed(restored(back))


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        (1, "int64", 1),
        (2**63, "uint64", 2**63),
        (True, "bool", True),
        (1.5, "float64", 1.5),
        ("a", "string", "a"),
        (b"a", "[]byte", b"a"),
        ([1, 2], "[]int64", [1, 2]),
        ((1, 2), "[]int64", [1, 2]),
        (["a"], "[]string", ["a"]),
        ([True], "[]bool", [True]),
        ([], "[]string", []),
        ([1, 2.5], "string", MARK + "[1,2.5]"),
        ([1, True], "string", MARK + "[1,true]"),
        ([[1]], "string", MARK + "[[1]]"),
        (None, "string", MARK + "null"),
        ({"a": 1}, "string", MARK + '{"a":1}'),
        (2**64, "string", MARK + "18446744073709551616"),
        (MARK, "string", MARK + '"\\t\\r"'),
        (IntEnum("E", "A").A, "int64", 1),
    ],
    ids=repr,
)
def test_wire_form(value: Any, kind: str, sent: Any) -> None:
    """What Machinery has a type for travels as that, all else as JSON text behind white space."""
    arg = to_arg(value)

    assert (kind, sent) == (arg.type, arg.value)


def test_readable_by_anybody() -> None:
    """A Go task can unmarshal the text as it stands: the mark is white space to every JSON parser."""
    assert parse(plain({"a": [None]}).encode()) == {"a": [None]}


@pytest.mark.parametrize(
    "value",
    [
        datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2030, 1, 2), date(2030, 1, 2), time(3, 4), Decimal("1.50"),
        uuid.UUID(int=7), b"text", b"\xff\x00",
    ],
    ids=repr,
)  # fmt: skip
def test_rich_values(value: Any) -> None:
    """What kombu registers comes back, also deep inside."""
    assert loaded(dumped({"in": [value]})) == {"in": [value]}


@pytest.mark.parametrize("value", [float("nan"), [float("inf"), 1], {"a": float("-inf")}, "\ud800", object(), {1: {2}}])
def test_refused_values(value: Any) -> None:
    """What no JSON reader takes is refused before it is sent."""
    with pytest.raises((TypeError, ValueError)):
        over_the_wire(to_arg(value))


@pytest.mark.parametrize(
    "text", ['{"__type__":"os","__value__":1}', '{"__type__":"decimal","__value__":"x"}', "nothing", "[" * 100_000]
)
def test_unknown_types(text: str) -> None:
    """A type that only the sender knows is an error, never looked up."""
    with pytest.raises(ValueError, match=r"type|none|Expecting|nested"):
        loaded(text)


def call(takes: str, *args: tuple[Any, str]) -> Call:
    signature = Signature("x", [to_arg(value, name) for value, name in args], headers={TAKES: takes} if takes else None)
    return call_of(signature, over_the_wire(*(signature.args or ())))


@pytest.mark.parametrize(
    ("takes", "args", "expected"),
    [
        ("", [(1, ""), (2, "")], Call((1, 2), {})),
        ("", [(1, ""), (2, "y")], Call((1,), {"y": 2})),
        ("result", [(4, OWN), (5, "x"), (3, "")], Call((3, 4), {"x": 5})),
        ("result", [(4, OWN)], Call((None, 4), {})),
        ("result", [(4, OWN), (1, ""), (2, "")], Call(([1, 2], 4), {})),
        ("results 2", [(4, OWN), (1, ""), (None, "")], Call(([1, None], 4), {})),
        ("nothing", [(4, OWN), (1, "")], Call((4,), {})),
        ("error id", [("text", ""), (4, OWN)], Call((4,), {}, ("text", "id"))),
    ],
)
def test_calls(takes: str, args: list[tuple[Any, str]], expected: Call) -> None:
    """Results are in front of what was given, wherever they were put; keywords have their names."""
    assert expected == call(takes, *args)


def test_wrong_number_of_results() -> None:
    """A chord whose members did not return one value each is an error, not a guess."""
    with pytest.raises(ArgumentError, match="1 results came from the 2 members"):
        call("results 2", (1, ""))
