"""What a worker refuses to run, whoever sent it: messages that would overwrite foreign keys or never end.

Go runs these and is harmed by some: a UUID that is a queue's name destroys that queue, a null callback kills the
process, a retry timeout near 2^63 spins for ever. A message is looked at together with all the callbacks in it, so
that it is refused as a whole, before anything of it has run.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path, PurePath
from typing import Final

from gomachinery_py.errors import SignatureError
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.wire.model import Signature

__all__ = [
    "LAST_ETA_NS",
    "MAX_ARGUMENTS",
    "MAX_BODY_BYTES",
    "MAX_RETRY_TIMEOUT",
    "MAX_SIGNATURES",
    "MAX_TEXT",
    "brief",
    "brief_error",
    "brief_failure",
    "check_body",
    "clipped",
    "error_text",
    "reject_reason",
    "shortened",
]

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_ARGUMENTS: Final = 10_000
MAX_RETRY_TIMEOUT: Final = 366 * 24 * 3600
MAX_SIGNATURES: Final = 10_000
"""Signatures in one message, callbacks of callbacks included."""
MAX_TEXT: Final = 1 << 20
"""Characters of an error's text that are stored and passed on to OnError callbacks."""
_BEGINNING: Final = 1000
LAST_ETA_NS: Final = (1 << 63) - 1
"""2262-04-11: later moments do not fit the int64 nanoseconds that Go orders delayed tasks by."""
_OWN_CODE: Final = f"{Path(__file__).parent}/"


def reject_reason(
    signature: Signature,
    body: bytes,
    is_reserved: Callable[[str], bool],
    queues: Collection[str] = (),
    *,
    is_ours: bool = True,
) -> str | None:
    """Why this task may not run, or None when it may.

    ``is_reserved`` knows the keys that are no queues, ``queues`` the queues in use. What is not ours to run may be of
    any size, but is not handed on when it would harm whoever runs it.
    """
    if _is_plain(signature) and len(body) <= MAX_BODY_BYTES:
        uuid, key = signature.uuid, signature.routing_key
        if not (uuid in queues or uuid == key != "" or is_reserved(uuid)) and (key in queues or not is_reserved(key)):
            return None
    if is_ours and len(body) > MAX_BODY_BYTES:
        return f"{len(body)} bytes are more than the {MAX_BODY_BYTES} that a task may have"
    if not signature.name:
        return "it names no task"
    family = [signature]
    if signature.on_success or signature.on_error or signature.chord_callback is not None:
        # Grows while it is walked.
        for member in family:
            for callback in (*(member.on_success or ()), *(member.on_error or ())):
                if callback is None:
                    return "a callback in OnSuccess or OnError is null"
                family.append(callback)
            if member.chord_callback is not None:
                family.append(member.chord_callback)
            if is_ours and len(family) > MAX_SIGNATURES:
                return f"more than {MAX_SIGNATURES} tasks hang on it"
    routing_keys = {member.routing_key for member in family if member.routing_key}
    groups = {member.group_uuid for member in family if member.group_uuid}
    for member in family:
        if is_ours and member.args is not None and len(member.args) > MAX_ARGUMENTS:
            reason: str | None = f"{len(member.args)} arguments are more than the {MAX_ARGUMENTS} that a task may have"
        else:
            reason = _own_reason(member) or _name_reason(member, is_reserved, queues, routing_keys, groups)
        if reason is not None:
            return reason if member is signature else f"callback {brief(member.name)!r}: {reason}"
    return None


def _is_plain(signature: Signature) -> bool:
    """Nothing hangs on it, and what it says is all in order but for, perhaps, its UUID and its routing key."""
    return (
        signature.eta is None
        and not signature.group_uuid
        and signature.on_success is None
        and signature.on_error is None
        and signature.chord_callback is None
        and signature.name != ""
        and 0 <= signature.retry_timeout <= MAX_RETRY_TIMEOUT
        and (signature.args is None or len(signature.args) <= MAX_ARGUMENTS)
    )


def _own_reason(signature: Signature) -> str | None:
    if not 0 <= signature.retry_timeout <= MAX_RETRY_TIMEOUT:
        return f"RetryTimeout {signature.retry_timeout} is not between 0 and {MAX_RETRY_TIMEOUT} seconds"
    eta = signature.eta
    if eta is not None:
        if unix_ns(eta) > LAST_ETA_NS:
            return "ETA is after 2262, when Go's clock ends"
        if abs(getattr(eta, "offset_seconds", 0)) >= 24 * 3600:
            return "ETA has an offset of a whole day, which nothing can write again"
    return None


def _name_reason(
    signature: Signature,
    is_reserved: Callable[[str], bool],
    queues: Collection[str],
    routing_keys: Collection[str],
    groups: Collection[str],
) -> str | None:
    for field, name in (("UUID", signature.uuid), ("GroupUUID", signature.group_uuid)):
        if name and (name in queues or name in routing_keys or is_reserved(name)):
            return f"{field} {brief(name)!r} is the name of a queue or key that is in use"
    if signature.uuid in groups:
        return f"UUID {brief(signature.uuid)!r} is also the UUID of a group"
    if signature.routing_key and signature.routing_key not in queues and is_reserved(signature.routing_key):
        return f"RoutingKey {brief(signature.routing_key)!r} is the name of a key that is no queue"
    return None


def check_body(signature: Signature, body: bytes) -> bytes:
    """Refuse an encoded signature that no worker of ours would take; returns ``body``. Raises SignatureError."""
    if len(body) > MAX_BODY_BYTES:
        raise SignatureError(
            f"task {brief(signature.name)} has {len(body)} bytes, {MAX_BODY_BYTES} at most may be sent; "
            "store the data elsewhere and send where it is"
        )
    return body


def brief(text: str, limit: int = 120) -> str:
    """Text that is safe in one log line: printable, and at most about ``limit`` bytes long, however long it was."""
    cut = text[:limit]
    shown = cut if cut.isprintable() else ascii(cut)[1:-1]
    if len(text) == len(cut) and len(shown) <= limit and (shown.isascii() or len(shown.encode()) <= limit):
        return shown
    return f"{shown.encode()[:limit].decode('utf-8', 'ignore')}… ({len(text)} characters)"


def brief_error(error: BaseException) -> str:
    """An unforeseen exception in one log line: its class, its text and the innermost places it came through."""
    return f"{type(error).__name__}: {brief(error_text(error), 200)} ({_places(error)})"


def brief_failure(error: BaseException) -> str:
    """What a task function raised, in one log line: class, text, and the innermost places of user code."""
    name, text = type(error).__name__, error_text(error)
    places = _places(error, but=_OWN_CODE)
    if not places:
        # Nobody's code raised it: its text says what is wrong with the arguments or with the result.
        return brief(text)
    return f"{name if text == name else f'{name}: {brief(text)}'} ({places})"


def _places(error: BaseException, but: str | None = None) -> str:
    """Where an exception came through, the innermost four first; without those of files whose name begins so."""
    places: deque[str] = deque(maxlen=4)
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if but is None or not code.co_filename.startswith(but):
            places.appendleft(f"{PurePath(code.co_filename).name}:{line} {code.co_name}")
    return brief(" < ".join(places), 300)


def clipped(text: str) -> str:
    """Text as it is stored: whole, unless it is so long that storing it would do harm."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def shortened(text: str, refusal: str) -> str | None:
    """The beginning of an error's text that a result store refused to take; None when its length cannot be why."""
    if len(text) <= 2 * _BEGINNING:
        return None
    why = f"{len(text)} characters; the result store did not take it whole: {brief(refusal, 200)}"
    return f"{text[:_BEGINNING]}… ({why})"


def error_text(error: BaseException) -> str:
    """What is stored of an exception: its text, or its class name when that is empty or cannot be had."""
    try:
        text = str.__str__(str(error))
    except BaseException:
        text = ""
    return clipped(text) or type(error).__name__
