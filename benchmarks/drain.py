"""How long a worker takes to empty a queue, and what that costs: processor time of the worker and of Redis.

Processor time says more than tasks a second where others use the same machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "compat-tests"))

from harness.redis_server import RedisServer  # noqa: E402

__all__ = ["Drain", "RedisServer", "drained", "end"]

# So many of the last tasks are looked at to see whether all is done: more than any worker here takes in advance.
_LAST = 200
_LOOK_SECONDS = 0.005


@dataclass(frozen=True)
class Drain:
    """Tasks a second, and what each task cost: microseconds of the worker and of Redis, and changes of threads."""

    rate: float
    worker_us: float
    redis_us: float
    switches: float


def drained(redis: RedisServer, start: Callable[[], subprocess.Popen[bytes]], queue: str, count: int) -> Drain:
    """From the first of the waiting tasks being taken until the last ones are stored as SUCCESS.

    Where bodies are not Machinery's, until the queue is empty. Starting the process does not count.
    """
    client = redis.client
    last = [_uuid(body) for body in client.lrange(queue, -_LAST, -1)]
    worker = start()
    try:
        while client.llen(queue) == count:
            time.sleep(0.001)
        first, left = time.perf_counter(), client.llen(queue)
        used, switched = _used([worker.pid])
        redis_used, _ = _used([redis.pid])
        while client.llen(queue):
            time.sleep(_LOOK_SECONDS)
        while "" not in last and not all(b'"State":"SUCCESS"' in (state or b"") for state in client.mget(last)):
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - first
        used_now, switched_now = _used([worker.pid])
        redis_used_now, _ = _used([redis.pid])
        return Drain(
            left / seconds,
            (used_now - used) / left / 1000,
            (redis_used_now - redis_used) / left / 1000,
            (switched_now - switched) / left,
        )
    finally:
        end(worker)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and with it those that it has started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _uuid(body: bytes) -> str:
    found = json.loads(body)
    return str(found.get("UUID", "")) if isinstance(found, dict) else ""


def _used(pids: list[int]) -> tuple[int, int]:
    """Nanoseconds of processor time, and switches between threads, of processes and their children so far."""
    nanoseconds = switches = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                nanoseconds += int((thread / "schedstat").read_text().split()[0])
                for line in (thread / "status").read_text().splitlines():
                    if "ctxt_switches" in line:
                        switches += int(line.split()[1])
                children = [int(child) for child in (thread / "children").read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if children:
                more = _used(children)
                nanoseconds, switches = nanoseconds + more[0], switches + more[1]
    return nanoseconds, switches
