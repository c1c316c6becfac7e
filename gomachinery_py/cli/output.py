"""What commands print: safe for terminals, stable for programs."""

from __future__ import annotations

import json
from typing import Any

import click

from gomachinery_py.golang.json import write_value
from gomachinery_py.golang.time import format_time
from gomachinery_py.wire.model import Signature, TaskResult, TaskState

__all__ = ["print_json", "printable", "result_document", "shown_value", "signature_document", "state_document"]


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(document, ensure_ascii=False, default=str))


def printable(text: str, limit: int = 200) -> str:
    """Text from a message, without what could steer a terminal."""
    shown = text if len(text) <= limit else f"{text[:limit]}…"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in shown)


def shown_value(value: Any) -> str:
    """A value as one short line: text as it is, everything else as JSON."""
    return printable(value if type(value) is str else write_value(value))


def result_document(result: TaskResult) -> dict[str, Any]:
    """``{"type", "value"}``."""
    return {"type": result.type, "value": _plain(result.value)}


def state_document(state: TaskState) -> dict[str, Any]:
    """``{"uuid", "name", "state", "results", "error", "created_at"}``; an unknown task has an empty state."""
    return {
        "uuid": state.task_uuid,
        "name": state.task_name,
        "state": state.state,
        "results": None if state.results is None else [result_document(result) for result in state.results],
        "error": state.error,
        "created_at": format_time(state.created_at),
    }


def signature_document(signature: Signature) -> dict[str, Any]:
    """``{"uuid", "name", "routing_key", "eta", "args", "retry_count", "group_uuid"}``."""
    return {
        "uuid": signature.uuid,
        "name": signature.name,
        "routing_key": signature.routing_key,
        "eta": None if signature.eta is None else format_time(signature.eta),
        "args": [{"type": arg.type, "value": _plain(arg.value)} for arg in signature.args or ()],
        "retry_count": signature.retry_count,
        "group_uuid": signature.group_uuid,
    }


def _plain(value: Any) -> Any:
    return json.loads(write_value(value))
