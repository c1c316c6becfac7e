"""Workers and producers of every kind on vhosts of one RabbitMQ, with Redis or RabbitMQ as their result store."""

from __future__ import annotations

import itertools
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.process import Process, wait_until
from harness.python_worker import python_environment
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.service_producer import ServicePythonProducer

__all__ = ["AMQPFleet", "AMQPPythonWorker"]

READY_SECONDS = 60.0
_numbers = itertools.count(1)


class AMQPPythonWorker(Process):
    """``gomachinery worker python_tasks:server`` on RabbitMQ; it consumes once this is constructed.

    ``settings`` are what ``python_environment`` takes, named as the Go worker's flags.
    """

    def __init__(
        self,
        rabbit: RabbitServer,
        redis: RedisServer,
        directory: Path,
        *,
        vhost: str = "",
        concurrency: int = 10,
        custom_queue: str = "",
        app: str = "python_tasks:server",
        **settings: str | int,
    ) -> None:
        queue = custom_queue or "machinery_tasks"
        before = rabbit.consumers(queue, vhost)
        settings = {"broker": rabbit.url(vhost), "records": redis.url(), **settings}
        command = [sys.executable, "-m", "gomachinery_py", "worker", app]
        super().__init__(
            [*command, "-c", str(concurrency), "-q", queue],
            name=f"python-worker-{next(_numbers)}",
            directory=directory,
            env=python_environment(redis, **settings),
        )
        try:
            wait_until(
                lambda: rabbit.consumers(queue, vhost) > before or not self.alive, READY_SECONDS, "a new consumer"
            )
        except AssertionError as error:
            raise self.failed("does not consume") from error
        if not self.alive:
            raise self.failed("did not begin")


class AMQPFleet:
    """A context manager; processes start when they are first asked for, and end with it."""

    def __init__(self, rabbit: RabbitServer, redis: RedisServer, directory: Path) -> None:
        self.rabbit = rabbit
        self.redis = redis
        self._directory = directory
        self._stack = ExitStack()
        self._producers: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> AMQPFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def urls(self, vhost: str) -> dict[str, str]:
        """Broker and result store of a vhost named ``…-redis`` or ``…-amqp``."""
        broker = self.rabbit.url(vhost)
        return {"broker": broker, "backend": broker if vhost.endswith("amqp") else self.redis.url()}

    def start_worker(self, kind: str, vhost: str, **settings: str | int) -> Process:
        """Another worker, for the caller to stop."""
        merged: dict[str, str | int] = {**self.urls(vhost), **settings}
        if kind == "python":
            return AMQPPythonWorker(self.rabbit, self.redis, self._directory, vhost=vhost, **merged)  # type: ignore[arg-type]
        # Go waits for a task's end before it asks for more, so that its default of 3 would be its concurrency.
        merged = {"records": self.redis.url(), "prefetch": 10, **merged}
        return GoWorker(self.redis, self._directory, kind, **merged)

    def producer(self, kind: str, vhost: str) -> Any:
        """A producer of a kind for the worker of a vhost."""
        if (kind, vhost) not in self._producers:
            self._producers[kind, vhost] = self._start_producer(kind, vhost)
        return self._producers[kind, vhost]

    def _start_producer(self, kind: str, vhost: str) -> Any:
        return self.producer_at(kind, self.urls(vhost))

    def producer_at(self, kind: str, urls: dict[str, str], **settings: str) -> Any:
        """A producer of a kind for these URLs, with Go's flags or our Config's settings."""
        if kind == "python":
            ours = ServicePythonProducer(**urls, **settings)
            self._stack.callback(ours.close)
            return ours
        producer = GoProducer(self.redis, self._directory, kind, **urls, **settings)
        self._stack.callback(producer.kill)
        return producer
