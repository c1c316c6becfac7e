"""A port that keeps what an SQS would be told, and answers as it was told to; and a clock that tests move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gomachinery_py.effects import Port, Request
from gomachinery_py.sqs_commands import SQSCommand

__all__ = ["AnsweringPort", "MovedClock"]

ATTRIBUTES = {"VisibilityTimeout": "30", "ApproximateNumberOfMessages": "0"}


class MovedClock:
    """Stands still until a test adds ``seconds``."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def unix_ns(self) -> int:
        return 1_700_000_000_000_000_000 + round(self.seconds * 1_000_000_000)

    def monotonic(self) -> float:
        return self.seconds


class AnsweringPort(Port):
    """``answers`` by an action's name are used up, an exception among them is an error of the service."""

    def __init__(self) -> None:
        self.sent: list[SQSCommand] = []
        self.answers: dict[str, list[Any]] = defaultdict(list)

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [[self._answer(*command) for command in request.commands] for request in requests]

    def _answer(self, action: str, fields: dict[str, Any]) -> Any:
        self.sent.append((action, fields))
        if self.answers[action]:
            return self.answers[action].pop(0)
        return {"Attributes": ATTRIBUTES} if action == "GetQueueAttributes" else {}

    def of(self, action: str) -> list[dict[str, Any]]:
        """The parameters of each command of one kind."""
        return [fields for name, fields in self.sent if name == action]
