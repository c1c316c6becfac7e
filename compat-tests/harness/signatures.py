"""Signatures as Machinery's own JSON, for producers and raw pushes that must not go through our code."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Document", "arg", "push", "signature"]

Document = dict[str, Any]


def arg(kind: str, value: object) -> Document:
    """One argument: a Machinery type name and its JSON value."""
    return {"Name": "", "Type": kind, "Value": value}


def signature(name: str, *args: tuple[str, object], **fields: object) -> Document:
    """A signature document; ``fields`` are Machinery's own names (``UUID``, ``ETA``, ``RetryCount``, …)."""
    document: Document = {"Name": name, "Args": [arg(kind, value) for kind, value in args]}
    return {**document, **fields}


def push(client: Any, queue: str, document: Document) -> None:
    """Put a signature on a queue without any producer; no PENDING state is written."""
    client.rpush(queue, json.dumps(document))
