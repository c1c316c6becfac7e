"""``Celery``: an app whose tasks, sends and results are a :class:`gomachinery_py.Server`'s."""

from __future__ import annotations

import importlib
import inspect
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gomachinery_py.compat.celery.absent import OF_APPS, missing
from gomachinery_py.compat.celery.canvas import Canvas, Signature
from gomachinery_py.compat.celery.current import Proxy, become_current, share, shared, the_app
from gomachinery_py.compat.celery.declaring import Signal, annotate, declared_by
from gomachinery_py.compat.celery.exceptions import CeleryDifference, ImproperlyConfigured
from gomachinery_py.compat.celery.known import Known, RemoteTask
from gomachinery_py.compat.celery.options import check_task
from gomachinery_py.compat.celery.repeating import entry_of, repeated
from gomachinery_py.compat.celery.result import AsyncResult as Result
from gomachinery_py.compat.celery.result import GroupResult as Results
from gomachinery_py.compat.celery.schedules import spec_of
from gomachinery_py.compat.celery.settings import Settings, configuration
from gomachinery_py.compat.celery.task import Task
from gomachinery_py.compat.celery.weaving import Plan, Woven, weave
from gomachinery_py.results import AsyncResult as Stored
from gomachinery_py.schedule import ScheduleError
from gomachinery_py.server import Server
from gomachinery_py.wire.model import Signature as Sent
from gomachinery_py.worker import Worker
from gomachinery_py.workflow import Chord, Group

__all__ = ["Celery", "shared_task"]

# Settings that are read when the server is made, and those that describe it.
_ONCE: Final = frozenset({"beat_schedule", "include", "imports", "task_annotations"})
_OF_SERVER: Final = frozenset(
    {"broker_url", "result_backend", "result_expires", "task_default_queue", "task_always_eager"}
)


class Celery:
    """An app: ``Celery("tasks", broker="redis://localhost", backend="redis://localhost")``.

    ``app.server`` is Machinery's side of it: ``gomachinery worker tasks:app.server``, ``gomachinery beat …``. It is
    made when it is first needed, so settings may come after tasks.

    Raises ImproperlyConfigured for what Machinery cannot follow.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: str | Sequence[str] = (),
        config_source: Any = None,
        set_as_current: bool = True,
        **settings: Any,
    ) -> None:
        self.main = main
        #: Every task by its name.
        self.tasks: dict[str, Task] = {}
        self._remote: dict[str, Known] = {}
        self._server: Server | None = None
        self._making = threading.RLock()
        self._is_made = False
        self._is_adopted = False
        self._periodic: list[tuple[Any, Canvas, str]] = []
        #: ``@app.on_after_configure.connect``: called with ``sender=app`` when the server is made.
        self.on_after_configure = Signal()
        self.on_after_finalize = Signal()
        self.conf = Settings(self._reconfigured)
        self.Task: type[Task] = type("Task", (Task,), {"app": self})
        given = {"broker_url": broker, "result_backend": backend, "include": include, **settings}
        self.conf.update({name: value for name, value in given.items() if value is not None})
        if config_source is not None:
            self.config_from_object(config_source)
        if set_as_current:
            become_current(self)
        self._declare_builtin()
        for declare in shared():
            declare(self)

    def __repr__(self) -> str:
        return f"<Celery {self.main or '__main__'}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing("an app", name, OF_APPS)

    # -- configuration --

    def config_from_object(self, found: Any, namespace: str = "") -> None:
        """Settings of a module, by its name too, an object or a dict."""
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = importlib.import_module(module)
            found = getattr(found, attribute) if attribute else found
        self.conf.update_from_object(found, namespace)

    def autodiscover_tasks(
        self, packages: Sequence[str] | Callable[[], Sequence[str]], related_name: str = "tasks"
    ) -> None:
        """Import ``<package>.tasks`` of each package that has one; the packages must be given."""
        for package in packages() if callable(packages) else packages:
            name = f"{package}.{related_name}"
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != name:
                    raise

    def _reconfigured(self, names: Collection[str]) -> None:
        if self._server is None:
            return
        # The zone is in the specs of what is declared.
        once = _ONCE | {"timezone"} if self._server.periodic_tasks else _ONCE
        late = sorted(once.intersection(names))
        if late:
            raise ImproperlyConfigured(
                f"{', '.join(late)}: the app has its server already, which has read this; set it before any send"
            )
        if _OF_SERVER.intersection(names):
            if self._is_adopted:
                raise ImproperlyConfigured("this app uses a server that was given to it; configure that")
            self._server.configure(configuration(self.conf))

    def set_current(self) -> None:
        """Make it the app that is meant where none is named."""
        become_current(self)

    set_default = set_current

    @property
    def server(self) -> Server:
        """Machinery's server with the app's tasks."""
        if not self._is_made:
            # What is imported and called meanwhile asks for it too, on this thread; others wait until it is whole.
            with self._making:
                if self._server is None:
                    self._use(Server(configuration(self.conf)))
        assert self._server is not None
        return self._server

    def adopt(self, server: Server) -> None:
        """Use a server of your own, with observers or signing, instead of one that the settings describe.

        Raises ImproperlyConfigured when the app has one already.
        """
        with self._making:
            if self._server is not None:
                raise ImproperlyConfigured("the app has its server already; give it another before anything is sent")
            self._is_adopted = True
            self._use(server)

    def _use(self, server: Server) -> None:
        self._server = server
        try:
            self._complete(server)
        except BaseException:
            # Half of it would serve some tasks, and leave out the others without a word.
            self._server = None
            server.close()
            raise
        self._is_made = True

    def _complete(self, server: Server) -> None:
        for task in list(self.tasks.values()):
            self._register(server, task)
        for known in self._remote.values():
            known.declare(server)
        for module in (*self.conf.include, *self.conf.imports):
            importlib.import_module(module)
        self.on_after_configure.send(self)
        self.on_after_finalize.send(self)
        for name, entry in (self.conf.beat_schedule or {}).items():
            self._schedule(server, name, entry)
        for when, canvas, name in self._periodic:
            self._send_periodically(server, when, canvas, name)

    def _register(self, server: Server, task: Task) -> None:
        annotate(task, self.conf.task_annotations)
        limit = getattr(task, "soft_time_limit", None)
        server.task(task.name, soft_time_limit=limit)(task.perform)

    def close(self) -> None:
        """Close connections."""
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Celery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- declaring --

    def task(self, *args: Any, **options: Any) -> Any:
        """Declare a task: ``@app.task``, ``@app.task(bind=True, max_retries=5, queue="mail")``.

        Raises CeleryDifference for an option that Machinery cannot follow, or a function that it cannot run.
        """
        if args and callable(args[0]) and not options:
            return self._declare(args[0], {})
        if args:
            raise TypeError("@task() takes exactly 1 argument, the function")
        return lambda function: self._declare(function, options)

    def _declare(self, function: Callable[..., Any], options: Mapping[str, Any]) -> Task:
        name = options.get("name") or self.gen_task_name(function.__name__, function.__module__)
        if name in self.tasks:
            # As in Celery: the same function, seen by way of two imports.
            return self.tasks[name]
        check_task(name, options)
        if inspect.iscoroutinefunction(function):
            raise CeleryDifference(f"task {name}: Celery's tasks are plain functions; declare it with @app.server.task")
        base = options.get("base") or self.Task
        kept = {key: value for key, value in options.items() if key not in ("bind", "base", "name", "serializer")}
        check_task(name, declared_by(base))
        run = function if options.get("bind") else staticmethod(function)
        members = {
            **kept,
            "app": self,
            "name": name,
            "run": run,
            "__name__": function.__name__,
            "__module__": function.__module__,
            "__doc__": function.__doc__,
            "__wrapped__": staticmethod(function),
        }
        return self.register_task(type(function.__name__, (base,), members)())

    def register_task(self, task: Any) -> Task:
        """Declare a task that is an instance, or a class, of Task."""
        task = task() if isinstance(task, type) else task
        if not getattr(task, "name", None):
            task.name = self.gen_task_name(type(task).__name__, type(task).__module__)
        check_task(task.name, declared_by(type(task)))
        task.app = self
        self.tasks[task.name] = task
        if self._server is not None:
            self._register(self._server, task)
        return task  # type: ignore[no-any-return]

    def remote(self, name: str, *, queue: str | None = None, appended: bool = False) -> Callable[..., RemoteTask]:
        """Declare a task that Go serves, by its annotations: typed and sendable, its body is never run.

        ``appended`` says that the Go function wants results after its own arguments, as Machinery passes them. Without
        it a canvas in which that makes a difference is refused.
        """

        def declare(function: Callable[..., Any]) -> RemoteTask:
            known = Known(self, name, function=function, queue=queue, appends=appended)
            self._remote[name] = known
            if self._server is not None:
                known.declare(self._server)
            return RemoteTask(self, name, function)

        return declare

    def gen_task_name(self, name: str, module: str) -> str:
        """``module.name``; the main module has the app's name."""
        if module == "__main__" and self.main:
            module = self.main
        return f"{module}.{name}"

    def known(self, name: str) -> Task:
        """A task by its name. Raises CeleryDifference when there is none."""
        if name not in self.tasks:
            raise CeleryDifference(f"task {name} is not declared in this app, so it cannot run here")
        return self.tasks[name]

    def _declare_builtin(self) -> None:
        def mapped(name: str, items: list[Any]) -> list[Any]:
            task = self.known(name)
            return [task(item) for item in items]

        def starmapped(name: str, rows: list[list[Any]]) -> list[Any]:
            task = self.known(name)
            return [task(*row) for row in rows]

        self._declare(mapped, {"name": "celery.map"})
        self._declare(starmapped, {"name": "celery.starmap"})

    # -- sending --

    def send_task(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Result:
        """Send a task by its name, declared or not; keywords need a declaration, since Go knows none."""
        result: Result = self.send_canvas(Signature(name, args, kwargs, options, self))
        return result

    def signature(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature by name, of this app."""
        return Signature(*args, **{**kwargs, "app": self})

    def send_canvas(self, canvas: Canvas) -> Any:
        """Send whatever was composed."""
        server = self.server
        plan = weave(canvas, self._known)
        group_id = f"group_{uuid.uuid4()}"
        if plan.callback is not None:
            chord = Chord(Group(*plan.roots), plan.callback)
            group_id = chord.group.group_uuid
            server.send_chord(chord)
        elif plan.is_group and plan.roots:
            group = Group(*plan.roots)
            group_id = group.group_uuid
            server.send_group(group)
        else:
            for root in plan.roots:
                server.send_task(root)
        return self._result(plan, group_id)

    def _result(self, plan: Plan, group_id: str) -> Any:
        handles: dict[str, Result] = {}
        header = [self._handle(end, handles, None) for end in plan.header]
        above = Results(group_id, header) if plan.callback is not None else None
        results = [self._handle(end, handles, above, skip=len(header)) for end in plan.results]
        found: Any = Results(group_id, results, above) if plan.is_several else results[0]
        if self.conf.task_always_eager and self.conf.task_eager_propagates:
            found.get()
        return found

    def _handle(self, end: Woven, handles: dict[str, Result], above: Any, skip: int = 0) -> Result:
        """A task's result, with those before it: ``above`` is the chord's header, the first ``skip`` of them."""
        before: list[Stored[Any]] = []
        parent: Any = above
        for index, woven in enumerate(end.before, start=1):
            handle = self._one(woven.sent, handles, before, parent)
            before.append(handle._stored)
            if index > skip:
                parent = handle
        return self._one(end.sent, handles, before, parent)

    def _one(self, sent: Sent, handles: dict[str, Result], before: Sequence[Stored[Any]], parent: Any) -> Result:
        if sent.uuid not in handles:
            results = getattr(sent.declared, "results", None)
            stored: Stored[Any] = Stored(sent.uuid, self.server.backend, self.server.clock, sent, results)
            handles[sent.uuid] = Result(sent.uuid, self, stored=stored, before=tuple(before), parent=parent)
        return handles[sent.uuid]

    def _known(self, name: str) -> Known:
        if name in self._remote:
            return self._remote[name]
        return Known(self, name, task=self.tasks.get(name))

    # -- results --

    def AsyncResult(self, id: str) -> Result:  # noqa: N802
        """The result of a task by its id, whoever sent it."""
        return Result(id, self)

    def GroupResult(self, id: str, results: Sequence[Result]) -> Results:  # noqa: N802
        """The results of several tasks."""
        return Results(id, results)

    @property
    def current_task(self) -> Any:
        from gomachinery_py.compat.celery.current import current_task

        return current_task

    # -- working --

    def worker(self, concurrency: int = 0, queues: Sequence[str] = ()) -> Worker:
        """A worker for embedding: ``with app.worker(): …``; by itself it is ``gomachinery worker tasks:app.server``."""
        return self.server.worker("", concurrency, list(queues))

    def worker_main(self, *_: Any, **__: Any) -> None:
        """Refused: its options are Celery's."""
        raise CeleryDifference(
            "worker_main cannot be followed: write gomachinery worker MODULE:app.server -c N -q QUEUE"
        )

    start = worker_main

    # -- periodic tasks --

    def add_periodic_task(
        self, schedule: Any, sig: Canvas, args: Any = (), kwargs: Any = (), name: str | None = None, **options: Any
    ) -> str:
        """Have ``gomachinery beat`` send a task again and again; see ``schedules.py``. Returns its name."""
        canvas = sig.clone(args, dict(kwargs), **options)
        found = name or repr(sig)
        if self._server is not None:
            self._send_periodically(self._server, schedule, canvas, found)
        else:
            self._periodic.append((schedule, canvas, found))
        return found

    def _schedule(self, server: Server, name: str, entry: Any) -> None:
        try:
            self._send_periodically(server, *entry_of(name, entry, self), name)
        except (CeleryDifference, ScheduleError, TypeError) as error:
            raise ImproperlyConfigured(f"beat_schedule {name!r}: {error}") from error

    def _send_periodically(self, server: Server, when: Any, canvas: Canvas, name: str) -> None:
        root = repeated(canvas, name, self._known)
        server.periodic_task(spec_of(when, self.conf.timezone or "UTC"), name, root)


def shared_task(*args: Any, **options: Any) -> Any:
    """Declare a task for every app: ``@shared_task``, ``@shared_task(bind=True)``."""

    def declare(function: Callable[..., Any]) -> Any:
        share(lambda app: app._declare(function, options))
        return Proxy(lambda: _shared_by(the_app(), function, options))

    if args and callable(args[0]) and not options:
        return declare(args[0])
    return declare


def _shared_by(app: Celery, function: Callable[..., Any], options: Mapping[str, Any]) -> Task:
    name = options.get("name") or app.gen_task_name(function.__name__, function.__module__)
    return app.tasks[name]
