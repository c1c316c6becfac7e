"""Hypothesis strategies for everything that a producer of ours can be asked to send, good and bad.

A :class:`Plan` is one call of the public surface: it builds its signatures when it is carried out, so that each server
it is sent to gets the same. Most of what is drawn is valid; each field is now and then something else, at or beyond its
limits. Everything runs without waiting: no task here sleeps.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import GenericAlias
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from gomachinery_py import Arg, Chain, Chord, Group, Server, Signature, types
from gomachinery_py.golang.json import Number
from gomachinery_py.golang.time import Time

__all__ = ["REUSED", "Plan", "declare", "plans"]

INTEGERS = {f"{sign}int{bits}": (sign, bits or 64) for sign in ("", "u") for bits in ("", 8, 16, 32, 64)}
TEXTS = ["", "a", "żółw <&> \u2028\u2029", "\x00\x1f\x7f\r\n", "💥\U0010ffff", '"\\/', "5", "null"] * 3 + ["ą" * 50_000]
DEEP: list[Any] = []
for _ in range(9_000):
    DEEP = [DEEP]
TOO_DEEP = [DEEP, [DEEP]]
for _ in range(1_100):
    TOO_DEEP = [TOO_DEEP]

text = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def _integers(sign: str, bits: int) -> SearchStrategy[int]:
    low, high = (0, (1 << bits) - 1) if sign else (-(1 << bits - 1), (1 << bits - 1) - 1)
    return st.sampled_from([low, high, 0, 1, low + 1, high - 1]) | st.integers(low, high)


def _single(number: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return rounded


FLOATS = [0.0, -0.0, 0.1, 1e20, 1e21, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, 2.0**53, -1.5]
SCALARS: dict[str, SearchStrategy[Any]] = {
    "bool": st.booleans(),
    **{name: _integers(sign, int(bits)) for name, (sign, bits) in INTEGERS.items()},
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.1, 3.4028234663852886e38, 1e-45, Number("1.50")]),
    "float64": st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([*FLOATS, Number("1.50"), Number("1E5")]),
    "string": text,
}
BYTES = st.binary(max_size=12) | st.sampled_from([b"", b"\xff" * 1000, bytearray(b"x"), [0, 255], None])
VALUES: dict[str, SearchStrategy[Any]] = {
    **SCALARS,
    **{f"[]{name}": st.none() | st.lists(values, max_size=4) for name, values in SCALARS.items()},
    "[]uint8": BYTES,
    "[]byte": BYTES,
}
WRONG: list[Any] = [
    *(None, True, 1.5, "x", "5", "AA", b"x", [], {}, (), [1], [None], [True], [{}], ["x", 1], {"a": 1}, [[1]]),
    *(300, -1, 2**31, 2**63, -(2**63) - 1, 2**64, 10**400, math.nan, math.inf, [math.nan], 3.5e38, 1e39),
    *("\ud800", ["\ud800"], Number("x"), Number("1e400"), [Number("1.5")], object(), [[[]]], 1j),
]
wrong = st.sampled_from(WRONG)


@st.composite
def _mostly(draw: st.DrawFn, good: SearchStrategy[Any], bad: SearchStrategy[Any], share: int = 20) -> Any:
    """Something bad once in ``share`` times."""
    return draw(bad if draw(st.integers(0, share - 1)) == 1 else good)


def _arg(type_name: str) -> SearchStrategy[Arg]:
    return st.builds(Arg, st.just(type_name), _mostly(VALUES[type_name], wrong), st.sampled_from(["", "", "n", "ą"]))


ARGS = {name: _arg(name) for name in VALUES}


@st.composite
def _any_arg(draw: st.DrawFn) -> Arg:
    return draw(ARGS[draw(st.sampled_from(sorted(ARGS)))])


any_arg = _mostly(
    _any_arg(),
    st.sampled_from([Arg("int128", 1), Arg("", 1), Arg("[]any", []), "x", None, 5]),
    40,
)
NAMES = [
    *("add", "multiply", "sum", "concat", "noop", "fail", "panic", "panic_string", "panic_other", "nano_time"),
    *("return_just_error", "return_multiple_values", "context_signature", "fail_n_times"),
    *(f"echo_{name}" for name in VALUES),
]
FITTING = {
    "add": st.lists(ARGS["int64"], max_size=5),
    "multiply": st.lists(ARGS["int64"], max_size=5),
    "sum": st.tuples(ARGS["[]int64"]),
    "concat": st.lists(ARGS["string"], max_size=3),
    "fail": st.tuples(ARGS["string"]),
    "fail_n_times": st.tuples(st.builds(Arg, st.just("int64"), st.integers(0, 2))),
    "return_just_error": st.tuples(ARGS["string"], ARGS["bool"]),
    "return_multiple_values": st.tuples(ARGS["string"], ARGS["string"], ARGS["bool"]),
    **{f"echo_{name}": st.tuples(ARGS[name]) for name in VALUES},
}
arguments_of = {
    name: (FITTING.get(name, st.just([])).map(list) | st.lists(any_arg, max_size=3) | st.none()) for name in NAMES
}

# -- options --

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([*FLOATS, Number("1.50"), 10**500])
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
BAD_HEADERS = [
    [],
    "x",
    {1: 2},
    {"a": math.nan},
    {"a": b"x"},
    {"a": object()},
    {"a": TOO_DEEP},
    {"\ud800": 1},
    {"a": {1}},
]
headers = _mostly(
    st.dictionaries(text, json_values, max_size=3), st.sampled_from([None, {"deep": DEEP}, *BAD_HEADERS]), 8
)


def _moments() -> list[Any]:
    now = datetime.now(UTC)
    soon = [now + timedelta(seconds=seconds) for seconds in (-100_000, -1, 0, 0.2, 1.5)]
    zones = [
        timezone(timedelta(hours=5, minutes=45)),
        timezone(timedelta(seconds=-2670)),
        timezone(-timedelta(hours=23)),
    ]
    return [
        *soon,
        *(soon[0].astimezone(zone) for zone in zones),
        *(datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 4, 11, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
        *(Time.from_unix_ns(1), Time.from_unix_ns(10**18 + 1, 3600), Time.from_unix_ns(10**18, -61)),
    ]


BAD_MOMENTS = [
    *(datetime(2024, 1, 1), datetime(1969, 12, 31, 23, 59, tzinfo=UTC), datetime(2262, 4, 12, tzinfo=UTC)),
    *(datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), "2024-01-01T00:00:00Z", 5, True),
    *(Time.from_unix_ns(2**63), Time.from_unix_ns(-(2**80)), Time.from_unix_ns(10**30)),
]
# Whole days of offset: nothing can write them, so they are sent in UTC or refused.
ODD_MOMENTS = [Time.from_unix_ns(10**18, 86_400), Time.from_unix_ns(10**18, -(10**6))]
BAD_NAMES = ["machinery_tasks", "delayed_tasks", "TriggerChordMutex", "machinery_lock_x", "{machinery_tasks}:gmpy:dead"]
NUMBERS = [-1, 256, 2**31, 2**63 - 1, 2**63, True, 1.0, "3", None, math.nan]
COUNTDOWNS: list[Any] = [0, 0.2, 1, -5, timedelta(seconds=1), 10**6, timedelta(days=100)]
BAD_COUNTDOWNS: list[Any] = [math.nan, math.inf, 1e30, timedelta.max, "5", [1], 10**400, True]

_given = itertools.count()
uuids = _mostly(
    st.just("") | st.sampled_from(["given", "ą 💥", "x" * 2000, "{}"]).map(lambda start: f"{start}-{next(_given)}"),
    st.sampled_from([*BAD_NAMES, 5, "\ud800"]),
    20,
)
routing_keys = _mostly(
    st.sampled_from(["", "", "machinery_tasks"]), st.sampled_from([*BAD_NAMES[1:], "elsewhere", 5, "\ud800"]), 20
)


def _number(good: list[int]) -> SearchStrategy[Any]:
    return _mostly(st.sampled_from(good), st.sampled_from(NUMBERS), 20)


FIELDS: dict[str, SearchStrategy[Any]] = {
    "uuid": uuids,
    "routing_key": routing_keys,
    "eta": _mostly(st.deferred(lambda: st.sampled_from(_moments())), st.sampled_from([*BAD_MOMENTS, *ODD_MOMENTS]), 6),
    "headers": headers,
    "priority": _number([0, 1, 255]),
    "immutable": _mostly(st.booleans(), wrong, 30),
    "retry_count": _number([0, 1, 2, 1_000_000]),
    "retry_timeout": _number([0, 1, 8, 366 * 24 * 3600]),
    "group_uuid": st.sampled_from(["", "", "no group", "machinery_tasks"]),
    "group_task_count": _number([0, 3]),
    "broker_message_group_id": text,
    "sqs_receipt_handle": text,
    "stop_task_deletion_on_error": st.sampled_from([False] * 9 + [True]),
    "ignore_when_task_not_registered": st.booleans(),
}
callbacks = st.deferred(
    lambda: _mostly(
        st.lists(signatures, max_size=2),
        st.sampled_from([[None], [Signature("noop"), None], ["x"], "x", 5, Signature("noop")]),
        15,
    )
)
FIELDS |= {"on_success": callbacks, "on_error": callbacks}


@st.composite
def _some(draw: st.DrawFn, options: dict[str, SearchStrategy[Any]], most: int) -> dict[str, Any]:
    """A few of the options at a time: with all of them drawn nearly every send would hold something bad."""
    chosen = draw(st.lists(st.sampled_from(sorted(options)), max_size=most))
    return {name: draw(options[name]) for name in chosen}


@st.composite
def _hand_made(draw: st.DrawFn, names: list[str], most: int) -> Signature:
    name = draw(st.sampled_from(names))
    return Signature(name, draw(arguments_of[name]), **draw(_some(FIELDS, most)))


NOT_TEXT: Any = 5
unregistered = st.sampled_from(["nobody knows", "ą", "x" * 10_000]).map(
    lambda name: Signature(name, ignore_when_task_not_registered=True)
)
signatures: SearchStrategy[Signature] = _mostly(
    _hand_made(NAMES, 3),
    unregistered | st.sampled_from(["", NOT_TEXT]).map(Signature),
    40,
)

OPTIONS: dict[str, SearchStrategy[Any]] = {
    name: FIELDS[name]
    for name in (
        "eta",
        "retry_timeout",
        "priority",
        "headers",
        "immutable",
        "on_success",
        "on_error",
        "routing_key",
        "uuid",
    )
} | {
    "countdown": _mostly(st.sampled_from(COUNTDOWNS), st.sampled_from(BAD_COUNTDOWNS), 4),
    "retries": FIELDS["retry_count"],
    "message_group_id": text,
    "ignore_when_not_registered": st.booleans(),
    "stop_task_deletion_on_error": FIELDS["stop_task_deletion_on_error"],
}

# -- declared tasks --


def declare(server: Server) -> dict[str, Any]:
    """The Go worker's tasks as stubs of a server."""

    def add(*numbers: int) -> int: ...  # type: ignore[empty-body]
    def concat(*parts: str) -> str: ...  # type: ignore[empty-body]
    def total(numbers: list[int]) -> int: ...  # type: ignore[empty-body]
    def return_multiple_values(first: str, second: str, fail: bool = False) -> tuple[str, str]: ...  # type: ignore[empty-body]
    def fail(message: str) -> None: ...
    def noop() -> None: ...

    functions: list[Any] = [add, concat, return_multiple_values, fail, noop]
    stubs: dict[str, Any] = {function.__name__: server.remote()(function) for function in functions}
    stubs["sum"] = server.remote("sum")(total)
    kinds: dict[str, Any] = {name: getattr(types, alias) for name, alias in ALIASES.items()} | {"string": str}
    kinds |= {f"[]{name}": GenericAlias(list, kind) for name, kind in kinds.items()} | {"[]byte": bytes}
    for name, kind in kinds.items():

        def echo(value: Any) -> Any: ...

        echo.__annotations__ = {"value": kind, "return": kind}
        stubs[f"echo_{name}"] = server.remote(f"echo_{name}")(echo)
    return stubs


ALIASES = {
    name: name.replace("uint", "UInt").replace("int", "Int") if "uint" not in name else name.replace("uint", "UInt")
    for name in INTEGERS
} | {"bool": "Bool", "float32": "Float32", "float64": "Float64"}

# -- plans --


@dataclass
class Plan:
    """One call of the public surface; ``build`` makes what is sent, ``how`` says by which method."""

    how: str
    build: Callable[[dict[str, Any]], Any]
    about: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"{self.how}({', '.join(map(_short, self.about))})"

    def carry_out(self, stubs: dict[str, Any], servers: Sequence[Server]) -> list[Signature]:
        """Send to every server; the tasks that were sent by themselves. Raises what the producer raises."""
        built = self.build(stubs)
        for server in servers:
            getattr(server, f"send_{self.how}")(built)
        if self.how == "task":
            return [built]
        if self.how == "chain":
            return [built.tasks[0]]
        return list(built.group.tasks if self.how == "chord" else built.tasks)


@st.composite
def _stub_plan(draw: st.DrawFn) -> Plan:
    name = draw(st.sampled_from(sorted(STUB_VALUES)))
    values, options = draw(STUB_VALUES[name]), draw(_some(OPTIONS, 3))
    method = draw(st.sampled_from(["s", "signature"]))

    def build(stubs: dict[str, Any]) -> Any:
        sender = stubs[name].using(**options) if options else stubs[name]
        return getattr(sender, method)(*values)

    return Plan("task", build, (name, values, options, method))


STUB_VALUES: dict[str, SearchStrategy[Sequence[Any]]] = {
    "add": st.lists(_mostly(SCALARS["int64"], wrong), max_size=4),
    "concat": st.lists(_mostly(text, wrong), max_size=3),
    "sum": st.tuples(_mostly(VALUES["[]int64"], wrong)),
    "fail": st.tuples(text),
    "noop": st.lists(wrong, max_size=1),
    "return_multiple_values": st.lists(text, max_size=3),
    **{f"echo_{name}": st.tuples(_mostly(VALUES[name], wrong)) for name in VALUES if name != "[]uint8"},
}
small = _hand_made(["add", "multiply", "concat", "noop", "fail", "echo_string", "return_multiple_values"], 1)
# Now and then a field of a member is written again after the workflow was put together.
REUSED = "same"
SPOILS: list[Any] = [
    *(None,) * 12,
    *(("uuid", ""), ("uuid", REUSED), ("group_uuid", "another"), ("group_uuid", ""), ("group_task_count", 7)),
    *(("group_task_count", 0), ("chord_callback", None), ("chord_callback", Signature("noop")), ("name", "")),
]


@st.composite
def _workflow(draw: st.DrawFn) -> Plan:
    how = draw(st.sampled_from(["chain", "group", "chord", "chord"]))
    members, callback = draw(st.lists(small, max_size=4)), draw(small)
    spoil = draw(st.sampled_from(SPOILS))

    def build(_stubs: dict[str, Any]) -> Any:
        if how == "chain":
            return Chain(*members)
        group = Group(*members)
        made = group if how == "group" else Chord(group, callback)
        if spoil is not None:
            setattr(group.tasks[-1], *spoil)
        return made

    return Plan(how, build, (members, callback, spoil))


def _short(value: Any) -> str:
    try:
        shown = repr(value)
    except RecursionError:
        shown = f"a deep {type(value).__name__}"
    return shown if len(shown) < 400 else f"{shown[:400]}…"


plans: SearchStrategy[Plan] = st.one_of(
    _stub_plan(),
    signatures.map(lambda signature: Plan("task", lambda _stubs: signature, (signature,))),
    _workflow(),
)
