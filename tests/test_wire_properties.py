"""Any bytes become a value or a WireError, soon; and the quick path never differs from the exact one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import MAX_DEPTH, Number
from gomachinery_py.golang.time import Time
from gomachinery_py.wire import (
    decode_group_meta,
    decode_signature,
    decode_task_state,
    encode_group_meta,
    encode_signature,
    encode_task_state,
)
from gomachinery_py.wire.decode import (
    decode_group_meta_exactly,
    decode_signature_exactly,
    decode_task_state_exactly,
)
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

PATHS: list[tuple[Callable[[bytes], Any], Callable[[bytes], Any], Callable[[Any], bytes]]] = [
    (decode_signature, decode_signature_exactly, encode_signature),
    (decode_task_state, decode_task_state_exactly, encode_task_state),
    (decode_group_meta, decode_group_meta_exactly, encode_group_meta),
]
MEGABYTE = 1 << 20
SECONDS = 10
"""A bound that only quadratic work exceeds, however busy the machine is."""

texts = st.text(max_size=12)
# Without negative zero, whose text is a literal that no Python number has, and without floats that are written as an
# int which they only come near to.
floats = st.floats(-1e15, 1e15) | st.floats(1e21, allow_infinity=False)
numbers = st.integers() | floats.map(lambda number: number + 0.0)
literals = st.sampled_from(["1.50", "1E5", "-0", "1.0", "1e400", "0.10"]).map(Number)
values = st.recursive(
    st.none() | st.booleans() | numbers | literals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
int64s = st.sampled_from([0, 1, -1, (1 << 63) - 1, -(1 << 63)]) | st.integers(-(1 << 63), (1 << 63) - 1)
minutes = st.integers(-1439, 1439).map(lambda minute: minute * 60)
# A day from either end, so that no offset leads out of the years 0 to 9999.
moments = st.builds(Time.from_unix_ns, st.integers(-62_167_132_800 * 10**9, 253_402_214_400 * 10**9 - 1), minutes)


def maybe_list(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nil, empty, or some."""
    return st.none() | st.lists(elements, max_size=3)


def signature(callbacks: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Signature]:
    """Signatures with such callbacks, or with none."""
    callback_lists = st.none() | st.just([]) if callbacks is None else maybe_list(callbacks)
    return st.builds(
        Signature,
        texts,
        maybe_list(st.builds(Arg, texts, values, texts)),
        texts,
        texts,
        st.none() | moments,
        texts,
        int64s,
        st.none() | st.dictionaries(texts, values, max_size=3),
        st.integers(0, 255),
        st.booleans(),
        int64s,
        int64s,
        callback_lists,
        callback_lists,
        st.none() if callbacks is None else st.none() | callbacks,
        texts,
        texts,
        st.booleans(),
        st.booleans(),
    )


signatures = st.recursive(signature(), signature, max_leaves=4)
task_states = st.builds(
    TaskState, texts, texts, texts, maybe_list(st.builds(TaskResult, texts, values)), texts, moments, int64s
)
group_metas = st.builds(GroupMeta, texts, maybe_list(texts), st.booleans(), st.booleans(), moments, int64s)

names = st.sampled_from(
    [
        *("UUID", "Name", "uuid", "ETA", "Args", "ARGS", "Headers", "Priority", "Immutable", "RetryCount", "OnSuccess"),
        *("OnError", "ChordCallback", "Type", "Value", "TaskUUID", "State", "Results", "CreatedAt", "TTL", "Lock"),
        *("GroupUUID", "TaskUUIDs", "\u212aind", "Arg\u017f", "x"),
    ]
)
json_texts = st.recursive(
    st.sampled_from(
        ["null", "true", "0", "-0", "1.50", "1e5", "255", "9" * 20, '"x"', '"\\ud800"', '"2024-01-01T00:00:00Z"']
    ),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(names, inner), max_size=6).map(
            lambda rows: f"{{{','.join(f'{json.dumps(name, ensure_ascii=False)}:{value}' for name, value in rows)}}}"
        )
    ),
    max_leaves=12,
)


def outcome(decode: Callable[[bytes], Any], data: bytes) -> str:
    """The value with its kinds, or the refusal, as text."""
    try:
        return repr(decode(data))
    except WireError as error:
        refused = error
    assert refused.offset is not None
    assert 0 <= refused.offset <= len(data)
    assert refused.reason
    return f"refused: {refused}"


@given(st.binary(max_size=60) | json_texts.map(str.encode))
@example(b"")
@example(b"null")
@example(b'{"Args":[{"Value":\xff}]}')
def test_any_bytes(data: bytes) -> None:
    """Bytes become a value, which is stable from then on, or a WireError with reason and offset: on both paths."""
    for decode, decode_exactly, encode in PATHS:
        assert outcome(decode_exactly, data) == outcome(decode, data)
        try:
            written = encode(decode(data))
        except WireError:
            continue
        assert written == encode(decode(written))


@given(signatures, st.data())
@settings(max_examples=60)
def test_damaged_documents(made: Signature, data: st.DataObject) -> None:
    """A document with a byte changed, removed or cut off is taken or refused alike on both paths."""
    document = bytearray(encode_signature(made))
    at = data.draw(st.integers(0, len(document) - 1))
    match data.draw(st.integers(0, 2)):
        case 0:
            document[at] = data.draw(st.integers(0, 255))
        case 1:
            del document[at]
        case _:
            del document[at:]
    assert outcome(decode_signature_exactly, bytes(document)) == outcome(decode_signature, bytes(document))


@given(signatures | task_states | group_metas)
def test_written_and_read_again(made: Any) -> None:
    """What is written is read as it was, by both paths, and written again in the same bytes."""
    number = [Signature, TaskState, GroupMeta].index(type(made))
    decode, decode_exactly, encode = PATHS[number]
    written = encode(made)
    assert repr(decode_exactly(written)) == repr(decode(written))
    assert written == encode(decode(written))
    # A float without a fraction is written, and so read, as a whole number; everything else is itself.
    assert made == decode(written)


LONG = {
    "brackets": b"[",
    "objects": b'{"a":',
    "quotes": b'"',
    "digits": b"9",
    "minuses": b"-",
    "spaces": b" ",
    "commas": b",",
    "backslashes": b"\\",
    "escapes": b"\\n",
    "bytes that are no UTF-8": b"\xff",
    "callbacks": b'{"ChordCallback":',
    "lists of callbacks": b'{"OnSuccess":[',
}


@pytest.mark.parametrize("head", [b"", b'{"Args":[{"Value":', b'{"Args":[{"Value":"', b'{"Name":', b'{"x":'])
@pytest.mark.parametrize("name", LONG)
def test_a_megabyte_of_the_same(name: str, head: bytes) -> None:
    """A megabyte of brackets, quotes or digits is refused soon, with a WireError, wherever it stands."""
    piece = LONG[name]
    data = head + piece * ((MEGABYTE - len(head)) // len(piece))
    begun = time.monotonic()
    for decode, _, _ in PATHS:
        assert outcome(decode, data).startswith("refused: ")
    assert time.monotonic() - begun < SECONDS


def nested(opening: bytes, inner: bytes, closing: bytes, depth: int) -> bytes:
    """A signature with so many arrays and objects within each other."""
    steps, rest = divmod(depth, opening.count(b"[") + opening.count(b"{"))
    assert rest == 0
    return opening * steps + inner + closing * steps


@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        (b'{"ChordCallback":', b"null", b"}"),
        (b'{"OnSuccess":[', b"", b"]}"),
        (b'{"x":', b"0", b"}"),
        (b'{"x":[', b"", b"]}"),
    ],
)
def test_depth(opening: bytes, inner: bytes, closing: bytes) -> None:
    """Ten thousand levels are taken, and written again; two more are refused where they begin."""
    taken = nested(opening, inner, closing, MAX_DEPTH)
    written = encode_signature(decode_signature(taken))
    assert written == encode_signature(decode_signature(written))
    with pytest.raises(WireError) as caught:
        decode_signature(nested(opening, inner, closing, MAX_DEPTH + 2))
    assert "exceeded max depth" in caught.value.reason
    assert caught.value.offset is not None


@pytest.mark.parametrize("extra", [0, 1])
def test_depth_is_no_matter_of_pythons_limit(extra: int) -> None:
    """Whatever ``sys.setrecursionlimit`` says, as many levels are taken."""
    value = b"[" * (MAX_DEPTH - 3 + extra) + b"]" * (MAX_DEPTH - 3 + extra)
    plain = encode_signature(Signature("x", [Arg("[]int64", 0)]))
    document = plain.replace(b'"Value":0', b'"Value":' + value)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(MAX_DEPTH * 3)
    try:
        if extra:
            with pytest.raises(WireError, match="exceeded max depth"):
                decode_signature(document)
        else:
            assert document == encode_signature(decode_signature(document))
    finally:
        sys.setrecursionlimit(before)


def test_ints_that_python_would_not_convert() -> None:
    """Thousands of digits come back as they were."""
    for digits in (640, 641, 4299, 4300, 4301, 100_000):
        document = encode_signature(Signature("x", [Arg("int64", Number("1" * digits))]))
        assert repr(decode_signature_exactly(document)) == repr(decode_signature(document))
        assert document == encode_signature(decode_signature(document))


def test_equal_identities_are_not_mixed_up() -> None:
    """A callback that takes the place of a dropped one has none of its elements."""
    document = b'{"OnError":[%s]}' % b'{"Args":[{"Name":"x"},{"Name":"y"}]}'
    again = b'{"OnError":[{"Args":[{"Name":"x"}]}],"OnError":[null],"OnError":[{"Args":[{}]}]}'
    for _ in range(100):
        decode_signature(document)
        (callback,) = decode_signature(again).on_error or []
        assert [Arg("", None)] == callback.args


WRONG: list[tuple[Any, str]] = [
    (Signature(5), "Name: "),  # type: ignore[arg-type]
    (Signature("x", uuid=b"u"), "UUID: "),  # type: ignore[arg-type]
    (Signature("x", [None]), "Args: "),  # type: ignore[list-item]
    (Signature("x", [Arg("int64", object())]), "Args: json: unsupported type: object"),
    (Signature("x", [Arg("float64", float("nan"))]), "Args: json: unsupported value: NaN"),
    (Signature("x", [Arg("float64", [1.0, float("-inf")])]), "Args: json: unsupported value: -Inf"),
    (Signature("x", [Arg("x", Number("01"))]), "Args: json: invalid number literal"),
    (Signature("x", [Arg("x", {1: 2})]), "Args: "),
    (Signature("x", [Arg("x", {"a": {1, 2}})]), "Args: json: unsupported type: set"),
    (Signature("x", headers=[]), "Headers: a list is not a dict"),  # type: ignore[arg-type]
    (Signature("x", headers={"a": object()}), "Headers: json: unsupported type: object"),
    (Signature("x", priority=256), "Priority: 256 is not between 0 and 255"),
    (Signature("x", priority=True), "Priority: a bool is not an int"),
    (Signature("x", retry_count=1.0), "RetryCount: a float is not an int"),  # type: ignore[arg-type]
    (Signature("x", retry_timeout=1 << 63), "RetryTimeout: this number does not fit 64 bits"),
    (Signature("x", immutable=0), "Immutable: a int is not a bool"),  # type: ignore[arg-type]
    (Signature("x", eta="now"), "ETA: a str is not a datetime"),  # type: ignore[arg-type]
    (Signature("x", eta=datetime(2024, 1, 1)), "ETA: 2024-01-01 00:00:00 has no time zone"),
    (Signature("x", sqs_receipt_handle=None), "SQSReceiptHandle: "),  # type: ignore[arg-type]
    (Signature("x", on_success=[5]), "OnSuccess: a int is not a Signature"),  # type: ignore[list-item]
    (Signature("x", on_error=["{}"]), "OnError: a str is not a Signature"),  # type: ignore[list-item]
    (Signature("x", on_error="{}"), "OnError: a str is not a list of Signatures"),  # type: ignore[arg-type]
    (Signature("x", chord_callback="null"), "ChordCallback: a str is not a Signature"),  # type: ignore[arg-type]
    (Signature("x", chord_callback=[Signature("y")]), "ChordCallback: a list is not a Signature"),  # type: ignore[arg-type]
    (Signature("x", chord_callback=Signature("y", priority=-1)), "Priority: -1 is not between 0 and 255"),
    (TaskState("u", results=[TaskResult("x", object())]), "Results: json: unsupported type: object"),
    (TaskState("u", ttl="1"), "TTL: a str is not an int"),  # type: ignore[arg-type]
    (TaskState("u", created_at=None), "CreatedAt: a NoneType is not a datetime"),  # type: ignore[arg-type]
    (GroupMeta("g", [None]), "TaskUUIDs: "),  # type: ignore[list-item]
    (GroupMeta("g", lock=None), "Lock: a NoneType is not a bool"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("made", "text"), WRONG, ids=[text for _, text in WRONG])
def test_what_cannot_be_written_names_its_field(made: Any, text: str) -> None:
    """An object with a field of the wrong kind is refused with a WireError that begins with the field's name."""
    _, _, encode = PATHS[[Signature, TaskState, GroupMeta].index(type(made))]
    with pytest.raises(WireError) as caught:
        encode(made)
    assert text == caught.value.reason[: len(text)]


def test_what_holds_itself_is_refused() -> None:
    """Neither a value nor a callback may be within itself; twice side by side it may be."""
    value: list[Any] = [1]
    twice = [value, {"a": value}]
    assert b"[[1],{" in encode_signature(Signature("x", [Arg("x", twice)]))
    value.append(value)
    with pytest.raises(WireError, match="cycle"):
        encode_signature(Signature("x", [Arg("x", value)]))
    last = Signature("last")
    first = Signature("first", on_success=[last, last])
    assert encode_signature(first).count(b'"last"') == 2
    last.chord_callback = first
    with pytest.raises(WireError, match="'first' is its own callback"):
        encode_signature(first)


def test_any_aware_datetime_may_be_assigned() -> None:
    """A plain datetime with a zone is written like a Time."""
    zone = timezone(timedelta(hours=-3, minutes=-30))
    document = encode_signature(Signature("x", eta=datetime(2024, 2, 29, 1, 2, 3, 40, zone)))
    assert b'"ETA":"2024-02-29T01:02:03.00004-03:30"' in document
    assert datetime(2024, 2, 29, 1, 2, 3, 40, zone) == decode_signature(document).eta
