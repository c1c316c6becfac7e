"""Schedulers of periodic tasks, in Go and in Python, and what Redis saw of them."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import gobuild

from harness.go_worker import go_flags
from harness.process import Process, wait_until
from harness.python_worker import python_environment
from harness.redis_server import RedisServer
from harness.signatures import Document

__all__ = ["PROGRAM", "Attempt", "GoScheduler", "PythonScheduler", "Watch", "watching"]

#: What a Go scheduler's file is called; ours is told to say the same.
PROGRAM = "scheduler"
READY_SECONDS = 60.0
# Between the look at the clock of who asks and the server's.
FREE_AFTER_NS = 50_000_000
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


@dataclass(frozen=True)
class Attempt:
    """One look at the lock: when (Unix seconds of the server), until when it would be held, and what came of it."""

    time: float
    until: int
    acquired: bool


@dataclass
class Watch:
    """What ``MONITOR`` showed of one lock and one queue: time, client, command and value, in order.

    A client that got the lock by SET does not look at it with GET; one that took it over by GETSET gives it a time
    to live.
    Schedulers that were started at different moments have ``@every`` ticks at different moments, too: what they have
    in common is that a tick holds the lock until the next one.
    """

    period_ns: int
    events: list[tuple[float, str, str, int]] = field(default_factory=list)

    def pushes(self) -> int:
        """How many tasks came."""
        return sum(1 for _, _, command, _ in self.events if command == "RPUSH")

    def attempts(self) -> list[Attempt]:
        """Every SET, in order; whether it, or the take-over that it led to, got the lock."""
        found: list[Attempt] = []
        for at, (time, client, command, until) in enumerate(self.events):
            if command != "SET":
                continue
            before = "SET"
            acquired = True
            for _, other, following, _ in self.events[at + 1 :]:
                if other != client or following == "RPUSH":
                    continue
                if following == "SET":
                    break
                # Refused; or, by way of GETSET, taken over.
                acquired = before == "GETSET" and following in ("EXPIRE", "PEXPIRE")
                before = following
                if acquired:
                    break
            found.append(Attempt(time, until, acquired))
        return found

    def ticks(self) -> list[int]:
        """The end of the lock at each tick."""
        return [attempt.until for attempt in self.attempts() if attempt.acquired]

    def longest_gap(self) -> float:
        """Seconds between the ends of two locks that follow each other."""
        return max((after - before) / 1e9 for before, after in pairwise(self.ticks()))

    def troubles(self) -> list[str]:
        """Where a tick came twice, or not though somebody asked for it."""
        found: list[str] = []
        held_until = 0
        for attempt in self.attempts():
            if attempt.acquired:
                if held_until and attempt.until - held_until < self.period_ns:
                    found.append(f"at {attempt.time}: a second tick before {held_until}")
                held_until = attempt.until
            elif attempt.time * 1e9 > held_until + FREE_AFTER_NS:
                found.append(f"at {attempt.time}: refused though free since {held_until}")
        if self.pushes() != len(self.ticks()):
            found.append(f"{len(self.ticks())} locks, {self.pushes()} tasks")
        return found


@contextmanager
def watching(redis: RedisServer, name: str, seconds: int, queue: str) -> Iterator[Watch]:
    """Watch the periodic task ``name``, ``@every`` so many seconds, and its queue while the block runs."""
    watch, ended = Watch(seconds * 1_000_000_000), "end of watching"
    lock = f"machinery_lock_{PROGRAM}{name}@every {seconds}s"
    began = threading.Event()

    def listen() -> None:
        with redis.connect(silence=True) as client, client.monitor() as monitor:
            began.set()
            for event in monitor.listen():
                text: str = event["command"]
                command = text.split(" ")[0].upper()
                where = (float(event["time"]), f"{event['client_address']}:{event['client_port']}", command)
                if text.endswith(ended):
                    return
                if text.startswith(f"{queue} ", len(command) + 1) and command == "RPUSH":
                    watch.events.append((*where, 0))
                elif text.startswith(lock, len(command) + 1):
                    rest = text[len(command) + 1 + len(lock) :].split()
                    watch.events.append((*where, int(rest[0]) if command == "SET" else 0))

    thread = threading.Thread(target=listen, name="monitor", daemon=True)
    thread.start()
    began.wait(10)
    try:
        yield watch
    finally:
        redis.client.echo(ended)
        thread.join(10)
