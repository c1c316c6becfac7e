"""A port that keeps what a RabbitMQ would be told, and answers from a small model of queues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gomachinery_py.amqp_commands import NO_ROUTE, NOT_FOUND, AMQPCommand, AMQPRefused
from gomachinery_py.effects import Port, Request

__all__ = ["QueuePort", "flat"]


def flat(commands: Sequence[AMQPCommand]) -> list[AMQPCommand]:
    """Commands with what ``ensure`` holds in its place."""
    return [
        inner for name, fields in commands for inner in (fields["commands"] if name == "ensure" else [(name, fields)])
    ]


class QueuePort(Port):
    """Queues of message bodies. A publish goes to the queues that are bound to its routing key."""

    def __init__(self) -> None:
        self.sent: list[AMQPCommand] = []
        self.queues: dict[str, list[bytes]] = {}
        self.bound: dict[str, set[str]] = defaultdict(set)
        self.claimed: dict[str, list[bytes]] = {}
        #: Errors to answer, by the name of a command; each is used up.
        self.errors: dict[str, list[Exception]] = {}

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [[self._answer(*command) for command in request.commands] for request in requests]

    def _answer(self, name: str, fields: dict[str, Any]) -> Any:
        self.sent.append((name, fields))
        if self.errors.get(name):
            return self.errors[name].pop(0)
        try:
            return getattr(self, f"_{name}")(fields)
        except KeyError as error:
            return AMQPRefused(f"RabbitMQ: NOT_FOUND - no queue {error}", NOT_FOUND)

    def _ensure(self, fields: dict[str, Any]) -> None:
        for name, inner in fields["commands"]:
            getattr(self, f"_{name}")(inner)

    def _exchange_declare(self, fields: dict[str, Any]) -> None:
        assert fields["durable"] is True

    def _queue_declare(self, fields: dict[str, Any]) -> tuple[int, int]:
        if not fields.get("passive"):
            self.queues.setdefault(fields["queue"], [])
        return len(self.queues[fields["queue"]]), 0

    def _queue_bind(self, fields: dict[str, Any]) -> None:
        self.bound[fields["routing_key"]].add(fields["queue"])

    def _basic_publish(self, fields: dict[str, Any]) -> AMQPRefused | None:
        key = fields["routing_key"]
        queues = self.bound[key] if fields["exchange"] else {key}
        for queue in queues:
            self.queues[queue].append(fields["body"])
        return None if queues else AMQPRefused(f"RabbitMQ: no queue takes the routing key {key!r}", NO_ROUTE)

    def _parallel(self, fields: dict[str, Any]) -> list[Any] | Exception:
        replies = [self._answer(*command) for series in fields["series"] for command in series]
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        return failed[0] if failed else replies

    def _browse(self, fields: dict[str, Any]) -> list[tuple[bytes, dict[str, Any]]]:
        start = fields["start"]
        return [(body, {}) for body in self.queues[fields["queue"]][start : start + fields["count"]]]

    def _take(self, fields: dict[str, Any]) -> list[tuple[bytes, dict[str, Any]]]:
        found = self.queues[fields["queue"]]
        self.queues[fields["queue"]] = []
        return [(body, {}) for body in found]

    def _queue_delete(self, fields: dict[str, Any]) -> int:
        return len(self.queues.pop(fields["queue"], []))

    def _queue_purge(self, fields: dict[str, Any]) -> int:
        found, self.queues[fields["queue"]] = self.queues[fields["queue"]], []
        return len(found)

    def _claim(self, fields: dict[str, Any]) -> tuple[str, str | None, list[bytes]]:
        queue = fields["queue"]
        if queue in self.claimed:
            return ("busy", None, [])
        if len(self.queues[queue]) < fields["at_least"]:
            return ("short", None, [])
        self.claimed[queue], self.queues[queue] = self.queues[queue], []
        return ("held", queue, self.claimed[queue])

    def _release(self, fields: dict[str, Any]) -> bool:
        bodies = self.claimed.pop(fields["handle"])
        if not fields["done"]:
            self.queues[fields["handle"]] = bodies + self.queues[fields["handle"]]
        return True
