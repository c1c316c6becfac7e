"""The server: a broker, a result store, and the tasks that are declared on them.

Go source: ``v2/server.go``. Every method that talks to a service has an ``a…`` twin for asyncio.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, overload

from gomachinery_py.arguments import kind_of, need
from gomachinery_py.brokers.eager import EagerBroker
from gomachinery_py.config import Config
from gomachinery_py.config_sections import check_kinds
from gomachinery_py.context import Context
from gomachinery_py.declaring import Declare, RunnableTasks, declared_options
from gomachinery_py.effects import Clock, SystemClock, arun
from gomachinery_py.engine import Engine
from gomachinery_py.errors import ConfigError, SignatureError, WireError
from gomachinery_py.incoming import brief
from gomachinery_py.observing import Observer, Observers
from gomachinery_py.outgoing import Limits
from gomachinery_py.periodic import PeriodicTasks
from gomachinery_py.producer import Producer
from gomachinery_py.registry import open_services
from gomachinery_py.results import AsyncResult, ChainResult, ChordResult, GroupResult, blocking
from gomachinery_py.runs import Handlers
from gomachinery_py.sends import Sends
from gomachinery_py.signing import Signing
from gomachinery_py.task import Options, Task
from gomachinery_py.urls import only_carries
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature
from gomachinery_py.withdrawing import Withdrawals
from gomachinery_py.worker import Worker
from gomachinery_py.worker.worker import WorkerSettings
from gomachinery_py.workflow import Chain, Chord, Group

__all__ = ["Server"]

P = ParamSpec("P")
R = TypeVar("R")

_PAGE = 500


class Server(PeriodicTasks, Withdrawals):
    """Where tasks are declared, sent, and their results read.

    Args:
        broker: a URL, or a whole Config.
        result_backend: a URL; the broker's own by default, where it can keep results.
        lock: a URL for periodic tasks; by default schedulers in other processes are not known of.
        lock_program: the name in the lock's key, shared with schedulers in Go; by default this program's file name.
        default_queue: where tasks without a routing key go.
        results_expire_in: seconds, whole ones, that states and results are kept; 0 is Machinery's hour.
        crash_safe: False takes tasks as Go does, off the queue before they ran: lost when the worker dies.
        lease: seconds without a sign of life after which a worker's tasks are given to others; the same for all
            Python workers of a queue.
        signing: sign what is sent, and run only what is signed (see ``gomachinery_py.signing``).
        observers: who watches sends and runs (``gomachinery_py.tracing``, ``gomachinery_py.metrics``, your own).

    Raises ConfigError for a URL that no service has, MissingExtra for a client that is not installed. Nothing is
    connected before it is needed.
    """

    def __init__(
        self,
        broker: str | Config,
        *,
        result_backend: str | None = None,
        lock: str | None = None,
        default_queue: str | None = None,
        results_expire_in: int | None = None,
        crash_safe: bool = True,
        lease: float = 30.0,
        signing: Signing | None = None,
        observers: Sequence[Observer] = (),
        lock_program: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(lock_program)
        self.config = _configuration(broker, result_backend, lock, default_queue, results_expire_in)
        self.clock = clock or SystemClock()
        #: Every declared task by name, remote ones included.
        self.tasks: dict[str, Task[Any, Any, Any]] = {}
        _check_arguments(lease, signing, observers, lock_program)
        self._crash_safe = crash_safe
        self._lease = lease
        self._signing = signing
        self._observers = Observers(observers)
        self._pre_publish: Callable[[Signature], object] | None = None
        self._handlers = Handlers()
        self._open()

    def _open(self) -> None:
        self._services = open_services(self.config, self.clock, crash_safe=self._crash_safe)
        self.broker = self._services.broker
        self.backend = self._services.backend
        self.broker.lease = self._lease
        sign = self._signing.sign if self._signing else None
        self._producer = Producer(self.broker, self.backend, lambda: self._pre_publish, sign)
        self._sends = Sends(self._producer, self.clock, self._limits, self._observers, self._is_watched)
        if isinstance(self.broker, EagerBroker):
            self.broker.assign(self._engine(Handlers()).process)

    def _is_watched(self) -> bool:
        """Whether anybody wants to see each task before it is sent."""
        return self._pre_publish is not None or self._signing is not None or bool(self._observers)

    def configure(self, config: Config) -> None:
        """Use other settings from now on; what is declared stays (``--config`` and flags of the command line)."""
        self.close()
        self.config = config
        self._open()

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str], *, strict: bool = False, crash_safe: bool = True) -> Server:
        """A server configured by a file that a Go service may use as well."""
        return cls(Config.from_yaml(path, strict=strict), crash_safe=crash_safe)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, crash_safe: bool = True) -> Server:
        """A server configured by Machinery's environment variables."""
        return cls(Config.from_env(environ), crash_safe=crash_safe)

    def __repr__(self) -> str:
        return f"Server({str(self.config.broker)!r}, result_backend={str(self.config.result_backend)!r})"

    # -- declaring --

    @overload
    def task(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R, R]: ...
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(
        self,
        name: str | None = None,
        /,
        *,
        queue: str | None = None,
        retries: int | None = None,
        retry_timeout: int | None = None,
        priority: int | None = None,
        ignore_when_not_registered: bool | None = None,
        soft_time_limit: float | timedelta | None = None,
    ) -> Declare: ...
    def task(self, function: Any = None, /, *, soft_time_limit: float | timedelta | None = None, **options: Any) -> Any:
        """Declare a task: ``@server.task``, or ``@server.task("name", queue=…, retries=…)``.

        The name is the function's own unless given. ``queue`` routes sends; which queues a worker consumes is the
        worker's. After ``soft_time_limit`` (seconds, or a timedelta) a run gets SoftTimeLimitExceeded raised inside,
        once; a direct call does not. Refused with TypeError, ValueError or SignatureError: a parameter that the wire
        cannot carry, keyword-only parameters, a name that is taken.
        """
        if callable(function):
            return Declare(self, None, Options(), remote=False)(function)
        return Declare(self, function, declared_options(options), remote=False, soft_time_limit=soft_time_limit)

    def remote(
        self,
        name: str | None = None,
        /,
        *,
        queue: str | None = None,
        retries: int | None = None,
        retry_timeout: int | None = None,
        priority: int | None = None,
        ignore_when_not_registered: bool | None = None,
    ) -> Declare:
        """Declare a task that others serve, typically in Go: typed and sendable, its body is never run."""
        if callable(name):
            raise TypeError('remote is called: write @server.remote() or @server.remote("name")')
        options = Options(
            routing_key=queue,
            retries=retries,
            retry_timeout=retry_timeout,
            priority=priority,
            ignore_when_not_registered=ignore_when_not_registered,
        )
        return Declare(self, name, options, remote=True)

    def _declare(
        self,
        function: Callable[..., Any],
        name: str,
        options: Options,
        *,
        remote: bool,
        soft_time_limit: float | timedelta | None = None,
    ) -> Task[Any, Any, Any]:
        if name in self.tasks:
            raise SignatureError(f"task {name!r} is declared twice; give one of them another name")
        task: Task[Any, Any, Any] = Task(self, function, name, options, remote=remote, soft_time_limit=soft_time_limit)
        self.tasks[name] = task
        return task

    def set_pre_publish_handler(self, handler: Callable[[Signature], Any]) -> Callable[[Signature], Any]:
        """Called with each signature before it is published (Go: ``Server.SetPreTaskHandler``).

        As in Go, groups and chords skip it. Works as a decorator.
        """
        self._pre_publish = handler
        return handler

    def set_error_handler(self, handler: Callable[[BaseException], Any]) -> Callable[[BaseException], Any]:
        """Called by each worker made from now on with the exception of a task that failed for good. A decorator."""
        self._handlers.error = handler
        return handler

    def set_pre_task_handler(self, handler: Callable[[Signature], Any]) -> Callable[[Signature], Any]:
        """Called by each worker made from now on with the signature before each call. A decorator."""
        self._handlers.pre_task = handler
        return handler

    def set_post_task_handler(self, handler: Callable[[Signature], Any]) -> Callable[[Signature], Any]:
        """Called by each worker made from now on with the signature of a task that is done with. A decorator."""
        self._handlers.post_task = handler
        return handler

    # -- sending --

    def send_task(self, signature: Signature) -> AsyncResult[Any]:
        """Send one task (Go: ``SendTask``). Only a missing UUID is written back to ``signature``."""
        return blocking(self._sends.task(signature, None), "server.asend_task()")

    async def asend_task(self, signature: Signature) -> AsyncResult[Any]:
        """:meth:`send_task` for asyncio."""
        return await arun(self._sends.task(signature, None))

    def send_chain(self, chain: Chain) -> ChainResult:
        """Send a chain (Go: ``SendChain``)."""
        return blocking(self._sends.chain(chain), "server.asend_chain()")

    async def asend_chain(self, chain: Chain) -> ChainResult:
        """:meth:`send_chain` for asyncio."""
        return await arun(self._sends.chain(chain))

    def send_group(self, group: Group, concurrency: int = 0) -> GroupResult:
        """Send a group (Go: ``SendGroup``); ``concurrency`` bounds parallel publishes where they are single."""
        return blocking(self._sends.group(group, concurrency), "server.asend_group()")

    async def asend_group(self, group: Group, concurrency: int = 0) -> GroupResult:
        """:meth:`send_group` for asyncio."""
        return await arun(self._sends.group(group, concurrency))

    def send_chord(self, chord: Chord, concurrency: int = 0) -> ChordResult:
        """Send a chord (Go: ``SendChord``)."""
        return blocking(self._sends.chord(chord, concurrency), "server.asend_chord()")

    async def asend_chord(self, chord: Chord, concurrency: int = 0) -> ChordResult:
        """:meth:`send_chord` for asyncio."""
        return await arun(self._sends.chord(chord, concurrency))

    def send_many(self, task: Task[P, Any, R], rows: Iterable[Sequence[Any]]) -> list[AsyncResult[R]]:
        """Send one task many times, a row of arguments each, in as few round trips as possible."""
        return blocking(self._sends.many(task, rows), "server.asend_many()")

    async def asend_many(self, task: Task[P, Any, R], rows: Iterable[Sequence[Any]]) -> list[AsyncResult[R]]:
        """:meth:`send_many` for asyncio."""
        return await arun(self._sends.many(task, rows))

    def _send(self, signature: Signature, task: Task[Any, Any, R]) -> AsyncResult[R]:
        return blocking(self._sends.task(signature, task), f"{task.name}.asend()")

    async def _asend(self, signature: Signature, task: Task[Any, Any, R]) -> AsyncResult[R]:
        return await arun(self._sends.task(signature, task))

    # -- results and queues --

    def result(self, uuid: str) -> AsyncResult[Any]:
        """The result of a task by its UUID, whoever sent it."""
        need(uuid, str, "a task's UUID", "text")
        return AsyncResult(uuid, self.backend, self.clock)

    def pending(self, queue: str | None = None) -> Iterator[Signature]:
        """The tasks that wait in a queue, the next to run first (Go: ``GetPendingTasks``); read page by page.

        Raises WireError for a message that Machinery cannot decode either.
        """
        need(queue, str | None, "queue", "text")
        name = queue or self.config.default_queue
        return self._pages(lambda start: self.broker.pending(name, start, _PAGE), "server.apending()")

    def apending(self, queue: str | None = None) -> AsyncIterator[Signature]:
        """:meth:`pending` for asyncio."""
        need(queue, str | None, "queue", "text")
        name = queue or self.config.default_queue
        return self._apages(lambda start: self.broker.pending(name, start, _PAGE))

    def delayed(self) -> Iterator[Signature]:
        """The tasks that wait for their time, the earliest first (Go: ``GetDelayedTasks``); read page by page."""
        return self._pages(lambda start: self.broker.delayed(start, _PAGE), "server.adelayed()")

    def adelayed(self) -> AsyncIterator[Signature]:
        """:meth:`delayed` for asyncio."""
        return self._apages(lambda start: self.broker.delayed(start, _PAGE))

    # -- working --

    def worker(
        self,
        tag: str = "",
        concurrency: int = 0,
        queue: str | Sequence[str] | None = None,
        *,
        prefetch: int | None = None,
        health_file: str | None = None,
    ) -> Worker:
        """A worker for the declared tasks (Go: ``NewWorker``, ``NewCustomQueueWorker``).

        ``concurrency`` 0 is twice the CPUs. ``queue`` is the default queue, another one, or several. ``prefetch``
        is how many tasks it may hold, four times the concurrency unless given. ``health_file`` is where it says
        every two seconds that it is well, for ``gomachinery health``.
        """
        need(queue, str | Sequence | None, "queue", "text or a list of it")
        redis = self.config.redis
        settings = WorkerSettings(
            tag=tag,
            concurrency=concurrency,
            queues=(queue,) if isinstance(queue, str) and queue else tuple(dict.fromkeys(queue or ())),
            prefetch=prefetch,
            health_file=health_file,
            # A wait for messages that is as long as an answer may take would count as none.
            poll=min(max(redis.normal_tasks_poll_period / 1000, 0.1), 1.0, (redis.read_timeout or 2) / 2),
            delayed_poll=(redis.delayed_tasks_poll_period or 500) / 1000,
            heartbeat=min(5.0, self._lease / 6),
            recovery=min(5.0, self._lease / 6),
            handle_signals=not self.config.no_unix_signals,
        )
        return Worker(self._engine, self.clock, settings, replace(self._handlers))

    def _engine(self, handlers: Handlers) -> Engine:
        engine = Engine(self._producer, RunnableTasks(self.tasks), self.clock, handlers, self._observers.for_worker())
        engine.verify = self._signing.reason if self._signing else None
        return engine

    # -- ending --

    def close(self) -> None:
        """Close connections; the server opens new ones when it is used again."""
        for port in self._services.ports:
            port.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and the blocking ones."""
        for port in self._services.ports:
            await port.aclose()
            await asyncio.to_thread(port.close)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # -- core --

    def _limits(self) -> Limits:
        return Limits(
            reserved=frozenset(self.broker.reserved_names()),
            is_reserved=self.backend.is_reserved,
            keys=frozenset(self.broker.reserved_names()) - self.broker.own_queues,
            results_expire_in=self.backend.results_expire_in,
            broker_is_sqs=self.broker.is_sqs,
            broker_is_amqp=self.broker.is_amqp,
            uuid_bytes=self.backend.uuid_bytes,
            routing_key_bytes=self.broker.routing_key_bytes,
            backend_is_null=self.backend.is_null,
            now_ns=self.clock.unix_ns(),
        )

    def _pages(self, page: Callable[[int], Coroutine[Any, Any, list[bytes]]], twin: str) -> Iterator[Signature]:
        start = 0
        while bodies := blocking(page(start), twin):
            yield from map(_decoded, bodies)
            start += len(bodies)

    async def _apages(self, page: Callable[[int], Coroutine[Any, Any, list[bytes]]]) -> AsyncIterator[Signature]:
        start = 0
        while bodies := await arun(page(start)):
            for body in bodies:
                yield _decoded(body)
            start += len(bodies)


def _configuration(
    broker: str | Config,
    result_backend: str | None,
    lock: str | None,
    default_queue: str | None,
    results_expire_in: int | None,
) -> Config:
    if not isinstance(broker, Config | str):
        raise ConfigError(f"broker must be a URL or a Config, not {kind_of(broker)}")
    if isinstance(broker, Config):
        check_kinds(broker)
        if (result_backend, lock, default_queue, results_expire_in) != (None,) * 4:
            raise ConfigError("give a Config, or a broker URL with keyword settings, not both")
        return broker
    if result_backend is None:
        if only_carries(broker):
            raise ConfigError('this broker keeps no results: give result_backend=, or result_backend="null"')
        result_backend = broker
    return Config.of(
        broker=broker,
        result_backend=result_backend,
        lock=lock,
        default_queue=default_queue,
        results_expire_in=results_expire_in,
    )


def _check_arguments(lease: object, signing: object, observers: object, lock_program: object) -> None:
    if isinstance(lease, bool) or not isinstance(lease, int | float) or lease == math.inf:
        shown = "without an end" if lease == math.inf else kind_of(lease)
        raise ConfigError(f"lease must be a number of seconds, not {shown}")
    if not lease >= 2:
        raise ConfigError("lease is in seconds, 2 at least: a shorter one would give away tasks that still run")
    need(signing, Signing | None, "signing", "a gomachinery_py.signing.Signing")
    need(lock_program, str | None, "lock_program", "text")
    need(observers, Sequence, "observers", "a list of gomachinery_py.observing.Observer")
    for observer in cast("Sequence[object]", observers):
        need(observer, Observer, "observers", "a list of gomachinery_py.observing.Observer with nothing else in it")


def _decoded(body: bytes) -> Signature:
    try:
        return decode_signature(body)
    except WireError as error:
        shown = brief(body.decode("utf-8", "replace"), 60)
        raise WireError(f"a waiting message cannot be decoded: {error}: {shown}", error.offset) from error
