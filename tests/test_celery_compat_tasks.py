"""Celery's tasks where they run, in this process."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import signals

from gomachinery_py.compat.celery import (
    AsyncResult,
    Celery,
    Task,
    chord,
    current,
    current_app,
    current_task,
    exceptions,
    group,
    shared_task,
)
from gomachinery_py.compat.celery.exceptions import (
    CeleryDifference,
    ImproperlyConfigured,
    Retry,
    SoftTimeLimitExceeded,
    TaskError,
    TaskRevokedError,
    failure_text,
    raised_by,
)
from gomachinery_py.compat.celery.task import Context
from gomachinery_py.compat.celery.utils.log import get_task_logger
from gomachinery_py.compat.celery.values import MARK
from gomachinery_py.wire.model import Arg, Signature


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app whose tasks run inside the send."""
    monkeypatch.setattr(current, "_apps", [])
    monkeypatch.setattr(current, "_shared", [])
    with Celery("tasks", task_always_eager=True) as app:
        yield app


def test_canvases(app: Celery) -> None:
    """Everything runs with the eager broker too."""
    add = app.task(name="add")(lambda x, y: x + y)
    total = app.task(name="total")(lambda numbers: sum(numbers))

    assert add.delay(1, 2).get(timeout=5) == 3
    assert (add.s(1, 2) | add.s(3)).delay().get(timeout=5) == 6
    assert chord([add.s(1, 2), add.s(3, 4)])(total.s()).get(timeout=5) == 10
    assert group(add.s(1, 2)).delay().get(timeout=5) == [3]


def test_stored_results(app: Celery) -> None:
    """None of a single task is no result, as in Machinery; in a canvas it is one, since somebody counts."""
    nothing = app.task(name="nothing")(lambda: None)
    show = app.task(name="show")(lambda *args: repr(args))
    single, last = nothing.delay(), (nothing.s() | show.s()).delay()

    assert single._stored.results == []
    assert [(each.type, each.value) for each in last.parent._stored.results] == [("string", MARK + "null")]
    assert (single.get(timeout=5), last.get(timeout=5)) == (None, "(None,)")


def test_ignored_results(app: Celery) -> None:
    """A result that is ignored is not stored, but passed on."""
    quiet = app.task(name="quiet", ignore_result=True)(lambda: 5)
    show = app.task(name="show")(lambda *args: repr(args))

    assert quiet.delay()._stored.results == []
    assert (quiet.s() | show.s()).delay().get(timeout=5) == "(5,)"


def test_expired(app: Celery) -> None:
    """An expired task does not run."""
    ran = []
    task = app.task(name="t")(lambda: ran.append(1))
    late = task.apply_async(expires=datetime.now(UTC) - timedelta(seconds=1))
    task.apply_async(expires=60)

    with pytest.raises(TaskRevokedError):
        late.get(timeout=5)
    assert (late.state, ran) == ("REVOKED", [1])


def test_eager_propagates(app: Celery) -> None:
    """With ``task_eager_propagates`` a send raises what the task raised."""
    app.conf.task_eager_propagates = True
    task = app.task(name="t")(lambda: {}["missing"])

    with pytest.raises(KeyError):
        task.delay()


def test_applied(app: Celery) -> None:
    """``apply`` raises when it is told to, or the setting says so; and it runs a single task only."""

    def fail() -> None:
        raise KeyError("k")

    task = app.task(name="fail")(fail)
    with pytest.raises(KeyError):
        task.apply(throw=True)
    app.conf.task_eager_propagates = True
    with pytest.raises(KeyError):
        task.s().apply()
    with pytest.raises(CeleryDifference, match="only a single task runs here and now"):
        group(task.s()).apply()

    assert task.apply(throw=False).state == "FAILURE"


def test_is_eager(app: Celery) -> None:
    """A task that runs inside its send, or is applied, can tell; one that is called was called."""

    @app.task(name="how", bind=True)
    def how(self: Any) -> list[bool]:
        return [self.request.is_eager, self.request.called_directly]

    assert [how.delay().get(timeout=5), how.apply().get(), how()] == [[True, False], [True, False], [False, True]]


def test_forgotten(app: Celery) -> None:
    """A result that was forgotten is one that nobody knows, also where it was read before."""
    result = app.task(name="one")(lambda: 1).delay()
    states = [result.get(timeout=5), result.state]
    result.forget()

    assert [*states, result.state, result.result] == [1, "SUCCESS", "PENDING", None]


def test_result_of_its_app(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result asks the app that sent it, also when another is current."""
    revoked: list[str] = []
    result = app.task(name="one")(lambda: 1).delay()
    monkeypatch.setattr(app.server, "revoke", revoked.append)
    with Celery("other", task_always_eager=True):
        result.revoke()

    assert revoked == [result.id]


def test_server_is_made_once(app: Celery) -> None:
    """A thread that sends while another makes the server waits until the server is whole."""
    order: list[str] = []
    told = threading.Event()

    def ask() -> None:
        _ = app.server
        order.append("asked")
        told.set()

    @app.on_after_configure.connect
    def configure(sender: Celery, **_: Any) -> None:  # noqa: ARG001
        thread.start()
        told.wait(0.2)
        order.append("configured")

    thread = threading.Thread(target=ask)
    _ = app.server
    thread.join()

    assert order == ["configured", "asked"]


def test_server_is_made_whole(app: Celery) -> None:
    """An import that fails fails again: half a server would leave tasks out without a word."""
    app.conf.include = ["no_such_module_of_tasks"]
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_of_tasks"):
            _ = app.server

    app.conf.include = []
    assert app.task(name="one")(lambda: 1).delay().get(timeout=5) == 1


@pytest.mark.parametrize("name", signals.__all__)
def test_no_signals(name: str) -> None:
    """The import of a signal of Celery's says what to write instead."""
    module = importlib.import_module("gomachinery_py.compat.celery.signals")
    with pytest.raises(ImportError, match=f"celery.signals.{name} cannot be followed: "):
        getattr(module, name)


@pytest.mark.parametrize(
    ("find", "kind", "why"),
    [
        (lambda _: exceptions.Ignore, ImportError, "each run ends in SUCCESS"),
        (lambda _: exceptions.Nothing, AttributeError, "no 'Nothing' here"),
        (lambda app: app.control.inspect(), AttributeError, "has no control here: result.revoke"),
        (lambda app: app.nothing, AttributeError, "has no nothing here$"),
        (lambda app: app.AsyncResult("x").children, AttributeError, "knows what was before it"),
    ],
    ids=["Ignore", "exception", "control", "app", "children"],
)
def test_absent_names(app: Celery, find: Any, kind: type[Exception], why: str) -> None:
    """A name that is not here says so, and what there is instead."""
    with pytest.raises(kind, match=why):
        find(app)


def test_request(app: Celery) -> None:
    """The request tells what is known, and says so when something is not."""
    seen: list[Any] = []

    @app.task(bind=True, name="t")
    def look(self: Task, x: Any, y: Any = 1) -> None:  # noqa: ARG001
        request = self.request
        seen.append((request.id, request.args, request.kwargs, request.headers, request.delivery_info["routing_key"]))
        seen.append((current_task.name, request.called_directly))
        with pytest.raises(AttributeError, match="hostname is not known"):
            _ = request.hostname

    sent = look.apply_async((1,), {"y": 2}, headers={"tenant": "blue"})
    look(1)

    assert sent.state == "SUCCESS", sent.result
    assert seen == [
        (sent.id, [1, 2], {}, {"tenant": "blue"}, "machinery_tasks"),
        ("t", False),
        (None, [1], {}, {}, None),
        ("t", True),
    ]
    assert not current_task


def test_handlers(app: Celery) -> None:
    """A subclass' handlers run around each run, in Celery's order."""
    seen: list[Any] = []

    class Watched(Task):
        def before_start(self, *args: Any) -> None:
            seen.append(("before", *args[1:]))

        def on_success(self, retval: Any, *args: Any) -> None:
            seen.append(("success", retval, *args[1:]))

        def on_failure(self, exc: BaseException, *args: Any) -> None:
            seen.append(("failure", repr(exc), *args[1:]))

        def after_return(self, status: str, *args: Any) -> None:
            seen.append((status, repr(args[0])))

    app.task(name="t", base=Watched)(lambda x: 1 // x)
    app.tasks["t"].delay(1)
    app.tasks["t"].delay(0)

    assert seen == [
        ("before", [1], {}),
        ("success", 1, [1], {}),
        ("SUCCESS", "1"),
        ("before", [0], {}),
        ("failure", "ZeroDivisionError('integer division or modulo by zero')", [0], {}, None),
        ("FAILURE", "ZeroDivisionError('integer division or modulo by zero')"),
    ]


def test_class_based(app: Celery) -> None:
    """A class with ``run`` is a task too."""

    class Doubled(app.Task):  # type: ignore[name-defined, misc]
        name = "doubled"

        def run(self, x: int) -> int:
            return 2 * x

    task = app.register_task(Doubled())

    assert (task.delay(4).get(timeout=5), task(3)) == (8, 6)


def test_refused_inside(app: Celery) -> None:
    """What a task cannot do here is said where it tries, and ends it."""

    @app.task(bind=True, name="t")
    def wants(self: Task, what: str) -> None:
        getattr(self, what)() if what != "retry" else self.retry(throw=False)

    for what in ("update_state", "replace", "retry"):
        with pytest.raises(CeleryDifference, match="cannot be followed"):
            wants.delay(what).get(timeout=5)


def test_retry_outside(app: Celery) -> None:
    """Called directly, ``retry`` raises what it was given, or Retry."""

    @app.task(bind=True, name="t")
    def again(self: Task, error: Exception | None) -> None:
        raise self.retry(exc=error)

    with pytest.raises(OSError, match="gone"):
        again(OSError("gone"))
    with pytest.raises(Retry):
        again(None)


def test_backoff(app: Celery) -> None:
    """Pauses grow twofold to a limit, as Celery's."""
    task = app.task(name="t", retry_backoff=2, retry_backoff_max=10, retry_jitter=False)(lambda: None)
    found = []
    for retries in range(5):
        sent = Signature("t", headers={"gmpy-celery-retries": str(retries)})
        token = current.running.set((task, Context(sent)))
        found.append(task._backoff())
        current.running.reset(token)

    assert found == [2, 4, 8, 10, 10]


def test_shared_tasks(app: Celery) -> None:
    """A shared task is declared in each app, also in one that comes later, and means the current one's."""
    doubled = shared_task(name="doubled")(lambda x: 2 * x)

    assert doubled.delay(2).get(timeout=5) == 4
    with Celery("later", task_always_eager=True) as later:
        assert "doubled" in later.tasks
        assert doubled.app is later
        assert current_app.main == "later"
    app.set_current()
    assert doubled.app is app


def test_soft_time_limit(app: Celery) -> None:
    """Python code that runs for longer gets Celery's exception raised inside, and may come to an end of its own."""

    @app.task(name="spins", soft_time_limit=0.05)
    def spins() -> None:
        while True:
            pass

    @app.task(name="ends", soft_time_limit=0.05)
    def ends() -> str:
        try:
            while True:
                pass
        except SoftTimeLimitExceeded:
            return "in time"

    with pytest.raises(SoftTimeLimitExceeded, match=r"soft time limit of 0\.05 s exceeded"):
        spins.delay().get(timeout=5)
    assert ends.delay().get(timeout=5) == "in time"


def test_no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an app there is an error that says what to write."""
    monkeypatch.setattr(current, "_apps", [])
    with pytest.raises(ImproperlyConfigured, match="make one first"):
        _ = current_app.main


@pytest.mark.parametrize("what", ["revoke", "then"])
def test_refused_of_results(app: Celery, what: str) -> None:
    """What results cannot do is refused."""
    with pytest.raises(CeleryDifference, match=f"{what} cannot be followed"):
        getattr(AsyncResult("id", app=app), what)()


class OwnError(Exception):
    pass


class Awkward(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)


@pytest.mark.parametrize(
    ("error", "text", "kind"),
    [
        (ValueError("bad: very"), "ValueError: bad: very", ValueError),
        (KeyError("k"), "KeyError: k", KeyError),
        (ValueError(), "ValueError", ValueError),
        (OwnError("x"), f"{__name__}.OwnError: x", OwnError),
        (Awkward(1, 2), f"{__name__}.Awkward: (1, 2)", TaskError),
        (TaskError("as it is"), "as it is", TaskError),
    ],
)
def test_failures(error: Exception, text: str, kind: type[Exception]) -> None:
    """A failure is stored with its class, and raised as that class where it is loaded."""
    again = raised_by(text)

    assert (text, kind) == (failure_text(error), type(again))
    assert str(again) == str(error) if kind is not TaskError else str(again) == text


@pytest.mark.parametrize(
    "text", ["SystemExit: 1", "KeyboardInterrupt", "os.system: ls", "no.module: x", "", ": x", "int: 5"]
)
def test_no_exception(text: str) -> None:
    """Only exceptions that are loaded are made; nothing is imported, and nothing else is called."""
    assert type(raised_by(text)) is TaskError


def test_hostile_headers(app: Celery) -> None:
    """Headers of others are no reason to fail."""
    task = app.task(name="t", bind=True)(lambda self, *args: [self.request.retries, *args])
    for headers in ({"gmpy-celery-retries": "x" * 9}, {"gmpy-celery-takes": 5}, {"gmpy-celery-retries": "²"}):
        sent = Signature("t", [Arg("int64", 1)], headers=headers)

        assert app.server.send_task(sent).get(timeout=5) == [0, 1]
    assert task.name == "t"


def test_logger() -> None:
    """A task's logger is a logger."""
    assert get_task_logger("a.b").name == "a.b"
