"""What has to hold on a Redis cluster and behind sentinels alike; their tests call it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.fleet import Pair
from harness.signatures import signature

__all__ = ["PAIRS", "check_pair"]

# Go reaches several hosts by go-redis only: v1 by its URL, v2 by NewGR.
PAIRS = [
    ("python", "go-v1-goredis"),
    ("python-async", "go-v2-goredis"),
    ("go-v1-goredis", "python"),
    ("go-v2-goredis", "python"),
    ("python-async", "python"),
]
LATE_SECONDS = 10.0


def check_pair(pair: Pair, failure: Any) -> None:
    """Results, failures, retries, delays, chains, groups and chords; ``failure`` gives the text a task fails with."""
    producer = pair.producer
    add = [signature("add", ("int64", number)) for number in range(1, 9)]
    moment = datetime.now(UTC) + timedelta(milliseconds=300)

    delayed = producer.send_task(signature("nano_time", ETA=moment.isoformat()))
    retried = producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=2), typed=True)
    chain = producer.send_chain(add[1], add[2], signature("multiply", ("int64", 10)), typed=True)
    group = producer.send_group(*add, typed=True)
    chords = [producer.send_chord(*add, callback=signature("add", ("int64", 100)), typed=True) for _ in range(3)]
    on_error = signature("concat", ("string", "!"), UUID=f"error-{time.time_ns()}")
    producer.send_task(signature("fail", ("string", "bad luck"), OnError=[on_error]), typed=True)

    [ran] = _values(producer, delayed)
    assert -0.001 <= ran / 1e9 - moment.timestamp() < LATE_SECONDS
    assert _values(producer, retried) == [2]
    assert _values(producer, *chain.all) == [50]
    assert [_values(producer, uuid) for uuid in group.uuids] == [[number] for number in range(1, 9)]
    assert [_values(producer, *chord.all) for chord in chords] == [[136]] * 3
    assert _values(producer, on_error["UUID"]) == ["bad luck!"]
    assert failure(producer, signature("fail", ("string", "bad"))) == "bad"


def _values(producer: Any, *uuids: str) -> list[Any]:
    return [result.value for result in producer.get(*uuids)]
