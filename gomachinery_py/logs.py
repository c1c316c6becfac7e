"""Which task a log line is about: three attributes of the record, ``task_uuid``, ``task_name`` and ``queue``.

This package's own lines carry them by ``extra=``. What a task function logs gets them by :class:`TaskFields`, a filter
that the command line puts on its handler; put it on yours where you set up logging yourself.
"""

from __future__ import annotations

import logging
from typing import Final

from gomachinery_py.context import running_signature
from gomachinery_py.errors import WireError
from gomachinery_py.incoming import brief
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["FIELDS", "TaskFields", "about", "about_message", "fields_of"]

FIELDS: Final = ("task_uuid", "task_name", "queue")
"""The attributes, in the order in which they are shown."""


def about(signature: Signature, queue: str = "") -> dict[str, str]:
    """What a line about a task says of it, as ``extra=``: ``log.error("…", extra=about(signature))``.

    ``queue`` is where it was taken from, unless the signature says so itself.
    """
    return {
        "task_uuid": brief(signature.uuid),
        "task_name": brief(signature.name),
        "queue": brief(queue or signature.taken_from or signature.routing_key),
    }


def about_message(body: bytes, queue: str = "") -> dict[str, str]:
    """:func:`about` for a message as it was taken; of one that cannot be decoded there is only the queue to tell."""
    try:
        return about(decode_signature(body), queue)
    except WireError:
        return {"queue": brief(queue)}


class TaskFields(logging.Filter):
    """Lets every record pass; one that is written while a task runs, in its thread or coroutine, is about that task."""

    def filter(self, record: logging.LogRecord) -> bool:
        signature = running_signature.get()
        if signature is not None and not hasattr(record, "task_uuid"):
            record.__dict__.update(about(signature))
        return True


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What a record says of its task; empty for lines about none."""
    return {name: str(value) for name in FIELDS if (value := getattr(record, name, None))}
