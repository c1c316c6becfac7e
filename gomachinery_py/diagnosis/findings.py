"""One finding: how bad, where, what Go does, what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Severity", "error", "note", "warning"]


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The task is lost, fails, harms a worker, or gets another value than was written."""
    WARNING = "warning"
    """It works, but hardly as meant."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``path`` is the field (``Args[1].Value``), empty for the whole message; ``code`` is for programs."""

    severity: Severity
    code: str
    path: str
    what: str
    instead: str = ""


def error(code: str, path: str, what: str, instead: str = "") -> Finding:
    """A finding of that severity."""
    return Finding(Severity.ERROR, code, path, what, instead)


def warning(code: str, path: str, what: str, instead: str = "") -> Finding:
    """A finding of that severity."""
    return Finding(Severity.WARNING, code, path, what, instead)


def note(code: str, path: str, what: str, instead: str = "") -> Finding:
    """A finding of that severity."""
    return Finding(Severity.NOTE, code, path, what, instead)
