"""Workers without threads on a virtual clock: what a worker does, as events that a simulation can order and break.

A :class:`SimWorker` does what ``worker/`` does with threads (intake, pump, heartbeat, recovery, mover, drain), and runs
the real engine and broker. Each request travels to the server and back in random time; the :class:`Fabric` says what
becomes of it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from miniredis import MiniRedis, RedisFault, plain

from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.redis import RedisBackend
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.effects import Alone, Command, Invoke, Port, Request, Sleep, Slot, sleep
from gomachinery_py.engine import Engine
from gomachinery_py.errors import ServiceError, ServiceUnavailable, WrongKeyType
from gomachinery_py.producer import Producer
from gomachinery_py.runs import RunnableTask

__all__ = ["QUEUE", "Fabric", "Fate", "SimPort", "SimWorker", "VirtualClock"]

QUEUE = "machinery_tasks"
LEASE = 6.0
BEAT_SECONDS = 1.0
RECOVERY_SECONDS = 2.0
MOVER_SECONDS = 1.0
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 0.25
LOOK_AGAIN_SECONDS = 5.0
RESEND_SECONDS = 0.05


class VirtualClock:
    """Moves only when the simulation moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def unix_ns(self) -> int:
        return int(self.now * 1_000_000_000)

    def monotonic(self) -> float:
        return self.now


class SimPort(Port):
    """A way to a :class:`MiniRedis`; requests are answered by whoever drives."""

    def __init__(self, redis: MiniRedis) -> None:
        self.redis = redis

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [[self.answer(command) for command in request.commands] for request in requests]

    def answer(self, command: Command) -> Any:
        """Run one command on the server now."""
        joined = command[0] == "TRANSACT"
        try:
            reply = plain(self.redis.execute(*(tx.joined([command]) if joined else command)))
        except RedisFault as error:
            return WrongKeyType(str(error)) if "WRONGTYPE" in str(error) else ServiceError(str(error))
        return reply[0] if joined else reply


@dataclass
class Fate:
    """What becomes of one request."""

    delay: float
    #: The server gets it; if not, the client is told so.
    arrives: bool = True
    #: The client gets the answer.
    is_answered: bool = True
    #: Seconds that it arrives after the client has given up.
    late: float = 0.0


class Fabric:
    """Time, events and the network between workers and servers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.start = self.clock.now
        self.fate: Callable[[SimWorker | None, Request], Fate] = lambda _worker, _request: Fate(0.001)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def elapsed(self) -> float:
        return self.clock.now - self.start

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.clock.now + seconds, next(self._order), event))

    def run_until(self, done: Callable[[], bool], limit: float) -> bool:
        """Let time pass until ``done``, asked every virtual half second; False when it is not by then."""
        deadline = self.start + limit
        while not done():
            look = self.clock.now + 0.5
            if look > deadline:
                return False
            while self._events and self._events[0][0] <= look:
                moment, _, event = heapq.heappop(self._events)
                self.clock.now = max(self.clock.now, moment)
                event()
            self.clock.now = look
        return True

    def carry(self, worker: SimWorker, request: Request, answer: Callable[[list[Any] | Exception], None]) -> None:
        """Bring a request to its server and the answer back, if fate wants it."""
        port = request.port
        assert isinstance(port, SimPort)
        fate = self.fate(worker, request)
        gone = ServiceUnavailable("the simulated network has lost it")
        if not fate.arrives or fate.late:
            self.after(fate.delay, lambda: answer(gone))
            if fate.late:
                self.after(fate.delay + fate.late, lambda: [port.answer(command) for command in request.commands])
            return
        waits_until = self.clock.now
        if request.commands[0][0] == "BLMOVE":
            waits_until += request.commands[0][-1]

        def arrive() -> None:
            replies = [port.answer(command) for command in request.commands]
            if replies == [None] and self.clock.now < waits_until and not worker.gone:
                self.after(0.1, arrive)
                return
            self.after(fate.delay, lambda: answer(replies if fate.is_answered else gone))

        self.after(fate.delay, arrive)


@dataclass(eq=False)
class _Life:
    core: Coroutine[Any, Any, Any]
    delivery: Delivery | None = None
    #: Is told of an unreachable service, as the threads for fetching and for chores are; the pump sends again.
    is_told: bool = False
    waits_since: float = 0.0
    #: How many slots it needs: all when it must run alone.
    slots: int = 1
    has_slot: bool = False
    #: It was given a slot, whether it still has it or not.
    begun: bool = False
    on_end: list[Callable[[], None]] = field(default_factory=list)


class SimWorker:
    """One incarnation of a worker process."""

    def __init__(
        self,
        fabric: Fabric,
        name: str,
        ports: tuple[SimPort, SimPort],
        tasks: dict[str, RunnableTask],
        *,
        crash_safe: bool = True,
        concurrency: int = 2,
        prefetch: int = 4,
        suspect_after: int = 2,
    ) -> None:
        self.fabric = fabric
        self.name = name
        self.broker = RedisBroker(
            ports[0],
            fabric.clock,
            QUEUE,
            crash_safe=crash_safe,
            attempts_allowed=100,
            suspect_after=suspect_after,
        )
        self.broker.lease = LEASE
        self.engine = Engine(Producer(self.broker, RedisBackend(ports[1], fabric.clock, 3600)), tasks, fabric.clock)
        self.gone = False
        self.paused_until = 0.0
        self.stopping = False
        self.broken: list[str] = []
        self._concurrency = concurrency
        self._prefetch = prefetch
        self._free_slots = concurrency
        self._held: list[Delivery] = []
        self._lives: list[_Life] = []
        self._waiting: list[_Life] = []
        for core in (self._intake(), self._chore(BEAT_SECONDS, self._beat), self._chore(MOVER_SECONDS, self._move)):
            self._begin(_Life(core, is_told=True))
        self._begin(_Life(self._chore(RECOVERY_SECONDS, self._recover), is_told=True))

    # -- what happens to it --

    def crash(self) -> None:
        """kill -9: what it has sent arrives all the same."""
        self.gone = True
        for life in self._lives:
            life.core.close()

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.paused_until = self.fabric.clock.now + seconds

    def drain(self) -> None:
        """SIGTERM."""
        self.stopping = True

    @property
    def begun(self) -> list[bytes]:
        """The bodies of the tasks that were given a slot and have not come to their end."""
        return [life.delivery.body for life in self._lives if life.delivery is not None and life.begun]

    @property
    def runs_alone(self) -> bool:
        """Whether the one task that has begun is all that may run."""
        return any(life.begun and life.slots == self._concurrency for life in self._lives)

    # -- the pump --

    def _begin(self, life: _Life) -> None:
        self._lives.append(life)
        self._soon(lambda: self._step(life, None))

    def _soon(self, action: Callable[[], None], seconds: float = 0.0) -> None:
        """Something that this process does: later when it is paused, never when it is gone."""

        def event() -> None:
            if self.gone:
                return
            if self.paused_until > self.fabric.clock.now:
                jitter = self.fabric.random.random() * 0.01
                self.fabric.after(self.paused_until - self.fabric.clock.now + jitter, event)
                return
            action()

        self.fabric.after(seconds, event)

    def _step(self, life: _Life, value: Any) -> None:
        try:
            effect = life.core.throw(value) if isinstance(value, Exception) else life.core.send(value)
        except StopIteration:
            self._end(life)
            return
        except Exception as error:
            self.broken.append(f"{type(error).__name__}: {error}")
            self._end(life)
            return
        if isinstance(effect, Request):
            self._ask(life, effect)
        elif isinstance(effect, Sleep):
            self._soon(lambda: self._step(life, None), effect.seconds)
        elif isinstance(effect, Invoke):
            self._call(life, effect)
        else:
            assert isinstance(effect, Slot)
            life.waits_since = self.fabric.clock.now
            if isinstance(effect, Alone):
                life.slots = self._concurrency
                self._waiting.insert(0, life)
            else:
                self._waiting.append(life)
            if self.stopping:
                self._hand_back()
            else:
                self._fill_slots()
                self._soon(self._hand_back_stranded, PATIENCE_SECONDS)

    def _ask(self, life: _Life, request: Request) -> None:
        def answered(answer: list[Any] | Exception) -> None:
            if isinstance(answer, ServiceUnavailable) and not life.is_told:
                self._soon(lambda: self._ask(life, request), RESEND_SECONDS)
            else:
                self._soon(lambda: self._step(life, answer))

        self.fabric.carry(self, request, answered)

    def _call(self, life: _Life, effect: Invoke) -> None:
        value = effect.call()

        def ended() -> None:
            if effect.holds_slot:
                self._free_slot(life)
            self._step(life, value)

        self._soon(ended, self.fabric.random.choice((0.001, 0.01, 0.1, 1.0)))

    def _free_slot(self, life: _Life) -> None:
        if life.has_slot:
            life.has_slot = False
            self._free_slots += life.slots
            self._fill_slots()

    def _fill_slots(self) -> None:
        while self._waiting and self._free_slots >= self._waiting[0].slots:
            life = self._waiting.pop(0)
            self._free_slots -= life.slots
            life.has_slot = life.begun = True
            self._soon(lambda life=life: self._step(life, None))  # type: ignore[misc]

    def _end(self, life: _Life) -> None:
        self._lives.remove(life)
        self._free_slot(life)
        if life.delivery is not None:
            self._held.remove(life.delivery)
        for action in life.on_end:
            action()

    def _hand_back_stranded(self) -> None:
        if self._waiting and self._waiting[0].waits_since + PATIENCE_SECONDS <= self.fabric.clock.now:
            self._hand_back()

    def _hand_back(self) -> None:
        lives, self._waiting = self._waiting, []
        deliveries = []
        for life in lives:
            self._lives.remove(life)
            life.core.close()
            assert life.delivery is not None
            deliveries.append(life.delivery)
        if deliveries:
            errand = _Life(self.broker.hand_back(deliveries))
            errand.on_end.append(lambda: [self._held.remove(delivery) for delivery in deliveries])  # type: ignore[arg-type, return-value]
            self._begin(errand)

    # -- the threads beside it --

    async def _intake(self) -> None:
        failed, looked = False, self.fabric.clock.now
        while not self.stopping:
            room = self._prefetch - len(self._held)
            if room <= 0:
                await sleep(0.02)
                continue
            try:
                self._take(await self.broker.fetch(QUEUE, self.name, room, POLL_SECONDS))
                if failed or self.fabric.clock.now - looked > LOOK_AGAIN_SECONDS:
                    self._take(await self.broker.resume(QUEUE, self.name, list(self._held)))
                    failed, looked = False, self.fabric.clock.now
            except ServiceUnavailable:
                failed = True
                await sleep(RESEND_SECONDS)
        self._hand_back()
        while self._held:
            await sleep(0.05)
        try:
            await self.broker.retire(QUEUE, self.name)
        except ServiceUnavailable:
            pass
        self.gone = True

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._held.append(delivery)
            self._begin(_Life(self.engine.process(delivery), delivery))

    async def _chore(self, period: float, call: Callable[[], Coroutine[Any, Any, object]]) -> None:
        while True:
            try:
                await call()
            except ServiceUnavailable:
                pass
            await sleep(period)

    async def _beat(self) -> None:
        await self.broker.beat(QUEUE, self.name)

    async def _move(self) -> None:
        await self.broker.move_due()

    async def _recover(self) -> None:
        await self.broker.beat(QUEUE, self.name)
        await self.broker.recover(QUEUE)
