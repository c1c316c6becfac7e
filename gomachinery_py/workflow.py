"""Chain, Group and Chord: signatures tied together before they are sent.

Go source: ``NewChain``, ``NewGroup``, ``NewChord`` in ``v2/tasks/workflow.go``. As there, the signatures given are
filled in (UUIDs, callbacks, the group's UUID), so a signature belongs to one workflow. What Machinery appends to the
next task's arguments is checked here as far as both tasks are known.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from gomachinery_py.errors import SignatureError
from gomachinery_py.wire.model import Signature

__all__ = ["Chain", "Chord", "Group", "chained"]


class Chain:
    """Tasks one after another: each one's results are appended to the arguments of the next (Go: ``NewChain``).

    A task that is ``immutable`` passes nothing on: the flag that Machinery reads is that of the finished task.
    Raises TypeError for what is no Signature, SignatureError for a chain that cannot run.
    """

    __slots__ = ("tasks",)

    def __init__(self, *signatures: Signature) -> None:
        tasks = _signatures("a chain", signatures)
        for parent, following in pairwise(tasks):
            if parent.immutable:
                _check(following, (), "a chain", f"{_named(parent)} is immutable, so it appends nothing")
                continue
            results = _results(parent)
            if results is not None:
                _check(
                    following,
                    results,
                    "a chain",
                    f"Machinery appends the results of {_named(parent)} ({_listed(results)}) to the arguments given; "
                    f"make {_named(parent)} immutable to append none",
                )
        for task in tasks:
            _fill_uuid(task)
        for parent, following in pairwise(tasks):
            parent.on_success = [following]
        self.tasks = tasks

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(_named, self.tasks))})"


def chained(first: Signature, count: int) -> list[Signature]:
    """A chain's tasks, found again below its first one."""
    tasks = [first]
    while len(tasks) < count and tasks[-1].on_success:
        tasks.append(tasks[-1].on_success[0])
    return tasks


class Group:
    """Tasks side by side (Go: ``NewGroup``). Raises TypeError for what is no Signature, SignatureError otherwise."""

    __slots__ = ("group_uuid", "tasks")

    def __init__(self, *signatures: Signature) -> None:
        self.tasks = _signatures("a group", signatures)
        self.group_uuid = f"group_{uuid.uuid4()}"
        for task in self.tasks:
            _fill_uuid(task)
            task.group_uuid = self.group_uuid
            task.group_task_count = len(self.tasks)
        if len({task.uuid for task in self.tasks}) != len(self.tasks):
            raise SignatureError("a group cannot have two tasks of one UUID: the second would overwrite the first")

    def with_tasks(self, tasks: Sequence[Signature]) -> Group:
        """The same group of copies of its tasks, as they are sent."""
        group = object.__new__(Group)
        group.tasks = list(tasks)
        group.group_uuid = self.group_uuid
        return group

    @property
    def task_uuids(self) -> list[str]:
        """Go: ``Group.GetUUIDs``."""
        return [task.uuid for task in self.tasks]

    def __repr__(self) -> str:
        return f"Group({', '.join(map(_named, self.tasks))})"


class Chord:
    """A group and a callback that runs when all of it has succeeded (Go: ``NewChord``).

    Every member's results are appended to the callback's arguments, in the group's order, unless the *callback* is
    ``immutable``. Raises TypeError for what is no Group or Signature, SignatureError for a chord that cannot run.
    """

    __slots__ = ("callback", "group")

    def __init__(self, group: Group, callback: Signature) -> None:
        if not isinstance(group, Group):
            raise TypeError(f"a chord begins with a Group, not {type(group).__name__}: Chord(Group(a, b), callback)")
        if not isinstance(callback, Signature):
            raise TypeError(f"a chord's callback is a Signature, not {_what(callback)}")
        if any(task is callback for task in group.tasks):
            raise SignatureError(f"{_named(callback)} cannot be a member of the chord and its callback")
        _check_chord(group.tasks, callback)
        if callback.uuid == "":
            callback.uuid = f"chord_{uuid.uuid4()}"
        for task in group.tasks:
            task.chord_callback = callback
        self.group = group
        self.callback = callback

    def __repr__(self) -> str:
        return f"Chord({self.group!r}, {_named(self.callback)})"


def _signatures(what: str, signatures: Sequence[Any]) -> list[Signature]:
    if not signatures:
        raise SignatureError(f"{what} needs at least one task")
    seen: set[int] = set()
    for position, signature in enumerate(signatures, start=1):
        if not isinstance(signature, Signature):
            raise TypeError(f"{what} is made of signatures; number {position} is {_what(signature)}")
        if id(signature) in seen:
            raise SignatureError(
                f"number {position} of {what}, {_named(signature)}, is in it already; make another signature for it"
            )
        seen.add(id(signature))
    return list(signatures)


def _what(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__}; give the signatures one by one (with *)"
    if hasattr(value, "s") and callable(value):
        return "a task; write task.s(…)"
    return type(value).__name__


def _fill_uuid(signature: Signature) -> None:
    if signature.uuid == "":
        signature.uuid = f"task_{uuid.uuid4()}"


def _named(signature: Signature) -> str:
    return signature.name


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(name or "one of unknown type" for name in names) or "none"


def _results(signature: Signature) -> tuple[str | None, ...] | None:
    """Go's reflected names of what a task's results are; None when that is not known."""
    results = getattr(signature.declared, "results", None)
    names: tuple[str | None, ...] | None = getattr(results, "names", None)
    return names


def _check(signature: Signature, appended: Sequence[str | None], what: str, why: str) -> None:
    parameters = getattr(signature.declared, "parameters", None)
    if parameters is None:
        return
    refusal = parameters.refusal(len(signature.args or ()), appended)
    if refusal is not None:
        raise SignatureError(f"this cannot run as {what}: {refusal}. {why}")


def _check_chord(members: Sequence[Signature], callback: Signature) -> None:
    if callback.immutable:
        _check(callback, (), "a chord", "The callback is immutable, so Machinery appends nothing")
        return
    appended: list[str | None] = []
    for member in members:
        results = _results(member)
        if results is None:
            return
        appended.extend(results)
    _check(
        callback,
        appended,
        "a chord",
        f"Machinery appends every member's results in order ({_listed(appended)}) to the arguments given; "
        "make the callback immutable to append none",
    )
