"""What Python declares and stores on RabbitMQ is what Go does: queues, the types of their arguments, messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import short_directory
from harness.amqp_fleet import AMQPFleet
from harness.process import wait_until
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.signatures import Document, signature

KINDS = ("v1", "v2", "python")
# Of vhosts whose names end like this the result store is RabbitMQ too.
STORE = "amqp"


class Deployment:
    """What one kind of producer and worker has left behind on an exchange of its own vhost."""

    def __init__(self, kind: str, fleet: AMQPFleet, vhost: str) -> None:
        self.kind = kind
        self.vhost = vhost
        producer = fleet.producer(kind, vhost)
        #: Messages that nobody consumes, by what they are.
        self.messages: dict[str, tuple[dict[str, Any], Document]] = {}
        rabbit = fleet.rabbit
        producer.send_task(signature("noop", RoutingKey="special", Priority=5, Headers={"a": "ż"}, UUID="task-special"))
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        producer.send_task(signature("noop", RoutingKey="special", ETA=later, Priority=5, UUID="task-delayed"))
        waiting = signature("noop", RoutingKey="parked", UUID="task-member", GroupUUID="group-1", GroupTaskCount=2)
        producer.send_task(waiting)
        worker = fleet.start_worker(kind, vhost)
        try:
            producer.send_task(signature("fail", ("string", "no"), UUID="task-failed"))
            member = signature("add", ("int64", 1), UUID="task-done", GroupUUID="group-1", GroupTaskCount=2)
            producer.send_task(member, typed=True)
            wait_until(lambda: rabbit.counts("group-1", vhost) == (1, 0), 20, "the group's member is stored")
            wait_until(lambda: rabbit.counts("task-failed", vhost) == (4, 0), 20, "the failure is stored")
        finally:
            worker.kill()
        self.queues = sorted(
            rabbit.listed("queues", "name", "durable", "auto_delete", "exclusive", "arguments", vhost=vhost), key=str
        )
        self.bindings = rabbit.listed(
            "bindings", "source_name", "destination_name", "routing_key", "arguments", vhost=vhost
        )
        self.exchanges = rabbit.listed(
            "exchanges", "name", "type", "durable", "auto_delete", "internal", "arguments", vhost=vhost
        )
        self._read(rabbit)

    def _read(self, rabbit: RabbitServer) -> None:
        channel = rabbit.connect(self.vhost)
        for queue in self.queues:
            name, number = queue["name"], 0
            while True:
                method, properties, body = channel.basic_get(name, auto_ack=True)
                if method is None:
                    break
                told = {key: value for key, value in vars(properties).items() if value is not None}
                self.messages[f"{_plain(name)} {number}"] = (told, _document(body))
                number += 1
        channel.connection.close()


def _plain(name: str) -> str:
    return re.sub(r"^delay\.\d+\.", "delay.<ms>.", name)


def _document(body: bytes) -> Document:
    document: Document = json.loads(body)
    for moment in ("CreatedAt", "ETA"):
        if document.get(moment) and not document[moment].startswith("0001"):
            document[moment] = "<moment>"
    return document


@pytest.fixture(scope="module")
def deployments(rabbit_server: RabbitServer) -> Iterator[dict[str, Deployment]]:
    with short_directory() as directory:
        redis = RedisServer(directory)
        with AMQPFleet(rabbit_server, redis, directory) as fleet:
            yield {kind: Deployment(kind, fleet, f"stored-{kind}-{STORE}") for kind in KINDS}
        redis.stop()


@pytest.fixture(params=["v1", "v2"])
def go(request: Any, deployments: dict[str, Deployment]) -> Deployment:
    return deployments[request.param]


@pytest.fixture
def ours(deployments: dict[str, Deployment]) -> Deployment:
    return deployments["python"]


def declared(queue: Document) -> Document:
    """A queue with the numbers of a delay, which differ, named by what they must be."""
    name, arguments = queue["name"], json.dumps(queue["arguments"])
    if found := re.match(r"delay\.(\d+)\.", name):
        milliseconds = int(found[1])
        arguments = arguments.replace(f" {2 * milliseconds}]", ' "2 ms"]').replace(f" {milliseconds}]", ' "ms"]')
    return {**queue, "name": _plain(name), "arguments": sorted(json.loads(arguments))}


def by_name(queues: list[Document]) -> dict[str, Document]:
    return {queue["name"]: queue for queue in map(declared, queues)}


def test_queues(ours: Deployment, go: Deployment) -> None:
    """The same queues with the same arguments of the same types; without Go's queue of copies named like the key."""
    theirs = by_name(go.queues)
    assert theirs.pop("machinery_task")["durable"] is True

    assert by_name(ours.queues) == theirs
    delayed = theirs["delay.<ms>.machinery_exchange.special"]["arguments"]
    assert delayed == [
        ["x-dead-letter-exchange", "longstr", "machinery_exchange"],
        ["x-dead-letter-routing-key", "longstr", "special"],
        ["x-expires", "long", "2 ms"],
        ["x-message-ttl", "long", "ms"],
    ]
    expiry = [["x-expires", "signedint", 3_600_000], ["x-message-ttl", "signedint", 3_600_000]]
    assert [theirs[name]["arguments"] for name in ("task-done", "group-1")] == [expiry, expiry]


def test_bindings(ours: Deployment, go: Deployment) -> None:
    """The same bindings, but for the queue of copies."""

    def told(bindings: list[Document]) -> set[tuple[str, str, str, str]]:
        return {
            (
                each["source_name"],
                _plain(each["destination_name"]),
                _plain(each["routing_key"]),
                json.dumps(each["arguments"]),
            )
            for each in bindings
        }

    theirs = told(go.bindings)
    copies = {binding for binding in theirs if binding[1] == "machinery_task"}
    assert {source for source, *_ in copies} == {"", "machinery_exchange"}
    assert told(ours.bindings) == theirs - copies


def test_exchanges(ours: Deployment, go: Deployment) -> None:
    """The same exchange, durable and direct."""
    assert sorted(map(str, ours.exchanges)) == sorted(map(str, go.exchanges))


def test_messages(ours: Deployment, go: Deployment) -> None:
    """Tasks, delayed tasks and every state have the same properties and the same fields."""
    theirs = {what: message for what, message in go.messages.items() if not what.startswith("machinery_task ")}

    assert ours.messages.keys() == theirs.keys()
    assert ours.messages == theirs
    persistent = {"content_type": "application/json", "delivery_mode": 2}
    assert theirs["special 0"][0] == {**persistent, "priority": 5, "headers": {"a": "ż"}}
    assert theirs["delay.<ms>.machinery_exchange.special 0"][0] == persistent
    assert theirs["task-done 3"][0] == persistent


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_each_declares_what_the_other_has_declared(kind: str, rabbit_server: RabbitServer, vhost: str) -> None:
    """Go and Python send with the same delayed queue, queues and results, in both orders; none is refused."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with AMQPFleet(rabbit_server, redis, directory) as fleet:
            urls = {"broker": rabbit_server.url(vhost), "backend": rabbit_server.url(vhost)}
            go = fleet.producer_at(kind, urls, delayed_queue="later")
            python = fleet.producer_at("python", urls, amqp__delayed_queue="later")
            later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            for number, (first, second) in enumerate(((go, python), (python, go))):
                for sender in (first, second):
                    sender.send_task(signature("noop", RoutingKey=f"queue-{number}", UUID=f"task-{number}"))
                    sender.send_task(signature("noop", ETA=later, UUID=f"late-{number}"))
                assert rabbit_server.counts(f"task-{number}", vhost) == (2, 0)
                assert rabbit_server.counts(f"queue-{number}", vhost) == (2, 0)
            assert rabbit_server.counts("later", vhost) == (4, 0)
            assert [task["UUID"] for task in python.delayed()] == ["late-0", "late-0", "late-1", "late-1"]
            assert [task["UUID"] for task in python.pending("queue-1")] == ["task-1", "task-1"]
        redis.stop()
