"""What goes into one call to Pub/Sub, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from gomachinery_py.effects import Command
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.pubsub_commands import MAX_MESSAGES, MAX_REQUEST_BYTES, PubSubRefused

__all__ = ["Batch", "batches", "failure"]

# The field whose items several commands may share one call for.
_SHARED: Final = {"Publish": "messages", "Acknowledge": "ack_ids", "ModifyAckDeadline": "ack_ids"}
# A request with acknowledgements may have 512 KiB; an id has about 200 bytes.
_MAX_ID_BYTES: Final = 500_000
_MESSAGE_BYTES: Final = 30

# As Google's own clients: these pass.
_PASSING: Final = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
}


@dataclass(slots=True)
class Batch:
    """One call. ``owners`` are the requests that it is for, ``counts`` how many items each has in it."""

    name: str
    fields: dict[str, Any]
    owners: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    size: int = 0

    def shared(self, reply: Any) -> list[tuple[int, Any]]:
        """The reply for each owner: an error is everyone's, of a list each gets its own part."""
        if not isinstance(reply, list):
            return [(owner, reply) for owner in self.owners]
        parts, start = [], 0
        for owner, count in zip(self.owners, self.counts, strict=True):
            parts.append((owner, reply[start : start + count]))
            start += count
        return parts


def batches(wave: Sequence[tuple[int, Command]]) -> Iterator[Batch]:
    """Commands in as few calls as Pub/Sub's limits allow; items keep their order."""
    open_ones: dict[tuple[Any, ...], Batch] = {}
    for owner, (name, fields) in wave:
        item_field = _SHARED.get(name)
        if item_field is None:
            yield Batch(name, fields, [owner], [0])
            continue
        items = fields[item_field]
        size = sum(len(item) + _MESSAGE_BYTES for item in items)
        rest = {key: value for key, value in fields.items() if key != item_field}
        key = (name, *rest.values())
        batch = open_ones.get(key)
        if batch is not None and not _fits(batch, len(items), size, item_field):
            yield open_ones.pop(key)
            batch = None
        if batch is None:
            batch = open_ones[key] = Batch(name, {**rest, item_field: []})
        batch.fields[item_field] += items
        batch.owners.append(owner)
        batch.counts.append(len(items))
        batch.size += size
    yield from open_ones.values()


def _fits(batch: Batch, count: int, size: int, item_field: str) -> bool:
    limit = MAX_REQUEST_BYTES - 10_000 if item_field == "messages" else _MAX_ID_BYTES
    return len(batch.fields[item_field]) + count <= MAX_MESSAGES and batch.size + size <= limit


def failure(error: BaseException, name: str, fields: dict[str, Any], host: str) -> ServiceError | ServiceUnavailable:
    """An error of gRPC in one line that says what to do."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.CANCELLED
    details = " ".join(((error.details() if isinstance(error, grpc.Call) else None) or code.name).split())
    if code in _PASSING:
        return ServiceUnavailable(f"Pub/Sub at {host} does not answer: {code.name}: {details[:300]}")
    kind = "topic" if "topic" in fields else "subscription"
    _, project, _, resource = fields[kind].split("/", 3)
    if code == grpc.StatusCode.NOT_FOUND:
        # Go's text, with what to do about it.
        text = (
            f"{kind} does not exist, instead got {resource}; make it in project {project}: "
            f"gcloud pubsub {kind}s create {resource}"
        )
        if kind == "subscription":
            text += " --topic=…"
    elif code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        role = "roles/pubsub.publisher" if name == "Publish" else "roles/pubsub.viewer and roles/pubsub.subscriber"
        text = f"Pub/Sub lets these credentials not {name} on {kind} {resource} of project {project}; they need {role}"
    else:
        text = f"Pub/Sub refused to {name} on {kind} {resource}: {code.name}: {details[:300]}"
    return PubSubRefused(text, code.name)
