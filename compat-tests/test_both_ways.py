"""Python → Go and Go → Python, v1 and v2: values, results, failures, retries, times, queues.

Workflows are in ``test_both_ways_workflows.py``. Every test runs for every pair of ``harness.fleet``, so that all of
them have to agree on one expectation.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from harness.fleet import Fleet, Pair, Producer
from harness.go_producer import GoTaskFailed
from harness.journal import Journal
from harness.process import wait_until
from harness.python_producer import PythonProducer
from harness.redis_server import RedisServer
from harness.signatures import Document, push, signature

# How late a task may run on a busy machine; its poll is every 20 ms.
LATE_SECONDS = 10.0

SCALARS: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [-(2**63), 0, 2**63 - 1],
    "int8": [-128, 127],
    "int16": [-(2**15), 2**15 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**53 + 1, 2**63 - 1],
    "uint": [0, 2**64 - 1],
    "uint8": [0, 255],
    "uint16": [0, 2**16 - 1],
    "uint32": [0, 2**32 - 1],
    "uint64": [0, 2**63, 2**64 - 1],
    "float32": [0.5, -3.4028235e38, 1e-45, 16777216.0],
    "float64": [0.1, 5e-324, -1.7976931348623157e308, 1e21, 1e-7, 123456789.125],
    "string": ["", 'żółw 🐢 <&> " \\ / \u2028 \x00 \x1f \x7f \n', "x" * 100_000],
}
BYTES = "AAH+/w=="
_numbers = itertools.count(1)


def told(producer: Producer, uuid: str) -> list[tuple[str, Any]]:
    """A task's results as pairs of Go type name and value."""
    return [(result.type, result.value) for result in producer.get(uuid)]


def values(producer: Producer, *uuids: str) -> list[Any]:
    return [result.value for result in producer.get(*uuids)]


def failure(producer: Producer, task: Document, *, typed: bool = True) -> str:
    """The text with which a task fails."""
    with pytest.raises(GoTaskFailed) as caught:
        producer.get(producer.send_task(task, typed=typed))
    return str(caught.value)


def numbered(prefix: str) -> str:
    return f"{prefix}_{next(_numbers)}"


def test_each_scalar_at_its_limits(pair: Pair) -> None:
    """The least, the greatest and the oddest value of each type come back as they went, with Go's type name."""
    cases = [(kind, value) for kind, several in SCALARS.items() for value in several]

    sent = [pair.producer.send_task(signature(f"echo_{kind}", (kind, value)), typed=True) for kind, value in cases]

    assert [told(pair.producer, uuid) for uuid in sent] == [[case] for case in cases]


def test_each_slice(pair: Pair) -> None:
    """Slices of every type come back with their items; an empty and a nil one are both empty; bytes stay bytes."""
    full = {f"[]{kind}": several for kind, several in SCALARS.items()} | {"[]uint8": BYTES, "[]byte": BYTES}
    cases: list[tuple[str, Any, Any]] = [(kind, items, items) for kind, items in full.items()]
    for kind in full:
        nothing = "" if kind in ("[]uint8", "[]byte") else []
        cases += [(kind, nothing, nothing), (kind, None, nothing)]
    cases.append(("[]byte", [0, 1, 254, 255], BYTES))

    sent = [pair.producer.send_task(signature(f"echo_{kind}", (kind, given))) for kind, given, _ in cases]

    expected = [[("[]uint8" if kind == "[]byte" else kind, back)] for kind, _, back in cases]
    assert [told(pair.producer, uuid) for uuid in sent] == expected


def test_results_in_any_number(pair: Pair) -> None:
    """No result, one, two and fourteen of different types."""
    producer = pair.producer
    scalars = [(kind, several[-1]) for kind, several in SCALARS.items()]
    slices = [(f"[]{kind}", BYTES if kind == "uint8" else several) for kind, several in SCALARS.items()]

    assert told(producer, producer.send_task(signature("noop"))) == []
    assert told(producer, producer.send_task(signature("add", ("int64", 1), ("int64", 2)), typed=True)) == [
        ("int64", 3)
    ]
    pairs = signature("return_multiple_values", ("string", "<a>"), ("string", "ż"), ("bool", False))
    assert told(producer, producer.send_task(pairs, typed=True)) == [("string", "<a>"), ("string", "ż")]
    assert told(producer, producer.send_task(signature("all_scalars", *scalars), typed=True)) == scalars
    assert told(producer, producer.send_task(signature("all_slices", *slices), typed=True)) == slices


FAILURES = [
    (signature("fail", ("string", "no <luck> & more: żółw")), "no <luck> & more: żółw"),
    (signature("return_just_error", ("string", "Test error"), ("bool", True)), "Test error"),
    (signature("return_multiple_values", ("string", ""), ("string", ""), ("bool", True)), "some error"),
    (signature("panic"), "oops"),
    (signature("panic_string"), "plain text"),
    (signature("panic_other"), "Invoking task caused a panic"),
    (signature("sum"), "reflect: Call with too few input arguments"),
    (signature("sum", ("[]int64", [1]), ("[]int64", [2])), "reflect: Call with too many input arguments"),
    (signature("sum", ("string", "x")), "reflect: Call using string as type []int64"),
    (signature("echo_int8", ("int64", 1)), "reflect: Call using int64 as type int8"),
    (signature("add", ("int64", 1), ("string", "x")), "reflect: cannot use string as type int64 in Call"),
]


def test_failures(pair: Pair) -> None:
    """An error, a panic of each kind and a call that does not fit fail with the same text on either side."""
    sent = [pair.producer.send_task(task, typed=True) for task, _ in FAILURES]

    texts = []
    for uuid in sent:
        with pytest.raises(GoTaskFailed) as caught:
            pair.producer.get(uuid)
        texts.append(str(caught.value))

    assert texts == [text for _, text in FAILURES]
    assert {pair.producer.state(uuid)["State"] for uuid in sent} == {"FAILURE"}


WRONG_ARGUMENTS: list[tuple[str, Any]] = [
    ("int64", "x"),
    ("int64", 1.5),
    ("int64", 2**63),
    ("int64", True),
    ("int64", None),
    ("uint64", -1),
    ("bool", "true"),
    ("string", 1),
    ("float64", "1"),
    ("[]int64", "5"),
    ("[]string", [1]),
    ("[]byte", "no base64"),
    ("decimal", 1),
    ("", 1),
]


def stored_failure(redis: RedisServer, uuid: str) -> str:
    """The text of a task, once it has failed."""
    wait_until(lambda: b'"FAILURE"' in (redis.client.get(uuid) or b""), 30, f"{uuid} failed")
    return str(json.loads(redis.client.get(uuid))["Error"])


@pytest.fixture(scope="module")
def go_texts(fleet: Fleet) -> list[str]:
    """What a Go worker stores for each of WRONG_ARGUMENTS; each needs a new one, which is no use any more then.

    And a queue of its own: Redis may still give a message to the BLPOP of a worker that was killed just before.
    """
    texts = []
    for number, argument in enumerate(WRONG_ARGUMENTS):
        with contextlib.ExitStack() as stack:
            uuid, queue = f"task_wrong_{number}", f"wrong_{number}"
            push(fleet.redis.client, queue, signature("noop", argument, UUID=uuid, RoutingKey=queue))
            fleet.start_worker("go-v1-redigo", stack, queue=queue, concurrency=1)
            texts.append(stored_failure(fleet.redis, uuid))
    return texts


@pytest.mark.parametrize("version", ["go-v1-redigo", "go-v2-redigo"])
def test_argument_errors(version: str, fleet: Fleet, go_texts: list[str]) -> None:
    """Arguments that do not fit their types fail at once, whatever the retries, with the text that Go stores."""
    producer = fleet.producer(version, "python")
    assert fleet.worker("python").alive
    tasks = [signature("noop", argument, RetryCount=5) for argument in WRONG_ARGUMENTS]

    assert [failure(producer, task, typed=False) for task in tasks] == go_texts


@pytest.mark.parametrize("argument", WRONG_ARGUMENTS, ids=str)
def test_our_producer_refuses_argument_errors(argument: tuple[str, Any], redis_server: RedisServer) -> None:
    """What would stop a Go worker raises TypeError or ValueError before anything is written."""
    producer = PythonProducer(redis_server.url(), "machinery_tasks", "")

    with pytest.raises((TypeError, ValueError)):
        producer.send_task(signature("noop", argument))
    with pytest.raises((TypeError, ValueError)):
        producer.send_chord(signature("noop"), callback=signature("noop", argument))

    producer.close()
    assert redis_server.client.dbsize() == 0


def test_retries(pair: Pair) -> None:
    """Retries run until success or until they are used up, and RetryTaskLater as often as it is asked for."""
    producer = pair.producer
    recovered = producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=3), typed=True)
    exhausted = producer.send_task(signature("fail_n_times", ("int64", 9), RetryCount=1), typed=True)
    later = producer.send_task(
        signature("retry_later", ("string", "busy"), ("int64", 30), ("int64", 3), RetryCount=0), typed=True
    )

    assert values(producer, later) == [4]
    assert values(producer, recovered) == [2]
    with pytest.raises(GoTaskFailed, match=r"^failure 2$"):
        producer.get(exhausted)


def test_a_retry_waits_and_counts(pair: Pair) -> None:
    """The signature that is sent again has one retry less, the next Fibonacci timeout and a later ETA."""
    with Journal(pair.redis) as journal:
        uuid = pair.producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=2), typed=True)
        assert values(pair.producer, uuid) == [2]
        delayed = [json.loads(change.value) for change in journal.changes() if change.verb == "zadd"]
        [again] = [document for document in delayed if document["UUID"] == uuid]

    assert (again["RetryCount"], again["RetryTimeout"]) == (1, 1)
    assert again["RoutingKey"] == pair.worker_kind
    assert json.loads(pair.redis.client.get(uuid))["TaskName"] == "fail_n_times"


def test_eta(pair: Pair) -> None:
    """A task with an ETA runs then, never early, whatever its time zone; one whose ETA is past runs at once."""
    east = timezone(timedelta(hours=5, minutes=30))
    moments = [datetime.now(zone) + timedelta(milliseconds=ahead) for zone, ahead in ((UTC, 300), (east, 600))]
    sent = [pair.producer.send_task(signature("nano_time", ETA=moment.isoformat())) for moment in moments]
    began = time.time()
    past = pair.producer.send_task(signature("nano_time", ETA="2001-09-09T01:46:40.5+02:00"))

    for uuid, moment in zip(sent, moments, strict=True):
        [ran] = values(pair.producer, uuid)
        assert 0 <= ran / 1e9 - moment.timestamp() < LATE_SECONDS
    assert values(pair.producer, past)[0] / 1e9 - began < LATE_SECONDS


def test_a_task_sees_its_signature(pair: Pair) -> None:
    """The context holds the message as it was sent, byte for byte: headers with their literals, and every field."""
    headers = {"trace": "00-abc", "z": None, "n": [1, 2.5, {"deep": "ż<>"}]}
    task = signature(
        "context_signature", Headers=headers, Priority=7, BrokerMessageGroupId="g", RetryCount=2, RetryTimeout=5
    )
    with Journal(pair.redis) as journal:
        uuid = pair.producer.send_task(task)
        [seen] = values(pair.producer, uuid)
        pushed = [change.value for change in journal.changes() if change.verb == "rpush" and uuid in change.value]

    assert [seen] == pushed
    document = json.loads(seen)
    assert (document["Headers"], document["Priority"], document["RetryCount"]) == (headers, 7, 2)
    assert document["RoutingKey"] == pair.worker_kind


def test_custom_queue_and_unregistered_tasks(pair: Pair, stack: contextlib.ExitStack) -> None:
    """A worker of a custom queue gives back what it does not know, or drops it when told so; another one does it."""
    queue = numbered(f"special-{pair.producer_kind}")
    producer = pair.producer
    pair.fleet.start_worker(pair.worker_kind, stack, custom_queue=queue, only="noop")

    dropped = producer.send_task(
        signature("add", ("int64", 1), RoutingKey=queue, IgnoreWhenTaskNotRegistered=True), typed=True
    )
    unknown = producer.send_task(signature("add", ("int64", 1), RoutingKey=queue), typed=True)
    known = producer.send_task(signature("noop", RoutingKey=queue))
    assert values(producer, known) == []
    assert {producer.state(uuid)["State"] for uuid in (dropped, unknown)} == {"PENDING"}

    pair.fleet.start_worker(pair.worker_kind, stack, custom_queue=queue)
    assert values(producer, unknown) == [1]
    assert producer.state(dropped)["State"] == "PENDING"


@pytest.mark.parametrize("version", ["go-v1-redigo", "go-v2-goredis"])
@pytest.mark.parametrize("face", ["python", "python-async"])
def test_each_lists_what_the_other_has_sent(face: str, version: str, fleet: Fleet) -> None:
    """Waiting and delayed tasks of Go are listed by Python, and Python's by Go."""
    queue = numbered("idle")
    go, python = fleet.producer(version, queue), fleet.producer(face, queue)
    arguments = [("int64", 2**63 - 1), ("[]string", ["ż"])]

    def listed(tasks: list[Document]) -> list[tuple[str, Any]]:
        return [(task["UUID"], [(each["Type"], each["Value"]) for each in task["Args"]]) for task in tasks]

    waiting = [sender.send_task(signature("any", *arguments), typed=True) for sender in (go, python)]
    late = [sender.send_task(signature("any", *arguments, ETA="2099-01-01T00:00:00Z")) for sender in (go, python)]

    for reader in (go, python):
        assert listed(reader.pending(queue)) == [(uuid, arguments) for uuid in waiting]
        assert sorted(listed(reader.delayed())) == sorted((uuid, arguments) for uuid in late)
