"""Bytes to Signature, TaskState and GroupMeta, exactly as Go's ``json.Decoder`` with ``UseNumber`` fills its structs.

Go source: ``encoding/json/decode.go`` (``object``, ``array``, ``literalStore``), ``fold.go``. Field names match
whatever their case, the last duplicate wins, slices and nested structs that come twice are merged element by element,
``null`` leaves a scalar as it was, unknown fields are dropped, and what follows the document is ignored.

This is the exact path; ``fast.py`` tries a quicker one first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import EscapedText, JsonSyntaxError, Members, Number, byte_offset, parse, value_text
from gomachinery_py.golang.time import parse_time
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = [
    "SIGNATURE",
    "WHOLE_NUMBERS",
    "Field",
    "Struct",
    "decode_group_meta_exactly",
    "decode_signature_exactly",
    "decode_task_state_exactly",
    "json_kind",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a Go struct, and where it is kept here."""

    name: str
    attribute: str
    kind: str
    """Its Go type."""
    struct: Struct[Any] | None
    """What it, or each of its elements, is or points to."""


# Go folds these two to ASCII letters (``foldName``); no other character beyond ASCII matches a field.
_FOLD: Final = str.maketrans({"\u212a": "k", "\u017f": "s"})


class Struct(Generic[T]):
    """A Go struct: its name, how to make an empty one, and its fields, in rows of name, attribute and Go type."""

    def __init__(self, name: str, new: Callable[[], T], rows: str, inner: dict[str, Struct[Any]] | None = None) -> None:
        self.name = name
        self.new = new
        structs = {**(inner or {}), name: self}
        self._fields: dict[str, Field] = {}
        for row in rows.split():
            field, attribute, kind = row.split(":")
            self._fields[field] = Field(field, attribute, kind, structs.get(kind.removeprefix("[]").removeprefix("*")))
        self._folded = {name.lower(): field for name, field in self._fields.items()}

    def member(self, key: str) -> tuple[Field, Struct[Any] | None] | None:
        """The field that a key names (``golang.json.Shape``)."""
        field = self._fields.get(key)
        if field is None:
            folded = key.translate(_FOLD)
            field = self._folded.get(folded.lower()) if folded.isascii() else None
            if field is None:
                return None
        return field, field.struct


_ARG: Final = Struct("tasks.Arg", lambda: Arg("", None), "Name:name:string Type:type:string Value:value:any")
_RESULT: Final = Struct("tasks.TaskResult", lambda: TaskResult("", None), "Type:type:string Value:value:any")
SIGNATURE: Final = Struct(
    "tasks.Signature",
    lambda: Signature(""),
    """UUID:uuid:string Name:name:string RoutingKey:routing_key:string ETA:eta:*time.Time GroupUUID:group_uuid:string
    GroupTaskCount:group_task_count:int Args:args:[]tasks.Arg Headers:headers:tasks.Headers Priority:priority:uint8
    Immutable:immutable:bool RetryCount:retry_count:int RetryTimeout:retry_timeout:int
    OnSuccess:on_success:[]*tasks.Signature OnError:on_error:[]*tasks.Signature
    ChordCallback:chord_callback:*tasks.Signature BrokerMessageGroupId:broker_message_group_id:string
    SQSReceiptHandle:sqs_receipt_handle:string StopTaskDeletionOnError:stop_task_deletion_on_error:bool
    IgnoreWhenTaskNotRegistered:ignore_when_task_not_registered:bool""",
    {"tasks.Arg": _ARG},
)
_TASK_STATE: Final = Struct(
    "tasks.TaskState",
    lambda: TaskState(""),
    """TaskUUID:task_uuid:string TaskName:task_name:string State:state:string Results:results:[]*tasks.TaskResult
    Error:error:string CreatedAt:created_at:time.Time TTL:ttl:int64""",
    {"tasks.TaskResult": _RESULT},
)
_GROUP_META: Final = Struct(
    "tasks.GroupMeta",
    lambda: GroupMeta(""),
    """GroupUUID:group_uuid:string TaskUUIDs:task_uuids:[]string ChordTriggered:chord_triggered:bool Lock:lock:bool
    CreatedAt:created_at:time.Time TTL:ttl:int64""",
)


def decode_signature_exactly(data: bytes) -> Signature:
    """Go: ``decoder.Decode(new(tasks.Signature))``. Raises WireError."""
    return _decode(data, SIGNATURE)


def decode_task_state_exactly(data: bytes) -> TaskState:
    """Go: ``decoder.Decode(new(tasks.TaskState))``. Raises WireError."""
    return _decode(data, _TASK_STATE)


def decode_group_meta_exactly(data: bytes) -> GroupMeta:
    """Go: ``decoder.Decode(new(tasks.GroupMeta))``. Raises WireError."""
    return _decode(data, _GROUP_META)


def _decode(data: bytes, struct: Struct[T]) -> T:
    try:
        node = parse(data, struct)
        made = struct.new()
        if node is not None:
            if type(node) is not Members:
                raise _Refused(f"json: cannot unmarshal {json_kind(node)} into Go value of type {struct.name}", 0)
            _Filling(made, struct, node).run()
    except JsonSyntaxError as error:
        raise WireError(error.reason, error.offset) from None
    except _Refused as refused:
        start = byte_offset(data, refused.at)
        raise WireError(refused.reason, len(data) - len(data[start:].lstrip(b" \t\r\n"))) from None
    return made


class _Refused(Exception):
    """A value is of the wrong kind; it begins after the spaces at a character."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason, at)
        self.reason = reason
        self.at = at


class _Filling:
    """Fills one struct and all within it.

    Structs wait in a queue and are filled in the order in which they come, so that nesting costs no Python recursion
    and what comes twice is filled in the right order.
    """

    def __init__(self, target: Any, struct: Struct[Any], members: Members) -> None:
        self._waiting: deque[tuple[Any, Struct[Any], Members, str]] = deque([(target, struct, members, "")])
        # What is behind each slice, which Go fills again when a field comes twice: even elements that it was cut to
        # lose. The owner is kept with it, so that no later one has the same identity.
        self._behind: dict[tuple[int, str], tuple[Any, list[Any]]] = {}
        # Where filling is now: the innermost struct, the fields that lead to it, the character.
        self._struct = struct
        self._path = ""
        self._at = 0

    def run(self) -> None:
        while self._waiting:
            target, self._struct, members, path = self._waiting.popleft()
            for field, value, at in members:
                self._path, self._at = f"{path}.{field.name}", at
                _STORE[field.kind](self, target, field, value)

    def mismatch(self, value: Any, go_type: str) -> _Refused:
        what = json_kind(value)
        if what == "number" and go_type in WHOLE_NUMBERS:
            literal = value_text(value)
            what = f"number {literal if len(literal) <= 60 else literal[:60] + '…'}"
        place = f"{self._struct.name.removeprefix('tasks.')}{self._path}"
        return _Refused(f"json: cannot unmarshal {what} into Go struct field {place} of type {go_type}", self._at)

    def string(self, target: Any, field: Field, value: Any) -> None:
        if value is not None:
            setattr(target, field.attribute, self._text(value))

    def _text(self, value: Any) -> str:
        if type(value) is not str and type(value) is not EscapedText:
            raise self.mismatch(value, "string")
        return str(value)

    def bool(self, target: Any, field: Field, value: Any) -> None:
        if value is None:
            return
        if type(value) is not bool:
            raise self.mismatch(value, field.kind)
        setattr(target, field.attribute, value)

    def whole_number(self, target: Any, field: Field, value: Any) -> None:
        if value is None:
            return
        # Go's ParseInt takes this sign and its ParseUint does not.
        if type(value) is Number and value == "-0" and field.kind != "uint8":
            value = 0
        low, high = WHOLE_NUMBERS[field.kind]
        if type(value) is not int or not low <= value <= high:
            raise self.mismatch(value, field.kind)
        setattr(target, field.attribute, value)

    def time(self, target: Any, field: Field, value: Any) -> None:
        if value is None:
            if field.kind.startswith("*"):
                setattr(target, field.attribute, None)
            return
        if type(value) is EscapedText:
            raise _Refused(f"{self._path[1:]}: Go reads no escapes in a time", self._at)
        if type(value) is not str:
            raise _Refused(f"{self._path[1:]}: Time.UnmarshalJSON: input is not a JSON string", self._at)
        try:
            setattr(target, field.attribute, parse_time(value))
        except ValueError as error:
            raise _Refused(f"{self._path[1:]}: {error}", self._at) from None

    def map(self, target: Any, field: Field, value: Any) -> None:
        if value is None:
            setattr(target, field.attribute, None)
            return
        if type(value) is not dict:
            raise self.mismatch(value, field.kind)
        known = getattr(target, field.attribute)
        if known is None:
            setattr(target, field.attribute, value)
        else:
            known.update(value)

    def any(self, target: Any, field: Field, value: Any) -> None:
        setattr(target, field.attribute, str(value) if type(value) is EscapedText else value)

    def pointer(self, target: Any, field: Field, value: Any) -> None:
        pointed = self._pointed(getattr(target, field.attribute), field, value)
        setattr(target, field.attribute, pointed)

    def _pointed(self, known: Any, field: Field, value: Any) -> Any:
        if value is None:
            return None
        assert field.struct is not None
        target = field.struct.new() if known is None else known
        self._enter(target, field.struct, value)
        return target

    def _enter(self, target: Any, struct: Struct[Any], value: Any) -> None:
        if type(value) is not Members:
            raise self.mismatch(value, struct.name)
        if value:
            self._waiting.append((target, struct, value, self._path))

    def slice(self, target: Any, field: Field, value: Any) -> None:
        place = (id(target), field.attribute)
        if not value:
            if value is not None and type(value) is not list:
                raise self.mismatch(value, field.kind)
            self._behind.pop(place, None)
            setattr(target, field.attribute, value)
            return
        if type(value) is not list:
            raise self.mismatch(value, field.kind)
        _, behind = self._behind.setdefault(place, (target, []))
        element = _ELEMENT[field.kind]
        for position, item in enumerate(value):
            if position == len(behind):
                behind.append(element(self, _NOTHING, field, item))
            else:
                behind[position] = element(self, behind[position], field, item)
        setattr(target, field.attribute, behind[: len(value)])

    def string_element(self, known: Any, _field: Field, value: Any) -> Any:
        if value is None:
            return "" if known is _NOTHING else known
        return self._text(value)

    def struct_element(self, known: Any, field: Field, value: Any) -> Any:
        assert field.struct is not None
        target = field.struct.new() if known is _NOTHING else known
        if value is not None:
            self._enter(target, field.struct, value)
        return target

    def pointer_element(self, known: Any, field: Field, value: Any) -> Any:
        return self._pointed(None if known is _NOTHING else known, field, value)


_NOTHING: Final = object()
WHOLE_NUMBERS: Final = {"int": (-(1 << 63), (1 << 63) - 1), "int64": (-(1 << 63), (1 << 63) - 1), "uint8": (0, 255)}
_STORE: Final[dict[str, Callable[[_Filling, Any, Field, Any], None]]] = {
    "string": _Filling.string,
    "bool": _Filling.bool,
    "int": _Filling.whole_number,
    "int64": _Filling.whole_number,
    "uint8": _Filling.whole_number,
    "time.Time": _Filling.time,
    "*time.Time": _Filling.time,
    "any": _Filling.any,
    "tasks.Headers": _Filling.map,
    "*tasks.Signature": _Filling.pointer,
    "[]tasks.Arg": _Filling.slice,
    "[]*tasks.Signature": _Filling.slice,
    "[]*tasks.TaskResult": _Filling.slice,
    "[]string": _Filling.slice,
}
_ELEMENT: Final[dict[str, Callable[[_Filling, Any, Field, Any], Any]]] = {
    "[]tasks.Arg": _Filling.struct_element,
    "[]*tasks.Signature": _Filling.pointer_element,
    "[]*tasks.TaskResult": _Filling.pointer_element,
    "[]string": _Filling.string_element,
}


def json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Number | int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if type(value) is list else "object"
