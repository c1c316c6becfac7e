"""Signature, TaskState and GroupMeta to the bytes that Go's ``json.Marshal`` writes.

Go source: ``encoding/json/encode.go``: every field, in declaration order, without spaces.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import quote, write_value
from gomachinery_py.golang.time import format_time
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = ["encode_group_meta", "encode_signature", "encode_task_state"]

_ZERO_TAIL: Final = (
    ',"BrokerMessageGroupId":"","SQSReceiptHandle":"","StopTaskDeletionOnError":false,'
    '"IgnoreWhenTaskNotRegistered":false}'
)
_INT64: Final = (-(1 << 63), (1 << 63) - 1)


def encode_signature(signature: Signature) -> bytes:
    """A signature as Go writes it. Raises WireError that names the field which cannot be written."""
    try:
        if signature.on_success or signature.on_error or signature.chord_callback is not None:
            return _nested(signature).encode()
        return f"{_head(signature)}{_list(signature.on_success)}{_ON_ERROR}{_list(signature.on_error)}{_CHORD}null{_tail(signature)}".encode()
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"a signature cannot be written: {error}") from None


_ON_ERROR: Final = ',"OnError":'
_CHORD: Final = ',"ChordCallback":'


def _list(value: list[Signature] | None) -> str:
    return "null" if value is None else "[]"


def _nested(signature: Signature) -> str:
    """Callbacks within callbacks, however deep."""
    parts: list[str] = []
    stack: list[Any] = [signature]
    open_signatures: set[int] = set()
    while stack:
        item = stack.pop()
        if type(item) is str:
            parts.append(item)
        elif item is None:
            parts.append("null")
        elif type(item) is int:
            open_signatures.discard(item)
        elif isinstance(item, list):
            stack.append("]")
            for position in range(len(item) - 1, -1, -1):
                stack.append(item[position])
                if position:
                    stack.append(",")
            stack.append("[")
        else:
            if not isinstance(item, Signature):
                raise TypeError(f"a callback is a {type(item).__name__}, not a Signature")
            if id(item) in open_signatures:
                raise ValueError(f"task {item.name!r} is its own callback, which would never end")
            open_signatures.add(id(item))
            parts.append(_head(item))
            stack += (
                id(item),
                _tail(item),
                item.chord_callback,
                _CHORD,
                item.on_error,
                _ON_ERROR,
                item.on_success,
            )
    return "".join(parts)


def _head(s: Signature) -> str:
    return (
        f'{{"UUID":{_text("UUID", s.uuid)},"Name":{_text("Name", s.name)},"RoutingKey":{_text("RoutingKey", s.routing_key)}'
        f',"ETA":{"null" if s.eta is None else _time("ETA", s.eta)},"GroupUUID":{_text("GroupUUID", s.group_uuid)}'
        f',"GroupTaskCount":{_int("GroupTaskCount", s.group_task_count)}'
        f',"Args":{"null" if s.args is None else _args(s.args)}'
        f',"Headers":{"null" if s.headers is None else _headers(s.headers)}'
        f',"Priority":{_priority(s.priority)},"Immutable":{_bool("Immutable", s.immutable)}'
        f',"RetryCount":{_int("RetryCount", s.retry_count)},"RetryTimeout":{_int("RetryTimeout", s.retry_timeout)}'
        ',"OnSuccess":'
    )


def _tail(s: Signature) -> str:
    if not (
        s.broker_message_group_id
        or s.sqs_receipt_handle
        or s.stop_task_deletion_on_error
        or s.ignore_when_task_not_registered
    ):
        return _ZERO_TAIL
    return (
        f',"BrokerMessageGroupId":{_text("BrokerMessageGroupId", s.broker_message_group_id)}'
        f',"SQSReceiptHandle":{_text("SQSReceiptHandle", s.sqs_receipt_handle)}'
        f',"StopTaskDeletionOnError":{_bool("StopTaskDeletionOnError", s.stop_task_deletion_on_error)}'
        f',"IgnoreWhenTaskNotRegistered":{_bool("IgnoreWhenTaskNotRegistered", s.ignore_when_task_not_registered)}}}'
    )


def _args(args: list[Arg]) -> str:
    parts = []
    for arg in args:
        value = arg.value
        written = str(value) if type(value) is int else _value("Args", value)
        parts.append(f'{{"Name":{_text("Args.Name", arg.name)},"Type":{_text("Args.Type", arg.type)},"Value":{written}}}')
    return f"[{','.join(parts)}]"


def encode_task_state(state: TaskState) -> bytes:
    """A task state as Go writes it. Raises WireError that names the field which cannot be written."""
    try:
        results = "null" if state.results is None else _results(state.results)
        return (
            f'{{"TaskUUID":{_text("TaskUUID", state.task_uuid)},"TaskName":{_text("TaskName", state.task_name)}'
            f',"State":{_text("State", state.state)},"Results":{results},"Error":{_text("Error", state.error)}'
            f',"CreatedAt":{_time("CreatedAt", state.created_at)},"TTL":{_int("TTL", state.ttl)}}}'
        ).encode()
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"a task state cannot be written: {error}") from None


def _results(results: list[TaskResult]) -> str:
    parts = []
    for result in results:
        if result is None:
            parts.append("null")
            continue
        value = result.value
        written = str(value) if type(value) is int else _value("Results", value)
        parts.append(f'{{"Type":{_text("Results.Type", result.type)},"Value":{written}}}')
    return f"[{','.join(parts)}]"


def encode_group_meta(meta: GroupMeta) -> bytes:
    """A group's meta document as Go writes it. Raises WireError that names the field which cannot be written."""
    try:
        if meta.task_uuids is None:
            uuids = "null"
        else:
            uuids = f"[{','.join([_text('TaskUUIDs', uuid) for uuid in meta.task_uuids])}]"
        return (
            f'{{"GroupUUID":{_text("GroupUUID", meta.group_uuid)},"TaskUUIDs":{uuids}'
            f',"ChordTriggered":{_bool("ChordTriggered", meta.chord_triggered)},"Lock":{_bool("Lock", meta.lock)}'
            f',"CreatedAt":{_time("CreatedAt", meta.created_at)},"TTL":{_int("TTL", meta.ttl)}}}'
        ).encode()
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"a group cannot be written: {error}") from None


# -- fields --


def _text(field: str, value: str) -> str:
    if not isinstance(value, str):
        raise WireError(f"{field} is a {type(value).__name__}, not a str")
    return quote(value)


def _bool(field: str, value: bool) -> str:
    if value is False:
        return "false"
    if value is True:
        return "true"
    raise WireError(f"{field} is a {type(value).__name__}, not a bool")


def _int(field: str, value: int) -> str:
    if value == 0 and type(value) is int:
        return "0"
    if not isinstance(value, int) or isinstance(value, bool):
        raise WireError(f"{field} is a {type(value).__name__}, not an int")
    if not _INT64[0] <= value <= _INT64[1]:
        raise WireError(f"{field} does not fit 64 bits")
    return str(int(value))


def _priority(value: int) -> str:
    text = _int("Priority", value)
    if not 0 <= value <= 255:
        raise WireError(f"Priority {text} is not between 0 and 255")
    return text


def _time(field: str, value: datetime) -> str:
    if not isinstance(value, datetime):
        raise WireError(f"{field} is a {type(value).__name__}, not a datetime")
    try:
        return f'"{format_time(value)}"'
    except ValueError as error:
        raise WireError(f"{field}: {error}") from None


def _headers(headers: dict[str, Any]) -> str:
    return _value("Headers", headers) if headers else "{}"


def _value(field: str, value: Any) -> str:
    try:
        return write_value(value)
    except (TypeError, ValueError) as error:
        raise WireError(f"{field}: {error}") from None
