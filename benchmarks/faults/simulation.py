"""Many seeds of the simulated fleet, on all processors; needs no server.

A seed that breaks a promise is printed with what it broke; ``--first SEED --seeds 1`` repeats it.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path

# The simulation is pure: it imports the engine, and neither pytest nor any test.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from simulation import Report, Safeguards, simulate

__all__ = ["arguments", "main"]

_PART = 50


def _part(first: int, last: int, crash_safe: bool) -> list[Report]:
    logging.disable(logging.CRITICAL)
    return [simulate(seed, Safeguards(crash_safe=crash_safe)) for seed in range(first, last)]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figure is the default."""
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")


def main(options: argparse.Namespace) -> bool:
    """Print what was tried and every promise that was broken; Go's way of taking tasks beside."""
    last = options.first + options.seeds
    safe = not options.sabotaged
    parts = [(start, min(start + _PART, last), safe) for start in range(options.first, last, _PART)]
    began = time.monotonic()
    broken = executions = repeated = 0
    faults: Counter[str] = Counter()
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for reports in pool.starmap(_part, parts, chunksize=1):
            for report in reports:
                executions += report.executions
                repeated += report.repeated
                faults += report.faults
                if report.violations:
                    broken += 1
                    print(f"seed {report.seed}: {'; '.join(report.violations)}")
    logging.disable(logging.CRITICAL)
    few = range(options.first, options.first + min(options.seeds, 100))
    unsafe = sum(bool(simulate(seed, Safeguards(crash_safe=False)).violations) for seed in few)
    print(f"{options.seeds} seeds in {time.monotonic() - began:.0f} s, {executions} executions, {repeated} repeats")
    print("faults: " + ", ".join(f"{count} × {kind}" for kind, count in faults.most_common()))
    print(f"seeds that broke a promise: ours {broken} of {options.seeds}, as Go takes tasks {unsafe} of {len(few)}")
    return broken == 0
