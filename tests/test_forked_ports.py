"""Ports in a process that was forked while another thread of its parent was opening a connection."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gomachinery_py import Config
from gomachinery_py.effects import Request, SystemClock
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.registry import open_services

GET: dict[str, Any] = {
    "memcache": ("get", "key"),
    "mongodb": ("find_one", "tasks", {"_id": "key"}),
    "sqs": ("PurgeQueue", {"QueueUrl": "http://127.0.0.1/0/q"}),
    "pubsub": ("GetTopic", {"topic": "projects/p/topics/t"}),
    "dynamodb": ("GetItem", {"TableName": "task_states", "Key": {"TaskUUID": {"S": "t"}}}),
}


@pytest.fixture
def closed() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield free.getsockname()[1]


def _child(port: Any, command: Any, outcome: Any) -> None:
    [answer] = port.send([Request(port, [command])])
    outcome.put(type(answer[0] if isinstance(answer, list) else answer))


@pytest.mark.parametrize("service", GET)
def test_a_lock_that_was_held_at_the_fork(service: str, closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child does not wait for a thread that it does not have; it finds out by itself that nobody listens."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed}")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{closed}")
    brokers = {"sqs": "https://sqs.eu-west-1.amazonaws.com/1", "pubsub": "gcppubsub://p/s"}
    backends = {
        "memcache": f"memcache://127.0.0.1:{closed}",
        "mongodb": f"mongodb://127.0.0.1:{closed}",
        "dynamodb": "https://dynamodb",
    }
    config = Config(broker=brokers.get(service, "eager"), result_backend=backends.get(service, "null"))
    services = open_services(config, SystemClock())
    port: Any = services.broker.port if service in brokers else services.backend.port
    fork = multiprocessing.get_context("fork")
    outcome = fork.SimpleQueue()
    child = fork.Process(target=_child, args=(port, GET[service], outcome))

    with port._lock:
        child.start()
        child.join(30)
    if child.exitcode is None:
        child.kill()
        child.join()

    assert child.exitcode == 0
    assert outcome.get() is ServiceUnavailable
    outcome.close()
    port.close()
