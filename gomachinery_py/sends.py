"""What a server sends: tasks, chains, groups and chords, checked, published, and as results to wait for.

Core logic, driven by ``Server``'s methods and their twins for asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gomachinery_py.arguments import kind_of, need
from gomachinery_py.effects import Clock, Command
from gomachinery_py.errors import SignatureError
from gomachinery_py.golang.time import format_unix_ns
from gomachinery_py.observing import Observers
from gomachinery_py.outgoing import Limits, check_members, check_signature
from gomachinery_py.plain_sends import PlainSends
from gomachinery_py.producer import Producer, batches, new_task_uuid
from gomachinery_py.results import AsyncResult, ChainResult, ChordResult, GroupResult, refuse_to_block
from gomachinery_py.wire.model import Signature
from gomachinery_py.workflow import Chain, Chord, Group, chained

if TYPE_CHECKING:
    from gomachinery_py.task import Task

__all__ = ["Sends"]

R = TypeVar("R")


class Sends:
    """Sends through one producer; ``limits`` says what may be sent, ``is_watched`` whether anybody looks first."""

    def __init__(
        self,
        producer: Producer,
        clock: Clock,
        limits: Callable[[], Limits],
        observers: Observers | None = None,
        is_watched: Callable[[], bool] = lambda: False,
    ) -> None:
        self._producer = producer
        self._clock = clock
        self._limits = limits
        self._observers = observers or Observers()
        self._is_watched = is_watched
        self._plain = PlainSends(producer, limits)

    # -- the quick way: see plain_sends.py --

    def plainly(self, task: Task[Any, Any, R], args: Sequence[Any]) -> tuple[AsyncResult[R], list[Command]] | None:
        """The result of a task, and the commands that send it; None when it must go the whole way."""
        text = self._plain.text_of(task)
        if text is None or self._is_watched() or (arguments := text.arguments(args)) is None:
            return None
        result = self._plain_result(task, args)
        return result, text.commands(result.uuid, arguments, format_unix_ns(self._clock.unix_ns()))

    def _plain_result(self, task: Task[Any, Any, R], args: Sequence[Any]) -> AsyncResult[R]:
        uuid = new_task_uuid()
        compose = partial(self._composed, task, args, uuid)
        return AsyncResult(uuid, self._producer.backend, self._clock, None, task.results, compose)

    def _composed(self, task: Task[Any, Any, Any], args: Sequence[Any], uuid: str) -> Signature:
        signature = task.signature(*args)
        signature.uuid = uuid
        copy = self._producer.prepare(check_signature(signature, self._limits()))
        self._producer.broker.adjust_routing_key(copy)
        return copy

    def send_plainly(self, task: Task[Any, Any, R], args: Sequence[Any]) -> AsyncResult[R] | None:
        """Send a task on this thread; None, and nothing is sent, when it must go the whole way."""
        sent = self.plainly(task, args)
        if sent is None:
            return None
        refuse_to_block(f"{task.name}.asend()")
        self._producer.send_now(sent[1], task.name)
        return sent[0]

    # -- the whole way --

    async def task(self, signature: Signature, task: Task[Any, Any, Any] | None) -> AsyncResult[Any]:
        copy = self._producer.prepare(check_signature(signature, self._limits()))
        with self._observers.sending("task", [copy], self._queue):
            await self._producer.send_task(copy, is_new=True)
        signature.uuid = copy.uuid
        return self._handle(copy, task)

    async def many(self, task: Task[Any, Any, Any], rows: Iterable[Sequence[Any]]) -> list[AsyncResult[Any]]:
        rows = _rows(task, rows)
        text = None if self._is_watched() else self._plain.text_of(task)
        arguments = [] if text is None else [text.arguments(row) for row in rows]
        if text is None or None in arguments:
            limits = self._limits()
            signatures = [check_signature(task.signature(*row), limits) for row in rows]
            if not signatures:
                return []
            with self._observers.sending("tasks", signatures, self._queue):
                await self._producer.send_tasks(signatures)
            return [self._handle(signature, task) for signature in signatures]
        results = [self._plain_result(task, row) for row in rows]
        for batch in batches(list(zip(results, arguments, strict=True))):
            time = format_unix_ns(self._clock.unix_ns())
            sends = [text.commands(result.uuid, given or "", time) for result, given in batch]
            await self._producer.send_plain_tasks(sends)
        return results

    async def chain(self, chain: Chain) -> ChainResult:
        _is(chain, Chain, "send_chain() takes a Chain", "Chain(a, b)")
        first = check_signature(chain.tasks[0], self._limits())
        with self._observers.sending("chain", chained(first, len(chain.tasks)), self._queue):
            await self._producer.send_task(first, is_new=True)
        return ChainResult([self._handle(signature) for signature in chain.tasks])

    async def group(self, group: Group, concurrency: int) -> GroupResult:
        _is(group, Group, "send_group() takes a Group", "Group(a, b)")
        need(concurrency, int, "concurrency", "a whole number")
        if concurrency < 0:
            raise ValueError("concurrency is the number of parallel publishes; 0 is without a limit")
        if not self._is_watched():
            sends = self._plain.members_of(group, format_unix_ns(self._clock.unix_ns()))
            if sends is not None:
                await self._producer.send_plain_group(group.group_uuid, [each.uuid for each in group.tasks], sends)
                return GroupResult(group.group_uuid, [self._handle(member) for member in group.tasks])
        limits = self._limits()
        members = [check_signature(member, limits, in_group=True) for member in group.tasks]
        check_members(group.group_uuid, members)
        callback = members[0].chord_callback if members else None
        watched = members if callback is None else [*members, callback]
        with self._observers.sending("chord" if callback else "group", watched, self._queue):
            for member in members[1:]:
                # Each member carries a copy; whichever comes last sends its own.
                if callback is not None and member.chord_callback is not None:
                    member.chord_callback.headers = callback.headers
            await self._producer.send_group(group.group_uuid, members)
        for member, copy in zip(group.tasks, members, strict=True):
            member.uuid = copy.uuid
        return GroupResult(group.group_uuid, [self._handle(member) for member in group.tasks])

    async def chord(self, chord: Chord, concurrency: int) -> ChordResult:
        _is(chord, Chord, "send_chord() takes a Chord", "Chord(Group(a, b), callback)")
        if self._producer.backend.is_null:
            raise SignatureError("a chord needs a result store that keeps results; this server has the null store")
        return ChordResult(await self.group(chord.group, concurrency), self._handle(chord.callback))

    @property
    def _queue(self) -> str:
        return self._producer.broker.default_queue

    def _handle(self, signature: Signature, task: Task[Any, Any, Any] | None = None) -> AsyncResult[Any]:
        declared = task or signature.declared
        results = declared.results if declared is not None else None
        return AsyncResult(signature.uuid, self._producer.backend, self._clock, signature, results)


def _is(value: object, kind: type[Any], what: str, example: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{what}, not {kind_of(value)}: write {example}")


def _rows(task: object, rows: object) -> list[tuple[Any, ...]]:
    if not hasattr(task, "parameters"):
        raise TypeError(f"send_many() takes a task, not {kind_of(task)}")
    if not isinstance(rows, Iterable):
        raise TypeError(f"send_many() takes rows of arguments, as [(1, 2), (3, 4)], not {kind_of(rows)}")
    checked = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, str | bytes) or not isinstance(row, Iterable):
            raise TypeError(f"send_many() row {number} must be a tuple or list of arguments, not {kind_of(row)}")
        checked.append(tuple(row))
    return checked
