"""Workers and producers of every kind on RabbitMQ, with Redis or RabbitMQ as their result store.

Each kind of worker has a vhost of its own: on one exchange every queue for default tasks gets every default task.
"""

from __future__ import annotations

import itertools
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gomachinery_py import AsyncResult, Config, Server
from gomachinery_py.results import ChainResult
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.process import Process, wait_until
from harness.python_producer import PythonProducer
from harness.python_worker import python_environment
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer

__all__ = ["PAIRS", "STORES", "VHOSTS", "AMQPFleet", "AMQPPair", "AMQPPythonProducer", "AMQPPythonWorker"]

PAIRS = [("python", "v1"), ("python", "v2"), ("v1", "python"), ("v2", "python"), ("python", "python")]
STORES = ("redis", "amqp")
VHOSTS = [f"{worker}-{store}" for worker in ("v1", "v2", "python") for store in STORES]
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


class AMQPPythonProducer(PythonProducer):
    """Our producer behind the Go producer's methods."""

    def __init__(self, broker: str, backend: str, **settings: Any) -> None:
        self.server = Server(Config.of(broker=broker, result_backend=backend, **settings))
        self._workflows: dict[str, Any] = {}
        self._results: dict[str, AsyncResult[Any]] = {}

    def _get(self, result: Any, timeout: float) -> Any:
        # Kept, since a state may be read only once.
        last = result if isinstance(result, AsyncResult) else _last(result)
        self._results[last.uuid] = last
        return super()._get(result, timeout)

    def _stored(self, uuid: str) -> list[Any]:
        return self._results[uuid].results or []


def _last(result: Any) -> AsyncResult[Any]:
    last: AsyncResult[Any] = result.members[-1] if isinstance(result, ChainResult) else result.callback
    return last


@dataclass(frozen=True)
class AMQPPair:
    """A producer and the worker that does what it sends."""

    fleet: AMQPFleet
    producer_kind: str
    worker_kind: str
    store: str

    @property
    def producer(self) -> GoProducer | AMQPPythonProducer:
        return self.fleet.producer(self.producer_kind, f"{self.worker_kind}-{self.store}")

    @property
    def worker(self) -> Process:
        return self.fleet.worker(self.worker_kind, self.store)


class AMQPFleet:
    """A context manager; processes start when they are first asked for, and end with it."""

    def __init__(self, rabbit: RabbitServer, redis: RedisServer, directory: Path) -> None:
        self.rabbit = rabbit
        self.redis = redis
        self._directory = directory
        self._stack = ExitStack()
        self._workers: dict[str, Process] = {}
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

    def worker(self, kind: str, store: str) -> Process:
        """The worker of a kind (``v1``, ``v2``, ``python``), on the vhost ``<kind>-<store>``."""
        vhost = f"{kind}-{store}"
        if vhost not in self._workers:
            self._workers[vhost] = self.start_worker(kind, vhost)
            self._stack.callback(self._workers[vhost].kill)
        return self._workers[vhost]

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
            ours = AMQPPythonProducer(**urls, **settings)
            self._stack.callback(ours.close)
            return ours
        producer = GoProducer(self.redis, self._directory, kind, **urls, **settings)
        self._stack.callback(producer.kill)
        return producer
