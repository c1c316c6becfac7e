"""What every fault test is made of: a site with workers, a load of numbered tasks, and a checker that reads the log.

The log is append-only and lies on a Redis of its own, which no fault touches: each execution of the task ``record``
appends its number there. What was acknowledged to the sender, what was executed, and the states in the result store
are compared afterwards.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from pika.exceptions import AMQPError
from redis.backoff import NoBackoff
from redis.retry import Retry

from gomachinery_py import Config, Server
from gomachinery_py.errors import PublishError, ServiceUnavailable
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer

__all__ = ["QUEUE", "Load", "Site", "Verdict", "Worker", "cpu_seconds", "memory_mib", "table"]

QUEUE = "machinery_tasks"
RECORDS = "test:records"
INFLIGHT = f"{{{QUEUE}}}:gmpy:inflight:*"
LEASE = 2
CONCURRENCY = 10
_PAGE = 5_000
_BACKLOG = 2_000
# What a worker of this concurrency holds at most; the tasks of one that died come first.
_TAKEN_AT_ONCE = 4 * CONCURRENCY

Worker = GoWorker | PythonWorker


class Site:
    """A Redis, one more for the log, and whatever runs on them; a context manager.

    Args:
        append_only: every write to the Redis is on disk before it is answered.
        results: the result store is a third Redis, append-only.
        read_timeout: seconds that Python waits for an answer.
    """

    def __init__(self, *, append_only: bool = False, results: bool = False, read_timeout: int = 15) -> None:
        self.stack = ExitStack()
        self._read_timeout = read_timeout
        self.redis = self._redis(append_only)
        self.log = self._redis(False)
        self.results = self._redis(True) if results else self.redis
        self.directory = self._directory()
        # Without redis-py's own retries, which would keep a sender waiting.
        self._watch: Any = redis.Redis("127.0.0.1", self.redis.port, retry=Retry(NoBackoff(), 0))
        self.stack.callback(self._watch.close)
        #: What workers and producers connect to, when that is not the Redis itself.
        self.broker_url = self.redis.url()
        self._numbers = itertools.count(1)
        self._tags: dict[Worker, bytes] = {}

    def _directory(self) -> Path:
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="gmpy-", ignore_cleanup_errors=True)))

    def _redis(self, append_only: bool) -> RedisServer:
        server = RedisServer(self._directory(), append_only=append_only)
        self.stack.callback(server.stop)
        return server

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()

    @property
    def urls(self) -> dict[str, str]:
        """Broker and result store."""
        backend = self.broker_url if self.results is self.redis else self.results.url()
        return {"broker": self.broker_url, "backend": backend}

    def worker(self, kind: str = "python", **settings: Any) -> Worker:
        """One more worker: ``python``, ``go`` (v2, go-redis), ``at-most-once``, or a sabotage of that name."""
        both = {**self.urls, "concurrency": CONCURRENCY, "tag": f"{kind}-{next(self._numbers)}", **settings}
        started: Worker
        if kind.startswith("go"):
            both.pop("lease", None)
            client = kind.partition("-")[2] or "goredis"
            both |= {"normal_poll": 100, "records": self.log.url()}
            started = GoWorker(self.redis, self.directory, "v2", client, **both)
        else:
            both |= {"records": self.log.url(), "read_timeout": self._read_timeout}
            both.setdefault("lease", LEASE)
            if kind == "at-most-once":
                both["crash_safe"] = 0
            elif kind != "python":
                both |= {"app": "sabotaged_tasks:server", "sabotage": kind}
            started = PythonWorker(self.redis, self.directory, **both)
        self.stack.callback(started.kill)
        self._tags[started] = str(both["tag"]).encode() + b"|"
        return started

    def crash(self, worker: Worker) -> None:
        """kill -9, once it has done more than it holds: who dies before that takes the same tasks along again.

        A task whose worker died four times while it ran is a dead letter, as if it had killed them.
        """
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._has_worked(worker), 1, "work of the next victim", interval=0.005)
        worker.kill()

    def _has_worked(self, worker: Worker) -> bool:
        tag = self._tags[worker]
        lines = self.log.client.lrange(RECORDS, -6 * _TAKEN_AT_ONCE, -1)
        return sum(line.startswith(tag) for line in lines) > 2 * _TAKEN_AT_ONCE

    def server(self, *, direct: bool = False) -> Server:
        """A producer of ours, closed with the site; ``direct`` past whatever is between workers and the Redis."""
        broker = self.redis.url() if direct else self.broker_url
        config = {"broker": broker, "result_backend": broker if self.results is self.redis else self.results.url()}
        server = Server(Config.of(**config, redis__read_timeout=self._read_timeout))
        self.stack.callback(server.close)
        return server

    # -- the log --

    def executions(self) -> int:
        """How many there were, repeated ones too."""
        return int(self.log.client.llen(RECORDS))

    def executed(self) -> Counter[str]:
        """How often each line was recorded."""
        found: Counter[str] = Counter()
        for start in range(0, self.executions(), _PAGE):
            for line in self.log.client.lrange(RECORDS, start, start + _PAGE - 1):
                found[line.decode().partition("|")[2]] += 1
        return found

    def waiting(self) -> int:
        """How many tasks wait in the queue; raises while the server is away."""
        return int(self._watch.llen(QUEUE))

    def unsettled(self) -> int:
        """How many tasks wait, are delayed or are in a worker's hands."""
        client = self.redis.client
        held = sum(client.llen(key) for key in client.keys(INFLIGHT.replace("{", "[{]").replace("}", "[}]")))
        return int(client.llen(QUEUE) + client.zcard("delayed_tasks") + held)

    def dead(self) -> int:
        """How many dead letters there are."""
        return int(self.redis.client.llen(f"{{{QUEUE}}}:gmpy:dead"))

    def states(self, uuids: Sequence[str]) -> list[str]:
        """What is stored of each task; empty for nothing."""
        found = []
        for start in range(0, len(uuids), _PAGE):
            for document in self.results.client.mget(uuids[start : start + _PAGE]):
                match = re.search(rb'"State":"(\w+)"', document or b"")
                found.append(match[1].decode() if match else "")
        return found

    def settle(self, quiet: float, limit: float = 600.0) -> None:
        """Wait until nothing is left to do, or nothing has happened for ``quiet`` seconds."""
        most, least = -1, 10**9
        since = began = time.monotonic()
        while True:
            done, left = self.executions(), self.unsettled()
            # To take tasks and put them back is not to get on.
            if done > most or left < least:
                most, least, since = max(most, done), min(least, left), time.monotonic()
            idle = time.monotonic() - since
            if (left == 0 and idle > 0.5) or idle > quiet:
                return
            if time.monotonic() - began > limit:
                raise AssertionError(f"still busy after {limit} s: {left} tasks are left")
            time.sleep(0.05)


@dataclass
class Load:
    """Numbered ``record`` tasks from a thread, ``batch`` at a time, no faster than they are done.

    ``uuids`` are those that were acknowledged, by their number.
    """

    site: Site
    tasks: int
    batch: int = 100
    backlog: int = _BACKLOG
    #: A send that failed counts as acknowledged: what a test of the checker switches on.
    believes_all: bool = False
    #: The number of the first one.
    first: int = 0
    #: Past whatever is between workers and the Redis.
    direct: bool = False
    uuids: dict[int, str] = field(default_factory=dict)
    refused: int = 0
    #: The longest time that one send took, in seconds.
    slowest: float = 0.0
    #: When the send that is under way began; None while there is none.
    began: float | None = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._server = self.site.server(direct=self.direct)
        self._record = self._server.remote("record")(_record)
        self._run_id = uuid.uuid4().hex[:12]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> Load:
        """Begin to send."""
        self._thread.start()
        return self

    def finish(self, timeout: float = 600.0) -> None:
        """Wait until all is sent."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._stopping.set()
            raise AssertionError(f"a send hangs: {len(self.uuids)} of {self.tasks} are sent")
        if self.error is not None:
            raise self.error

    @property
    def going(self) -> bool:
        """Whether it still sends."""
        return self._thread.is_alive()

    @property
    def blocked(self) -> float:
        """How long the send that is under way has taken by now."""
        began = self.began
        return 0.0 if began is None else time.monotonic() - began

    def stop(self, timeout: float = 60.0) -> None:
        """Send nothing more."""
        self._stopping.set()
        self.finish(timeout)

    def _run(self) -> None:
        try:
            sent = 0
            while sent < self.tasks and not self._stopping.is_set():
                count = min(self.batch, self.tasks - sent)
                self._send(range(self.first + sent, self.first + sent + count))
                sent += count
                while self._queue_is_full() and not self._stopping.is_set():
                    time.sleep(0.01)
        except BaseException as error:
            self.error = error

    def _queue_is_full(self) -> bool:
        try:
            return self.site.waiting() > self.backlog
        except (redis.RedisError, AMQPError, OSError):
            return False

    def _send(self, numbers: range) -> None:
        began = self.began = time.monotonic()
        uuids = [f"task_{self._run_id}_{number}" for number in numbers]
        try:
            if len(numbers) == 1:
                self._record.using(uuid=uuids[0]).send(str(numbers[0]))
            else:
                uuids = [sent.uuid for sent in self._server.send_many(self._record, [(str(n),) for n in numbers])]
        except (ServiceUnavailable, PublishError):
            self.refused += len(numbers)
            if not self.believes_all:
                time.sleep(0.02)
                return
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.began = None
        self.uuids.update(zip(numbers, uuids, strict=True))

    # -- the checker --

    def verdict(self, *, faults: int = 0, seconds: float = 0.0) -> Verdict:
        """Compare what was acknowledged with the log and the result store."""
        executed = self.site.executed()
        numbers = sorted(self.uuids)
        states = self.site.states([self.uuids[number] for number in numbers])
        lost = sum(1 for number in numbers if not executed[str(number)])
        return Verdict(
            acknowledged=len(numbers),
            lost=lost,
            unfinished=sum(state != "SUCCESS" for state in states),
            repeated=sum(count - 1 for count in executed.values()),
            left=self.site.unsettled(),
            dead=self.site.dead(),
            refused=self.refused,
            faults=faults,
            seconds=seconds,
        )


def _record(*parts: str) -> None:
    raise NotImplementedError


@dataclass
class Verdict:
    """What the checker found."""

    acknowledged: int = 0
    #: Acknowledged and never executed.
    lost: int = 0
    #: Acknowledged and not SUCCESS in the end.
    unfinished: int = 0
    #: Executions beyond the first of each task.
    repeated: int = 0
    #: Still waiting or in somebody's hands.
    left: int = 0
    #: Among the dead letters.
    dead: int = 0
    refused: int = 0
    faults: int = 0
    seconds: float = 0.0
    #: What else was measured, by name.
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Nothing is lost, everything is done."""
        return (self.lost, self.unfinished, self.left, self.dead) == (0, 0, 0, 0)

    def rows(self) -> dict[str, Any]:
        """For a table."""
        rows = {
            "faults": self.faults,
            "acknowledged": self.acknowledged,
            "lost (never executed)": self.lost,
            "not SUCCESS in the end": self.unfinished,
            "executed again": self.repeated,
            "left in queue or hands": self.left,
            "dead letters": self.dead,
            "sends refused": self.refused,
            "seconds": round(self.seconds, 1),
        }
        return {**rows, **self.more} if self.acknowledged else self.more


def table(title: str, columns: dict[str, Verdict]) -> str:
    """Verdicts side by side."""
    rows = {name: verdict.rows() for name, verdict in columns.items()}
    names = list(dict.fromkeys(name for each in rows.values() for name in each))
    width = max(map(len, [*names, title])) + 2
    widths = {column: max(12, len(column) + 2) for column in columns}
    lines = [f"{title:<{width}}" + "".join(f"{column:>{widths[column]}}" for column in columns)]
    for name in names:
        cells = (_cell(rows[column].get(name, "")).rjust(widths[column]) for column in columns)
        lines.append(f"{name:<{width}}" + "".join(cells))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, name: str = "VmRSS") -> float:
    """Resident memory of a process in MiB; ``VmHWM`` is the most that it ever was."""
    match = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    assert match is not None
    return int(match[1]) / 1024
