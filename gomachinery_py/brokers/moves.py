"""Tasks on their way from one queue to another, as plain data between brokers and ``moving/``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gomachinery_py.wire.model import Signature

__all__ = ["DEAD", "DELAYED", "KINDS", "PENDING", "Arrival", "Departure", "Mover"]

PENDING: Final = "pending"
DELAYED: Final = "delayed"
DEAD: Final = "dead"
KINDS: Final = (DELAYED, PENDING, DEAD)
"""In this order: a delayed task whose time comes meanwhile turns up among the pending ones."""


@dataclass(slots=True)
class Departure:
    """A task where it waits.

    ``due_ns`` is when a delayed one is to run, in unix nanoseconds; ``identity`` tells it from every other one that was
    ever moved, also when it is taken a second time, and is empty where the service has no such thing; ``repeated``: it
    was taken before, by somebody who may have delivered it; ``reason`` is why a dead one is dead.
    """

    kind: str
    body: bytes
    due_ns: int | None = None
    identity: str = ""
    repeated: bool = False
    reason: str = ""
    token: Any = None


@dataclass(slots=True)
class Arrival:
    """The same as it is to be put on ``queue``; ``signature`` is None for a dead letter, whatever it holds."""

    kind: str
    queue: str
    body: bytes
    signature: Signature | None = None
    due_ns: int | None = None
    identity: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mover:
    """Who has taken, or took, a page of tasks: ``about`` is what it said of itself.

    ``page`` counts its pages, ``silent`` is seconds since its last sign of life by the server's clock, ``held`` how
    many tasks it holds.
    """

    name: str
    about: bytes = field(repr=False)
    page: int
    silent: float
    held: int
