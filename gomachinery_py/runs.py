"""One run of a task: what it is asked for, what comes of it, and what is sent on.

Go source: ``v2/worker.go``, ``FibonacciNext`` in ``v2/retry/fibonacci.go``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gomachinery_py.incoming import brief_error
from gomachinery_py.logs import about
from gomachinery_py.wire.model import Arg, Signature, TaskResult

__all__ = ["REVOKED", "Handlers", "Outcome", "RunnableTask", "fibonacci_next", "guarded", "with_error", "with_results"]

log = logging.getLogger(__name__)

REVOKED: Final = "revoked before it ran"
"""The text of a FAILURE that no run has led to."""


@dataclass(slots=True)
class Outcome:
    """What became of one call: results, or the error that it raised."""

    results: list[TaskResult]
    error: BaseException | None = None


class RunnableTask(Protocol):
    """What the engine needs of a registered task."""

    name: str
    is_async: bool

    def prepare(self, signature: Signature) -> Callable[[], Any]:
        """Convert the arguments and return the call; raises ArgumentError with Go's text.

        The call returns an :class:`Outcome` (or, when ``is_async``, an awaitable of one) and never raises.
        """
        ...


@dataclass(slots=True)
class Handlers:
    """User code around tasks (Go: ``SetErrorHandler``, ``SetPreTaskHandler``, ``SetPostTaskHandler``)."""

    error: Callable[[BaseException], object] | None = None
    pre_task: Callable[[Signature], object] | None = None
    post_task: Callable[[Signature], object] | None = None


def with_results(callback: Signature, results: Sequence[TaskResult]) -> Signature:
    """The callback with results appended to its arguments (Machinery appends, Celery prepends)."""
    appended = copy(callback)
    appended.args = [*(callback.args or ()), *(Arg(result.type, result.value) for result in results)]
    # Appending nothing to nil leaves nil in Go.
    if not appended.args and callback.args is None:
        appended.args = None
    return appended


def with_error(callback: Signature, text: str) -> Signature:
    """The callback with the error's text as its first argument."""
    prepended = copy(callback)
    prepended.args = [Arg("string", text), *(callback.args or ())]
    return prepended


def fibonacci_next(start: int) -> int:
    """The next Fibonacci number above ``start`` (Go: ``retry.FibonacciNext``)."""
    a, b = 1, 1
    while a <= start:
        a, b = b, a + b
    return a


def guarded(handler: Callable[[Any], object], argument: Any) -> Callable[[], None]:
    """A handler's own error is logged; it never decides a task's fate."""

    def call() -> None:
        try:
            handler(argument)
        except BaseException as error:
            name = getattr(handler, "__qualname__", "of the worker")
            fields = about(argument) if isinstance(argument, Signature) else {}
            log.error("handler %s raised %s", name, brief_error(error), extra=fields)

    return call
