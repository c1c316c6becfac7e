"""SQS as the broker and Redis as the result store: each producer with each kind of worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import short_directory
from harness.amqp_fleet import PAIRS
from harness.go_worker import GoWorker
from harness.redis_server import RedisServer
from harness.signatures import signature
from harness.sqs_fleet import SQSFleet, SQSPair
from harness.sqs_server import SQSServer
from test_amqp_both_ways import (  # noqa: F401  (collected here too, with this module's pairs)
    test_callbacks_and_headers,
    test_each_type,
    test_failures,
    test_workflows,
)
from test_both_ways import values

# Whole seconds: a delay of 1.2 s is one of 2, and the worker may then be waiting for something else.
LATE_SECONDS = 5.0


@pytest.fixture(scope="module")
def fleet(sqs_server: SQSServer) -> Iterator[SQSFleet]:
    """A worker of every kind, on queues of its own, and a Redis for all results."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with SQSFleet(sqs_server, redis, directory) as fleet:
            yield fleet
        redis.stop()


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: Any, fleet: SQSFleet) -> Iterator[SQSPair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = SQSPair(fleet, *request.param)
    worker = pair.worker
    yield pair
    assert worker.alive, worker.failed("ended")
    assert not isinstance(worker, GoWorker) or worker.restarts == 0, worker.failed("started over")


def test_waiting(pair: SQSPair) -> None:
    """A task with an ETA runs then and never early, a retry and RetryTaskLater come again."""
    moments = [datetime.now(UTC) + timedelta(milliseconds=ahead) for ahead in (400, 1300)]
    sent = [pair.producer.send_task(signature("nano_time", ETA=moment.isoformat())) for moment in moments]
    retried = pair.producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=3), typed=True)
    later = pair.producer.send_task(
        signature("retry_later", ("string", "busy"), ("int64", 150), ("int64", 2), RetryCount=0), typed=True
    )

    for uuid, moment in zip(sent, moments, strict=True):
        [ran] = values(pair.producer, uuid)
        assert 0 <= ran / 1e9 - moment.timestamp() < LATE_SECONDS
    assert values(pair.producer, later) == [3]
    assert values(pair.producer, retried) == [2]


@pytest.mark.parametrize(("producer", "worker"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_fifo(fleet: SQSFleet, producer: str, worker: str) -> None:
    """Tasks of one group run in the order in which they were sent, one after the other."""
    pair = SQSPair(fleet, producer, worker, fifo=True)
    assert pair.worker.alive
    fields = {"BrokerMessageGroupId": "one"}

    chain = pair.producer.send_chain(
        *[signature("add", ("int64", number), **fields) for number in (1, 2, 3)], typed=True
    )
    assert values(pair.producer, *chain.all) == [6]

    began = time.time()
    pair.producer.send_task(signature("sleep_ms", ("int64", 400), **fields), typed=True)
    sent = [pair.producer.send_task(signature("nano_time", **fields)) for _ in range(5)]
    moments = [values(pair.producer, uuid)[0] for uuid in sent]

    assert moments == sorted(moments)
    assert moments[0] / 1e9 > began + 0.4


@pytest.mark.parametrize("producer", ["v1", "v2", "python"])
def test_fifo_retry(fleet: SQSFleet, producer: str) -> None:
    """A retry on a FIFO queue runs in a Python worker, which Go loses; an ETA is kept to, which Go ignores."""
    pair = SQSPair(fleet, producer, "python", fifo=True)
    assert pair.worker.alive
    fields = {"BrokerMessageGroupId": f"retry-{producer}"}
    moment = datetime.now(UTC) + timedelta(milliseconds=700)

    retried = pair.producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=3, **fields), typed=True)
    delayed = pair.producer.send_task(
        signature("nano_time", ETA=moment.isoformat(), BrokerMessageGroupId=f"eta-{producer}")
    )

    assert values(pair.producer, retried) == [2]
    [ran] = values(pair.producer, delayed)
    assert 0 <= ran / 1e9 - moment.timestamp() < LATE_SECONDS


@pytest.mark.parametrize("producer", ["v1", "v2", "python"])
def test_refusals(fleet: SQSFleet, producer: str) -> None:
    """What SQS cannot do is refused with Go's text."""
    sends = SQSPair(fleet, producer, "python").producer
    late = (datetime.now(UTC) + timedelta(minutes=16)).isoformat()

    with pytest.raises(Exception, match="Max AWS SQS delay exceeded"):
        sends.send_task(signature("noop", ETA=late))
    with pytest.raises(Exception, match="please specify BrokerMessageGroupId attribute for task Signature when subm"):
        sends.send_task(signature("noop", RoutingKey="python.fifo"))
    with pytest.raises(Exception, match=r"(?i)no queue 'nowhere'|does not exist|NonExistentQueue"):
        sends.send_task(signature("noop", RoutingKey="nowhere"))
