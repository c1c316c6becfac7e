"""``gomachinery doctor`` on RabbitMQ with live Go workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest
from conftest import short_directory
from harness.amqp_fleet import AMQPFleet
from harness.command_line import gomachinery
from harness.doctors import found, report
from harness.process import wait_until
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.signatures import signature

from gomachinery_py import Arg, Config, Group, Server, Signature
from gomachinery_py.doctor import Side
from gomachinery_py.registry import open_management

QUEUE = "machinery_tasks"
DONE_SECONDS = 120.0
LOOKS = 3


@pytest.fixture(name="fleet")
def amqp_fleet(rabbit_server: RabbitServer, redis_server: RedisServer) -> Iterator[AMQPFleet]:
    """Workers on this test's vhost."""
    with short_directory() as directory, AMQPFleet(rabbit_server, redis_server, directory) as fleet:
        yield fleet


@pytest.fixture(name="server")
def doctors_server(rabbit_server: RabbitServer, redis_server: RedisServer, vhost: str) -> Iterator[Server]:
    """The doctor's own view: RabbitMQ with results on Redis."""
    with Server(rabbit_server.url(vhost), result_backend=redis_server.url()) as server:
        yield server


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_healthy_fleet(server: Server, fleet: AMQPFleet, stack: ExitStack, vhost: str, version: str) -> None:
    """A Go and a Python worker, idle and while they work off what a Go producer and we send."""
    for kind in (version, "python"):
        stack.callback(fleet.start_worker(kind, vhost).kill)
    looks = [found(server)]
    results = server.send_group(Group(*_tasks(500)))
    producer = fleet.producer(version, vhost)
    for _ in range(20):
        producer.send_task(signature("noop"))
    looks += [found(server, watch=0.3) for _ in range(LOOKS)]
    results.get(timeout=DONE_SECONDS)
    assert looks == [set()] * len(looks)


@pytest.mark.parametrize(("version", "length"), [("v1", 1), ("v2", 500)])
def test_a_task_that_circles(
    server: Server,
    fleet: AMQPFleet,
    stack: ExitStack,
    rabbit_server: RabbitServer,
    vhost: str,
    version: str,
    length: int,
) -> None:
    """A live Go worker gives back what it does not register, for ever: found at every look once it is counted."""
    management = open_management(rabbit_server.management_url, server.config)
    server.send_group(Group(*(Signature("unknown", []) for _ in range(length))))
    stack.callback(fleet.start_worker(version, vhost, only="noop").kill)
    looked = {("problem", "circling", QUEUE)}
    wait_until(lambda: found(server, management=management) == looked, DONE_SECONDS, "the loop")
    assert [found(server, management=management) for _ in range(LOOKS)] == [looked] * LOOKS


def test_a_busy_fleet_gives_nothing_back_for_long(
    server: Server, fleet: AMQPFleet, stack: ExitStack, rabbit_server: RabbitServer, vhost: str
) -> None:
    """Slow tasks before fast ones, on Go and Python workers of one queue."""
    management = open_management(rabbit_server.management_url, server.config)
    for kind in ("v1", "v2", "python"):
        stack.callback(fleet.start_worker(kind, vhost).kill)
    slow = [Signature("sleep_ms", [Arg("int64", 200)]) for _ in range(200)]
    results = server.send_group(Group(*(task for pair in zip(slow, _tasks(200), strict=True) for task in pair)))
    looks = [found(server, management=management, watch=1.0) for _ in range(LOOKS)]
    results.get(timeout=DONE_SECONDS)
    assert looks == [set()] * LOOKS


def test_a_management_plugin_that_does_not_answer_as_wanted(
    server: Server, rabbit_server: RabbitServer, redis_server: RedisServer, vhost: str
) -> None:
    """It refuses the login: exit code 3, without the password. It does not know the queue: that is said."""
    broker, results = rabbit_server.url(vhost), redis_server.url()
    options = ("doctor", "--watch", "0", "--broker", broker, "--result-backend", results)
    wrong = rabbit_server.management_url.replace("://", "://guest:hunter2@")
    code, out, error = gomachinery(*options, "--management", wrong)
    assert (code, out, "hunter2" in error) == (3, "", False)
    assert "refused the login: check user and password in its URL" in error

    server.send_task(Signature("noop", []))
    other = f"{rabbit_server.management_url}/elsewhere"
    looked = report(server, management=open_management(other, server.config))
    assert [each.code for each in looked.findings] == ["unserved"]
    assert [limit.startswith(f"the management plugin has no queue '{QUEUE}'") for limit in looked.limits] == [True]


def test_no_queue_yet(server: Server) -> None:
    """Nobody has ever worked there: perhaps its name is misspelt."""
    assert found(server) == {("warning", "no-queue", QUEUE)}


def test_tasks_without_a_consumer(server: Server) -> None:
    """They were sent, and no worker is there."""
    server.send_group(Group(*_tasks(5)))
    assert found(server) == {("problem", "unserved", QUEUE)}


def test_a_message_that_harms(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """Looking at it gives it back."""
    server.send_group(Group(*_tasks(5)))
    channel = rabbit_server.connect(vhost)
    channel.confirm_delivery()
    channel.basic_publish("", QUEUE, b"not json", pika.BasicProperties(delivery_mode=2))
    channel.connection.close()
    assert found(server) == {("problem", "unserved", QUEUE), ("problem", "undecodable", QUEUE)}
    wait_until(lambda: rabbit_server.counts(QUEUE, vhost) == (6, 0), DONE_SECONDS, "all of them back in the queue")


def test_dead_letters(
    server: Server, fleet: AMQPFleet, stack: ExitStack, rabbit_server: RabbitServer, vhost: str
) -> None:
    """A live worker has buried what cannot be decoded."""
    stack.callback(fleet.start_worker("python", vhost).kill)
    channel = rabbit_server.connect(vhost)
    channel.basic_publish("", QUEUE, b"not json", pika.BasicProperties(delivery_mode=2))
    channel.connection.close()
    wait_until(lambda: rabbit_server.counts(f"{QUEUE}.dead", vhost) == (1, 0), DONE_SECONDS, "a burial")
    assert found(server) == {("problem", "dead-letters", QUEUE)}


def test_copies_of_go_senders(server: Server, fleet: AMQPFleet, stack: ExitStack, vhost: str) -> None:
    """A thousand of them in the queue that Go makes of the binding key, while the fleet works."""
    stack.callback(fleet.start_worker("v2", vhost).kill)
    sent = fleet.producer("v2", vhost).send_group(*([signature("noop")] * 1000), concurrency=10)
    assert len(sent.uuids) == 1000
    assert found(server) == {("warning", "copies", "machinery_task")}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_no_copies_where_the_binding_key_is_the_queues_name(
    server: Server, fleet: AMQPFleet, stack: ExitStack, rabbit_server: RabbitServer, vhost: str, version: str
) -> None:
    """As the doctor says: Go's senders then declare the default queue itself, and Go's workers work."""
    stack.callback(fleet.start_worker(version, vhost, binding_key=QUEUE).kill)
    producer = fleet.producer_at(version, fleet.urls(vhost), binding_key=QUEUE)
    uuids = [producer.send_task(signature("noop")) for _ in range(20)]
    for uuid in uuids:
        assert producer.get(uuid) == []
    assert (rabbit_server.counts("machinery_task", vhost), found(server)) == (None, set())


def test_sides_that_differ(
    server: Server, rabbit_server: RabbitServer, redis_server: RedisServer, vhost: str, tmp_path: Path
) -> None:
    """Exchanges and arguments, of which RabbitMQ accepts one only."""
    server.send_task(Signature("noop", []))
    (tmp_path / "go.yml").write_text(
        f"broker: {rabbit_server.url(vhost)}\nresult_backend: {redis_server.url()}\n"
        "amqp:\n  exchange: other\n  binding_key: theirs\n"
    )
    sides = [Side("ours", server.config), Side("go", Config.from_yaml(tmp_path / "go.yml"))]
    differ = {("problem", "settings-differ", name) for name in ("amqp.exchange", "amqp.binding_key")}
    assert found(server, sides=sides) == {("problem", "unserved", QUEUE), *differ}


def _tasks(number: int) -> list[Signature]:
    return [Signature("noop", []) for _ in range(number)]
