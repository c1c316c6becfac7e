"""Workers and producers of every kind on SQS, each kind of worker with queues of its own; results are on Redis."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.conformance import ServicePythonProducer, ServicePythonWorker
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.process import Process
from harness.redis_server import RedisServer
from harness.services import Place
from harness.sqs_server import SQSServer

__all__ = ["SQSFleet", "SQSPair"]


@dataclass(frozen=True)
class SQSPair:
    """A producer and the worker that does what it sends, on one queue."""

    fleet: SQSFleet
    producer_kind: str
    worker_kind: str
    fifo: bool = False

    @property
    def queue(self) -> str:
        return f"{self.worker_kind}.fifo" if self.fifo else self.worker_kind

    @property
    def producer(self) -> Any:
        return self.fleet.producer(self.producer_kind, self.queue)

    @property
    def worker(self) -> Process:
        return self.fleet.worker(self.worker_kind, self.queue)


class SQSFleet:
    """A context manager; queues and processes are made when they are first asked for, and end with it."""

    def __init__(self, sqs: SQSServer, redis: RedisServer, directory: Path) -> None:
        self.sqs = sqs
        self.redis = redis
        self._directory = directory
        self._stack = ExitStack()
        self._workers: dict[str, Process] = {}
        self._producers: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> SQSFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def worker(self, kind: str, queue: str) -> Process:
        """The worker of a kind (``v1``, ``v2``, ``python``) on a queue."""
        if queue not in self._workers:
            self.sqs.create(queue)
            self._workers[queue] = self.start_worker(kind, queue)
            self._stack.callback(self._workers[queue].kill)
        return self._workers[queue]

    def start_worker(self, kind: str, queue: str, **settings: str | int) -> Process:
        """Another worker, for the caller to stop."""
        if kind == "python":
            place = Place(self.sqs.url, queue)
            return ServicePythonWorker(place, self.redis.url(), self.redis, self._directory, **settings)
        merged: dict[str, str | int] = {**self._flags(queue), "records": self.redis.url(), **settings}
        return GoWorker(self.redis, self._directory, kind, **merged)

    def _flags(self, queue: str) -> dict[str, str | int]:
        return {"broker": self.sqs.url, "backend": self.redis.url(), "queue": queue}

    def producer(self, kind: str, queue: str) -> Any:
        """A producer of a kind for a queue."""
        if (kind, queue) not in self._producers:
            self._producers[kind, queue] = self.start_producer(kind, queue)
        return self._producers[kind, queue]

    def start_producer(self, kind: str, queue: str) -> Any:
        """Another producer, which ends with the fleet."""
        if kind == "python":
            ours = ServicePythonProducer(self.sqs.url, self.redis.url(), default_queue=queue)
            self._stack.callback(ours.close)
            return ours
        producer = GoProducer(self.redis, self._directory, kind, **self._flags(queue), records=self.redis.url())
        self._stack.callback(producer.kill)
        return producer
