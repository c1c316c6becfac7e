"""The Python worker, started as a user starts it."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from harness.go_worker import probe
from harness.process import Process
from harness.redis_server import RedisServer

__all__ = ["PythonWorker", "python_environment"]

HERE = Path(__file__).resolve().parent.parent
READY_SECONDS = 30.0
_numbers = itertools.count(1)


class PythonWorker(Process):
    """``python -m gomachinery_py worker python_tasks:server``; it consumes once this is constructed.

    Args:
        redis: the server that it works on.
        directory: an existing directory for its log.
        queue: default queue.
        custom_queue: consume this queue instead.
        concurrency: tasks at once.
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
        arguments: tuple[str, ...] = (),
        **settings: str | int,
    ) -> None:
        self.redis = redis
        self.queue = custom_queue or queue
        command = [sys.executable, "-m", "gomachinery_py", "worker", "python_tasks:server"]
        command += ["-c", str(concurrency), "-q", self.queue, *arguments]
        super().__init__(
            command,
            name=f"python-worker-{next(_numbers)}",
            directory=directory,
            env=python_environment(redis, queue=queue, **settings),
        )
        if not self.consumes(READY_SECONDS):
            raise self.failed("did no task")

    def consumes(self, timeout: float = 5) -> bool:
        """Whether it is alive and does tasks; it must be the only worker of its queue."""
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
