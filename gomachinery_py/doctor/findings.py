"""What an examination is about, and what it finds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gomachinery_py.backends.base import Backend
from gomachinery_py.brokers.base import Broker
from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Port

__all__ = ["PROBLEM", "WARNING", "Finding", "Fleet", "Report", "Side", "counted", "dead_letters", "time_text"]

PROBLEM: Final = "problem"
"""Tasks are lost, stuck or run twice, or will be."""

WARNING: Final = "warning"
"""Nothing is lost yet, and somebody should look."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        severity: PROBLEM or WARNING.
        code: its name in docs/doctor.md, for programs.
        where: the queue, key, file or server.
        what: what is wrong there, in one line.
        do: what to do about it, a command where there is one.
    """

    severity: str
    code: str
    where: str
    what: str
    do: str


@dataclass(frozen=True, slots=True)
class Side:
    """One of the programs of a fleet: what it is called, and its configuration."""

    name: str
    config: Config


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is to be examined, and how.

    Attributes:
        broker, backend, config: as a server has them; they are only read from.
        clock: this machine's.
        queues: only these; none is every queue that can be found.
        registered: the tasks that the app given runs itself; None without an app.
        consumed: the queues that the app's workers consume.
        sides: the configurations to compare; the first one is ``config``'s.
        watch: seconds to look at what moves.
        patience: seconds that a task may wait without anybody taking one, or be overdue.
        options: command-line options that reach this fleet, for the commands in ``Finding.do``.
        monitor: hears what all clients tell the broker's server (Redis), where that can be had.
        management: RabbitMQ's management plugin, where that can be had.
    """

    broker: Broker
    backend: Backend
    config: Config
    clock: Clock
    queues: Sequence[str] = ()
    registered: frozenset[str] | None = None
    consumed: frozenset[str] = frozenset()
    sides: Sequence[Side] = ()
    watch: float = 3.0
    patience: float = 120.0
    options: str = ""
    monitor: Port | None = None
    management: Port | None = None

    def command(self, verb: str, *arguments: str) -> str:
        """A command of ours as it is to be typed."""
        return f"gomachinery {verb} {shlex.join(arguments)}{self.options}"


@dataclass(slots=True)
class Report:
    """What was found, the worst first, and what was looked at."""

    findings: list[Finding] = field(default_factory=list)
    #: Queues that were looked at.
    queues: list[str] = field(default_factory=list)
    #: What was not looked at, or not as a whole, and why.
    limits: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """No problem; there may be warnings."""
        return all(finding.severity != PROBLEM for finding in self.findings)


def counted(number: int, what: str) -> str:
    """How many, with an s where there is not one."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def time_text(seconds: float) -> str:
    """A length of time for people."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def dead_letters(fleet: Fleet, queue: str, what: str) -> Finding:
    """Messages that could not run."""
    see, again = fleet.command("queue dead", queue), fleet.command("queue requeue", queue)
    return Finding(PROBLEM, "dead-letters", queue, what, f"see why: {see}; when that is mended: {again}")
