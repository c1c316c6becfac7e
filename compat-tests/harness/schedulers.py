"""Schedulers of periodic tasks, in Go and in Python, and what Redis saw of them."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gobuild

from harness.go_worker import go_flags
from harness.process import Process, wait_until
from harness.python_worker import python_environment
from harness.redis_server import RedisServer
from harness.signatures import Document

__all__ = ["PROGRAM", "GoScheduler", "PythonScheduler", "Watch", "watching"]

#: What a Go scheduler's file is called; ours is told to say the same.
PROGRAM = "scheduler"
READY_SECONDS = 60.0
_numbers = itertools.count(1)


class GoScheduler(Process):
    """An unmodified Machinery server with periodic tasks, and a lock on ``redis``; registered once constructed.

    Args:
        redis: the server that it sends to.
        directory: an existing directory for its log.
        version: ``v1`` or ``v2``.
        plan: ``kind`` (task, chain, group, chord), ``spec``, ``name``, ``signatures``, ``callback``, ``concurrency``.
    """

    def __init__(self, redis: RedisServer, directory: Path, version: str, plan: Sequence[Document]) -> None:
        flags = go_flags(redis, version, "redigo", {"lock": redis.url()})
        name = f"go-scheduler-{version}-{next(_numbers)}"
        super().__init__([gobuild.binary(PROGRAM), *flags], name=name, directory=directory)
        self.write_line(json.dumps(plan))
        line = self.read_line(READY_SECONDS)
        if line != "READY":
            raise self.failed(f"said {line!r} instead of READY")


class PythonScheduler(Process):
    """``gomachinery beat`` with the same plan, as a user starts it."""

    def __init__(self, redis: RedisServer, directory: Path, plan: Sequence[Document]) -> None:
        command = [sys.executable, "-m", "gomachinery_py", "beat", "python_periodic:server", "--program", PROGRAM]
        super().__init__(
            command,
            name=f"python-scheduler-{next(_numbers)}",
            directory=directory,
            env=python_environment(redis, plan=json.dumps(plan)),
        )
        try:
            wait_until(lambda: "periodic tasks" in self.log or not self.alive, READY_SECONDS, "a scheduler")
        except AssertionError as error:
            raise self.failed("did not begin") from error
        if not self.alive:
            raise self.failed("did not begin")


@dataclass
class Watch:
    """What ``MONITOR`` showed of one lock and one queue, in order: the values that were tried, and ``None`` for a
    push."""

    events: list[int | None] = field(default_factory=list)

    def periods(self) -> list[int]:
        """Each period that a scheduler asked for, by its end, as it was first seen."""
        return list(dict.fromkeys(event for event in self.events if event is not None))

    def pushes(self) -> int:
        return self.events.count(None)

    def troubles(self) -> list[str]:
        """Where a period had no tick, or more than one."""
        seen: set[int] = set()
        pushes = 0
        found: list[str] = []
        for event in self.events:
            if event is None:
                pushes += 1
                if pushes > len(seen):
                    found.append(f"tick {pushes} came in period {len(seen)}")
            elif event not in seen:
                if pushes < len(seen) - 1:
                    found.append(f"period {len(seen)} began after {pushes} ticks")
                seen.add(event)
        if pushes != len(seen):
            found.append(f"{len(seen)} periods, {pushes} ticks")
        return found


@contextmanager
def watching(redis: RedisServer, lock: str, queue: str) -> Iterator[Watch]:
    """Watch a lock and a queue of the default database while the block runs."""
    watch, ended = Watch(), "end of watching"
    began = threading.Event()

    def listen() -> None:
        with redis.connect() as client, client.monitor() as monitor:
            began.set()
            for event in monitor.listen():
                command = event["command"]
                words = command.split(" ")
                if command.endswith(ended):
                    return
                if words[0].upper() == "SET" and f" {lock} " in command and words[-1].upper() == "NX":
                    watch.events.append(int(command.partition(f" {lock} ")[2].split(" ")[0]))
                elif words[0].upper() == "RPUSH" and words[1] == queue:
                    watch.events.append(None)

    thread = threading.Thread(target=listen, name="monitor")
    thread.start()
    began.wait(10)
    try:
        yield watch
    finally:
        redis.client.echo(ended)
        thread.join(10)
