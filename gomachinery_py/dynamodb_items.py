"""States and groups as DynamoDB items, whose values carry their types: ``{"State": {"S": "SUCCESS"}}``.

Go source: ``v2/backends/dynamodb/dynamodb.go``, and the marshallers that it uses: ``attributevalue`` of AWS SDK v2
(Machinery v1: ``dynamodbattribute`` of SDK v1, which writes ``""`` as NULL and reads both).

A result is ``{Type, Value}`` with Value as the text that ``%v`` prints, which Go reads back as a string whatever its
type. Here it is read by its type. Where that text does not say all (a list of strings, null for an empty list), one
more attribute holds the JSON that other stores keep; Go's unmarshallers leave out what their structs do not have.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from gomachinery_py.errors import ServiceError, WireError
from gomachinery_py.golang.fmt import format_value
from gomachinery_py.golang.json import (
    JsonSyntaxError,
    Number,
    float32_text,
    float64_text,
    number_value,
    parse,
    value_text,
)
from gomachinery_py.golang.strconv import printed_float
from gomachinery_py.golang.time import ZERO_TIME, format_time, parse_time
from gomachinery_py.wire.model import GroupMeta, TaskResult, TaskState

__all__ = [
    "CONDITION_FAILED",
    "EXACT",
    "DynamoDBCommand",
    "DynamoDBRefused",
    "Item",
    "group_item",
    "read_group",
    "read_state",
    "result_value",
    "state_item",
    "utf8",
]

Item: TypeAlias = Mapping[str, Mapping[str, Any]]
DynamoDBCommand: TypeAlias = tuple[str, dict[str, Any]]
"""An operation of DynamoDB's API and its parameters: ``("PutItem", {"TableName": …, "Item": …})``."""

CONDITION_FAILED: Final = "ConditionalCheckFailedException"

EXACT: Final = "GmpyJSON"
"""The attribute of a result that holds its value as JSON."""

_NULL: Final[Mapping[str, Any]] = {"NULL": True}
_INTEGERS: Final = frozenset(f"{sign}int{size}" for sign in ("", "u") for size in ("", "8", "16", "32", "64"))


class DynamoDBRefused(ServiceError):
    """DynamoDB's answer to a command that it did not carry out; ``code`` is AWS' name of the error.

    ``item`` is what was stored, when a condition was not met.
    """

    def __init__(self, text: str, code: str, item: Item | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.item = item


# -- items --


def state_item(state: TaskState) -> dict[str, Any]:
    """A new task's state with all its fields (Go: ``MarshalMap(taskState)``)."""
    return {
        "TaskUUID": {"S": state.task_uuid},
        "TaskName": {"S": state.task_name},
        "State": {"S": state.state},
        "Results": _NULL if state.results is None else {"L": [result_value(result) for result in state.results]},
        "Error": {"S": state.error},
        "CreatedAt": {"S": format_time(state.created_at)},
        "TTL": {"N": str(state.ttl)},
    }


def utf8(text: str) -> str:
    """Text that can be sent: what is no character is replaced, as Go's JSON encoder does."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def group_item(meta: GroupMeta) -> dict[str, Any]:
    """A group's meta document (Go: ``MarshalMap(meta)``)."""
    uuids = meta.task_uuids
    return {
        "GroupUUID": {"S": meta.group_uuid},
        "TaskUUIDs": _NULL if uuids is None else {"L": [{"S": uuid} for uuid in uuids]},
        "ChordTriggered": {"BOOL": meta.chord_triggered},
        "Lock": {"BOOL": meta.lock},
        "CreatedAt": {"S": format_time(meta.created_at)},
        "TTL": {"N": str(meta.ttl)},
    }


def read_state(item: Item) -> TaskState:
    """A state of either side. Raises WireError."""
    results = _field(item, "Results", "L")
    return TaskState(
        _field(item, "TaskUUID", "S") or "",
        _field(item, "TaskName", "S") or "",
        _field(item, "State", "S") or "",
        None if results is None else [_result(result) for result in results],
        _field(item, "Error", "S") or "",
        _time(item),
        int(_field(item, "TTL", "N") or 0),
    )


def read_group(item: Item) -> GroupMeta:
    """A group's meta document of either side. Raises WireError."""
    uuids = _field(item, "TaskUUIDs", "L")
    return GroupMeta(
        _field(item, "GroupUUID", "S") or "",
        None if uuids is None else [_field({"TaskUUIDs": uuid}, "TaskUUIDs", "S") or "" for uuid in uuids],
        _field(item, "ChordTriggered", "BOOL") or False,
        _field(item, "Lock", "BOOL") or False,
        _time(item),
        int(_field(item, "TTL", "N") or 0),
    )


def _field(item: Item, name: str, kind: str) -> Any:
    """The value of a field, None when it is NULL or not there."""
    value = item.get(name)
    if value is None or "NULL" in value:
        return None
    if kind not in value:
        raise WireError(f"{name} is not of DynamoDB's type {kind} but {'/'.join(value)}")
    return value[kind]


def _time(item: Item) -> Any:
    text = _field(item, "CreatedAt", "S")
    if text is None:
        return ZERO_TIME
    try:
        return parse_time(text)
    except ValueError as error:
        raise WireError(f"CreatedAt: {error}") from None


# -- results --


def result_value(result: TaskResult) -> dict[str, Any]:
    """One result, with its exact JSON only where its text would not give it back."""
    text, exact = _printed(result.type, result.value), value_text(result.value)
    members: dict[str, Any] = {"Type": {"S": result.type}, "Value": {"S": text}}
    if _json(_read(result.type, text)) != exact:
        members[EXACT] = {"S": exact}
    return {"M": members}


def _result(value: Mapping[str, Any]) -> TaskResult:
    members = value.get("M")
    if members is None:
        raise WireError("a member of Results is not a map")
    kind, exact = _field(members, "Type", "S") or "", members.get(EXACT)
    if exact is None:
        value_of = members.get("Value") or _NULL
        return TaskResult(kind, _read(kind, value_of["S"]) if "S" in value_of else _plain(value_of))
    try:
        return TaskResult(kind, parse(exact["S"].encode()))
    except (JsonSyntaxError, KeyError) as error:
        raise WireError(f"{EXACT} of a result cannot be read: {error}") from None


def _json(value: Any) -> str | None:
    try:
        return value_text(value)
    except (TypeError, ValueError):
        return None


def _plain(value: Mapping[str, Any]) -> Any:
    """What Go's unmarshallers make of a value that is not text, for an ``interface{}``."""
    [(kind, inner)] = value.items()
    if kind == "N":
        return number_value(inner)
    if kind == "L":
        return [_plain(item) for item in inner]
    if kind == "M":
        return {name: _plain(item) for name, item in inner.items()}
    return None if kind == "NULL" else inner


# -- texts, as Go's %v prints real Go values --


def _printed(kind: str, value: Any) -> str:
    if kind == "string" and isinstance(value, str):
        # format_value would cut what is long.
        return str(value)
    try:
        if not kind.startswith("[]"):
            return _scalar(kind, value)
        if isinstance(value, str):
            value = base64.b64decode(value, validate=True)
        return f"[{' '.join(_scalar(kind[2:], item) for item in value or ())}]"
    except (TypeError, ValueError, binascii.Error):
        return format_value(value)


def _scalar(kind: str, value: Any) -> str:
    if kind in ("float32", "float64"):
        return printed_float(float(value), single=kind == "float32")
    return value if isinstance(value, str) and not isinstance(value, Number) else format_value(value)


def _read(kind: str, text: str) -> Any:
    """A value by its type; the text itself where its type does not say how, or it does not fit."""
    try:
        if not kind.startswith("[]"):
            reader = _reader(kind)
            return text if reader is None else reader(text)
        reader = _reader("uint8" if kind == "[]byte" else kind[2:])
        if reader is None or not (text.startswith("[") and text.endswith("]")):
            return text
        items = [reader(item) for item in text[1:-1].split()]
        return base64.b64encode(bytes(items)).decode() if kind in ("[]byte", "[]uint8") else items
    except (ValueError, OverflowError):
        return text


def _reader(kind: str) -> Callable[[str], Any] | None:
    if kind in _INTEGERS:
        return int
    return _READERS.get(kind)


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _float64(text: str) -> Any:
    number = float(text)
    return number_value(float64_text(number)) if text[-1:].isdigit() else number


def _float32(text: str) -> Any:
    number = float(text)
    return number_value(float32_text(number)) if text[-1:].isdigit() else number


_READERS: Final[dict[str, Callable[[str], Any]]] = {"bool": _bool, "float32": _float32, "float64": _float64}
