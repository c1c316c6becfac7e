"""Tasks that kill their worker among innocent ones; workers are started again until all is settled.

Only those that kill may become dead letters. That every innocent task is SUCCESS in the end is read from the result
store, and what is dead from the dead letters themselves.
"""

from __future__ import annotations

import argparse
import time

from harness.faults import CONCURRENCY, QUEUE, Site, Verdict, Worker
from harness.process import wait_until

from benchmarks.faults.verdicts import chosen, told
from gomachinery_py import wire

__all__ = ["arguments", "main", "poison"]

# The innocent ones still run when the worker dies.
INNOCENT_MS = 500
GUILTY_MS = 150
LIMIT_SECONDS = 600.0
QUIET_SECONDS = 10.0


def poison(kind: str, innocent: int, *, guilty: int = 1, fleet: int = 1) -> Verdict:
    """``innocent`` tasks with ``guilty`` ones spread among the first of them, over ``fleet`` workers of one kind."""
    with Site() as site:
        server = site.server()

        @server.remote("sleep_ms")
        def sleep_ms(milliseconds: int) -> int:
            raise NotImplementedError

        @server.remote("kill_worker")
        def kill_worker(milliseconds: int) -> None:
            raise NotImplementedError

        good: list[str] = []
        bad: list[str] = []
        for _ in range(guilty):
            good += [sent.uuid for sent in server.send_many(sleep_ms, [(INNOCENT_MS,)] * (CONCURRENCY // 2))]
            bad.append(kill_worker.send(GUILTY_MS).uuid)
        good += [sent.uuid for sent in server.send_many(sleep_ms, [(INNOCENT_MS,)] * (innocent - len(good)))]
        began = time.monotonic()
        workers: list[Worker] = [site.worker(kind) for _ in range(fleet)]
        deaths = 0
        changed = (time.monotonic(), 0)

        def is_settled() -> bool:
            nonlocal deaths, changed
            for at, worker in enumerate(workers):
                if not worker.alive:
                    deaths += 1
                    workers[at] = site.worker(kind)
            ended = site.states(good).count("SUCCESS") + site.dead()
            if ended != changed[1] or site.unsettled():
                changed = (time.monotonic(), ended)
            # What Go's worker took with it comes nowhere.
            return ended >= len(good) + len(bad) or time.monotonic() > changed[0] + QUIET_SECONDS

        wait_until(is_settled, LIMIT_SECONDS, "the end of every task", interval=0.02)
        letters = site.redis.client.lrange(f"{{{QUEUE}}}:gmpy:dead", 0, -1)
        dead = {wire.decode_signature(letter).uuid for letter in letters}
        return Verdict(
            acknowledged=len(good) + len(bad),
            unfinished=sum(state != "SUCCESS" for state in site.states(good)),
            left=site.unsettled(),
            dead=len(letters),
            faults=deaths,
            seconds=time.monotonic() - began,
            more={
                "innocent and dead": len(dead & set(good)),
                "guilty and not dead": len(set(bad) - dead),
                "still marked": site.redis.client.exists(f"{{{QUEUE}}}:gmpy:alone", f"{{{QUEUE}}}:gmpy:attempts"),
            },
        )


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--innocent", type=int, default=400)
    parser.add_argument("--guilty", type=int, default=3)


def main(options: argparse.Namespace) -> bool:
    """Two workers, concurrency 10; Go's, and ours."""
    fleets = chosen(options, {"Go v2": "go", "ours": "python"}, {"ours": "no_suspects"})
    columns = {name: poison(kind, options.innocent, guilty=options.guilty, fleet=2) for name, kind in fleets.items()}
    ours = columns["ours"]
    kept = (ours.unfinished, ours.left, ours.dead) == (0, 0, options.guilty)
    return told("tasks that kill their worker", columns, kept)
