"""Go and Python schedulers side by side: does each tick come exactly once?

``python -m benchmarks.periodic --minutes 3 --every 2s``; starts its own redis-server, one scheduler of Go v1, one of
v2 and two of ours, all of one name. Ends with 1 if a tick came twice, or not
though somebody asked for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "compat-tests"))

from harness.redis_server import RedisServer  # noqa: E402
from harness.schedulers import GoScheduler, PythonScheduler, Watch, watching  # noqa: E402

QUEUE = "ticks"

__all__ = ["main"]


def plan(sender: str, spec: str) -> list[dict[str, Any]]:
    """The shared task; a header says who sent it."""
    signature = {"Name": "tick", "RoutingKey": QUEUE, "Headers": {"sender": sender}}
    return [{"kind": "task", "spec": spec, "name": "shared", "signatures": [signature]}]


def measure(redis: RedisServer, directory: Path, every: int, seconds: float) -> Watch:
    """What Redis saw while all schedulers ran."""
    spec = f"@every {every}s"
    with watching(redis, "shared", every, QUEUE) as watch, contextlib.ExitStack() as stack:
        for version in ("v1", "v2"):
            stack.callback(GoScheduler(redis, directory, version, plan(f"Go {version}", spec)).stop)
        for number in (1, 2):
            stack.callback(PythonScheduler(redis, directory, plan(f"Python {number}", spec)).stop)
        time.sleep(seconds)
    return watch


def main() -> int:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--every", default="2s", help="whole seconds")
    options = parser.parse_args()
    every = int(options.every.removesuffix("s"))
    with tempfile.TemporaryDirectory(prefix="gmpy-") as name:
        redis = RedisServer(Path(name))
        try:
            watch = measure(redis, Path(name), every, options.minutes * 60)
            bodies = redis.client.lrange(QUEUE, 0, -1)
        finally:
            redis.stop()
    senders = Counter(json.loads(body)["Headers"]["sender"] for body in bodies)
    expected = (watch.ticks()[-1] - watch.ticks()[0]) // (every * 1_000_000_000) + 1
    print(f"@every {every}s for {options.minutes:g} minutes, Go v1 + Go v2 + 2 × Python")
    print(f"ticks {watch.pushes()} of {expected}, longest gap {watch.longest_gap():g} s, asked {len(watch.attempts())}")
    print(", ".join(f"{sender} {count}" for sender, count in sorted(senders.items())))
    troubles = watch.troubles()
    print("\n".join(troubles) or "each tick came once")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
