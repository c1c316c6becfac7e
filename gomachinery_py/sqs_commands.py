"""SQS commands as plain data, named and filled as the SQS API has them; ``ports/sqs.py`` carries them out.

A command is a pair of an action's name and its parameters: ``("SendMessage", {"QueueUrl": …, "MessageBody": …})``.
The reply is the service's answer as a dict, or an :class:`SQSRefused` in its place. Go source:
``v2/brokers/sqs/sqs.go``, v1 alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from gomachinery_py.errors import ServiceError

__all__ = [
    "ACCESS_DENIED",
    "BATCH",
    "BATCH_BYTES",
    "MAX_DELAY_SECONDS",
    "MAX_MESSAGE_BYTES",
    "MAX_NAME_BYTES",
    "MAX_VISIBILITY_SECONDS",
    "MAX_WAIT_SECONDS",
    "NO_SUCH_QUEUE",
    "QueueFacts",
    "SQSCommand",
    "SQSHeld",
    "SQSRefused",
    "batches",
    "change_visibility",
    "delete",
    "is_fifo",
    "is_for_good",
    "queue_name",
    "read_facts",
    "receive",
]

T = TypeVar("T")

SQSCommand: TypeAlias = tuple[str, dict[str, Any]]
"""An action's name and its parameters."""

BATCH: Final = 10
"""Messages in one request."""
BATCH_BYTES: Final = 256 * 1024
"""Bytes of the bodies in one request; a message that is larger is one by itself."""
MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""No queue takes more; many take less (MaximumMessageSize)."""
MAX_DELAY_SECONDS: Final = 15 * 60
MAX_WAIT_SECONDS: Final = 20
MAX_VISIBILITY_SECONDS: Final = 12 * 3600
"""A message may be kept invisible so long after it was received, all extensions included."""
MAX_NAME_BYTES: Final = 80

NO_SUCH_QUEUE: Final = "QueueDoesNotExist"
ACCESS_DENIED: Final = "AccessDenied"


class SQSRefused(ServiceError):
    """SQS answered a command with an error; ``code`` is its short name."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True, eq=False)
class SQSHeld:
    """A message that this worker received: what settles it, and until when nobody else gets it.

    ``until`` is in seconds of the clock that never goes back.
    """

    url: str
    handle: str
    message_id: str
    until: float


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What a queue says of itself; ``dead_letters`` is the name of the queue of its redrive policy, or empty."""

    visibility: int
    dead_letters: str = ""
    waiting: int = 0
    inflight: int = 0


def is_fifo(queue: str) -> bool:
    """As Go tells it."""
    return queue.endswith(".fifo")


def is_for_good(failed: Mapping[str, Any]) -> bool:
    """Whether an entry of a batch failed by its own fault, and not because SQS could not just then."""
    return bool(failed.get("SenderFault", True))


def queue_name(url: str) -> str:
    """The queue of a URL."""
    return url.rpartition("/")[2]


def read_facts(attributes: Mapping[str, str]) -> QueueFacts:
    """What GetQueueAttributes tells; what is delayed waits too."""

    def number(name: str) -> int:
        return int(attributes.get(name, "0"))

    try:
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    except ValueError:
        policy = {}
    target = policy.get("deadLetterTargetArn") if isinstance(policy, dict) else None
    return QueueFacts(
        visibility=number("VisibilityTimeout"),
        dead_letters=str(target or "").rpartition(":")[2],
        waiting=number("ApproximateNumberOfMessages") + number("ApproximateNumberOfMessagesDelayed"),
        inflight=number("ApproximateNumberOfMessagesNotVisible"),
    )


def receive(url: str, count: int, wait: int, visibility: int | None) -> SQSCommand:
    """Go's command, which asks for 1 message and not for the number of times that it was received."""
    fields: dict[str, Any] = {
        "AttributeNames": ["SentTimestamp", "ApproximateReceiveCount"],
        "MessageAttributeNames": ["All"],
        "QueueUrl": url,
        "MaxNumberOfMessages": count,
        "WaitTimeSeconds": wait,
    }
    if visibility is not None:
        fields["VisibilityTimeout"] = visibility
    return ("ReceiveMessage", fields)


def delete(held: SQSHeld) -> SQSCommand:
    """The port sends several of them as one DeleteMessageBatch."""
    return ("DeleteMessage", {"QueueUrl": held.url, "ReceiptHandle": held.handle})


def change_visibility(held: Sequence[SQSHeld], seconds: Sequence[int]) -> list[SQSCommand]:
    """Make messages invisible for so many seconds from now; ids are positions in ``held``."""
    commands: list[SQSCommand] = []
    for url in dict.fromkeys(each.url for each in held):
        entries = [
            {"Id": str(at), "ReceiptHandle": each.handle, "VisibilityTimeout": seconds[at]}
            for at, each in enumerate(held)
            if each.url == url
        ]
        commands += [
            ("ChangeMessageVisibilityBatch", {"QueueUrl": url, "Entries": batch})
            for batch in batches((entry, 0) for entry in entries)
        ]
    return commands


def batches(sized: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    """Items with their bytes, in their order, in lists that fit into one request each."""
    batch: list[T] = []
    size = 0
    for item, item_size in sized:
        if batch and (len(batch) == BATCH or size + item_size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item_size
    if batch:
        yield batch
