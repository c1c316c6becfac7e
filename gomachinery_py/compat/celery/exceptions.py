"""Celery's exceptions, as far as something here raises them.

``CeleryDifference`` is ours: what Celery means by something cannot be said on Machinery's wire.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from gomachinery_py.errors import MachineryError, SignatureError, SoftTimeLimitExceeded, TaskFailed
from gomachinery_py.runs import REVOKED

__all__ = [
    "AbsentName",
    "CeleryDifference",
    "CeleryError",
    "ChordError",
    "ImproperlyConfigured",
    "MaxRetriesExceededError",
    "Retry",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskRevokedError",
    "TimeoutError",
    "failure_text",
    "raised_by",
    "refusing",
]


class CeleryError(MachineryError):
    """Base of what Celery calls by these names."""


class CeleryDifference(CeleryError, SignatureError):
    """Machinery has no counterpart for this, or one that means something else; nothing was sent."""


class AbsentName(CeleryDifference, ImportError):
    """A name of Celery's that cannot be imported, since nothing here is what it is there."""


class ImproperlyConfigured(CeleryError, ValueError):
    """A setting that Machinery cannot follow."""


class TaskError(CeleryError):
    """A task failed with an exception whose class is not known here; the text is the stored one."""


class ChordError(CeleryError):
    """A member of a chord failed, so its callback never runs."""


class TaskRevokedError(CeleryError):
    """The task expired, or was revoked, before it could run."""


class TimeoutError(CeleryError, builtins.TimeoutError):
    """The result was not there in time."""


class MaxRetriesExceededError(CeleryError):
    """``self.retry`` was called once too often."""


class Retry(CeleryError):
    """Raised by ``self.retry``: the task will run again after ``delay``."""

    def __init__(self, message: str = "", exc: BaseException | None = None, delay: timedelta | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.exc = exc
        self.delay = delay

    def __str__(self) -> str:
        if self.delay is None:
            return self.message
        why = f": {self.exc!r}" if self.exc is not None else ""
        return f"Retry in {self.delay.total_seconds():g}s{why}"


def failure_text(error: BaseException) -> str:
    """How a failure is stored: ``ValueError: the text``, with the module in front unless the class is built in."""
    kind = type(error)
    if isinstance(error, TaskError):
        return str(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # What the class is made from again; str(KeyError("k")) is its repr.
    text = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else str(error)
    return f"{name}: {text}" if text else name


def raised_by(text: str, *, task_uuid: str = "", task_name: str = "") -> Exception:
    """The exception that a stored failure stands for.

    Its class is looked up among what is loaded already: nothing is imported by name. Celery does the same. Without
    one, or when the class takes other arguments than a text, it is a :class:`TaskError` with the whole text.
    """
    name, _, message = text.partition(": ")
    kind = _loaded(name)
    if text == REVOKED:
        # What the worker itself has stored, not a task of this layer.
        kind, message = TaskRevokedError, text
    if kind is not None:
        try:
            error = kind(message) if message else kind()
        except Exception:
            error = None
        if error is not None:
            error.__cause__ = TaskFailed(text, task_uuid=task_uuid, task_name=task_name)
            return error
    failed = TaskError(text)
    failed.__cause__ = TaskFailed(text, task_uuid=task_uuid, task_name=task_name)
    return failed


def _loaded(name: str) -> type[Exception] | None:
    """An exception class by ``module.Class`` or the name of a built-in one, if it is there."""
    module_name, _, class_name = name.rpartition(".")
    found: Any = sys.modules.get(module_name or "builtins")
    found = vars(found).get(class_name) if found is not None else None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def refusing(module: str, instead: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that says what to write instead of a name: it raises AbsentName."""

    def look_up(name: str) -> Any:
        if name in instead:
            raise AbsentName(f"{module}.{name} cannot be followed: {instead[name]}")
        raise AttributeError(f"module {module!r} has no {name!r} here")

    return look_up


__getattr__ = refusing(
    "celery.exceptions",
    {
        "Ignore": "each run ends in SUCCESS, FAILURE or RETRY; return, or raise what has gone wrong",
        "Reject": "a message goes back when its worker dies, and else is done with; raise self.retry(…)",
    },
)
