"""RabbitMQ when things go wrong: closed connections, a node that stops, a memory alarm, an absent result store.

What was acknowledged to the sender is done in the end, and a send that RabbitMQ blocks fails within ten seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from unittest import mock

from harness.faults import Load, Verdict
from harness.process import Process, wait_until
from harness.rabbit_site import RabbitSite

from benchmarks.faults.verdicts import chosen, together, told
from gomachinery_py.ports import amqp_publisher, amqp_run
from gomachinery_py.ports.amqp_run import ANSWER_SECONDS

__all__ = ["alarm", "arguments", "closed", "main", "restarts", "store_away"]

QUIET = 25.0
# RabbitMQ is given ten seconds; a little more is the way there and back.
BLOCKED_SECONDS = 11.0
# Longer than any alarm here.
UNLIMITED = 3600.0
_VHOST = "/"
# A send that takes so long is one that waits.
_BLOCKED_AT = 0.5
# What is sent to workers that sleep.
_SENT_ASLEEP = 200


def closed(kind: str, count: int, *, site: RabbitSite | None = None) -> Verdict:
    """Every connection is closed by the server ``count`` times, under load.

    Every other time the workers sleep, so that what they were sent meanwhile comes to them with the end.
    """
    with site or RabbitSite() as site:
        workers = [site.worker(kind) for _ in range(2)]
        began = time.monotonic()
        load = Load(site, 10**9, batch=1, backlog=500).start()
        for number in range(count):
            _some_work(site)
            with _asleep(workers, load) if number % 2 == 0 else contextlib.nullcontext():
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


def alarm(
    kind: str,
    seconds: float,
    *,
    site: RabbitSite | None = None,
    believes_all: bool = False,
    patience: float = ANSWER_SECONDS,
) -> Verdict:
    """The node has too little memory and takes nothing from those who publish, for ``seconds`` once a send waits.

    No send waits for longer than ``patience`` seconds.
    """
    with site or RabbitSite() as site, _patient(patience):
        for _ in range(2):
            site.worker(kind)
        began = time.monotonic()
        load = Load(site, 10**9, batch=1, backlog=500, believes_all=believes_all).start()
        _some_work(site)
        site.rabbit.control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            wait_until(lambda: load.blocked > _BLOCKED_AT or load.refused, 60, "a send that is blocked")
            time.sleep(seconds - _BLOCKED_AT)
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


@contextlib.contextmanager
def _asleep(workers: Sequence[Process], load: Load) -> Iterator[None]:
    """While so many tasks are sent, and what comes after."""
    for worker in workers:
        worker.signal(signal.SIGSTOP)
    try:
        before = len(load.uuids)
        wait_until(lambda: len(load.uuids) >= before + _SENT_ASLEEP, 60, "tasks for workers that sleep")
        yield
    finally:
        for worker in workers:
            worker.signal(signal.SIGCONT)


@contextlib.contextmanager
def _patient(seconds: float) -> Iterator[None]:
    """So long the senders of this process wait for RabbitMQ."""
    with (
        mock.patch.object(amqp_run, "ANSWER_SECONDS", seconds),
        mock.patch.object(amqp_publisher, "ANSWER_SECONDS", seconds),
    ):
        yield


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
    all_kept = []
    for title, run, sabotage in (
        ("connections closed", partial(closed, count=options.closes), {"kind": "auto_ack"}),
        ("node killed", partial(restarts, count=options.restarts), {"believes_all": True}),
        ("memory alarm", partial(alarm, seconds=options.alarm), {"patience": UNLIMITED}),
        (
            "result store away",
            partial(store_away, tasks=options.tasks, seconds=options.seconds),
            {"kind": "no_result_needed"},
        ),
    ):
        runs = chosen(
            options, {"Go v2": {"kind": "go"}, "ours": {"kind": "python"}}, {"ours": {"kind": "python", **sabotage}}
        )
        columns = {name: run(**arguments) for name, arguments in runs.items()}
        ours = columns["ours"]
        slowest = ours.more.get("slowest send, seconds", 0)
        kept = ours.whole and slowest <= BLOCKED_SECONDS and not ours.more.get("acknowledged early", 0)
        all_kept.append(told(f"RabbitMQ: {title}", columns, kept))
    return together(options, all_kept)
