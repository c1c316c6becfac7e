"""RabbitMQ as the broker, with Redis or RabbitMQ as the result store: each producer with each kind of worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import short_directory
from harness.amqp_fleet import PAIRS, STORES, AMQPFleet, AMQPPair
from harness.go_producer import GoTaskFailed
from harness.go_worker import GoWorker
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer
from harness.signatures import signature
from test_both_ways import BYTES, FAILURES, SCALARS, told, values

LATE_SECONDS = 5.0


@pytest.fixture(scope="module")
def fleet(rabbit_server: RabbitServer) -> Iterator[AMQPFleet]:
    """A worker of every kind, on vhosts of its own, and a Redis for the results of half of them."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with AMQPFleet(rabbit_server, redis, directory) as fleet:
            yield fleet
        redis.stop()


@pytest.fixture(params=[(*pair, store) for pair in PAIRS for store in STORES], ids="-".join)
def pair(request: Any, fleet: AMQPFleet) -> Iterator[AMQPPair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = AMQPPair(fleet, *request.param)
    worker = pair.worker
    yield pair
    assert worker.alive, worker.failed("ended")
    assert not isinstance(worker, GoWorker) or worker.restarts == 0, worker.failed("started over")


def test_each_type(pair: AMQPPair) -> None:
    """Every scalar at its limits and a slice of every type come back as they went, with Go's type name."""
    cases: list[tuple[str, Any]] = [(kind, value) for kind, several in SCALARS.items() for value in several]
    cases += [(f"[]{kind}", several) for kind, several in SCALARS.items() if kind != "uint8"]
    cases += [("[]uint8", BYTES)]

    sent = [pair.producer.send_task(signature(f"echo_{kind}", (kind, value)), typed=True) for kind, value in cases]

    assert [told(pair.producer, uuid) for uuid in sent] == [[case] for case in cases]


def test_failures(pair: AMQPPair) -> None:
    """An error, a panic of each kind and a call that does not fit fail with the same text on either side."""
    sent = [pair.producer.send_task(task, typed=True) for task, _ in FAILURES]

    texts = []
    for uuid in sent:
        with pytest.raises(GoTaskFailed) as caught:
            pair.producer.get(uuid)
        texts.append(str(caught.value))

    assert texts == [text for _, text in FAILURES]


def test_waiting(pair: AMQPPair) -> None:
    """A task with an ETA runs then and never early; a retry and RetryTaskLater come again by way of a delay queue."""
    moments = [datetime.now(UTC) + timedelta(milliseconds=ahead) for ahead in (300, 700)]
    sent = [pair.producer.send_task(signature("nano_time", ETA=moment.isoformat())) for moment in moments]
    retried = pair.producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=3), typed=True)
    later = pair.producer.send_task(
        signature("retry_later", ("string", "busy"), ("int64", 150), ("int64", 2), RetryCount=0), typed=True
    )

    for uuid, moment in zip(sent, moments, strict=True):
        [ran] = values(pair.producer, uuid)
        # Go's producer cuts the delay to whole milliseconds.
        assert -0.001 <= ran / 1e9 - moment.timestamp() < LATE_SECONDS
    assert values(pair.producer, later) == [3]
    assert values(pair.producer, retried) == [2]


def test_workflows(pair: AMQPPair) -> None:
    """A chain passes its results on, a group's members all run, a chord's callback gets every member's result."""
    producer = pair.producer
    add = [signature("add", ("int64", number)) for number in range(1, 6)]

    chain = producer.send_chain(add[1], add[2], signature("multiply", ("int64", 10)), typed=True)
    group = producer.send_group(*add, typed=True)
    chord = producer.send_chord(*add, callback=signature("add", ("int64", 100)), typed=True)

    assert values(producer, *chain.all) == [50]
    assert sorted(values(producer, uuid)[0] for uuid in group.uuids) == [1, 2, 3, 4, 5]
    assert values(producer, *chord.all) == [115]


def test_callbacks_and_headers(pair: AMQPPair) -> None:
    """OnError gets the error's text, OnSuccess the result; a task sees the headers that it was sent with."""
    producer = pair.producer
    on_error = signature("concat", ("string", "!"), UUID=f"error-{time.time_ns()}")
    producer.send_task(signature("fail", ("string", "bad luck"), OnError=[on_error]), typed=True)
    headers = {"trace": "00-abc", "text": "ż"}
    seen = producer.send_task(signature("context_signature", Headers=headers, Priority=3))

    assert values(producer, on_error["UUID"]) == ["bad luck!"]
    assert f'"Headers":{{"text":"ż","trace":"00-abc"}}' in values(producer, seen)[0]  # noqa: F541
