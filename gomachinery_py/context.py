"""What a running task can know about itself.

Go source: ``tasks.SignatureFromContext`` in ``v2/tasks/task.go``.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from gomachinery_py.wire.model import Signature

__all__ = ["Context", "current_signature", "running_signature"]

running_signature: ContextVar[Signature | None] = ContextVar("running_signature", default=None)


@dataclass(frozen=True, slots=True)
class Context:
    """Given to a task whose first parameter is annotated with it; callers never pass it.

    A direct call of the task gets one with an empty signature.
    """

    signature: Signature = field(default_factory=lambda: Signature(""))

    @property
    def retries_left(self) -> int:
        """How often the task will be tried again if this run fails."""
        return self.signature.retry_count


def current_signature() -> Signature | None:
    """The signature of the task that runs here, or None outside a task."""
    return running_signature.get()
