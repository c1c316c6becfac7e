"""Worker, producer and round trip on Redis against Go Machinery v2 (go-redis), in one interleaved run.

``python -m benchmarks.throughput``; starts its own redis-server, one process each side, every state stored. Rates are
medians; a ratio is ours to Go's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "compat-tests"))

import gobuild  # noqa: E402

from benchmarks.drain import RedisServer, drained, end  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
TASKS = int(os.environ.get("TASKS", "20000"))
SINGLES = 10_000
GROUP = 1000
TRIPS = 200
QUEUE = "machinery_tasks"

__all__ = ["QUEUE", "RedisServer", "drained_rate", "fill", "main", "python_worker"]


def python_worker(url: str, *, crash_safe: bool = True, processes: int = 1) -> subprocess.Popen[bytes]:
    """Our worker in a process of its own, or a parent and several."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.python_side", "worker", url, str(int(crash_safe)), "", str(processes)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )


def go_worker(url: str) -> subprocess.Popen[bytes]:
    """Go's worker in a process of its own."""
    flags = ["-version=v2", "-client=goredis", f"-broker={url}", "-concurrency=10"]
    return subprocess.Popen(
        [str(gobuild.binary("worker")), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def fill(url: str, count: int) -> None:
    """Put tasks on the queue."""
    python_producer(url, "many", count)


def python_producer(url: str, what: str, count: int) -> dict[str, float]:
    """What our producer does, timed in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.python_side", what, url, str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def go_producer(url: str, **flags: int) -> dict[str, float]:
    """What Go's producer does, timed in a process of its own."""
    command = [str(gobuild.binary("sendbench")), "-client=goredis", f"-broker={url}"]
    command += [f"-{name}={value}" for name, value in flags.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def drained_rate(
    redis: RedisServer,
    start: Callable[[], subprocess.Popen[bytes]],
    queue: str = QUEUE,
    send: Callable[[], None] | None = None,
    count: int = TASKS,
) -> float:
    """Tasks a second until the last result is stored; see ``drain.py``."""
    redis.flush()
    if send is None:
        fill(redis.url(), count)
    else:
        send()
    return drained(redis, start, queue, count).rate


def with_worker(
    redis: RedisServer, start: Callable[[], subprocess.Popen[bytes]], measure: Callable[[], float]
) -> float:
    """A figure taken while one idle worker is there."""
    redis.flush()
    worker = start()
    try:
        python_producer(redis.url(), "wait", 1)
        return measure()
    finally:
        end(worker)


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the process has ended")


def main() -> None:
    """Print the table."""
    for name in ("worker", "sendbench"):
        gobuild.binary(name)
    with tempfile.TemporaryDirectory(prefix="gmpy-") as directory:
        redis = RedisServer(Path(directory))
        try:
            rows = measure(redis)
        finally:
            redis.stop()
    print(f"\n{'Redis, one process each':<46}{'Go v2':>10}{'ours':>10}{'ours/Go':>9}")
    for name, ours, theirs in rows:
        beside = f"{theirs:>10,.4g}{ours:>10,.4g}{ours / theirs:>9.2f}" if theirs else f"{'':>10}{ours:>10,.4g}"
        print(f"{name:<46}{beside}")


def measure(redis: RedisServer) -> list[tuple[str, float, float]]:
    """Each row: name, our median, Go's median (0: there is none)."""
    url = redis.url()
    figures: dict[str, tuple[list[float], list[float]]] = {}

    def note(name: str, ours: float, theirs: float) -> None:
        both = figures.setdefault(name, ([], []))
        both[0].append(ours)
        both[1].append(theirs)

    for _ in range(ROUNDS):
        go = drained_rate(redis, lambda: go_worker(url))
        note("worker, concurrency 10, safe, tasks/s", drained_rate(redis, lambda: python_worker(url)), go)
        unsafe = drained_rate(redis, lambda: python_worker(url, crash_safe=False))
        note("worker, concurrency 10, crash_safe=False", unsafe, go)
        two = drained_rate(redis, lambda: python_worker(url, processes=2))
        note("worker, --processes 2, safe (Go: one process)", two, go)
        redis.flush()
        note(
            "single sends, tasks/s",
            python_producer(url, "singles", SINGLES)["singles"],
            go_producer(url, singles=SINGLES)["singles"],
        )
        redis.flush()
        go_group = go_producer(url, group=GROUP)["group"]
        note("group of 1,000, tasks/s", python_producer(url, "group", GROUP)["group"], go_group)
        note(
            "send_many of 1,000 (Go: group), tasks/s",
            python_producer(url, "batches", GROUP)["batches"],
            go_group,
        )
        note(
            "round trip of one task, ms (less is better)",
            with_worker(redis, lambda: python_worker(url), lambda: python_producer(url, "trips", TRIPS)["trips"]),
            with_worker(redis, lambda: go_worker(url), lambda: go_producer(url, trips=TRIPS)["trip_ms"]),
        )
    rows = [(name, statistics.median(ours), statistics.median(theirs)) for name, (ours, theirs) in figures.items()]
    worker = python_worker(url)
    try:
        redis.flush()
        python_producer(url, "wait", 1)
        time.sleep(1)
        rows.append(("idle worker, MiB resident", resident_mib(worker), 0.0))
    finally:
        end(worker)
    return rows


if __name__ == "__main__":
    main()
