"""The quick way to decode, proven for each document.

msgspec reads the document and writes it again. Only if the very same bytes come out is the result taken: then every
field was there once, in its place and under its exact name, nothing followed, and every string and whole number was
written in the one way that msgspec has. What is left to prove are the values that are ``interface{}`` in Go, where a
number keeps its literal text: those that hold anything but text, whole numbers, bools and null are taken if Go would
write them in the very same way too. All else goes the exact way in ``decode.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec

from gomachinery_py.golang.json import MAX_DEPTH, write_value
from gomachinery_py.golang.time import parse_time
from gomachinery_py.wire.decode import (
    decode_group_meta_exactly,
    decode_signature_exactly,
    decode_task_state_exactly,
)
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = ["decode_group_meta", "decode_signature", "decode_task_state"]

_Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Uint8 = Annotated[int, msgspec.Meta(ge=0, le=255)]


class _Arg(msgspec.Struct, gc=False):
    Name: str
    Type: str
    Value: Any


class _Signature(msgspec.Struct, gc=False):
    UUID: str
    Name: str
    RoutingKey: str
    ETA: str | None
    GroupUUID: str
    GroupTaskCount: _Int64
    Args: list[_Arg] | None
    Headers: dict[str, Any] | None
    Priority: _Uint8
    Immutable: bool
    RetryCount: _Int64
    RetryTimeout: _Int64
    OnSuccess: list[_Signature] | None
    OnError: list[_Signature] | None
    ChordCallback: _Signature | None
    BrokerMessageGroupId: str
    SQSReceiptHandle: str
    StopTaskDeletionOnError: bool
    IgnoreWhenTaskNotRegistered: bool


class _Result(msgspec.Struct, gc=False):
    Type: str
    Value: Any


class _TaskState(msgspec.Struct, gc=False):
    TaskUUID: str
    TaskName: str
    State: str
    Results: list[_Result] | None
    Error: str
    CreatedAt: str
    TTL: _Int64


class _GroupMeta(msgspec.Struct, gc=False):
    GroupUUID: str
    TaskUUIDs: list[str] | None
    ChordTriggered: bool
    Lock: bool
    CreatedAt: str
    TTL: _Int64


_read_signature: Final = msgspec.json.Decoder(_Signature).decode
_read_task_state: Final = msgspec.json.Decoder(_TaskState).decode
_read_group_meta: Final = msgspec.json.Decoder(_GroupMeta).decode
_write: Final = msgspec.json.Encoder().encode
_fields: Final = msgspec.structs.astuple
# What it raises that msgspec, or the proof, cannot take a document; the exact path takes it or says what is wrong.
_UNPROVEN: Final = (ValueError, RecursionError)
_PROVEN_KINDS: Final = frozenset({str, int, bool, type(None)})


def decode_signature(data: bytes) -> Signature:
    """A signature as a Go worker reads it. Raises WireError with reason and offset, never anything else."""
    try:
        read = _read_signature(data)
        if _write(read) == data:
            return _signature(read, data)
    except _UNPROVEN:
        pass
    return decode_signature_exactly(data)


def decode_task_state(data: bytes) -> TaskState:
    """A task state as Go reads it. Raises WireError with reason and offset, never anything else."""
    try:
        read = _read_task_state(data)
        if _write(read) == data:
            task_uuid, task_name, state, results, error, created_at, ttl = _fields(read)
            if results is not None:
                results = [TaskResult(item.Type, _proven(item.Value, data)) for item in results]
            return TaskState(task_uuid, task_name, state, results, error, parse_time(created_at), ttl)
    except _UNPROVEN:
        pass
    return decode_task_state_exactly(data)


def decode_group_meta(data: bytes) -> GroupMeta:
    """A group's meta document as Go reads it. Raises WireError with reason and offset, never anything else."""
    try:
        read = _read_group_meta(data)
        if _write(read) == data:
            group_uuid, task_uuids, chord_triggered, lock, created_at, ttl = _fields(read)
            return GroupMeta(group_uuid, task_uuids, chord_triggered, lock, parse_time(created_at), ttl)
    except _UNPROVEN:
        pass
    return decode_group_meta_exactly(data)


def _signature(read: _Signature, data: bytes) -> Signature:
    (
        uuid,
        name,
        routing_key,
        eta,
        group_uuid,
        group_task_count,
        args,
        headers,
        priority,
        immutable,
        retry_count,
        retry_timeout,
        on_success,
        on_error,
        chord_callback,
        broker_message_group_id,
        sqs_receipt_handle,
        stop_task_deletion_on_error,
        ignore_when_task_not_registered,
    ) = _fields(read)
    if headers:
        for value in headers.values():
            _proven(value, data)
    return Signature(
        name,
        None if args is None else [Arg(item.Type, _proven(item.Value, data), item.Name) for item in args],
        uuid,
        routing_key,
        None if eta is None else parse_time(eta),
        group_uuid,
        group_task_count,
        headers,
        priority,
        immutable,
        retry_count,
        retry_timeout,
        None if on_success is None else _callbacks(on_success, data),
        None if on_error is None else _callbacks(on_error, data),
        None if chord_callback is None else _callbacks((chord_callback,), data)[0],
        broker_message_group_id,
        sqs_receipt_handle,
        stop_task_deletion_on_error,
        ignore_when_task_not_registered,
    )


def _callbacks(read: Iterable[_Signature], data: bytes) -> list[Signature]:
    _check_depth(data)
    return [_signature(item, data) for item in read]


def _proven(value: Any, data: bytes) -> Any:
    """A value that was written as Go writes it; ValueError if that cannot be said."""
    if type(value) not in _PROVEN_KINDS:
        _check_depth(data)
        if write_value(value).encode() != _write(value):
            raise ValueError
    return value


def _check_depth(data: bytes) -> None:
    """How deep Python may recurse is a setting; how deep a document may be is not."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        raise ValueError
