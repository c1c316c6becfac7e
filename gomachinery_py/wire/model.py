"""What Machinery stores, as plain data: Signature, TaskState, GroupMeta.

Field names are Machinery's in snake_case, in Go's declaration order. ``None`` is Go's nil: a nil and an empty
list or map are written differently (``null`` and ``[]``/``{}``).

Go source: ``v2/tasks/signature.go``, ``v2/tasks/state.go``, ``v2/tasks/result.go``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gomachinery_py.golang.time import ZERO_TIME

__all__ = [
    "FAILURE",
    "PENDING",
    "RECEIVED",
    "RETRY",
    "STARTED",
    "SUCCESS",
    "Arg",
    "GroupMeta",
    "Signature",
    "TaskResult",
    "TaskState",
]

PENDING = "PENDING"
RECEIVED = "RECEIVED"
STARTED = "STARTED"
RETRY = "RETRY"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"


@dataclass(slots=True)
class Arg:
    """One argument: a Machinery type name, a value that JSON can carry, and an optional name (Go: ``tasks.Arg``)."""

    type: str
    value: Any
    name: str = ""


@dataclass(slots=True)
class TaskResult:
    """One value that a task returned (Go: ``tasks.TaskResult``)."""

    type: str
    value: Any


@dataclass(slots=True, weakref_slot=True)
class Signature:
    """One task invocation as it travels (Go: ``tasks.Signature``).

    ``eta`` must carry a time zone. ``retry_timeout`` is in seconds, ``priority`` 0–255. Fields are assignable;
    nothing is checked before the signature is sent or encoded.
    """

    name: str
    args: list[Arg] | None = None
    uuid: str = ""
    routing_key: str = ""
    eta: datetime | None = None
    group_uuid: str = ""
    group_task_count: int = 0
    headers: dict[str, Any] | None = None
    priority: int = 0
    immutable: bool = False
    retry_count: int = 0
    retry_timeout: int = 0
    on_success: list[Signature] | None = None
    on_error: list[Signature] | None = None
    chord_callback: Signature | None = None
    broker_message_group_id: str = ""
    sqs_receipt_handle: str = ""
    stop_task_deletion_on_error: bool = False
    ignore_when_task_not_registered: bool = False
    # The declared task behind this signature, when it was composed here; never on the wire.
    declared: Any = field(default=None, repr=False, compare=False, kw_only=True)
    # The queue that a worker took it from; never on the wire.
    taken_from: str = field(default="", repr=False, compare=False, kw_only=True)


@dataclass(slots=True)
class TaskState:
    """What a result store keeps of a task (Go: ``tasks.TaskState``). ``ttl`` is unix seconds (DynamoDB only)."""

    task_uuid: str
    task_name: str = ""
    state: str = ""
    results: list[TaskResult] | None = None
    error: str = ""
    created_at: datetime = ZERO_TIME
    ttl: int = 0

    @property
    def is_success(self) -> bool:
        return self.state == SUCCESS

    @property
    def is_failure(self) -> bool:
        return self.state == FAILURE

    @property
    def is_completed(self) -> bool:
        """SUCCESS or FAILURE: the task will not run again by itself."""
        return self.state in (SUCCESS, FAILURE)


@dataclass(slots=True)
class GroupMeta:
    """What a result store keeps of a group (Go: ``tasks.GroupMeta``)."""

    group_uuid: str
    task_uuids: list[str] | None = None
    chord_triggered: bool = False
    lock: bool = False
    created_at: datetime = ZERO_TIME
    ttl: int = 0
