"""Sends periodic tasks when they are due; of several schedulers one sends each tick.

Go source: ``Cron.run`` of robfig/cron v3 ``cron.go``, the functions that ``RegisterPeriodicTask`` and its like in
``v2/server.go`` schedule.

:class:`Agenda` and :func:`tick` are the logic and do not wait; :class:`Scheduler` drives them with threads. A due time
follows from the clock and not from the one before it, so nothing drifts. What was due while the machine slept, or
while a tick took long, is sent once.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any

from gomachinery_py.effects import Clock, run
from gomachinery_py.errors import MachineryError
from gomachinery_py.golang.time import Time, unix_ns
from gomachinery_py.locks.base import Lock, lock_key
from gomachinery_py.schedule import ConstantDelaySchedule, Schedule

__all__ = ["Agenda", "Entry", "PeriodicTask", "Scheduler", "tick"]

log = logging.getLogger(__name__)

_BILLION = 1_000_000_000
# A clock that was set back by more was wrong before; by less, no moment is sent twice.
_WRONG_CLOCK_NS = 3600 * _BILLION
# The clock may be set while we wait, so it is looked at this often.
_LOOK_SECONDS = 1.0
_AT_ONCE = 16
# A spec that is due now but not within the five years that are searched (a 29th of February).
_NEVER_AGAIN_NS = 86_400 * _BILLION
# Locks end a little before the period does (Go cuts to milliseconds, ours end ten earlier).
_TOO_LATE_NS = 12_000_000


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A name, a spec, and what is sent when it is due."""

    name: str
    spec: str
    schedule: Schedule
    send: Callable[[], Coroutine[Any, Any, object]]

    def next_ns(self, after_ns: int) -> int | None:
        """The first moment due after another, in Unix nanoseconds; None for never."""
        moment = self.schedule.next(Time.from_unix_ns(after_ns))
        return None if moment is None else unix_ns(moment)


@dataclass(slots=True, eq=False)
class Entry:
    """A periodic task and when one scheduler sends it next."""

    task: PeriodicTask
    due_ns: int | None
    running: bool = False
    #: What the last tick failed with.
    trouble: str = ""


class Agenda:
    """When which task is due, by the clock alone.

    Args:
        tasks: the periodic tasks; those that are appended later are found.
        clock: whose ``unix_ns`` counts; it may be set forward and back at any time.
    """

    def __init__(self, tasks: Sequence[PeriodicTask], clock: Clock) -> None:
        self._tasks = tasks
        self._clock = clock
        self._latest_ns = clock.unix_ns()
        self.entries: list[Entry] = []
        self._add()

    def _add(self) -> None:
        now = self._clock.unix_ns()
        for task in self._tasks[len(self.entries) :]:
            self.entries.append(Entry(task, task.next_ns(now)))

    def take_due(self, most: int | None = None) -> list[Entry]:
        """The entries to send now, the longest due first; they are :meth:`done` later and not due before that."""
        self._add()
        now = self._clock.unix_ns()
        self._follow_clock(now)
        due = [
            (entry.due_ns, entry)
            for entry in self.entries
            if entry.due_ns is not None and entry.due_ns <= now and not entry.running
        ]
        due.sort(key=lambda pair: pair[0])
        taken = [entry for _, entry in due[:most]]
        for entry in taken:
            entry.running = True
            entry.due_ns = entry.task.next_ns(now)
        return taken

    def done(self, entry: Entry) -> None:
        """The tick of an entry is over; what fell due meanwhile is due now, once."""
        entry.running = False

    def wait_ns(self) -> int | None:
        """Nanoseconds until something that is not running is due; None if nothing ever is."""
        now = self._clock.unix_ns()
        waits = [entry.due_ns - now for entry in self.entries if entry.due_ns is not None and not entry.running]
        return max(0, min(waits)) if waits else None

    def _follow_clock(self, now: int) -> None:
        """After the clock was set back: an interval goes on from now, a time of day only if the clock was far off."""
        was_wrong = now < self._latest_ns - _WRONG_CLOCK_NS
        set_back = now < self._latest_ns
        self._latest_ns = now if was_wrong else max(now, self._latest_ns)
        if not set_back:
            return
        for entry in self.entries:
            schedule = entry.task.schedule
            if entry.due_ns is None:
                continue
            if was_wrong or (
                isinstance(schedule, ConstantDelaySchedule) and entry.due_ns > now + schedule.seconds * _BILLION
            ):
                entry.due_ns = entry.task.next_ns(now)


async def tick(task: PeriodicTask, lock: Lock, program: str, clock: Clock) -> bool:
    """Send a task if no other scheduler has sent it; whether this one did.

    The lock is held until the next moment due after now, as Go does it: who comes late, even by a whole period,
    takes the lock of the period that it comes in, so that each has one tick. In a period's last 12 milliseconds
    nothing is sent: its lock may have ended, and the next tick is due at once. Raises what the lock, the broker or
    the result store raise.
    """
    now = clock.unix_ns()
    following = task.next_ns(now)
    until = (now + _NEVER_AGAIN_NS if following is None else following) - 1
    if until + 1 - now < _TOO_LATE_NS:
        return False
    if not await lock.acquire(lock_key(program, task.name, task.spec), until):
        return False
    await task.send()
    return True


class Scheduler:
    """Sends periodic tasks; use :meth:`run`, or :meth:`start` and :meth:`stop`, or ``with``.

    Each tick has a thread of its own while it is sent, so that a slow service holds up nobody else.
    """

    def __init__(
        self,
        tasks: Sequence[PeriodicTask],
        lock: Lock,
        clock: Clock,
        program: str,
        *,
        check: Callable[[], Coroutine[Any, Any, None]],
        handle_signals: bool = True,
    ) -> None:
        self.program = program
        self._tasks = tasks
        self._lock = lock
        self._clock = clock
        self._check = check
        self._signals = handle_signals
        self._agenda: Agenda | None = None
        self._thread: threading.Thread | None = None
        self._ticks: set[threading.Thread] = set()
        self._stopping = False
        # Signal handlers may put into these at any moment; an Event could deadlock with the thread that waits for it.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._asked: SimpleQueue[None] = SimpleQueue()

    def run(self) -> None:
        """Send until SIGTERM, SIGINT or :meth:`stop`.

        Raises ServiceUnavailable when the lock, the broker or the result store cannot be reached at the start. Later
        failures are logged, and the next tick is tried.
        """
        with self._signals_handled():
            self.start()
            while not self._stopping:
                # A signal that comes just before the wait begins is handled only when the wait has ended.
                with contextlib.suppress(Empty):
                    self._asked.get(timeout=0.5)
            self.stop()

    def start(self) -> None:
        """Begin in the background; raises ServiceUnavailable when a service cannot be reached."""
        if self._thread is not None:
            raise RuntimeError("this scheduler was started before; make a new one")
        run(self._check())
        run(self._lock.check())
        agenda = self._agenda = Agenda(self._tasks, self._clock)
        for entry in agenda.entries:
            if entry.due_ns is None:
                log.warning("periodic task %r: %r is never due", entry.task.name, entry.task.spec)
        self._thread = threading.Thread(target=self._drive, args=(agenda,), name="scheduler", daemon=True)
        self._thread.start()
        shared = "" if self._lock.is_shared else "; the lock is this process' own, others send the same"
        log.info("scheduler %r: %d periodic tasks%s", self.program, len(agenda.entries), shared)

    def stop(self, timeout: float | None = 10.0) -> bool:
        """Send nothing more and let what is being sent finish; False when it did not within ``timeout`` seconds."""
        self._ask_to_stop()
        if self._thread is None:
            return True
        end = None if timeout is None else time.monotonic() + timeout
        for thread in (self._thread, *self._ticks):
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        finished = not self._thread.is_alive() and not self._ticks
        log.info("scheduler %r: stopped%s", self.program, "" if finished else ", some ticks are still being sent")
        return finished

    def __enter__(self) -> Scheduler:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # -- parts --

    def _drive(self, agenda: Agenda) -> None:
        while not self._stopping:
            for entry in agenda.take_due(_AT_ONCE - len(self._ticks)):
                self._begin(agenda, entry)
            wait = agenda.wait_ns()
            seconds = _LOOK_SECONDS if wait is None else min(wait / _BILLION, _LOOK_SECONDS)
            if len(self._ticks) >= _AT_ONCE:
                seconds = _LOOK_SECONDS
            with contextlib.suppress(Empty):
                self._wake.get(timeout=seconds)

    def _begin(self, agenda: Agenda, entry: Entry) -> None:
        thread = threading.Thread(target=self._send, args=(agenda, entry), name=entry.task.name, daemon=True)
        self._ticks.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            self._ticks.discard(thread)
            agenda.done(entry)
            self._tell(entry, error)

    def _send(self, agenda: Agenda, entry: Entry) -> None:
        try:
            sent = run(tick(entry.task, self._lock, self.program, self._clock))
            log.debug("periodic task %r: %s", entry.task.name, "sent" if sent else "another scheduler has sent it")
            if entry.trouble:
                log.info("periodic task %r: works again", entry.task.name)
            entry.trouble = ""
        except Exception as error:
            self._tell(entry, error)
        finally:
            agenda.done(entry)
            self._ticks.discard(threading.current_thread())
            self._wake.put(None)

    def _tell(self, entry: Entry, error: Exception) -> None:
        """One line for a trouble, however many ticks it lasts."""
        known = isinstance(error, MachineryError)
        trouble = str(error) if known else f"{type(error).__name__}: {error}"
        if trouble != entry.trouble:
            log.warning("periodic task %r was not sent: %s", entry.task.name, trouble, exc_info=not known)
        entry.trouble = trouble

    def _ask_to_stop(self) -> None:
        self._stopping = True
        self._wake.put(None)
        self._asked.put(None)

    @contextlib.contextmanager
    def _signals_handled(self) -> Iterator[None]:
        if not self._signals or threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(number: int, _frame: FrameType | None) -> None:
            log.info("signal %d: stopping", number)
            self._ask_to_stop()

        before = [(number, signal.signal(number, on_signal)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
