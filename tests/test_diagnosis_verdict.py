"""Verdicts of single messages; compat-tests/test_explain_go.py compares thousands with live Go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gomachinery_py.calls import Parameters
from gomachinery_py.diagnosis.costs import cost
from gomachinery_py.diagnosis.verdict import NIL_POINTER, Ending, Kind, Knowledge, Verdict, go_verdict, our_verdict


def add(*numbers: int) -> int:
    """A task."""
    return sum(numbers)


def greet(name: str, times: int = 1) -> str:
    """A task."""
    return name * times


KNOWN = Knowledge({"add": Parameters.of(add), "greet": Parameters.of(greet)}, {"greet"})
OK = Ending("SUCCESS")
FAILS = Ending("FAILURE")


def message(*args: tuple[str, Any], **fields: Any) -> bytes:
    """A message for ``add``."""
    made = [{"Type": kind, "Value": value} for kind, value in args]
    return json.dumps({"UUID": "task_1", "Name": "add", "Args": made, **fields}).encode()


def reflected(text: str) -> Verdict:
    """What an argument that does not fit is in Go."""
    return Verdict(Kind.FAILURE, f"Reflect task args error: {text}", ends_consumer=True)


GO = {
    "accepted": (message(("int64", 1)), Verdict(Kind.ACCEPTED, success=OK, failure=FAILS)),
    "wraps": (message(("int8", 300)), Verdict(Kind.ACCEPTED, success=OK, failure=FAILS)),
    "retried": (message(RetryCount=2), Verdict(Kind.ACCEPTED, success=OK, failure=Ending("RETRY"))),
    "empty": (b"", Verdict(Kind.DROPPED, "an empty message is passed over")),
    "no JSON": (b"{", Verdict(Kind.WORKER_ERROR, "unexpected EOF")),
    "no name": (message(Name=""), Verdict(Kind.UNREGISTERED)),
    "null": (b"null", Verdict(Kind.UNREGISTERED)),
    "ignored": (message(Name="", IgnoreWhenTaskNotRegistered=True), Verdict(Kind.DROPPED)),
    "text": (message(("int64", "5")), reflected("5 is not int64")),
    "first of two": (message(("x", 1), ("[]int64", True)), reflected("x is not one of supported types")),
    "no list": (
        message(("[]int64", True), ("x", 1)),
        Verdict(Kind.KILLS, "reflect: call of reflect.Value.Len on bool Value"),
    ),
    "an object": (
        message(("[]byte", {"a": 1})),
        Verdict(Kind.KILLS, "reflect: call of reflect.Value.Index on map Value"),
    ),
    "null after an argument": (message(("int64", "5"), OnError=[None]), Verdict(Kind.KILLS, NIL_POINTER)),
    "null callbacks": (
        message(OnSuccess=[None], OnError=[None]),
        Verdict(
            Kind.ACCEPTED,
            success=Ending("SUCCESS", Kind.KILLS, NIL_POINTER),
            failure=Ending("FAILURE", Kind.KILLS, NIL_POINTER),
        ),
    ),
    "a chord": (
        message(GroupUUID="g", GroupTaskCount=1, ChordCallback={"Name": "add"}),
        Verdict(
            Kind.ACCEPTED,
            success=Ending("SUCCESS", Kind.WORKER_ERROR, "Completed check for group g returned error: ", True),
            failure=FAILS,
        ),
    ),
    "stop deletion": (
        message(StopTaskDeletionOnError=True),
        Verdict(
            Kind.ACCEPTED, success=OK, failure=Ending("FAILURE", Kind.WORKER_ERROR, "task should not be deleted")
        ),
    ),
    "no Fibonacci number": (
        message(RetryCount=1, RetryTimeout=2**63 - 1),
        Verdict(Kind.ACCEPTED, success=OK, failure=Ending("RETRY", Kind.HANGS)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "verdict"), GO.values(), ids=GO)
def test_go(body: bytes, verdict: Verdict) -> None:
    """What a Go worker that has the task does."""
    assert verdict == go_verdict(body)


FEW, MANY = "reflect: Call with too few input arguments", "reflect: Call with too many input arguments"
SIGNATURES = {
    "variadic": (message(("int64", 1), ("int64", 2)), Kind.ACCEPTED, "", 0),
    "of another type": (message(("string", "a")), Kind.FAILURE, "reflect: cannot use string as type int64 in Call", 0),
    "too few": (message(("string", "a"), Name="greet"), Kind.FAILURE, FEW, 0),
    "too many": (message(*[("string", "a")] * 3, Name="greet", RetryCount=2), Kind.FAILURE, MANY, 2),
    "wrong": (
        message(("string", "a"), ("int", 1), Name="greet"),
        Kind.FAILURE,
        "reflect: Call using int as type int64",
        0,
    ),
    "unknown": (message(Name="nobody"), Kind.UNREGISTERED, "", 0),
    "null in the end": (message(Name="greet", OnError=[None], RetryCount=1), Kind.KILLS, NIL_POINTER, 1),
    "hangs": (message(Name="greet", RetryTimeout=2**63 - 1, RetryCount=1), Kind.HANGS, "", 0),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "text", "retries"), SIGNATURES.values(), ids=SIGNATURES)
def test_go_by_the_function(body: bytes, kind: Kind, text: str, retries: int) -> None:
    """With the task's parameters also the number and the types of arguments count, after all retries."""
    verdict = go_verdict(body, KNOWN)
    assert (kind, text, retries) == (verdict.kind, verdict.text, verdict.retries)


OURS = {
    "accepted": (message(("string", "a"), Name="greet"), Kind.ACCEPTED, ""),
    "for others": (message(), Kind.UNREGISTERED, ""),
    "wraps": (
        message(("string", "a"), ("int8", 300), Name="greet"),
        Kind.FAILURE,
        "Reflect task args error: 300 does not fit int8 (-128 to 127)",
    ),
    "too few": (message(Name="greet"), Kind.FAILURE, FEW),
    "null": (message(OnSuccess=[None]), Kind.REFUSED, "a callback in OnSuccess or OnError is null"),
    "no JSON": (b"{", Kind.REFUSED, "cannot be decoded: unexpected end of JSON input (at byte 1)"),
    "a queue": (
        message(UUID="machinery_tasks"),
        Kind.REFUSED,
        "UUID 'machinery_tasks' is the name of a queue or key that is in use",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "text"), OURS.values(), ids=OURS)
def test_ours(body: bytes, kind: Kind, text: str) -> None:
    """What a worker of ours does; a default of the function may be missing."""
    verdict = our_verdict(body, KNOWN)
    assert (kind, text) == (verdict.kind, verdict.text)


def test_what_it_costs() -> None:
    """An error ends a v2 worker's consumer for good, and a v1 worker's for a while; a success costs nothing."""
    failure, lost = go_verdict(message(("int64", "5"))), go_verdict(b"{")
    assert "starts over" in cost(failure, "v1")
    assert "consumes no more" in cost(failure, "v2")
    assert cost(lost, "v1") == f"the message is lost; {cost(failure, 'v1')}"
    assert cost(go_verdict(message(("int64", 1))), "v2") == ""
