"""The Google Cloud Pub/Sub broker.

Go source: ``v2/brokers/gcppubsub/gcp_pubsub.go``; v1 alike.

===============================  ==================================  ===============================================
a message that                   Go                                  here
===============================  ==================================  ===============================================
cannot be decoded                is nacked, comes again at once      comes again later each time, at most 10 minutes
is empty                         is nacked, comes again at once      the same as any other that cannot be decoded
is not registered                is nacked, comes again at once      the same, later each time, at most a minute
is not registered, ignored       the same                            is acknowledged
failed                           is acknowledged                     is acknowledged once its FAILURE is stored
has results but no store         is nacked and run again             is held until its result is stored
has an ETA                       runs at once                        is held until then
was held by a worker that died   comes again                         comes again; not run when its outcome is stored
===============================  ==================================  ===============================================

A queue is a topic, and a subscription from which it is consumed: the URL's for the default queue, the one that is
named like the queue for any other. Both must exist. Messages are what Go sends: the task's JSON, no attributes.

* A worker extends the deadlines of what it holds for as long as it lives, to ``lease`` seconds each time.
* An ETA is kept by the worker that reads it, since Pub/Sub has no delays. It holds on to the message, and lets go of
  it for up to ten minutes at a time when it holds too much. Go's publisher keeps it instead, by waiting itself;
  ``sender_waits`` does that here, for readers in Go, who run at once what they get.
* Pub/Sub says that a message was delivered before only where there is a dead-letter policy. Elsewhere one that is old
  enough counts as such: a worker that died may have stored its outcome.
* Pub/Sub has no dead letters but by that policy, and counts nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Self

from gomachinery_py.brokers.base import Broker, Delivery, QueueInfo
from gomachinery_py.brokers.moves import Arrival
from gomachinery_py.brokers.pubsub_held import LEAST_ACK_DEADLINE, Held, Holding
from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Command, Port, first_error_raised, sleep
from gomachinery_py.errors import ConfigError, PublishError, ServiceError, SignatureError, WireError
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import brief
from gomachinery_py.pubsub_commands import (
    MAX_ACK_DEADLINE,
    MAX_MESSAGES,
    MAX_REQUEST_BYTES,
    PubSubRefused,
    Pulled,
    Subscription,
)
from gomachinery_py.urls import PubSubURL, parse_broker
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["PubSubBroker"]

_SECOND_NS: Final = 1_000_000_000
# Younger than half the shortest deadline that a message can have, for two clocks that differ a little.
_SURELY_FIRST_SECONDS: Final = LEAST_ACK_DEADLINE / 2
_UNREGISTERED_SECONDS: Final = (0, 60)
_POISON_SECONDS: Final = (10, MAX_ACK_DEADLINE)
_MOST_BOUNCES_REMEMBERED: Final = 10_000
_MESSAGE_BYTES: Final = 1_000
_LOOK_SECONDS: Final = 1.0
# Of a subscription with exactly-once delivery: somebody else may have the message by now.
_LOST: Final = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")


class PubSubBroker(Broker):
    """One project; a topic for each routing key."""

    routing_key_bytes = 255
    why_no_cancel = "Pub/Sub gives a delayed task to a worker, which puts it off until its time"
    #: Publish what has an ETA only then, as Go does: ``send`` waits for so long, ``asend`` and a worker's retries
    #: wait without holding up anything else. For topics that Go workers read.
    sender_waits = False

    def __init__(self, port: Port, clock: Clock, default_queue: str, url: PubSubURL) -> None:
        super().__init__(port, clock, default_queue)
        self.url = url
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._bounces: OrderedDict[str, int] = OrderedDict()

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config, *, crash_safe: bool = True) -> Self:  # noqa: ARG003
        url = parse_broker(config.broker)
        if not isinstance(url, PubSubURL):
            raise ConfigError(f"{url.url} is not a gcppubsub:// URL")
        return cls(port, clock, config.default_queue, url)

    def _topic(self, queue: str) -> str:
        return f"projects/{self.url.project}/topics/{queue}"

    def _subscription(self, queue: str) -> str:
        name = self.url.subscription if queue == self.default_queue else queue
        return f"projects/{self.url.project}/subscriptions/{name}"

    # -- sending --

    def encoded(self, signature: Signature) -> bytes:
        body = super().encoded(signature)
        if len(body) + _MESSAGE_BYTES > MAX_REQUEST_BYTES:
            raise SignatureError(
                f"task {brief(signature.name)} has {len(body)} bytes, Pub/Sub takes {MAX_REQUEST_BYTES}; "
                "store the data elsewhere and send where it is"
            )
        return body

    def publish_commands(self, signature: Signature) -> list[Command]:
        self.adjust_routing_key(signature)
        body = self.encoded(signature)
        return [("Publish", {"topic": self._topic(signature.routing_key), "messages": [body]})]

    async def publish(self, signature: Signature) -> None:
        await self.publish_all([signature])

    async def publish_all(self, signatures: Sequence[Signature]) -> None:
        """Raises PublishError when Pub/Sub refuses one, SignatureError for one that is too large for it."""
        waits = [(self._left_ns(signature) if self.sender_waits else 0, signature) for signature in signatures]
        await self._publish([signature for left, signature in waits if left <= 0])
        for left, signature in sorted(waits, key=lambda each: each[0]):
            if left > 0:
                await sleep(max(0, self._left_ns(signature)) / _SECOND_NS)
                await self._publish([signature])

    async def _publish(self, signatures: Sequence[Signature]) -> None:
        calls: list[tuple[str, list[bytes]]] = []
        newest: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for signature in signatures:
            [(_, fields)] = self.publish_commands(signature)
            topic, [body] = fields["topic"], fields["messages"]
            size = len(body) + _MESSAGE_BYTES
            at = newest.get(topic)
            if at is None or len(calls[at][1]) >= MAX_MESSAGES or sizes[topic] + size > MAX_REQUEST_BYTES:
                newest[topic], sizes[topic] = len(calls), 0
                calls.append((topic, []))
            calls[newest[topic]][1].append(body)
            sizes[topic] += size
        try:
            await self.port.execute_many([("Publish", {"topic": topic, "messages": bodies}) for topic, bodies in calls])
        except PubSubRefused as error:
            what = f"task {brief(signatures[0].name)}" if len(signatures) == 1 else f"some of {len(signatures)} tasks"
            raise PublishError(f"{what}: {error}") from error

    def _left_ns(self, signature: Signature) -> int:
        return 0 if signature.eta is None else unix_ns(signature.eta) - self.clock.unix_ns()

    # -- moving --

    def refusal(self, arrival: Arrival) -> str | None:
        if arrival.due_ns is not None and arrival.due_ns > self.clock.unix_ns():
            return "Pub/Sub cannot hold a task until its time"
        return super().refusal(arrival)

    async def arrive(self, mover: str, arrivals: Sequence[Arrival]) -> list[str | None]:  # noqa: ARG002
        outcomes: list[str | None] = ["Pub/Sub keeps no dead letters"] * len(arrivals)
        living = [at for at, arrival in enumerate(arrivals) if arrival.signature is not None]
        replies = await self.port.attempt_many(
            [("Publish", {"topic": self._topic(arrivals[at].queue), "messages": [arrivals[at].body]}) for at in living]
        )
        first_error_raised([reply for reply in replies if not isinstance(reply, PubSubRefused)])
        for at, reply in zip(living, replies, strict=True):
            outcomes[at] = brief(str(reply), 300) if isinstance(reply, PubSubRefused) else None
        return outcomes

    # -- working --

    def _holding(self, queue: str, worker: str) -> Holding:
        return self._holdings.setdefault((queue, worker), Holding(self._subscription(queue)))

    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:
        holding = self._holding(queue, worker)
        due = holding.due(self.clock.unix_ns(), limit)
        if due:
            return due
        fields = {
            "subscription": holding.subscription,
            "max_messages": max(1, min(limit, MAX_MESSAGES)),
            "worker": worker,
            "wait": min(wait, holding.next_due_ns(self.clock.unix_ns()) / _SECOND_NS),
        }
        pulled: list[Pulled] = await self.port.execute(("Pull", fields))
        taken = await self._accept(holding, queue, worker, pulled)
        return [*taken, *holding.due(self.clock.unix_ns(), max(0, limit - len(taken)))]

    async def _accept(self, holding: Holding, queue: str, worker: str, pulled: Sequence[Pulled]) -> list[Delivery]:
        now_ns, now = self.clock.unix_ns(), self.clock.monotonic()
        taken: list[Delivery] = []
        if pulled and pulled[0].lay > holding.first_seconds / 2:
            # They came while nothing was taken here, and may be somebody else's by now or before the next beat.
            await self._unless_lost(_deadline(holding.subscription, [message.ack_id for message in pulled], 0))
            return []
        for message in pulled:
            until = now + holding.first_seconds - message.lay
            held = holding.held.get(message.message_id)
            if held is not None:
                # Its deadline had passed here; there is no need to run it twice at a time.
                held.ack_id, held.until = message.ack_id, until
                continue
            held = Held(holding.subscription, message.ack_id, message.message_id, until, message.attempt)
            delivery = Delivery(queue, message.data, worker, self._attempts(message, now_ns), held)
            holding.held[message.message_id] = held
            eta_ns = _eta_ns(message.data)
            if eta_ns <= now_ns:
                taken.append(delivery)
            elif not holding.park(eta_ns, delivery):
                left = -(-(eta_ns - now_ns) // _SECOND_NS)
                await self._let_go([delivery], min(left, MAX_ACK_DEADLINE))
        return taken

    def _attempts(self, message: Pulled, now_ns: int) -> int:
        """How often it may have been delivered before."""
        if message.attempt:
            return message.attempt - 1
        return int(now_ns - message.published_ns >= min(_SURELY_FIRST_SECONDS, self.lease / 2) * _SECOND_NS)

    async def _let_go(self, deliveries: Sequence[Delivery], seconds: int) -> None:
        """Others may have these after so many seconds."""
        by_subscription: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_subscription.setdefault(delivery.token.subscription, []).append(delivery)
        for subscription, theirs in by_subscription.items():
            for start in range(0, len(theirs), MAX_MESSAGES):
                some = theirs[start : start + MAX_MESSAGES]
                ids = [delivery.token.ack_id for delivery in some]
                await self._unless_lost(_deadline(subscription, ids, seconds))
                for delivery in some:
                    self._forget(delivery)

    async def _unless_lost(self, command: Command) -> None:
        try:
            await self.port.execute(command)
        except PubSubRefused as error:
            if error.code not in _LOST:
                raise

    def _forget(self, delivery: Delivery) -> None:
        holding = self._holdings.get((delivery.queue, delivery.worker))
        if holding is not None:
            holding.held.pop(delivery.token.message_id, None)

    def _pause(self, held: Held, least: int, most: int) -> int:
        """Seconds to leave a message alone that came to nothing, more each time."""
        bounced = self._bounces.pop(held.message_id, 0)
        self._bounces[held.message_id] = bounced + 1
        if len(self._bounces) > _MOST_BOUNCES_REMEMBERED:
            self._bounces.popitem(last=False)
        times = max(bounced, held.attempt - 1)
        pause = least * 2 ** min(times, 10) if least else (0 if times == 0 else 2 ** min(times - 1, 10))
        return min(most, pause)

    async def holds(self, delivery: Delivery) -> bool:
        if self.clock.monotonic() < delivery.token.until:
            return True
        self._forget(delivery)
        return False

    async def settle(self, delivery: Delivery) -> bool:
        """Always True: what was done is stored, and a message that comes again for all that is not run again."""
        held: Held = delivery.token
        await self._unless_lost(("Acknowledge", {"subscription": held.subscription, "ack_ids": [held.ack_id]}))
        self._forget(delivery)
        self._bounces.pop(held.message_id, None)
        return True

    async def requeue(self, delivery: Delivery) -> None:
        await self._let_go([delivery], self._pause(delivery.token, *_UNREGISTERED_SECONDS))

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        await self._let_go(deliveries, 0)

    async def bury(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002
        """Left to the subscription: by its dead-letter policy, or it comes again, later each time."""
        await self._let_go([delivery], self._pause(delivery.token, *_POISON_SECONDS))

    async def beat(self, queue: str, worker: str) -> None:
        """Extend the deadlines of all that is held; the first time, see that there is such a subscription."""
        holding = self._holding(queue, worker)
        if not holding.known:
            found: Subscription = await self.port.execute(("GetSubscription", {"subscription": holding.subscription}))
            holding.first_seconds, holding.known = max(LEAST_ACK_DEADLINE, found.ack_deadline_seconds), True
        seconds = min(MAX_ACK_DEADLINE, max(1, int(self.lease)))
        held = list(holding.held.copy().values())
        for start in range(0, len(held), MAX_MESSAGES):
            await self._extend(holding, held[start : start + MAX_MESSAGES], seconds)

    async def _extend(self, holding: Holding, held: Sequence[Held], seconds: int) -> None:
        since = self.clock.monotonic()
        try:
            await self.port.execute(_deadline(holding.subscription, [each.ack_id for each in held], seconds))
        except PubSubRefused as error:
            if error.code not in _LOST:
                raise
            # One of them is no longer ours. The others are.
            if len(held) > 1:
                for each in held:
                    await self._extend(holding, [each], seconds)
            return
        for each in held:
            each.until = since + seconds

    async def stop_taking(self, queue: str, worker: str) -> None:
        holding = self._holding(queue, worker)
        await self._let_go(holding.unpark(), 0)
        stopped = ("StopPulling", {"subscription": holding.subscription, "worker": worker})
        late: list[Pulled] = await self.port.execute(stopped)
        if late:
            await self.port.execute(_deadline(holding.subscription, [message.ack_id for message in late], 0))

    async def retire(self, queue: str, worker: str) -> None:
        self._holdings.pop((queue, worker), None)

    # -- looking --

    async def check(self) -> None:
        """Raises PubSubRefused with Go's text when topic or subscription are missing."""
        await self.port.execute(("GetTopic", {"topic": self._topic(self.default_queue)}))
        await self.port.execute(("GetSubscription", {"subscription": self._subscription(self.default_queue)}))

    async def pending(self, queue: str, start: int = 0, count: int = 1000) -> list[bytes]:
        """What Pub/Sub hands out first, which is in no order; each look takes messages and gives them back.

        Raises PubSubRefused where there is a dead-letter policy, by which looking would count as failing.
        """
        subscription = self._subscription(queue)
        found: Subscription = await self.port.execute(("GetSubscription", {"subscription": subscription}))
        if found.dead_letter_topic:
            raise PubSubRefused(
                "Pub/Sub shows messages only by delivering them, and this subscription's dead-letter policy counts "
                "that: look into the topic with a subscription of its own"
            )
        seen: dict[str, Pulled] = {}
        try:
            while len(seen) < start + count:
                wanted = min(MAX_MESSAGES, start + count - len(seen))
                fields = {"subscription": subscription, "max_messages": wanted, "worker": "", "wait": _LOOK_SECONDS}
                pulled: list[Pulled] = await self.port.execute(("Pull", fields))
                if not pulled or all(message.message_id in seen for message in pulled):
                    break
                seen |= {message.message_id: message for message in pulled}
        finally:
            late: list[Pulled] = await self.port.execute(("StopPulling", {"subscription": subscription, "worker": ""}))
            ids = [message.ack_id for message in (*seen.values(), *late)]
            for at in range(0, len(ids), MAX_MESSAGES):
                await self.port.execute(_deadline(subscription, ids[at : at + MAX_MESSAGES], 0))
        return [message.data for message in seen.values()][start : start + count]

    async def delayed(self, start: int = 0, count: int = 1000) -> list[bytes]:  # noqa: ARG002
        """Raises PubSubRefused: what waits for its time is with the workers."""
        raise PubSubRefused("on Pub/Sub the workers hold what waits for its time; it cannot be listed")

    async def queues(self, wanted: Sequence[str]) -> list[QueueInfo]:
        """Only whether they exist: Pub/Sub counts messages in Cloud Monitoring, not here."""
        infos = []
        for queue in wanted or [self.default_queue]:
            await self.port.execute(("GetTopic", {"topic": self._topic(queue)}))
            infos.append(QueueInfo(queue, None, None, 0, None))
        return infos

    async def purge(self, queue: str) -> None:
        """Everything that was published so far counts as done, also what runs; how many it were is not known."""
        fields = {"subscription": self._subscription(queue), "time_ns": self.clock.unix_ns()}
        await self.port.execute(("Seek", fields))

    async def dead(self, queue: str, start: int = 0, count: int = 1000) -> list[tuple[bytes, str]]:  # noqa: ARG002
        raise self._no_dead(queue)

    async def revive(self, queue: str, count: int) -> int:  # noqa: ARG002
        raise self._no_dead(queue)

    async def purge_dead(self, queue: str) -> int:
        raise self._no_dead(queue)

    def _no_dead(self, queue: str) -> ServiceError:
        return PubSubRefused(
            f"Pub/Sub keeps no dead letters of {brief(queue)!r} but by its subscription's dead-letter policy, in a "
            "topic of their own: look there"
        )


def _deadline(subscription: str, ack_ids: list[str], seconds: int) -> Command:
    fields = {"subscription": subscription, "ack_ids": ack_ids, "ack_deadline_seconds": seconds}
    return ("ModifyAckDeadline", fields)


def _eta_ns(body: bytes) -> int:
    """When it may run; at once when it cannot be decoded, which others deal with."""
    try:
        eta = decode_signature(body).eta
    except WireError:
        return 0
    return 0 if eta is None else unix_ns(eta)
