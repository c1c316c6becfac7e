"""Taking back tasks that wait for their time.

A cancelled task ends in FAILURE: Go knows no other state for it, and whoever waits for its result is not to wait for
ever. Its OnError callbacks are not sent, since nothing has gone wrong. Go source: none, Machinery cannot do this.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gomachinery_py.backends.base import Origin
from gomachinery_py.errors import MachineryError, ServiceError, ServiceUnavailable
from gomachinery_py.incoming import brief
from gomachinery_py.producer import Producer
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import FAILURE

__all__ = ["CANCELLED", "cancel", "cancel_delayed"]

CANCELLED: Final = "cancelled before it ran"
"""The text of its FAILURE."""


async def cancel(producer: Producer, body: bytes) -> bool:
    """Take back one delayed task; False when it is not there any more, because its time has come.

    Where broker and result store are one Redis it disappears and fails in one step. Elsewhere it disappears first.
    """
    signature = decode_signature(body)
    backend = producer.backend
    origin = Origin() if backend.reads_once else await backend.origin(signature.uuid)
    if producer.fused:
        commands = backend.next_commands(signature.uuid, origin, ((FAILURE, None, CANCELLED),))
        return await producer.broker.cancel(body, commands)
    if not await producer.broker.cancel(body):
        return False
    try:
        await backend.store_all([backend.next_state(signature.uuid, FAILURE, origin, error=CANCELLED)], signature)
    except (ServiceError, ServiceUnavailable) as error:
        raise MachineryError(
            f"task {brief(signature.uuid)} was cancelled, but that could not be stored, so its result says PENDING: "
            f"{error}"
        ) from error
    return True


async def cancel_delayed(producer: Producer, uuids: Collection[str]) -> set[str]:
    """Take back the delayed tasks with these UUIDs; the UUIDs of those that were there and are not any more."""
    cancelled = set()
    for uuid, body in await producer.broker.find_delayed(uuids):
        if await cancel(producer, body):
            cancelled.add(uuid)
    return cancelled
