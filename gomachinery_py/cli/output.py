"""What commands print: safe for terminals, stable for programs."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import click

from gomachinery_py.cli.text import json_safe, printable
from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import write_value
from gomachinery_py.golang.time import format_time
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature, TaskResult, TaskState

__all__ = ["indented", "message_document", "message_line", "print_json", "shown_value", "state_document"]

_ARGUMENT_LIMIT = 200
_MESSAGE_LIMIT = 100
_MOST_ARGUMENTS = 100
_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*"|\[\]|\{\}|[][{},:]|[^][{},:"\s]+')


class _Written(str):
    """A value that is JSON already: Python's own writer has no word for 1.50, and gives up on deep nesting."""

    __slots__ = ()


def print_json(document: Any) -> None:
    """One JSON document on one line of standard output."""
    click.echo(json_safe(_dumped(document)))


def _dumped(document: Any) -> str:
    if isinstance(document, _Written):
        return str(document)
    if isinstance(document, dict):
        return "{" + ", ".join(f"{_dumped(name)}: {_dumped(value)}" for name, value in document.items()) + "}"
    if isinstance(document, list):
        return "[" + ", ".join(_dumped(item) for item in document) + "]"
    return json.dumps(document, ensure_ascii=False)


def shown_value(value: Any, limit: int | None = None) -> str:
    """A value on one line: text as it is, everything else as JSON."""
    return printable(value if type(value) is str else write_value(value), limit)


def _result_document(result: TaskResult) -> dict[str, Any]:
    return {"type": result.type, "value": _Written(write_value(result.value))}


def state_document(state: TaskState) -> dict[str, Any]:
    """``{"uuid", "name", "state", "results", "error", "created_at"}``.

    ``results`` is null, or a list of ``{"type", "value"}``; the state of an unknown task is "".
    """
    return {
        "uuid": state.task_uuid,
        "name": state.task_name,
        "state": state.state,
        "results": None if state.results is None else [_result_document(result) for result in state.results],
        "error": state.error,
        "created_at": format_time(state.created_at),
    }


def message_document(body: bytes) -> dict[str, Any]:
    """``{"uuid", "name", "routing_key", "eta", "args", "headers", "retry_count", "group_uuid"}``.

    A message that Machinery cannot decode is ``{"undecodable", "base64", "error"}``: its text, its bytes, and why.
    """
    try:
        signature = decode_signature(body)
    except WireError as error:
        return {
            "undecodable": body.decode("utf-8", "replace"),
            "base64": base64.b64encode(body).decode(),
            "error": str(error),
        }
    return {
        "uuid": signature.uuid,
        "name": signature.name,
        "routing_key": signature.routing_key,
        "eta": None if signature.eta is None else format_time(signature.eta),
        "args": [{"type": arg.type, "value": _Written(write_value(arg.value))} for arg in signature.args or ()],
        "headers": _Written(write_value(signature.headers)),
        "retry_count": signature.retry_count,
        "group_uuid": signature.group_uuid,
    }


def message_line(body: bytes, reason: str = "") -> str:
    """``uuid name(type:value, …)``, with its ETA, and with the reason behind ``#`` when it has one."""
    tail = f"  # {printable(reason)}" if reason else ""
    try:
        return _signature_line(decode_signature(body)) + tail
    except WireError as error:
        text = printable(body.decode("utf-8", "replace"), _MESSAGE_LIMIT)
        return f"undecodable ({printable(str(error))}): {text}{tail}"


def _signature_line(signature: Signature) -> str:
    given = signature.args or ()
    args = ", ".join(
        f"{printable(arg.type, 20)}:{shown_value(arg.value, _ARGUMENT_LIMIT)}" for arg in given[:_MOST_ARGUMENTS]
    )
    if len(given) > _MOST_ARGUMENTS:
        args += f", … {len(given) - _MOST_ARGUMENTS} more"
    eta = f" eta {format_time(signature.eta)}" if signature.eta is not None else ""
    return f"{printable(signature.uuid)} {printable(signature.name)}({args}){eta}"


def indented(document: str) -> str:
    """Compact JSON over several lines (Go: ``json.Indent``), every literal as it was written."""
    parts: list[str] = []
    depth = 0
    for token in _TOKEN.findall(document):
        if token in ("[", "{"):
            depth += 1
            parts.append(token + _new_line(depth))
        elif token in ("]", "}"):
            depth -= 1
            parts.append(_new_line(depth) + token)
        elif token == ",":
            parts.append(token + _new_line(depth))
        else:
            parts.append(": " if token == ":" else token)
    return "".join(parts)


def _new_line(depth: int) -> str:
    # Beyond any real message: ten thousand levels would be 200 MB of blanks.
    return "\n" + "  " * min(depth, 100)
