"""A task that runs beside the one that it is a copy of, and must not be taken for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gomachinery_py.wire.model import Signature

__all__ = ["copied"]


def copied(signature: Signature, rename: Callable[[str], str], *, callbacks: bool) -> Signature:
    """The same call under another UUID.

    It belongs to no group and has no chord: whoever counts the members of the real group must not count it, and its
    own group is nowhere stored, which a Go worker does not survive. Callbacks are left out, or copied the same way.
    """
    return replace(
        signature,
        uuid=rename(signature.uuid),
        group_uuid="",
        group_task_count=0,
        chord_callback=None,
        on_success=_all(signature.on_success, rename) if callbacks else None,
        on_error=_all(signature.on_error, rename) if callbacks else None,
    )


def _all(signatures: list[Signature] | None, rename: Callable[[str], str]) -> list[Signature] | None:
    if signatures is None:
        return None
    return [copied(each, rename, callbacks=True) for each in signatures if each is not None]
