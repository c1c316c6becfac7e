"""Pub/Sub's calls as plain data, for the broker; ``ports/pubsub.py`` carries them out.

A command is a pair of a call's name and the fields of its request, named as in Google's API. Go source:
``v2/brokers/gcppubsub/gcp_pubsub.go``, v1 alike.

=====================  ==================================================================================
``Publish``            ``topic``, ``messages``: bodies; the ids that Pub/Sub gave them
``Acknowledge``        ``subscription``, ``ack_ids``
``ModifyAckDeadline``  the same and ``ack_deadline_seconds``: 0 gives a message back at once
``Pull``               ``subscription``, ``max_messages``, and ours: ``worker`` and ``wait``; a list of Pulled.
                       A call that has brought nothing after ``wait`` seconds goes on, and the next one with the
                       same subscription and worker has what it brings, which may be more than that one asks for
``StopPulling``        ends such a call; what it had brought already
``GetTopic``           ``topic``
``GetSubscription``    ``subscription``; a Subscription
``Seek``               ``subscription``, ``time_ns``: everything published before counts as acknowledged
=====================  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from gomachinery_py.errors import ServiceError

__all__ = [
    "MAX_ACK_DEADLINE",
    "MAX_MESSAGES",
    "MAX_REQUEST_BYTES",
    "PubSubCommand",
    "PubSubRefused",
    "Pulled",
    "Subscription",
]

PubSubCommand: TypeAlias = tuple[str, dict[str, Any]]
"""A call's name and its fields."""

MAX_ACK_DEADLINE: Final = 600
"""Seconds; Pub/Sub hides a message no longer at a time."""
MAX_MESSAGES: Final = 1000
"""In one request: messages to publish, to pull, to acknowledge."""
MAX_REQUEST_BYTES: Final = 10_000_000
"""Of all that one request publishes, names included."""


class PubSubRefused(ServiceError):
    """Pub/Sub answered with an error; ``code`` is gRPC's name for it, such as ``NOT_FOUND``."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Pulled:
    """A message that was pulled.

    ``attempt`` counts its deliveries, from 1, where the subscription has a dead-letter policy; elsewhere it is 0.
    ``lay`` is for how many seconds it had been here before anybody asked for it, the same for all of one pull.
    """

    ack_id: str
    message_id: str
    data: bytes
    attempt: int
    published_ns: int
    lay: float = 0.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is to be known of a subscription; ``dead_letter_topic`` is empty where there is no such policy."""

    topic: str
    ack_deadline_seconds: int
    dead_letter_topic: str
