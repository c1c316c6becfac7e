"""What ``gomachinery top`` shows at one moment, as plain data."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from gomachinery_py.brokers.base import QueueInfo
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError, WireError
from gomachinery_py.fleet import Failure, WorkerReport
from gomachinery_py.golang.time import Time, format_time
from gomachinery_py.health import reports, run_directory
from gomachinery_py.incoming import brief
from gomachinery_py.server import Server
from gomachinery_py.wire import decode_signature

__all__ = ["Watch"]

T = TypeVar("T")

_FAILURES = 10
_DEAD = 3
# Looking for queues goes through all keys of a Redis.
_FIND_SECONDS = 60.0


class Watch:
    """Looks at a fleet again and again; what only changes tell is the difference from one look to the next.

    Args:
        server: whose broker.
        queues: the queues to watch; all that can be found unless named.
    """

    def __init__(self, server: Server, queues: Sequence[str]) -> None:
        self._broker = server.broker
        self._wanted = list(queues)
        self._found: list[str] = []
        self._look_again = 0.0
        # By queue: when it was counted, and what waited then.
        self._waited: dict[str, tuple[float, int]] = {}
        # By queue: how many dead letters there were, and the last of them: they may be large, and are read once.
        self._dead: dict[str, tuple[int, list[dict[str, Any]]]] = {}

    def look(self) -> dict[str, Any]:
        """One frame; see docs/operations.md for its fields. Raises ServiceUnavailable."""
        infos = self._queues()
        workers = self._workers([info.name for info in infos])
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "error": None,
            "queues": [self._queue(info, workers) for info in infos],
            "delayed": self._delayed(),
            "workers": [_merged(rows) for rows in _by_name(workers)],
            "failures": self._failures([info.name for info in infos]),
            "dead_letters": [letter for info in infos for letter in self._dead_letters(info)],
        }

    def _queues(self) -> list[QueueInfo]:
        if self._wanted:
            return _told(lambda: self._broker.queues(self._wanted)) or []
        now = time.monotonic()
        if self._found and now < self._look_again:
            return _told(lambda: self._broker.queues(self._found)) or []
        infos = _told(lambda: self._broker.queues([])) or []
        self._found, self._look_again = [info.name for info in infos], now + _FIND_SECONDS
        return infos

    def _queue(self, info: QueueInfo, workers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        rates = [row["per_second"] for row in workers if row["queue"] == info.name and row["per_second"] is not None]
        return {
            "queue": info.name,
            "waiting": info.waiting,
            "inflight": info.inflight,
            "dead": info.dead,
            "workers": info.workers,
            "per_second": round(sum(rates), 2) if rates else None,
            "waiting_per_second": self._change(info),
        }

    def _change(self, info: QueueInfo) -> float | None:
        if info.waiting is None:
            return None
        now = time.monotonic()
        before = self._waited.get(info.name)
        self._waited[info.name] = now, info.waiting
        if before is None or now <= before[0]:
            return None
        return round((info.waiting - before[1]) / (now - before[0]), 2)

    def _delayed(self) -> dict[str, Any]:
        due = _told(self._broker.delayed_next)
        return {
            "count": _told(self._broker.delayed_count),
            "next": None if due is None else format_time(Time.from_unix_ns(due)),
        }

    def _workers(self, queues: Sequence[str]) -> list[dict[str, Any]]:
        rows = []
        for queue in queues:
            signs = _told(lambda queue=queue: self._broker.workers(queue))  # type: ignore[misc]
            if signs is None:
                return _on_this_machine()
            for sign in signs:
                report = None if sign.report is None else WorkerReport.read(sign.report)
                rows.append(_row(sign.name, queue, sign.age, report))
        return rows

    def _failures(self, queues: Sequence[str]) -> list[dict[str, Any]] | None:
        rows: list[tuple[float, dict[str, Any]]] = []
        for queue in queues:
            documents = _told(lambda queue=queue: self._broker.failures(queue, _FAILURES))  # type: ignore[misc]
            if documents is None:
                return None
            for failure in filter(None, map(Failure.read, documents)):
                row = {
                    "time": _moment(failure.time),
                    "queue": queue,
                    "worker": failure.worker,
                    "uuid": failure.uuid,
                    "name": failure.name,
                    "error": failure.error,
                }
                rows.append((failure.time, row))
        rows.sort(key=lambda pair: -pair[0])
        return [row for _, row in rows[:_FAILURES]]

    def _dead_letters(self, info: QueueInfo) -> list[dict[str, Any]]:
        known = self._dead.get(info.name)
        if known is None or known[0] != info.dead:
            start = max(0, info.dead - _DEAD)
            letters = (_told(lambda: self._broker.dead(info.name, start, _DEAD)) or []) if info.dead else []
            known = self._dead[info.name] = info.dead, [_letter(info.name, *each) for each in reversed(letters)]
        return known[1]


def _told(ask: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    """What a broker says; None where it cannot."""
    try:
        return run(ask())
    except (NotImplementedError, ServiceError):
        return None


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _letter(queue: str, body: bytes, reason: str) -> dict[str, Any]:
    try:
        signature = decode_signature(body)
        uuid, name = brief(signature.uuid), brief(signature.name)
    except WireError:
        uuid, name = "", ""
    return {"queue": queue, "uuid": uuid, "name": name, "reason": brief(reason, 300)}


def _row(name: str, queue: str, age: float, report: WorkerReport | None) -> dict[str, Any]:
    told = {field: None if report is None else getattr(report, field) for field in _REPORTED}
    started = None if report is None else _moment(report.started)
    return {"worker": name, "queue": queue, "sign_of_life_seconds": round(age, 1), "started": started, **told}


_REPORTED = ("host", "pid", "concurrency", "running", "held", "done", "failed", "retried", "dead", "per_second")
_SUMMED = ("held", "done", "failed", "retried", "dead", "per_second")


def _by_name(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    workers: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        workers.setdefault(row["worker"], []).append(row)
    return list(workers.values())


def _merged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One worker, of all its queues."""
    merged = {name: value for name, value in rows[0].items() if name != "queue"}
    merged["queues"] = [queue for row in rows for queue in row.get("queues", [row["queue"]])]
    for name in _SUMMED:
        known = [row[name] for row in rows if row[name] is not None]
        merged[name] = round(sum(known), 2) if known else None
    merged["sign_of_life_seconds"] = min(row["sign_of_life_seconds"] for row in rows)
    return merged


def _on_this_machine() -> list[dict[str, Any]]:
    """Where the broker names no workers: those that say on this machine that they are well, whatever they consume."""
    now = time.time()
    return [
        {
            **_row(each.worker, "", now - each.time, None),
            "queues": each.queues,
            "started": _moment(each.started),
            "pid": each.pid,
            "running": each.running,
            "held": each.held,
        }
        for each in reports(run_directory())
        if each.problem(now, ready=False) is None
    ]
