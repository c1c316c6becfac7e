"""Signatures, chains, groups and chords as Celery composes them; nothing here is sent or says how it would be.

``weaving.py`` turns them into Machinery's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from gomachinery_py.compat.celery.current import app_of, the_app
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.compat.celery.options import check_send

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery
    from gomachinery_py.compat.celery.result import GroupResult

__all__ = ["Canvas", "Signature", "chain", "chord", "chunks", "group", "signature"]


class Canvas(ABC):
    """What can be sent, and composed with ``|``."""

    app: Celery | None = None

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Send it with further arguments."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send it; ``args`` go in front of those given, as in Celery.

        Raises CeleryDifference for what Machinery cannot say, TypeError or ValueError for arguments that do not fit.
        """
        return (self._app()).send_canvas(self.clone(args, kwargs, **options))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.apply_async(args, kwargs)

    def apply(self, *_: Any, **__: Any) -> Any:
        """Refused but for a single task."""
        raise CeleryDifference(
            f"apply cannot be followed for {self!r}: only a single task runs here and now. For tests set "
            "app.conf.task_always_eager = True, and send it"
        )

    def _app(self) -> Celery:
        return self.app or app_of(self.members()) or the_app()

    @abstractmethod
    def members(self) -> Sequence[Canvas]:
        """What it is made of."""

    @abstractmethod
    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Canvas:
        """A copy with further arguments and options."""

    @abstractmethod
    def set(self, **options: Any) -> Self:
        """Add options; returns itself."""

    @abstractmethod
    def link(self, callback: Canvas) -> Canvas:
        """Add what is sent with the result."""

    @abstractmethod
    def link_error(self, errback: Canvas) -> Canvas:
        """Add what is sent when a task of it has failed."""

    def on_error(self, errback: Canvas) -> Self:
        """:meth:`link_error`, for chaining calls: returns itself."""
        self.link_error(errback)
        return self

    def __or__(self, other: Any) -> Canvas:
        if not isinstance(other, Canvas):
            return NotImplemented
        return chain(self, other)


class Signature(Canvas):
    """One task with some of its arguments and options.

    ``immutable`` wants no results: ``task.si(…)``.
    """

    def __init__(
        self,
        task: Any,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        app: Celery | None = None,
        immutable: bool = False,
        **more: Any,
    ) -> None:
        self.task: str = task if isinstance(task, str) else task.name
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})
        self.options: dict[str, Any] = {}
        self.immutable = immutable
        self.app = app or (None if isinstance(task, str) else task.app)
        self.set(**{**(options or {}), **more})

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}({', '.join(given)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signature):
            return NotImplemented
        mine = (self.task, self.args, self.kwargs, self.options, self.immutable)
        return mine == (other.task, other.args, other.kwargs, other.options, other.immutable)

    __hash__ = None  # type: ignore[assignment]

    @property
    def name(self) -> str:
        return self.task

    @property
    def type(self) -> Any:
        """The task; raises CeleryDifference when the app does not know it."""
        return self._app().known(self.task)

    @property
    def id(self) -> str | None:
        """The UUID that it will have, if it was given one."""
        return self.options.get("task_id")

    def members(self) -> Sequence[Canvas]:
        return ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now, as Celery does for a single signature."""
        whole = self.clone(args, kwargs)
        return self.type(*whole.args, **whole.kwargs)

    def apply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, *, throw: bool | None = None
    ) -> Any:
        """Run it here and now, as a result; see :meth:`Task.apply`."""
        whole = self.clone(args, kwargs)
        return self.type.apply(whole.args, whole.kwargs, throw=throw)

    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Signature:
        if self.immutable:
            args, kwargs = (), {}
        merged = {**self.options, **_checked(self.task, options)}
        for links in ("link", "link_error"):
            if links in self.options:
                merged[links] = [*self.options[links], *(merged[links] if links in options else ())]
        copy = Signature(
            self.task, (*(args or ()), *self.args), {**self.kwargs, **(kwargs or {})}, None, self.app, self.immutable
        )
        copy.options = merged
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        if immutable is not None:
            self.immutable = immutable
        self.options.update(_checked(self.task, options))
        return self

    def link(self, callback: Canvas) -> Canvas:
        self.options["link"] = [*self.options.get("link", ()), *_canvases("link", callback)]
        return callback

    def link_error(self, errback: Canvas) -> Canvas:
        self.options["link_error"] = [*self.options.get("link_error", ()), *_canvases("link_error", errback)]
        return errback


def _checked(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    check_send(task, options)
    checked = dict(options)
    for links in ("link", "link_error"):
        if links in checked:
            checked[links] = _canvases(links, checked[links])
    return checked


def _canvases(what: str, value: Any) -> list[Canvas]:
    """What was given as one signature or several. Raises TypeError for anything else."""
    if value is None:
        return []
    several = list(value) if isinstance(value, list | tuple) else [value]
    for each in several:
        if not isinstance(each, Canvas):
            hint = "; write task.s(…)" if hasattr(each, "s") else ""
            raise TypeError(f"{what} is made of signatures, not of {type(each).__name__}{hint}")
    return several


class chain(Canvas):  # noqa: N801
    """Tasks one after another: ``chain(a.s(1), b.s(2))``, or ``a.s(1) | b.s(2)``."""

    def __init__(self, *tasks: Any, app: Celery | None = None) -> None:
        if len(tasks) == 1 and not isinstance(tasks[0], Canvas):
            tasks = tuple(tasks[0])
        self.tasks: list[Canvas] = []
        for task in _canvases("a chain", list(tasks)):
            self.tasks.extend(task.tasks if isinstance(task, chain) else [task])
        self.app = app

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks))

    def members(self) -> Sequence[Canvas]:
        return self.tasks

    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> chain:
        if not self.tasks:
            return chain(app=self.app)
        first, *rest = [task.clone() for task in self.tasks]
        copy = chain(first.clone(args, kwargs), *rest, app=self.app)
        for errback in _canvases("link_error", options.pop("link_error", None)):
            copy.link_error(errback)
        for callback in _canvases("link", options.pop("link", None)):
            copy.link(callback)
        if "task_id" in options:
            copy.tasks[-1].set(task_id=options.pop("task_id"))
        return copy.set(**options)

    def set(self, **options: Any) -> Self:
        """Options of the first task, as in Celery: the others keep their own."""
        if self.tasks:
            self.tasks[0].set(**options)
        return self

    def link(self, callback: Canvas) -> Canvas:
        return self.tasks[-1].link(callback)

    def link_error(self, errback: Canvas) -> Canvas:
        for task in self.tasks:
            task.link_error(errback.clone())
        return errback


class group(Canvas):  # noqa: N801
    """Tasks side by side: ``group(a.s(1), b.s(2))`` or ``group(a.s(x) for x in …)``."""

    def __init__(self, *tasks: Any, app: Celery | None = None) -> None:
        if len(tasks) == 1 and not isinstance(tasks[0], Canvas):
            tasks = tuple(tasks[0])
        elif len(tasks) == 1 and isinstance(tasks[0], group):
            tasks = tuple(tasks[0].tasks)
        self.tasks: list[Canvas] = _canvases("a group", list(tasks))
        self.app = app

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.tasks))})"

    def __len__(self) -> int:
        return len(self.tasks)

    def members(self) -> Sequence[Canvas]:
        return self.tasks

    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> group:
        for links in ("link", "link_error"):
            _refuse_links(links, options)
        return group([task.clone(args, kwargs, **options) for task in self.tasks], app=self.app)

    def set(self, **options: Any) -> Self:
        """Options of every task."""
        for task in self.tasks:
            task.set(**options)
        return self

    def link(self, callback: Canvas) -> Canvas:  # noqa: ARG002
        raise CeleryDifference(
            "group.link would run with the first task's result alone; link a task, or write chord(tasks)(callback)"
        )

    def link_error(self, errback: Canvas) -> Canvas:
        for task in self.tasks:
            task.link_error(errback.clone())
        return errback


def _refuse_links(links: str, options: Mapping[str, Any]) -> None:
    if options.get(links):
        raise CeleryDifference(f"a group takes no {links}; give it to the tasks, or write chord(tasks)(callback)")


class chord(Canvas):  # noqa: N801
    """A group and what runs with the list of its results: ``chord([a.s(1), b.s(2)])(callback.s())``."""

    def __init__(self, header: Any, body: Canvas | None = None, app: Celery | None = None) -> None:
        self.header = header if isinstance(header, group) else group(header)
        self.body = None if body is None else _canvases("a chord's callback", [body])[0]
        self.app = app

    def __repr__(self) -> str:
        return f"chord({self.header!r}, {self.body!r})"

    def __call__(self, body: Canvas | None = None, **options: Any) -> Any:
        return chord(self.header, body or self.body, self.app).apply_async(**options)

    @property
    def tasks(self) -> list[Canvas]:
        return self.header.tasks

    def members(self) -> Sequence[Canvas]:
        return [*self.header.tasks, *([self.body] if self.body is not None else [])]

    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> chord:
        if kwargs:
            raise CeleryDifference("a chord's keywords would go to its callback; give them to the callback: cb.s(x=1)")
        copy = chord(self.header.clone(args), self.body and self.body.clone(), self.app)
        for errback in _canvases("link_error", options.pop("link_error", None)):
            copy.link_error(errback)
        for callback in _canvases("link", options.pop("link", None)):
            copy.link(callback)
        return copy.set(**options) if options else copy

    def set(self, **options: Any) -> Self:
        """Options of members and callback, as in Celery; a delay is the members', a ``task_id`` the callback's."""
        of_body = {name: value for name, value in options.items() if name not in ("countdown", "eta")}
        self.header.set(**{name: value for name, value in options.items() if name != "task_id"})
        self._callback.set(**of_body)
        return self

    def link(self, callback: Canvas) -> Canvas:
        return self._callback.link(callback)

    def link_error(self, errback: Canvas) -> Canvas:
        raise CeleryDifference(
            "a chord takes no link_error: when a member has failed, Machinery never sends the callback, and Celery's "
            f"would run once for all of them. Give it to the members: chord([a.s().on_error({errback!r}), …])"
        )

    @property
    def _callback(self) -> Canvas:
        if self.body is None:
            raise TypeError("this chord has no callback yet: chord(header)(callback)")
        return self.body


class chunks(Canvas):  # noqa: N801
    """One task over many rows of arguments, ``n`` rows a message: ``add.chunks(zip(a, b), 10)``."""

    def __init__(self, task: Any, rows: Iterable[Sequence[Any]], n: int, options: Mapping[str, Any] | None = None):
        self.task = task
        self.rows = [list(row) for row in rows]
        self.n = n
        self.options = dict(options or {})
        self.app = task.app

    def group(self) -> group:
        """A task for every ``n`` rows."""
        rows = iter(self.rows)
        parts = iter(lambda: list(islice(rows, self.n)), [])
        return group([self.task.starmap(part).set(**self.options) for part in parts], app=self.app)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        result: GroupResult = self.group().apply_async(args, kwargs, **options)
        return result

    def members(self) -> Sequence[Canvas]:
        return self.group().tasks

    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Canvas:
        if args or kwargs:
            raise CeleryDifference("chunks take no further arguments: they are in its rows")
        return self.group().clone(**options)

    def set(self, **options: Any) -> Self:
        self.options.update(options)
        return self

    def link(self, callback: Canvas) -> Canvas:
        return self.group().link(callback)

    def link_error(self, errback: Canvas) -> Canvas:  # noqa: ARG002
        raise CeleryDifference("chunks take no link_error; write task.chunks(…).group().on_error(…)")


def signature(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    app: Celery | None = None,
    immutable: bool = False,
    **more: Any,
) -> Canvas:
    """A signature by the name of a task: ``signature("tasks.add", args=(2, 2), countdown=10)``."""
    if isinstance(task, Canvas):
        return task.clone(args, kwargs, **{**(options or {}), **more})
    if isinstance(task, Mapping):
        raise CeleryDifference("a signature is no dict here and travels as Machinery's; make it where it is sent")
    return Signature(task, args, kwargs, options, app, immutable, **more)
