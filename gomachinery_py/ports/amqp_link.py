"""The thread that serves one connection to RabbitMQ, and opens another one when that is lost.

Everything here runs on that thread, except ``submit`` and ``close``. A request that comes while there is no connection
waits for one attempt; when that fails, so does the request.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pika import exceptions
from pika.adapters.select_connection import IOLoop

from gomachinery_py.effects import Command
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.ports.amqp_claims import Claims
from gomachinery_py.ports.amqp_connection import Connection
from gomachinery_py.ports.amqp_consumer import Consumers
from gomachinery_py.ports.amqp_lane import Lane, Lanes, Owner
from gomachinery_py.ports.amqp_publisher import Publisher
from gomachinery_py.ports.amqp_run import ANSWER_SECONDS, Run
from gomachinery_py.ports.amqp_target import AMQPTarget

__all__ = ["Answers", "Link"]

log = logging.getLogger(__name__)

Answers: TypeAlias = list[list[Any] | Exception]
OwnCommand: TypeAlias = Callable[[dict[str, Any], Callable[[Any], None]], None]

# What became of a message is noted at once, connection or not: when the message comes again it is settled by that.
_SETTLING = frozenset({"basic_ack", "basic_nack"})
_SWEEP_SECONDS = 0.1
_CLOSE_SECONDS = 5.0


class Link:
    """A thread with one connection to the first of ``targets`` that answers."""

    def __init__(self, targets: Sequence[AMQPTarget]) -> None:
        self.ended = False
        #: Keys of what this connection has declared for good.
        self.ensured: set[str] = set()
        self.lanes = Lanes(self.open_lane)
        self.consumers = Consumers(self)
        self.claims = Claims(self)
        self.publisher = Publisher(self)
        self.own_commands: dict[str, OwnCommand] = {
            "parallel": self._parallel,
            **self.consumers.commands(),
            **self.claims.commands(),
        }
        self._targets = targets
        self._target = targets[0]
        self._connection: Connection | None = None
        self._state = "closed"
        self._blocked = False
        self._sweeping = False
        self._runs: set[Run] = set()
        self._waiting: list[Run] = []
        self._inbox: deque[tuple[Sequence[Sequence[Command]], Callable[[Answers], None]]] = deque()
        self._closing = False
        self._lock = threading.Lock()
        self._ioloop = IOLoop()
        self._thread = threading.Thread(target=self._serve, name=f"amqp-{os.getpid()}", daemon=True)
        self._thread.start()

    # -- from other threads --

    def submit(self, batch: Sequence[Sequence[Command]], done: Callable[[Answers], None]) -> bool:
        """Carry out the commands of several requests; False when this link has ended, so that another is needed."""
        with self._lock:
            if self._closing:
                return False
            self._inbox.append((batch, done))
        self._ioloop.add_callback_threadsafe(self._take_in)
        return True

    def call(self, what: Callable[[], None]) -> None:
        """Call it on this link's thread, if that has not ended."""
        with self._lock:
            if not self._closing:
                self._ioloop.add_callback_threadsafe(what)

    def close(self) -> None:
        """Close the connection, once what was sent has arrived, and end the thread."""
        with self._lock:
            already, self._closing = self._closing, True
        if not already:
            self._ioloop.add_callback_threadsafe(self._shut_down)
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_SECONDS)

    # -- the thread --

    def _serve(self) -> None:
        try:
            while True:
                try:
                    self._ioloop.start()
                    break
                except Exception:
                    log.exception("the connection to RabbitMQ at %s failed and is opened again", self._target.label)
                    self._drop(self.explain(None))
        finally:
            with self._lock:
                self._closing = self.ended = True
            self._drop(self.explain(None))
            for batch, done in self._inbox:
                done([self.explain(None) for _ in batch])
            self._ioloop.close()

    def _drop(self, error: ServiceUnavailable) -> None:
        """Nobody can be sure of this connection any more."""
        connection, self._connection, self._state = self._connection, None, "closed"
        try:
            if connection is not None and not connection.is_closed:
                connection.close()
        except Exception:
            log.debug("and it could not be closed", exc_info=True)
        self._lost(error)

    def now(self) -> float:
        return time.monotonic()

    def _take_in(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.hold()
        try:
            while self._inbox:
                self._begin(*self._inbox.popleft())
            self.consumers.flush()
        finally:
            if connection is not None:
                connection.let_go()

    def _begin(self, batch: Sequence[Sequence[Command]], done: Callable[[Answers], None]) -> None:
        answers: Answers = [[] for _ in batch]
        left = len(batch)

        def answered(at: int, answer: list[Any] | Exception) -> None:
            nonlocal left
            answers[at] = answer
            left -= 1
            if left == 0:
                done(answers)

        if not batch:
            done([])
        for at, commands in enumerate(batch):
            run = Run(self, commands, lambda answer, at=at: answered(at, answer))  # type: ignore[misc]
            self._runs.add(run)
            if self._state == "open" or all(name in _SETTLING for name, _ in commands):
                self._start(run)
            else:
                self._waiting.append(run)
        if self._waiting and self._state == "closed":
            self._connect(0)
        self._sweep_soon()

    def _parallel(self, fields: dict[str, Any], reply: Callable[[Any], None]) -> None:
        def answered(answers: Answers) -> None:
            replies: list[Any] = []
            for answer in answers:
                replies += [answer] if isinstance(answer, Exception) else answer
            failed = [each for each in replies if isinstance(each, Exception)]
            reply(failed[0] if failed else replies)

        self._begin(fields["series"], answered)

    def _start(self, run: Run) -> None:
        try:
            run.begin()
        except (exceptions.AMQPError, OSError) as error:
            run.fail(self.explain(error))

    def over(self, run: Run) -> None:
        """A run has come to its end."""
        self._runs.discard(run)

    def open_lane(self, owner: Owner) -> Lane:
        """A new channel on the connection."""
        assert self._connection is not None
        return Lane(self._connection, self.explain, owner)

    def explain(self, error: BaseException | None) -> ServiceUnavailable:
        return self._target.unavailable(error)

    # -- connecting --

    def _connect(self, at: int) -> None:
        self._state = "opening"
        self._target = self._targets[at]

        def not_opened(_connection: Any, error: BaseException) -> None:
            if at + 1 < len(self._targets) and not self._closing:
                self._connect(at + 1)
            else:
                self._drop(self.explain(error))
                self._end_if_closing()

        self._connection = Connection(
            self._target.parameters,
            on_open_callback=self._opened,
            on_open_error_callback=not_opened,
            on_close_callback=self._closed,
            custom_ioloop=self._ioloop,
        )

    def _opened(self, connection: Any) -> None:
        self._state = "open"
        self._blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        waiting, self._waiting = self._waiting, []
        for run in waiting:
            self._start(run)

    def _set_blocked(self, blocked: bool) -> None:
        self._blocked = blocked
        if blocked:
            log.warning("RabbitMQ at %s takes no messages: it is short of memory or disk", self._target.label)

    def _closed(self, connection: Any, reason: BaseException) -> None:
        if connection is self._connection:
            self._connection, self._state = None, "closed"
            self._lost(self.explain(reason))
        self._end_if_closing()

    def _lost(self, error: ServiceUnavailable) -> None:
        self.ensured.clear()
        self._waiting.clear()
        self.lanes.dropped()
        self.publisher.lost(error)
        self.consumers.lost(error)
        self.claims.lost(error)
        for run in list(self._runs):
            run.fail(error)

    # -- ending --

    def _shut_down(self) -> None:
        self._take_in()
        if self._connection is None:
            self._end_if_closing()
        elif not (self._connection.is_closing or self._connection.is_closed):
            try:
                self._connection.close()
            except exceptions.AMQPError:
                self._ioloop.stop()
        self._ioloop.call_later(_CLOSE_SECONDS / 2, self._ioloop.stop)

    def _end_if_closing(self) -> None:
        if self._closing:
            self._ioloop.stop()

    # -- time --

    def _sweep_soon(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._ioloop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        now = self.now()
        for run in [run for run in self._runs if run.deadline is not None and run.deadline < now]:
            run.fail(self.silent())
        consuming = self.consumers.sweep(now)
        if self._runs or consuming:
            self._sweep_soon()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._state == "open"

    def silent(self) -> ServiceUnavailable:
        why = "it is short of memory or disk" if self._blocked else "is it overloaded?"
        return ServiceUnavailable(
            f"RabbitMQ at {self._target.label} did not confirm within {ANSWER_SECONDS:g} s: {why}"
        )

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it on this thread after a while."""
        self._ioloop.call_later(seconds, call)
