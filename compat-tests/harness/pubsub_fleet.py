"""Workers and producers of every kind on Pub/Sub with Redis as their result store; each worker in its own project."""

from __future__ import annotations

import itertools
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from gomachinery_py import Config, Server
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.process import Process, wait_until
from harness.pubsub_server import PubSubServer
from harness.python_producer import PythonProducer
from harness.python_worker import python_environment
from harness.redis_server import RedisServer

__all__ = ["PubSubFleet", "PubSubPythonProducer", "PubSubPythonWorker"]

READY_SECONDS = 60.0
_numbers = itertools.count(1)


class PubSubPythonWorker(Process):
    """``gomachinery worker python_tasks:server`` on Pub/Sub; it consumes once this is constructed.

    ``settings`` are what ``python_environment`` takes, named as the Go worker's flags.
    """

    def __init__(self, redis: RedisServer, directory: Path, *, concurrency: int = 10, **settings: str | int) -> None:
        settings = {"backend": redis.url(), "records": redis.url(), **settings}
        command = [sys.executable, "-m", "gomachinery_py", "worker", "python_tasks:server", "-c", str(concurrency)]
        super().__init__(
            command,
            name=f"python-worker-{next(_numbers)}",
            directory=directory,
            env=python_environment(redis, **settings),
        )
        try:
            wait_until(lambda: " at once, from " in self.log or not self.alive, READY_SECONDS, "a worker that consumes")
        except AssertionError as error:
            raise self.failed("does not consume") from error
        if not self.alive:
            raise self.failed("did not begin")


class PubSubPythonProducer(PythonProducer):
    """Our producer behind the Go producer's methods; ``for_go`` when the worker is Go, which keeps no ETA."""

    def __init__(self, broker: str, backend: str, *, for_go: bool = False) -> None:
        self.server = Server(Config.of(broker=broker, result_backend=backend))
        self.server.broker.sender_waits = for_go  # type: ignore[attr-defined]
        self._workflows: dict[str, Any] = {}


class PubSubFleet:
    """A context manager; processes start when they are first asked for, and end with it."""

    def __init__(self, pubsub: PubSubServer, redis: RedisServer, directory: Path) -> None:
        self.pubsub = pubsub
        self.redis = redis
        self._directory = directory
        self._stack = ExitStack()
        self._projects: set[str] = set()
        self._workers: dict[str, Process] = {}
        self._producers: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> PubSubFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def urls(self, project: str) -> dict[str, str]:
        """Broker and result store of a project, whose default queue is made now if it is new."""
        if project not in self._projects:
            self._projects.add(project)
            self.pubsub.make_queue(project)
        return {"broker": self.pubsub.url(project), "backend": self.redis.url()}

    def worker(self, kind: str) -> Process:
        """The worker of a kind (``v1``, ``v2``, ``python``), in the project of that name."""
        if kind not in self._workers:
            self._workers[kind] = self.start_worker(kind, f"project-{kind}")
        return self._workers[kind]

    def start_worker(self, kind: str, project: str, **settings: str | int) -> Process:
        """A worker in a project, killed at the end."""
        merged: dict[str, str | int] = {**self.urls(project), **settings}
        started: Process
        if kind == "python":
            started = PubSubPythonWorker(self.redis, self._directory, **merged)  # type: ignore[arg-type]
        else:
            started = GoWorker(self.redis, self._directory, kind, records=self.redis.url(), **merged)
        self._stack.callback(started.kill)
        return started

    def producer(self, kind: str, worker_kind: str) -> Any:
        """A producer of a kind for the worker of a kind."""
        key = (kind, worker_kind)
        if key not in self._producers:
            self._producers[key] = self.producer_in(kind, f"project-{worker_kind}", for_go=worker_kind != "python")
        return self._producers[key]

    def producer_in(self, kind: str, project: str, *, for_go: bool = False, db: int = 0) -> Any:
        """A producer of a kind for a project, with results in a database of Redis."""
        urls = {**self.urls(project), "backend": self.redis.url(db)}
        if kind == "python":
            ours = PubSubPythonProducer(**urls, for_go=for_go)
            self._stack.callback(ours.close)
            return ours
        producer = GoProducer(self.redis, self._directory, kind, **urls)
        self._stack.callback(producer.kill)
        return producer
