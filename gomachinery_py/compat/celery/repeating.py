"""What ``beat_schedule`` and ``add_periodic_task`` have sent: one message, copied at each tick.

So nothing in it may belong to one tick: no time, and no UUID, which whoever sends the task fills in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gomachinery_py.compat.celery.binding import EXPIRES
from gomachinery_py.compat.celery.canvas import Canvas, Signature
from gomachinery_py.compat.celery.exceptions import CeleryDifference, ImproperlyConfigured
from gomachinery_py.compat.celery.weaving import Served, weave
from gomachinery_py.wire.model import Signature as Sent

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery

__all__ = ["entry_of", "repeated"]


def entry_of(name: str, entry: Any, app: Celery) -> tuple[Any, Signature]:
    """When an entry of ``beat_schedule`` is due, and what it sends. Raises ImproperlyConfigured."""
    if not isinstance(entry, Mapping):
        raise ImproperlyConfigured(f"beat_schedule {name!r}: it is a dict with task and schedule, not {entry!r}")
    for key in ("task", "schedule"):
        if key not in entry:
            raise ImproperlyConfigured(f"beat_schedule {name!r}: it has no {key}")
    unknown = set(entry) - {"task", "schedule", "args", "kwargs", "options"}
    if unknown:
        raise ImproperlyConfigured(f"beat_schedule {name!r}: {', '.join(sorted(unknown))} cannot be followed")
    return entry["schedule"], Signature(
        entry["task"], entry.get("args"), entry.get("kwargs"), entry.get("options"), app
    )


def repeated(canvas: Canvas, name: str, known: Callable[[str], Served]) -> Sent:
    """The message of a periodic task. Raises ImproperlyConfigured or CeleryDifference."""
    for signature in _signatures(canvas):
        for option in ("countdown", "eta", "expires", "task_id"):
            if option in signature.options:
                raise ImproperlyConfigured(f"periodic task {name!r}: {option} would be the same at each tick")
        if signature.options.get("link_error"):
            raise CeleryDifference(
                f"periodic task {name!r}: link_error is told the id of the task that failed, and each tick has "
                "another; let a task send it"
            )
    plan = weave(canvas, known)
    if plan.callback is not None or len(plan.roots) != 1:
        raise CeleryDifference(
            f"periodic task {name!r}: {canvas!r} begins with a group, and only one task can be sent at each tick. Let "
            "that task send the group"
        )
    for sent in _family(plan.roots[0]):
        if sent.eta is not None or EXPIRES in (sent.headers or {}):
            raise ImproperlyConfigured(
                f"periodic task {name!r}: the time that task {sent.name}, or its route, gives it (expires, countdown) "
                "would be the same at each tick"
            )
        sent.uuid = ""
    return plan.roots[0]


def _signatures(canvas: Canvas) -> Iterator[Signature]:
    if not isinstance(canvas, Signature):
        for member in canvas.members():
            yield from _signatures(member)
        return
    yield canvas
    for link in canvas.options.get("link", ()):
        yield from _signatures(link)


def _family(sent: Sent) -> Iterator[Sent]:
    yield sent
    for below in sent.on_success or ():
        if below is not None:
            yield from _family(below)
