"""A bad network between everybody and Redis, by toxiproxy: nothing is lost, nothing hangs, nothing is left over.

Latency with jitter, resets, slow closes, connections that time out or fall silent, sliced packets; each in both
directions, one after another, under load from one client that sends single tasks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from harness.faults import LEASE, Load, Site, Verdict
from harness.toxiproxy import TOXICS, Toxiproxy

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "main", "toxic"]

READ_TIMEOUT = 2
DIRECTIONS = ("upstream", "downstream")


def toxic(kind: str, seconds: float, toxics: Sequence[str] = tuple(TOXICS)) -> Verdict:
    """Two workers and a client behind one proxy; every toxic lasts so many seconds."""
    with Site(read_timeout=READ_TIMEOUT) as site:
        proxy = Toxiproxy(site.directory, site.redis.port)
        site.stack.callback(proxy.kill)
        site.broker_url = f"redis://127.0.0.1:{proxy.port}"
        workers = [site.worker(kind, lease=6) for _ in range(2)]
        began = time.monotonic()
        # The first client keeps the workers busy, so that there is something to lose; the second one is also behind it.
        supply = Load(site, 10**9, direct=True).start()
        load = Load(site, 10**9, batch=1, backlog=10**9, first=10**9).start()
        for name in toxics:
            for direction in DIRECTIONS:
                with proxy.toxic(name, direction):
                    time.sleep(seconds)
                time.sleep(0.3)
        load.stop()
        supply.stop()
        site.settle(quiet=6 + LEASE + 4)
        supply.uuids.update(load.uuids)
        supply.refused += load.refused
        verdict = supply.verdict(faults=len(toxics) * len(DIRECTIONS), seconds=time.monotonic() - began)
        codes = {0}
        if kind != "go":
            codes = {worker.stop() for worker in workers}
        verdict.more = {
            "slowest send, seconds": round(load.slowest, 1),
            "orphans": len(site.redis.client.keys("*gmpy:inflight*")),
            "exit codes": ", ".join(map(str, sorted(codes))),
        }
        return verdict


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table names no figure but 0."""
    parser.add_argument("--seconds", type=float, default=10.0, help="of each toxic in each direction")


def main(options: argparse.Namespace) -> bool:
    """Two workers, concurrency 10."""
    kinds = chosen(
        options, {"Go v2": "go", "ours": "python", "crash_safe off": "at-most-once"}, {"ours": "at-most-once"}
    )
    columns = {name: toxic(kind, options.seconds) for name, kind in kinds.items()}
    ours = columns["ours"]
    # A send waits for the answer once; it is never repeated.
    kept = ours.whole and ours.more["orphans"] == 0 and ours.more["slowest send, seconds"] < 3 * READ_TIMEOUT
    return told(f"bad network, {options.seconds:g} s each", columns, kept)
