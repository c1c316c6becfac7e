"""kill -9 of an append-only Redis under load: what was acknowledged is done, and workers are back soon.

One client sends single tasks all the time. During the last crash it rests, Redis stays away for longer, and the
processor time of the workers is measured.
"""

from __future__ import annotations

import argparse
import time

from harness.faults import LEASE, Load, Site, Verdict, Worker, cpu_seconds
from harness.process import wait_until

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "crashes", "main"]

BACK_SECONDS = 15.0


def crashes(kind: str, count: int, *, away: float = 0.3, last: float = 5.0, believes_all: bool = False) -> Verdict:
    """``count`` crashes, ``away`` seconds each and the last one ``last`` seconds."""
    with Site(append_only=True) as site:
        # As they are by default: what is measured below is how often they try.
        workers = [site.worker(kind, lease=30, delayed_poll=500) for _ in range(2)]
        began = time.monotonic()
        load = Load(site, 10**9, batch=1, believes_all=believes_all).start()
        back: list[float] = []
        for number in range(count):
            seen = site.executions()
            wait_until(lambda seen=seen: site.executions() > seen + 50, 60, "tasks between crashes", interval=0.002)
            site.redis.stop()
            if number < count - 1:
                time.sleep(away)
            else:
                load.stop()
                time.sleep(0.5)
                idle = _cpu(workers, last)
            site.redis.start()
            back.append(_seconds_until_work(site, probe=number == count - 1))
            if back[-1] >= BACK_SECONDS:
                break
        if load.going:
            load.stop()
            idle = float("nan")
        site.settle(quiet=LEASE + 4)
        verdict = load.verdict(faults=len(back), seconds=time.monotonic() - began)
        verdict.more = {
            "slowest return, seconds": "never" if max(back) >= BACK_SECONDS else round(max(back), 1),
            "% of a processor while down": round(100 * idle, 1),
        }
        return verdict


def _cpu(workers: list[Worker], seconds: float) -> float:
    """The busier worker's share of one processor."""
    before = [cpu_seconds(worker.pid) for worker in workers]
    time.sleep(seconds)
    return max(cpu_seconds(worker.pid) - start for worker, start in zip(workers, before, strict=True)) / seconds


def _seconds_until_work(site: Site, *, probe: bool) -> float:
    began, seen = time.monotonic(), site.executions()
    extra = Load(site, 1).start() if probe else None
    while site.executions() == seen and time.monotonic() - began < BACK_SECONDS:
        time.sleep(0.01)
    if extra is not None:
        extra.finish()
    return time.monotonic() - began


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--away", type=float, default=1.0, help="seconds without Redis")
    parser.add_argument("--last", type=float, default=20.0, help="seconds without Redis in the end")


def main(options: argparse.Namespace) -> bool:
    """Go by each of its two clients; ours also with a sender that takes every send for done."""
    senders = chosen(
        options,
        {
            "Go v2, go-redis": ("go", False),
            "Go v2, redigo": ("go-redigo", False),
            "ours": ("python", False),
            "ours, errors ignored": ("python", True),
        },
        {"ours": ("python", True)},
    )
    columns = {
        name: crashes(kind, options.kills, away=options.away, last=options.last, believes_all=believes)
        for name, (kind, believes) in senders.items()
    }
    ours = columns["ours"]
    slowest, idle = ours.more.values()
    kept = ours.whole and slowest != "never" and slowest <= 5 and idle < 5
    return told("Redis kill -9, append-only", columns, kept)
