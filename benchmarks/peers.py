"""Celery and dramatiq on the same job: a no-op task on Redis, results stored, ten at a time, beside our worker.

``python -m benchmarks.peers``; installs both from PyPI into an environment of its own, which is deleted afterwards, and
starts its own redis-server. Rates are medians of interleaved runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.throughput import QUEUE, RedisServer, drained_rate, fill, python_worker

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TASKS = int(os.environ.get("PEER_TASKS", "3000"))
PACKAGES = ("celery[redis]==5.7.0", "dramatiq[redis]==2.2.1")

__all__ = ["main"]

CELERY = """
import sys
from celery import Celery
app = Celery("celery_app", broker={url!r}, backend={url!r})
app.conf.broker_connection_retry_on_startup = True

@app.task
def add(first, second):
    return first + second

if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        add.delay(1, 2)
"""
DRAMATIQ = """
import sys
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
broker = RedisBroker(url={url!r})
broker.add_middleware(Results(backend=RedisBackend(url={url!r})))
dramatiq.set_broker(broker)

@dramatiq.actor(store_results=True)
def add(first, second):
    return first + second

if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        add.send(1, 2)
"""


@dataclass
class Peer:
    """Somebody else's worker: its app, how it is started, and the list that its tasks wait in."""

    name: str
    app: str
    command: Sequence[str]
    queue: str


PEERS = (
    Peer(
        "Celery, prefork",
        "celery_app",
        ("celery", "-A", "celery_app", "worker", "-c", "10", "-l", "ERROR"),
        "celery",
    ),
    Peer(
        "Celery, threads",
        "celery_app",
        ("celery", "-A", "celery_app", "worker", "-P", "threads", "-c", "10", "-l", "ERROR"),
        "celery",
    ),
    Peer(
        "dramatiq, one process",
        "dramatiq_app",
        ("dramatiq", "dramatiq_app", "--processes", "1", "--threads", "10"),
        "dramatiq:default",
    ),
)


def installed(directory: Path) -> Path:
    """An environment with both; the directory of its programs."""
    environment = directory / "venv"
    venv.create(environment, with_pip=True)
    programs = environment / "bin"
    subprocess.run([str(programs / "python"), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return programs


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="gmpy-") as name:
        directory = Path(name)
        programs = installed(directory)
        redis = RedisServer(directory)
        try:
            for app, text in (("celery_app", CELERY), ("dramatiq_app", DRAMATIQ)):
                (directory / f"{app}.py").write_text(text.format(url=redis.url()))
            rates = measure(redis, directory, programs)
        finally:
            redis.stop()
    ours = rates["gomachinery_py, safe"]
    print(f"\n{'worker on Redis, ten at a time':<44}{'tasks/s':>10}{'ours is':>10}")
    for name, rate in rates.items():
        print(f"{name:<44}{rate:>10,.4g}{ours / rate:>9.1f}x")


def measure(redis: RedisServer, directory: Path, programs: Path) -> dict[str, float]:
    """Median rates by name."""
    rates: dict[str, list[float]] = {}
    url = redis.url()

    def note(name: str, rate: float) -> None:
        rates.setdefault(name, []).append(rate)
        print(f"{name}: {rate:,.0f} tasks/s", file=sys.stderr)

    for _ in range(ROUNDS):
        note(
            "gomachinery_py, safe",
            drained_rate(redis, lambda: python_worker(url), QUEUE, lambda: fill(url, TASKS), TASKS),
        )
        for peer in PEERS:
            note(peer.name, drained_rate(redis, *_job(peer, directory, programs), TASKS))
    return {name: statistics.median(values) for name, values in rates.items()}


def _job(
    peer: Peer, directory: Path, programs: Path
) -> tuple[Callable[[], subprocess.Popen[bytes]], str, Callable[[], None]]:
    def start() -> subprocess.Popen[bytes]:
        command = [str(programs / "python"), "-m", *peer.command]
        return subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def send() -> None:
        subprocess.run([str(programs / "python"), "-m", peer.app, str(TASKS)], cwd=directory, check=True)

    return start, peer.queue, send


if __name__ == "__main__":
    main()
