"""Malformed messages among as many good tasks: every good one is done, no bad one is lost, no key of others touched.

Each bad one lies among the dead letters byte for byte, ends as FAILURE, or turns out to be a task after all. Go
workers get the same kinds, one of each: they die of them, or consume no more.
"""

from __future__ import annotations

import argparse
import random
import time
from functools import partial

from harness import hostile
from harness.faults import Site, Verdict, memory_mib
from harness.go_worker import GoWorker
from harness.hostile import CUSTOM_QUEUE, DEAD, Message
from harness.process import wait_until
from harness.python_worker import PythonWorker
from harness.trial import DEAD_KEY, REGISTERED, Trial

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "main"]

SEED = 20240601
GARBAGE = 1_000


def ours(count: int, kind: str = "python") -> Verdict:
    """So many bad messages and as many good ones through one worker of ours."""
    with Site() as site:
        worker = site.worker(kind, lease=30, arguments=("-q", CUSTOM_QUEUE))
        assert isinstance(worker, PythonWorker)
        before = memory_mib(worker.pid)
        kinds, dice = list(hostile.kinds()), random.Random(SEED)
        garbage = [Message("garbage", b"\xff" + dice.randbytes(dice.randrange(300)), DEAD) for _ in range(GARBAGE)]
        mutations = hostile.mutations(max(0, count - len(kinds) - GARBAGE), SEED, REGISTERED)
        trial = Trial(site.redis, [*kinds, *garbage, *mutations], SEED)
        began = time.monotonic()
        for body in trial.bodies():
            trial.client.rpush(hostile.QUEUE, body)
        trial.settle(worker, 30 + count / 200)
        trial.check()
        return Verdict(
            acknowledged=len(trial.good),
            unfinished=sum(trial.state(uuid)["State"] != "SUCCESS" for uuid in trial.good),
            seconds=time.monotonic() - began,
            more={
                "bad messages": len(trial.messages),
                "dead letters": trial.client.llen(DEAD_KEY),
                "worker": "consumes" if worker.consumes(30) else "stuck",
                "memory before, MiB": before,
                "most memory, MiB": memory_mib(worker.pid, "VmHWM"),
            },
        )


def theirs() -> Verdict:
    """One of each kind, and as many good ones, through one Go worker."""
    with Site() as site:
        kinds = [message for message in hostile.kinds() if len(message.body) < 1_000_000]
        trial = Trial(site.redis, kinds, SEED)
        began = time.monotonic()
        for body in trial.bodies():
            trial.client.rpush(hostile.QUEUE, body)
        worker = site.worker("go-redigo")
        assert isinstance(worker, GoWorker)
        wait_until(lambda: not worker.alive or not worker.consumes(1), 60, "a Go worker that ends or stops")
        return Verdict(
            acknowledged=len(trial.good),
            unfinished=sum(trial.state(uuid)["State"] != "SUCCESS" for uuid in trial.good),
            seconds=time.monotonic() - began,
            more={"bad messages": len(kinds), "worker": "stuck" if worker.alive else "dead"},
        )


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figure is the default."""
    parser.add_argument("--messages", type=int, default=100_000, help="bad ones, and as many good ones")


def main(options: argparse.Namespace) -> bool:
    """One worker, concurrency 10."""
    try:
        runs = chosen(
            options,
            {"Go v2": theirs, "ours": partial(ours, options.messages)},
            {"ours": partial(ours, options.messages, "no_dead_letters")},
        )
        columns = {name: run() for name, run in runs.items()}
    except AssertionError as error:
        print(f"a message is not where it belongs: {error}")
        return False
    kept = columns["ours"].unfinished == 0 and columns["ours"].more["worker"] == "consumes"
    return told("malformed messages among good ones", columns, kept)
