"""SIGSTOP of a worker past its lease, then SIGCONT: others do its tasks meanwhile, and what it writes is not taken.

A stale write is any state of a task after its SUCCESS, or its callback on the queue once more; both are read from
Redis' own journal of commands.
"""

from __future__ import annotations

import argparse
import signal
import time
import uuid
from collections import Counter
from typing import Any

from harness.faults import LEASE, Site, Verdict
from harness.journal import Change, Journal
from harness.process import wait_until
from harness.signatures import push, signature

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "main", "sleeps"]

TASKS = 4
MILLISECONDS = 300


def sleeps(kind: str, rounds: int, *, helper: str = "python") -> Verdict:
    """Each round: a worker of ``kind`` begins four tasks, sleeps, a helper comes, the worker wakes."""
    verdict = Verdict(faults=rounds)
    with Site() as site:
        client: Any = site.redis.client
        began = time.monotonic()
        awake = site.worker(kind, concurrency=TASKS)
        done_meanwhile = stale = 0
        for _ in range(rounds):
            uuids = [f"task_{uuid.uuid4()}" for _ in range(TASKS)]
            with Journal(site.redis) as journal:
                for each in uuids:
                    after = signature("record", ("string", each), UUID=f"{each}-after")
                    fields = {"UUID": each, "OnSuccess": [after], "Immutable": True}
                    push(client, awake.queue, signature("sleep_ms", ("int64", MILLISECONDS), **fields))
                wait_until(lambda all=uuids: set(site.states(all)) == {"STARTED"}, 20, "all begun", interval=0.002)
                awake.signal(signal.SIGSTOP)
                other = site.worker(helper, concurrency=TASKS)
                deadline = time.monotonic() + 4 * LEASE
                while set(site.states(uuids)) != {"SUCCESS"} and time.monotonic() < deadline:
                    time.sleep(0.02)
                done_meanwhile += site.states(uuids).count("SUCCESS")
                if helper != "go":
                    other.stop()
                awake.signal(signal.SIGCONT)
                wait_until(lambda all=uuids: set(site.states(all)) == {"SUCCESS"}, 20, "all done")
                # What it has to say about the old ones it says before it is done with new ones.
                assert awake.consumes(20), awake.failed("does nothing after its sleep")
                time.sleep(MILLISECONDS / 1000)
                stale += _stale(journal.changes(), uuids)
                other.kill()
            verdict.acknowledged += TASKS
        executed = site.executed()
        verdict.lost = verdict.acknowledged - len(executed)
        verdict.repeated = sum(executed.values()) - len(executed)
        verdict.left = site.unsettled()
        verdict.seconds = time.monotonic() - began
        verdict.more = {"done while it slept": done_meanwhile, "stale writes": stale}
        return verdict


def _stale(changes: list[Change], uuids: list[str]) -> int:
    """Writes of a task's state after its SUCCESS, and pushes of its callback beyond the first."""
    ended: set[str] = set()
    count = 0
    pushes: Counter[str] = Counter()
    for change in changes:
        if change.verb == "set" and change.key in uuids:
            count += change.key in ended
            if '"State":"SUCCESS"' in change.value:
                ended.add(change.key)
        elif change.verb == "rpush":
            pushes.update(each for each in uuids if change.value.startswith(f'{{"UUID":"{each}-after"'))
    return count + sum(pushed - 1 for pushed in pushes.values())


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table names no figure but 0 stale writes."""
    parser.add_argument("--rounds", type=int, default=10)


def main(options: argparse.Namespace) -> bool:
    """Go has no lease: its tasks wait until the sleeper wakes."""
    kinds = chosen(options, {"Go v2": "go", "ours": "python", "without fence": "no_fence"}, {"ours": "no_fence"})
    columns = {
        name: sleeps(kind, options.rounds, helper="go" if kind == "go" else "python") for name, kind in kinds.items()
    }
    ours = columns["ours"]
    kept = ours.lost == 0 and ours.more == {"done while it slept": ours.acknowledged, "stale writes": 0}
    return told("SIGSTOP past the lease, SIGCONT", columns, kept)
