"""What is sent, and done, while transcripts are recorded: the same for Go and Python.

A scenario's documents are Machinery's own JSON. Its tasks are those of ``python_tasks.py`` and go-harness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.signatures import Document, signature

__all__ = ["PRODUCER", "WORKER", "Scenario"]

FUTURE = "2099-01-01T00:00:00.123456789+02:00"
PAST = "2001-09-09T01:46:40.5Z"


@dataclass(frozen=True)
class Scenario:
    """One thing to send.

    Attributes:
        name: unique; names the fixture.
        kind: which of Machinery's four calls sends it.
        tasks: signature documents, in order.
        callback: a chord's callback.
        with_context: send by ``Send…WithContext``.
        final: how many tasks a worker brings to SUCCESS or FAILURE; 0 when no worker runs.
        stops_consumer: whether it ends a Go worker's consumer, so that no further task can be awaited.
        typed: whether a Go producer turns the arguments into real Go values of their types first.
    """

    name: str
    kind: Literal["task", "chain", "group", "chord"]
    tasks: tuple[Document, ...]
    callback: Document | None = None
    with_context: bool = False
    final: int = 0
    stops_consumer: bool = False
    typed: bool = True


def _task(name: str, document: Document, *, final: int = 0) -> Scenario:
    return Scenario(name, "task", (document,), final=final)


def _add(*numbers: int, **fields: object) -> Document:
    return signature("add", *(("int64", number) for number in numbers), **fields)


def _triple() -> tuple[Document, ...]:
    return (_add(1, 1), _add(2, 2), _add(5, 6))


ALL_ARGUMENTS: tuple[tuple[str, object], ...] = (
    ("bool", True),
    ("int", -1),
    ("int8", -128),
    ("int16", 32767),
    ("int32", -(2**31)),
    ("int64", 2**63 - 1),
    ("uint", 2**64 - 1),
    ("uint8", 255),
    ("uint16", 65535),
    ("uint32", 2**32 - 1),
    ("uint64", 2**64 - 1),
    ("float32", 0.1),
    ("float64", 1e21),
    ("string", 'żółw <&> "quoted" \n\u2028'),
    ("[]bool", [True, False]),
    ("[]int8", [1, -2]),
    ("[]uint16", [0, 65535]),
    ("[]float64", [0.5, 1e-7]),
    ("[]string", ["a", ""]),
    ("[]byte", "AP8="),
    ("[]int64", []),
)

PRODUCER: tuple[Scenario, ...] = (
    _task("send-no-arguments", {"Name": "noop"}),
    _task("send-empty-arguments", {"Name": "noop", "Args": []}),
    _task("send-arguments", signature("all", *ALL_ARGUMENTS)),
    _task("send-headers", {"Name": "noop", "Headers": {"b": "x", "a": {"z": 1, "y": [None, True]}}}),
    _task("send-eta-future", {"Name": "noop", "ETA": FUTURE}),
    _task("send-eta-past", {"Name": "noop", "ETA": PAST}),
    _task("send-priority", {"Name": "noop", "Priority": 255}),
    _task("send-routing-key", {"Name": "noop", "RoutingKey": "other_queue"}),
    _task(
        "send-options",
        _add(
            1,
            Immutable=True,
            RetryCount=3,
            RetryTimeout=8,
            OnSuccess=[_add(2), {"Name": "noop"}],
            OnError=[signature("record", ("string", "x"), Headers={"h": "1"})],
            BrokerMessageGroupId="group",
            IgnoreWhenTaskNotRegistered=True,
        ),
    ),
    Scenario("send-chain", "chain", (_add(2, 2), _add(5, 6), signature("multiply", ("int64", 4)))),
    Scenario("send-chain-with-context", "chain", (_add(2, 2), _add(5, 6)), with_context=True),
    Scenario("send-group", "group", _triple()),
    Scenario("send-chord", "chord", _triple(), callback=signature("multiply")),
    Scenario("send-chord-nil-arguments", "chord", _triple(), callback={"Name": "multiply"}),
    Scenario("send-chord-immutable", "chord", _triple(), callback={"Name": "noop", "Immutable": True}),
)

WORKER: tuple[Scenario, ...] = (
    _task("work-success", _add(1, 2), final=1),
    _task("work-no-results", {"Name": "noop"}, final=1),
    _task(
        "work-two-results",
        signature("return_multiple_values", ("string", "<a>"), ("string", "b"), ("bool", False)),
        final=1,
    ),
    _task("work-failure", signature("fail", ("string", "no & <luck>")), final=1),
    _task("work-panic", {"Name": "panic"}, final=1),
    Scenario(
        "work-argument-error",
        "task",
        (signature("add", ("int64", "x")),),
        final=1,
        stops_consumer=True,
        typed=False,
    ),
    _task("work-eta-past", {"Name": "noop", "ETA": PAST}, final=1),
    _task("work-on-success", _add(1, 2, OnSuccess=[_add(3, UUID="task_next")]), final=2),
    _task(
        "work-on-success-immutable",
        _add(1, 2, Immutable=True, OnSuccess=[_add(3, UUID="task_next")]),
        final=2,
    ),
    _task(
        "work-on-error",
        signature("fail", ("string", "bad"), OnError=[signature("record", ("string", "x"), UUID="task_next")]),
        final=2,
    ),
    _task("work-retry", signature("fail_n_times", ("int64", 1), RetryCount=2), final=1),
    _task("work-retry-exhausted", signature("fail", ("string", "always"), RetryCount=1), final=1),
    _task(
        "work-retry-later",
        signature("retry_later", ("string", "busy"), ("int64", 50), ("int64", 1)),
        final=1,
    ),
    Scenario(
        "work-chain",
        "chain",
        (_add(2, 2), _add(5, 6), signature("multiply", ("int64", 4))),
        final=3,
    ),
    Scenario("work-group", "group", _triple(), final=3),
    Scenario("work-chord", "chord", _triple(), callback=signature("multiply"), final=4),
    Scenario(
        "work-chord-immutable",
        "chord",
        _triple(),
        callback={"Name": "noop", "Immutable": True},
        final=4,
    ),
    Scenario(
        "work-chord-failed-member",
        "chord",
        (signature("fail", ("string", "bad")), _add(1)),
        callback=signature("multiply"),
        final=2,
    ),
)
