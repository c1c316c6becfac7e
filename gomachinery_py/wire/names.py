"""Every key, queue, table and default that Machinery uses, each with the Go file it comes from, and our own keys.

Our own keys carry the queue's name in literal braces, so that a Redis cluster keeps them in the queue's slot. Go
ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = [
    "DEFAULT_QUEUE",
    "DELAYED_TASKS_KEY",
    "LOCK_PREFIX",
    "RESULTS_EXPIRE_IN",
    "REVOKED_CHANGED_KEY",
    "REVOKED_KEY",
    "TRIGGER_CHORD_MUTEX",
    "alone_key",
    "arrived_key",
    "attempts_key",
    "chord_mark_key",
    "dead_key",
    "dead_reasons_key",
    "failures_key",
    "inflight_key",
    "is_reserved_key",
    "leaving_key",
    "movers_key",
    "moving_key",
    "queue_of",
    "report_key",
    "workers_key",
]

DEFAULT_QUEUE: Final = "machinery_tasks"  # v2/config/config.go
RESULTS_EXPIRE_IN: Final = 3600  # seconds; v2/config/config.go, DefaultResultsExpireIn
DELAYED_TASKS_KEY: Final = "delayed_tasks"  # sorted set; v2/brokers/redis/redis.go, defaultRedisDelayedTasksKey
TRIGGER_CHORD_MUTEX: Final = "TriggerChordMutex"  # string with a PX of 8000; v2/backends/redis/redis.go
LOCK_PREFIX: Final = "machinery_lock_"  # string; v2/utils/utils.go

REVOKED_KEY: Final = "{machinery}:gmpy:revoked"
"""Sorted set: UUIDs that no Python worker begins, by the server's unix seconds when that ends. For all queues."""
REVOKED_CHANGED_KEY: Final = "{machinery}:gmpy:revoked:changed"
"""String: the server's unix microseconds when that set last changed."""

_OWN: Final = re.compile(r"\{(.*)\}:gmpy:(.+)", re.DOTALL)


def inflight_key(queue: str, worker: str) -> str:
    """List: the bodies that a worker holds."""
    return f"{{{queue}}}:gmpy:inflight:{worker}"


def workers_key(queue: str) -> str:
    """Sorted set: workers of a queue by their last sign of life, in the server's unix seconds."""
    return f"{{{queue}}}:gmpy:workers"


def attempts_key(queue: str) -> str:
    """Hash: body → how many workers died while they ran it."""
    return f"{{{queue}}}:gmpy:attempts"


def alone_key(queue: str) -> str:
    """Hash: worker → the mark, in its list of bodies, of the one that it runs alone."""
    return f"{{{queue}}}:gmpy:alone"


def dead_key(queue: str) -> str:
    """List: bodies that can never run, byte for byte."""
    return f"{{{queue}}}:gmpy:dead"


def dead_reasons_key(queue: str) -> str:
    """Hash: SHA-1 of a dead body → why."""
    return f"{{{queue}}}:gmpy:dead:reasons"


def report_key(queue: str, worker: str) -> str:
    """String, JSON: what a worker says of itself with each sign of life; gone when it has said nothing for a while."""
    return f"{{{queue}}}:gmpy:report:{worker}"


def failures_key(queue: str) -> str:
    """List, JSON: the last tasks that failed for good on Python workers, the latest first."""
    return f"{{{queue}}}:gmpy:failures"


def chord_mark_key(group_uuid: str) -> str:
    """String: who marked a chord as triggered, where that is not one step with publishing its callback."""
    return f"{{{group_uuid}}}:gmpy:triggered-by"


def moving_key(delayed_key: str) -> str:
    """Sorted set: delayed tasks on their way to another slot of a cluster, by the end of their mover's claim."""
    return f"{{{delayed_key}}}:gmpy:moving"


def movers_key(key: str) -> str:
    """Hash: who moves tasks away from a queue (or from the delayed tasks), and which page of them it is at."""
    return f"{{{key}}}:gmpy:movers"


def leaving_key(key: str, mover: str) -> str:
    """List, or sorted set of what is delayed: the page that a mover has taken and may have delivered already."""
    return f"{{{key}}}:gmpy:leaving:{mover}"


def arrived_key(key: str, mover: str) -> str:
    """Set: what of a mover's page has arrived here, until the page is gone from where it came from."""
    return f"{{{key}}}:gmpy:arrived:{mover}"


def queue_of(key: str) -> str:
    """The queue that a list belongs to: one of our own names it in braces, any other is a queue itself."""
    match = _OWN.fullmatch(key)
    return match[1] if match else key


def is_reserved_key(name: str, queues: Iterable[str] = ()) -> bool:
    """Whether a name is used by Machinery or by us, so that no task or group may have it as its UUID."""
    return name == TRIGGER_CHORD_MUTEX or name.startswith(LOCK_PREFIX) or ":gmpy:" in name or name in queues
