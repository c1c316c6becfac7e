"""Signature, TaskState and GroupMeta to the bytes that Go's ``json.Marshal`` writes.

Go source: ``encoding/json/encode.go``: every field, in declaration order, without spaces.

Every task passes here several times, so a document is a few f-strings: what is at its zero value costs a look, and
the field at fault is looked for only when something could not be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import escaped, string_text, value_text
from gomachinery_py.golang.time import format_time
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = ["encode_group_meta", "encode_signature", "encode_task_state", "results_text"]

# What is this very object is the int 0, and neither False nor 0.0.
_ZERO: Final = 0
_NO_OPTIONS: Final = ',"Priority":0,"Immutable":false,"RetryCount":0,"RetryTimeout":0,"OnSuccess":'
_ON_ERROR: Final = ',"OnError":'
_CHORD_CALLBACK: Final = ',"ChordCallback":'
_NO_CALLBACKS: Final = f"null{_ON_ERROR}null{_CHORD_CALLBACK}null"
_NO_SERVICE: Final = (
    ',"BrokerMessageGroupId":"","SQSReceiptHandle":"","StopTaskDeletionOnError":false,'
    '"IgnoreWhenTaskNotRegistered":false}'
)
# What writing raises when a field holds something else than it should.
_CANNOT: Final = (TypeError, ValueError, AttributeError)


def encode_signature(signature: Signature) -> bytes:
    """A signature as Go writes it. Raises WireError that names the field which cannot be written."""
    if signature.on_success is None and signature.on_error is None and signature.chord_callback is None:
        text = f"{_head(signature)}{_NO_CALLBACKS}{_tail(signature)}"
    else:
        text = _with_callbacks(signature)
    return escaped(text).encode()


def encode_task_state(state: TaskState) -> bytes:
    """A task state as Go writes it. Raises WireError that names the field which cannot be written."""
    try:
        text = (
            f'{{"TaskUUID":{string_text(state.task_uuid)},"TaskName":{string_text(state.task_name)}'
            f',"State":{string_text(state.state)},"Results":{results_text(state.results)}'
            f',"Error":{string_text(state.error)},"CreatedAt":{_time(state.created_at)}'
            f',"TTL":{"0" if state.ttl is _ZERO else _int(state.ttl)}}}'
        )
    except _CANNOT as error:
        raise _explained(error, state, _TASK_STATE) from None
    return escaped(text).encode()


def encode_group_meta(meta: GroupMeta) -> bytes:
    """A group's meta document as Go writes it. Raises WireError that names the field which cannot be written."""
    try:
        text = (
            f'{{"GroupUUID":{string_text(meta.group_uuid)},"TaskUUIDs":{_strings(meta.task_uuids)}'
            f',"ChordTriggered":{_bool(meta.chord_triggered)},"Lock":{_bool(meta.lock)}'
            f',"CreatedAt":{_time(meta.created_at)},"TTL":{_int(meta.ttl)}}}'
        )
    except _CANNOT as error:
        raise _explained(error, meta, _GROUP_META) from None
    return escaped(text).encode()


# -- a signature in pieces: what comes before its callbacks, they themselves, what comes after --


def _head(s: Signature) -> str:
    try:
        return (
            f'{{"UUID":{string_text(s.uuid)},"Name":{string_text(s.name)},"RoutingKey":{string_text(s.routing_key)}'
            f',"ETA":{"null" if s.eta is None else _time(s.eta)},"GroupUUID":{string_text(s.group_uuid)}'
            f',"GroupTaskCount":{"0" if s.group_task_count is _ZERO else _int(s.group_task_count)}'
            f',"Args":{_args(s.args)},"Headers":{_headers(s.headers)}{_options(s)}'
        )
    except _CANNOT as error:
        raise _explained(error, s, _SIGNATURE) from None


def _options(s: Signature) -> str:
    if s.priority is _ZERO and s.immutable is False and s.retry_count is _ZERO and s.retry_timeout is _ZERO:
        return _NO_OPTIONS
    return (
        f',"Priority":{_priority(s.priority)},"Immutable":{_bool(s.immutable)}'
        f',"RetryCount":{_int(s.retry_count)},"RetryTimeout":{_int(s.retry_timeout)},"OnSuccess":'
    )


def _tail(s: Signature) -> str:
    if (
        s.stop_task_deletion_on_error is False
        and s.ignore_when_task_not_registered is False
        and s.broker_message_group_id == ""
        and s.sqs_receipt_handle == ""
    ):
        return _NO_SERVICE
    try:
        return (
            f',"BrokerMessageGroupId":{string_text(s.broker_message_group_id)}'
            f',"SQSReceiptHandle":{string_text(s.sqs_receipt_handle)}'
            f',"StopTaskDeletionOnError":{_bool(s.stop_task_deletion_on_error)}'
            f',"IgnoreWhenTaskNotRegistered":{_bool(s.ignore_when_task_not_registered)}}}'
        )
    except _CANNOT as error:
        raise _explained(error, s, _SIGNATURE) from None


def _with_callbacks(signature: Signature) -> str:
    """Callbacks within callbacks, however deep."""
    parts: list[str] = []
    # Text, signatures that are still to be written, and identities of those that end here.
    stack: list[str | Signature | int] = [signature]
    open_signatures: set[int] = set()
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
        elif isinstance(item, int):
            open_signatures.discard(item)
        elif id(item) in open_signatures:
            raise WireError(f"task {item.name!r} is its own callback, which would never end")
        else:
            open_signatures.add(id(item))
            parts.append(_head(item))
            stack += (id(item), _tail(item), _callback("ChordCallback", item.chord_callback), _CHORD_CALLBACK)
            stack += _callbacks("OnError", item.on_error)
            stack.append(_ON_ERROR)
            stack += _callbacks("OnSuccess", item.on_success)
    return "".join(parts)


def _callback(field: str, callback: Signature | None) -> Signature | str:
    if callback is None:
        return "null"
    if not isinstance(callback, Signature):
        raise WireError(f"{field}: a {type(callback).__name__} is not a Signature")
    return callback


def _callbacks(field: str, callbacks: Sequence[Signature | None] | None) -> list[str | Signature]:
    """An array in reverse, as a stack needs it."""
    if callbacks is None:
        return ["null"]
    if not isinstance(callbacks, list | tuple):
        raise WireError(f"{field}: a {type(callbacks).__name__} is not a list of Signatures")
    pieces: list[str | Signature] = ["]"]
    for position in range(len(callbacks) - 1, -1, -1):
        pieces.append(_callback(field, callbacks[position]))
        if position:
            pieces.append(",")
    pieces.append("[")
    return pieces


# -- fields --


def _args(args: Iterable[Arg] | None) -> str:
    if args is None:
        return "null"
    parts = [
        f'{{"Name":{string_text(arg.name)},"Type":{string_text(arg.type)}'
        f',"Value":{arg.value if type(arg.value) is int else value_text(arg.value)}}}'
        for arg in args
    ]
    return f"[{','.join(parts)}]"


def results_text(results: Iterable[TaskResult | None] | None) -> str:
    """The Results of a state, but for what ``escaped`` does. Raises TypeError, ValueError or AttributeError."""
    if results is None:
        return "null"
    parts = [
        "null" if result is None else f'{{"Type":{string_text(result.type)},"Value":{value_text(result.value)}}}'
        for result in results
    ]
    return f"[{','.join(parts)}]"


def _strings(texts: Iterable[str] | None) -> str:
    return "null" if texts is None else f"[{','.join(map(string_text, texts))}]"


def _headers(headers: dict[str, Any] | None) -> str:
    if headers is None:
        return "null"
    if type(headers) is not dict:
        raise TypeError(f"a {type(headers).__name__} is not a dict")
    return value_text(headers) if headers else "{}"


def _bool(value: bool) -> str:
    if value is False:
        return "false"
    if value is True:
        return "true"
    raise TypeError(f"a {type(value).__name__} is not a bool")


def _int(value: int) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a {type(value).__name__} is not an int")
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("this number does not fit 64 bits")
    return int.__repr__(value)


def _priority(value: int) -> str:
    text = _int(value)
    if not 0 <= value <= 255:
        raise ValueError(f"{text} is not between 0 and 255")
    return text


def _time(value: datetime) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"a {type(value).__name__} is not a datetime")
    return f'"{format_time(value)}"'


# -- which field it is that cannot be written --

_Writers = dict[str, tuple[str, Callable[[Any], str]]]


def _explained(error: Exception, document: Any, writers: _Writers) -> WireError:
    for name, (attribute, write) in writers.items():
        try:
            write(getattr(document, attribute))
        except _CANNOT as problem:
            return WireError(f"{name}: {problem}")
    return WireError(str(error))


def _optional_time(value: datetime | None) -> str:
    return "null" if value is None else _time(value)


_SIGNATURE: Final[_Writers] = {
    "UUID": ("uuid", string_text),
    "Name": ("name", string_text),
    "RoutingKey": ("routing_key", string_text),
    "ETA": ("eta", _optional_time),
    "GroupUUID": ("group_uuid", string_text),
    "GroupTaskCount": ("group_task_count", _int),
    "Args": ("args", _args),
    "Headers": ("headers", _headers),
    "Priority": ("priority", _priority),
    "Immutable": ("immutable", _bool),
    "RetryCount": ("retry_count", _int),
    "RetryTimeout": ("retry_timeout", _int),
    "BrokerMessageGroupId": ("broker_message_group_id", string_text),
    "SQSReceiptHandle": ("sqs_receipt_handle", string_text),
    "StopTaskDeletionOnError": ("stop_task_deletion_on_error", _bool),
    "IgnoreWhenTaskNotRegistered": ("ignore_when_task_not_registered", _bool),
}
_TASK_STATE: Final[_Writers] = {
    "TaskUUID": ("task_uuid", string_text),
    "TaskName": ("task_name", string_text),
    "State": ("state", string_text),
    "Results": ("results", results_text),
    "Error": ("error", string_text),
    "CreatedAt": ("created_at", _time),
    "TTL": ("ttl", _int),
}
_GROUP_META: Final[_Writers] = {
    "GroupUUID": ("group_uuid", string_text),
    "TaskUUIDs": ("task_uuids", _strings),
    "ChordTriggered": ("chord_triggered", _bool),
    "Lock": ("lock", _bool),
    "CreatedAt": ("created_at", _time),
    "TTL": ("ttl", _int),
}
