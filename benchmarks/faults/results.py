"""The result store away while tasks run: every task is SUCCESS in the end, and none is acknowledged before.

Broker and result store are two Redis servers. Before the store comes back the workers are stopped for a moment, so
that it can be seen which tasks they had let go of without a stored SUCCESS.
"""

from __future__ import annotations

import argparse
import re
import signal
import time
from typing import Any

from harness.faults import INFLIGHT, LEASE, QUEUE, Load, Site, Verdict
from harness.process import wait_until

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "main", "store_away"]

_UUID = re.compile(rb'"UUID":"([^"]+)"')


def store_away(kind: str, tasks: int, seconds: float) -> Verdict:
    """Two workers; the store goes when a fifth of the tasks is done, for ``seconds``."""
    with Site(results=True) as site:
        load = Load(site, tasks, batch=500, backlog=tasks).start()
        load.finish()
        began = time.monotonic()
        workers = [site.worker(kind, lease=30) for _ in range(2)]
        wait_until(lambda: site.executions() >= tasks // 5, 60, "a fifth of the tasks", interval=0.002)
        site.results.stop()
        time.sleep(0.2)
        seen = site.executions()
        time.sleep(seconds)
        begun = site.executions() - seen
        for worker in workers:
            worker.signal(signal.SIGSTOP)
        site.results.start()
        remaining = _remaining(site.redis.client)
        gone = [uuid for uuid in load.uuids.values() if uuid not in remaining]
        early = sum(state != "SUCCESS" for state in site.states(gone))
        for worker in workers:
            worker.signal(signal.SIGCONT)
        site.settle(quiet=LEASE + 6)
        verdict = load.verdict(faults=1, seconds=time.monotonic() - began)
        verdict.more = {"acknowledged early": early, "begun without the store": begun}
        return verdict


def _remaining(client: Any) -> set[str]:
    """The tasks that are in the queue or in a worker's hands."""
    keys = [QUEUE, *client.keys(INFLIGHT.replace("{", "[{]").replace("}", "[}]"))]
    bodies = (body for key in keys for body in client.lrange(key, 0, -1))
    return {match[1].decode() for body in bodies if (match := _UUID.search(body))}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60.0)


def main(options: argparse.Namespace) -> bool:
    """Two workers, concurrency 10."""
    kinds = chosen(
        options,
        {"Go v2": "go", "ours": "python", "results not waited for": "no_result_needed"},
        {"ours": "no_result_needed"},
    )
    columns = {name: store_away(kind, options.tasks, options.seconds) for name, kind in kinds.items()}
    ours = columns["ours"]
    kept = ours.whole and ours.more["acknowledged early"] == 0
    return told(f"result store away, {options.tasks} tasks", columns, kept)
