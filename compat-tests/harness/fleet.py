"""One Redis with a worker of every kind, each on a queue of its own, and producers of every kind for each queue."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.python_producer import AsyncPythonProducer, PythonProducer
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer

__all__ = ["PAIRS", "Fleet", "Pair", "Producer", "Worker"]

# Both ways for both versions with both of their Redis clients, both faces of our producer, and Python by itself.
# Go by itself: test_harness.py.
PAIRS = [
    ("python", "go-v1-redigo"),
    ("python", "go-v1-goredis"),
    ("python-async", "go-v2-redigo"),
    ("python-async", "go-v2-goredis"),
    ("go-v1-redigo", "python"),
    ("go-v1-goredis", "python"),
    ("go-v2-redigo", "python"),
    ("go-v2-goredis", "python"),
    ("python", "python"),
]

Producer = GoProducer | PythonProducer
Worker = GoWorker | PythonWorker


@dataclass(frozen=True)
class Pair:
    """A producer and the worker that does what it sends, which runs once there is a pair."""

    fleet: Fleet
    producer_kind: str
    worker_kind: str

    def __post_init__(self) -> None:
        # Workers start when they are first asked for; whoever only sends does not ask.
        assert self.worker.alive, self.worker.failed("ended")

    @property
    def producer(self) -> Producer:
        return self.fleet.producer(self.producer_kind, self.worker_kind)

    @property
    def worker(self) -> Worker:
        return self.fleet.worker(self.worker_kind)

    @property
    def redis(self) -> RedisServer:
        return self.fleet.redis

    def check_worker(self) -> None:
        """AssertionError unless the worker is as healthy as after its start."""
        worker = self.worker
        assert worker.alive, worker.failed("ended")
        assert not isinstance(worker, GoWorker) or worker.restarts == 0, worker.failed("started over")


class Fleet:
    """A context manager; processes start when they are first asked for, and end with it.

    Kinds are ``python`` (as a producer also ``python-async``) and ``go-<version>-<client>``; ``settings`` are further
    flags for all of them.
    """

    def __init__(self, redis: RedisServer, directory: Path, **settings: str) -> None:
        self.redis = redis
        self._settings = settings
        self._directory = directory
        self._stack = ExitStack()
        self._workers: dict[str, Worker] = {}
        self._producers: dict[tuple[str, str], Producer] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def worker(self, kind: str) -> Worker:
        """The worker of a kind, on the queue ``<kind>``."""
        if kind not in self._workers:
            self._workers[kind] = self.start_worker(kind, self._stack)
        return self._workers[kind]

    def start_worker(self, kind: str, stack: ExitStack, **settings: str | int) -> Worker:
        """Another worker of a kind, killed at the end of ``stack``; ``settings`` are what both kinds take."""
        both: dict[str, str | int] = {"queue": kind, "delayed_key": f"delayed:{kind}"}
        both |= {**self._settings, **settings}
        started: Worker
        if kind == "python":
            started = PythonWorker(self.redis, self._directory, **both)  # type: ignore[arg-type]
        else:
            _, version, client = kind.split("-")
            started = GoWorker(self.redis, self._directory, version, client, **both)
        stack.callback(started.kill)
        return started

    def producer(self, kind: str, worker_kind: str) -> Producer:
        """A producer of a kind whose default queue is that of a worker."""
        key = (kind, worker_kind)
        if key not in self._producers:
            self._producers[key] = self._start_producer(kind, worker_kind)
        return self._producers[key]

    def _start_producer(self, kind: str, queue: str) -> Producer:
        delayed_key = f"delayed:{queue}"
        if kind.startswith("python"):
            face = PythonProducer if kind == "python" else AsyncPythonProducer
            producer = face(self.redis.url(), queue, delayed_key, self._settings.get("master_name", ""))
            self._stack.callback(producer.close)
            return producer
        _, version, client = kind.split("-")
        settings = {"queue": queue, "delayed_key": delayed_key, **self._settings}
        started = GoProducer(self.redis, self._directory, version, client, **settings)
        self._stack.callback(started.kill)
        return started
