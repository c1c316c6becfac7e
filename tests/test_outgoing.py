"""What may not be sent, since it would stop, kill or confuse a worker."""

from __future__ import annotations

import copy
import math
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from gomachinery_py.errors import SignatureError, UnsupportedType
from gomachinery_py.golang.json import Number
from gomachinery_py.outgoing import (
    MAX_ARGUMENTS,
    MAX_BODY_BYTES,
    MAX_NESTING,
    MAX_RETRY_TIMEOUT,
    MAX_SIGNATURES,
    Limits,
    check_body,
    check_signature,
)
from gomachinery_py.types import Parameters, Results
from gomachinery_py.wire.model import Arg, Signature

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000
LIMITS = Limits(
    reserved=frozenset({"machinery_tasks", "delayed_tasks"}),
    is_reserved=lambda name: name.startswith("machinery_lock_"),
    results_expire_in=3600,
    now_ns=NOW_NS,
)


def task(name: str = "add", /, **fields: Any) -> Signature:
    return Signature(name, **fields)


def member(**fields: Any) -> Signature:
    return task(group_uuid="group_1", group_task_count=1, **fields)


GOOD: list[Signature] = [
    task(),
    task(args=[]),
    task(args=[Arg("int8", -128), Arg("[]string", ["a"]), Arg("float64", Number("1.50"))]),
    task(headers={}),
    task(headers={"a": [1, {"b": None, "c": Number("1E5")}], "d": 1.5, "e": True}),
    task(uuid="x", routing_key="machinery_tasks", priority=255, retry_count=3, retry_timeout=MAX_RETRY_TIMEOUT),
    task(eta=NOW + timedelta(days=30)),
    task(eta=datetime(1970, 1, 1, tzinfo=UTC)),
    task(on_success=[task("b", on_error=[task("c")])], on_error=[]),
    task(immutable=True, ignore_when_task_not_registered=True),
    member(),
    member(eta=NOW + timedelta(hours=1), chord_callback=task("c", uuid="chord_1")),
    member(chord_callback=task("c"), retry_count=10),
]


@pytest.mark.parametrize("signature", GOOD, ids=range(len(GOOD)))
def test_good_tasks(signature: Signature) -> None:
    """An equal copy that shares nothing, and an original as it was."""
    before = copy.deepcopy(signature)
    sent = check_signature(signature, LIMITS, in_group=bool(signature.group_uuid))
    assert before == signature == sent
    assert sent is not signature
    if signature.args:
        assert all(mine is not theirs for mine, theirs in zip(signature.args, sent.args or (), strict=True))
    if signature.headers:
        assert sent.headers is not signature.headers
    if signature.on_success:
        assert sent.on_success is not None
        assert sent.on_success[0] is not signature.on_success[0]


def test_values_are_put_into_their_wire_form() -> None:
    """Bytes, floats of 32 bits and lists that are no lists yet."""
    args = [Arg("[]byte", [1, 2]), Arg("float32", 0.10000000149011612), Arg("[]int64", (1, 2)), Arg("float64", 3)]
    sent = check_signature(task(args=args), LIMITS)
    assert [arg.value for arg in sent.args or ()] == [b"\x01\x02", 0.1, [1, 2], 3.0]


def test_nested_headers_are_copied() -> None:
    """A later change of the sender's list does not reach what is sent."""
    inner = [1]
    sent = check_signature(task(headers={"a": {"b": inner}}), LIMITS)
    inner.append(2)
    assert sent.headers == {"a": {"b": [1]}}


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
SELF = task("selfish")
SELF.on_error = [task("b", on_success=[SELF])]

REFUSED: list[tuple[Signature, type[Exception], str]] = [
    (task(""), SignatureError, "a task needs a name"),
    (task(5), TypeError, "name must be str, not int"),  # type: ignore[arg-type]
    (task("a\ud800"), SignatureError, "name holds a lone surrogate"),
    (task(uuid="machinery_tasks"), SignatureError, "task add: uuid 'machinery_tasks' is the name of a queue or key"),
    (task(uuid="machinery_lock_x"), SignatureError, "uuid 'machinery_lock_x'"),
    (task(group_uuid="delayed_tasks"), SignatureError, "group_uuid 'delayed_tasks'"),
    (task(uuid="q", routing_key="q"), SignatureError, "'q' is a queue that this very task uses"),
    (task(uuid="q", on_success=[task(routing_key="q")]), SignatureError, "'q' is a queue that this very task uses"),
    (task(on_success=[task(uuid="delayed_tasks")]), SignatureError, "uuid 'delayed_tasks'"),
    (task(uuid="x", group_uuid="x"), SignatureError, "uuid and group_uuid must differ"),
    (task(uuid=None), TypeError, "uuid must be str, not NoneType"),
    (task(routing_key=5), TypeError, "routing_key must be str, not int"),
    (task(priority=256), SignatureError, "priority must be from 0 to 255"),
    (task(priority=-1), SignatureError, "priority must be from 0 to 255"),
    (task(priority=True), TypeError, "priority must be int, not bool"),
    (task(priority=1.0), TypeError, "priority must be int, not float"),
    (task(retry_count=-1), SignatureError, "retry_count must be from 0"),
    (task(retry_count=1 << 63), SignatureError, "retry_count must be from 0"),
    (task(retry_timeout=-1), SignatureError, "retry_timeout must be from 0"),
    (task(retry_timeout=MAX_RETRY_TIMEOUT + 1), SignatureError, "retry_timeout must be from 0"),
    (task(group_task_count=-1), SignatureError, "group_task_count must be from 0"),
    (task(immutable=1), TypeError, "immutable must be bool, not int"),
    (task(stop_task_deletion_on_error=True), SignatureError, "stop_task_deletion_on_error works on SQS only"),
    (task(on_error=[task(stop_task_deletion_on_error=True)]), SignatureError, "works on SQS only"),
    (task(eta=datetime(2024, 6, 1)), SignatureError, "eta has no time zone"),
    (task(eta="2024-06-01T00:00:00Z"), TypeError, "eta must be a datetime, not str"),
    (task(eta=datetime(1969, 12, 31, tzinfo=UTC)), SignatureError, "eta must be between 1970 and 2262"),
    (task(eta=datetime(2263, 1, 1, tzinfo=UTC)), SignatureError, "eta must be between 1970 and 2262"),
    (task(on_success=[None]), SignatureError, "on_success[0] is None, which ends a Go worker's process"),
    (task(on_error=[task(), None]), SignatureError, "on_error[1] is None"),
    (task(on_success=task()), TypeError, "on_success must be a list of signatures, not Signature"),
    (task(on_success=["x"]), TypeError, "on_success[0] must be a Signature, not str"),
    (task(chord_callback=task()), SignatureError, "send it with send_chord"),
    (task(on_success=[task(chord_callback=task())]), SignatureError, "send it with send_chord"),
    (task(chord_callback="x"), TypeError, "chord_callback must be a Signature, not str"),
    (SELF, SignatureError, "task b: OnSuccess leads back to selfish"),
    (task(args=[Arg("int8", 300)]), ValueError, "task add: argument 1: 300 does not fit int8 (-128 to 127)"),
    (task(args=[Arg("int64", 1), Arg("int64", "x")]), TypeError, "task add: argument 2 must be an integer for int64"),
    (task(args=[Arg("float64", math.nan)]), ValueError, "JSON has no such number"),
    (task(args=[Arg("int128", 1)]), UnsupportedType, "int128 is not one of supported types"),
    (task(args=[Arg("string", None)]), TypeError, "must be str, not None"),
    (task(args=[Arg("[]int64", True)]), TypeError, "must be a list for []int64, not bool"),
    (task(args=[Arg(5, 1)]), TypeError, "type and name must be str"),  # type: ignore[arg-type]
    (task(args=[None]), TypeError, "argument 1 must be an Arg, not NoneType"),
    (task(args=(1, 2)), TypeError, "argument 1 must be an Arg, not int"),
    (task(args="x"), TypeError, "args must be a list of Arg, not str"),
    (task(args=[Arg("int64", 1)] * (MAX_ARGUMENTS + 1)), SignatureError, "has 10001 arguments"),
    (task(headers=[]), TypeError, "headers must be a dict, not list"),
    (task(headers={1: "x"}), TypeError, "headers: keys must be str, not int"),
    (task(headers={"a": {None: 1}}), TypeError, "headers: keys must be str, not NoneType"),
    (task(headers={"a": math.inf}), ValueError, "JSON has no such number"),
    (task(headers={"a": b"x"}), TypeError, "headers: bytes is nothing that JSON has"),
    (task(headers={"a": "\ud800"}), SignatureError, "lone surrogate"),
    (task(headers={"a": CIRCLE}), SignatureError, "nested deeper"),
    (member(eta=NOW + timedelta(hours=1, seconds=1)), SignatureError, "eta is 3601 s away"),
    (member(chord_callback=task("c"), retry_count=30), SignatureError, "its retries may last longer than the 3600 s"),
    (member(chord_callback=task("c", uuid="delayed_tasks")), SignatureError, "uuid 'delayed_tasks'"),
    (member(on_success=[task(chord_callback=task())]), SignatureError, "send it with send_chord"),
]


@pytest.mark.parametrize(("signature", "error", "text"), REFUSED, ids=range(len(REFUSED)))
def test_refused_tasks(signature: Signature, error: type[Exception], text: str) -> None:
    """The error says which task, which field and what to do."""
    with pytest.raises(error) as caught:
        check_signature(signature, LIMITS, in_group=bool(signature.group_uuid == "group_1"))
    assert text in str(caught.value)
    assert len(str(caught.value)) < 400


def test_only_signatures_are_sent() -> None:
    """Anything else is a TypeError."""
    with pytest.raises(TypeError, match="a Signature is needed, not str"):
        check_signature("add", LIMITS)  # type: ignore[arg-type]


def test_members_need_their_group() -> None:
    """A member of no group would make a Go worker look for one."""
    with pytest.raises(SignatureError, match="is in no group"):
        check_signature(task(), LIMITS, in_group=True)


def test_chords_need_a_store() -> None:
    """The null store would fire the callback once a member; groups without one are fine."""
    limits = Limits(backend_is_null=True)
    check_signature(member(), limits, in_group=True)
    with pytest.raises(SignatureError, match="a chord needs a result store"):
        check_signature(member(chord_callback=task()), limits, in_group=True)


def test_sqs_may_keep_failed_tasks() -> None:
    """There stop_task_deletion_on_error means something."""
    assert check_signature(
        task(stop_task_deletion_on_error=True), Limits(broker_is_sqs=True)
    ).stop_task_deletion_on_error


def test_amqp_headers_are_text() -> None:
    """A Go worker cannot publish a task again whose header is a number."""
    limits = Limits(broker_is_amqp=True)
    assert check_signature(task(headers={"a": "1"}), limits).headers == {"a": "1"}
    for value in (1, None, Number("1.50"), ["1"]):
        with pytest.raises(TypeError, match="header 'a' must be str on AMQP"):
            check_signature(task(headers={"a": value}), limits)


def test_an_offset_with_seconds_does_not_move_the_eta() -> None:
    """RFC 3339 cannot write one, so such a time is sent in UTC; every other one keeps its offset."""
    odd = datetime(2024, 6, 1, tzinfo=timezone(timedelta(minutes=-44, seconds=-30)))
    even = datetime(2024, 6, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    sent = [check_signature(task(eta=eta), LIMITS).eta for eta in (odd, even)]
    assert [odd, even] == sent
    assert [timedelta(0), timedelta(hours=5, minutes=30)] == [eta.utcoffset() for eta in sent if eta]


def chain_of(length: int) -> Signature:
    first = following = task("last")
    for _ in range(length - 1):
        first = task(on_success=[following])
        following = first
    return first


def test_long_chains() -> None:
    """As deep as Go decodes, without recursion; one task more is refused."""
    longest = (MAX_NESTING - 1) // 2 + 1
    sent: Signature | None = check_signature(chain_of(longest), LIMITS)
    length = 0
    while sent is not None:
        length += 1
        sent = sent.on_success[0] if sent.on_success else None
    assert longest == length
    with pytest.raises(SignatureError, match="nested deeper than the 10000 levels"):
        check_signature(chain_of(longest + 1), LIMITS)


def test_deep_headers() -> None:
    """Refused at Go's limit, and no recursion either."""
    headers: dict[str, Any] = {}
    for _ in range(MAX_NESTING):
        headers = {"a": headers}
    with pytest.raises(SignatureError, match="nested deeper"):
        check_signature(task(headers=headers), LIMITS)


def test_callbacks_that_branch_without_end_are_refused() -> None:
    """Thirty levels of two callbacks each are a thousand million tasks on the wire."""
    below = task("leaf")
    for _ in range(30):
        below = task(on_success=[below, below])
    with pytest.raises(SignatureError, match=f"more than {MAX_SIGNATURES} tasks hang on one"):
        check_signature(below, LIMITS)


def test_a_callback_may_be_used_twice() -> None:
    """Two branches that end in the same task are no circle."""
    end = task("end")
    sent = check_signature(task(on_success=[task("a", on_success=[end]), task("b", on_success=[end])]), LIMITS)
    assert sent.on_success is not None
    assert [[end], [end]] == [branch.on_success for branch in sent.on_success]


def double(number: int) -> int: ...  # type: ignore[empty-body]
def show(text: str, number: int = 0) -> None: ...


def declared(function: Any, *args: Arg, **fields: Any) -> Signature:
    tied = SimpleNamespace(parameters=Parameters.of(function), results=Results.of(function))
    return Signature(function.__name__, list(args), declared=tied, **fields)


NUMBER = Arg("int64", 1)


def test_calls_that_fit_their_declaration() -> None:
    """Also those that Machinery completes."""
    check_signature(declared(double, NUMBER), LIMITS)
    check_signature(declared(double, NUMBER, on_success=[declared(double)]), LIMITS)
    check_signature(declared(double, NUMBER, on_error=[declared(show)]), LIMITS)
    check_signature(declared(double, NUMBER, immutable=True, on_success=[declared(double, NUMBER)]), LIMITS)
    check_signature(task(on_success=[declared(double)]), LIMITS)


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        (declared(double), "double() would get 0 argument(s) and miss 'number'"),
        (declared(double, Arg("string", "")), "double() takes int64 for 'number' (argument 1) and would get string"),
        (declared(double, NUMBER, on_success=[declared(double, NUMBER)]), "Machinery appends the results of double"),
        (declared(double, NUMBER, on_error=[declared(double)]), "Machinery puts the error's text before"),
        (declared(double, NUMBER, immutable=True, on_success=[declared(double)]), "miss 'number'"),
    ],
    ids=range(5),
)
def test_calls_that_do_not_fit_their_declaration(signature: Signature, text: str) -> None:
    """They would fail on every worker."""
    with pytest.raises(SignatureError) as caught:
        check_signature(signature, LIMITS)
    assert text in str(caught.value)


def test_bodies() -> None:
    """16 MiB may be sent, one byte more may not."""
    body = b"x" * MAX_BODY_BYTES
    assert body is check_body(task(), body)
    with pytest.raises(SignatureError, match="task add has 16777217 bytes"):
        check_body(task(), body + b"x")
