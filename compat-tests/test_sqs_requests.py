"""What is asked of SQS: our requests and those of live Go, recorded by a proxy, compared."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.conformance import ServicePythonProducer, ServicePythonWorker
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.scenarios import PRODUCER, Scenario
from harness.services import Place
from harness.signatures import signature
from harness.sqs_recorder import SQSRecorder
from harness.sqs_server import SQSServer

Requests = list[tuple[str, dict[str, Any]]]
KINDS = ("v1", "v2", "python")
QUEUES = ("machinery_tasks", "other_queue", "machinery.fifo")
# SQS keeps no ETA that is more than 15 minutes ahead.
SCENARIOS = [scenario for scenario in PRODUCER if scenario.name != "send-eta-future"]


@pytest.fixture(scope="module")
def recorder(sqs_server: SQSServer) -> Iterator[SQSRecorder]:
    """A proxy in front of ElasticMQ; Go and Python are told to use it."""
    for queue in QUEUES:
        sqs_server.create(queue)
    recorder = SQSRecorder(sqs_server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "AWS_ENDPOINT_URL_SQS", recorder.endpoint)
        yield recorder
    recorder.stop()


@pytest.fixture(scope="module")
def producers(recorder: SQSRecorder) -> Iterator[dict[str, Any]]:
    """A producer of every kind."""
    with short_directory() as directory, contextlib.ExitStack() as stack:
        redis = RedisServer(directory)
        stack.callback(redis.stop)
        ours = ServicePythonProducer(recorder.url, redis.url())
        stack.callback(ours.close)
        both: dict[str, Any] = {"python": ours}
        for version in ("v1", "v2"):
            flags = {"broker": recorder.url, "backend": redis.url(), "records": redis.url()}
            both[version] = GoProducer(redis, directory, version, **flags)
            stack.callback(both[version].kill)
        yield both


def sent(recorder: SQSRecorder, send: Callable[[], object]) -> Requests:
    """The requests of a send, with random ids as the number of their first mention, batches as single messages."""
    recorder.requests.clear()
    send()
    names: dict[str, str] = {}

    def named(uuid: str) -> str:
        return names.setdefault(uuid, f"id-{len(names)}") if uuid else uuid

    def normalised(document: dict[str, Any]) -> dict[str, Any]:
        for field in ("UUID", "GroupUUID"):
            document[field] = named(document[field])
        for field in ("OnSuccess", "OnError"):
            for callback in document[field] or ():
                normalised(callback)
        if document["ChordCallback"]:
            normalised(document["ChordCallback"])
        return document

    messages: Requests = []
    for action, told in recorder.requests:
        entries = told.get("Entries") or [told]
        for entry in entries:
            body = json.loads(entry["MessageBody"])
            # The order of the fields counts as well.
            fields = {**entry, "QueueUrl": told["QueueUrl"], "MessageBody": json.dumps(normalised(body))}
            fields.pop("Id", None)
            if "MessageDeduplicationId" in fields:
                fields["MessageDeduplicationId"] = named(fields["MessageDeduplicationId"])
            messages.append((action.removesuffix("Batch"), fields))
    return messages


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_what_is_sent(recorder: SQSRecorder, producers: dict[str, Any], scenario: Scenario) -> None:
    """Every message has the body, the queue and the attributes that Go sends."""
    told = {kind: sent(recorder, lambda kind=kind: call(producers[kind], scenario)) for kind in KINDS}  # type: ignore[misc]

    assert told["v1"]
    assert told["v1"] == told["python"]
    assert told["v2"] == told["python"]


def call(producer: Any, scenario: Scenario) -> None:
    if scenario.kind == "task":
        producer.send_task(scenario.tasks[0], typed=scenario.typed)
    elif scenario.kind == "chain":
        producer.send_chain(*scenario.tasks, typed=scenario.typed)
    elif scenario.kind == "group":
        producer.send_group(*scenario.tasks, typed=scenario.typed)
    else:
        producer.send_chord(*scenario.tasks, callback=scenario.callback, typed=scenario.typed)


def test_fifo_and_delay(recorder: SQSRecorder, producers: dict[str, Any]) -> None:
    """A FIFO message has its UUID and group, a delayed one its seconds: ours rounded up, Go's down."""
    # Of now, not of when this file was read: a whole run takes longer than SQS keeps an ETA.
    eta = (datetime.now(UTC) + timedelta(seconds=600)).isoformat()
    fifo = signature("noop", RoutingKey="machinery.fifo", BrokerMessageGroupId="group", ETA=eta)
    told = {
        kind: sent(recorder, lambda kind=kind: producers[kind].send_task(fifo))  # type: ignore[misc]
        for kind in KINDS
    }
    assert told["v1"] == told["v2"] == told["python"]
    [(action, fields)] = told["python"]
    assert (action, fields["MessageDeduplicationId"], fields["MessageGroupId"]) == ("SendMessage", "id-0", "group")
    assert "DelaySeconds" not in fields

    seconds: dict[str, int] = {}
    for kind in KINDS:
        began = datetime.now(UTC)
        [(_, fields)] = sent(recorder, lambda kind=kind: producers[kind].send_task(signature("noop", ETA=eta)))  # type: ignore[misc]
        left = (datetime.fromisoformat(eta) - began).total_seconds()
        seconds[kind] = fields.pop("DelaySeconds") - int(left)
    assert seconds["python"] == 1
    assert {seconds["v1"], seconds["v2"]} <= {0, -1}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_worker_asks(recorder: SQSRecorder, sqs_server: SQSServer, kind: str) -> None:
    """A message is received with the configured times and deleted by its receipt."""
    queue = sqs_server.create(f"asked-{kind}")

    def asked() -> list[dict[str, Any]]:
        told = [told for action, told in list(recorder.requests) if action == "ReceiveMessage"]
        return [request for request in told if request["WaitTimeSeconds"]]

    def deleted() -> list[dict[str, Any]]:
        return [told for action, told in list(recorder.requests) if action == "DeleteMessage"]

    with short_directory() as directory, contextlib.ExitStack() as stack:
        redis = RedisServer(directory)
        stack.callback(redis.stop)
        worker = start(kind, recorder, redis, directory, queue)
        stack.callback(worker.kill)
        recorder.requests.clear()
        sqs_server.send(queue, json.dumps(signature("noop", UUID="task_asked")))
        wait_until(lambda: asked() and deleted(), 10, "another request for messages, and one to delete this one")
    [receipt], received = deleted(), asked()[0]

    names = set(received.pop("AttributeNames", ())) | set(received.pop("MessageSystemAttributeNames", ()))
    assert names - {"ApproximateReceiveCount"} == {"SentTimestamp"}
    assert received == {
        "MessageAttributeNames": ["All"],
        "QueueUrl": f"{recorder.url}/{queue}",
        "MaxNumberOfMessages": 1,
        "WaitTimeSeconds": 2,
        "VisibilityTimeout": 20,
    }
    assert set(receipt) == {"QueueUrl", "ReceiptHandle"}
    assert receipt["QueueUrl"] == f"{recorder.url}/{queue}"


def start(
    kind: str, recorder: SQSRecorder, redis: RedisServer, directory: Path, queue: str
) -> GoWorker | ServicePythonWorker:
    flags: dict[str, str | int] = {"broker": recorder.url, "sqs_wait": 2, "sqs_visibility": 20}
    if kind == "python":
        return ServicePythonWorker(Place(recorder.url, queue), redis.url(), redis, directory, **flags)
    return GoWorker(redis, directory, kind, queue=queue, backend=redis.url(), records=redis.url(), **flags)
