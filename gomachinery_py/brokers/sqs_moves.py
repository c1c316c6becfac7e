"""Moving tasks to SQS and away from it.

A page that leaves is not deleted before it has arrived, so it comes again when a mover dies. SQS names each message,
and the name stays when it comes again: where the target keeps a record of names, nothing is there twice.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.moves import Arrival
from gomachinery_py.brokers.sqs_queues import SQSQueues
from gomachinery_py.sqs_commands import BATCH_BYTES, MAX_DELAY_SECONDS, QueueFacts, SQSHeld, batches, is_fifo

__all__ = ["NO_GROUP", "TOO_LATE", "SQSMoves", "reason_of"]

TOO_LATE: Final = "Max AWS SQS delay exceeded"
NO_GROUP: Final = (
    "please specify BrokerMessageGroupId attribute for task Signature when submitting a task to FIFO queue"
)
# What XML 1.0 has no place for.
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class SQSMoves(SQSQueues):
    """The part of the SQS broker that moves tasks."""

    _facts: dict[str, QueueFacts]

    @abstractmethod
    async def _look_at(self, queue: str, *, warn: bool = True) -> None:
        """Learn a queue's settings; ``warn`` says what is wrong with them for a worker."""

    def _seconds(self, due_ns: int | None) -> int:
        return 0 if due_ns is None else max(0, -(-(due_ns - self.clock.unix_ns()) // 1_000_000_000))

    async def depart(self, queue: str, mover: str, limit: int, wait: float) -> list[Delivery]:
        if queue not in self._facts:
            await self._look_at(queue, warn=False)
        return await super().depart(queue, mover, limit, wait)

    def identity(self, delivery: Delivery) -> str:
        held: SQSHeld = delivery.token
        return held.message_id

    def refusal(self, arrival: Arrival) -> str | None:
        if arrival.signature is None:
            return None
        if len(arrival.body) > BATCH_BYTES:
            return f"it has {len(arrival.body)} bytes, SQS takes {BATCH_BYTES}"
        if _NOT_TEXT.search(arrival.body.decode("utf-8", "replace")) or not _is_utf8(arrival.body):
            return "it holds characters that SQS does not take"
        if is_fifo(arrival.queue):
            if not arrival.signature.broker_message_group_id:
                return NO_GROUP
            if self._seconds(arrival.due_ns):
                return "a FIFO queue cannot hold a task until its time"
        elif self._seconds(arrival.due_ns) > MAX_DELAY_SECONDS:
            return f"{TOO_LATE}: it is due in more than {MAX_DELAY_SECONDS // 60} minutes"
        return None

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:
        outcomes: list[str | None] = [None] * len(arrivals)
        queues: dict[str, list[tuple[dict[str, Any], int]]] = {}
        for at, arrival in enumerate(arrivals):
            if arrival.signature is None:
                try:
                    await self.bury_body(arrival.queue, arrival.body, arrival.reason)
                except NotImplementedError as error:
                    outcomes[at] = str(error)
                continue
            entry: dict[str, Any] = {"Id": str(at), "MessageBody": arrival.body.decode()}
            if is_fifo(arrival.queue):
                # Not its UUID: two tasks may share one, and SQS would drop the second.
                name = f"{mover}:{arrival.identity}" if arrival.identity else str(uuid.uuid4())
                entry["MessageDeduplicationId"] = hashlib.sha256(name.encode()).hexdigest()
                entry["MessageGroupId"] = arrival.signature.broker_message_group_id
            elif delay := self._seconds(arrival.due_ns):
                entry["DelaySeconds"] = min(delay, MAX_DELAY_SECONDS)
            queues.setdefault(arrival.queue, []).append((entry, len(arrival.body)))
        for queue, entries in queues.items():
            for batch in batches(entries):
                command = ("SendMessageBatch", {"QueueUrl": self._url(queue), "Entries": batch})
                for each in (await self.port.execute(command)).get("Failed", ()):
                    outcomes[int(each["Id"])] = f"SQS: {reason_of(each)}"
        return outcomes


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def reason_of(failed: dict[str, Any]) -> str:
    """Why one entry of a batch failed."""
    return f"{failed.get('Message') or ''} ({failed.get('Code')})".strip()
