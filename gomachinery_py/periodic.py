"""Declaring periodic tasks, chains, groups and chords; the server takes these methods from here.

Go source: ``RegisterPeriodicTask``, ``…Chain``, ``…Group``, ``…Chord`` in ``v2/server.go``, ``CopySignature`` in
``v2/tasks/signature.go``, ``v2/utils/deepcopy.go``.

What is registered is copied at each tick: a UUID that it has is that of every tick, one that it has not is new each
time, and so is a group's. Go's copy turns nil lists and maps into empty ones, and so does ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gomachinery_py.arguments import need
from gomachinery_py.errors import SignatureError
from gomachinery_py.incoming import brief
from gomachinery_py.locks.base import Lock, program_name
from gomachinery_py.outgoing import MAX_SIGNATURES, Limits, check_members, check_signature
from gomachinery_py.schedule import parse
from gomachinery_py.scheduler import PeriodicTask, Scheduler
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.workflow import Chain, Chord, Group

if TYPE_CHECKING:
    from gomachinery_py.brokers.base import Broker
    from gomachinery_py.config import Config
    from gomachinery_py.effects import Clock
    from gomachinery_py.registry import Services
    from gomachinery_py.sends import Sends

__all__ = ["PeriodicTasks"]


class PeriodicTasks:
    """The part of a server that knows what is to be sent again and again."""

    if TYPE_CHECKING:
        config: Config
        clock: Clock
        broker: Broker
        _services: Services

        def _limits(self) -> Limits: ...

        _sends: Sends

    def __init__(self, lock_program: str | None = None) -> None:
        #: What is sent when, in the order in which it was declared.
        self.periodic_tasks: list[PeriodicTask] = []
        #: The name that schedulers which share their ticks have in common; a Go program's is its file name.
        self.lock_program = program_name() if lock_program is None else lock_program

    def periodic_task(self, spec: str, name: str, signature: Signature) -> None:
        """Send a task whenever ``spec`` is due (Go: ``RegisterPeriodicTask``).

        Args:
            spec: five cron fields, ``@every 1m30s``, ``@hourly``, …, as ``gomachinery_py.schedule.parse`` reads them.
            name: together with ``spec`` and the program's name the key of its lock.
            signature: what is sent; copied at each tick.

        Raises ScheduleError for a spec that Go refuses as well, SignatureError, TypeError or ValueError for what may
        not be sent. A scheduler (``gomachinery beat``, :meth:`scheduler`) has to run.
        """
        check_signature(_copied(signature), self._limits())
        self._register(spec, name, lambda: self._sends.task(_copied(signature), None))

    def periodic_chain(self, spec: str, name: str, *signatures: Signature) -> None:
        """Send a chain whenever ``spec`` is due (Go: ``RegisterPeriodicChain``); see :meth:`periodic_task`."""

        def chain() -> Chain:
            return Chain(*map(_copied, signatures))

        check_signature(chain().tasks[0], self._limits())
        self._register(spec, name, lambda: self._sends.chain(chain()))

    def periodic_group(self, spec: str, name: str, *signatures: Signature, concurrency: int = 0) -> None:
        """Send a group whenever ``spec`` is due (Go: ``RegisterPeriodicGroup``); see :meth:`periodic_task`."""

        def group() -> Group:
            return Group(*map(_copied, signatures))

        self._check_group(group(), concurrency)
        self._register(spec, name, lambda: self._sends.group(group(), concurrency))

    def periodic_chord(
        self, spec: str, name: str, callback: Signature, *signatures: Signature, concurrency: int = 0
    ) -> None:
        """Send a chord whenever ``spec`` is due (Go: ``RegisterPeriodicChord``); see :meth:`periodic_task`."""

        def chord() -> Chord:
            return Chord(Group(*map(_copied, signatures)), _copied(callback))

        if self._services.backend.is_null:
            raise SignatureError("a chord needs a result store that keeps results; this server has the null store")
        self._check_group(chord().group, concurrency)
        self._register(spec, name, lambda: self._sends.chord(chord(), concurrency))

    def scheduler(self) -> Scheduler:
        """What sends the periodic tasks: ``run()``, ``start()`` and ``stop()``, or ``with``.

        Raises ConfigError for a lock URL that is none, MissingExtra when its client is not installed.
        """

        async def check() -> None:
            await self._services.broker.check()
            await self._services.backend.check()

        return Scheduler(
            self.periodic_tasks,
            self.lock,
            self.clock,
            self.lock_program,
            check=check,
            handle_signals=not self.config.no_unix_signals,
        )

    @property
    def lock(self) -> Lock:
        """What schedulers agree by; opened when it is first asked for."""
        return self._services.lock

    def _check_group(self, group: Group, concurrency: int) -> None:
        need(concurrency, int, "concurrency", "a whole number")
        if concurrency < 0:
            raise ValueError("concurrency is the number of parallel publishes; 0 is without a limit")
        limits = self._limits()
        check_members(group.group_uuid, [check_signature(member, limits, in_group=True) for member in group.tasks])

    def _register(self, spec: str, name: str, send: Callable[[], Coroutine[Any, Any, object]]) -> None:
        need(spec, str, "spec", "text")
        need(name, str, "name", "text")
        schedule = parse(spec)
        if any(task.name + task.spec == name + spec for task in self.periodic_tasks):
            raise SignatureError(
                f"periodic task {name!r} is declared twice with {spec!r}; give one of them another name"
            )
        self.periodic_tasks.append(PeriodicTask(name, spec, schedule, send))


def _copied(signature: Signature) -> Signature:
    """A signature and everything below it, without recursion (Go: ``CopySignature``)."""
    root = _one(signature)
    left = [root]
    for count in itertools.count(1):
        if not left:
            break
        if count > MAX_SIGNATURES:
            raise SignatureError(
                f"task {brief(root.name)} leads back to itself, or has more than {MAX_SIGNATURES} tasks below it"
            )
        copy = left.pop()
        copy.on_success = [_one(child) for child in copy.on_success or ()]
        copy.on_error = [_one(child) for child in copy.on_error or ()]
        left += [*copy.on_success, *copy.on_error]
        if copy.chord_callback is not None:
            copy.chord_callback = _one(copy.chord_callback)
            left.append(copy.chord_callback)
    return root


def _one(signature: Signature) -> Signature:
    if not isinstance(signature, Signature):
        raise TypeError(f"a periodic task is a Signature, as task.s(…) makes one, not {type(signature).__name__}")
    args = [Arg(arg.type, arg.value, arg.name) for arg in signature.args or ()]
    return replace(signature, args=args, headers=dict(signature.headers or {}))
