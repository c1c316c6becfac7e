"""Celery's canvases over Python and live Go workers: whoever appends results, Python tasks get them as in Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import signature as document

from gomachinery_py.compat.celery import Celery, chain, chord, group
from gomachinery_py.compat.celery.exceptions import CeleryDifference, TaskError, TaskRevokedError

TIMEOUT = 60


class Program:
    """An app whose Python tasks are on one queue, and whose Go tasks on another."""

    def __init__(self, url: str) -> None:
        self.app = app = Celery("tasks", broker=url, backend=url, task_default_queue="py")
        self.seen: list[Any] = []

        @app.task(name="add")
        def add(x: Any, y: Any) -> Any:
            return x + y

        @app.task(name="show")
        def show(*args: Any, **kwargs: Any) -> str:
            return repr((args, kwargs))

        @app.task(name="echo")
        def echo(value: Any) -> Any:
            return value

        @app.task(name="note")
        def note(*args: Any) -> None:
            self.seen.append(args)

        @app.task(name="failed")
        def failed(task_id: str) -> None:
            self.seen.append(("failed", task_id))

        @app.task(name="failed_new")
        def failed_new(request: Any, error: Exception, traceback: None) -> None:
            self.seen.append((request.id, str(error), traceback))

        @app.task(name="fail_here")
        def fail_here() -> None:
            raise ValueError("in Python")

        @app.task(name="third_time", bind=True)
        def third_time(task: Any, given: Any, own: Any, *, key: Any) -> list[Any]:
            if task.request.retries < 2:
                raise task.retry(countdown=0.01)
            return [given, own, key, task.request.retries]

        @app.task(name="waits")
        def waits(joins: bool) -> int:
            return multiply.delay(2, 3).get(TIMEOUT, disable_sync_subtasks=not joins)

        @app.remote("multiply", queue="go")
        def multiply(*numbers: int) -> int:
            raise NotImplementedError

        @app.remote("sum", queue="go")
        def total(numbers: list[int]) -> int:
            raise NotImplementedError

        @app.remote("concat", queue="go", appended=True)
        def concat(*parts: str) -> str:
            raise NotImplementedError

        @app.remote("noop", queue="go")
        def noop() -> None:
            raise NotImplementedError

        @app.remote("return_multiple_values", queue="go")
        def several(first: str, second: str, fail: bool) -> tuple[str, str]:
            raise NotImplementedError

        @app.remote("fail", queue="go")
        def fail_there(message: str) -> None:
            raise NotImplementedError

        self.add, self.show, self.echo, self.note = add, show, echo, note
        self.failed, self.failed_new, self.fail_here, self.third_time = failed, failed_new, fail_here, third_time
        self.multiply, self.total, self.concat, self.noop = multiply, total, concat, noop
        self.several, self.fail_there, self.waits = several, fail_there, waits

    def saw(self, count: int) -> list[Any]:
        """What the noting tasks have seen, once it is as much."""
        wait_until(lambda: len(self.seen) >= count, TIMEOUT, f"{count} notes")
        return sorted(self.seen, key=repr)


@pytest.fixture(params=["v1", "v2"])
def fleet(request: Any, redis_server: RedisServer, go_worker: Callable[..., Any]) -> Iterator[Program]:
    """The program with its worker in this process, and a Go worker of either version."""
    worker = go_worker(request.param, queue="go", delayed_poll=20)
    program = Program(redis_server.url())
    program.app.server.config.redis.delayed_tasks_poll_period = 20
    with program.app, program.app.worker(4, ["py"]):
        yield program
    assert worker.alive
    assert worker.restarts == 0


def test_chains(fleet: Program) -> None:
    """Through Go and back, own arguments, keywords and results are where Celery has them."""
    go, py = fleet.multiply, fleet.show
    sent = [
        chain(go.s(2, 3), py.s(4, x=[5, None]))(),
        chain(fleet.add.s(1, 2), go.s(), py.s("own"), fleet.echo.s(), fleet.concat.s("after ", "these: "))(),
        (go.s(2, 3) | py.si("immutable")).delay(),
        (go.si(2, 3) | go.si(4, 5) | fleet.add.s(1)).delay(),
        (fleet.noop.s() | py.s(1)).delay(),
        (fleet.several.s("a", "b", False) | py.s(1)).delay(),
        (fleet.echo.s({"a": [1]}) | fleet.concat.s() | py.s()).delay(),
        (go.s(2, 3) | fleet.third_time.s("own", key={"k": None})).delay(),
        (go.s(2, 3) | group(go.s(), py.s(4), py.si(5))).delay(),
    ]

    assert [each.get(timeout=TIMEOUT) for each in sent] == [
        "((6, 4), {'x': [5, None]})",
        "after these: ((3, 'own'), {})",
        "(('immutable',), {})",
        21,
        "((None, 1), {})",
        "((['a', 'b'], 1), {})",
        "(({'a': [1]},), {})",
        [6, "own", {"k": None}, 2],
        [6, "((6, 4), {})", "((5,), {})"],
    ]


def test_chords(fleet: Program) -> None:
    """A Python callback gets one list, whoever is a member and whoever came last; a Go callback gets them spread."""
    go, py = fleet.multiply, fleet.add
    sent = [
        chord([go.s(2, 3), go.s(4, 5)])(fleet.show.s("own", x=1)),
        chord([go.s(2, 3), py.s(4, 5), fleet.echo.s(None)])(fleet.show.s()),
        chord([py.s(2, 3), py.s(4, 5)])(go.s()),
        chord([go.s(2, 3), py.s(4, 5)])(fleet.show.si("no results")),
        (group(go.s(2, 3), py.s(4, 5)) | go.s() | py.s(1)).delay(),
        (group(go.s(2, 3), go.s(4, 5)) | fleet.show.si("none") | fleet.show.s(1)).delay(),
        (group(go.s(2, 3), go.s(4, 5)) | fleet.show.s() | fleet.show.si(1)).delay(),
    ]

    assert [each.get(timeout=TIMEOUT) for each in sent] == [
        "(([6, 20], 'own'), {'x': 1})",
        "(([6, 9, None],), {})",
        45,
        "(('no results',), {})",
        55,
        "((\"(('none',), {})\", 1), {})",
        "((1,), {})",
    ]


def test_links_and_errors(fleet: Program) -> None:
    """Children of one Go parent that want results or do not; errors in Go called back in Python, and the reverse."""
    ours = [fleet.note.s("with"), fleet.note.si("without")]
    fleet.multiply.apply_async((2, 3), link=ours).get(timeout=TIMEOUT)
    there = fleet.fail_there.apply_async(("in Go",), link_error=[fleet.failed.s(), fleet.failed_new.s()])
    with pytest.raises(TaskError, match="in Go"):
        there.get(timeout=TIMEOUT)
    here = fleet.fail_here.apply_async(link_error=fleet.concat.s(" went wrong") | fleet.note.s())
    with pytest.raises(ValueError, match="in Python"):
        here.get(timeout=TIMEOUT)

    assert fleet.saw(5) == sorted(
        [
            (6, "with"),
            ("without",),
            ("failed", there.id),
            (there.id, "in Go", None),
            ("ValueError: in Python went wrong",),
        ],
        key=repr,
    )


def test_waiting_inside(fleet: Program) -> None:
    """A task that waits for another is refused as in Celery, unless it insists."""
    assert fleet.waits.delay(True).get(timeout=TIMEOUT) == 6
    with pytest.raises(RuntimeError, match="within a task"):
        fleet.waits.delay(False).get(timeout=TIMEOUT)


def test_plain_messages(fleet: Program, redis_server: RedisServer, go_producer: Callable[..., Any]) -> None:
    """A Go producer calls the tasks of a Celery program, and a plain call is a plain message to anybody."""
    producer = go_producer("v2", queue="py")
    uuid = producer.send_task(document("add", ("int64", 1), ("int64", 2)))
    [result] = producer.get(uuid)

    assert (result.type, result.value) == ("int64", 3)
    assert fleet.app.AsyncResult(uuid).get(timeout=TIMEOUT) == 3
    assert redis_server.client.llen("py") == 0


def test_refused(fleet: Program, redis_server: RedisServer) -> None:
    """What Go would get in another order, or not at all, is refused, and nothing is sent."""
    go, py = fleet.multiply, fleet.add
    refused = {
        "in front": py.s(1, 2) | go.s(3),
        "one list": chord([py.s(1, 2), py.s(3, 4)], fleet.total.s()),
        "drops them": (go.s(1, 2) | group(py.s(1), go.si(2))),
        "exactly one": group(fleet.noop.s(), go.s(1)) | py.s(1),
        "by its name only": py.s(1, 2) | fleet.app.signature("unknown", args=(1,)),
    }
    for why, canvas in refused.items():
        with pytest.raises(CeleryDifference, match=why):
            canvas.delay()
    assert redis_server.client.keys("*_*") == []


def test_revoked(redis_server: RedisServer) -> None:
    """A task that was revoked before any worker had it does not run, and its result says so."""
    program = Program(redis_server.url())
    with program.app:
        revoked, other = program.note.delay("revoked"), program.note.delay("other")
        revoked.revoke()
        with pytest.raises(CeleryDifference, match="terminate cannot be followed"):
            other.revoke(terminate=True)
        with program.app.worker(2, ["py"]):
            with pytest.raises(TaskRevokedError, match="revoked before it ran"):
                revoked.get(timeout=TIMEOUT)
            other.get(timeout=TIMEOUT)

        assert (revoked.state, other.state, program.seen) == ("REVOKED", "SUCCESS", [("other",)])
