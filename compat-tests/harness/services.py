"""What a fleet needs of each service: a server, and a place on it for each kind of worker.

One class a service, one row in CARRIERS if it carries tasks, one in STORES if it keeps results. Where default tasks of
different workers would meet (a queue, a vhost, a subscription), each kind of worker gets a place of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from gomachinery_py import Server
from harness.dynamodb_server import URL, DynamoDBServer
from harness.memcached_server import MemcachedServer
from harness.mongo_server import MongoServer
from harness.pubsub_server import PubSubServer
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.sqs_server import SQSServer, sqs_variables

__all__ = ["CARRIERS", "STORES", "WORKER_KINDS", "Carrier", "Place", "Service", "Store"]

WORKER_KINDS = ("v1", "v2", "python")


@dataclass(frozen=True)
class Place:
    """Where one kind of worker takes its tasks from.

    Attributes:
        broker: its URL.
        queue: its default queue.
        settings: what both sides must be told besides, named as the flags of go-harness.
        set_up: what a Python producer for this place does with its server first.
    """

    broker: str
    queue: str = "machinery_tasks"
    settings: Mapping[str, str | int] = field(default_factory=dict)
    set_up: Callable[[Server], object] = lambda _server: None


class Service(Protocol):
    """A running server; it is stopped by ``stop``."""

    def environment(self) -> dict[str, str]:
        """Variables that every process needs to reach it."""
        ...

    def stop(self) -> None:
        """Stop it."""
        ...


class Carrier(Service, Protocol):
    """One that carries tasks."""

    def place(self, worker: str) -> Place:
        """Where a kind of worker takes its tasks from."""
        ...


@runtime_checkable
class Store(Service, Protocol):
    """One that keeps results."""

    def store(self, place: Place) -> str:
        """The URL of the result store, for the worker of a place."""
        ...


class RedisService:
    """One Redis; a queue, and a set of delayed tasks, for each kind of worker."""

    def __init__(self, directory: Path) -> None:
        self.server = RedisServer(directory)
        self.stop = self.server.stop

    def environment(self) -> dict[str, str]:
        return {}

    def place(self, worker: str) -> Place:
        return Place(self.server.url(), f"queue-{worker}", {"delayed_key": f"delayed-{worker}"})

    def store(self, place: Place) -> str:  # noqa: ARG002
        return self.server.url()


class AMQPService:
    """One RabbitMQ; a vhost for each kind of worker, since an exchange gives every default task to every queue."""

    def __init__(self, directory: Path) -> None:
        self.server = RabbitServer(directory, vhosts=WORKER_KINDS)
        self.stop = self.server.stop

    def environment(self) -> dict[str, str]:
        return {}

    def place(self, worker: str) -> Place:
        # Go waits for a task's end before it asks for more, so that its default of 3 would be its concurrency.
        return Place(self.server.url(worker), settings={"prefetch": 10})

    def store(self, place: Place) -> str:
        return place.broker if place.broker.startswith("amqp") else self.server.url("python")


class MemcacheService:
    """Two memcached, so that both sides have to agree on which of them holds a key."""

    def __init__(self, directory: Path) -> None:
        self.servers = [MemcachedServer(directory), MemcachedServer(directory)]

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def environment(self) -> dict[str, str]:
        return {}

    def store(self, place: Place) -> str:  # noqa: ARG002
        return "memcache://" + ",".join(server.address for server in self.servers)


class MongoDBService:
    """One MongoDB. Where Go is the only writer it deletes at once what expires in 0 seconds."""

    def __init__(self, directory: Path) -> None:
        self.server = MongoServer(directory)
        self.stop = self.server.stop

    def environment(self) -> dict[str, str]:
        return {}

    def store(self, place: Place) -> str:  # noqa: ARG002
        return self.server.url()


class PubSubService:
    """One Pub/Sub server; a project for each kind of worker."""

    def __init__(self, directory: Path) -> None:
        self.server = PubSubServer(directory)
        self.stop = self.server.stop
        for worker in WORKER_KINDS:
            self.server.make_queue(f"project-{worker}")

    def environment(self) -> dict[str, str]:
        return {"PUBSUB_EMULATOR_HOST": self.server.address}

    def place(self, worker: str) -> Place:
        # A Go worker runs what it gets, whatever its ETA.
        def set_up(server: Server) -> None:
            server.broker.sender_waits = worker != "python"  # type: ignore[attr-defined]

        return Place(self.server.url(f"project-{worker}"), set_up=set_up)


class DynamoDBService:
    """One DynamoDB with Machinery's two tables."""

    def __init__(self, directory: Path) -> None:
        self.server = DynamoDBServer(directory)
        self.stop = self.server.kill

    def environment(self) -> dict[str, str]:
        return self.server.environment

    def store(self, place: Place) -> str:  # noqa: ARG002
        return URL


class SQSService:
    """One ElasticMQ; a queue for each kind of worker. It keeps no results."""

    def __init__(self, directory: Path) -> None:
        self.server = SQSServer(directory)
        for kind in WORKER_KINDS:
            # A worker that is killed while it waits for a message takes the next one with it, for so long.
            self.server.create(f"queue-{kind}", VisibilityTimeout="12")
        self.stop = self.server.stop

    def environment(self) -> dict[str, str]:
        return sqs_variables(self.server)

    def place(self, worker: str) -> Place:
        return Place(self.server.url, f"queue-{worker}")


CARRIERS: dict[str, Callable[[Path], Carrier]] = {
    "redis": RedisService,
    "amqp": AMQPService,
    "pubsub": PubSubService,
    "sqs": SQSService,
}

STORES: dict[str, Callable[[Path], Store]] = {
    "redis": RedisService,
    "amqp": AMQPService,
    "dynamodb": DynamoDBService,
    "memcache": MemcacheService,
    "mongodb": MongoDBService,
}
