"""SIGTERM of workers under load: what runs comes to its end, nothing is lost and nothing done twice."""

from __future__ import annotations

import argparse
import time

from harness.faults import LEASE, Load, Site, Verdict
from harness.process import wait_until

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "drains", "main"]


def drains(kind: str, count: int, tasks: int) -> Verdict:
    """``count`` times one of two workers is told to stop and replaced, while ``tasks`` tasks are done."""
    with Site() as site:
        workers = [site.worker(kind) for _ in range(2)]
        codes: set[int] = set()
        began = time.monotonic()
        load = Load(site, tasks).start()
        for number in range(count):
            share = (number + 1) * tasks // (count + 2)
            wait_until(lambda share=share: site.executions() >= share, 60, f"{share} executions", interval=0.005)
            codes.add(workers[number % 2].stop(30))
            workers[number % 2] = site.worker(kind)
        load.finish()
        site.settle(quiet=LEASE + 4)
        verdict = load.verdict(faults=count, seconds=time.monotonic() - began)
        verdict.more["exit codes"] = ", ".join(map(str, sorted(codes)))
        return verdict


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--signals", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=50_000)


def main(options: argparse.Namespace) -> bool:
    """Two workers, concurrency 10."""
    kinds = chosen(options, {"Go v2": "go", "ours": "python", "without drain": "no_drain"}, {"ours": "no_drain"})
    columns = {name: drains(kind, options.signals, options.tasks) for name, kind in kinds.items()}
    ours = columns["ours"]
    kept = ours.whole and ours.repeated == 0 and ours.more["exit codes"] == "0"
    return told(f"SIGTERM, {options.tasks} tasks", columns, kept)
