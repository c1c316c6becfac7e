"""A million tasks waiting, a million delayed, and payloads of 16 MiB: a worker needs no more memory, nor more time.

Memory is the most that the worker ever had, compared with a worker that had nothing but a few tasks to do. Speed is
the rate at which it does the first tasks of a queue, short or long.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from harness.faults import QUEUE, Site, Verdict, memory_mib
from harness.process import wait_until
from harness.signatures import signature

from benchmarks.faults.verdicts import chosen, told

__all__ = ["arguments", "main", "payloads", "waiting"]

FEW = 5_000
MORE_MIB = 20.0
PAYLOAD = 16 * 1024 * 1024 - 1024
_PAGE = 5_000


def waiting(kind: str, tasks: int, delayed: int, *, rounds: int = 1) -> Verdict:
    """``tasks`` wait and ``delayed`` are due in a year; the rate over the first FEW, the best of ``rounds``."""
    with Site() as site:
        client: Any = site.redis.client
        _fill(client, tasks + FEW * rounds, delayed)
        worker = site.worker(kind, concurrency=10)
        # What the first few cost is the start's affair.
        left = client.llen(QUEUE)
        rates = []
        for _ in range(rounds):
            began, first = time.monotonic(), left
            goal = max(0, left - FEW)
            wait_until(lambda goal=goal: client.llen(QUEUE) <= goal, 120, f"{FEW} tasks taken", interval=0.005)
            left = client.llen(QUEUE)
            rates.append((first - left) / (time.monotonic() - began))
        # What has left the queue may be on its way to the worker; once a task is done, all that came with it is there.
        wait_until(lambda: site.states(["task_w0"]) == ["SUCCESS"], 120, "a task that is done")
        most = memory_mib(worker.pid, "VmHWM")
        worker.kill()
        return Verdict(more={"waiting": tasks, "delayed": delayed, "tasks/s": max(rates), "most memory, MiB": most})


def payloads(kind: str, count: int, **settings: Any) -> Verdict:
    """``count`` tasks with one text of 16 MiB each; the most memory, and how many are done."""
    with Site() as site:
        client: Any = site.redis.client
        began = time.monotonic()
        worker = site.worker(kind, concurrency=10, lease=30, **settings)
        idle = memory_mib(worker.pid)
        text = "x" * (PAYLOAD - 200)
        uuids = [f"task_large_{number}" for number in range(count)]
        for each in uuids:
            client.rpush(
                QUEUE, json.dumps(signature("return_just_error", ("string", text), ("bool", False), UUID=each))
            )
        deadline = time.monotonic() + 120
        while site.states(uuids).count("SUCCESS") < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return Verdict(
            acknowledged=count,
            unfinished=count - site.states(uuids).count("SUCCESS"),
            seconds=time.monotonic() - began,
            more={"idle, MiB": idle, "most memory, MiB": memory_mib(worker.pid, "VmHWM")},
        )


def _fill(client: Any, tasks: int, delayed: int) -> None:
    pipeline = client.pipeline(transaction=False)
    later = (time.time_ns() // 10**9 + 365 * 86_400) * 10**9
    for start in range(0, max(tasks, delayed), _PAGE):
        numbers = range(start, start + _PAGE)
        bodies = [json.dumps(signature("noop", UUID=f"task_w{number}")) for number in numbers if number < tasks]
        if bodies:
            pipeline.rpush(QUEUE, *bodies)
        members = {
            json.dumps(signature("noop", UUID=f"task_d{number}")): later + number
            for number in numbers
            if number < delayed
        }
        if members:
            pipeline.zadd("delayed_tasks", members)
        pipeline.execute()


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--delayed", type=int, default=1_000_000)
    parser.add_argument("--payloads", type=int, default=64)


def main(options: argparse.Namespace) -> bool:
    """One worker, concurrency 10."""
    columns = {}
    kinds = chosen(options, {"Go v2": "go", "ours": "python"}, {"ours": "takes_all"})
    for name, kind in kinds.items():
        columns[f"{name}, few"] = waiting(kind, FEW, 0, rounds=3)
        columns[f"{name}, many"] = waiting(kind, options.tasks, options.delayed, rounds=3)
        # Once more: other processes run here, too.
        columns[f"{name}, few again"] = waiting(kind, FEW, 0, rounds=3)
    few, many = columns["ours, few"].more, columns["ours, many"].more
    slower = min(few["tasks/s"], columns["ours, few again"].more["tasks/s"])
    kept = many["most memory, MiB"] <= few["most memory, MiB"] + MORE_MIB and many["tasks/s"] >= 0.9 * slower
    kept = told("waiting and delayed", columns, kept)
    if options.sabotaged:
        return kept
    large = {name: payloads(kind, options.payloads) for name, kind in kinds.items()}
    return told(f"{options.payloads} × 16 MiB", large, large["ours"].unfinished == 0) and kept
