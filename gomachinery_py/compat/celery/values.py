"""Celery's values on Machinery's wire.

Celery sends whatever JSON can hold, and datetime, date, time, Decimal and UUID as kombu writes them. Machinery has
bool, numbers, texts, bytes and lists of one of these. What fits travels as itself; everything else (None, dicts, mixed
or nested lists, …) travels as a ``string`` of JSON text behind :data:`MARK`. The mark is white space, so that every
JSON parser reads over it: a Go task that gets such a text can unmarshal it as it stands. A text that begins with the
mark itself is written as JSON too, so nothing is ambiguous.

A list becomes a ``[]T`` only when all its items are of exactly one kind: ``[1, 2.5]`` would come back as
``[1.0, 2.5]``.
"""

from __future__ import annotations

import base64
import json
import uuid
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from gomachinery_py.types import infer_type
from gomachinery_py.wire.model import Arg

__all__ = ["MARK", "dumped", "loaded", "plain", "restored", "to_arg"]

MARK: Final = "\t\r"

_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**63, 2**64)
_SCALARS: Final = {bool: "bool", int: "int64", float: "float64", str: "string"}


def to_arg(value: Any, name: str = "") -> Arg:
    """A value as a wire argument. Raises TypeError or ValueError for what Celery's JSON could not send either.

    NaN and infinities are among those: Python's JSON writes them, no other reader takes them.
    """
    fitting = plain(value)
    kind = infer_type(fitting)
    return Arg(kind.name, kind.to_wire(fitting), name)


def plain(value: Any) -> Any:
    """A value that Machinery has a type for: the same one, or its JSON text behind the mark.

    Tuples are lists, and members of an ``IntEnum`` numbers, as JSON makes them. Raises as :func:`to_arg`.
    """
    if _fits(value):
        return value
    text = dumped(value)
    as_json = json.loads(text)
    return as_json if _fits(as_json) else MARK + text


def restored(value: Any) -> Any:
    """What :func:`plain` was given. Raises ValueError for a mark with no JSON behind it."""
    if isinstance(value, str) and value.startswith(MARK):
        return loaded(value[len(MARK) :])
    return value


def _fits(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return not value.startswith(MARK)
    if kind is int:
        return value in _INT64 or value in _UINT64
    if kind in (bool, float, bytes):
        return True
    if kind is not list:
        return False
    kinds = set(map(type, value))
    if not kinds:
        return True
    if len(kinds) > 1 or not kinds <= set(_SCALARS):
        return False
    return kinds != {int} or all(item in _INT64 for item in value)


# -- JSON as kombu writes it: kombu/utils/json.py --


def dumped(value: Any) -> str:
    """JSON text. Raises TypeError or ValueError for what has none."""
    return json.dumps(value, default=_encoded, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def loaded(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError when it is none, or of a type that is not among kombu's own."""
    try:
        return json.loads(text, object_hook=_decoded)
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None


def _encoded(value: Any) -> Any:
    reducer = getattr(value, "__json__", None)
    if reducer is not None:
        return reducer()
    if isinstance(value, datetime):
        return _as("datetime", value.isoformat())
    if isinstance(value, date | time):
        return _as("date" if isinstance(value, date) else "time", value.isoformat())
    if isinstance(value, Decimal):
        return _as("decimal", str(value))
    if isinstance(value, uuid.UUID):
        return _as("uuid", {"hex": value.hex})
    if isinstance(value, bytes):
        try:
            return _as("bytes", value.decode())
        except UnicodeDecodeError:
            return _as("base64", base64.b64encode(value).decode())
    raise TypeError(f"{type(value).__name__} cannot be sent: Celery's JSON has no form for it")


def _as(kind: str, value: Any) -> dict[str, Any]:
    return {"__type__": kind, "__value__": value}


_DECODERS: Final[dict[str, Any]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda parts: uuid.UUID(**parts),
    "bytes": lambda text: text.encode(),
    "base64": base64.b64decode,
}


def _decoded(document: dict[str, Any]) -> Any:
    if document.keys() != {"__type__", "__value__"}:
        return document
    kind, value = document["__type__"], document["__value__"]
    decode = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decode is None:
        raise ValueError(f"the value is of type {kind!r}, which only the program that sent it can read")
    try:
        return decode(value)
    except Exception as error:
        raise ValueError(f"what calls itself {kind!r} is none: {error}") from None
