"""One worker: its threads, its signals, its beginning and its end.

Go source: ``v2/worker.go``. As there, the first SIGINT or SIGTERM lets running tasks finish and the second one quits
at once.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import TypeVar

from gomachinery_py.arguments import need
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.effects import Clock, run
from gomachinery_py.engine import Engine
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable
from gomachinery_py.fleet import Failure, Work
from gomachinery_py.health import Report
from gomachinery_py.incoming import brief
from gomachinery_py.logs import about
from gomachinery_py.revocations import Revocations, port_for_revocations
from gomachinery_py.runs import Handlers
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature
from gomachinery_py.worker.children import handled_here
from gomachinery_py.worker.chores import Chore, heartbeat, mover, recovery, revocation, sign_of_life
from gomachinery_py.worker.intake import Intake
from gomachinery_py.worker.processes import run_processes
from gomachinery_py.worker.pump import Pump
from gomachinery_py.worker.room import Room

__all__ = ["Worker", "WorkerSettings"]

log = logging.getLogger(__name__)

# What nothing hinders is done in this time.
_MOMENT = 0.5
# So many failures are kept for each queue until they can be told.
_FAILURES = 100

_ErrorHandler = TypeVar("_ErrorHandler", bound=Callable[[BaseException], object])
_TaskHandler = TypeVar("_TaskHandler", bound=Callable[[Signature], object])


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker runs. Times are in seconds; ``concurrency`` 0 is twice the CPUs, as in Go."""

    tag: str = ""
    concurrency: int = 0
    queues: tuple[str, ...] = ()
    prefetch: int | None = None
    poll: float = 1.0
    delayed_poll: float = 0.5
    heartbeat: float = 5.0
    recovery: float = 5.0
    handle_signals: bool = True
    #: Where to say that it is well; empty for nowhere.
    health_file: str | None = None

    def __post_init__(self) -> None:
        need(self.tag, str, "tag", "text")
        need(self.concurrency, int, "concurrency", "a whole number")
        need(self.prefetch, int | None, "prefetch", "a whole number")
        if self.concurrency < 0:
            raise ValueError("concurrency is the number of tasks at once; 0 is twice the CPUs")
        if self.prefetch is not None and self.prefetch < 1:
            raise ValueError("prefetch is the number of tasks that a worker may hold, 1 at least")
        for queue in self.queues:
            need(queue, str, "queue", "text")
            if not queue:
                raise ConfigError("a queue needs a name")


def _new_name(tag: str) -> str:
    return f"{tag or socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Worker:
    """Consumes one or more queues; use :meth:`run`, or :meth:`start` and :meth:`stop`, or ``with``."""

    def __init__(
        self,
        engine_for: Callable[[Handlers], Engine],
        clock: Clock,
        settings: WorkerSettings,
        handlers: Handlers | None = None,
    ) -> None:
        self.handlers = handlers or Handlers()
        self._engine = engine_for(self.handlers)
        self._broker = self._engine.broker
        self._clock = clock
        self._settings = settings
        self.concurrency = settings.concurrency if settings.concurrency > 0 else 2 * (os.cpu_count() or 1)
        self.queues = settings.queues or (self._broker.default_queue,)
        self._engine.writes.queues |= frozenset(self.queues)
        #: Unique among all workers: names the list that holds this worker's tasks.
        self.name = _new_name(settings.tag)
        self._may_consume: Callable[[], bool] = lambda: True
        self._names_seen: set[str] = set()
        self._pump: Pump | None = None
        self._intakes: list[Intake] = []
        self._chores: list[Chore] = []
        self._stop_asked = False
        # Signal handlers may put into this at any moment; an Event could deadlock with the thread that waits for it.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._quit_asked = False
        self._started = 0.0
        self._work = Work(self.concurrency)
        self._failures: dict[str, deque[bytes]] = {}

    # -- handlers, by Machinery's names; each also works as a decorator --

    def set_error_handler(self, handler: _ErrorHandler) -> _ErrorHandler:
        """Called with the exception of each task that failed for good (Go: ``SetErrorHandler``)."""
        self.handlers.error = handler
        return handler

    def set_pre_task_handler(self, handler: _TaskHandler) -> _TaskHandler:
        """Called with the signature before each call (Go: ``SetPreTaskHandler``)."""
        self.handlers.pre_task = handler
        return handler

    def set_post_task_handler(self, handler: _TaskHandler) -> _TaskHandler:
        """Called with the signature when a task is done with (Go: ``SetPostTaskHandler``)."""
        self.handlers.post_task = handler
        return handler

    def set_pre_consume_handler(self, handler: Callable[[], bool]) -> Callable[[], bool]:
        """Asked before messages are taken; nothing is taken while it says False (Go: ``SetPreConsumeHandler``)."""
        self._may_consume = handler
        return handler

    # -- running --

    def run(self, processes: int = 1) -> bool:
        """Work until a signal or :meth:`stop`; True when everything was drained, False when quit at once.

        With several ``processes`` each of them is such a worker with the whole concurrency; this one starts them,
        passes signals on and replaces those that died. Raises ServiceUnavailable when the broker or the result store
        cannot be reached at the start. Later the worker waits for them as long as it takes.
        """
        need(processes, int, "processes", "a whole number")
        if processes < 1:
            raise ValueError("a worker has at least one process")
        if processes > 1:
            run(self._broker.check())
            run(self._engine.backend.check())
            return run_processes(processes, self._run_as_child)
        return self._run(handle_signals=self._settings.handle_signals)

    def _run_as_child(self) -> bool:
        self.name = _new_name(self._settings.tag)
        if self._settings.health_file:
            # A file for each process, beside the one that was asked for.
            path = os.path.join(os.path.dirname(self._settings.health_file), f"{os.getpid()}.json")
            self._settings = replace(self._settings, health_file=path)
        return self._run(handle_signals=True, unblock=True)

    def _run(self, *, handle_signals: bool, unblock: bool = False) -> bool:
        restore = self._handle_signals() if handle_signals else []
        if unblock:
            # Until now nobody could have dealt with them; see ``processes.py``.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        # What is there now stays: the collector need not look at it again and again.
        gc.freeze()
        try:
            self.start()
            self._wait_for_end()
            return self._shut_down()
        finally:
            gc.unfreeze()
            if restore:
                handled_here(False)
            for number, handler in restore:
                signal.signal(number, handler)

    def start(self) -> None:
        """Begin working in the background; raises ServiceUnavailable when a service cannot be reached."""
        if self._pump is not None:
            raise RuntimeError("this worker was started before; make a new one")
        run(self._broker.check())
        run(self._engine.backend.check())
        for queue in self.queues:
            run(self._broker.beat(queue, self.name))
        settings = self._settings
        ahead = 4 if self._broker.reads_ahead else 1
        prefetch = settings.prefetch if settings.prefetch is not None else ahead * self.concurrency
        room = Room(self.concurrency, prefetch)
        pump = self._pump = Pump(self._engine.process, self._broker, self._clock, room, self.name)
        pump.on_failure = self._driver_failed
        threading.Thread(target=pump.run, name=f"{self.name}-pump", daemon=True).start()
        self._intakes = [
            Intake(self._broker, queue, self.name, pump, room, settings.poll, lambda: self._may_consume())
            for queue in self.queues
        ]
        self._engine.on_seen = self._seen
        self._engine.gives_up = self._gives_up
        self._chores = [
            heartbeat(
                self._broker, self.queues, self.name, min(settings.heartbeat, self._broker.beat_seconds), self._tell
            ),
            recovery(self._broker, self.queues, self.name, settings.recovery),
            mover(self._broker, self.name, settings.delayed_poll),
        ]
        port = port_for_revocations(self._broker, self._engine.backend)
        if port is not None:
            revocations = Revocations(port)
            with contextlib.suppress(ServiceError, ServiceUnavailable):
                # Before anything is taken; if that fails, the chore says so.
                run(revocations.look())
            self._learn_revoked(revocations.uuids)
            self._chores.append(revocation(self.name, revocations, self._learn_revoked))
        if settings.health_file:
            self._started = time.time()
            self._chores.append(sign_of_life(settings.health_file, self.name, self._report))
        for intake in self._intakes:
            intake.start()
        for chore in self._chores:
            chore.start()
        log.info("worker %s: %d at once, from %s", self.name, self.concurrency, ", ".join(self.queues))

    def stop(self, timeout: float | None = None) -> bool:
        """Give back what has not begun, let running tasks finish; False when they did not within ``timeout``."""
        self._ask_to_stop()
        return self._shut_down(timeout)

    def quit(self) -> None:
        """Stop at once; running tasks stay in this worker's list and are recovered by others."""
        self._quit_asked = True
        self._ask_to_stop()
        if self._pump is not None:
            self._pump.abort()

    def __enter__(self) -> Worker:
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

    def _driver_failed(self) -> None:
        # The pump has said why. Without signs of life others take over what is held.
        self.quit()
        for intake in self._intakes:
            intake.stop()
        for chore in self._chores:
            chore.stop()

    def _wait_for_end(self) -> None:
        while not self._stop_asked:
            try:
                # A signal that comes just before the wait begins is handled only when the wait has ended.
                self._wake.get(timeout=0.5)
            except Empty:
                continue

    def _ask_to_stop(self) -> None:
        self._stop_asked = True
        self._wake.put(None)

    def _shut_down(self, timeout: float | None = None) -> bool:
        pump = self._pump
        if pump is None:
            return True
        for intake in self._intakes:
            intake.stop()
        for intake in self._intakes:
            while intake.thread.is_alive() and not self._quit_asked:
                intake.thread.join(0.1)
        pump.drain()
        drained = self._wait_until_drained(pump, timeout)
        for chore in self._chores:
            chore.stop()
        if drained:
            # Not by this thread: a second signal is not to wait for a service that is silent now.
            retiring = threading.Thread(target=self._retire, name=f"{self.name}-retire", daemon=True)
            retiring.start()
            while retiring.is_alive() and not self._quit_asked:
                retiring.join(0.1)
        return drained

    def _wait_until_drained(self, pump: Pump, timeout: float | None) -> bool:
        """False when it takes too long, or somebody wants to quit: the driver may be waiting for a silent service."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._quit_asked:
            left = _MOMENT if end is None else min(_MOMENT, end - time.monotonic())
            if left <= 0:
                break
            if pump.ended.wait(left):
                return not self._quit_asked
        is_told = self._quit_asked
        self._quit_asked = True
        pump.abort()
        pump.ended.wait(_MOMENT)
        self._abandon(0 if is_told else _MOMENT)
        return False

    def _abandon(self, seconds: float) -> None:
        """Let others have what is still held, and wait so long for that; this process may go on without its worker."""

        def abandon() -> None:
            for intake in self._intakes:
                intake.thread.join()
            for queue in self.queues:
                try:
                    run(self._broker.abandon(queue, self.name))
                except (ServiceError, ServiceUnavailable) as error:
                    log.warning("cannot give back what is held of %r: %s", brief(queue), error)

        thread = threading.Thread(target=abandon, name=f"{self.name}-abandon", daemon=True)
        thread.start()
        thread.join(seconds)

    def _report(self) -> Report:
        assert self._pump is not None
        running, held = self._pump.counts
        return Report(
            worker=self.name,
            pid=os.getpid(),
            queues=list(self.queues),
            consuming=self._may_consume() and all(intake.consuming for intake in self._intakes),
            running=running,
            held=held,
            time=time.time(),
            started=self._started,
        )

    def _tell(self) -> None:
        """Say how this worker does, and which tasks have failed since it was said last."""
        assert self._pump is not None
        observers = self._engine.observers
        running, _ = self._pump.counts
        while observers.failures:
            queue, moment, uuid, name, text = observers.failures.popleft()
            # What cannot be told now is told the next time, as far as there is room.
            failure = Failure(moment, self.name, uuid, name, text).written()
            self._failures.setdefault(queue, deque(maxlen=_FAILURES)).append(failure)
        for queue in self.queues:
            report = self._work.report(queue, observers.counts.copy(), running, len(self._pump.held(queue)))
            run(self._broker.report(queue, self.name, report.written(), self._failures.get(queue, ())))
            self._failures.pop(queue, None)

    def _retire(self) -> None:
        for chore in self._chores:
            chore.thread.join(5.0)
        if self._settings.health_file:
            with contextlib.suppress(OSError):
                os.unlink(self._settings.health_file)
        with contextlib.suppress(ServiceError, ServiceUnavailable):
            self._tell()
        for queue in self.queues:
            try:
                run(self._broker.retire(queue, self.name))
            except (ServiceError, ServiceUnavailable) as error:
                log.warning("cannot sign off from %r: %s", brief(queue), error)
        log.info("worker %s: drained", self.name)

    def _learn_revoked(self, uuids: Collection[str]) -> None:
        self._engine.revoked = uuids

    def _seen(self, delivery: Delivery, registered: bool) -> None:
        for intake in self._intakes:
            if intake.queue == delivery.queue:
                if registered:
                    intake.bounces.accepted()
                else:
                    intake.bounces.bounced(delivery.body)
                    self._tell_unregistered(delivery)

    def _gives_up(self, delivery: Delivery) -> str | None:
        for intake in self._intakes:
            if intake.queue == delivery.queue and intake.bounces.gives_up(delivery.body):
                return "is not registered here, and nobody else has taken it for long"
        return None

    def _tell_unregistered(self, delivery: Delivery) -> None:
        signature = decode_signature(delivery.body)
        name = brief(signature.name)
        if name not in self._names_seen and len(self._names_seen) < 100:
            self._names_seen.add(name)
            log.warning(
                "task %r on %r is not registered with this worker: back to the queue, and to the dead letters at last; "
                "declare it here, or start a worker that has it",
                name,
                brief(delivery.queue),
                extra=about(signature, delivery.queue),
            )

    def _handle_signals(self) -> Sequence[tuple[int, Callable[[int, FrameType | None], object] | int | None]]:
        if threading.current_thread() is not threading.main_thread():
            return []

        def on_signal(number: int, _frame: FrameType | None) -> None:
            if self._stop_asked:
                log.warning("signal %d again: quitting at once", number)
                self.quit()
            else:
                log.warning("signal %d: waiting for running tasks to finish", number)
                self._ask_to_stop()

        handled_here(True)
        return [(number, signal.signal(number, on_signal)) for number in (signal.SIGINT, signal.SIGTERM)]
