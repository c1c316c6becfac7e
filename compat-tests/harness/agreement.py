"""Whether we and live Go make the same of a document."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gomachinery_py import wire
from gomachinery_py.golang.time import Time
from gomachinery_py.wire import WireError
from gomachinery_py.wire.decode import (
    decode_group_meta_exactly,
    decode_signature_exactly,
    decode_task_state_exactly,
)
from harness.codec import DECODING_FAILED, ENCODING_FAILED, SYNTAX_FAILED, VERSIONS, WRITTEN, Answer, Codec

__all__ = ["DECODE", "DECODE_EXACTLY", "ENCODE", "differences", "ours", "same"]

DECODE: Final[dict[str, Callable[[bytes], Any]]] = {
    "s": wire.decode_signature,
    "t": wire.decode_task_state,
    "g": wire.decode_group_meta,
}
DECODE_EXACTLY: Final[dict[str, Callable[[bytes], Any]]] = {
    "s": decode_signature_exactly,
    "t": decode_task_state_exactly,
    "g": decode_group_meta_exactly,
}
ENCODE: Final[dict[str, Callable[[Any], bytes]]] = {
    "s": wire.encode_signature,
    "t": wire.encode_task_state,
    "g": wire.encode_group_meta,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we make of a document: bytes, or an error and the step that failed."""

    status: str
    payload: bytes = b""
    error: WireError | None = None


def ours(kind: str, document: bytes) -> Verdict:
    """Decode and encode again; any exception but WireError is a bug and goes through."""
    try:
        decoded = DECODE[kind](document)
    except WireError as error:
        return Verdict(DECODING_FAILED, error=error)
    try:
        return Verdict(WRITTEN, ENCODE[kind](decoded))
    except WireError as error:
        return Verdict(ENCODING_FAILED, error=error)


def differences(codec: Codec, documents: Sequence[tuple[str, bytes]], verdicts: Sequence[Verdict]) -> list[str]:
    """Documents on which a Go version and we do not agree, for people to read.

    Bytes are compared with bytes, refusals with refusals at the same step; and of what is not even JSON also Go's text
    and the byte at which it gave up.
    """
    found = []
    for version in VERSIONS:
        answers = codec.ask_all([(kind, version, document) for kind, document in documents])
        for (kind, document), mine, go in zip(documents, verdicts, answers, strict=True):
            if not _agree(mine, go):
                shown = mine.payload if mine.error is None else repr(mine.error)
                found.append(f"{version} {kind} {document[:2000]!r}\n  Go:   {go}\n  ours: {mine.status} {shown!r}")
    return found


def _agree(mine: Verdict, go: Answer) -> bool:
    if go.status == SYNTAX_FAILED:
        read, _, text = go.text.partition(" ")
        # Go counts the byte that is wrong as read.
        return mine.error is not None and (mine.error.offset, mine.error.reason) == (int(read) - 1, text)
    return mine.status == go.status and (mine.status != WRITTEN or mine.payload == go.payload)


def same(one: Any, other: Any) -> bool:
    """Equal in every part, kinds and nanoseconds included (Python's 1 equals True and 1.0)."""
    stack = [(one, other)]
    while stack:
        a, b = stack.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, Time):
            if (a.unix_ns, a.offset_seconds) != (b.unix_ns, b.offset_seconds):
                return False
        elif dataclasses.is_dataclass(a):
            stack += [(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a)]
        elif isinstance(a, list):
            if len(a) != len(b):
                return False
            stack += zip(a, b, strict=True)
        elif isinstance(a, dict):
            if a.keys() != b.keys():
                return False
            stack += [(a[key], b[key]) for key in a]
        elif repr(a) != repr(b):
            return False
    return True
