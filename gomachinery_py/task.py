"""A declared task: a plain function that can also be sent, composed and run by a worker."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from gomachinery_py.context import Context, running_signature
from gomachinery_py.durations import nanoseconds
from gomachinery_py.effects import arun
from gomachinery_py.errors import SignatureError
from gomachinery_py.golang.time import Time
from gomachinery_py.incoming import brief
from gomachinery_py.producer import new_task_uuid
from gomachinery_py.runs import Outcome
from gomachinery_py.types import CallMismatch, Parameters, Results
from gomachinery_py.wire.model import Arg, Signature

if TYPE_CHECKING:
    from gomachinery_py.results import AsyncResult
    from gomachinery_py.server import Server

__all__ = ["Options", "Sender", "Task"]

P = ParamSpec("P")
C = TypeVar("C")  # what a direct call returns: the value, or a coroutine of it
R = TypeVar("R")  # the value itself


@dataclass(frozen=True, slots=True)
class Options:
    """What a send may say beyond the arguments; ``None`` leaves the task's own setting or Machinery's default.

    ``countdown`` and ``retry_timeout`` are seconds; ``eta`` must carry a time zone.
    """

    eta: datetime | None = None
    countdown: float | timedelta | None = None
    retries: int | None = None
    retry_timeout: int | None = None
    priority: int | None = None
    headers: Mapping[str, Any] | None = None
    immutable: bool | None = None
    on_success: Signature | Sequence[Signature] | None = None
    on_error: Signature | Sequence[Signature] | None = None
    routing_key: str | None = None
    uuid: str | None = None
    message_group_id: str | None = None
    ignore_when_not_registered: bool | None = None
    stop_task_deletion_on_error: bool | None = None

    def applied(self, signature: Signature, now_ns: int) -> Signature:
        """Write these options into a new signature."""
        if self.eta is not None and self.countdown is not None:
            raise SignatureError(f"task {signature.name}: give eta or countdown, not both")
        if self.countdown is not None:
            signature.eta = Time.from_unix_ns(now_ns + nanoseconds(self.countdown, f"task {signature.name}: countdown"))
        if self.headers is not None and not isinstance(self.headers, Mapping):
            raise TypeError(f"task {signature.name}: headers must be a mapping, not {type(self.headers).__name__}")
        for field, value in (
            ("eta", self.eta),
            ("retry_count", self.retries),
            ("retry_timeout", self.retry_timeout),
            ("priority", self.priority),
            ("headers", dict(self.headers) if self.headers is not None else None),
            ("immutable", self.immutable),
            ("on_success", _signatures(self.on_success, f"task {signature.name}: on_success")),
            ("on_error", _signatures(self.on_error, f"task {signature.name}: on_error")),
            ("routing_key", self.routing_key),
            ("uuid", self.uuid),
            ("broker_message_group_id", self.message_group_id),
            ("ignore_when_task_not_registered", self.ignore_when_not_registered),
            ("stop_task_deletion_on_error", self.stop_task_deletion_on_error),
        ):
            if value is not None:
                setattr(signature, field, value)
        return signature


class Sender(Generic[P, R]):
    """A task together with options; made by ``task.using(...)``."""

    def __init__(self, task: Task[P, Any, R], options: Options) -> None:
        self._task = task
        self._options = options

    def send(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the task; nothing is sent when a value does not fit (TypeError, ValueError)."""
        signature = self.signature(*args, **kwargs)
        return self._task.server._send(signature, self._task)

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """:meth:`send` for asyncio."""
        signature = self.signature(*args, **kwargs)
        return await self._task.server._asend(signature, self._task)

    def s(self, *args: Any) -> Signature:
        """A signature to compose with; trailing parameters may be missing, results are appended to them."""
        return self._signature(self._task.parameters.bind_partial(args))

    def signature(self, *args: P.args, **kwargs: P.kwargs) -> Signature:
        """A complete signature: every argument given or defaulted."""
        return self._signature(self._task.parameters.bind(args, kwargs))

    def _signature(self, args: list[Arg]) -> Signature:
        task = self._task
        signature = Signature(task.name, args, uuid=new_task_uuid(), declared=task)
        task.defaults.applied(signature, 0)
        return self._options.applied(signature, task.server.clock.unix_ns())


class Task(Generic[P, C, R]):
    """A function that a worker can run and a producer can send. Calling it just calls the function."""

    def __init__(
        self,
        server: Server,
        function: Callable[..., Any],
        name: str,
        defaults: Options,
        *,
        remote: bool = False,
        soft_time_limit: float | timedelta | None = None,
    ) -> None:
        self.server = server
        self.function = function
        self.name = name
        self.defaults = defaults
        #: Served by others, typically in Go: typed and sendable, never run here.
        self.remote = remote
        self.parameters = Parameters.of(function, name=name, context_class=Context)
        self.results = Results.of(function, name=name)
        self.is_async = inspect.iscoroutinefunction(function)
        #: Seconds after which a run gets SoftTimeLimitExceeded, or None. Workers alone keep it; it is not on the wire.
        self.soft_time_limit: float | None = None
        self._limited = function
        if soft_time_limit is not None:
            # Imported by who needs it: ctypes takes a while.
            from gomachinery_py.soft_limits import limited, seconds_of

            self.soft_time_limit = seconds_of(soft_time_limit, f"task {name}: soft_time_limit")
            self._limited = limited(function, self.soft_time_limit, is_async=self.is_async)
        update_wrapper(self, function, updated=())
        for attribute, value in getattr(function, "__dict__", {}).items():
            # What a decorator left there, unless a task has something else under that name.
            if attribute not in vars(self) and not hasattr(type(self), attribute):
                setattr(self, attribute, value)

    def __repr__(self) -> str:
        return f"<{'remote ' if self.remote else ''}task {self.name}>"

    def __reduce__(self) -> str:
        # Copied and pickled as a function is: it is itself, and elsewhere what its module has under its name.
        return str(getattr(self, "__qualname__", self.name))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function here and now."""
        if self.parameters.takes_context:
            return self.function(Context(), *args, **kwargs)  # type: ignore[no-any-return]
        return self.function(*args, **kwargs)  # type: ignore[no-any-return]

    # -- sending --

    def send(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the task; nothing is sent when a value does not fit (TypeError, ValueError)."""
        if not kwargs and (sent := self.server._sends.send_plainly(self, args)) is not None:
            return sent
        return self._sender.send(*args, **kwargs)

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """:meth:`send` for asyncio."""
        if not kwargs and (sent := self.server._sends.plainly(self, args)) is not None:
            await arun(self.server._producer.send_plain_tasks([sent[1]], f"task {brief(self.name)}"))
            return sent[0]
        return await self._sender.asend(*args, **kwargs)

    def s(self, *args: Any) -> Signature:
        """A signature to compose with; trailing parameters may be missing, results are appended to them."""
        return self._sender.s(*args)

    def signature(self, *args: P.args, **kwargs: P.kwargs) -> Signature:
        """A complete signature: every argument given or defaulted."""
        return self._sender.signature(*args, **kwargs)

    def using(
        self,
        *,
        eta: datetime | None = None,
        countdown: float | timedelta | None = None,
        retries: int | None = None,
        retry_timeout: int | None = None,
        priority: int | None = None,
        headers: Mapping[str, Any] | None = None,
        immutable: bool | None = None,
        on_success: Signature | Sequence[Signature] | None = None,
        on_error: Signature | Sequence[Signature] | None = None,
        routing_key: str | None = None,
        uuid: str | None = None,
        message_group_id: str | None = None,
        ignore_when_not_registered: bool | None = None,
        stop_task_deletion_on_error: bool | None = None,
    ) -> Sender[P, R]:
        """The task with options for the next send; see :class:`Options`."""
        return Sender(
            self,
            Options(
                eta=eta,
                countdown=countdown,
                retries=retries,
                retry_timeout=retry_timeout,
                priority=priority,
                headers=headers,
                immutable=immutable,
                on_success=on_success,
                on_error=on_error,
                routing_key=routing_key,
                uuid=uuid,
                message_group_id=message_group_id,
                ignore_when_not_registered=ignore_when_not_registered,
                stop_task_deletion_on_error=stop_task_deletion_on_error,
            ),
        )

    @property
    def _sender(self) -> Sender[P, R]:
        return Sender(self, _NO_OPTIONS)

    # -- working --

    def prepare(self, signature: Signature) -> Callable[[], Any]:
        """The call for one message; raises ArgumentError with Go's text (see ``engine.RunnableTask``)."""
        values: Sequence[Any]
        try:
            values = self.parameters.values(signature.args)
        except CallMismatch as mismatch:
            # In Go the call itself panics, so it counts as a failed run and is retried as one.
            return self._raiser(mismatch)
        if self.parameters.takes_context:
            values = (Context(signature), *values)
        if self.is_async:
            return lambda: self._acall(signature, values)
        return lambda: self._call(signature, values)

    def _raiser(self, error: Exception) -> Callable[[], Any]:
        outcome = Outcome([], error)
        if not self.is_async:
            return lambda: outcome

        async def raised() -> Outcome:
            return outcome

        return raised

    def _call(self, signature: Signature, values: Sequence[Any]) -> Outcome:
        token = running_signature.set(signature)
        try:
            return Outcome(self.results.to_wire(self._limited(*values)))
        except BaseException as error:
            return Outcome([], error)
        finally:
            running_signature.reset(token)

    async def _acall(self, signature: Signature, values: Sequence[Any]) -> Outcome:
        token = running_signature.set(signature)
        try:
            value: Awaitable[Any] = self._limited(*values)
            return Outcome(self.results.to_wire(await value))
        except BaseException as error:
            return Outcome([], error)
        finally:
            running_signature.reset(token)


_NO_OPTIONS = Options()


def _signatures(value: Signature | Sequence[Signature] | None, where: str) -> list[Signature] | None:
    if value is None:
        return None
    if isinstance(value, Signature):
        return [value]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{where} must be a signature or a list of them, not {type(value).__name__}")
    return list(value)
