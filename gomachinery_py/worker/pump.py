"""The batch driver: steps many task lives together, so that one pipeline carries the commands of all.

One thread. Everything reaches it through one inbox: messages that were taken, calls that have ended, the wish to stop.
A service that is away is tried again with growing pauses for as long as it takes; the coroutines that wait for
it never learn of it. Commands of a life are safe to send again: states are overwritten with themselves, and the
scripts that end a task do nothing when it has ended.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.effects import Clock, Invoke, Port, Request, Sleep, Slot
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.incoming import brief_error
from gomachinery_py.worker.executor import Executor
from gomachinery_py.worker.room import Room

__all__ = ["Pump"]

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
# A message that waited so long for a free slot is given back: somebody else may have one.
_PATIENCE = 0.25


@dataclass(slots=True, eq=False)
class _Life:
    """One coroutine under way; ``delivery`` is None for the driver's own errands."""

    core: Coroutine[Any, Any, None]
    delivery: Delivery | None
    since: float = 0.0
    began: float = 0.0
    has_slot: bool = False


@dataclass(slots=True)
class _Line:
    """What is to be sent to one port, and how the port is doing."""

    requests: list[tuple[_Life, Request]] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0


class Pump:
    """Drives ``process(delivery)`` for every delivery that is put in."""

    def __init__(
        self,
        process: Callable[[Delivery], Coroutine[Any, Any, None]],
        broker: Broker,
        clock: Clock,
        room: Room,
        name: str,
    ) -> None:
        self._process = process
        self._broker = broker
        self._clock = clock
        self._room = room
        self._free_slots = room.concurrency
        self._executor = Executor(room.concurrency, self._call_ended, name)
        self._inbox: SimpleQueue[tuple[str, Any, Any]] = SimpleQueue()
        self._ready: deque[tuple[_Life, Any]] = deque()
        self._waiting: deque[_Life] = deque()
        self._lines: dict[Port, _Line] = {}
        self._sleepers: list[tuple[float, int, _Life]] = []
        self._order = itertools.count()
        self._lives: set[_Life] = set()
        # Per queue; single steps on a dict are safe between threads.
        self._held: dict[str, dict[int, Delivery]] = {}
        self._given_back = self._given_bytes = 0
        self._draining = False
        self._aborted = False
        self.ended = threading.Event()

    # -- from other threads --

    def take_in(self, deliveries: Sequence[Delivery]) -> None:
        """Begin the lives of messages that were taken."""
        for delivery in deliveries:
            self._held.setdefault(delivery.queue, {})[id(delivery)] = delivery
        self._room.weigh(sum(len(delivery.body) for delivery in deliveries))
        self._inbox.put(("deliveries", deliveries, None))

    def held(self, queue: str) -> list[Delivery]:
        """A queue's messages that are here."""
        return list(self._held.get(queue, {}).copy().values())

    def drain(self) -> None:
        """Give back what has not begun, finish what runs, then end."""
        self._inbox.put(("drain", None, None))

    def abort(self) -> None:
        """End now; what runs stays in the worker's inflight list and is recovered by others."""
        self._aborted = True
        self._inbox.put(("abort", None, None))

    def _call_ended(self, key: Any, value: Any) -> None:
        self._inbox.put(("ended", key, value))

    # -- the thread --

    def run(self) -> None:
        """Until drained or aborted."""
        try:
            while not self._aborted and not (self._draining and not self._lives):
                self._receive()
                # Before the steps: what it begins must not wait for the next thing to happen.
                self._hand_back_stranded()
                while self._ready:
                    self._step()
                    self._fill_slots()
                    self._send()
                if self._given_back:
                    self._room.weigh(-self._given_bytes)
                    self._room.give_back(self._given_back)
                    self._given_back = self._given_bytes = 0
        except BaseException:
            log.critical("the worker's driver failed and stops", exc_info=True)
            raise
        finally:
            self._executor.close()
            for life in self._lives:
                life.core.close()
            self.ended.set()

    def _receive(self) -> None:
        """Wait for something to do, then take all that is there."""
        try:
            event = self._inbox.get(timeout=self._pause())
            while True:
                self._accept(*event)
                event = self._inbox.get_nowait()
        except Empty:
            pass
        now = self._clock.monotonic()
        while self._sleepers and self._sleepers[0][0] <= now:
            self._ready.append((heapq.heappop(self._sleepers)[2], None))
        self._fill_slots()
        self._send()

    def _pause(self) -> float | None:
        moments = [line.not_before for line in self._lines.values() if line.requests]
        if self._sleepers:
            moments.append(self._sleepers[0][0])
        if self._waiting:
            moments.append(self._waiting[0].since + _PATIENCE)
        return None if not moments else max(0.0, min(moments) - self._clock.monotonic())

    def _accept(self, kind: str, what: Any, value: Any) -> None:
        if kind == "deliveries":
            for delivery in what:
                self._begin(_Life(self._process(delivery), delivery))
        elif kind == "ended":
            life, invoke = what
            if not invoke.is_async:
                self._executor.returned()
            if invoke.holds_slot:
                self._free_slot(life)
                self._room.ran(self._clock.monotonic() - life.began)
            self._ready.append((life, value))
        elif kind == "drain":
            self._draining = True
            self._hand_back(list(self._waiting))

    def _begin(self, life: _Life) -> None:
        self._lives.add(life)
        self._ready.append((life, None))

    def _step(self) -> None:
        """Resume every life that is ready; what they ask for is noted, not yet done."""
        ready, self._ready = self._ready, deque()
        for life, value in ready:
            try:
                effect = life.core.throw(value) if isinstance(value, Exception) else life.core.send(value)
            except StopIteration:
                self._end(life)
            except Exception as error:
                self._failed(life, error)
            else:
                self._note(life, effect)

    def _note(self, life: _Life, effect: object) -> None:
        if isinstance(effect, Request):
            line = self._lines.get(effect.port)
            if line is None:
                line = self._lines[effect.port] = _Line()
            line.requests.append((life, effect))
        elif isinstance(effect, Slot):
            life.since = self._clock.monotonic()
            self._waiting.append(life)
            if self._draining:
                self._hand_back([life])
        elif isinstance(effect, Invoke):
            if effect.holds_slot:
                life.began = self._clock.monotonic()
            run = self._executor.submit_async if effect.is_async else self._executor.submit
            run((life, effect), effect.call)
        elif isinstance(effect, Sleep):
            moment = self._clock.monotonic() + effect.seconds
            heapq.heappush(self._sleepers, (moment, next(self._order), life))
        else:
            self._ready.append((life, TypeError(f"{effect!r} is not an effect of a core coroutine")))

    def _fill_slots(self) -> None:
        while self._waiting and self._free_slots > 0:
            self._free_slots -= 1
            life = self._waiting.popleft()
            life.has_slot = True
            self._ready.append((life, None))

    def _free_slot(self, life: _Life) -> None:
        if life.has_slot:
            life.has_slot = False
            self._free_slots += 1

    def _send(self) -> None:
        for port, line in self._lines.items():
            if not line.requests or line.not_before > self._clock.monotonic():
                continue
            sent, line.requests = line.requests, []
            answers = port.send([request for _, request in sent])
            for (life, request), answer in zip(sent, answers, strict=True):
                if isinstance(answer, ServiceUnavailable):
                    line.requests.append((life, request))
                    self._unavailable(line, answer, first=len(line.requests) == 1)
                else:
                    self._ready.append((life, answer))
            if line.failures and not line.requests:
                log.warning("the service is back after %d failed attempts", line.failures)
                line.failures, line.not_before = 0, 0.0

    def _unavailable(self, line: _Line, error: ServiceUnavailable, *, first: bool) -> None:
        if not first:
            return
        if line.failures == 0:
            log.warning("%s; trying again until it works", error)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(line.failures, 10))
        line.failures += 1
        line.not_before = self._clock.monotonic() + pause

    def _end(self, life: _Life) -> None:
        self._lives.discard(life)
        self._free_slot(life)
        if life.delivery is not None:
            self._release(life.delivery)

    def _release(self, delivery: Delivery) -> None:
        del self._held[delivery.queue][id(delivery)]
        self._given_back += 1
        self._given_bytes += len(delivery.body)

    def _failed(self, life: _Life, error: Exception) -> None:
        """A life broke in a way that nobody foresaw: the message is kept, the worker goes on."""
        delivery = life.delivery
        log.error("a message could not be dealt with: %s", brief_error(error))
        log.debug("where it came from", exc_info=error)
        self._lives.discard(life)
        self._free_slot(life)
        if delivery is None:
            return
        # As an errand of its own: if that fails too, the message stays in the inflight list.
        self._begin(_Life(self._bury(delivery, f"worker error: {brief_error(error)}"), None))

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        try:
            await self._broker.bury(delivery, reason)
        finally:
            self._release(delivery)

    def _hand_back_stranded(self) -> None:
        if self._waiting and self._waiting[0].since + _PATIENCE <= self._clock.monotonic():
            self._room.too_slow()
            self._hand_back(list(self._waiting))

    def _hand_back(self, lives: Sequence[_Life]) -> None:
        deliveries = []
        for life in lives:
            self._waiting.remove(life)
            self._lives.discard(life)
            life.core.close()
            if life.delivery is not None:
                deliveries.append(life.delivery)
        if deliveries:
            self._begin(_Life(self._give_back(deliveries), None))

    async def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._broker.hand_back(deliveries)
        finally:
            for delivery in deliveries:
                self._release(delivery)
