"""What stands behind ``@server.task`` and ``@server.remote``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from gomachinery_py.arguments import kind_of, need
from gomachinery_py.context import Context
from gomachinery_py.task import Options, Task

if TYPE_CHECKING:
    from gomachinery_py.server import Server

__all__ = ["Declare", "RunnableTasks", "declared_options", "queues_of"]

P = ParamSpec("P")
R = TypeVar("R")


class Declare:
    """``@server.task("name", …)``: the decorator that was made by the call."""

    def __init__(
        self,
        server: Server,
        name: str | None,
        options: Options,
        *,
        remote: bool,
        soft_time_limit: float | timedelta | None = None,
    ) -> None:
        need(name, str | None, "a task's name", "text")
        self._server = server
        self._name = name
        self._options = options
        self._remote = remote
        self._soft_time_limit = soft_time_limit

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        if isinstance(function, Task):
            function = function.function
        verb = "remote" if self._remote else "task"
        name = self._name or getattr(function, "__name__", "")
        if not callable(function):
            raise TypeError(f"task {name}: {kind_of(function)} is nothing that can be called")
        if not name:
            raise TypeError(f'{kind_of(function)} has no name of its own: write server.{verb}("name")(…)')
        return self._server._declare(
            function, name, self._options, remote=self._remote, soft_time_limit=self._soft_time_limit
        )


class RunnableTasks(Mapping[str, Any]):
    """The declared tasks that may run here, as they are at each look: without the remote ones."""

    def __init__(self, tasks: Mapping[str, Task[Any, Any, Any]]) -> None:
        self._tasks = tasks

    def __getitem__(self, name: str) -> Any:
        task = self._tasks[name]
        if task.remote:
            raise KeyError(name)
        return task

    def get(self, name: str, default: Any = None) -> Any:
        task = self._tasks.get(name)
        return default if task is None or task.remote else task

    def __iter__(self) -> Iterator[str]:
        return (name for name, task in self._tasks.items() if not task.remote)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def declared_options(options: Mapping[str, Any]) -> Options:
    """What ``@server.task(...)`` was given for sends. Raises TypeError for what is no option."""
    known = {"queue", "retries", "retry_timeout", "priority", "ignore_when_not_registered"}
    unknown = set(options) - known
    if unknown:
        raise TypeError(f"task() has no option {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    values = dict(options)
    return Options(routing_key=values.pop("queue", None), **values)


def queues_of(server: Server) -> list[str]:
    """The queues that a worker needs for every task of a server which may run here."""
    routed = [task.defaults.routing_key for task in server.tasks.values() if not task.remote]
    return sorted({server.config.default_queue, *filter(None, routed)})
