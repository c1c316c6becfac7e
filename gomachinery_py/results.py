"""Waiting for results.

Go source: ``v2/backends/result/async_result.go``. The waiting itself is core logic, so that one text serves
``get()`` and ``await aget()``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast, overload

from gomachinery_py.backends.base import Backend
from gomachinery_py.durations import seconds
from gomachinery_py.effects import Clock, arun, run, sleep
from gomachinery_py.errors import MachineryError, ResultTimeout, TaskFailed
from gomachinery_py.types import Results
from gomachinery_py.wire.model import FAILURE, Signature, TaskResult, TaskState

__all__ = ["AsyncResult", "ChainResult", "ChordResult", "GroupResult", "blocking", "refuse_to_block"]

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

_FIRST_INTERVAL = 0.0003
_LONGEST_INTERVAL = 0.05

# What the results of a task say about themselves when its declaration is not known.
_UNDECLARED = Results("", None)


def blocking(core: Coroutine[Any, Any, T], twin: str) -> T:
    """Run a core coroutine on this thread; inside a running event loop that would stop everything else there."""
    try:
        refuse_to_block(twin)
    except RuntimeError:
        core.close()
        raise
    return run(core)


def refuse_to_block(twin: str) -> None:
    """Raise RuntimeError inside a running event loop."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(f"this would block the running event loop: use `await {twin}` here")


class AsyncResult(Generic[R_co]):
    """One task's result, now or later.

    ``timeout`` and ``interval`` are seconds or a ``timedelta``; without a timeout waiting has no end, without an
    interval the first looks are a third of a millisecond apart and later ones up to 50 milliseconds.
    """

    def __init__(
        self,
        uuid: str,
        backend: Backend,
        clock: Clock,
        signature: Signature | None = None,
        declared: Results | None = None,
        compose: Callable[[], Signature] | None = None,
    ) -> None:
        """``compose`` makes the signature when it is asked for, if there is none yet."""
        self.uuid = uuid
        self._signature = signature
        self._compose = compose
        self._backend = backend
        self._clock = clock
        self._declared = declared or _UNDECLARED
        self._final: TaskState | None = None

    def __repr__(self) -> str:
        return f"AsyncResult({self.uuid!r})"

    @property
    def signature(self) -> Signature | None:
        """The signature as it was sent; None when only the UUID is known."""
        if self._signature is None and self._compose is not None:
            self._signature = self._compose()
        return self._signature

    def get(self, timeout: float | timedelta | None = None, interval: float | timedelta | None = None) -> R_co:
        """Wait for the result: None, one value, or a tuple.

        Raises TaskFailed with the stored text, ResultTimeout, ServiceUnavailable.
        """
        return cast(R_co, blocking(self._get(timeout, interval), "result.aget()"))

    async def aget(self, timeout: float | timedelta | None = None, interval: float | timedelta | None = None) -> R_co:
        """:meth:`get` for asyncio."""
        return cast(R_co, await arun(self._get(timeout, interval)))

    @property
    def state(self) -> TaskState:
        """The stored state; one with an empty ``state`` when there is none (never sent here, or expired)."""
        return blocking(self._state(), "result.astate()")

    async def astate(self) -> TaskState:
        """:attr:`state` for asyncio."""
        return await arun(self._state())

    @property
    def results(self) -> list[TaskResult] | None:
        """The stored results with their Machinery types, or None while there are none."""
        return self.state.results

    def peek(self) -> TaskState | None:
        """The state, left in place even where reading would take it (AMQP); None when there is none."""
        return blocking(self._backend.peek_state(self.uuid), "result.apeek()")

    async def apeek(self) -> TaskState | None:
        """:meth:`peek` for asyncio."""
        return await arun(self._backend.peek_state(self.uuid))

    def forget(self) -> None:
        """Delete the stored state (Go: ``PurgeState``)."""
        blocking(self._backend.purge_state(self.uuid), "result.aforget()")

    async def aforget(self) -> None:
        """:meth:`forget` for asyncio."""
        await arun(self._backend.purge_state(self.uuid))

    # -- core --

    async def _state(self) -> TaskState:
        if self._final is not None:
            return self._final
        state = await self._backend.get_state(self.uuid)
        if self._adopt(state):
            await self._taken()
        return state or TaskState(self.uuid)

    def _adopt(self, state: TaskState | None) -> bool:
        """Remember a final state, if it is one."""
        if state is None or not state.is_completed:
            return False
        self._final = state
        return True

    async def _taken(self) -> None:
        """Delete a final state that can be read only once, as Go does; by now it is remembered, whatever happens."""
        if self._backend.reads_once:
            await self._backend.purge_state(self.uuid)

    async def _get(self, timeout: float | timedelta | None, interval: float | timedelta | None) -> Any:
        state = await _wait(self, (), timeout, interval)
        return self._value(state)

    def _value(self, state: TaskState) -> Any:
        return self._declared.from_wire(state.results)


class GroupResult(Sequence[AsyncResult[Any]]):
    """The results of a group, in the order of its tasks."""

    def __init__(self, group_uuid: str, members: Sequence[AsyncResult[Any]]) -> None:
        self.group_uuid = group_uuid
        self._members = list(members)

    @overload
    def __getitem__(self, index: int) -> AsyncResult[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[AsyncResult[Any]]: ...
    def __getitem__(self, index: int | slice) -> AsyncResult[Any] | list[AsyncResult[Any]]:
        return self._members[index]

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[AsyncResult[Any]]:
        return iter(self._members)

    def get(self, timeout: float | timedelta | None = None, interval: float | timedelta | None = None) -> list[Any]:
        """Every member's value, in order; raises TaskFailed for the first that failed, ResultTimeout."""
        return blocking(self._get(timeout, interval), "result.aget()")

    async def aget(
        self, timeout: float | timedelta | None = None, interval: float | timedelta | None = None
    ) -> list[Any]:
        """:meth:`get` for asyncio."""
        return await arun(self._get(timeout, interval))

    async def _get(self, timeout: float | timedelta | None, interval: float | timedelta | None) -> list[Any]:
        if not self._members:
            return []
        await _wait(self._members[-1], self._members[:-1], timeout, interval)
        return [member._value(await member._state()) for member in self._members]


class _WorkflowResult:
    """A result that comes after others, any of which may fail first."""

    def __init__(self, before: Sequence[AsyncResult[Any]], last: AsyncResult[Any]) -> None:
        self._before = list(before)
        self._last = last

    def get(self, timeout: float | timedelta | None = None, interval: float | timedelta | None = None) -> Any:
        """The last value; raises TaskFailed as soon as any task of the workflow has failed, ResultTimeout."""
        return blocking(self._get(timeout, interval), "result.aget()")

    async def aget(self, timeout: float | timedelta | None = None, interval: float | timedelta | None = None) -> Any:
        """:meth:`get` for asyncio."""
        return await arun(self._get(timeout, interval))

    @property
    def state(self) -> TaskState:
        """The state of the workflow's last task."""
        return self._last.state

    async def _get(self, timeout: float | timedelta | None, interval: float | timedelta | None) -> Any:
        return self._last._value(await _wait(self._last, self._before, timeout, interval))


class ChainResult(_WorkflowResult):
    """The result of a chain: that of its last task."""

    def __init__(self, members: Sequence[AsyncResult[Any]]) -> None:
        super().__init__(members[:-1], members[-1])
        #: Each task's own result.
        self.members = list(members)


class ChordResult(_WorkflowResult):
    """The result of a chord: that of its callback."""

    def __init__(self, group: GroupResult, callback: AsyncResult[Any]) -> None:
        super().__init__(list(group), callback)
        self.group = group
        self.callback = callback


async def _wait(
    last: AsyncResult[Any],
    before: Sequence[AsyncResult[Any]],
    timeout: float | timedelta | None,
    interval: float | timedelta | None,
) -> TaskState:
    """The final state of ``last``, when all of ``before`` have succeeded."""
    backend, clock = last._backend, last._clock
    if backend.is_null:
        raise MachineryError("the null result store keeps no results: waiting for one would never end")
    limit = None if timeout is None else seconds(timeout, "timeout")
    deadline = None if limit is None else clock.monotonic() + limit
    fixed = None if interval is None else seconds(interval, "interval")
    if fixed is not None and fixed < 0:
        raise ValueError("interval is the pause between two looks, in seconds; it cannot be negative")
    pause = _FIRST_INTERVAL if fixed is None else fixed
    waiting = [result for result in (*before, last) if result._final is None]
    while waiting:
        states = await backend.states([result.uuid for result in waiting])
        # Where they can be read only once they are nowhere else now.
        for result in [result for result, state in zip(waiting, states, strict=True) if result._adopt(state)]:
            await result._taken()
        _raise_first_failure((*before, last))
        waiting = [result for result in waiting if result._final is None]
        if not waiting:
            break
        left = None if deadline is None else deadline - clock.monotonic()
        if left is not None and left <= 0:
            seen = next((state.state for state in states if state and not state.is_completed), "not stored")
            raise ResultTimeout(f"task {waiting[0].uuid} has no result after {limit:g} s; its state is {seen}")
        await sleep(pause if left is None else min(pause, left))
        if fixed is None:
            pause = min(_LONGEST_INTERVAL, pause * 1.25)
    _raise_first_failure((*before, last))
    assert last._final is not None
    return last._final


def _raise_first_failure(results: Sequence[AsyncResult[Any]]) -> None:
    for result in results:
        state = result._final
        if state is not None and state.state == FAILURE:
            raise TaskFailed(state.error, task_uuid=result.uuid, task_name=state.task_name)
