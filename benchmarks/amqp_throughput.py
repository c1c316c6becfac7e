"""Worker and producer on RabbitMQ against Go Machinery v2, with results on Redis and on RabbitMQ, in one run.

``python -m benchmarks.amqp_throughput``; starts its own servers, one process each side, every state stored. Rates are
medians; a ratio is ours to Go's. The servers write to ``DIRECTORY``: a disk by default, which RabbitMQ waits for before
it confirms.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "compat-tests"))

import gobuild  # noqa: E402
from harness.rabbitmq_server import RabbitServer  # noqa: E402
from harness.redis_server import RedisServer  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TASKS = int(os.environ.get("TASKS", "4000"))
DIRECTORY = os.environ.get("DIRECTORY") or None
QUEUE = "machinery_tasks"
GROUP = 1000

__all__ = ["GROUP", "QUEUE", "Figures", "RabbitServer", "RedisServer", "go_rate", "main", "print_figures", "servers"]

Figures = dict[str, tuple[list[float], list[float]]]
"""Each row's name, our figures and Go's."""


@contextlib.contextmanager
def servers() -> Iterator[tuple[RabbitServer, RedisServer]]:
    """Both servers, with their data in ``DIRECTORY``."""
    with tempfile.TemporaryDirectory(prefix="gmpy-", dir=DIRECTORY) as directory, contextlib.ExitStack() as stack:
        redis = RedisServer(Path(directory))
        stack.callback(redis.stop)
        rabbit = RabbitServer(Path(directory))
        stack.callback(rabbit.stop)
        yield rabbit, redis


def print_figures(title: str, column: str, figures: Figures) -> None:
    """Medians and their ratio."""
    print(f"\n{title:<50}{'Go v2':>10}{column:>10}{column + '/Go':>10}")
    for name, (ours, theirs) in figures.items():
        mine, go = statistics.median(ours), statistics.median(theirs)
        print(f"{name:<50}{go:>10,.4g}{mine:>10,.4g}{mine / go:>10.2f}")


def python_side(verb: str, urls: tuple[str, str], count: int) -> subprocess.Popen[str]:
    """Our worker or producer in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.python_side", verb, urls[0], str(count), urls[1]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def python_rate(verb: str, urls: tuple[str, str], count: int) -> float:
    """What our producer does, tasks a second."""
    output, _ = python_side(verb, urls, count).communicate()
    return float(json.loads(output)[verb])


def go_rate(urls: tuple[str, str], what: str, count: int) -> float:
    """What Go's producer does, tasks a second."""
    command = [str(gobuild.binary("sendbench")), f"-broker={urls[0]}", f"-backend={urls[1]}", f"-{what}={count}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)[what])


def go_worker(urls: tuple[str, str], records: str, prefetch: int) -> subprocess.Popen[str]:
    """Go's worker in a process of its own; Machinery's own prefetch_count is 3."""
    flags = [f"-broker={urls[0]}", f"-backend={urls[1]}", f"-records={records}", "-concurrency=10"]
    flags.append(f"-prefetch={prefetch}")
    return subprocess.Popen(
        [str(gobuild.binary("worker")), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )


def drained_rate(
    rabbit: RabbitServer, urls: tuple[str, str], tasks: int, start: Callable[[], subprocess.Popen[str]]
) -> float:
    """Tasks a second from the first one taken to the last; starting the process does not count."""
    python_rate("many", urls, tasks)
    with contextlib.closing(rabbit.connect().connection) as connection:
        channel = connection.channel()

        def waiting() -> int:
            return int(channel.queue_declare(QUEUE, passive=True).method.message_count)

        worker = start()
        try:
            while waiting() >= tasks:
                time.sleep(0.002)
            first, left = time.perf_counter(), waiting()
            while waiting():
                time.sleep(0.005)
            return left / (time.perf_counter() - first)
        finally:
            worker.kill()
            worker.communicate()
            channel.queue_purge(QUEUE)


def measure(rabbit: RabbitServer, redis: RedisServer) -> Figures:
    """All of it, ``ROUNDS`` times, ours and Go's in turn."""
    figures: Figures = {}

    def note(name: str, ours: float, theirs: float) -> None:
        both = figures.setdefault(name, ([], []))
        both[0].append(ours)
        both[1].append(theirs)

    amqp = rabbit.url()
    for _ in range(ROUNDS):
        # Go manages about a hundred tasks a second with results on RabbitMQ.
        for store, url, tasks in (("Redis", redis.url(), TASKS), ("AMQP", amqp, TASKS // 10)):
            urls = (amqp, url)
            redis.flush()
            ours = drained_rate(rabbit, urls, tasks, partial(python_side, "worker", urls, 1))
            for prefetch in (3, 40):
                start = partial(go_worker, urls, redis.url(), prefetch)
                note(
                    f"{store} results: worker (Go: prefetch {prefetch})", ours, drained_rate(rabbit, urls, tasks, start)
                )
            ours, theirs = python_rate("singles", urls, tasks), go_rate(urls, "singles", tasks)
            note(f"{store} results: single sends", ours, theirs)
            # Go sends a group with 20 goroutines.
            ours, theirs = python_rate("group", urls, GROUP), go_rate(urls, "group", GROUP)
            note(f"{store} results: group of {GROUP:,}", ours, theirs)
            ours = python_rate("batches", urls, GROUP)
            note(f"{store} results: send_many of {GROUP:,} (Go: the group)", ours, theirs)
            with contextlib.closing(rabbit.connect().connection) as connection:
                connection.channel().queue_purge(QUEUE)
    return figures


def main() -> None:
    """Print the table."""
    for name in ("worker", "sendbench"):
        gobuild.binary(name)
    with servers() as (rabbit, redis):
        figures = measure(rabbit, redis)
    print_figures("RabbitMQ, tasks/s, one process each", "ours", figures)


if __name__ == "__main__":
    main()
