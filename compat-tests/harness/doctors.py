"""``gomachinery doctor`` without its command line, and clocks that are wrong."""

from __future__ import annotations

import time
from typing import Any

from gomachinery_py import Server
from gomachinery_py.doctor import Fleet, Report, examine
from gomachinery_py.effects import SystemClock, run
from gomachinery_py.registry import open_monitor

__all__ = ["WrongClock", "found", "report"]


class WrongClock(SystemClock):
    """A clock that is ahead by ``seconds``, or behind by negative ones."""

    def __init__(self, seconds: float) -> None:
        self._ns = int(seconds * 1e9)

    def unix_ns(self) -> int:
        return time.time_ns() + self._ns


def report(server: Server, **settings: Any) -> Report:
    """What the doctor says of a server's fleet; ``settings`` are a Fleet's. What moves needs a longer ``watch``."""
    monitor = open_monitor(server.broker)
    try:
        fleet = Fleet(
            server.broker, server.backend, server.config, server.clock, **{"watch": 0.2, "monitor": monitor, **settings}
        )
        return run(examine(fleet))
    finally:
        if monitor is not None:
            monitor.close()


def found(server: Server, **settings: Any) -> set[tuple[str, str, str]]:
    """Severity, code and place of each finding; all of them say what to do."""
    findings = report(server, **settings).findings
    assert all(finding.what and finding.do for finding in findings)
    return {(finding.severity, finding.code, finding.where) for finding in findings}
