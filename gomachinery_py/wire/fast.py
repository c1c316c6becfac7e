"""The quick way to decode, proven for each document.

msgspec reads the document; then it is written again, and only if the very same bytes come out is the result taken.
Whatever is not exactly as Go writes it goes the exact way in ``decode.py``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gomachinery_py.golang.time import parse_time
from gomachinery_py.wire.decode import (
    decode_group_meta_exactly,
    decode_signature_exactly,
    decode_task_state_exactly,
)
from gomachinery_py.wire.encode import encode_group_meta, encode_signature, encode_task_state
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = ["decode_group_meta", "decode_signature", "decode_task_state"]


class _Arg(msgspec.Struct, array_like=False, gc=False):
    Name: str
    Type: str
    Value: Any


class _Signature(msgspec.Struct):
    UUID: str
    Name: str
    RoutingKey: str
    ETA: str | None
    GroupUUID: str
    GroupTaskCount: int
    Args: list[_Arg] | None
    Headers: dict[str, Any] | None
    Priority: int
    Immutable: bool
    RetryCount: int
    RetryTimeout: int
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


class _TaskState(msgspec.Struct):
    TaskUUID: str
    TaskName: str
    State: str
    Results: list[_Result] | None
    Error: str
    CreatedAt: str
    TTL: int


class _GroupMeta(msgspec.Struct):
    GroupUUID: str
    TaskUUIDs: list[str] | None
    ChordTriggered: bool
    Lock: bool
    CreatedAt: str
    TTL: int


_signature: Final = msgspec.json.Decoder(_Signature).decode
_task_state: Final = msgspec.json.Decoder(_TaskState).decode
_group_meta: Final = msgspec.json.Decoder(_GroupMeta).decode
# All that reading and writing again can raise; the exact path then says what is wrong, or takes it.
_NOT_CANONICAL: Final = (ValueError, RecursionError)


def decode_signature(data: bytes) -> Signature:
    """A signature as a Go worker reads it. Raises WireError with reason and offset, never anything else."""
    try:
        signature = _built(_signature(data))
        if encode_signature(signature) == data:
            return signature
    except _NOT_CANONICAL:
        pass
    return decode_signature_exactly(data)


def decode_task_state(data: bytes) -> TaskState:
    """A task state as Go reads it. Raises WireError with reason and offset, never anything else."""
    try:
        read = _task_state(data)
        results = None if read.Results is None else [TaskResult(item.Type, item.Value) for item in read.Results]
        state = TaskState(
            read.TaskUUID, read.TaskName, read.State, results, read.Error, parse_time(read.CreatedAt), read.TTL
        )
        if encode_task_state(state) == data:
            return state
    except _NOT_CANONICAL:
        pass
    return decode_task_state_exactly(data)


def decode_group_meta(data: bytes) -> GroupMeta:
    """A group's meta document as Go reads it. Raises WireError with reason and offset, never anything else."""
    try:
        read = _group_meta(data)
        meta = GroupMeta(
            read.GroupUUID, read.TaskUUIDs, read.ChordTriggered, read.Lock, parse_time(read.CreatedAt), read.TTL
        )
        if encode_group_meta(meta) == data:
            return meta
    except _NOT_CANONICAL:
        pass
    return decode_group_meta_exactly(data)


def _built(read: _Signature) -> Signature:
    args = read.Args
    return Signature(
        read.Name,
        None if args is None else [Arg(item.Type, item.Value, item.Name) for item in args],
        read.UUID,
        read.RoutingKey,
        None if read.ETA is None else parse_time(read.ETA),
        read.GroupUUID,
        read.GroupTaskCount,
        read.Headers,
        read.Priority,
        read.Immutable,
        read.RetryCount,
        read.RetryTimeout,
        None if read.OnSuccess is None else [_built(item) for item in read.OnSuccess],
        None if read.OnError is None else [_built(item) for item in read.OnError],
        None if read.ChordCallback is None else _built(read.ChordCallback),
        read.BrokerMessageGroupId,
        read.SQSReceiptHandle,
        read.StopTaskDeletionOnError,
        read.IgnoreWhenTaskNotRegistered,
    )
