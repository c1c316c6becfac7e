"""The thread that takes messages from one queue."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.incoming import brief
from gomachinery_py.worker.pump import Pump
from gomachinery_py.worker.room import Room

__all__ = ["Bounces", "Intake"]

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
# How often the worker's list is looked through for messages that never arrived.
_LOOK_AGAIN_SECONDS = 5.0
# Messages that are remembered to notice a cycle; after so many different ones it counts as one.
_LONGEST_CYCLE = 100_000
# An answer may be so late before the worker counts as not consuming.
_LATE_SECONDS = 10.0
# How often a task that is not registered here is tried, and how far apart two of these tries are at most: so it has
# twenty minutes in which a worker that knows it may come.
_TRIES = 50
_LONGEST_BETWEEN_TRIES = 30.0


class Bounces:
    """Notices when a queue holds nothing but tasks that are not registered here.

    Go takes such a task and pushes it back as fast as it can, for as long as it is there. So do we, until every task
    that waits has come by once; then the queue is left alone for a moment, each time for longer. Unlike Go, we do not
    do so for ever: what came back again and again is given up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._seen: set[bytes] = set()
        self._clock = clock
        # By message: tries so far, and when the next one counts.
        self._tries: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        #: Whole cycles since a registered task came by.
        self.rounds = 0
        self._lock = threading.Lock()

    def accepted(self) -> None:
        """A task that is registered here came by."""
        if self.rounds or self._seen:
            with self._lock:
                self._seen.clear()
                self.rounds = 0

    def bounced(self, body: bytes) -> None:
        """A task that is not registered here was given back."""
        mark = _mark(body)
        with self._lock:
            if mark in self._seen or len(self._seen) >= _LONGEST_CYCLE:
                self._seen = {mark}
                self.rounds += 1
            else:
                self._seen.add(mark)

    def gives_up(self, body: bytes) -> bool:
        """A task that is not registered here came by: whether it has done so often enough.

        Tries that follow each other faster than the growing time between them count as one.
        """
        mark, now = _mark(body), self._clock()
        with self._lock:
            tries, due = self._tries.pop(mark, (0, now))
            if now >= due:
                tries, due = tries + 1, now + min(_LONGEST_BETWEEN_TRIES, _FIRST_PAUSE * 2 ** min(tries, 20))
            if tries >= _TRIES:
                return True
            self._tries[mark] = (tries, due)
            if len(self._tries) > _LONGEST_CYCLE:
                self._tries.popitem(last=False)
            return False

    def pause(self) -> float:
        """Seconds to leave the queue alone."""
        if not self.rounds:
            return 0.0
        return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.rounds - 1, 10)))


def _mark(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


class Intake:
    """Keeps the pump supplied from one queue until it is stopped."""

    def __init__(
        self,
        broker: Broker,
        queue: str,
        worker: str,
        pump: Pump,
        room: Room,
        wait: float,
        may_consume: Callable[[], bool],
    ) -> None:
        self.queue = queue
        self.bounces = Bounces()
        self._broker = broker
        self._worker = worker
        self._pump = pump
        self._room = room
        self._wait = wait
        self._may_consume = may_consume
        self._stopping = threading.Event()
        self._rested_rounds = 0
        self._answered = time.monotonic()
        self._failing = False
        self.thread = threading.Thread(target=self._run, name=f"{worker}-intake-{queue}", daemon=True)

    @property
    def consuming(self) -> bool:
        """Whether the broker has answered lately, and nobody has forbidden to take anything."""
        late = time.monotonic() - self._answered > max(self._wait, self._broker.waits) + _LATE_SECONDS
        return self.thread.is_alive() and not (self._failing or late or self._stopping.is_set())

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Take nothing more; a wait for messages that is under way ends by itself."""
        self._stopping.set()

    def _run(self) -> None:
        try:
            self._take()
        finally:
            self._leave()

    def _leave(self) -> None:
        """What the broker has in store for us is for others now."""
        try:
            run(self._broker.stop_taking(self.queue, self._worker))
        except (ServiceUnavailable, ServiceError) as error:
            log.warning("cannot leave %r in order: %s", brief(self.queue), error)

    def _take(self) -> None:
        failures = 0
        looked = time.monotonic()
        while not self._stopping.is_set():
            if not self._may_consume():
                self._stopping.wait(self._wait)
                continue
            self._rest_between_rounds()
            if self._stopping.is_set():
                return
            room = self._room.take(timeout=0.2)
            if room == 0:
                # Every slot is busy: nothing is wrong with the broker.
                self._answered = time.monotonic()
                continue
            taken = 0
            try:
                taken = self._hand_over(run(self._broker.fetch(self.queue, self._worker, room, 0.0)))
                if not taken:
                    # While it waits for one message it keeps no room: another queue may need it.
                    self._room.give_back(room)
                    room = 0
                    taken = self._hand_over(run(self._broker.fetch(self.queue, self._worker, 1, self._wait)))
                if failures or time.monotonic() - looked > _LOOK_AGAIN_SECONDS:
                    # A fetch whose answer was lost may have filled the inflight list all the same, even later.
                    taken += self._hand_over(self._missed())
                    failures, looked = 0, time.monotonic()
                self._answered, self._failing = time.monotonic(), False
            except (ServiceUnavailable, ServiceError) as error:
                if failures == 0:
                    log.warning("cannot take tasks from %r: %s", brief(self.queue), error)
                failures += 1
                self._failing = True
                self._stopping.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures, 10)))
            except Exception:
                failures += 1
                self._failing = True
                log.exception("taking tasks from %r failed", brief(self.queue))
                self._stopping.wait(_LONGEST_PAUSE)
            finally:
                # Negative when more was taken than there was room for.
                self._room.give_back(room - taken)

    def _rest_between_rounds(self) -> None:
        pause = self.bounces.pause()
        if pause and self._rested_rounds != self.bounces.rounds:
            self._rested_rounds = self.bounces.rounds
            self._stopping.wait(pause)

    def _missed(self) -> list[Delivery]:
        return run(self._broker.resume(self.queue, self._worker, self._pump.held(self.queue)))

    def _hand_over(self, deliveries: list[Delivery]) -> int:
        if deliveries:
            self._pump.take_in(deliveries)
        return len(deliveries)
