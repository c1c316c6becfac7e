"""What ``contract check`` finds, one kind of drift each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["KINDS", "Finding"]

KINDS: Final = (
    # Between the contract and code.
    "missing task",
    "extra task",
    "served by",
    "arity",
    "type",
    "json",
    "results",
    "queue",
    "options",
    "default",
    "name",
    # Between the contract and what waits.
    "undecodable",
    "unknown task",
    "value",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference.

    Attributes:
        kind: one of :data:`KINDS`.
        task: its name, "" where there is none.
        place: ``file:line``, or the queue.
        text: what is different.
        remedy: what to do.
        breaking: messages that one side sends fail on the other, or its results cannot be read.
        count: how many waiting messages have it; 0 for code.
        uuid: one of those messages.
    """

    kind: str
    task: str
    place: str
    text: str
    remedy: str
    breaking: bool = True
    count: int = 0
    uuid: str = ""

    @property
    def line(self) -> str:
        """All of it on one line."""
        task = f" {self.task}:" if self.task else ""
        seen = f" ({self.count}×, as {self.uuid or 'one without UUID'})" if self.count else ""
        breaks = "" if self.breaking else " (breaks nothing)"
        return f"{self.place}:{task} {self.text}{seen}{breaks}; {self.remedy}"

    @property
    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
