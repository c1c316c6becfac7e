"""Celery's canvases as Machinery's signatures, refused where one would mean something else.

===========================  =========================================================================================
Celery                       Machinery
===========================  =========================================================================================
``a | b | c``                each task is its predecessor's ``OnSuccess``
``a | group(b, c)``          both are a's ``OnSuccess``; nothing may follow
``group(a, b)``              a group; one with chains in it is sent chain by chain
``group(a, b) | c | d``      a chord; d is c's ``OnSuccess``
``a | group(b, c) | d``      refused: a chord's group is stored when it is sent, and a has not run then
a group in a group, a chain  refused: Machinery knows when tasks are done, not what they have led to
or group in a chord
``.si()``                    the parent is ``Immutable`` when no child wants its results; else the child's worker drops
                             them, which a Go worker cannot
``link``, ``link_error``     ``OnSuccess``, ``OnError``
===========================  =========================================================================================

``Immutable`` has two meanings in Machinery: a chord's callback that has it gets no results, and a finished task that
has it hands on none. Where one task would have to be both, the same marks help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gomachinery_py.compat.celery.binding import OWN, TAKES
from gomachinery_py.compat.celery.canvas import Canvas, Signature, chain, chord, group
from gomachinery_py.compat.celery.exceptions import CeleryDifference
from gomachinery_py.wire.model import Signature as Sent

__all__ = ["Plan", "Served", "Woven", "weave"]


class Served(Protocol):
    """What is known of a task by its name."""

    is_python: bool
    """A Python worker with this layer serves it."""
    is_known: bool
    """Declared in this app, at all."""
    appends: bool
    """It is Go's, and the app says that it wants results after its own arguments."""

    def built(self, signature: Signature, *, composed: bool, later: bool) -> Sent:
        """Machinery's signature, its links still missing.

        ``composed`` when results may come, ``later`` when a worker sends it.
        """
        ...

    def refusal(self, given: int, results: int) -> str | None:
        """Why it cannot be called with so many arguments and results after them; None when it can."""
        ...

    @property
    def returns(self) -> int | None:
        """How many values it returns; None when that is not known."""
        ...


@dataclass(slots=True)
class Woven:
    """One task as it is sent, and what led to it: those whose failure means that it never runs."""

    sent: Sent
    before: Sequence[Woven] = ()


@dataclass(slots=True)
class Plan:
    """What is to be sent, and whose results are the canvas'.

    ``roots`` are sent together as a chord when there is a ``callback``, as a group when ``is_group``, else one by one.
    """

    roots: list[Sent]
    results: list[Woven]
    is_group: bool = False
    callback: Sent | None = None
    header: list[Woven] = field(default_factory=list)
    #: The result is a list, also when it has one item.
    is_several: bool = False


def weave(canvas: Canvas, known: Callable[[str], Served]) -> Plan:
    """Plan the sends of a canvas. Raises CeleryDifference, TypeError or ValueError; nothing was sent then."""
    return _Weaver(known).plan(canvas)


Step = Signature | group


class _Weaver:
    def __init__(self, known: Callable[[str], Served]) -> None:
        self._known = known

    def plan(self, canvas: Canvas) -> Plan:
        steps = _steps(canvas)
        first, *rest = steps
        if isinstance(first, Signature):
            ends, root = self._chain(steps, [])
            return Plan([root], ends, is_several=isinstance(steps[-1], group))
        if not rest:
            return self._group(first)
        return self._chord(first, rest)

    # -- groups and chords --

    def _group(self, tasks: group) -> Plan:
        plans = [self.plan(task) for task in tasks.tasks]
        for task, plan in zip(tasks.tasks, plans, strict=True):
            if plan.is_several or plan.callback is not None:
                raise CeleryDifference(
                    f"{task!r} cannot be in a group: Machinery's groups are made of tasks and, here, chains of tasks. "
                    "Send it by itself"
                )
        return Plan(
            [plan.roots[0] for plan in plans],
            [plan.results[0] for plan in plans],
            is_group=all(isinstance(task, Signature) for task in tasks.tasks),
            is_several=True,
        )

    def _chord(self, header: group, rest: Sequence[Step]) -> Plan:
        body, *tail = rest
        if isinstance(body, group):
            raise CeleryDifference(
                f"{header!r} | {body!r}: Machinery's chord has one callback, and it cannot be a group. Put a task "
                "between them that returns the list it gets"
            )
        members = []
        for task in header.tasks:
            alone = _steps(task)
            if len(alone) != 1 or not isinstance(alone[0], Signature):
                raise CeleryDifference(
                    f"{task!r} cannot be a member of a chord: Machinery runs the callback when the members themselves "
                    "are done, not what follows them. Make it one task, or a chain of its own whose last task sends on"
                )
            [end], sent = self._chain(alone, [])
            members.append((alone[0], end, sent))
        if not members:
            ends, root = self._chain([body.clone(() if body.immutable else ([],)), *tail], [])
            return Plan([root], ends, is_several=isinstance(rest[-1], group))
        before = [end for _, end, _ in members]
        self._check_members([task for task, _, _ in members], body)
        ends, callback = self._chain(rest, before, of_chord=len(members), composed=True)
        roots = [sent for _, _, sent in members]
        return Plan(roots, ends, callback=callback, header=before, is_several=isinstance(rest[-1], group))

    def _check_members(self, members: Sequence[Signature], body: Signature) -> None:
        if body.immutable:
            return
        callback = self._known(body.task)
        for member in members:
            returns = self._known(member.task).returns
            if returns is not None and returns != 1:
                raise CeleryDifference(
                    f"{member.task} returns {returns} values, so the results of this chord could not be told apart: "
                    "each member must return exactly one. Return one, or write .si() for the callback"
                )
        if callback.is_python:
            return
        if not callback.is_known:
            raise _undeclared(body.task, "a chord's callback")
        self._check_appended(body, callback, "the results of the members one by one, after its own arguments")
        why = callback.refusal(len(body.args) + len(body.kwargs), len(members))
        if why is not None:
            raise CeleryDifference(
                f"{why}: Celery passes the results of a chord as one list, Machinery each as an argument of its own. "
                "Take them with *arguments in Go, or use a Python task between the chord and it"
            )

    # -- chains and links --

    def _chain(
        self, steps: Sequence[Step], before: Sequence[Woven], *, of_chord: int | None = None, composed: bool = False
    ) -> tuple[list[Woven], Sent]:
        """The last tasks, and the first: as it is sent, with all the others below it."""
        last = steps[-1]
        tasks = [step for step in steps if isinstance(step, Signature)]
        if any(isinstance(step, group) for step in steps[:-1]):
            at = next(index for index, step in enumerate(steps) if isinstance(step, group))
            raise CeleryDifference(
                f"{steps[at - 1]!r} | {steps[at]!r} | {steps[at + 1]!r}: Machinery stores a chord's group when it is "
                f"sent, so nothing can run before it. Let {tasks[at - 1].task} send the chord itself when it is done"
            )
        nodes = [
            self._known(task.task).built(task, composed=later and not task.immutable, later=later)
            for later, task in ((composed or index > 0, task) for index, task in enumerate(tasks))
        ]
        woven = [*before, *(Woven(node) for node in nodes)]
        ends = [Woven(nodes[-1], woven[:-1])]
        following: list[list[tuple[Signature, Sent]]] = [[pair] for pair in zip(tasks[1:], nodes[1:], strict=True)]
        following.append([])
        if isinstance(last, group):
            ends = []
            for member in last.tasks:
                alone = _steps(member)
                if not isinstance(alone[0], Signature) or isinstance(alone[-1], group):
                    raise CeleryDifference(f"{member!r} cannot be in the group that a chain ends with")
                lasts, sent = self._chain(alone, woven, composed=True)
                following[-1].append((alone[0], sent))
                ends += lasts
        for index, (task, node) in enumerate(zip(tasks, nodes, strict=True)):
            below = [*following[index], *self._links(task)]
            self._hang(task, node, below, of_chord if index == 0 else None)
            node.on_error = self._errbacks(task, node.uuid) or None
        return ends, nodes[0]

    def _links(self, of: Signature) -> list[tuple[Signature, Sent]]:
        links = []
        for link in of.options.get("link", ()):
            steps = _steps(link)
            if not isinstance(steps[0], Signature):
                raise CeleryDifference(f"{of.task}: link={link!r}: a link is a task, or a chain that begins with one")
            links.append((steps[0], self._chain(steps, (), composed=True)[1]))
        return links

    def _hang(
        self, parent: Signature, node: Sent, below: Sequence[tuple[Signature, Sent]], of_chord: int | None
    ) -> None:
        """Children below their parent, and what each is told of its arguments."""
        is_wanted = any(not child.immutable for child, _ in below)
        if below:
            node.on_success = [sent for _, sent in below]
        # One flag for "gets nothing" (a chord's callback) and "hands on nothing" (everybody).
        node.immutable = not is_wanted and (bool(below) if of_chord is None else parent.immutable)
        if node.immutable:
            return
        for child, sent in below:
            if not child.immutable:
                self._check_child(child, parent)
            self._tell(child, sent, "result")
        if of_chord is not None:
            self._tell(parent, node, f"results {of_chord}")

    def _tell(self, task: Signature, sent: Sent, takes: str) -> None:
        """Mark what a task that gets results was given, and say what it does with them."""
        served = self._known(task.task)
        if task.immutable and not served.is_python:
            raise CeleryDifference(
                f"{task.task} is immutable and would get results all the same: in Machinery the flag is the parent's "
                "(of a chord the callback's), where others want them, and only a Python worker drops them. Let another "
                "task send it"
            )
        if served.is_python or not served.is_known:
            sent.headers = {**(sent.headers or {}), TAKES: "nothing" if task.immutable else takes}
            for arg in sent.args or ():
                arg.name = arg.name or OWN

    def _check_child(self, child: Signature, parent: Signature) -> None:
        served = self._known(child.task)
        if served.is_python:
            return
        if not served.is_known:
            if child.args or child.kwargs:
                raise _undeclared(child.task, f"what follows {parent.task}")
            return
        self._check_appended(child, served, f"the results of {parent.task} after its own arguments")
        results = self._known(parent.task).returns
        why = None if results is None else served.refusal(len(child.args) + len(child.kwargs), results)
        if why is not None:
            raise CeleryDifference(f"{why} (it follows {parent.task}, which returns {results})")

    def _check_appended(self, child: Signature, served: Served, what: str) -> None:
        if (child.args or child.kwargs) and not served.appends:
            raise CeleryDifference(
                f"{child!r}: {child.task} is served by Go, where it gets {what}; Celery puts results in front. If that "
                f"is how the Go function takes them, declare it so: @app.remote({child.task!r}, appended=True)"
            )

    def _errbacks(self, of: Signature, uuid: str) -> list[Sent]:
        errbacks = []
        for errback in of.options.get("link_error", ()):
            steps = _steps(errback)
            child = steps[0]
            if not isinstance(child, Signature):
                raise CeleryDifference(f"{of.task}: link_error={errback!r}: it is a task or a chain of tasks")
            served = self._known(child.task)
            if not served.is_known:
                raise _undeclared(child.task, "a link_error")
            _, sent = self._chain(steps, (), composed=True)
            self._tell(child, sent, f"error {uuid}")
            errbacks.append(sent)
        return errbacks


def _undeclared(task: str, what: str) -> CeleryDifference:
    return CeleryDifference(
        f"{task!r} is known by its name only and cannot be {what}: Celery puts results in front of the arguments, "
        "Machinery behind them, and who serves it decides. Declare it, @app.task(name=…) when Python serves it or "
        "@app.remote(…) when Go does"
    )


def _steps(canvas: Canvas) -> list[Step]:
    """A canvas as what runs one after another."""
    if isinstance(canvas, Signature | group):
        return [canvas]
    if isinstance(canvas, chain):
        if not canvas.tasks:
            raise TypeError("an empty chain cannot be sent")
        return _unrolled([step for task in canvas.tasks for step in _steps(task)])
    if isinstance(canvas, chord):
        if canvas.body is None:
            raise TypeError("this chord has no callback yet: chord(header)(callback)")
        return _unrolled([canvas.header, *_steps(canvas.body)])
    return _steps(getattr(canvas, "group")())  # noqa: B009


def _unrolled(steps: list[Step]) -> list[Step]:
    """To Celery, a group of one task at the end is that task."""
    last = steps[-1] if len(steps) > 1 else None
    return [*steps[:-1], *_steps(last.tasks[0])] if isinstance(last, group) and len(last.tasks) == 1 else steps
