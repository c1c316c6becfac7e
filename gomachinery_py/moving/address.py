"""What a task is on another queue: the same bytes, unless the queue's name is in them."""

from __future__ import annotations

from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DEAD, DELAYED, Arrival, Departure
from gomachinery_py.errors import WireError
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import brief
from gomachinery_py.wire import decode_signature, encode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["Refused", "addressed", "belongs"]


class Refused(Exception):
    """A task that stays where it is; ``str()`` is why. ``task`` is its UUID and name as far as they are known."""

    def __init__(self, reason: str, task: str = "", *, undecodable: bool = False) -> None:
        super().__init__(reason)
        self.task = task
        self.undecodable = undecodable


def belongs(body: bytes, source: Broker, queue: str) -> bool:
    """Whether a delayed task goes to a queue when its time has come."""
    try:
        signature = decode_signature(body)
    except WireError:
        return False
    source.adjust_routing_key(signature)
    return signature.routing_key in (queue, source.routing_key_of(queue))


def addressed(departure: Departure, target: Broker, queue: str | None) -> Arrival:
    """A task for ``queue``; None is the queue that it names itself.

    Its bytes stay what they are where they name that queue already; else it is encoded anew with the other routing
    key, all else in it untouched. Raises Refused.
    """
    kind, body, identity = departure.kind, departure.body, departure.identity
    if kind == DEAD:
        return Arrival(DEAD, queue or target.default_queue, body, identity=identity, reason=departure.reason)
    try:
        signature = decode_signature(body)
    except WireError as error:
        raise Refused(f"it cannot be decoded: {brief(str(error), 200)}", undecodable=True) from error
    task = f"{brief(signature.uuid)} {brief(signature.name)}"
    due_ns = departure.due_ns
    if kind == DELAYED and due_ns is None and signature.eta is not None:
        due_ns = unix_ns(signature.eta)
    if queue is None:
        queue = signature.routing_key or target.default_queue
    if not _names(signature, target, queue):
        signature.routing_key = target.routing_key_of(queue)
        try:
            body = encode_signature(signature)
        except WireError as error:
            raise Refused(f"it cannot be encoded again: {brief(str(error), 200)}", task) from error
    arrival = Arrival(kind, queue, body, signature, due_ns, identity)
    reason = target.refusal(arrival)
    if reason is not None:
        raise Refused(brief(reason, 300), task)
    return arrival


def _names(signature: Signature, target: Broker, queue: str) -> bool:
    # On SQS Go writes a task for the default queue before it fills in the routing key.
    if signature.routing_key == "" and target.is_sqs:
        return queue == target.default_queue
    return signature.routing_key == target.routing_key_of(queue)
