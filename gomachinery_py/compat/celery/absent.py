"""Attributes that Celery's apps and results have and those here have not, and what to write instead of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["OF_APPS", "OF_RESULTS", "missing"]

_WATCH: Final = "gomachinery top, queue and health show what runs and waits"
_SENDS: Final = "send_task sends by a name, app.server is Machinery's side"

#: Attributes of an app.
OF_APPS: Final = {
    "control": f"result.revoke() has a task begin no more, {_WATCH}",
    "events": f"there are no worker events; {_WATCH}",
    "backend": "results are read by AsyncResult, app.server.backend is Machinery's store",
    "amqp": _SENDS,
    "connection": _SENDS,
    "connection_for_write": _SENDS,
    "producer_or_acquire": _SENDS,
    "loader": "say include= or imports",
    "steps": "a worker has no boot steps",
    "user_options": "the options of gomachinery worker are its own",
    "Worker": "gomachinery worker MODULE:app.server, or app.worker() for embedding",
    "Beat": "gomachinery beat MODULE:app.server, or app.server.scheduler()",
}

_NO_CHILDREN: Final = "a result knows what was before it (parent), not what follows; keep the results of what you send"
_NOT_STORED: Final = "Machinery stores state, results, error and when it was sent: app.server.result(id).state"

#: Attributes of a result.
OF_RESULTS: Final = {
    **dict.fromkeys(("children", "collect", "iterdeps", "get_leaf", "graph", "build_graph"), _NO_CHILDREN),
    **dict.fromkeys(("date_done", "name", "args", "kwargs", "worker", "retries", "queue"), _NOT_STORED),
}


def missing(what: str, name: str, instead: Mapping[str, str]) -> AttributeError:
    """The error for an attribute that is not there."""
    hint = f": {instead[name]}" if name in instead else ""
    return AttributeError(f"{what} has no {name} here{hint}")
