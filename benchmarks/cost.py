"""What one task costs a worker and Redis in processor time, ours and Go's, interleaved.

``python -m benchmarks.cost``; starts its own redis-server. Medians; unlike tasks a second they hardly depend on what
else the machine does.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

from benchmarks.drain import Drain, drained
from benchmarks.throughput import QUEUE, RedisServer, fill, go_worker, python_worker

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TASKS = int(os.environ.get("TASKS", "10000"))

__all__ = ["main"]


def main() -> None:
    """Print the table."""
    found: dict[str, list[Drain]] = {}
    with tempfile.TemporaryDirectory(prefix="gmpy-") as directory:
        redis = RedisServer(Path(directory))
        url = redis.url()
        workers = {
            "Go v2 (go-redis)": lambda: go_worker(url),
            "ours, safe": lambda: python_worker(url),
            "ours, crash_safe=False": lambda: python_worker(url, crash_safe=False),
            "ours, safe, --processes 2": lambda: python_worker(url, processes=2),
        }
        only = os.environ.get("ONLY", "")
        try:
            for _ in range(ROUNDS):
                for name, start in workers.items():
                    if only in name:
                        redis.flush()
                        fill(url, TASKS)
                        found.setdefault(name, []).append(drained(redis, start, QUEUE, TASKS))
        finally:
            redis.stop()
    head = ("worker us", "Redis us", "together", "switches", "tasks/s")
    print(f"{'each task, concurrency 10':<28}" + "".join(f"{word:>11}" for word in head))
    for name, drains in found.items():
        worker, server = (statistics.median(getattr(d, of) for d in drains) for of in ("worker_us", "redis_us"))
        switches, rate = (statistics.median(getattr(d, of) for d in drains) for of in ("switches", "rate"))
        print(f"{name:<28}{worker:>11.1f}{server:>11.1f}{worker + server:>11.1f}{switches:>11.2f}{rate:>11,.0f}")


if __name__ == "__main__":
    main()
