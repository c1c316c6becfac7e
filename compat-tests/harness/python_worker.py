"""The Python worker, started as a user starts it."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from harness.go_worker import probe
from harness.process import Process, wait_until
from harness.redis_server import RedisServer

__all__ = ["PythonWorker", "python_environment"]

HERE = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
_numbers = itertools.count(1)


class PythonWorker(Process):
    """``python -m gomachinery_py worker python_tasks:server``; it consumes once this is constructed.

    Args:
        redis: the server that it works on.
        directory: an existing directory for its log.
        queue: default queue.
        custom_queue: consume this queue instead.
        concurrency: tasks at once.
        app: the server that it serves, as MODULE:SERVER; ``compat-tests`` is on its path.
        db: database of ``redis``; only needed when it is not 0.
        arguments: further command-line arguments.
        settings: what ``python_environment`` takes.
    """

    def __init__(
        self,
        redis: RedisServer,
        directory: Path,
        *,
        queue: str = "machinery_tasks",
        custom_queue: str = "",
        concurrency: int = 10,
        app: str = "python_tasks:server",
        db: int = 0,
        arguments: tuple[str, ...] = (),
        **settings: str | int,
    ) -> None:
        self.redis = redis
        self.queue = custom_queue or queue
        self.db = db
        command = [sys.executable, "-m", "gomachinery_py", "worker", app]
        command += ["-c", str(concurrency), "-q", self.queue, *arguments]
        settings = {"broker": redis.url(db), "queue": queue, **settings}
        super().__init__(
            command,
            name=f"python-worker-{next(_numbers)}",
            directory=directory,
            env=python_environment(redis, **settings),
        )
        try:
            # Without crash safety a worker keeps no list of itself.
            ready = (lambda: "at once, from" in self.log) if settings.get("crash_safe") == 0 else lambda: self.signed_on
            wait_until(lambda: ready() or not self.alive, READY_SECONDS, "a worker that has signed on")
        except AssertionError as error:
            raise self.failed("did not sign on") from error
        if not self.alive:
            raise self.failed("did not begin")

    @property
    def signed_on(self) -> bool:
        """Whether it is in the list of its queue's workers, as it is from its start to its orderly end."""
        with self.redis.connect(self.db) as client:
            names: list[bytes] = client.zrange(f"{{{self.queue}}}:gmpy:workers", 0, -1)
        return any(f":{self.pid}:".encode() in name for name in names)

    def consumes(self, timeout: float = 5) -> bool:
        """Whether it is alive and does tasks; it must be the only worker of its queue, in database 0."""
        return self.alive and probe(self.redis, self.queue, timeout)


def python_environment(redis: RedisServer, **settings: str | int) -> dict[str, str]:
    """What ``python_tasks`` reads; ``settings`` are named as the Go worker's flags.

    broker, backend, queue, results_expire, delayed_poll, delayed_key, record_key, tag, only.
    """
    merged: dict[str, str | int] = {"broker": redis.url(), **settings}
    environment = {f"GMPY_{name.upper()}": str(value) for name, value in merged.items()}
    if redis.ca_file:
        environment["SSL_CERT_FILE"] = str(redis.ca_file)
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment
