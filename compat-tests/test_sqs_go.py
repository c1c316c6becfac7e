"""What only SQS has, with live Go: FIFO queues, its limits, and what Go cannot do on it.

SQS with each pair of producer and worker is in test_conformance.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import short_directory
from harness.conformance import PAIRS
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import signature
from harness.sqs_fleet import SQSFleet, SQSPair
from harness.sqs_server import SQSServer
from test_both_ways import values

LATE_SECONDS = 5.0


@pytest.fixture(scope="module")
def fleet(sqs_server: SQSServer) -> Iterator[SQSFleet]:
    """A worker of every kind, on queues of its own, and a Redis for all results."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with SQSFleet(sqs_server, redis, directory) as fleet:
            yield fleet
        redis.stop()


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


def listed() -> set[str]:
    """What is told of SQS in the list of known differences."""
    path = Path(__file__).resolve().parent.parent / "fixtures" / "known-divergence.txt"
    names = {line.split()[0] for line in path.read_text().splitlines() if line.strip() and line[0] != "#"}
    return {name for name in names if name.startswith("sqs-")}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_go_cannot_do(fleet: SQSFleet, version: str) -> None:
    """Go loses a retry on a FIFO queue, deletes what it cannot decode and runs a task before its ETA, as is listed."""
    sqs = fleet.sqs
    seen = set()
    fifo, standard = sqs.create(f"only-{version}.fifo"), sqs.create(f"only-{version}")
    producer = fleet.producer("python", fifo)
    fields = {"BrokerMessageGroupId": "one", "RetryCount": 3}
    lost = producer.send_task(signature("fail_n_times", ("int64", 1), **fields))
    early = producer.send_task(
        signature("nano_time", RoutingKey=fifo, ETA="2099-01-01T00:00:00Z", BrokerMessageGroupId="two")
    )
    worker = fleet.start_worker(version, fifo)
    try:
        wait_until(lambda: sqs.counts(fifo) == (0, 0), 10, "an empty queue", interval=0.05)
        if producer.state(lost)["State"] == "PENDING":
            seen.add("sqs-fifo-retry")
        if values(producer, early)[0] < datetime(2099, 1, 1, tzinfo=UTC).timestamp() * 1e9:
            seen.add("sqs-fifo-eta")
    finally:
        worker.kill()
    sqs.send(standard, "{")
    worker = fleet.start_worker(version, standard)
    try:
        wait_until(lambda: sqs.counts(standard) == (0, 0), 10, "an empty queue", interval=0.05)
        seen.add("sqs-undecodable")
    finally:
        worker.kill()
    delayed = sqs.create(f"early-{version}")
    fleet.start_producer(version, delayed).send_task(
        signature("noop", ETA=(datetime.now(UTC) + timedelta(milliseconds=900)).isoformat())
    )
    if sqs.receive(delayed):
        seen.add("sqs-delay")

    assert seen == listed()
