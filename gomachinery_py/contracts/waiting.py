"""The contract beside what waits in queues: each message with all its callbacks, as Machinery would call them.

Machinery appends a finished task's results to the arguments of its ``OnSuccess``, all results of a group to those of
its ``ChordCallback``, and puts an error's text before those of ``OnError``. Go source: ``taskSucceeded``,
``taskFailed`` in ``v2/worker.go``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from gomachinery_py.calls import reflected_name
from gomachinery_py.contracts.findings import Finding
from gomachinery_py.contracts.model import ANY, Contract, TaskContract
from gomachinery_py.errors import ArgumentError, WireError
from gomachinery_py.incoming import MAX_SIGNATURES, brief
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.wire.reflect import reflect_value

__all__ = ["Waiting"]

_Names = tuple[str | None, ...]
"""Go's names of the types of results; None among them is one that is not known."""

_GROUPS: Final = 10_000
_MEND: Final = "mend whoever sends it; let what waits run to its failure, or take it away"
_EXPORT: Final = "export its task into the contract, or stop whoever sends it"


@dataclass(slots=True)
class _Group:
    """Members of one group that wait, until all of them were seen."""

    size: int
    callback: Signature
    uuid: str
    place: str
    #: By the members' UUIDs: a member may wait twice.
    results: dict[str, _Names] = field(default_factory=dict)


class Waiting:
    """Takes messages one by one; what is wrong with them is counted, not kept."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._calls = {name: task.call for name, task in contract.tasks.items()}
        self._found: dict[tuple[str, str, str, str], Finding] = {}
        self._groups: dict[str, _Group] = {}
        #: Messages that were looked at.
        self.seen = 0

    @property
    def findings(self) -> list[Finding]:
        """One for each kind, task and text, in order of their first messages."""
        return list(self._found.values())

    def add(self, place: str, body: bytes, queues: Collection[str] | None = None) -> None:
        """Look at one message that waits at ``place``; if ``queues`` are given, only when it goes to one of them."""
        try:
            signature = decode_signature(body)
        except WireError as error:
            self.seen += 1
            remedy = "a Go worker stops at such a message: take it away"
            self._note(
                place, "undecodable", "", f"a message that Machinery cannot read: {brief(error.reason)}", remedy, ""
            )
            return
        if queues is not None and signature.routing_key not in queues:
            return
        self.seen += 1
        self._member(place, signature)
        for problem in self._family(signature):
            self._note(place, *problem, signature.uuid)

    def _note(self, place: str, kind: str, task: str, text: str, remedy: str, uuid: str) -> None:
        key = (place, kind, task, text)
        found = self._found.get(key)
        if found is None:
            found = Finding(kind, brief(task), place, text, remedy, True, 0, brief(uuid))
        self._found[key] = replace(found, count=found.count + 1)

    def _family(self, root: Signature) -> Iterator[tuple[str, str, str, str]]:
        """Everything wrong with a message and the callbacks in it: kind, task, text, remedy."""
        waiting: list[tuple[Signature, _Names, _Names | None]] = [(root, (), ())]
        seen = 0
        while waiting and seen < MAX_SIGNATURES:
            signature, before, appended = waiting.pop()
            seen += 1
            yield from self._call(signature, before, appended)
            results = self._results(signature)
            passed = () if signature.immutable else results
            waiting += [(callback, (), passed) for callback in signature.on_success or () if callback is not None]
            waiting += [(callback, ("string",), ()) for callback in signature.on_error or () if callback is not None]
            callback = signature.chord_callback
            if callback is not None:
                # Only of a group of one are all results known from one member.
                alone = signature.group_task_count == 1
                waiting.append((callback, (), () if callback.immutable else results if alone else None))

    def _results(self, signature: Signature) -> _Names | None:
        task = self._contract.tasks.get(signature.name)
        return None if task is None else task.result_names

    def _call(
        self, signature: Signature, before: _Names, appended: _Names | None
    ) -> Iterator[tuple[str, str, str, str]]:
        """One call: the arguments that wait, those put before them, and those appended; None is not known."""
        task, name = self._contract.tasks.get(signature.name), signature.name
        if task is None:
            yield "unknown task", name, "the contract does not have this task", _EXPORT
            return
        for index, arg in enumerate(signature.args or (), start=len(before)):
            problem = _argument(task, index, arg)
            if problem is not None:
                yield problem[0], name, problem[1], _MEND
        given = len(before) + len(signature.args or ())
        if before and (first := task.at(0)) is not None and first.type not in ("string", ANY):
            text = f"as an error callback its first argument is the error's text, the contract has {first.type}"
            yield "type", name, text, _MEND
        # Of results that are not known it is known that they are not fewer than none.
        total = given + len(appended or ())
        refusal = self._calls[name].refusal(given, appended or ())
        is_arity = total < task.required or (task.variadic is None and total > len(task.fixed))
        if refusal is not None and not (appended is None and total < task.required):
            yield "arity" if is_arity else "type", name, refusal, _MEND

    # -- chords --

    def _member(self, place: str, signature: Signature) -> None:
        """When every member of a chord was seen to wait, all that its callback will get is known."""
        callback, uuid = signature.chord_callback, signature.group_uuid
        if callback is None or callback.immutable or signature.group_task_count < 2 or not uuid:
            return
        results = self._results(signature)
        group = self._groups.get(uuid)
        if results is None or (group is None and len(self._groups) >= _GROUPS):
            return
        if group is None:
            group = self._groups[uuid] = _Group(signature.group_task_count, callback, signature.uuid, place)
        group.results[signature.uuid] = results
        if len(group.results) < group.size:
            return
        del self._groups[uuid]
        appended: list[str | None] = [name for names in group.results.values() for name in names]
        if len(set(group.results.values())) > 1:
            # Members are published side by side, so the order of the queue is not that of the results.
            appended = [None] * len(appended)
        for problem in self._chord(group.callback, tuple(appended)):
            self._note(group.place, *problem, group.uuid)

    def _chord(self, callback: Signature, appended: _Names) -> Iterator[tuple[str, str, str, str]]:
        """Only what the single members did not tell."""
        alone = set(self._call(callback, (), None))
        yield from (problem for problem in self._call(callback, (), appended) if problem not in alone)


def _argument(task: TaskContract, index: int, arg: Arg) -> tuple[str, str] | None:
    """What is wrong with one argument: kind and text. Without its value, or no two messages would be alike."""
    parameter = task.at(index)
    name = parameter.name if parameter is not None else None
    place, kind = f"argument {index + 1}" + (f" ({name})" if name else ""), brief(arg.type, 40)
    wanted = parameter.machinery_type if parameter is not None else None
    if wanted is not None and wanted.reflected_name != reflected_name(arg.type):
        return "type", f"{place} is {kind or 'without a type'}, the contract has {wanted.name}"
    try:
        value = reflect_value(arg.type, arg.value)
    except ArgumentError:
        return "value", f"{place} is said to be {kind or 'nothing'}, and is not"
    if parameter is not None and parameter.json is not None:
        try:
            for text in value if isinstance(value, list) else [value]:
                msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return "value", f"{place} is no JSON, the contract has JSON of {parameter.json}"
    return None
