"""Two sides between which tasks are moved, in this process, with a mover that can die between any two steps."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from amqp_double import QueuePort
from inprocess import Crashed, FakeRedisPort, drive
from sqs_double import MovedClock

from gomachinery_py import Arg, Config, Signature
from gomachinery_py.amqp_commands import Held
from gomachinery_py.brokers.amqp import AMQPBroker
from gomachinery_py.brokers.base import Broker
from gomachinery_py.brokers.moves import DELAYED, PENDING
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.effects import Port, Request
from gomachinery_py.golang.time import Time, unix_ns
from gomachinery_py.moving.held import HeldSource, Owner
from gomachinery_py.moving.move import Move
from gomachinery_py.moving.sources import FetchedSource, Source
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import QueueTarget, Target
from gomachinery_py.wire import encode_signature

__all__ = [
    "ConsumedPort",
    "Run",
    "Side",
    "amqp_side",
    "died",
    "fill",
    "interleaved",
    "interrupted",
    "moved",
    "redis_side",
    "task",
]

_numbers = itertools.count(1)
CLOCK = MovedClock()


class ConsumedPort(QueuePort):
    """Queues with consumers: what nobody has acknowledged comes again when its consumer dies."""

    def __init__(self) -> None:
        super().__init__()
        self._unacked: list[Held] = []
        self._redelivered: Counter[bytes] = Counter()

    def _fetch(self, fields: dict[str, Any]) -> list[Held]:
        queue = self.queues[fields["queue"]]
        room = min(fields["limit"], fields["prefetch"] - len(self._unacked))
        taken, queue[:room] = queue[:room], []
        held = []
        for body in taken:
            again = self._redelivered[body] > 0
            self._redelivered[body] -= again
            held.append(Held(fields["queue"], fields["worker"], body, again, {}, 1, len(self._unacked)))
        self._unacked += held
        return held

    def _basic_ack(self, fields: dict[str, Any]) -> bool:
        self._unacked.remove(fields["held"])
        return True

    def _basic_nack(self, fields: dict[str, Any]) -> bool:
        held = fields["held"]
        self._unacked.remove(held)
        self.queues[held.queue].insert(0, held.body)
        return True

    def _retire(self, _fields: dict[str, Any]) -> None:
        assert self._unacked == []

    def died(self) -> None:
        """The consumer's connection is gone."""
        for held in reversed(self._unacked):
            self.queues[held.queue].insert(0, held.body)
            self._redelivered[held.body] += 1
        self._unacked.clear()


class Side:
    """A broker and what lies on it."""

    def __init__(self, broker: Broker, port: Port, bodies: Callable[[], list[bytes]]) -> None:
        self.broker = broker
        self.port = port
        #: Everything that waits, whichever way.
        self.bodies = bodies

    def uuids(self) -> Counter[str]:
        return Counter(json.loads(body)["UUID"] for body in self.bodies())


def redis_side(queue: str = "orders") -> Side:
    """A Redis; ``port.redis`` is its client."""
    port = FakeRedisPort()
    broker = RedisBroker(port, CLOCK, queue)

    def bodies() -> list[bytes]:
        return [*port.redis.lrange(queue, 0, -1), *port.redis.zrange("delayed_tasks", 0, -1)]  # type: ignore[misc]

    return Side(broker, port, bodies)


def amqp_side(queue: str = "orders") -> Side:
    """A RabbitMQ with the queue; what is delayed is in queues of its own."""
    port = ConsumedPort()
    port.queues[queue] = []
    broker = AMQPBroker.configured(port, CLOCK, Config.of(default_queue=queue))
    return Side(broker, port, lambda: [body for bodies in port.queues.values() for body in bodies])


def task(uuid: str, *, delay: float | None = None, routing_key: str = "orders", **fields: Any) -> Signature:
    """A task as a producer sends it, due in ``delay`` seconds of the tests' clock."""
    eta = None if delay is None else Time.from_unix_ns(CLOCK.unix_ns() + round(delay * 1_000_000_000))
    return Signature("add", [Arg("int64", 1)], uuid, routing_key=routing_key, eta=eta, headers={}, **fields)


def fill(side: Side, signatures: Sequence[Signature]) -> None:
    """Put tasks where a producer would."""
    for signature in signatures:
        body = encode_signature(signature)
        if isinstance(side.port, FakeRedisPort):
            if signature.eta is None:
                side.port.redis.rpush(signature.routing_key, body)
            else:
                side.port.redis.zadd("delayed_tasks", {body: unix_ns(signature.eta)})
        else:
            assert isinstance(side.port, ConsumedPort)
            side.port.queues[signature.routing_key].append(body)


@dataclass(frozen=True)
class Run:
    """One more run; those before it are known to have ended unless ``is_gone`` says otherwise."""

    source: Side
    target: Side | Target
    queue: str = "orders"
    page: int = 2
    kinds: Sequence[str] = (DELAYED, PENDING)
    all_delayed: bool = False
    put_back: bool = False
    is_gone: Callable[[str], bool] | None = None
    name: str = field(default_factory=lambda: f"run{next(_numbers)}")

    def move(self, **settings: Any) -> Move:
        broker, tally = self.source.broker, Tally()
        owner = Owner(self.name, self.name, self.is_gone or (lambda other: other != self.name))
        source: Source
        if broker.holds_departures:
            flags = {"all_delayed": self.all_delayed, "put_back": self.put_back}
            source = HeldSource(broker, "orders", self.page, tally, owner, kinds=self.kinds, **flags)
        else:
            source = FetchedSource(broker, "orders", self.page, tally, name=self.name)
        target = self.target
        if isinstance(target, Side):
            target = QueueTarget(target.broker, self.queue, "there", all_delayed=self.all_delayed)
        return Move(source, target, tally, **settings)


def died(source: Side, run: Run, crash_at: int) -> bool:
    """Run a move that dies at a half step, before or after one of its requests; False when it came to its end."""
    steps = itertools.count()

    def half_step() -> None:
        if next(steps) == crash_at:
            raise Crashed

    try:
        drive(run.move().run(), half_step, half_step)
    except Crashed:
        if isinstance(source.port, ConsumedPort):
            source.port.died()
        return True
    return False


def interrupted(make_target: Callable[[], Side], signatures: Sequence[Signature]) -> tuple[Side, Side, int]:
    """A Redis whose mover died with a page in hand that had arrived; the target; and how many it held."""
    for crash_at in itertools.count():
        source, target = redis_side(), make_target()
        fill(source, signatures)
        assert died(source, Run(source, target), crash_at)
        held = len(signatures) - sum(source.uuids().values())
        if held and target.uuids():
            return source, target, held
    raise AssertionError


def moved(run: Run) -> Tally:
    """A run to its end."""
    move = run.move()
    drive(move.run(), lambda: None, lambda: None)
    return move.tally


def interleaved(*runs: Run) -> list[Tally]:
    """Several movers at once, one request of each at a time."""
    moves = [each.move() for each in runs]
    running = {at: (core, core.send, None) for at, core in enumerate(each.run() for each in moves)}
    while running:
        for at, (core, resume, value) in list(running.items()):
            try:
                effect: Any = resume(value)  # type: ignore[arg-type]
            except StopIteration:
                del running[at]
                continue
            reply = effect.port.send((effect,))[0] if isinstance(effect, Request) else None
            running[at] = (core, core.send, reply)
    return [each.tally for each in moves]
