"""Redis as the broker and DynamoDB as the result store: each producer with each kind of worker, and what is stored."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import short_directory
from harness.dynamodb_server import PAIRS, URL, DynamoDBFleet, DynamoDBServer
from harness.fleet import Pair
from harness.go_producer import GoError, GoTaskFailed
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import Document, signature
from test_both_ways import BYTES, FAILURES, SCALARS, told, values


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[DynamoDBServer]:
    """The DynamoDB of this module, which every process started meanwhile finds by its environment."""
    before = dict(os.environ)
    with short_directory() as directory:
        server = DynamoDBServer(directory)
        os.environ.update(server.environment)
        yield server
        for name in server.environment:
            os.environ.pop(name)
        os.environ.update(before)
        server.kill()


@pytest.fixture(scope="module")
def fleet(dynamodb: DynamoDBServer) -> Iterator[DynamoDBFleet]:  # noqa: ARG001
    """A worker of every kind, each on a queue of its own."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with DynamoDBFleet(redis, directory) as fleet:
            yield fleet
        redis.stop()


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: Any, fleet: DynamoDBFleet) -> Iterator[Pair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = Pair(fleet, *request.param)
    pair.check_worker()
    yield pair
    pair.check_worker()


def concat(*parts: str, **fields: object) -> Document:
    return signature("concat", *(("string", part) for part in parts), **fields)


def test_texts(pair: Pair) -> None:
    """Results that are strings come back whole to either side, the empty one and all other characters too."""
    sent = [pair.producer.send_task(concat(text), typed=True) for text in SCALARS["string"]]

    assert [values(pair.producer, uuid) for uuid in sent] == [[text] for text in SCALARS["string"]]
    assert told(pair.producer, pair.producer.send_task(signature("noop"))) == []


def test_failures(pair: Pair) -> None:
    """An error, a panic of each kind and a call that does not fit fail with the same text on either side."""
    sent = [pair.producer.send_task(task, typed=True) for task, _ in FAILURES]

    texts = []
    for uuid in sent:
        with pytest.raises(GoTaskFailed) as caught:
            pair.producer.get(uuid)
        texts.append(str(caught.value))

    assert texts == [text for _, text in FAILURES]


def test_workflows(pair: Pair) -> None:
    """A chain passes its results on, a group's members all run, a chord's callback gets every member's text."""
    producer = pair.producer
    chain = producer.send_chain(concat("a"), concat("b"), concat("c"), typed=True)
    group = producer.send_group(concat("1"), signature("fail", ("string", "bad")), concat("2"), typed=True)
    chord = producer.send_chord(*(concat(str(number)) for number in range(8)), callback=concat("all:"), typed=True)
    again = producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=2, OnSuccess=[concat("x")]))

    assert values(producer, *chain.all) == ["cba"]
    assert [values(producer, uuid) for uuid in (group.uuids[0], group.uuids[2])] == [["1"], ["2"]]
    [text] = values(producer, *chord.all)
    assert (text[:4], sorted(text[4:])) == ("all:", list("01234567"))
