"""Celery's options, one by one: followed, or refused with the reason and what to write instead.

Nothing is ignored: an option that Machinery cannot follow would change what a program means without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from gomachinery_py.compat.celery.binding import EXPIRES
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.task import Options
from gomachinery_py.wire.model import Signature

__all__ = [
    "FOLLOWED_BY_SENDS",
    "FOLLOWED_BY_TASKS",
    "NOT_ALWAYS_FOLLOWED",
    "Target",
    "check_send",
    "check_task",
    "moment",
    "written",
]

FOLLOWED_BY_TASKS: Final = frozenset(
    {
        *("name", "bind", "base", "typing", "throws", "ignore_result", "serializer"),
        *("max_retries", "default_retry_delay", "autoretry_for", "dont_autoretry_for", "retry_kwargs"),
        *("retry_backoff", "retry_backoff_max", "retry_jitter"),
        *("queue", "priority", "expires", "acks_late", "reject_on_worker_lost", "track_started"),
        "soft_time_limit",
    }
)
FOLLOWED_BY_SENDS: Final = frozenset(
    {
        *("task_id", "countdown", "eta", "expires", "queue", "priority", "headers"),
        *("link", "link_error", "serializer", "retry"),
    }
)

# An option that is followed for these values only; any other has another meaning than what happens.
_ONLY: Final[dict[str, tuple[tuple[Any, ...], str]]] = {
    "serializer": (("json", None), "arguments travel as Machinery writes them, what it has no type for as JSON"),
    "acks_late": ((True, None), "a worker here always acknowledges after the task has run; say so with acks_late=True"),
    "reject_on_worker_lost": ((True, None), "what a killed worker held always goes back to the queue"),
    "track_started": ((True, None), "STARTED is always stored"),
    "retry": ((False, None), "a send that fails raises at once; try again where you catch the error"),
}

_REFUSED: Final[dict[str, str]] = {
    "time_limit": "a task runs on a thread, which nobody can end; declare it with soft_time_limit=, and give its calls "
    "(HTTP, database) time limits",
    "soft_time_limit": "say it where the task is declared",
    "rate_limit": "workers do not slow down; give the task a queue of its own and a worker with few threads",
    "compression": "messages are Machinery's JSON, which is never compressed",
    "retry_policy": "a send that fails raises at once; try again where you catch the error",
    "exchange": "on RabbitMQ the exchange is the server's; give queue=",
    "routing_key": "in Machinery the routing key is the queue; give queue=",
    "exchange_type": "on RabbitMQ the exchange is the server's; give queue=",
    "delivery_mode": "messages are always persistent",
    "immediate": "no broker has it",
    "mandatory": "a message that no queue takes is always an error",
    "reply_to": "results are read from the result store",
    "shadow": "a task has one name",
    "chord": "write chord(header)(callback)",
    "group_id": "write group(...)",
    "add_to_parent": "results do not know their children",
    "connection": "the server has its own connections",
    "producer": "the server has its own connections",
    "publisher": "the server has its own connections",
    "stamped_headers": "write headers={…}",
    "acks_on_failure_or_timeout": "a failed task is always acknowledged",
    "store_errors_even_if_ignored": "states and errors are always stored",
    "send_events": "there are no worker events; use observers (gomachinery_py.metrics, gomachinery_py.tracing)",
    "pydantic": "arguments reach the function as they were sent; build the model inside the task",
    "Strategy": "there is one way to run a task",
    "Request": "there is one way to run a task",
    "backend": "the result store is the app's",
    "ignore_result": "say it where the task is declared",
}

NOT_ALWAYS_FOLLOWED: Final = frozenset({*_ONLY, *_REFUSED})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a task goes: ``is_python`` when a Python worker with this layer serves it, as far as the app knows."""

    name: str
    is_python: bool
    orders: bool
    """Whether the broker orders by priority."""


class Clock(Protocol):
    def unix_ns(self) -> int: ...


def check_task(name: str, options: Mapping[str, Any]) -> None:
    """Raise CeleryDifference for an option of ``@app.task`` that would not be followed."""
    _check(f"task {name}", options, FOLLOWED_BY_TASKS)
    for option in ("autoretry_for", "dont_autoretry_for", "throws"):
        if isinstance(options.get(option), type):
            raise TypeError(f"task {name}: {option} is a tuple of exceptions: ({options[option].__name__},)")


def check_send(name: str, options: Mapping[str, Any]) -> None:
    """Raise CeleryDifference for an option of ``apply_async``, ``.set`` or a route that would not be followed."""
    _check(f"task {name}", options, FOLLOWED_BY_SENDS)


def _check(where: str, options: Mapping[str, Any], followed: frozenset[str]) -> None:
    for option, value in options.items():
        if option in followed:
            allowed, why = _ONLY.get(option, ((value,), ""))
            if value not in allowed:
                raise CeleryDifference(f"{where}: {option}={value!r} cannot be followed: {why}")
        elif option in _REFUSED:
            if value is not None:
                raise CeleryDifference(f"{where}: {option} cannot be followed: {_REFUSED[option]}")
        else:
            raise CeleryDifference(f"{where}: {option} is no option here; there are {', '.join(sorted(followed))}")


def written(signature: Signature, options: Mapping[str, Any], target: Target, clock: Clock) -> Signature:
    """Write options that were checked into a signature; links are the canvas'.

    Raises CeleryDifference, TypeError or ValueError.
    """
    headers = dict(options.get("headers") or {})
    for name in headers:
        if not isinstance(name, str):
            raise TypeError(f"task {target.name}: names of headers are texts, not {name!r}")
    if any(name.startswith("gmpy-") for name in headers):
        raise ValueError(f"task {target.name}: headers that begin with gmpy- are this package's own")
    if (expires := options.get("expires")) is not None:
        if not target.is_python:
            raise CeleryDifference(
                f"task {target.name}: expires is known to Python workers with this layer only; a Go worker would run "
                "the task all the same"
            )
        headers[EXPIRES] = moment(expires, clock.unix_ns()).isoformat()
    priority = options.get("priority")
    if priority and not target.orders:
        raise CeleryDifference(
            f"task {target.name}: priority={priority} cannot be followed: only RabbitMQ orders by priority. Give "
            "urgent tasks a queue of their own"
        )
    eta = options.get("eta")
    countdown = options.get("countdown")
    return Options(
        # Celery lets countdown win.
        eta=None if eta is None or countdown is not None else moment(eta, 0),
        countdown=countdown,
        priority=priority,
        headers=headers or None,
        routing_key=options.get("queue"),
        uuid=options.get("task_id"),
    ).applied(signature, clock.unix_ns())


def moment(value: Any, now_ns: int) -> datetime:
    """A time as Celery takes it: a datetime (one without a zone is UTC), its ISO text, or seconds from now."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise TypeError(f"a time is a datetime, an ISO text, seconds or a timedelta, not {type(value).__name__}")
    since = value if isinstance(value, timedelta) else timedelta(seconds=value)
    return datetime.fromtimestamp(now_ns / 1e9, UTC) + since
