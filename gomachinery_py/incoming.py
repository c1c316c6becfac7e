"""What a worker refuses to run, whoever sent it: messages that would overwrite foreign keys or never end.

Go runs these and is harmed by some: a UUID that is a queue's name destroys that queue, a null callback kills the
process, a retry timeout near 2^63 spins for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from gomachinery_py.wire.model import Signature

__all__ = ["MAX_ARGUMENTS", "MAX_BODY_BYTES", "MAX_RETRY_TIMEOUT", "brief", "reject_reason"]

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_ARGUMENTS = 10_000
MAX_RETRY_TIMEOUT = 366 * 24 * 3600


def reject_reason(signature: Signature, body: bytes, is_reserved: Callable[[str], bool]) -> str | None:
    """Why this task may not run, or None when it may."""
    if len(body) > MAX_BODY_BYTES:
        return f"{len(body)} bytes are more than the {MAX_BODY_BYTES} that a task may have"
    if signature.args is not None and len(signature.args) > MAX_ARGUMENTS:
        return f"{len(signature.args)} arguments are more than the {MAX_ARGUMENTS} that a task may have"
    if not 0 <= signature.retry_timeout <= MAX_RETRY_TIMEOUT:
        return f"RetryTimeout {signature.retry_timeout} is not between 0 and {MAX_RETRY_TIMEOUT} seconds"
    if is_reserved(signature.uuid):
        return f"UUID {brief(signature.uuid)!r} is the name of a queue or key that is in use"
    if signature.group_uuid and is_reserved(signature.group_uuid):
        return f"GroupUUID {brief(signature.group_uuid)!r} is the name of a queue or key that is in use"
    if None in (signature.on_success or ()) or None in (signature.on_error or ()):
        return "a callback in OnSuccess or OnError is null"
    return None


def brief(text: str, limit: int = 120) -> str:
    """Text that is safe in one log line: printable, and short however long it was."""
    shown = text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
    return shown if shown.isprintable() else ascii(shown)[1:-1]
