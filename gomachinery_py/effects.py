"""What pure logic asks of the world, and the two simple drivers that answer.

Logic in this package is plain ``async def`` that imports no I/O library and no event loop. It reaches a service
through a :class:`Port` and time through a :class:`Clock`. ``await port.execute(command)`` yields a
:class:`Request` to whoever drives the coroutine; the driver sends it and resumes the coroutine with the reply.

Drivers: :func:`run` (blocking) and :func:`arun` (asyncio) are here; the worker's batch driver, which steps many
coroutines together so that one pipeline carries all their commands, is ``worker/pump.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from types import coroutine
from typing import Any, Protocol, TypeAlias, TypeVar, cast

__all__ = [
    "Alone",
    "Clock",
    "Command",
    "Flight",
    "Invoke",
    "Port",
    "Request",
    "Sleep",
    "Slot",
    "SystemClock",
    "alone",
    "arun",
    "close",
    "first_error_raised",
    "invoke",
    "run",
    "sleep",
    "slot",
]

T = TypeVar("T")

Command: TypeAlias = Any
"""One command as plain data, the same that Machinery sends: ``("RPUSH", queue, body)``, a document, a mapping."""


# Not frozen, although nobody changes them: that would triple the time it takes to make one.
@dataclass(slots=True)
class Request:
    """Commands for one service; ``atomic`` ones take effect together or not at all (Redis: MULTI/EXEC)."""

    port: Port
    commands: Sequence[Command]
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Sleep:
    """Resume me after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Slot:
    """Resume me when one more task may run; only a worker ever lets a coroutine wait for it."""


@dataclass(frozen=True, slots=True)
class Alone(Slot):
    """Resume me when nothing else runs here, and let nothing else begin before I have ended."""


@dataclass(slots=True)
class Invoke:
    """Run user code (a task function, a handler) away from the driver and resume me with its outcome.

    ``call`` never raises; whatever happened is in the value that it returns. ``is_async`` calls run on the
    worker's event loop, all others on its threads.
    """

    call: Callable[[], Any]
    is_async: bool = False
    #: The running task's slot is given back when this call ends.
    holds_slot: bool = True
    #: Calls of one kind take about as long as each other; empty when nothing is known of that.
    kind: str = ""


class Flight:
    """Requests that are under way; here those whose answers are known already."""

    def __init__(self, answers: list[list[Any] | Exception]) -> None:
        self._answers = answers

    def finish(self) -> list[list[Any] | Exception]:
        """The answers, as :meth:`Port.send` gives them; blocks until they are there. To be called once."""
        return self._answers

    def abandon(self) -> None:
        """Nobody will ask for the answers."""


class Port:
    """A way to one service. Subclasses implement :meth:`send` and, where the client has it, :meth:`asend`."""

    #: Called with every command before it is sent, when set; for tests that compare transcripts.
    observer: Callable[[Command], None] | None = None

    @coroutine
    def execute(self, command: Command) -> Generator[Request, Any, Any]:
        """Send one command; the reply comes back, or the error that the service answered is raised."""
        replies = yield Request(self, (command,))
        if type(replies) is list and not isinstance(replies[0], Exception):
            return replies[0]
        return first_error_raised(replies)[0]

    @coroutine
    def execute_many(self, commands: Sequence[Command], *, atomic: bool = False) -> Generator[Request, Any, list[Any]]:
        """Send commands in order in one round trip; the first error among the replies is raised."""
        if not commands:
            return []
        replies = yield Request(self, commands, atomic)
        return first_error_raised(replies)

    @coroutine
    def attempt_many(self, commands: Sequence[Command]) -> Generator[Request, Any, list[Any]]:
        """Like :meth:`execute_many`, but error replies are returned in their place instead of raised."""
        if not commands:
            return []
        return cast("list[Any]", (yield Request(self, commands)))

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        """Answer requests in order, in as few round trips as the service allows (blocking).

        A command that the service refused is an exception *inside* its request's list of replies; a request
        that could not be sent or answered at all is an exception in place of the list.
        """
        raise NotImplementedError(f"{type(self).__name__} has no blocking client")

    def begin(self, requests: Sequence[Request]) -> Flight:
        """Send requests now and have their answers later, where the client can; see :meth:`send`."""
        return Flight(self.send(requests))

    async def asend(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        """The same for asyncio. A client without asyncio is called on a thread."""
        return await asyncio.to_thread(self.send, requests)

    def prepare(self) -> None:
        """Do what takes a moment and needs no network, so that it does not count as the service's own time."""

    def close(self) -> None:
        """Close blocking connections; safe to call twice."""

    async def aclose(self) -> None:
        """Close the connections of the running event loop; safe to call twice."""


def first_error_raised(replies: list[Any] | Exception) -> list[Any]:
    """The answer to a request, raised if it is an error or holds one."""
    if isinstance(replies, Exception):
        raise replies
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


class Clock(Protocol):
    """Where the time comes from; tests bring their own."""

    def unix_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class SystemClock:
    """This machine's clock."""

    def unix_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


@coroutine
def sleep(seconds: float) -> Generator[Sleep, Any, None]:
    """Wait without knowing how the driver waits."""
    yield Sleep(seconds)


@coroutine
def invoke(
    call: Callable[[], Any], *, is_async: bool = False, holds_slot: bool = True, kind: str = ""
) -> Generator[Invoke, Any, Any]:
    """Have user code run by the driver; see :class:`Invoke`."""
    return (yield Invoke(call, is_async, holds_slot, kind))


@coroutine
def slot() -> Generator[Slot, Any, None]:
    """Wait until the worker has room for one more running task; the slot is given back by :func:`invoke`."""
    yield _SLOT


@coroutine
def alone() -> Generator[Slot, Any, None]:
    """Wait until the worker runs nothing else; it begins nothing else until this coroutine has ended."""
    yield _ALONE


_SLOT = Slot()
_ALONE = Alone()


def close(core: Coroutine[Any, Any, Any]) -> None:
    """End a coroutine that nobody drives any more, as a crash would; harmless after its end."""
    try:
        core.close()
    except RuntimeError:
        # It has asked for something more on its way out, which nobody carries out. What has ended it says more.
        pass


def run(core: Coroutine[Any, Any, T]) -> T:
    """Drive a core coroutine to its end, blocking this thread."""
    resume: Callable[[Any], Any] = core.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume = core.send
            if isinstance(effect, Request):
                value = effect.port.send((effect,))[0]
                if isinstance(value, Exception):
                    resume = core.throw
            elif isinstance(effect, Sleep):
                time.sleep(effect.seconds)
                value = None
            elif isinstance(effect, Invoke):
                value = asyncio.run(_awaited(effect.call())) if effect.is_async else effect.call()
            elif isinstance(effect, Slot):
                value = None
            else:
                raise TypeError(f"{effect!r} is not an effect of a core coroutine")
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        close(core)


async def arun(core: Coroutine[Any, Any, T]) -> T:
    """Drive a core coroutine to its end on the running event loop."""
    resume: Callable[[Any], Any] = core.send
    value: Any = None
    try:
        while True:
            effect = resume(value)
            resume = core.send
            if isinstance(effect, Request):
                value = (await effect.port.asend((effect,)))[0]
                if isinstance(value, Exception):
                    resume = core.throw
            elif isinstance(effect, Sleep):
                await asyncio.sleep(effect.seconds)
                value = None
            elif isinstance(effect, Invoke):
                value = await (_awaited(effect.call()) if effect.is_async else asyncio.to_thread(effect.call))
            elif isinstance(effect, Slot):
                value = None
            else:
                raise TypeError(f"{effect!r} is not an effect of a core coroutine")
    except StopIteration as stop:
        return cast(T, stop.value)
    finally:
        close(core)


async def _awaited(value: Awaitable[T]) -> T:
    return await value
