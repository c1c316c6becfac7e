"""Consumers: a channel for each queue that a worker takes tasks from, and what has arrived on it.

``fetch`` {queue, worker, topology, prefetch, strict, limit, wait}: up to ``limit`` messages, as Held; waits up to
``wait`` seconds for the first. The first call declares ``topology`` and begins to consume with a prefetch of
``prefetch``. Unless ``strict``, messages that nobody fetches for a moment go back, since somebody else may have time.
``holds`` {held}: whether RabbitMQ still counts the message as this worker's; if not, it is given up.
``basic_ack`` {held}, ``basic_nack`` {held, requeue}: the same; what was lost is settled when it comes again. RabbitMQ
answers neither, so nobody has to wait for them. Acks that came together are sent as few.
``stop_taking`` {queue, worker}: consume no more, and give back what nobody has fetched.
``retire`` {queue, worker}: the same, and close the channel.

When the connection is lost RabbitMQ gives everything that was not acknowledged to whoever consumes. What comes back
here while it is still being worked on is not begun a second time: it takes the place of what was lost.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pika.exceptions import AMQPError

from gomachinery_py.amqp_commands import MAX_PREFETCH, Held
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.amqp_connection import properties_told
from gomachinery_py.ports.amqp_lane import Lane
from gomachinery_py.ports.amqp_target import refused

if TYPE_CHECKING:
    from gomachinery_py.ports.amqp_link import Link, OwnCommand

__all__ = ["Consumers"]

log = logging.getLogger(__name__)

Reply = Callable[[Any], None]

# So long a message may lie here while every slot is taken.
_PATIENCE = 0.3
# What a lost connection leaves behind is expected again within this time.
_ORPHAN_SECONDS = 60.0
_SETUP_SECONDS = 10.0
# While tasks are short a worker asks for several times what it may have under way; then it may have twice as much as it
# works on, so that acks and messages need not wait for each other. With a large message that ends, for a while.
_MUCH_MORE = 2
_WINDOW = 2
_LARGE = 64 * 1024
_SMALL_SECONDS = 10.0


class _Orphan:
    """A message that was taken over the connection that was lost; ``settled`` is how it was settled since."""

    def __init__(self, held: Held, until: float) -> None:
        self.held = held
        self.until = until
        self.settled: str | None = None


class Consumer:
    """One queue of one worker."""

    def __init__(self, link: Link, fields: dict[str, Any]) -> None:
        self._link = link
        self._queue: str = fields["queue"]
        self._worker: str = fields["worker"]
        self._topology: tuple[tuple[str, dict[str, Any]], ...] = fields["topology"]
        self._least_prefetch = self._prefetch = fields["prefetch"]
        self._small_until = 0.0
        self._strict: bool = fields["strict"]
        #: idle, opening, consuming, pausing
        self.state = "idle"
        self._lane: Lane | None = None
        self._generation = 0
        self._tags = 0
        self._tag = ""
        self._buffer: deque[Held] = deque()
        self._held: dict[int, Held] = {}
        self._acked: dict[int, Held] = {}
        self._orphans: dict[bytes, list[_Orphan]] = {}
        self._waiter: tuple[Reply, int, float] | None = None
        self._satisfying = False
        # What is buffered, held, acked and orphaned changes on the threads that take and settle, too.
        self.lock = threading.RLock()
        self._since = 0.0
        self._setup_until = 0.0
        self._stopped = False
        self._when_closed: Reply | None = None

    # -- commands --

    def fetch(self, fields: dict[str, Any], reply: Reply) -> None:
        if self._wants_more(fields["limit"]):
            self._resize(min(_WINDOW * (len(self._held) + fields["limit"]), MAX_PREFETCH))
        with self.lock:
            taken = self._taken(fields["limit"]) if self._buffer else None
        if self._stopped or taken:
            reply(taken or [])
            return
        self._waiter = (reply, fields["limit"], self._link.now() + fields["wait"])
        self._consume()

    def take(self, limit: int) -> list[Held] | None:
        """What is here; None when the link's thread has to see to it. For any thread."""
        with self.lock:
            if not self._buffer or self._stopped or self._wants_more(limit):
                return None
            return self._taken(limit)

    def holds(self, held: Held) -> bool:
        return held.generation == self._generation and held.tag in self._held

    def abandon(self, held: Held) -> None:
        """Nobody works on a message that was lost with its connection; when it comes again it is a new one."""
        with self.lock:
            left = [orphan for orphan in self._orphans.pop(held.body, []) if orphan.held is not held]
            if left:
                self._orphans[held.body] = left

    def settle(self, held: Held, how: str) -> bool:
        """``ack``, ``requeue`` or ``drop`` it; False when RabbitMQ has taken the message away meanwhile.

        For any thread when it is an ack; :meth:`flush` sends it.
        """
        with self.lock:
            if not self.holds(held) or self._lane is None:
                for orphan in self._orphans.get(held.body, ()):
                    if orphan.held is held:
                        orphan.settled = how
                return False
            del self._held[held.tag]
            if how == "ack":
                self._acked[held.tag] = held
            else:
                self._send(how, held.tag)
            return True

    def flush(self) -> None:
        """Send the acks that have come together: one for all that nothing unsettled lies before."""
        with self.lock:
            if not self._acked or self._lane is None:
                return
            acked = sorted(self._acked)
            unsettled = [*self._held, *(held.tag for held in self._buffer)]
            first = min(unsettled) if unsettled else acked[-1] + 1
            before = bisect_left(acked, first)
            tags = [(acked[before - 1], before > 1)] if before else []
            # Otherwise the channel is gone, and they are settled when they come again.
            if self._lane.ack([*tags, *((tag, False) for tag in acked[before:])]):
                self._acked.clear()

    def _send(self, how: str, tag: int) -> None:
        assert self._lane is not None
        if how == "ack":
            self._lane.channel.basic_ack(tag)
        else:
            self._lane.channel.basic_nack(tag, requeue=how == "requeue")

    def stop(self) -> None:
        with self.lock:
            self._stopped = True
            self._pause()
        self._answer([])

    def retire(self, reply: Reply) -> None:
        self.stop()
        if self._lane is None or not self._lane.channel.is_open:
            reply(None)
            return
        self._when_closed = reply
        # What was acknowledged in this very turn has not been sent yet.
        self.flush()
        self._lane.channel.close()

    # -- consuming --

    def _consume(self) -> None:
        if self.state == "idle" and self._lane is not None:
            self._begin()
        elif self.state == "idle":
            self.state = "opening"
            self._setup_until = self._link.now() + _SETUP_SECONDS
            self._link.open_lane(self)

    def opened(self, lane: Lane) -> None:
        with self.lock:
            self._lane = lane
            self._generation += 1
        lane.channel.add_on_cancel_callback(self._cancelled_by_server)
        try:
            for name, fields in self._topology:
                lane.send(name, fields)
            lane.channel.basic_qos(prefetch_count=self._prefetch, callback=lambda _: self._begin())
        except (AMQPError, ServiceError, TypeError, ValueError) as error:
            lane.close()
            self.lost(refused(error))

    def _begin(self) -> None:
        assert self._lane is not None
        self.state = "opening"
        self._setup_until = self._link.now() + _SETUP_SECONDS
        if self._prefetch != self._least_prefetch:
            self._prefetch = self._least_prefetch
            self._lane.channel.basic_qos(prefetch_count=self._prefetch)
        self._consume_as_new()

    def _consume_as_new(self) -> None:
        assert self._lane is not None
        # A tag may be used again only when its cancelling has been answered; a new one each time is simpler.
        self._tags += 1
        self._tag = self._worker if self._tags == 1 else f"{self._worker}.{self._tags}"
        self._lane.consume(self._queue, self._tag, self._arrived, lambda _: self._consuming())

    def _wants_more(self, limit: int) -> bool:
        """Whether tasks are so short that what may be under way at a time holds them up."""
        if self._strict or limit < _MUCH_MORE * self._prefetch or self.state != "consuming":
            return False
        return self._small_until < self._link.now()

    def _resize(self, prefetch: int) -> None:
        """Consume with another prefetch; what comes by the old tag meanwhile is as good."""
        assert self._lane is not None
        self._prefetch = prefetch
        old = self._tag
        self._lane.channel.basic_qos(prefetch_count=prefetch)
        self._consume_as_new()
        self._lane.channel.basic_cancel(old)

    def _consuming(self) -> None:
        if self.state == "opening":
            self.state = "consuming"
        if self._stopped:
            self._pause()

    def _arrived(self, _consumer: bytes, tag: int, redelivered: bool, properties: bytes, body: bytes) -> None:
        if self._lane is None or not self._lane.channel.is_open:
            return
        if self.state == "pausing":
            # It was under way when the consuming was ended.
            self._send("requeue", tag)
            return
        with self.lock:
            if redelivered and self._adopted(body, tag):
                return
            told = properties_told(properties)
            held = Held(self._queue, self._worker, body, redelivered, told, self._generation, tag)
            if not self._buffer:
                self._since = self._link.now()
            self._buffer.append(held)
        if len(body) > _LARGE:
            self._small_until = self._link.now() + _SMALL_SECONDS
            if self._prefetch > self._least_prefetch and self.state == "consuming":
                self._resize(self._least_prefetch)
        if self._waiter is not None and not self._satisfying:
            # A moment later, so that what has arrived with it goes along.
            self._satisfying = True
            self._link.later(0, self._satisfy)

    def _satisfy(self) -> None:
        self._satisfying = False
        if self._waiter is None:
            return
        with self.lock:
            taken = self._taken(self._waiter[1])
        if taken:
            self._answer(taken)

    def _taken(self, limit: int) -> list[Held]:
        taken = [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]
        self._held.update((held.tag, held) for held in taken)
        self._since = self._link.now()
        return taken

    def _answer(self, reply: Any) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter[0](reply)

    def _adopted(self, body: bytes, tag: int) -> bool:
        """Whether a message that comes again is one that is still, or was, worked on here."""
        orphans = self._orphans.get(body)
        if not orphans:
            return False
        orphan = orphans.pop()
        if not orphans:
            del self._orphans[body]
        if orphan.until < self._link.now():
            return False
        if orphan.settled is not None:
            self._send(orphan.settled, tag)
            return True
        orphan.held.generation, orphan.held.tag = self._generation, tag
        self._held[tag] = orphan.held
        return True

    # -- pausing --

    def sweep(self, now: float) -> None:
        """Give back what nobody fetches, end waits that took their time, give up on a silent server."""
        if self._waiter is not None and self._waiter[2] <= now and self.state != "opening":
            self._answer([])
        if self.state == "opening" and self._setup_until < now:
            lane, self._lane = self._lane, None
            if lane is not None:
                lane.close()
            self.lost(ServiceUnavailable(f"RabbitMQ does not answer on queue {self._queue!r}"))
        if not self._strict and self._buffer and self._waiter is None and self._since + _PATIENCE < now:
            self._pause()

    def _pause(self) -> None:
        if self.state != "consuming" or self._lane is None:
            return
        self.state = "pausing"
        self._lane.channel.basic_cancel(self._tag, callback=lambda _: self._paused())
        self._give_back()

    def _give_back(self) -> None:
        # The last one first costs nothing and leaves them in their order whatever the queue's type.
        with self.lock:
            while self._buffer:
                self._send("requeue", self._buffer.pop().tag)

    def _paused(self) -> None:
        if self.state == "pausing":
            self.state = "idle"
        if self._waiter is not None and not self._stopped:
            self._consume()

    def _cancelled_by_server(self, _frame: Any) -> None:
        """The queue was deleted, or its node is going down; the next fetch declares it again."""
        log.warning("RabbitMQ has ended the consuming of %r; it is begun again", self._queue)
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.close()
        self.lost(ServiceUnavailable(f"RabbitMQ has ended the consuming of {self._queue!r}: was the queue deleted?"))

    # -- the lane's owner --

    def lost(self, error: ServiceError | ServiceUnavailable) -> None:
        """The channel is gone, and with it everything that it held."""
        now = self._link.now()
        with self.lock:
            self._lane, self.state = None, "idle"
            for body in [body for body, orphans in self._orphans.items() if orphans[-1].until < now]:
                del self._orphans[body]
            for held in (*self._held.values(), *self._acked.values()):
                orphan = _Orphan(held, now + _ORPHAN_SECONDS)
                orphan.settled = "ack" if held.tag in self._acked else None
                self._orphans.setdefault(held.body, []).append(orphan)
            self._held.clear()
            self._acked.clear()
            self._buffer.clear()
        self._answer(error)
        reply, self._when_closed = self._when_closed, None
        if reply is not None:
            reply(None)

    def confirmed(self, tag: int, multiple: bool, ok: bool) -> None:
        """Nothing is published here."""

    def returned(self, method: Any, body: bytes) -> None:
        """Nothing is published here."""


class Consumers:
    """The consumers of one link, by queue and worker."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._all: dict[tuple[str, str], Consumer] = {}

    def commands(self) -> dict[str, OwnCommand]:
        return {
            "fetch": self._fetch,
            "holds": self._holds,
            "basic_ack": lambda fields, reply: self._settle("ack", fields, reply),
            "basic_nack": lambda fields, reply: self._settle("requeue" if fields["requeue"] else "drop", fields, reply),
            "stop_taking": self._stop_taking,
            "retire": self._retire,
        }

    def _fetch(self, fields: dict[str, Any], reply: Reply) -> None:
        key = (fields["queue"], fields["worker"])
        consumer = self._all.get(key)
        if consumer is None:
            consumer = self._all[key] = Consumer(self._link, fields)
        consumer.fetch(fields, reply)

    def _of(self, held: Held) -> Consumer | None:
        return self._all.get((held.queue, held.worker))

    def has(self, held: Held) -> bool:
        """``holds`` without consequences; for any thread, since it only looks."""
        consumer = self._of(held)
        return consumer is not None and consumer.holds(held)

    def take(self, fields: dict[str, Any]) -> list[Held] | None:
        """``fetch`` of what is here already; None when there is nothing. For any thread."""
        consumer = self._all.get((fields["queue"], fields["worker"]))
        return None if consumer is None else consumer.take(fields["limit"])

    def ack(self, messages: Sequence[Held]) -> None:
        """``basic_ack`` of several at once. For any thread."""
        touched = set()
        for held in messages:
            consumer = self._of(held)
            if consumer is not None and consumer.settle(held, "ack"):
                touched.add(consumer)
        for consumer in touched:
            consumer.flush()

    def flush(self) -> None:
        """Everything that had come in has been taken in."""
        for consumer in self._all.values():
            consumer.flush()

    def _holds(self, fields: dict[str, Any], reply: Reply) -> None:
        held: Held = fields["held"]
        consumer = self._of(held)
        still = consumer is not None and consumer.holds(held)
        if consumer is not None and not still:
            consumer.abandon(held)
        reply(still)

    def _settle(self, how: str, fields: dict[str, Any], reply: Reply) -> None:
        consumer = self._of(fields["held"])
        reply(consumer is not None and consumer.settle(fields["held"], how))

    def _stop_taking(self, fields: dict[str, Any], reply: Reply) -> None:
        consumer = self._all.get((fields["queue"], fields["worker"]))
        if consumer is not None:
            consumer.stop()
        reply(None)

    def _retire(self, fields: dict[str, Any], reply: Reply) -> None:
        consumer = self._all.pop((fields["queue"], fields["worker"]), None)
        if consumer is None:
            reply(None)
        else:
            consumer.retire(reply)

    def sweep(self, now: float) -> bool:
        """Look after time limits; whether there is anything to look after."""
        for consumer in list(self._all.values()):
            consumer.sweep(now)
        return bool(self._all)

    def lost(self, error: ServiceUnavailable) -> None:
        """The connection is gone; each consumer has heard of it by its channel, or had none."""
        for consumer in self._all.values():
            if consumer.state != "idle":
                consumer.lost(error)
