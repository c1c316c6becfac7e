"""A Celery task: declared, called, sent, and run by a worker of this package."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from gomachinery_py.compat.celery.binding import EXPIRES, RETRIES, TAKES, Call, call_of, own_arguments
from gomachinery_py.compat.celery.canvas import Signature, chunks
from gomachinery_py.compat.celery.current import running
from gomachinery_py.compat.celery.exceptions import (
    CeleryDifference,
    MaxRetriesExceededError,
    Retry,
    TaskError,
    TaskRevokedError,
    failure_text,
)
from gomachinery_py.compat.celery.options import moment
from gomachinery_py.compat.celery.result import AsyncResult, EagerResult
from gomachinery_py.compat.celery.values import plain
from gomachinery_py.context import Context as MachineryContext
from gomachinery_py.errors import RetryTaskLater
from gomachinery_py.producer import new_task_uuid
from gomachinery_py.wire.model import Signature as Sent

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery

__all__ = ["Context", "Task"]


class Context:
    """``self.request``: what a task can know of this run.

    Raises AttributeError that says so for what Machinery does not tell.
    """

    def __init__(
        self,
        sent: Sent | None = None,
        call: Call | None = None,
        *,
        called_directly: bool = True,
        is_eager: bool = False,
    ) -> None:
        headers = dict(sent.headers or {}) if sent is not None else {}
        self.id = sent.uuid if sent is not None else None
        self.task = sent.name if sent is not None else None
        self.args = list(call.args) if call is not None else []
        self.kwargs = call.kwargs if call is not None else {}
        self.retries = _count(headers.get(RETRIES))
        self.eta = sent.eta.isoformat() if sent is not None and sent.eta is not None else None
        self.expires = headers.get(EXPIRES)
        self.group = (sent.group_uuid or None) if sent is not None else None
        self.delivery_info = {"routing_key": sent.routing_key if sent is not None else None}
        self.headers = {name: value for name, value in headers.items() if not name.startswith("gmpy-")}
        self.called_directly = called_directly
        self.is_eager = is_eager
        self.sent = sent

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"request.{name} is not known: it does not travel with Machinery's tasks")


def _count(header: Any) -> int:
    return int(header) if isinstance(header, str) and header.isascii() and header.isdigit() and len(header) < 10 else 0


class Task:
    """Base of every task; ``base=`` takes subclasses, whose handlers run around each run.

    ``run`` is the function. Calling a task runs it here and now.
    """

    name: str
    app: Celery
    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: Iterable[type[BaseException]] = ()
    dont_autoretry_for: Iterable[type[BaseException]] = ()
    retry_kwargs: ClassVar[Mapping[str, Any]] = {}
    retry_backoff: float | bool = False
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    ignore_result: bool = False
    typing: bool = True
    queue: str | None = None
    priority: int | None = None
    expires: Any = None
    throws: Iterable[type[BaseException]] = ()
    MaxRetriesExceededError = MaxRetriesExceededError

    run: Callable[..., Any]

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = running.set((self, Context(call=Call(args, kwargs))))
        try:
            return self.run(*args, **kwargs)
        finally:
            running.reset(token)

    @property
    def request(self) -> Context:
        """Of the run in this thread."""
        found = running.get()
        return found[1] if found is not None else Context()

    # -- sending --

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Send it."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Send it with options: ``countdown``, ``eta``, ``expires``, ``queue``, ``priority``, ``task_id``, ``headers``,
        ``link``, ``link_error``.

        Raises CeleryDifference for an option that Machinery cannot follow, TypeError or ValueError for arguments.
        """
        sent: AsyncResult = self.app.send_canvas(Signature(self, args, kwargs, options))
        return sent

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
    ) -> EagerResult:
        """Run it here and now; the result tells what became of it. ``retry`` runs it again at once.

        Raises what the task raises if ``throw``, which is ``task_eager_propagates`` unless it is given.
        """
        call = Call(tuple(args or ()), dict(kwargs or {}))
        sent = Sent(self.name, uuid=new_task_uuid())
        while True:
            try:
                value = self._run(sent, call, is_eager=True)
            except Retry:
                sent.headers = {RETRIES: str(_count((sent.headers or {}).get(RETRIES)) + 1)}
            except Exception as error:
                if self.app.conf.task_eager_propagates if throw is None else throw:
                    raise
                return EagerResult(sent.uuid, "FAILURE", error)
            else:
                return EagerResult(sent.uuid, "SUCCESS", value)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature to compose with."""
        return Signature(self, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature that wants no results."""
        return Signature(self, args, kwargs, immutable=True)

    def signature(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Signature:
        """A signature with options."""
        immutable = bool(options.pop("immutable", False))
        return Signature(self, args, kwargs, options, immutable=immutable)

    subtask = signature

    def map(self, items: Iterable[Any]) -> Signature:
        """One task that runs this for each item."""
        return Signature("celery.map", (self.name, list(items)), app=self.app, immutable=True)

    def starmap(self, rows: Iterable[Iterable[Any]]) -> Signature:
        """One task that runs this for each row of arguments."""
        items = [list(row) for row in rows]
        return Signature("celery.starmap", (self.name, items), app=self.app, immutable=True)

    def chunks(self, rows: Iterable[Sequence[Any]], n: int) -> chunks:
        """A group of tasks that run this for ``n`` rows each."""
        return chunks(self, rows, n)

    def AsyncResult(self, task_id: str) -> AsyncResult:  # noqa: N802
        """The result of a task by its id."""
        return self.app.AsyncResult(task_id)

    # -- inside a run --

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> NoReturn:
        """Run again after a while: ``raise self.retry(exc=error, countdown=60)``.

        Raises Retry; when there were ``max_retries`` already, ``exc`` or MaxRetriesExceededError. Outside a worker
        it raises ``exc``.
        """
        request = self.request
        if request.called_directly:
            raise exc or Retry("Task can be retried")
        if not throw or options:
            what = "throw=False" if not throw else next(iter(options))
            raise CeleryDifference(f"task {self.name}: retry({what}) cannot be followed: the same message comes again")
        allowed = self.max_retries if max_retries is None else max_retries
        if allowed is not None and request.retries + 1 > allowed:
            if exc is not None:
                raise exc
            raise MaxRetriesExceededError(
                f"Can't retry {self.name}[{request.id}] args:{request.args} kwargs:{request.kwargs}"
            )
        if args is not None or kwargs is not None:
            self._replace_arguments(request, args, kwargs)
        if eta is not None:
            delay = moment(eta, 0) - datetime.now(UTC)
        else:
            delay = timedelta(seconds=self.default_retry_delay if countdown is None else countdown)
        raise Retry("", exc, max(delay, timedelta(0))) from exc

    def _replace_arguments(
        self, request: Context, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
    ) -> None:
        assert request.sent is not None
        request.sent.args = own_arguments(
            request.args if args is None else args, request.kwargs if kwargs is None else kwargs, named=False
        )
        headers = dict(request.sent.headers or {})
        headers.pop(TAKES, None)
        request.sent.headers = headers

    def update_state(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: Machinery has no states of a task's own."""
        raise CeleryDifference(
            f"task {self.name}: update_state cannot be followed: Machinery's states are PENDING, RECEIVED, STARTED, "
            "RETRY, SUCCESS and FAILURE. Keep progress where the reader can look it up"
        )

    def replace(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: a task's callbacks belong to its own message."""
        raise CeleryDifference(f"task {self.name}: replace cannot be followed; send the other task and return")

    # -- handlers of subclasses --

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Before each run."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """After a run that returned."""

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """After a run that asked for another."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """After a run that raised."""

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """After each run but one that asked for another."""

    # -- a worker's side --

    @cached_property
    def _signature(self) -> inspect.Signature:
        # Read once: it would be half of what this layer adds to a send.
        return inspect.signature(self.run)

    def check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """A complete call with as many positional arguments as it can have. Raises TypeError."""
        if not self.typing:
            return list(args), dict(kwargs)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        return list(bound.args), dict(bound.kwargs)

    def perform(self, context: MachineryContext, *values: Any) -> Any:
        """What the server runs for a message of this task; its errors carry the texts that are stored."""
        sent = context.signature
        try:
            call = call_of(sent, values)
            if call.error is not None:
                call = self._error_call(call)
            value = plain(self._run(sent, call, is_eager=self.app.conf.task_always_eager))
        except Retry as retry:
            sent.headers = {**(sent.headers or {}), RETRIES: str(_count((sent.headers or {}).get(RETRIES)) + 1)}
            raise RetryTaskLater(str(retry), retry.delay or 0) from retry
        except RetryTaskLater:
            raise
        except Exception as error:
            raise TaskError(failure_text(error)) from error
        if sent.on_success or sent.chord_callback is not None:
            # Somebody counts results, so None is one too.
            return value
        return None if self.ignore_result or value == plain(None) else value

    def _error_call(self, call: Call) -> Call:
        """Celery's two forms of an error callback: it takes the id of the failed task, or request, error, traceback."""
        assert call.error is not None
        text, uuid = call.error
        positional = [
            parameter
            for parameter in self._signature.parameters.values()
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        is_old = len(positional) - len(call.args) <= 1 and not any(
            parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in positional
        )
        if is_old:
            return Call((uuid, *call.args), call.kwargs)
        request = Context(Sent("", uuid=uuid))
        return Call((request, TaskError(text), None, *call.args), call.kwargs)

    def _run(self, sent: Sent, call: Call, *, is_eager: bool = False) -> Any:
        context = Context(sent, call, called_directly=False, is_eager=is_eager)
        if context.expires is not None and moment(context.expires, 0) < datetime.now(UTC):
            raise TaskRevokedError(f"expired at {context.expires}")
        arguments = (sent.uuid, context.args, call.kwargs)
        token = running.set((self, context))
        try:
            try:
                self.before_start(*arguments)
                value = self._tried(call)
            except Retry as retry:
                self.on_retry(retry, *arguments, None)
                raise
            except Exception as error:
                self.on_failure(error, *arguments, None)
                self.after_return("FAILURE", error, *arguments, None)
                raise
            self.on_success(value, *arguments)
            self.after_return("SUCCESS", value, *arguments, None)
            return value
        finally:
            running.reset(token)

    def _tried(self, call: Call) -> Any:
        """Run it, with ``autoretry_for``; Celery: ``celery/app/autoretry.py``."""
        retried = tuple(self.autoretry_for)
        if not retried:
            return self.run(*call.args, **call.kwargs)
        try:
            return self.run(*call.args, **call.kwargs)
        except Retry:
            raise
        except tuple(self.dont_autoretry_for):
            raise
        except retried as error:
            settings = dict(self.retry_kwargs)
            if self.retry_backoff:
                settings["countdown"] = self._backoff()
            self.retry(exc=error, **settings)

    def _backoff(self) -> int:
        countdown = min(int(self.retry_backoff_max), int(max(1.0, float(self.retry_backoff))) * 2**self.request.retries)
        return random.randrange(countdown + 1) if self.retry_jitter else countdown
