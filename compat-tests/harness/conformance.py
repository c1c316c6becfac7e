"""Every broker with every result store that the conformance suite runs: fleets of all kinds of workers.

A subject is a pair of services. Each has a worker of every kind, and producers of every kind for each of them.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.process import Process, wait_until
from harness.python_worker import python_environment
from harness.redis_server import RedisServer
from harness.service_producer import ServicePythonProducer
from harness.services import CARRIERS, STORES, Carrier, Place, Service, Store

__all__ = ["PAIRS", "SUBJECTS", "ConformanceFleet", "ConformancePair", "Subject"]

PAIRS = (("python", "v1"), ("python", "v2"), ("v1", "python"), ("v2", "python"), ("python", "python"))
READY_SECONDS = 60.0
_numbers = itertools.count(1)
_Service = TypeVar("_Service", bound=Service)


@dataclass(frozen=True)
class Subject:
    """A broker and a result store, by their names in CARRIERS and STORES.

    Attributes:
        pairs: which pairs of producer and worker are tried here.
        go_reads: result types that Go's library can read back from this store; None for all. The others are listed in
            fixtures/known-divergence.txt.
    """

    broker: str
    store: str
    pairs: tuple[tuple[str, str], ...] = PAIRS
    go_reads: frozenset[str] | None = None

    def __str__(self) -> str:
        return f"{self.broker}-{self.store}"


# Of what Python stores; of what Go itself stores it reads only bool, int64, float64 and string.
_GO_READS = ("bool", "int", "int8", "int16", "int32", "int64", "float32", "float64", "string")
GO_READS_MONGODB = frozenset([*_GO_READS, *(f"[]{kind}" for kind in _GO_READS), "[]uint8"])

SUBJECTS = [
    Subject("redis", "redis"),
    Subject("redis", "amqp"),
    Subject("redis", "memcache"),
    Subject("redis", "mongodb", go_reads=GO_READS_MONGODB),
    Subject("amqp", "redis"),
    Subject("amqp", "amqp"),
    Subject("pubsub", "redis"),
    # With Go on either side: test_dynamodb.py, since Go reads nothing but texts there.
    Subject("redis", "dynamodb", pairs=(("python", "python"),)),
    Subject("sqs", "redis"),
]


class ServicePythonWorker(Process):
    """``gomachinery worker python_tasks:server`` at a place; it consumes once this is constructed, or soon."""

    def __init__(self, place: Place, store: str, records: RedisServer, directory: Path, **settings: str | int) -> None:
        command = [sys.executable, "-m", "gomachinery_py", "worker", "python_tasks:server", "-c", "10"]
        told: dict[str, str | int] = {"broker": place.broker, "backend": store, "queue": place.queue}
        told |= {"records": records.url(), **place.settings, **settings}
        super().__init__(
            command,
            name=f"python-worker-{next(_numbers)}",
            directory=directory,
            env=python_environment(records, **told),
        )
        try:
            wait_until(lambda: "at once, from" in self.log or not self.alive, READY_SECONDS, "a worker that consumes")
        except AssertionError as error:
            raise self.failed("does not consume") from error
        if not self.alive:
            raise self.failed("did not begin")


@dataclass(frozen=True)
class ConformancePair:
    """A producer and the worker that does what it sends."""

    fleet: ConformanceFleet
    producer_kind: str
    worker_kind: str

    @property
    def producer(self) -> GoProducer | ServicePythonProducer:
        return self.fleet.producer(self.producer_kind, self.worker_kind)

    @property
    def worker(self) -> Process:
        return self.fleet.worker(self.worker_kind)

    def can_read(self, kind: str) -> bool:
        """Whether the producer's library can read a result of this type back from the store."""
        readable = self.fleet.subject.go_reads
        return self.producer_kind == "python" or readable is None or kind in readable


class ConformanceFleet:
    """A context manager; processes start when they are first asked for, and end with it."""

    def __init__(self, subject: Subject, directory: Path) -> None:
        self.subject = subject
        self._directory = directory
        self._stack = ExitStack()
        self._workers: dict[str, Process] = {}
        self._producers: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> ConformanceFleet:
        with ExitStack() as stack:
            self.records = RedisServer(self._directory)
            stack.callback(self.records.stop)
            broker, store = self.subject.broker, self.subject.store
            self.broker: Carrier = self._started(broker, CARRIERS[broker], stack)
            if store == broker:
                assert isinstance(self.broker, Store)
                self.store: Store = self.broker
            else:
                self.store = self._started(store, STORES[store], stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _started(self, name: str, service_class: Callable[[Path], _Service], stack: ExitStack) -> _Service:
        directory = self._directory / name
        directory.mkdir()
        service = service_class(directory)
        stack.callback(service.stop)
        for variable, value in service.environment().items():
            # Of this process too: its producers are in it, and its children inherit them.
            stack.callback(partial(_restore, variable, os.environ.get(variable)))
            os.environ[variable] = value
        return service

    def urls(self, worker: str) -> dict[str, str]:
        """Broker and result store of a kind of worker."""
        place = self.broker.place(worker)
        return {"broker": place.broker, "backend": self.store.store(place)}

    def worker(self, kind: str) -> Process:
        """The worker of a kind: ``v1``, ``v2`` or ``python``."""
        if kind not in self._workers:
            self._workers[kind] = self.start_worker(kind)
            self._stack.callback(self._workers[kind].kill)
        return self._workers[kind]

    def start_worker(self, kind: str, **settings: str | int) -> Process:
        """Another worker at the place of its kind, for the caller to stop."""
        place = self.broker.place(kind)
        if kind == "python":
            return ServicePythonWorker(place, self.store.store(place), self.records, self._directory, **settings)
        return GoWorker(self.records, self._directory, kind, **{**self.go_settings(place), **settings})

    def producer(self, kind: str, worker: str) -> Any:
        """A producer of a kind for a kind of worker."""
        if (kind, worker) not in self._producers:
            self._producers[kind, worker] = self._start_producer(kind, self.broker.place(worker))
        return self._producers[kind, worker]

    def _start_producer(self, kind: str, place: Place) -> Any:
        if kind == "python":
            ours = ServicePythonProducer(
                place.broker,
                self.store.store(place),
                default_queue=place.queue,
                redis__delayed_tasks_key=place.settings.get("delayed_key"),
            )
            self._stack.callback(ours.close)
            place.set_up(ours.server)
            return ours
        producer = GoProducer(self.records, self._directory, kind, **self.go_settings(place))
        self._stack.callback(producer.kill)
        return producer

    def go_settings(self, place: Place) -> dict[str, str | int]:
        """The flags of go-harness' programs for a place."""
        store = self.store.store(place)
        told: dict[str, str | int] = {"broker": place.broker, "backend": store, "queue": place.queue}
        if self.subject.store == "mongodb":
            # 0, the harness' default, makes Go v2 delete results at once.
            told["results_expire"] = 3600
        return {**told, "records": self.records.url(), **place.settings}


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
