"""What every broker offers to the engine, the worker and the command line.

A broker is pure: it turns signatures into commands for its port and replies into deliveries. Who drives it decides
whether that blocks, awaits or is batched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from gomachinery_py.brokers.kombu import KombuQueues
from gomachinery_py.brokers.moves import PENDING, Arrival, Departure, Mover
from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import PublishError, ServiceError, SignatureError
from gomachinery_py.fleet import WorkerSign
from gomachinery_py.incoming import brief, check_body
from gomachinery_py.wire import encode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["Broker", "Delivery", "QueueInfo", "Recovered"]


@dataclass(slots=True, eq=False)
class Delivery:
    """One message that a worker holds, from the moment it is taken until it is settled.

    ``attempts`` counts the workers that died while they held it; ``token`` is whatever the service needs to settle it;
    ``is_apart`` says that the broker knows of it as the one task that its worker runs.
    """

    queue: str
    body: bytes
    worker: str = ""
    attempts: int = 0
    token: Any = None
    is_apart: bool = False


class Recovered(NamedTuple):
    """How many tasks of dead workers went back to their queue, and how many became dead letters."""

    given_back: int = 0
    buried: int = 0


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """One queue as ``gomachinery queue ls`` shows it; None is what the service does not tell."""

    name: str
    waiting: int | None
    inflight: int | None
    dead: int
    workers: int | None


class Broker(ABC):
    """Machinery's broker interface (Go: ``v2/brokers/iface``), with what a safe worker needs on top."""

    port: Port
    default_queue: str
    #: FIFO groups, deletion on error and the like exist only on SQS.
    is_sqs = False
    #: Header values must be texts.
    is_amqp = False
    #: Bytes that a routing key may have; 0 is without a limit.
    routing_key_bytes = 0
    #: Seconds without a sign of life after which a worker counts as dead, where the broker keeps track of workers.
    lease = 30.0
    #: Seconds that a fetch may wait although it was told to wait for less.
    waits = 0.0
    #: Messages may be taken before there is a free slot for them, since giving them back does no harm.
    reads_ahead = True
    #: States are kept on the same server; set by whoever puts broker and result store together.
    sees_states = False
    #: UUIDs of tasks that no Python worker shall begin can be kept there; see ``revocations.py``.
    keeps_revocations = False
    #: Why a delayed task cannot be taken back, where it cannot.
    why_no_cancel = "it does not say which tasks it delays"
    #: Tasks run inside the send (Go: the eager broker).
    is_eager = False
    #: What a mover took of a queue is kept for the next one when it dies, and can be looked at before it is taken.
    holds_departures = False
    #: What arrives a second time, with the same identity, is known and not stored again.
    arrives_once = False

    def __init__(self, port: Port, clock: Clock, default_queue: str) -> None:
        self.port = port
        self.clock = clock
        self.default_queue = default_queue

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config, *, crash_safe: bool = True) -> Self:  # noqa: ARG003
        """A broker with the settings of a configuration; ``crash_safe=False`` is Go's at-most-once."""
        return cls(port, clock, config.default_queue)

    @property
    def beat_seconds(self) -> float:
        """Seconds between two beats, at most, that keep what a worker holds; known after its first one."""
        return float("inf")

    @property
    def own_queues(self) -> frozenset[str]:
        """The queues that default tasks go to: a routing key may name them, a UUID may not."""
        return frozenset({self.default_queue})

    def adjust_routing_key(self, signature: Signature) -> None:
        """Fill an empty routing key (Go: ``common.Broker.AdjustRoutingKey``)."""
        if signature.routing_key == "":
            signature.routing_key = self.default_queue

    # -- sending --

    def encoded(self, signature: Signature) -> bytes:
        """A signature as it is published. Raises WireError, or SignatureError when it is too large."""
        return check_body(signature, encode_signature(signature))

    @abstractmethod
    def publish_commands(self, signature: Signature) -> list[Command]:
        """The commands that put a prepared signature on its queue, or hold it until its ETA."""

    def publish_error(self, what: str, error: ServiceError) -> Exception:  # noqa: ARG002
        """What a sender is told when the service refused the commands that publish ``what``, one task or more."""
        return error

    async def publish(self, signature: Signature) -> None:
        """Put a signature on its queue; returns when the broker has it."""
        await self.port.execute_many(self.publish_commands(signature))

    async def publish_all(self, signatures: Sequence[Signature]) -> None:
        """Publish several in their order; where the service can, in as few round trips as possible."""
        for signature in signatures:
            await self.publish(signature)

    def reserved_names(self) -> set[str]:
        """Names that no task or group may have as its UUID, since they are keys or queues."""
        return {self.default_queue}

    # -- working --

    @abstractmethod
    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:
        """Take up to ``limit`` messages; wait up to ``wait`` seconds when there is none."""

    async def holds(self, delivery: Delivery) -> bool:  # noqa: ARG002
        """Whether the service still counts a message as this worker's, as far as can be told without more ado."""
        return True

    @abstractmethod
    async def settle(self, delivery: Delivery) -> bool:
        """The task is done with; False when this worker no longer held it."""

    @abstractmethod
    async def requeue(self, delivery: Delivery) -> None:
        """Give back a task that is not registered here, as Go does it."""

    async def drop(self, delivery: Delivery) -> None:
        """Be done with a task that is not registered here and says that it may be ignored then."""
        await self.settle(delivery)

    @abstractmethod
    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        """Give back what was taken and not begun, in its order, to be delivered next."""

    @abstractmethod
    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Keep a message that can never run among the dead letters, byte for byte."""

    async def bury_body(self, queue: str, body: bytes, reason: str) -> None:
        """Keep bytes that were never delivered (a callback that may not be sent) among the dead letters."""
        raise NotImplementedError(f"{type(self).__name__} keeps no dead letters")

    async def leave(self, delivery: Delivery) -> None:
        """Done with, and not to be removed: a failed task that says so (``StopTaskDeletionOnError``; SQS only)."""
        await self.settle(delivery)

    def is_suspect(self, delivery: Delivery) -> bool:  # noqa: ARG002
        """Whether a message may be what its workers died of, so that it must run alone; asked of redelivered ones."""
        return False

    async def set_apart(self, delivery: Delivery) -> bool:  # noqa: ARG002
        """This is all that its worker runs until it is settled: should that die, nothing else is to blame.

        False when this worker no longer holds it.
        """
        return True

    def received(self, delivery: Delivery, signature: Signature) -> None:
        """Fill in what a decoded task is to know of its message (SQS: the receipt handle)."""

    def check_send(self, signature: Signature) -> None:
        """Raise SignatureError for a task that this service can never take; it is told before anything is sent."""
        self.encoded(signature)

    async def check_queue(self, queue: str) -> None:
        """Raise WrongKeyType when tasks cannot be pushed there, because it is something else than a queue."""

    def can_fuse(self, port: Port) -> bool:  # noqa: ARG002
        """Whether writes to ``port`` and settling can be one step; see :meth:`transact`."""
        return False

    def transact(
        self,
        delivery: Delivery | None,
        commands: Sequence[Command],
        *,
        remove: bool = True,
        absent: Sequence[str] = (),
        equals: Sequence[tuple[str, bytes]] = (),
    ) -> Command:
        """One command that does all writes if the delivery is still held, and settles it when ``remove``.

        The reply is one of ``redis_transactions``' DONE, NOT_HELD, LOCKED, CHANGED. Only where :meth:`can_fuse`.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot do several steps as one")

    def begin(self, delivery: Delivery, uuid: str, seconds: int, head: bytes) -> Command:
        """:meth:`transact` of RECEIVED and STARTED over a plain state that nobody read; see ``redis_transactions``."""
        raise NotImplementedError(f"{type(self).__name__} cannot do several steps as one")

    def end(self, delivery: Delivery, uuid: str, seconds: int, document: bytes) -> Command:
        """:meth:`transact` of one last state of a delivery that was not held by others before."""
        raise NotImplementedError(f"{type(self).__name__} cannot do several steps as one")

    async def beat(self, queue: str, worker: str) -> None:
        """Tell others that this worker lives (where crash recovery needs it)."""

    async def report(self, queue: str, worker: str, report: bytes, failures: Sequence[bytes]) -> None:
        """Tell whoever watches how a worker does, and which tasks failed since (where that can be kept)."""

    async def resume(self, queue: str, worker: str, known: Sequence[Delivery]) -> list[Delivery]:  # noqa: ARG002
        """After a failed fetch: what the service gave this worker that never arrived."""
        return []

    async def stop_taking(self, queue: str, worker: str) -> None:
        """Nothing more will be fetched, while what was fetched may still run for long."""

    async def retire(self, queue: str, worker: str) -> None:
        """The worker has stopped and holds nothing."""

    async def abandon(self, queue: str, worker: str) -> None:
        """The worker has stopped, and what it holds will never be settled.

        Only where nobody else would learn of that while this process and its connections live.
        """

    async def move_due(self) -> int:
        """Bring tasks whose time has come to their queues; how many were moved."""
        return 0

    async def recover(self, queue: str) -> Recovered:  # noqa: ARG002
        """Give back the tasks of workers that died; those that it died of too often become dead letters."""
        return Recovered()

    # -- looking --

    @abstractmethod
    async def pending(self, queue: str, start: int = 0, count: int = 1000) -> list[bytes]:
        """A page of the bodies that wait in a queue, the next to run first (Go: ``GetPendingTasks``)."""

    @abstractmethod
    async def delayed(self, start: int = 0, count: int = 1000) -> list[bytes]:
        """A page of the bodies that wait for their time, the earliest first (Go: ``GetDelayedTasks``)."""

    async def delayed_count(self) -> int | None:
        """How many tasks wait for their time; None where that cannot be told."""
        return None

    async def delayed_next(self) -> int | None:
        """Unix nanoseconds when the next delayed task is due; None where there is none, or that cannot be told."""
        return None

    async def find_delayed(self, uuids: Collection[str]) -> list[tuple[str, bytes]]:
        """The delayed tasks with these UUIDs, each with its UUID and as it lies there.

        Raises NotImplementedError, which says why, where delayed tasks cannot be taken back.
        """
        raise NotImplementedError(
            f"a delayed task cannot be cancelled on this broker: {self.why_no_cancel}; "
            "where a Redis keeps results, Python workers can be told not to run it: gomachinery revoke UUID"
        )

    async def cancel(self, body: bytes, commands: Sequence[Command] = ()) -> bool:
        """Take back one delayed task, as it lies there; False when it is not there any more.

        ``commands`` write its state in the same step, where :meth:`can_fuse`.
        """
        raise NotImplementedError(f"a delayed task cannot be cancelled on this broker: {self.why_no_cancel}")

    async def queues(self, wanted: Sequence[str]) -> list[QueueInfo]:
        """What is known of these queues; of every queue that can be found when none is named."""
        raise NotImplementedError(f"{type(self).__name__} cannot count queues")

    async def workers(self, queue: str) -> list[WorkerSign]:
        """The Python workers of a queue."""
        raise NotImplementedError(f"{type(self).__name__} cannot name workers")

    async def failures(self, queue: str, count: int = 100) -> list[bytes]:
        """The last tasks that failed for good on Python workers, as they were reported, the latest first."""
        raise NotImplementedError(f"{type(self).__name__} keeps no failures")

    async def purge(self, queue: str) -> int | None:
        """Drop everything that waits in a queue; how many it were, None where the service does not tell."""
        raise NotImplementedError(f"{type(self).__name__} cannot purge")

    async def dead(self, queue: str, start: int = 0, count: int = 1000) -> list[tuple[bytes, str]]:
        """A page of dead letters with the reason of each, the oldest first."""
        raise NotImplementedError(f"{type(self).__name__} keeps no dead letters")

    async def revive(self, queue: str, count: int) -> int:
        """Put up to ``count`` dead letters back on their queue, the oldest first; how many it were."""
        raise NotImplementedError(f"{type(self).__name__} keeps no dead letters")

    async def purge_dead(self, queue: str) -> int:
        """Drop a queue's dead letters; how many it were."""
        raise NotImplementedError(f"{type(self).__name__} keeps no dead letters")

    def kombu(self) -> KombuQueues:
        """The queues that Celery has on the same server."""
        raise NotImplementedError(
            f"{type(self).__name__} has no queues of Celery: only those on Redis and RabbitMQ can be translated"
        )

    async def check(self) -> None:
        """Reach the service once; raises ServiceUnavailable naming what to do."""

    # -- moving: leaving a queue --

    async def look(self, queue: str, kind: str, start: int, count: int) -> list[Departure]:
        """A page of what waits, nothing is taken. This and the next six only where :attr:`holds_departures`."""
        raise NotImplementedError(f"{type(self).__name__} shows nothing without taking it")

    async def hold(
        self, queue: str, kind: str, mover: str, about: bytes, reach: int, bodies: Sequence[bytes]
    ) -> list[Departure]:
        """Take these for a mover, as far as they are still there, among the first ``reach``.

        Raises ServiceError when somebody else has taken over for this mover.
        """
        raise NotImplementedError(f"{type(self).__name__} holds nothing for a mover")

    async def held(self, queue: str, kind: str, mover: str) -> list[Departure]:
        """The page that a mover holds, always in the same order with the same identities."""
        raise NotImplementedError(f"{type(self).__name__} holds nothing for a mover")

    async def free(
        self, queue: str, kind: str, mover: str, about: bytes, gone: Sequence[bytes], back: Sequence[bytes]
    ) -> None:
        """The mover holds nothing more: ``gone`` has arrived, ``back`` goes where it was. Raises as :meth:`hold`."""
        raise NotImplementedError(f"{type(self).__name__} holds nothing for a mover")

    async def movers(self, queue: str, kind: str) -> list[Mover]:
        """Those that move, or moved and died."""
        raise NotImplementedError(f"{type(self).__name__} holds nothing for a mover")

    async def take_over(self, queue: str, kind: str, mover: str, before: bytes, about: bytes) -> bool:
        """Become a mover that says ``before`` of itself (a new one: nothing); False when it no longer does."""
        raise NotImplementedError(f"{type(self).__name__} holds nothing for a mover")

    async def end_mover(self, queue: str, kind: str, mover: str, about: bytes) -> None:
        """It has come to its end and holds nothing."""
        raise NotImplementedError(f"{type(self).__name__} holds nothing for a mover")

    async def is_left_by(self, queue: str, kind: str, mover: str) -> bool:  # noqa: ARG002
        """Whether this very queue is the one that a mover takes from, whatever either side's URL."""
        return False

    async def depart(self, queue: str, mover: str, limit: int, wait: float) -> list[Delivery]:
        """Take some of a queue as a worker does, to be settled once they have arrived elsewhere."""
        await self.beat(queue, mover)
        return await self.fetch(queue, mover, limit, wait)

    async def is_empty(self, queue: str) -> bool:  # noqa: ARG002
        """Whether nothing waits, of a queue that has just given out nothing; True where the service cannot tell."""
        return True

    def identity(self, delivery: Delivery) -> str:  # noqa: ARG002
        """What tells a message from every other one and stays the same when it is delivered again; or nothing."""
        return ""

    # -- moving: arriving at a queue --

    def routing_key_of(self, queue: str) -> str:
        """What a task that waits in a queue has as its routing key."""
        return queue

    def refusal(self, arrival: Arrival) -> str | None:
        """Why a task cannot be put there, as far as that is known before it is tried."""
        if arrival.signature is None:
            return None
        try:
            self.publish_commands(arrival.signature)
        except SignatureError as error:
            return str(error)
        return None

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:  # noqa: ARG002
        """Store tasks; of each the reason why it was not taken, or None. Returns when the service has them."""
        outcomes: list[str | None] = []
        for arrival in arrivals:
            outcome = None
            try:
                if arrival.kind != PENDING or arrival.signature is None:
                    outcome = f"{type(self).__name__.removesuffix('Broker')} holds no {arrival.kind} tasks"
                else:
                    await self.publish(arrival.signature)
            except (PublishError, SignatureError) as error:
                outcome = brief(str(error), 300)
            outcomes.append(outcome)
        return outcomes

    async def forget_arrived(self, mover: str, arrivals: Sequence[Arrival]) -> None:
        """They will not arrive again."""

    # -- mirroring --

    async def begin_copy(self, queue: str, copy: str) -> None:
        """Have the service put a copy of whatever arrives in ``queue`` on ``copy`` too, until :meth:`end_copy`."""
        raise NotImplementedError(f"{type(self).__name__} cannot copy what arrives in a queue")

    async def end_copy(self, queue: str, copy: str) -> None:
        """No more copies; those that are there stay."""
        raise NotImplementedError(f"{type(self).__name__} cannot copy what arrives in a queue")

    async def drop_copy(self, copy: str) -> None:
        """Delete the queue of copies."""
        raise NotImplementedError(f"{type(self).__name__} cannot copy what arrives in a queue")
