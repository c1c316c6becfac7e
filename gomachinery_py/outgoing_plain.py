"""The quick way through the checks of ``outgoing.py``, for what is plain: no callbacks, no options, simple values.

:func:`plain_copy` takes a signature only when nothing about it could be refused, which ``tests/test_outgoing_plain.py``
shows; all else is looked at field by field, and refused with a reason if it must be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from gomachinery_py.golang.strconv import float64_text
from gomachinery_py.incoming import MAX_ARGUMENTS
from gomachinery_py.outgoing_fields import Limits
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.wire.reflect import RANGES

__all__ = ["MAX_PLAIN_TEXT", "PLAIN_TEXTS", "PlainText", "has_no_options", "plain_copy"]

MAX_PLAIN_TEXT: Final = 1000
"""Characters of a text that is still plain."""
# Printable ASCII that JSON, as Go writes it, has no escape for.
_simple: Final = re.compile(r"[ !#-%'-;=?-\[\]-~]*").fullmatch

PlainText: TypeAlias = Callable[[Any], str | None]
"""A value as JSON, or None when it is not plain."""


def _integer(low: int, high: int) -> PlainText:
    return lambda value: int.__repr__(value) if type(value) is int and low <= value <= high else None


def _string(value: Any) -> str | None:
    return f'"{value}"' if type(value) is str and len(value) <= MAX_PLAIN_TEXT and _simple(value) else None


def _bool(value: Any) -> str | None:
    return "true" if value is True else "false" if value is False else None


def _float(value: Any) -> str | None:
    return float64_text(value) if type(value) is float and math.isfinite(value) else None


PLAIN_TEXTS: Final[dict[str, PlainText]] = {
    **{name: _integer(low, high) for name, (low, high) in RANGES.items()},
    "string": _string,
    "bool": _bool,
    "float64": _float,
}
"""How plain values of Machinery's types are written."""


def plain_copy(s: Signature, limits: Limits, in_group: bool) -> Signature | None:
    """A copy with copies of the arguments, or None when the signature is not plain."""
    if type(s) is not Signature or not has_no_options(s) or limits.uuid_bytes or limits.routing_key_bytes:
        return None
    names = (s.name, s.uuid, s.routing_key, s.group_uuid)
    for name in names:
        if type(name) is not str or not name.isascii():
            return None
    uuid, key, group, count = s.uuid, s.routing_key, s.group_uuid, s.group_task_count
    if type(count) is not int or not 0 <= count < 1 << 31 or not s.name:
        return None
    if in_group and not (group and count):
        return None
    if uuid in limits.reserved or group in limits.reserved or key in limits.keys:
        return None
    if any(map(limits.is_reserved, (uuid, key, group))):
        return None
    if (uuid and uuid in (key, group)) or (group and group == key):
        return None
    args = s.args
    if args is not None:
        copies = []
        if type(args) is not list or len(args) > MAX_ARGUMENTS:
            return None
        for arg in args:
            if type(arg) is not Arg or type(arg.type) is not str or type(arg.name) is not str or arg.name:
                return None
            text = PLAIN_TEXTS.get(arg.type)
            if text is None or text(arg.value) is None:
                return None
            copies.append(Arg(arg.type, arg.value))
        args = copies
    headers: dict[str, Any] | None = None if s.headers is None else {}
    return Signature(s.name, args, uuid, key, None, group, count, headers, declared=s.declared)


def has_no_options(s: Signature) -> bool:
    """Whether a signature says nothing but what is called, where, and as part of which group."""
    return (
        s.eta is None
        and s.on_success is None
        and s.on_error is None
        and s.chord_callback is None
        and (s.headers is None or (type(s.headers) is dict and not s.headers))
        and s.immutable is False
        and s.stop_task_deletion_on_error is False
        and s.ignore_when_task_not_registered is False
        and all(type(number) is int and number == 0 for number in (s.priority, s.retry_count, s.retry_timeout))
        and all(type(text) is str and not text for text in (s.broker_message_group_id, s.sqs_receipt_handle))
    )
