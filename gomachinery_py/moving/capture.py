"""The form of a capture: JSON lines, the first of which says what the file is.

::

    {"gomachinery_capture": 1, "id": "…", "queue": "orders", "broker": "redis://…", "begun": "2030-01-02T15:04:05Z",
     "taken": false}
    {"kind": "pending", "body": "{\\"UUID\\":…}"}
    {"kind": "delayed", "due_ns": 1900000000000000000, "body": "…", "identity": "…"}
    {"kind": "pending", "base64": "…"}

``body`` is the message's text, byte for byte; what is no UTF-8 is ``base64``. ``reason`` is that of a dead letter,
``identity`` what told the task from others where it was taken, so that none is in the file twice.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from gomachinery_py.brokers.moves import KINDS, Arrival, Departure
from gomachinery_py.errors import MachineryError

__all__ = ["CaptureError", "Header", "begins_header", "read_header", "read_line", "write_header", "write_line"]

_VERSION: Final = 1
_MARK: Final = "gomachinery_capture"


class CaptureError(MachineryError, ValueError):
    """A file, or a line of it, is not what ``gomachinery capture`` writes."""


@dataclass(frozen=True, slots=True)
class Header:
    """Which capture it is; ``broker`` without what is secret; ``taken``: its tasks are no longer in their queue."""

    id: str
    queue: str
    broker: str
    begun: str
    taken: bool


def write_header(header: Header) -> bytes:
    """The first line."""
    return json.dumps({_MARK: _VERSION, **asdict(header)}, ensure_ascii=False).encode() + b"\n"


def begins_header(cut: bytes) -> bool:
    """Whether this may be what a kill left of a first line."""
    known = f'{{"{_MARK}": {_VERSION}, '.encode()
    return cut.startswith(known) or known.startswith(cut)


def read_header(line: bytes) -> Header:
    """Raises CaptureError when the file is something else, or of a later form."""
    try:
        told = json.loads(line)
        version = told[_MARK]
        names = str(told["id"]), str(told["queue"]), str(told["broker"]), str(told["begun"])
        header = Header(*names, taken=told["taken"] is True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CaptureError("this is no file of gomachinery capture") from error
    if version != _VERSION:
        raise CaptureError(
            f"this capture is of form {version!r}, which a later gomachinery reads; here it is {_VERSION}"
        )
    return header


def write_line(arrival: Arrival, identity: str) -> bytes:
    """One task."""
    told: dict[str, Any] = {"kind": arrival.kind}
    if arrival.due_ns is not None:
        told["due_ns"] = arrival.due_ns
    if arrival.reason:
        told["reason"] = arrival.reason
    if identity:
        told["identity"] = identity
    try:
        told["body"] = arrival.body.decode()
    except UnicodeDecodeError:
        told["base64"] = base64.b64encode(arrival.body).decode()
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def read_line(line: bytes) -> Departure:
    """The task of a line, with the identity that it had. Raises CaptureError."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"not JSON: {error}") from error
    if not isinstance(told, dict) or told.get("kind") not in KINDS:
        raise CaptureError(f'"kind" is not one of {", ".join(KINDS)}')
    due_ns = told.get("due_ns")
    if due_ns is not None and (not isinstance(due_ns, int) or isinstance(due_ns, bool)):
        raise CaptureError('"due_ns" is not a whole number')
    return Departure(
        told["kind"], _body(told), due_ns, str(told.get("identity") or ""), reason=str(told.get("reason") or "")
    )


def _body(told: dict[str, Any]) -> bytes:
    text, encoded = told.get("body"), told.get("base64")
    try:
        if isinstance(text, str):
            return text.encode()
        if isinstance(encoded, str):
            return base64.b64decode(encoded, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise CaptureError(f"its body cannot be read: {error}") from error
    raise CaptureError('it has neither "body" nor "base64"')
