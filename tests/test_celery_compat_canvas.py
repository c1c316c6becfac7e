"""Canvases as they are on the wire, and those that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gomachinery_py.compat.celery import Celery, Signature, chain, chord, current, group
from gomachinery_py.compat.celery.binding import OWN, TAKES
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.compat.celery.weaving import Plan, weave
from gomachinery_py.wire.model import Signature as Sent


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app with two Python tasks and three of Go's; nothing is connected."""
    monkeypatch.setattr(current, "_apps", [])
    monkeypatch.setattr(current, "_shared", [])
    app = Celery("tasks", broker="redis://localhost:1", backend="redis://localhost:1")

    @app.task(name="py")
    def py(*args: Any, **kwargs: Any) -> None: ...

    @app.task(name="two")
    def two(x: Any, y: Any = 5) -> None: ...

    @app.remote("go")
    def go(*numbers: int) -> int:
        raise NotImplementedError

    @app.remote("appended", appended=True)
    def appended(first: int, second: int) -> int:
        raise NotImplementedError

    @app.remote("silent")
    def silent() -> None:
        raise NotImplementedError

    with app:
        yield app


def s(app: Celery, name: str, *args: Any, **kwargs: Any) -> Signature:
    return app.signature(name, args, kwargs)


def si(app: Celery, name: str, *args: Any) -> Signature:
    return app.signature(name, args, immutable=True)


def plan(app: Celery, canvas: Any) -> Plan:
    return weave(canvas, app._known)


def shape(sent: Sent) -> Any:
    """What matters of a signature: its arguments with names, what it takes, Immutable, and what follows."""
    given = [f"{arg.name}={arg.value}" if arg.name else arg.value for arg in sent.args or ()]
    takes = (sent.headers or {}).get(TAKES, "")
    below = [shape(child) for child in sent.on_success or ()]
    return [sent.name, given, *([takes] if takes else []), *(["Immutable"] if sent.immutable else []), *below]


def test_plain_call(app: Celery) -> None:
    """A call without composition is a plain message: no names, no headers, keywords in their place."""
    [root] = plan(app, s(app, "two", 1, y=2)).roots

    assert [(arg.name, arg.type, arg.value) for arg in root.args or ()] == [("", "int64", 1), ("", "int64", 2)]
    assert (root.headers, root.immutable, root.on_success, root.routing_key) == (None, False, None, "machinery_tasks")


def test_chain(app: Celery) -> None:
    """Own arguments have names once results may come; a Go task gets none."""
    canvas = s(app, "two", 1) | s(app, "py", 2, x=3) | s(app, "go") | s(app, "py")

    assert shape(plan(app, canvas).roots[0]) == [
        "two", [1], ["py", [f"{OWN}=2", "x=3"], "result", ["go", [], ["py", [], "result"]]],
    ]  # fmt: skip


def test_immutable_is_the_parents(app: Celery) -> None:
    """When no child wants results the parent is Immutable, and nobody needs to be told anything."""
    canvas = s(app, "py", 1) | si(app, "go", 2) | si(app, "py", 3) | s(app, "py", 4)

    assert shape(plan(app, canvas).roots[0]) == [
        "py", [1], "Immutable", ["go", [2], "Immutable", ["py", [3], ["py", [f"{OWN}=4"], "result"]]],
    ]  # fmt: skip


def test_mixed_children(app: Celery) -> None:
    """Where one child wants results and another does not, the Python one is told to drop them."""
    canvas = s(app, "go", 1) | group(s(app, "py", 2), si(app, "py", 3))

    assert shape(plan(app, canvas).roots[0]) == [
        "go", [1], ["py", [f"{OWN}=2"], "result"], ["py", [f"{OWN}=3"], "nothing"],
    ]  # fmt: skip


def test_chord(app: Celery) -> None:
    """A Python callback expects one list, a Go callback gets results one by one."""
    python = plan(app, chord([s(app, "go", 1), s(app, "py", 2)], s(app, "py", 3) | s(app, "go")))
    go = plan(app, chord([s(app, "go", 1), s(app, "py", 2)], s(app, "go")))

    assert [shape(root) for root in python.roots] == [["go", [1]], ["py", [2]]]
    assert python.callback is not None
    assert shape(python.callback) == ["py", [f"{OWN}=3"], "results 2", ["go", []]]
    assert go.callback is not None
    assert shape(go.callback) == ["go", []]


@pytest.mark.parametrize(
    ("callback_wants", "next_wants", "expected"),
    [
        (False, False, ["py", [1], "Immutable", ["py", [2]]]),
        (False, True, ["py", [f"{OWN}=1"], "nothing", ["py", [f"{OWN}=2"], "result"]]),
        (True, False, ["py", [f"{OWN}=1"], "results 1", ["py", [f"{OWN}=2"], "nothing"]]),
    ],
)
def test_two_meanings_of_immutable(app: Celery, callback_wants: bool, next_wants: bool, expected: Any) -> None:
    """A chord's callback has one flag for what it gets and what it hands on."""
    made = {True: s, False: si}
    canvas = chord([s(app, "go", 1)], made[callback_wants](app, "py", 1) | made[next_wants](app, "py", 2))
    callback = plan(app, canvas).callback

    assert callback is not None
    assert expected == shape(callback)


def test_links(app: Celery) -> None:
    """Links are children too; an error callback is told whose error it gets."""
    canvas = s(app, "py", 1).set(link=[s(app, "py", 2), s(app, "py", 3) | s(app, "go")])
    canvas.link_error(s(app, "two", 9))
    [root] = plan(app, canvas).roots

    assert shape(root) == [
        "py", [1], ["py", [f"{OWN}=2"], "result"], ["py", [f"{OWN}=3"], "result", ["go", []]],
    ]  # fmt: skip
    assert [shape(each) for each in root.on_error or ()] == [["two", [f"{OWN}=9"], f"error {root.uuid}"]]


def test_long_chain(app: Celery) -> None:
    """A thousand tasks are no matter of recursion."""
    [root] = plan(app, chain(*(s(app, "py", number) for number in range(1000)))).roots
    count, task = 1, root
    while task.on_success:
        count, task = count + 1, task.on_success[0]

    assert count == 1000


def refused_canvases(app: Celery) -> dict[str, Any]:
    py, go = s(app, "py", 1), s(app, "go", 1)
    return {
        "nothing can run before it": py | group(py.clone(), py.clone()) | s(app, "py"),
        "cannot be a member of a chord": chord([py | s(app, "py")], s(app, "py")),
        "it cannot be a group": group(py, py.clone()) | group(s(app, "py"), s(app, "py")) | s(app, "py"),
        "cannot be in a group": group(group(py, go), py),
        "a link is a task, or a chain": py.clone(link=group(py, go)),
        "would get results all the same": go | group(py.clone(), si(app, "go", 1)),
        "in front": py | s(app, "go", 2),
        "one list": chord([py, go, go.clone()], s(app, "appended")),
        "returns 0 values": chord([s(app, "silent"), go], s(app, "py")),
        "which returns 0": s(app, "silent") | s(app, "appended", 1),
        "known by its name only and cannot be what": py | s(app, "unknown", 1),
        "cannot be a chord's callback": chord([py], s(app, "unknown")),
        "cannot be a link_error": py.clone(link_error=s(app, "unknown")),
        "have no place": s(app, "unknown", x=1),
        "counts from when a worker sends it": py | s(app, "py").set(countdown=5),
        "a Go worker would run": go.clone(expires=5),
        "only RabbitMQ orders by priority": py.clone(priority=3),
    }


WHYS = tuple(refused_canvases(Celery(broker="redis://localhost:1", set_as_current=False)))


@pytest.mark.parametrize("why", WHYS)
def test_refused(app: Celery, why: str) -> None:
    """What Machinery cannot say is refused, and the error says why."""
    with pytest.raises(CeleryDifference, match=why):
        plan(app, refused_canvases(app)[why])


@pytest.mark.parametrize(
    ("why", "call"),
    [
        ("give it to the tasks", lambda py: group(py).apply_async(link=py)),
        ("link a task", lambda py: group(py).link(py)),
        ("a chord takes no link_error", lambda py: chord([py], py).on_error(py)),
        ("go to its callback", lambda py: chord([py], py).delay(x=1)),
        ("write task.chunks", lambda py: py.type.chunks([(1,)], 1).link_error(py)),
    ],
)
def test_refused_calls(app: Celery, why: str, call: Any) -> None:
    """The same for what is refused while it is composed."""
    with pytest.raises(CeleryDifference, match=why):
        call(s(app, "py", 1))


@pytest.mark.parametrize(
    ("why", "call"),
    [
        ("no callback yet", lambda py: chord([py]).delay()),
        ("made of signatures", lambda py: chain(py, 5)),
        ("write task.s", lambda py: group(py.type, py.type)),
        ("a chord's callback is made of signatures", lambda py: chord([py])(py.type)),
        ("empty chain", lambda py: py._app().send_canvas(chain([]))),
        ("missing a required argument", lambda py: py._app().tasks["two"].delay()),
    ],
)
def test_mistakes(app: Celery, why: str, call: Any) -> None:
    """Mistakes are TypeErrors that say what to write."""
    with pytest.raises(TypeError, match=why):
        call(s(app, "py", 1))


def test_go_types(app: Celery) -> None:
    """A Go task's arguments are checked by its annotations, as everywhere in this package."""
    with pytest.raises(TypeError, match="must be an integer"):
        plan(app, s(app, "go", "1"))
