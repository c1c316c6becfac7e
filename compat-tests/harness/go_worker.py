"""The Go worker of go-harness as a child process."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import gobuild

from harness.process import Process
from harness.redis_server import RedisServer
from harness.signatures import push, signature

__all__ = ["GoWorker", "go_flags", "probe"]

READY_SECONDS = 30.0
RESTART = "Broker failed with error"
_numbers = itertools.count(1)


class GoWorker(Process):
    """An unmodified Machinery worker with the test tasks; it consumes once this is constructed.

    Args:
        redis: the server that it works on.
        directory: an existing directory for its log.
        version: ``v1`` or ``v2``.
        client: Machinery's Redis client, ``redigo`` or ``goredis``.
        settings: further flags of ``go-harness/cmd/worker``, with ``_`` for ``-``: broker, backend, queue,
            custom_queue, concurrency, tag, results_expire, normal_poll, delayed_poll, delayed_key, record_key,
            only.
    """

    def __init__(
        self,
        redis: RedisServer,
        directory: Path,
        version: str = "v2",
        client: str = "redigo",
        **settings: str | int,
    ) -> None:
        self.redis = redis
        self.queue = str(settings.get("custom_queue") or settings.get("queue") or "machinery_tasks")
        name = f"go-worker-{version}-{client}-{next(_numbers)}"
        flags = go_flags(redis, version, client, settings)
        super().__init__([gobuild.binary("worker"), *flags], name=name, directory=directory)
        line = self.read_line(READY_SECONDS)
        if line != "READY":
            raise self.failed(f"said {line!r} instead of READY")

    @property
    def restarts(self) -> int:
        """How often its consumer ended with an error and was started again (0 in good health)."""
        return self.log.count(RESTART)

    def consumes(self, timeout: float = 5) -> bool:
        """Whether it is alive and still does tasks: v2's redigo client can be alive and stuck for good.

        It must be the only worker of its queue.
        """
        return self.alive and probe(self.redis, self.queue, timeout)


def go_flags(redis: RedisServer, version: str, client: str, settings: dict[str, str | int]) -> list[str]:
    """The flags that go-harness' worker and producer share."""
    merged: dict[str, str | int] = {"broker": redis.url(), "version": version, "client": client}
    if redis.ca_file:
        merged["tls_ca"] = str(redis.ca_file)
    merged.update(settings)
    return [f"-{name.replace('_', '-')}={value}" for name, value in merged.items()]


def probe(redis: RedisServer, queue: str, timeout: float) -> bool:
    """Whether a ``noop`` task put on the queue is done within ``timeout`` seconds; leaves no key behind."""
    uuid = f"task_probe_{next(_numbers)}"
    push(redis.client, queue, signature("noop", UUID=uuid))
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        stored: Any = redis.client.get(uuid)
        if stored and json.loads(stored)["State"] == "SUCCESS":
            redis.client.delete(uuid)
            return True
        time.sleep(0.01)
    return False
