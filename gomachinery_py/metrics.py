"""Prometheus metrics: ``Server(url, observers=[Metrics()])``. Needs the extra ``metrics``.

========================================  ===========================  =============================================
metric                                    labels                       what it counts
========================================  ===========================  =============================================
``machinery_tasks_sent_total``            task, queue                  tasks that were sent, workflows' members too
``machinery_tasks_running``               task, queue                  calls under way
``machinery_task_runs_total``             task, queue, outcome         runs by SUCCESS, FAILURE or RETRY
``machinery_task_seconds``                task, queue                  how long calls take
``machinery_dead_letters_total``          queue                        messages that became dead letters
``machinery_queue_waiting`` ``_inflight`` queue                        depths, asked for at each scrape
``_dead`` ``_workers``
``machinery_delayed``                                                  tasks that wait for their time, likewise
========================================  ===========================  =============================================

The depths need ``watch(server)``; only brokers that can count have them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gomachinery_py.effects import run
from gomachinery_py.errors import MachineryError, MissingExtra
from gomachinery_py.observing import Ending, Observer, Workflow
from gomachinery_py.wire.model import Signature

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise MissingExtra(
        f"{missing.name} is not installed, which metrics need: pip install 'gomachinery-py[metrics]'"
    ) from missing

if TYPE_CHECKING:
    from gomachinery_py.server import Server

__all__ = ["Metrics"]

log = logging.getLogger(__name__)

_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 3600.0)


class Metrics(Observer):
    """Counters of one process.

    Args:
        registry: where they are registered; Prometheus' global registry unless given.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        both = ("task", "queue")
        self.registry = registry
        self._sent = Counter("machinery_tasks_sent", "Tasks that were sent", both, registry=registry)
        self._running = Gauge("machinery_tasks_running", "Calls under way", both, registry=registry)
        self._runs = Counter("machinery_task_runs", "Runs by their outcome", (*both, "outcome"), registry=registry)
        self._seconds = Histogram(
            "machinery_task_seconds", "How long calls take", both, buckets=_BUCKETS, registry=registry
        )
        self._dead = Counter(
            "machinery_dead_letters", "Messages that became dead letters", ("queue",), registry=registry
        )

    def watch(self, server: Server, queues: Sequence[str] = ()) -> None:
        """Tell the depths of these queues too, at each scrape; of the default queue unless named."""
        self.registry.register(_Depths(server, tuple(queues) or (server.config.default_queue,)))

    @contextmanager
    def sending(self, workflow: Workflow, signatures: Sequence[Signature], queue: str) -> Iterator[None]:
        yield
        # A chain's later tasks, and a chord's callback, are sent by whoever ends the one before.
        now = signatures[:1] if workflow == "chain" else signatures[:-1] if workflow == "chord" else signatures
        for signature in now:
            self._sent.labels(signature.name, signature.routing_key or queue).inc()

    @contextmanager
    def running(self, signature: Signature, queue: str) -> Iterator[Callable[[BaseException | None], None]]:
        gauge = self._running.labels(signature.name, queue)
        gauge.inc()
        began = time.perf_counter()
        try:
            yield lambda _error: None
        finally:
            gauge.dec()
            self._seconds.labels(signature.name, queue).observe(time.perf_counter() - began)

    def ended(self, signature: Signature, queue: str, ending: Ending) -> None:
        self._runs.labels(signature.name, queue, ending).inc()

    def buried(self, queue: str) -> None:
        self._dead.labels(queue).inc()


class _Depths(Collector):
    """Asks the broker whenever Prometheus asks us."""

    def __init__(self, server: Server, queues: Sequence[str]) -> None:
        self._server = server
        self._queues = queues

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            infos: list[Any] = run(self._server.broker.queues(self._queues))
        except (MachineryError, NotImplementedError) as error:
            log.warning("the depths of queues are missing from the metrics: %s", error)
            return
        for name, what in (
            ("waiting", "Tasks that wait"),
            ("inflight", "Tasks that workers hold"),
            ("dead", "Dead letters"),
            ("workers", "Workers that consume"),
        ):
            family = GaugeMetricFamily(f"machinery_queue_{name}", what, labels=["queue"])
            for info in infos:
                family.add_metric([info.name], getattr(info, name))
            yield family
        delayed = run(self._server.broker.delayed_count())
        if delayed is not None:
            yield GaugeMetricFamily("machinery_delayed", "Tasks that wait for their time", value=delayed)
