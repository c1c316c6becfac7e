"""RabbitMQ when things go wrong: closed connections, a node that stops, a memory alarm, an absent result store.

What was acknowledged to the sender is done in the end, and a send that RabbitMQ blocks fails within ten seconds.
"""

from __future__ import annotations

import argparse
import signal
import time

from harness.faults import Load, Verdict, table
from harness.process import wait_until
from harness.rabbit_site import RabbitSite

__all__ = ["alarm", "arguments", "closed", "main", "restarts", "store_away"]

QUIET = 25.0
# RabbitMQ is given ten seconds; a little more is the way there and back.
BLOCKED_SECONDS = 11.0
_VHOST = "/"


def closed(kind: str, count: int, *, site: RabbitSite | None = None) -> Verdict:
    """Every connection is closed by the server ``count`` times, under load."""
    with site or RabbitSite() as site:
        for _ in range(2):
            site.worker(kind)
        began = time.monotonic()
        load = Load(site, 10**9, batch=1, backlog=500).start()
        for _ in range(count):
            _some_work(site)
            site.rabbit.close_connections(site.vhost or _VHOST)
        _some_work(site)
        load.stop()
        site.settle(QUIET)
        return load.verdict(faults=count, seconds=time.monotonic() - began)


def restarts(kind: str, count: int, *, believes_all: bool = False) -> Verdict:
    """The node is killed and started again ``count`` times, under load."""
    with RabbitSite() as site:
        for _ in range(2):
            site.worker(kind)
        began = time.monotonic()
        load = Load(site, 10**9, batch=1, backlog=500, believes_all=believes_all).start()
        for _ in range(count):
            _some_work(site)
            site.rabbit.stop()
            site.rabbit.start()
        _some_work(site)
        load.stop()
        site.settle(QUIET)
        return load.verdict(faults=count, seconds=time.monotonic() - began)


def alarm(kind: str, seconds: float, *, site: RabbitSite | None = None, believes_all: bool = False) -> Verdict:
    """The node has too little memory for ``seconds``, and takes nothing from those who publish."""
    with site or RabbitSite() as site:
        for _ in range(2):
            site.worker(kind)
        began = time.monotonic()
        load = Load(site, 10**9, batch=1, backlog=500, believes_all=believes_all).start()
        _some_work(site)
        site.rabbit.control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            time.sleep(seconds)
        finally:
            site.rabbit.control("set_vm_memory_high_watermark", "0.9")
        _some_work(site)
        load.stop()
        site.settle(QUIET)
        verdict = load.verdict(faults=1, seconds=time.monotonic() - began)
        verdict.more = {"slowest send, seconds": round(load.slowest, 1)}
        return verdict


def store_away(kind: str, tasks: int, seconds: float, *, site: RabbitSite | None = None) -> Verdict:
    """The result store goes when some of the tasks are done, for ``seconds``."""
    with site or RabbitSite() as site:
        # So that the queue is there.
        site.worker(kind).stop()
        load = Load(site, tasks, batch=500, backlog=tasks).start()
        load.finish()
        began = time.monotonic()
        workers = [site.worker(kind) for _ in range(2)]
        wait_until(lambda: site.executions() >= tasks // 50, 60, "some of the tasks", interval=0.002)
        # They would be done with the rest before it has gone.
        for worker in workers:
            worker.signal(signal.SIGSTOP)
        site.redis.stop()
        for worker in workers:
            worker.signal(signal.SIGCONT)
        time.sleep(seconds)
        for worker in workers:
            worker.signal(signal.SIGSTOP)
        site.redis.start()
        settled = tasks - site.messages()
        stored = site.states(list(load.uuids.values())).count("SUCCESS")
        for worker in workers:
            worker.signal(signal.SIGCONT)
        site.settle(QUIET)
        verdict = load.verdict(faults=1, seconds=time.monotonic() - began)
        verdict.more = {"acknowledged early": max(0, settled - stored)}
        return verdict


def _some_work(site: RabbitSite, count: int = 40) -> None:
    """Go on when tasks are being done, but do not wait for ever: workers of others may be stuck."""
    seen = site.executions()
    deadline = time.monotonic() + 15
    while site.executions() < seen + count and time.monotonic() < deadline:
        time.sleep(0.01)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--closes", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--alarm", type=float, default=30.0, help="seconds")
    parser.add_argument("--tasks", type=int, default=5_000, help="while the result store is away")
    parser.add_argument("--seconds", type=float, default=60.0, help="without a result store")


def main(options: argparse.Namespace) -> bool:
    """Two workers, concurrency 10; the sender is ours."""
    good = True
    for title, run in (
        ("connections closed", lambda kind: closed(kind, options.closes)),
        ("node killed", lambda kind: restarts(kind, options.restarts)),
        ("memory alarm", lambda kind: alarm(kind, options.alarm)),
        ("result store away", lambda kind: store_away(kind, options.tasks, options.seconds)),
    ):
        columns = {"Go v2": run("go"), "ours": run("python")}
        print(table(f"RabbitMQ: {title}", columns), end="\n\n")
        ours = columns["ours"]
        slowest = ours.more.get("slowest send, seconds", 0)
        good = good and ours.whole and slowest <= BLOCKED_SECONDS and not ours.more.get("acknowledged early", 0)
    return good
