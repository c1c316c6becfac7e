"""What an app knows of a task by its name, and tasks that Go serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gomachinery_py.compat.celery.binding import own_arguments
from gomachinery_py.compat.celery.canvas import Signature
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.compat.celery.options import Target, written
from gomachinery_py.compat.celery.result import AsyncResult
from gomachinery_py.compat.celery.routing import route
from gomachinery_py.compat.celery.task import Task
from gomachinery_py.producer import new_task_uuid
from gomachinery_py.server import Server
from gomachinery_py.task import Task as MachineryTask
from gomachinery_py.wire.model import Signature as Sent

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery

__all__ = ["Known", "RemoteTask"]


class Known:
    """What an app knows of a task by its name; see ``weaving.Served``."""

    def __init__(
        self,
        app: Celery,
        name: str,
        *,
        task: Task | None = None,
        function: Callable[..., Any] | None = None,
        queue: str | None = None,
        appends: bool = False,
    ) -> None:
        self.app = app
        self.name = name
        self.task = task
        self.function = function
        self.queue = queue
        self.appends = appends
        self.is_python = task is not None
        self.is_known = task is not None or function is not None

    def declare(self, server: Server) -> None:
        """Tell the server of a task that Go serves."""
        assert self.function is not None
        server.remote(self.name, queue=self.queue)(self.function)

    @property
    def _declared(self) -> MachineryTask[Any, Any, Any] | None:
        return self.app.server.tasks.get(self.name)

    @property
    def returns(self) -> int | None:
        if self.is_python:
            return 1
        names = self._declared.results.names if self._declared is not None else None
        return None if names is None else len(names)

    def refusal(self, given: int, results: int) -> str | None:
        return None if self._declared is None else self._declared.parameters.refusal(given, [None] * results)

    def built(self, signature: Signature, *, composed: bool, later: bool) -> Sent:
        args, kwargs = signature.args, signature.kwargs
        if self.task is not None:
            if not composed:
                args, kwargs = self.task.check_arguments(args, kwargs)  # type: ignore[assignment]
            arguments = own_arguments(args, kwargs, named=False)
        elif self._declared is not None:
            parameters = self._declared.parameters
            arguments = parameters.bind_partial(args, kwargs) if composed else parameters.bind(args, kwargs)
        elif kwargs:
            raise CeleryDifference(
                f"task {self.name} is known by its name only, so its keywords ({', '.join(kwargs)}) have no place: "
                "Machinery's arguments are positional. Give them in order, or declare the task"
            )
        else:
            arguments = own_arguments(args, {}, named=False)
        sent = Sent(self.name, arguments, uuid=new_task_uuid(), declared=self._declared)
        if self.queue:
            sent.routing_key = self.queue
        options = self._options(signature)
        if later:
            self._refuse_relative(options)
        written(sent, options, self._target(), self.app.server.clock)
        # Said, since a worker that sends a callback on may have another default.
        sent.routing_key = sent.routing_key or self.app.server.config.default_queue
        return sent

    def _refuse_relative(self, options: Mapping[str, Any]) -> None:
        for option in ("countdown", "expires"):
            if isinstance(options.get(option), int | float | timedelta):
                raise CeleryDifference(
                    f"task {self.name}: {option}={options[option]} counts from when a worker sends it, in Celery; in "
                    "Machinery times are fixed when the first task is sent. Give a fixed time, or let the task "
                    "before it send it"
                )

    def _options(self, signature: Signature) -> dict[str, Any]:
        """What the send says, then the task, then its route (Celery: ``Task.apply_async``, ``Router.route``)."""
        said = {**self._defaults(), **signature.options}
        return {**self._route(signature), **{name: value for name, value in said.items() if value is not None}}

    def _defaults(self) -> dict[str, Any]:
        if self.task is None:
            return {}
        return {name: getattr(self.task, name) for name in ("queue", "priority", "expires")}

    def _route(self, signature: Signature) -> dict[str, Any]:
        routes = self.app.conf.task_routes
        return route(routes, self.name, signature.args, signature.kwargs, signature.options, self.task)

    def _target(self) -> Target:
        return Target(self.name, self.is_python, self.app.server.broker.is_amqp)


class RemoteTask:
    """A task that Go serves, to be sent and composed like any other."""

    def __init__(self, app: Celery, name: str, function: Callable[..., Any]) -> None:
        self.app = app
        self.name = name
        self.__wrapped__ = function
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<@remote task: {self.name}>"

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise CeleryDifference(f"task {self.name} is served by Go and cannot run here; send it")

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Send it."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Send it with options."""
        return self.app.send_task(self.name, args, kwargs, **options)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature to compose with."""
        return Signature(self, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature that wants no results."""
        return Signature(self, args, kwargs, immutable=True)
