"""Pub/Sub as the broker, with Redis as the result store: each producer with each kind of worker, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import short_directory
from harness.amqp_fleet import PAIRS
from harness.go_worker import GoWorker
from harness.pubsub_fleet import PubSubFleet, PubSubPair
from harness.pubsub_server import PubSubServer
from harness.redis_server import RedisServer

# The same for every broker; here they get this module's ``pair``.
from test_amqp_both_ways import (  # noqa: F401
    test_callbacks_and_headers,
    test_each_type,
    test_failures,
    test_waiting,
    test_workflows,
)


@pytest.fixture(scope="module")
def fleet(pubsub: PubSubServer) -> Iterator[PubSubFleet]:
    """A worker of every kind in projects of their own, and a Redis for their results."""
    with short_directory() as directory:
        redis = RedisServer(directory)
        with PubSubFleet(pubsub, redis, directory) as fleet:
            yield fleet
        redis.stop()


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: Any, fleet: PubSubFleet) -> Iterator[PubSubPair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = PubSubPair(fleet, *request.param)
    worker = pair.worker
    yield pair
    assert worker.alive, worker.failed("ended")
    assert not isinstance(worker, GoWorker) or worker.restarts == 0, worker.failed("started over")
