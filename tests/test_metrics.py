"""What Prometheus is told of sends, runs and queues."""

from __future__ import annotations

import pytest
from inprocess import FakeRedisPort, server_on, work_until_quiet
from prometheus_client import CollectorRegistry

from gomachinery_py import Group, RetryTaskLater, Server
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.metrics import Metrics
from gomachinery_py.observing import Observer


class Measured:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.port = FakeRedisPort()
        self.server: Server = server_on(self.port, observers=[self.metrics])

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_runs_by_outcome(measured: Measured) -> None:
    """Success, failure and retry are counted apart, sends and durations as well."""
    tries = []

    @measured.server.task
    def fine() -> None:
        pass

    @measured.server.task
    def later() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RetryTaskLater("not yet", 0)

    @measured.server.task
    def fails() -> None:
        raise ValueError("x")

    fine.send()
    later.send()
    fails.send()
    measured.server.send_group(Group(fine.s(), fine.s()))
    measured.server.send_many(fine, [()] * 3)
    work_until_quiet(measured.server)

    def runs(task: str, outcome: str) -> float | None:
        return measured.value("machinery_task_runs_total", task=task, queue="machinery_tasks", outcome=outcome)

    assert (runs("fine", "SUCCESS"), runs("fails", "FAILURE")) == (6, 1)
    assert (runs("later", "RETRY"), runs("later", "SUCCESS")) == (1, 1)
    where = {"task": "fine", "queue": "machinery_tasks"}
    assert measured.value("machinery_tasks_sent_total", **where) == 6
    assert measured.value("machinery_task_seconds_count", **where) == 6
    assert measured.value("machinery_tasks_running", **where) == 0


def test_depths_are_asked_for_at_each_scrape(measured: Measured) -> None:
    """Waiting, held, dead and delayed tasks; a broker that is away costs the scrape nothing else."""

    @measured.server.task
    def fine() -> None:
        pass

    measured.metrics.watch(measured.server)
    fine.send()
    fine.using(countdown=60).send()
    measured.port.redis.rpush("machinery_tasks", b"{]")
    assert measured.value("machinery_queue_waiting", queue="machinery_tasks") == 2
    assert measured.value("machinery_delayed") == 1
    work_until_quiet(measured.server)
    assert measured.value("machinery_queue_waiting", queue="machinery_tasks") == 0
    assert measured.value("machinery_queue_dead", queue="machinery_tasks") == 1
    assert measured.value("machinery_dead_letters_total", queue="machinery_tasks") == 1

    def away(_requests: object) -> list[list[object] | Exception]:
        return [ServiceUnavailable("it is away")]

    measured.port.send = away  # type: ignore[method-assign,assignment]
    assert measured.value("machinery_queue_waiting", queue="machinery_tasks") is None
    assert measured.value("machinery_tasks_sent_total", task="fine", queue="machinery_tasks") == 2


def test_an_observer_that_fails_harms_no_task(measured: Measured, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged, and the task has ended as it did."""

    class Broken(Observer):
        def ended(self, *_: object) -> None:
            raise RuntimeError("broken observer")

        def buried(self, queue: str) -> None:
            raise RuntimeError(f"broken on {queue}")

    server = server_on(measured.port, observers=[Broken()])

    @server.task
    def fine() -> None:
        pass

    result = fine.send()
    measured.port.redis.rpush("machinery_tasks", b"{]")
    work_until_quiet(server)
    assert result.state.state == "SUCCESS"
    assert caplog.text.count("an observer failed") == 2
