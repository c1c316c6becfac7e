"""What a worker says of itself to whoever watches a fleet: one small JSON document for each of its queues.

It goes to the broker with the sign of life, every few seconds, so that no task pays for it; so do the tasks that have
failed for good since the last one. Read by ``gomachinery top``.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["Failure", "Work", "WorkerReport", "WorkerSign"]


@dataclass(frozen=True, slots=True)
class WorkerSign:
    """A worker of a queue: its name, the seconds since its last sign of life, and its report as it lies there."""

    name: str
    age: float
    report: bytes | None


class _Document:
    """A frozen dataclass that is written as a JSON object; whoever reads passes over what it does not know."""

    __slots__ = ()

    def written(self) -> bytes:
        return json.dumps(asdict(self)).encode()  # type: ignore[call-overload]

    @classmethod
    def read(cls, document: bytes) -> Self | None:
        """What was written, or None when it was not by us."""
        try:
            found = json.loads(document)
            kinds: Mapping[str, Any] = cls.__annotations__
            values = {name: found[name] for name in kinds}
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        for name, kind in kinds.items():
            value = values[name]
            if isinstance(value, bool) or not isinstance(value, {"str": str, "int": int}.get(kind, (int, float))):
                return None
        return cls(**values)


@dataclass(frozen=True, slots=True)
class WorkerReport(_Document):
    """How a worker does on one queue.

    Attributes:
        host: its machine.
        pid: its process.
        started: unix seconds when it began.
        concurrency: tasks at once.
        running: calls under way, of all its queues.
        held: messages of this queue that it has taken and not settled.
        done: tasks of this queue that ended in SUCCESS, since it began.
        failed: likewise in FAILURE.
        retried: runs that were put off to another try.
        dead: messages that became dead letters.
        per_second: runs of this queue that ended, a second, since the report before.
    """

    host: str
    pid: int
    started: float
    concurrency: int
    running: int
    held: int
    done: int
    failed: int
    retried: int
    dead: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Failure(_Document):
    """A task that has failed for good: unix seconds, its worker, and what was stored, shortened."""

    time: float
    worker: str
    uuid: str
    name: str
    error: str


@dataclass(slots=True)
class Work:
    """Makes one worker's reports out of its counts."""

    concurrency: int
    started: float = field(default_factory=time.time)
    _last: dict[str, tuple[float, int]] = field(default_factory=dict)

    def report(self, queue: str, counts: Mapping[tuple[str, str], int], running: int, held: int) -> WorkerReport:
        """The next one for a queue; ``counts`` are those of ``Observers``."""
        done, failed, retried, dead = (
            counts.get((queue, ending), 0) for ending in ("SUCCESS", "FAILURE", "RETRY", "DEAD")
        )
        now, ended = time.monotonic(), done + failed + retried
        before, ended_before = self._last.get(queue, (now, ended))
        self._last[queue] = now, ended
        return WorkerReport(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self.started,
            concurrency=self.concurrency,
            running=running,
            held=held,
            done=done,
            failed=failed,
            retried=retried,
            dead=dead,
            per_second=round((ended - ended_before) / (now - before), 2) if now > before else 0.0,
        )
