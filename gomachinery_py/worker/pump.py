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
from gomachinery_py.effects import Alone, Clock, Flight, Invoke, Port, Request, Sleep, Slot, close
from gomachinery_py.errors import ServiceUnavailable
from gomachinery_py.incoming import brief_error
from gomachinery_py.logs import about_message
from gomachinery_py.worker.executor import Call, Ended, Executor
from gomachinery_py.worker.relay import Paces, Relay
from gomachinery_py.worker.room import Room
from gomachinery_py.worker.suspects import Suspects

__all__ = ["Pump"]

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
# A message that waited so long for a free slot is given back: somebody else may have one.
_PATIENCE = 0.25
# Pipelines to one service at a time: while it works on one, the next one is made.
_FLIGHTS = 2
# So few requests are not worth a second pipeline.
_FEW = 6


@dataclass(slots=True, eq=False)
class _Life:
    """One coroutine under way; ``delivery`` is None for the driver's own errands."""

    core: Coroutine[Any, Any, None]
    delivery: Delivery | None
    #: When it is given back unless it has begun.
    until: float = 0.0
    #: How many slots it needs: all of them when it must run alone.
    slots: int = 1
    has_slot: bool = False


@dataclass(slots=True)
class _Line:
    """What is to be sent to one port, and how the port is doing."""

    requests: list[tuple[_Life, Request]] = field(default_factory=list)
    #: How many pipelines are under way.
    flights: int = 0
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
        self._executor = Executor(room.concurrency, lambda: self._inbox.put(("ended", None)), name)
        self._inbox: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._relay = Relay(self._drive_on, f"{name}-pump")
        self._paces = Paces()
        self._calls: deque[Call] = deque()
        self._async_calls: list[Call] = []
        self._flights: deque[tuple[_Line, list[tuple[_Life, Request]], Flight]] = deque()
        self._ready: deque[tuple[_Life, Any]] = deque()
        self._waiting: deque[_Life] = deque()
        # The life that waits, before all others, for its turn to run alone, or that runs alone.
        self._suspect: _Life | None = None
        self._suspects = Suspects()
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
        #: Called when the pump ends although nobody wanted it to.
        self.on_failure: Callable[[], object] = lambda: None

    # -- from other threads --

    def take_in(self, deliveries: Sequence[Delivery]) -> None:
        """Begin the lives of messages that were taken from one queue."""
        held = self._held.setdefault(deliveries[0].queue, {})
        for delivery in deliveries:
            held[id(delivery)] = delivery
        self._room.weigh(sum(len(delivery.body) for delivery in deliveries))
        self._inbox.put(("deliveries", deliveries))

    def held(self, queue: str) -> list[Delivery]:
        """A queue's messages that are here."""
        return list(self._held.get(queue, {}).copy().values())

    @property
    def counts(self) -> tuple[int, int]:
        """Calls under way, and messages that are here; for any thread, roughly."""
        suspect, held = self._suspect, sum(len(held) for held in list(self._held.values()))
        is_alone = suspect is not None and suspect.has_slot
        return 1 if is_alone else self._room.concurrency - self._free_slots, held

    def drain(self) -> None:
        """Give back what has not begun, finish what runs, then end."""
        self._inbox.put(("drain", None))

    def abort(self) -> None:
        """End now; what runs stays in the worker's inflight list and is recovered by others."""
        self._aborted = True
        self._inbox.put(("abort", None))

    # -- the thread, or another one that goes on where it was kept: see ``relay.py`` --

    def run(self) -> None:
        """Until drained or aborted, or until another thread drives on."""
        self._drive(None)

    def _drive_on(self, late: Call) -> None:
        self._drive(late)

    def _drive(self, late: Call | None) -> None:
        drives = True
        try:
            if late is not None:
                (_, invoke), _ = late
                self._paces.was_long(invoke.kind)
                drives = self._advance()
            while drives and not self._aborted and not (self._draining and not self._lives):
                self._receive()
                # Before the steps: what it begins must not wait for the next thing to happen.
                self._hand_back_stranded()
                self._fill_slots()
                drives = self._advance()
        except BaseException:
            log.critical("the worker's driver failed and stops", exc_info=True)
            self.on_failure()
        finally:
            if drives:
                self._close()

    def _advance(self) -> bool:
        """Do what can be done without waiting; False when another thread drives on."""
        while self._ready or self._calls:
            if self._ready:
                self._step()
                self._fill_slots()
            elif not self._launch():
                return False
        if self._async_calls:
            calls, self._async_calls = self._async_calls, []
            self._executor.begin_async(calls)
        self._depart()
        if self._given_back:
            self._room.weigh(-self._given_bytes)
            self._room.give_back(self._given_back, is_idle=not self._lives)
            self._given_back = self._given_bytes = 0
        return True

    def _close(self) -> None:
        try:
            self._executor.close()
            self._relay.close()
            for _, _, flight in self._flights:
                flight.abandon()
            for life in self._lives:
                close(life.core)
        finally:
            self.ended.set()

    def _receive(self) -> None:
        """Take all that is there; when that is nothing, wait for what comes first: an answer, if one is under way."""
        if not self._take_inbox(None if self._flights else self._pause()) and self._flights:
            self._land()
        if self._sleepers:
            now = self._clock.monotonic()
            while self._sleepers and self._sleepers[0][0] <= now:
                self._ready.append((heapq.heappop(self._sleepers)[2], None))

    def _take_inbox(self, pause: float | None) -> bool:
        """Everything in the inbox, waiting for the first thing unless a pipeline is under way."""
        inbox = self._inbox
        found = False
        try:
            if self._flights:
                kind, what = inbox.get_nowait()
            else:
                kind, what = inbox.get(timeout=pause)
            while True:
                found = True
                self._accept(kind, what)
                kind, what = inbox.get_nowait()
        except Empty:
            pass
        return found

    def _pause(self) -> float | None:
        moments = [line.not_before for line in self._lines.values() if line.requests]
        if self._sleepers:
            moments.append(self._sleepers[0][0])
        if self._waiting:
            moments.append(self._waiting[0].until)
        return None if not moments else max(0.0, min(moments) - self._clock.monotonic())

    def _accept(self, kind: str, what: Any) -> None:
        if kind == "deliveries":
            for delivery in what:
                self._begin(_Life(self._process(delivery), delivery))
        elif kind == "ended":
            for ended in self._executor.collect():
                (_, invoke), _, _ = ended
                if not invoke.is_async:
                    self._executor.returned()
                self._called(ended)
        elif kind == "late":
            self._called(what)
        elif kind == "drain":
            self._draining = True
            self._hand_back(list(self._waiting))

    def _called(self, ended: Ended) -> None:
        """A call is over."""
        (life, invoke), value, seconds = ended
        if invoke.kind:
            self._paces.ran(invoke.kind, seconds)
        if invoke.holds_slot:
            self._free_slot(life)
            self._room.ran(seconds)
        self._ready.append((life, value))

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
        if type(effect) is Request:
            line = self._lines.get(effect.port)
            if line is None:
                line = self._lines[effect.port] = _Line()
            line.requests.append((life, effect))
        elif type(effect) is Slot:
            if self._free_slots > 0 and not self._waiting and not self._draining:
                self._free_slots -= 1
                life.has_slot = True
                self._ready.append((life, None))
                return
            life.until = self._clock.monotonic() + _PATIENCE
            self._waiting.append(life)
            if self._draining:
                self._hand_back([life])
        elif isinstance(effect, Alone):
            self._wait_alone(life)
        elif isinstance(effect, Invoke):
            (self._async_calls if effect.is_async else self._calls).append(((life, effect), effect.call))
        elif isinstance(effect, Sleep):
            moment = self._clock.monotonic() + effect.seconds
            heapq.heappush(self._sleepers, (moment, next(self._order), life))
        else:
            self._ready.append((life, TypeError(f"{effect!r} is not an effect of a core coroutine")))

    def _fill_slots(self) -> None:
        while self._waiting and self._free_slots >= self._waiting[0].slots:
            life = self._waiting.popleft()
            self._free_slots -= life.slots
            life.has_slot = True
            self._ready.append((life, None))
        if self._suspect is not None:
            self._make_way(self._suspect)

    def _free_slot(self, life: _Life) -> None:
        if life.has_slot:
            life.has_slot = False
            self._free_slots += life.slots
            if life is self._suspect:
                self._no_suspect()

    def _wait_alone(self, life: _Life) -> None:
        """One suspect at a time; everything else that has not begun goes back to the queue meanwhile."""
        self._waiting.appendleft(life)
        if self._suspect is not None or self._draining:
            self._hand_back([life])
            return
        self._suspect = life
        self._room.close()
        now, delivery = self._clock.monotonic(), life.delivery
        assert delivery is not None
        life.until = now + self._suspects.patience(delivery.body, now)
        life.slots = self._room.concurrency
        if self._suspects.insists(delivery.body, now) and self._free_slots < life.slots:
            log.warning(
                "a task that must run alone has found no quiet moment for long: nothing new begins until what runs "
                "here has ended; a worker with a concurrency of 1 would take it at once",
                extra=about_message(delivery.body, delivery.queue),
            )

    def _make_way(self, suspect: _Life) -> None:
        others = [life for life in self._waiting if life is not suspect]
        if others:
            self._hand_back(others)

    def _no_suspect(self) -> None:
        self._suspect = None
        self._room.open()

    def _launch(self) -> bool:
        """Run calls that are short here, all others on threads; False when another thread drives on."""
        long = [item for item in self._calls if not self._paces.is_short(item[0][1].kind)]
        if long:
            self._executor.begin(long)
            self._calls = deque(item for item in self._calls if self._paces.is_short(item[0][1].kind))
        if self._calls:
            if not self._relay.run(self._calls, self._called, lambda ended: self._inbox.put(("late", ended))):
                return False
            if self._calls:
                self._executor.begin(self._calls)
                self._calls.clear()
        return True

    def _depart(self) -> None:
        """Send what is asked for, in two pipelines if it is much: the answers to one come while the other is made."""
        for port, line in self._lines.items():
            while line.requests and line.flights < _FLIGHTS and line.not_before <= self._clock.monotonic():
                some, line.requests = line.requests, []
                if line.flights == 0 and len(some) > _FEW:
                    half = len(some) // 2
                    some, line.requests = some[:half], some[half:]
                line.flights += 1
                self._flights.append((line, some, port.begin([request for _, request in some])))

    def _land(self) -> None:
        """Wait for the oldest pipeline's answers."""
        line, sent, flight = self._flights.popleft()
        line.flights -= 1
        answers = flight.finish()
        refused: ServiceUnavailable | None = None
        for (life, request), answer in zip(sent, answers, strict=True):
            if isinstance(answer, ServiceUnavailable):
                line.requests.append((life, request))
                refused = answer
            else:
                self._ready.append((life, answer))
        if refused is not None:
            self._unavailable(line, refused)
        elif line.failures:
            log.warning("the service is back after %d failed attempts", line.failures)
            line.failures, line.not_before = 0, 0.0

    def _unavailable(self, line: _Line, error: ServiceUnavailable) -> None:
        now = self._clock.monotonic()
        if line.not_before > now:
            # The other pipeline has said so already.
            return
        if line.failures == 0:
            log.warning("%s; trying again until it works", error)
        line.not_before = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(line.failures, 10))
        line.failures += 1

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
        fields = {} if delivery is None else about_message(delivery.body, delivery.queue)
        log.error("a message could not be dealt with: %s", brief_error(error), extra=fields)
        log.debug("where it came from", exc_info=error, extra=fields)
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
        if self._waiting and self._waiting[0].until <= self._clock.monotonic():
            first = self._waiting[0]
            if first is self._suspect:
                self._send_away(first)
            else:
                self._room.too_slow()
                self._hand_back(list(self._waiting))

    def _send_away(self, suspect: _Life) -> None:
        """What runs here takes too long for it: to the end of the queue, so that others have their turn."""
        delivery = suspect.delivery
        assert delivery is not None
        self._suspects.sent_away(delivery.body, self._clock.monotonic())
        log.info(
            "a task that must run alone goes to the end of the queue, since long ones run here",
            extra=about_message(delivery.body, delivery.queue),
        )
        self._hand_back([suspect], to_end=True)

    def _hand_back(self, lives: Sequence[_Life], *, to_end: bool = False) -> None:
        deliveries = []
        for life in lives:
            self._waiting.remove(life)
            self._lives.discard(life)
            close(life.core)
            if life is self._suspect:
                self._no_suspect()
            if life.delivery is not None:
                deliveries.append(life.delivery)
        if deliveries:
            self._begin(_Life(self._give_back(deliveries, to_end=to_end), None))

    async def _give_back(self, deliveries: Sequence[Delivery], *, to_end: bool) -> None:
        try:
            if to_end:
                for delivery in deliveries:
                    await self._broker.requeue(delivery)
            else:
                await self._broker.hand_back(deliveries)
        finally:
            for delivery in deliveries:
                self._release(delivery)
