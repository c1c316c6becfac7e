"""The app and the task that are current, and what was declared for every app (``@shared_task``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gomachinery_py.compat.celery.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery

__all__ = ["Proxy", "app_of", "become_current", "current_app", "current_task", "running", "share", "shared", "the_app"]

#: The task that runs in this thread, with its request.
running: ContextVar[tuple[Any, Any] | None] = ContextVar("celery_running", default=None)

_apps: list[Celery] = []
_shared: list[Callable[[Celery], Any]] = []


def become_current(app: Celery) -> None:
    """Make an app the one that is meant where none is named."""
    if app in _apps:
        _apps.remove(app)
    _apps.append(app)


def the_app() -> Celery:
    """The current app. Raises ImproperlyConfigured when there is none."""
    if not _apps:
        raise ImproperlyConfigured("there is no app yet: make one first, app = Celery('tasks', broker='redis://…')")
    return _apps[-1]


def share(declare: Callable[[Celery], Any]) -> None:
    """Declare a task for the apps that there are, and for those to come."""
    _shared.append(declare)
    for app in _apps:
        declare(app)


def shared() -> Sequence[Callable[[Celery], Any]]:
    """What every new app has to declare."""
    return tuple(_shared)


def app_of(members: Sequence[Any]) -> Celery | None:
    """The app of the first member that has one."""
    for member in members:
        found: Celery | None = member.app or app_of(member.members())
        if found is not None:
            return found
    return None


class Proxy:
    """Stands for what ``find`` returns at each look."""

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._find())

    def __or__(self, other: Any) -> Any:
        return self._find() | other

    def __bool__(self) -> bool:
        return bool(self._find())


def _running_task() -> Any:
    found = running.get()
    return found[0] if found is not None else None


current_app: Any = Proxy(the_app)
current_task: Any = Proxy(_running_task)
