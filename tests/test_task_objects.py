"""A declared task as a Python object: what it keeps of its function, and what may be done with it."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

from gomachinery_py import Server

server = Server("eager")
other = Server("eager")


def marked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that leaves marks of its own on a function, some by names that a task uses."""
    for name in ("name", "server", "send", "function", "parameters", "is_async", "tags"):
        setattr(function, name, f"marked {name}")
    return function


@server.task
@marked
def add(*numbers: int) -> int:
    """Add."""
    return sum(numbers)


@server.task
@functools.cache
def doubled(number: int) -> int:
    return 2 * number


def test_marks_on_the_function_do_not_replace_what_a_task_is() -> None:
    """Those that a task has no use for are there."""
    task: Any = add
    assert ("add", server, "marked tags") == (task.name, task.server, task.tags)
    assert 3 == add.send(1, 2).get()
    assert 8 == doubled.send(4).get()
    assert ("Add.", "add", __name__) == (add.__doc__, task.__name__, add.__module__)


def test_one_function_on_two_servers() -> None:
    """Declaring a task once more declares its function, with a server and a name of its own."""
    again = other.task("plus")(add)
    assert (other, "plus") == (again.server, again.name)
    assert (server, "add") == (add.server, add.name)
    assert 3 == again.send(1, 2).get()
    assert ["add", "doubled"] == sorted(server.tasks)
    del other.tasks["plus"]


def test_tasks_and_signatures_may_be_copied_and_pickled() -> None:
    """A task stands for itself, as a function does: it goes to other processes by its name."""
    assert add is pickle.loads(pickle.dumps(add))
    assert (add, add) == (copy.copy(add), copy.deepcopy(add))
    signature = add.using(headers={"a": [1]}).s(1, 2)
    for same in (copy.deepcopy(signature), pickle.loads(pickle.dumps(signature))):
        assert signature == same
        assert (add, signature.uuid) == (same.declared, same.uuid)
        assert same.headers is not signature.headers
