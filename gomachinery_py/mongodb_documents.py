"""A task's state and a group as MongoDB's documents, and back.

Go source: ``TaskState``, ``TaskResult`` and ``GroupMeta`` with their ``bson`` tags in ``v2/tasks``, ``decodeResults``
in ``v2/backends/mongo/mongodb.go``; v1 alike. Commands are ``("update_one", collection, filter, update)``, always an
upsert, ``("update_if", …)``, which says whether there was something to update, ``("replace_one", collection, filter,
document)``, ``("find_one", collection, filter)``, ``("find", collection, filter)``, ``("find_ids", collection,
filter)`` for a page of keys in their order, and ``("delete_one", collection, filter)``.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import Number, value_text
from gomachinery_py.golang.time import ZERO_TIME, Time, unix_ns
from gomachinery_py.wire import decode_task_state
from gomachinery_py.wire.model import GroupMeta, TaskResult, TaskState

__all__ = [
    "Document",
    "Int64",
    "date",
    "group_document",
    "read_group",
    "read_state",
    "result_document",
    "utf8",
]

Document: TypeAlias = dict[str, Any]

_EXACT: Final = "gmpy_json"
_INTEGERS: Final = frozenset({"int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64"})
_FLOATS: Final = frozenset({"float32", "float64"})
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Int64:
    """A number that is stored as a 64-bit integer, the only kind that Go reads back as one."""

    value: int


def date(moment: datetime) -> datetime:
    """A moment as MongoDB keeps it: UTC, in milliseconds."""
    nanoseconds = unix_ns(moment)
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).replace(
        microsecond=nanoseconds % 1_000_000_000 // 1_000_000 * 1000
    )


def result_document(result: TaskResult) -> Document:
    """One result. What its type and BSON do not tell exactly is told by an attribute that Go ignores."""
    document: Document = {"type": utf8(result.type), "value": _stored(result.type, result.value)}
    if isinstance(result.value, str) and not isinstance(result.value, Number) and result.type == "string":
        is_json, value = _decoded(result.value)
        if is_json:
            document = {"type": "json", "value": _plain(value)}
    exact = _exact(result)
    if _exact(_read_result(document)) != exact:
        document[_EXACT] = exact
    return document


def read_state(document: Mapping[str, Any]) -> TaskState:
    """A task's state. Raises WireError when that is not what it is."""
    try:
        results = document.get("results")
        return TaskState(
            _string(document["_id"]),
            _string(document.get("task_name") or ""),
            _string(document.get("state") or ""),
            None if results is None else [_read_result(each) for each in results],
            _string(document.get("error") or ""),
            _read_date(document.get("created_at")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"MongoDB: a document is not a task's state: {error}") from error


def group_document(meta: GroupMeta) -> Document:
    """A group, in the order of Go's fields."""
    return {
        "_id": meta.group_uuid,
        "task_uuids": list(meta.task_uuids or ()),
        "chord_triggered": meta.chord_triggered,
        "lock": meta.lock,
        "created_at": date(meta.created_at),
    }


def read_group(document: Mapping[str, Any]) -> GroupMeta:
    """A group. Raises WireError when that is not what it is."""
    try:
        return GroupMeta(
            _string(document["_id"]),
            [_string(each) for each in document.get("task_uuids") or ()],
            bool(document.get("chord_triggered")),
            bool(document.get("lock")),
            _read_date(document.get("created_at")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"MongoDB: a document is not a group: {error}") from error


def _stored(kind: str, value: Any) -> Any:
    """A value of one of Machinery's types as BSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, bytes | bytearray):
        # Go stores binary data here, and its own readers end with a panic; this text they can read.
        return base64.b64encode(value).decode()
    if kind.startswith("[]") and isinstance(value, list | tuple):
        return [_stored(kind[2:], each) for each in value]
    if kind in _INTEGERS and isinstance(value, int | Number):
        number = int(value)
        return Int64(number) if -(2**63) <= number < 2**63 else str(number)
    if kind in _FLOATS and isinstance(value, int | float | Number):
        return float(value)
    return utf8(value) if isinstance(value, str) else utf8(value_text(value))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no float64")
    return number


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


# What Go decodes JSON to: every number is a float64, and one that does not fit is an error.
_DECODER: Final = json.JSONDecoder(parse_int=_finite, parse_float=_finite, parse_constant=_no_number)


def _decoded(text: str) -> tuple[bool, Any]:
    """Whether Go would store a text as JSON: its first value is an object or null; and that value."""
    try:
        value, _ = _DECODER.raw_decode(text.lstrip(" \t\r\n"))
    except (ValueError, OverflowError, RecursionError):
        return False, None
    return value is None or isinstance(value, dict), value


def _plain(value: Any) -> Any:
    """Decoded JSON as BSON takes it."""
    if isinstance(value, dict):
        return {utf8(key).replace("\0", ""): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return utf8(value) if isinstance(value, str) else value


def _read_result(document: Mapping[str, Any]) -> TaskResult:
    exact = document.get(_EXACT)
    if isinstance(exact, str):
        read = decode_task_state(f'{{"Results":[{exact}]}}'.encode()).results
        if read and read[0] is not None:
            return read[0]
    kind, value = _string(document["type"]), document.get("value")
    if kind == "json":
        # Go keeps no more of the text than this.
        return TaskResult("string", value_text(_loaded(value)))
    return TaskResult(kind, _loaded(value))


def _loaded(value: Any) -> Any:
    if isinstance(value, Int64):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_loaded(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _loaded(each) for key, each in value.items()}
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _exact(result: TaskResult) -> str:
    """A result as it is on the wire."""
    return utf8(f'{{"Type":{value_text(result.type)},"Value":{value_text(result.value)}}}')


def _read_date(value: Any) -> datetime:
    if value is None:
        return ZERO_TIME
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is not a date")
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return Time.from_unix_ns(unix_ns(aware))


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def utf8(text: str) -> str:
    """Text as BSON takes it: what no reader can read becomes U+FFFD, as in Go."""
    return _LONE_SURROGATE.sub("\ufffd", text)
