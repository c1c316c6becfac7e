"""What declarations of tasks have in common, and the signals of an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gomachinery_py.compat.celery.options import NOT_ALWAYS_FOLLOWED, check_task
from gomachinery_py.compat.celery.task import Task

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery

__all__ = ["Signal", "annotate", "declared_by"]

# Options that a subclass of Task may bring in as attributes.
_REFUSABLE: Final = NOT_ALWAYS_FOLLOWED - vars(Task).keys()


class Signal:
    """``on_after_configure`` and the like."""

    def __init__(self) -> None:
        self._receivers: list[Callable[..., Any]] = []
        self._sender: Celery | None = None

    def connect(self, receiver: Callable[..., Any] | None = None, **_: Any) -> Any:
        """Have a function called, at once when it is late; a decorator."""
        if receiver is None:
            return self.connect
        self._receivers.append(receiver)
        if self._sender is not None:
            receiver(sender=self._sender)
        return receiver

    def send(self, sender: Celery) -> None:
        self._sender = sender
        for receiver in self._receivers:
            receiver(sender=sender)


def declared_by(kind: type) -> dict[str, Any]:
    """What subclasses of Task say about options that Celery's have."""
    options: dict[str, Any] = {}
    for base in kind.__mro__:
        for name in _REFUSABLE & vars(base).keys():
            options.setdefault(name, vars(base)[name])
    return options


def annotate(task: Task, annotations: Any) -> None:
    """``task_annotations``: options by the names of tasks. Raises CeleryDifference as declarations do."""
    for name in ("*", task.name):
        options = (annotations or {}).get(name, {})
        check_task(task.name, options)
        for option, value in options.items():
            setattr(task, option, value)
