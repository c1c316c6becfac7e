"""Bytes to Signature, TaskState and GroupMeta, exactly as Go's ``json.Decoder`` with ``UseNumber`` fills its structs.

Go source: ``encoding/json/decode.go`` (``object``, ``array``, ``literalStore``). Field names match whatever their case,
the last duplicate wins, slices and nested structs that come twice are merged element by element, ``null`` leaves a
scalar as it was, unknown fields are dropped, and what follows the document is ignored.

This is the exact path; ``fast.py`` tries a quicker one first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import EscapedText, Number, Pairs, parse, plain_value
from gomachinery_py.golang.strconv import NumError, parse_int, parse_uint
from gomachinery_py.golang.time import parse_time
from gomachinery_py.wire.model import Arg, GroupMeta, Signature, TaskResult, TaskState

__all__ = ["decode_group_meta_exactly", "decode_signature_exactly", "decode_task_state_exactly"]

# A step of decoding: what it yields is run before it goes on, so nesting costs no Python recursion.
Step = Generator["Step", None, None]


@dataclass(frozen=True, slots=True)
class _Field:
    struct: str
    name: str
    attribute: str
    kind: str


def _fields(struct: str, table: str) -> dict[str, _Field]:
    fields = {}
    for row in table.split():
        name, attribute, kind = row.split(":")
        fields[name] = _Field(struct, name, attribute, kind)
    return fields


_SIGNATURE: Final = _fields(
    "Signature",
    """UUID:uuid:string Name:name:string RoutingKey:routing_key:string ETA:eta:*time GroupUUID:group_uuid:string
    GroupTaskCount:group_task_count:int Args:args:[]Arg Headers:headers:map Priority:priority:uint8
    Immutable:immutable:bool RetryCount:retry_count:int RetryTimeout:retry_timeout:int
    OnSuccess:on_success:[]*Signature OnError:on_error:[]*Signature ChordCallback:chord_callback:*Signature
    BrokerMessageGroupId:broker_message_group_id:string SQSReceiptHandle:sqs_receipt_handle:string
    StopTaskDeletionOnError:stop_task_deletion_on_error:bool
    IgnoreWhenTaskNotRegistered:ignore_when_task_not_registered:bool""",
)
_ARG: Final = _fields("Arg", "Name:name:string Type:type:string Value:value:any")
_RESULT: Final = _fields("TaskResult", "Type:type:string Value:value:any")
_TASK_STATE: Final = _fields(
    "TaskState",
    """TaskUUID:task_uuid:string TaskName:task_name:string State:state:string Results:results:[]*TaskResult
    Error:error:string CreatedAt:created_at:time TTL:ttl:int""",
)
_GROUP_META: Final = _fields(
    "GroupMeta",
    """GroupUUID:group_uuid:string TaskUUIDs:task_uuids:[]string ChordTriggered:chord_triggered:bool Lock:lock:bool
    CreatedAt:created_at:time TTL:ttl:int""",
)

# Go folds these two to ASCII letters (``foldName``); no other character beyond ASCII matches a field.
_FOLD: Final = str.maketrans({"\u212a": "k", "\u017f": "s"})
_FOLDED: Final = {
    id(table): {name.lower(): field for name, field in table.items()}
    for table in (_SIGNATURE, _ARG, _RESULT, _TASK_STATE, _GROUP_META)
}


def decode_signature_exactly(data: bytes) -> Signature:
    """Go: ``decoder.Decode(new(tasks.Signature))``. Raises WireError."""
    signature = Signature("")
    _run(_Decoder().struct(signature, _SIGNATURE, _document(data, "tasks.Signature")))
    return signature


def decode_task_state_exactly(data: bytes) -> TaskState:
    """Go: ``decoder.Decode(new(tasks.TaskState))``. Raises WireError."""
    state = TaskState("")
    _run(_Decoder().struct(state, _TASK_STATE, _document(data, "tasks.TaskState")))
    return state


def decode_group_meta_exactly(data: bytes) -> GroupMeta:
    """Go: ``decoder.Decode(new(tasks.GroupMeta))``. Raises WireError."""
    meta = GroupMeta("")
    _run(_Decoder().struct(meta, _GROUP_META, _document(data, "tasks.GroupMeta")))
    return meta


def _document(data: bytes, go_type: str) -> Any:
    node = parse(data)
    if node is not None and not isinstance(node, Pairs):
        raise WireError(f"json: cannot unmarshal {_kind(node)} into Go value of type {go_type}")
    return node


def _run(step: Step) -> None:
    stack = [step]
    while stack:
        try:
            stack.append(next(stack[-1]))
        except StopIteration:
            stack.pop()


class _Decoder:
    """Decodes one document; remembers the elements behind each slice, which Go fills again when a field comes twice."""

    def __init__(self) -> None:
        self._behind: dict[tuple[int, str], list[Any]] = {}

    def struct(self, target: Any, table: dict[str, _Field], node: Any) -> Step:
        """Fill a struct; ``null`` leaves it as it is."""
        if node is None:
            return
        folded = _FOLDED[id(table)]
        for key, value in node:
            field = table.get(key)
            if field is None:
                name = key.translate(_FOLD)
                field = folded.get(name.lower()) if name.isascii() else None
                if field is None:
                    continue
            convert = _SCALARS.get(field.kind)
            if convert is not None:
                convert(target, field, value)
            elif field.kind == "[]Arg":
                yield self._slice(target, field, value, self._arg)
            elif field.kind == "[]*Signature":
                yield self._slice(target, field, value, self._signature_element)
            elif field.kind == "*Signature":
                yield self._pointer(target, field, value)
            elif field.kind == "[]*TaskResult":
                yield self._slice(target, field, value, self._result_element)
            else:
                yield self._slice(target, field, value, self._string_element)

    def _slice(self, target: Any, field: _Field, node: Any, element: Callable[..., Step | None]) -> Step:
        place = (id(target), field.attribute)
        if node is None:
            self._behind.pop(place, None)
            setattr(target, field.attribute, None)
            return
        if not isinstance(node, list) or isinstance(node, Pairs):
            raise _mismatch(field, node)
        if not node:
            self._behind.pop(place, None)
            setattr(target, field.attribute, [])
            return
        behind = self._behind.setdefault(place, [])
        for position, item in enumerate(node):
            step = element(behind, position, item, field)
            if step is not None:
                yield step
        setattr(target, field.attribute, behind[: len(node)])

    def _arg(self, behind: list[Any], position: int, node: Any, field: _Field) -> Step | None:
        if position == len(behind):
            behind.append(Arg("", None))
        return self._object(behind[position], _ARG, node, field)

    def _signature_element(self, behind: list[Any], position: int, node: Any, field: _Field) -> Step | None:
        return self._pointer_element(behind, position, node, field, lambda: Signature(""), _SIGNATURE)

    def _result_element(self, behind: list[Any], position: int, node: Any, field: _Field) -> Step | None:
        return self._pointer_element(behind, position, node, field, lambda: TaskResult("", None), _RESULT)

    def _pointer_element(
        self,
        behind: list[Any],
        position: int,
        node: Any,
        field: _Field,
        new: Callable[[], Any],
        table: dict[str, _Field],
    ) -> Step | None:
        if position == len(behind):
            behind.append(None)
        if node is None:
            behind[position] = None
            return None
        if behind[position] is None:
            behind[position] = new()
        return self._object(behind[position], table, node, field)

    def _string_element(self, behind: list[Any], position: int, node: Any, field: _Field) -> None:
        if position == len(behind):
            behind.append("")
        if node is None:
            return
        if not isinstance(node, str) or isinstance(node, Number):
            raise _mismatch(field, node)
        behind[position] = str(node)

    def _pointer(self, target: Any, field: _Field, node: Any) -> Step:
        if node is None:
            setattr(target, field.attribute, None)
            return
        if getattr(target, field.attribute) is None:
            setattr(target, field.attribute, Signature(""))
        yield self._object(getattr(target, field.attribute), _SIGNATURE, node, field)

    def _object(self, target: Any, table: dict[str, _Field], node: Any, field: _Field) -> Step:
        if node is not None and not isinstance(node, Pairs):
            raise _mismatch(field, node)
        return self.struct(target, table, node)


def _kind(node: Any) -> str:
    if isinstance(node, Number):
        return "number"
    if isinstance(node, str):
        return "string"
    if isinstance(node, bool):
        return "bool"
    return "object" if isinstance(node, Pairs) else "array"


def _mismatch(field: _Field, node: Any) -> WireError:
    what = f"number {node}" if isinstance(node, Number) else _kind(node)
    if len(what) > 60:
        what = what[:60] + "…"
    return WireError(f"json: cannot unmarshal {what} into Go struct field {field.struct}.{field.name} of type {field.kind}")


def _string(target: Any, field: _Field, node: Any) -> None:
    if node is None:
        return
    if not isinstance(node, str) or isinstance(node, Number):
        raise _mismatch(field, node)
    setattr(target, field.attribute, str(node))


def _bool(target: Any, field: _Field, node: Any) -> None:
    if node is None:
        return
    if not isinstance(node, bool):
        raise _mismatch(field, node)
    setattr(target, field.attribute, node)


def _int(target: Any, field: _Field, node: Any) -> None:
    if node is None:
        return
    if not isinstance(node, Number):
        raise _mismatch(field, node)
    try:
        number = parse_uint(node) if field.kind == "uint8" else parse_int(node)
    except NumError:
        raise _mismatch(field, node) from None
    if field.kind == "uint8" and number > 255:
        raise _mismatch(field, node)
    setattr(target, field.attribute, number)


def _time(target: Any, field: _Field, node: Any) -> None:
    if node is None:
        if field.kind == "*time":
            setattr(target, field.attribute, None)
        return
    if not isinstance(node, str) or isinstance(node, Number):
        raise WireError(f"{field.name}: Time.UnmarshalJSON: input is not a JSON string")
    if isinstance(node, EscapedText):
        raise WireError(f"{field.name}: Go reads no escapes in a time")
    try:
        setattr(target, field.attribute, parse_time(node))
    except ValueError as error:
        raise WireError(f"{field.name}: {error}") from None


def _map(target: Any, field: _Field, node: Any) -> None:
    if node is None:
        setattr(target, field.attribute, None)
        return
    if not isinstance(node, Pairs):
        raise _mismatch(field, node)
    # A map that comes twice is filled further.
    setattr(target, field.attribute, {**(getattr(target, field.attribute) or {}), **plain_value(node)})


def _any(target: Any, field: _Field, node: Any) -> None:
    setattr(target, field.attribute, plain_value(node))


_SCALARS: Final[dict[str, Callable[[Any, _Field, Any], None]]] = {
    "string": _string,
    "bool": _bool,
    "int": _int,
    "uint8": _int,
    "time": _time,
    "*time": _time,
    "map": _map,
    "any": _any,
}
