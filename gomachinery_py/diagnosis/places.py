"""What is wrong, or not as it looks, with the fields of a signature and of the callbacks in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gomachinery_py.diagnosis.document import shortened
from gomachinery_py.diagnosis.findings import Finding, error, note, warning
from gomachinery_py.diagnosis.verdict import Knowledge, fibonacci_search_ends
from gomachinery_py.golang.time import format_unix_ns, unix_ns
from gomachinery_py.incoming import LAST_ETA_NS, MAX_RETRY_TIMEOUT
from gomachinery_py.wire.model import Signature

__all__ = ["Placed", "family", "places"]

_DAY = 24 * 3600
# RabbitMQ's own advice for x-max-priority.
_MANY_PRIORITIES = 10


@dataclass(frozen=True, slots=True)
class Placed:
    """A signature and where it is: ``path`` is empty, or ends in a dot."""

    signature: Signature
    path: str


def family(signature: Signature) -> Iterator[Placed | str]:
    """A signature and all callbacks in it; the path alone of a callback that is null."""
    waiting: list[Placed | str] = [Placed(signature, "")]
    for placed in waiting:
        yield placed
        if isinstance(placed, str):
            continue
        for name, callbacks in (("OnSuccess", placed.signature.on_success), ("OnError", placed.signature.on_error)):
            for position, callback in enumerate(callbacks or ()):
                path = shortened(f"{placed.path}{name}[{position}]")
                waiting.append(path if callback is None else Placed(callback, f"{path}."))
        if placed.signature.chord_callback is not None:
            waiting.append(Placed(placed.signature.chord_callback, shortened(f"{placed.path}ChordCallback.")))


def places(
    members: list[Placed], known: Knowledge, *, now_ns: int | None = None, queue: str | None = None
) -> Iterator[Finding]:
    """Findings about each member of a family.

    Args:
        members: the signature that is sent and the callbacks in it.
        known: which names are queues, or keys that are none.
        now_ns: this moment, by which an ETA is past; none is when it is None.
        queue: the queue that the message was found in.
    """
    groups = {placed.signature.group_uuid for placed in members} - {""}
    queues = {placed.signature.routing_key for placed in members} - {""} | set(known.queues)
    yield from _twice(members)
    for placed in members:
        signature, path = placed.signature, placed.path
        is_sent = path == ""
        yield from _names(signature, path, known, queues, groups)
        yield from _time(signature, path, now_ns if is_sent else None)
        yield from _retries(signature, path)
        yield from _group(signature, path, is_sent=is_sent)
        yield from _others(signature, path)
        if is_sent and queue and signature.routing_key not in ("", queue):
            yield note(
                "other-queue", "RoutingKey", f"it waits in {queue!r}, but a retry goes to {signature.routing_key!r}"
            )


def _twice(members: list[Placed]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for placed in members:
        uuid = placed.signature.uuid
        if uuid in seen:
            what = f"{uuid!r} is {seen[uuid]}, too: whose state is written later counts"
            yield error("uuid-twice", f"{placed.path}UUID", what, "a UUID of its own, or none: Go fills it in")
        elif uuid:
            seen[uuid] = f"{placed.path}UUID"


def _names(signature: Signature, path: str, known: Knowledge, queues: set[str], groups: set[str]) -> Iterator[Finding]:
    if not signature.name:
        yield error("no-name", f"{path}Name", "no worker has a task without a name: it is handed on for ever", "a name")
    if not signature.uuid and not path:
        yield warning(
            "no-uuid",
            "UUID",
            "its state is stored under the empty key, as that of every other such task, and nobody can ask for it",
            '"UUID": "task_" and a random UUID',
        )
    for field, name in (("UUID", signature.uuid), ("GroupUUID", signature.group_uuid)):
        if name and (name in queues or known.is_reserved(name)):
            what = f"{name!r} is a queue or a key in use: Go writes the state over it (Redis), and what it held is lost"
            yield error("uuid-is-a-key", f"{path}{field}", what, "a UUID of its own")
    if signature.uuid and signature.uuid in groups:
        what = f"{signature.uuid!r} is also the UUID of a group: Go writes the state over the group"
        yield error("uuid-is-a-group", f"{path}UUID", what, "a UUID of its own")
    key = signature.routing_key
    if key and key not in known.queues and known.is_reserved(key):
        yield error("key-is-no-queue", f"{path}RoutingKey", f"{key!r} is the name of a key that is no queue", "a queue")


def _time(signature: Signature, path: str, now_ns: int | None) -> Iterator[Finding]:
    eta = signature.eta
    if eta is None:
        return
    at = unix_ns(eta)
    if abs(getattr(eta, "offset_seconds", 0)) >= _DAY:
        what = "an offset of a whole day can be read and not written again: a retry or callback of it is lost"
        yield error("eta-offset", f"{path}ETA", what, f'"{_utc(at)}"')
    if at > LAST_ETA_NS:
        what = "after 2262-04-11 Go's nanoseconds overflow: a delayed task comes at once or never"
        yield error("eta-too-far", f"{path}ETA", what, "an earlier time")
    elif now_ns is not None and at <= now_ns:
        yield note("eta-past", f"{path}ETA", "the time is past: it runs at once")


def _utc(at: int) -> str:
    try:
        return format_unix_ns(at)
    except ValueError:
        return "2006-01-02T15:04:05Z"


def _retries(signature: Signature, path: str) -> Iterator[Finding]:
    timeout = signature.retry_timeout
    if not fibonacci_search_ends(timeout):
        what = "no Fibonacci number above it fits 64 bits: Go searches for ever when the task is to be retried"
        yield error("retry-timeout", f"{path}RetryTimeout", what, "seconds; 0 begins with one second")
    elif timeout > MAX_RETRY_TIMEOUT:
        what = f"{timeout} seconds are more than a year (milliseconds?); refused here"
        yield error("retry-timeout", f"{path}RetryTimeout", what, "seconds")
    elif timeout < 0:
        yield error("retry-timeout", f"{path}RetryTimeout", "negative: refused here; Go begins with 1 s", "0")
    if signature.retry_count < 0:
        yield note("retry-count", f"{path}RetryCount", "negative: no retries", "0")


def _group(signature: Signature, path: str, *, is_sent: bool) -> Iterator[Finding]:
    if signature.chord_callback is not None:
        if not signature.group_uuid:
            what = "a chord's callback without GroupUUID is never sent"
            yield error("chord-without-group", f"{path}ChordCallback", what, "GroupUUID, and the group stored before")
        elif signature.group_task_count < 1:
            what = f"{signature.group_task_count} members are never complete: the chord's callback is not sent"
            yield error("group-count", f"{path}GroupTaskCount", what, "how many tasks the group has")
        elif is_sent:
            what = "the group and the state of every member must be stored before the first is published"
            yield note("chord", f"{path}GroupUUID", what)
    elif signature.group_uuid and signature.group_task_count < 1:
        what = f"{signature.group_task_count} for a task that is in a group"
        yield warning("group-count", f"{path}GroupTaskCount", what, "how many tasks the group has")
    elif signature.group_task_count and not signature.group_uuid:
        yield note("group-count", f"{path}GroupTaskCount", "means nothing without GroupUUID", "0")


def _others(signature: Signature, path: str) -> Iterator[Finding]:
    if signature.priority > _MANY_PRIORITIES:
        what = "only a RabbitMQ queue with x-max-priority looks at it, and up to that"
        yield warning("priority", f"{path}Priority", what, f"0 to {_MANY_PRIORITIES}")
    if signature.stop_task_deletion_on_error:
        what = "means something on SQS only: elsewhere a failure of it ends the worker's consumer"
        yield warning("stop-deletion", f"{path}StopTaskDeletionOnError", what, "false, unless it is sent to SQS")
    if signature.sqs_receipt_handle:
        yield note("receipt-handle", f"{path}SQSReceiptHandle", "is filled by the worker; what is sent is lost", '""')
    if signature.headers is None and not path:
        yield note("null-headers", "Headers", "null: a Go handler that writes a header into it panics", "{}")
