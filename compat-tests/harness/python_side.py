"""The Python side of a recording."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gomachinery_py import Chain, Chord, Group, Server, Signature, wire
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer
from harness.scenarios import Scenario
from harness.signatures import Document

__all__ = ["python_send", "python_signature", "python_work"]


def python_signature(document: Document) -> Signature:
    """A signature document as our producer's users write it: its argument values are plain Python values."""
    signature = wire.decode_signature(json.dumps(document).encode())
    for argument, told in zip(signature.args or (), document.get("Args") or (), strict=True):
        # Decoded, 1e-07 would stay the literal that Python's json has written.
        argument.value = told["Value"]
    if document.get("OnSuccess"):
        signature.on_success = [python_signature(callback) for callback in document["OnSuccess"]]
    if document.get("OnError"):
        signature.on_error = [python_signature(callback) for callback in document["OnError"]]
    return signature


def python_send(scenario: Scenario, url: str) -> None:
    """A ``send`` for ``record``: our own producer, in this process."""
    tasks = [python_signature(document) for document in scenario.tasks]
    with Server(url) as server:
        if scenario.kind == "task":
            server.send_task(tasks[0])
        elif scenario.kind == "chain":
            server.send_chain(Chain(*tasks))
        elif scenario.kind == "group":
            server.send_group(Group(*tasks), concurrency=1)
        else:
            assert scenario.callback is not None
            server.send_chord(Chord(Group(*tasks), python_signature(scenario.callback)), concurrency=1)


def python_work(redis: RedisServer, directory: Path) -> Callable[[str], PythonWorker]:
    """A ``work`` for ``record``: our worker with concurrency 1, as a user starts it."""
    return lambda url: PythonWorker(redis, directory, broker=url, concurrency=1)
