"""Our side of benchmarks/throughput.py, in processes of its own.

``python -m benchmarks.python_side VERB URL COUNT [RESULT_BACKEND]``, or ``worker URL CRASH_SAFE [BACKEND [PROCESSES]]``
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from gomachinery_py import Group, Server

__all__ = ["main"]


def _server(url: str, backend: str | None, *, crash_safe: bool = True) -> Server:
    server = Server(url, result_backend=backend, crash_safe=crash_safe)

    @server.task
    def add(first: int, second: int) -> int:
        return first + second

    return server


def _many_rate(server: Server, add: Any, count: int) -> float:
    started = time.perf_counter()
    server.send_many(add, [(1, 2)] * count)
    return count / (time.perf_counter() - started)


def _group_rate(server: Server, add: Any, count: int) -> float:
    # Go's side makes its signatures before it looks at the clock, too.
    members = [add.s(1, 2) for _ in range(count)]
    started = time.perf_counter()
    server.send_group(Group(*members))
    return count / (time.perf_counter() - started)


def main() -> None:
    """Do what the command line says; figures go to standard output as JSON."""
    verb, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    backend = sys.argv[4] if len(sys.argv) > 4 and sys.argv[4] else None
    if verb == "worker":
        processes = int(sys.argv[5]) if len(sys.argv) > 5 else 1
        _server(url, backend, crash_safe=bool(count)).worker("bench", concurrency=10).run(processes)
        return
    server = _server(url, backend)
    add = server.tasks["add"]
    started = time.perf_counter()
    figure = 0.0
    if verb == "many":
        server.send_many(add, [(1, 2)] * count)
    elif verb == "batches":
        figure = statistics.median(_many_rate(server, add, count) for _ in range(9))
    elif verb == "singles":
        for _ in range(count):
            add.send(1, 2)
    elif verb == "group":
        figure = statistics.median(_group_rate(server, add, count) for _ in range(9))
    elif verb == "wait":
        add.send(1, 2).get(timeout=30)
    elif verb == "trips":
        add.send(1, 2).get(timeout=30)
        trips = []
        for _ in range(count):
            began = time.perf_counter()
            add.send(1, 2).get(timeout=30)
            trips.append((time.perf_counter() - began) * 1000)
        figure = statistics.median(trips)
    else:
        raise SystemExit(f"no such verb: {verb}")
    print(json.dumps({verb: figure or count / (time.perf_counter() - started)}))


if __name__ == "__main__":
    main()
