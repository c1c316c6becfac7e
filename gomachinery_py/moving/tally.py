"""What a move has done so far, and what it left where it was."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gomachinery_py.brokers.moves import DEAD, DELAYED, PENDING, Departure
from gomachinery_py.errors import WireError
from gomachinery_py.incoming import brief
from gomachinery_py.moving.address import Refused
from gomachinery_py.wire import decode_signature

__all__ = ["Left", "Tally"]

log = logging.getLogger(__name__)

_MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class Left:
    """A task that was not moved, and why."""

    task: str
    reason: str


@dataclass(slots=True)
class Tally:
    """Counts; of what is left, and of what may run twice, the first hundred are told."""

    moved: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    undecodable: int = 0
    left: list[Left] = field(default_factory=list)
    #: Was taken before by somebody who died, and may have arrived then already.
    maybe_twice: int = 0
    maybe_twice_uuids: list[str] = field(default_factory=list)
    #: Pages that another move had left.
    resumed: int = 0

    @property
    def total(self) -> int:
        return sum(self.moved.values())

    def note_left(self, refused: Refused) -> None:
        """A task stays."""
        if refused.undecodable:
            self.undecodable += 1
        else:
            self.refused += 1
        if len(self.left) < _MOST_TOLD:
            self.left.append(Left(refused.task, str(refused)))

    def add_left(self, other: Tally) -> None:
        """What another one counted as staying."""
        self.refused += other.refused
        self.undecodable += other.undecodable
        self.left += other.left[: max(0, _MOST_TOLD - len(self.left))]

    def note_refusal(self, departure: Departure, reason: str) -> None:
        """A task stays because the target did not take it when it was tried."""
        try:
            signature = decode_signature(departure.body)
            task = f"{brief(signature.uuid)} {brief(signature.name)}"
        except WireError:
            task = ""
        self.note_left(Refused(reason, task))

    def note_twice(self, departures: Sequence[Departure]) -> None:
        """Tasks may be there twice now. All of them are said at once, since this run may be killed as well."""
        uuids = [_uuid(departure.body) for departure in departures]
        self.maybe_twice += len(uuids)
        self.maybe_twice_uuids += uuids[: max(0, _MOST_TOLD - len(self.maybe_twice_uuids))]
        if uuids:
            log.warning(
                "%d tasks had been taken before by somebody who did not finish, and may be there twice: %s",
                len(uuids),
                ", ".join(brief(uuid, 60) for uuid in uuids),
            )

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "moved": {kind: self.moved[kind] for kind in (PENDING, DELAYED, DEAD)},
            "refused": self.refused,
            "undecodable": self.undecodable,
            "left": [{"task": each.task, "reason": each.reason} for each in self.left],
            "maybe_twice": self.maybe_twice,
            "maybe_twice_uuids": self.maybe_twice_uuids,
            "resumed": self.resumed,
        }


def _uuid(body: bytes) -> str:
    """Nothing where none can be read."""
    try:
        return decode_signature(body).uuid
    except WireError:
        return ""
