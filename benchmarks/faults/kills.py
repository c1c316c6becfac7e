"""kill -9 of workers under load: nothing that was acknowledged is lost, and little is repeated.

The victims take turns; each kill comes when a further share of the tasks has been done, and is followed by a new
worker. Beside a Go worker only ours are killed: Go has no way to bring back what a killed worker had popped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from harness.faults import CONCURRENCY, LEASE, Load, Site, Verdict
from harness.process import wait_until

from benchmarks.faults.verdicts import chosen, together, told

__all__ = ["arguments", "kills", "main"]


def kills(fleet: Sequence[str], count: int, tasks: int, *, victims: str = "") -> Verdict:
    """``count`` kills while ``tasks`` tasks are sent and done by a fleet; of the kind ``victims``, or of all."""
    with Site() as site:
        workers = [site.worker(kind) for kind in fleet]
        mortal = [at for at, kind in enumerate(fleet) if victims in ("", kind)]
        began = time.monotonic()
        load = Load(site, tasks).start()
        for number in range(count):
            share = (number + 1) * tasks // (count + 2)
            wait_until(lambda share=share: site.executions() >= share, 60, f"{share} executions", interval=0.005)
            at = mortal[number % len(mortal)]
            site.crash(workers[at])
            workers[at] = site.worker(fleet[at])
        load.finish()
        site.settle(quiet=LEASE + 4)
        return load.verdict(faults=count, seconds=time.monotonic() - began)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=100_000)


def main(options: argparse.Namespace) -> bool:
    """Two workers each, concurrency 10: ours, ours beside Go's, Go's, and ours as Go takes tasks."""
    count, tasks = options.kills, options.tasks
    fleets = chosen(
        options,
        {
            "Go v2": ["go", "go"],
            "ours": ["python", "python"],
            "ours + Go v2": ["python", "go"],
            "crash_safe off": ["at-most-once", "at-most-once"],
        },
        {"ours": ["at-most-once", "at-most-once"], "ours + Go v2": ["at-most-once", "go"]},
    )
    columns = {name: kills(fleet, count, tasks, victims=fleet[0]) for name, fleet in fleets.items()}
    ours = [verdict for name, verdict in columns.items() if "ours" in name]
    kept = [verdict.whole and verdict.repeated <= count * CONCURRENCY for verdict in ours]
    return told(f"kill -9, {tasks} tasks", columns, together(options, kept))
