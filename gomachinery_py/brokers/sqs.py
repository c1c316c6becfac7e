"""The SQS broker, for standard and FIFO queues.

Go source: ``v2/brokers/sqs/sqs.go``; v1 alike, without the heartbeat.

===============================  ==================================  ===============================================
a message that                   Go                                  here
===============================  ==================================  ===============================================
comes before its ETA             runs                                is made invisible until then
cannot be decoded                is deleted                          stays; comes again later and later, until the
                                                                     queue's redrive policy takes it
is not registered                stays, and the consumer ends        stays
is not registered, ignored       is deleted, and the consumer ends   is deleted
failed                           is deleted, stored or not           is deleted once its FAILURE is stored
failed, StopTaskDeletionOnError  stays, and runs again               the same
is retried on a FIFO queue       is lost: SQS takes the retry for    is sent with a deduplication id of its own
                                 a duplicate
was held by a worker that died   comes again                         comes again; not run when its outcome is stored
===============================  ==================================  ===============================================

Delays are rounded up to whole seconds, so that a task never runs before its ETA. A retry that is more than 15 minutes
away, and every ETA on a FIFO queue, is held back when it is received. While a task runs, its message is kept
invisible; Go's v2 does so with ``visibility_hearth_beat`` only, here setting that to false switches it off.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Sequence
from typing import Any, Final, Self

from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.sqs_moves import NO_GROUP, TOO_LATE, SQSMoves, reason_of
from gomachinery_py.config import Config, SQSConfig
from gomachinery_py.config_sections import plain
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import ConfigError, PublishError, ServiceUnavailable, SignatureError, WireError
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.incoming import brief
from gomachinery_py.sqs_commands import (
    ACCESS_DENIED,
    BATCH,
    MAX_DELAY_SECONDS,
    MAX_MESSAGE_BYTES,
    MAX_NAME_BYTES,
    MAX_VISIBILITY_SECONDS,
    MAX_WAIT_SECONDS,
    NO_SUCH_QUEUE,
    QueueFacts,
    SQSHeld,
    SQSRefused,
    batches,
    change_visibility,
    delete,
    is_fifo,
    is_for_good,
    receive,
)
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import Signature

__all__ = ["SQSBroker"]

log = logging.getLogger(__name__)

_NO_ETA: Final = b'"ETA":null'
_DEDUPLICATION_ID_BYTES: Final = 128
# SQS' own default; for those who may not ask a queue for its settings.
_VISIBILITY_SECONDS: Final = 30
_LONGEST_BACK_OFF: Final = 15 * 60
# A message may not be kept for exactly 12 hours, since they count from when it was received.
_LONGEST_HOLD: Final = MAX_VISIBILITY_SECONDS - 60


class SQSBroker(SQSMoves):
    """One SQS; ``base`` + ``/`` + queue is a queue's URL."""

    is_sqs = True
    why_no_cancel = "SQS shows a message to nobody before its time"
    #: Every receipt counts for the redrive policy, also of what is given back.
    reads_ahead = False
    routing_key_bytes = MAX_NAME_BYTES

    def __init__(
        self,
        port: Port,
        clock: Clock,
        default_queue: str,
        base: str,
        settings: SQSConfig | None = None,
        *,
        heartbeat: bool = True,
    ) -> None:
        super().__init__(port, clock, default_queue, base)
        self.settings = settings or SQSConfig()
        self._heartbeat = heartbeat
        # 0 cannot be meant: every message would be everybody's at once. Go's v2 sends nothing then, v1 sends it.
        self._visibility = self.settings.receive_visibility_timeout or None
        self._wait = self.settings.receive_wait_time_seconds
        self.waits = float(self._wait)
        if self._visibility is not None and not 1 <= self._visibility <= MAX_VISIBILITY_SECONDS:
            raise ConfigError(f"sqs.receive_visibility_timeout must be from 1 to {MAX_VISIBILITY_SECONDS} seconds")
        if not 0 <= self._wait <= MAX_WAIT_SECONDS:
            raise ConfigError(f"sqs.receive_wait_time_seconds must be from 0 to {MAX_WAIT_SECONDS}")
        # By receipt handle; single steps on a dict are safe between threads.
        self._held: dict[str, tuple[str, str, SQSHeld]] = {}
        self._facts: dict[str, QueueFacts] = {}
        # Queues that had nothing when they were asked last.
        self._empty: set[tuple[str, str]] = set()

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config, *, crash_safe: bool = True) -> Self:  # noqa: ARG003
        settings = config.sqs_settings
        heartbeat = settings.visibility_hearth_beat or "sqs.visibility_hearth_beat" not in config.names_given()
        base = plain(config.broker).strip().rstrip("/")
        return cls(port, clock, config.default_queue, base, settings, heartbeat=heartbeat)

    @property
    def beat_seconds(self) -> float:
        known = [self._timeout(queue) for queue in self._facts.copy()]
        return min(known, default=_VISIBILITY_SECONDS) / 4

    # -- sending --

    def publish_commands(self, signature: Signature) -> list[Command]:
        """Raises SignatureError with Go's texts."""
        queue, fields, _ = self._entry(signature)
        return [("SendMessage", {"MessageBody": fields.pop("MessageBody"), "QueueUrl": self._url(queue), **fields})]

    def encoded(self, signature: Signature) -> bytes:
        """The two characters of JSON that SQS does not take are escaped in it, which reads the same."""
        body = super().encoded(signature).replace(b"\xef\xbf\xbe", b"\\ufffe").replace(b"\xef\xbf\xbf", b"\\uffff")
        if len(body) > MAX_MESSAGE_BYTES:
            raise SignatureError(
                f"task {brief(signature.name)} has {len(body)} bytes, SQS takes {MAX_MESSAGE_BYTES}; "
                "store the data elsewhere and send where it is"
            )
        return body

    def _entry(self, signature: Signature) -> tuple[str, dict[str, Any], int]:
        """The queue, what a message is sent with, and the bytes of its body."""
        # Before the routing key is filled in, as in Go: a body without one goes back to the default queue of whoever
        # sends it again.
        body = self.encoded(signature)
        self.adjust_routing_key(signature)
        self._check_place(signature)
        fields: dict[str, Any] = {"MessageBody": body.decode()}
        if is_fifo(signature.routing_key):
            fields["MessageDeduplicationId"] = self._deduplication_id(signature)
            fields["MessageGroupId"] = signature.broker_message_group_id
        elif delay := self._delay(signature):
            fields["DelaySeconds"] = min(delay, MAX_DELAY_SECONDS)
        return signature.routing_key, fields, len(body)

    def check_send(self, signature: Signature) -> None:
        super().check_send(signature)
        self._check_place(signature)

    def _check_place(self, signature: Signature) -> None:
        queue = signature.routing_key or self.default_queue
        if is_fifo(queue):
            if not signature.broker_message_group_id:
                raise SignatureError(NO_GROUP)
        elif self._delay(signature) > MAX_DELAY_SECONDS and not signature.sqs_receipt_handle:
            raise SignatureError(TOO_LATE)

    def _delay(self, signature: Signature) -> int:
        """Seconds until its ETA, rounded up; 0 when it is to run at once."""
        return self._seconds(None if signature.eta is None else unix_ns(signature.eta))

    def _deduplication_id(self, signature: Signature) -> str:
        """Its UUID, as in Go; a task that was received here is sent again by an id that no other message has.

        That id is the same when the worker dies after this and the same message is taken and retried again.
        """
        name = signature.uuid
        if signature.sqs_receipt_handle:
            known = self._held.get(signature.sqs_receipt_handle)
            name += f":{known[2].message_id if known else uuid.uuid4()}"
        if len(name) > _DEDUPLICATION_ID_BYTES or not name.isascii():
            name = hashlib.sha256(name.encode()).hexdigest()
        return name

    async def publish(self, signature: Signature) -> None:
        """Raises PublishError when SQS refuses it, SignatureError for what it cannot hold."""
        try:
            await self.port.execute_many(self.publish_commands(signature))
        except SQSRefused as error:
            raise PublishError(f"task {brief(signature.name)}: {error}") from error

    async def publish_all(self, signatures: Sequence[Signature]) -> None:
        """Up to ten in a request. Raises PublishError that names each task that SQS did not take."""
        if len(signatures) == 1:
            await self.publish(signatures[0])
            return
        queues: dict[str, list[tuple[dict[str, Any], int]]] = {}
        for at, signature in enumerate(signatures):
            queue, fields, size = self._entry(signature)
            queues.setdefault(queue, []).append(({"Id": str(at), **fields}, size))
        problems: list[str] = []
        for queue, entries in queues.items():
            for batch in batches(entries):
                command = ("SendMessageBatch", {"QueueUrl": self._url(queue), "Entries": batch})
                try:
                    answer = await self.port.execute(command)
                except SQSRefused as error:
                    failed = [(entry["Id"], str(error)) for entry in batch]
                else:
                    failed = [(each["Id"], f"SQS: {reason_of(each)}") for each in answer.get("Failed", ())]
                for at, why in failed:
                    task = signatures[int(at)]
                    problems.append(f"task {brief(task.name)} ({brief(task.uuid)}): {why}")
        if problems:
            told = "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "")
            raise PublishError(f"{len(problems)} of {len(signatures)} tasks were not sent: {told}")

    # -- working --

    async def beat(self, queue: str, worker: str) -> None:
        """Keep what a worker holds invisible; the first one looks at the queue. Raises ServiceError without one."""
        if queue not in self._facts:
            await self._look_at(queue)
        if not self._heartbeat:
            return
        now = self.clock.monotonic()
        timeout = self._timeout(queue)
        due = [
            held
            for its_queue, its_worker, held in self._held.copy().values()
            if its_queue == queue and its_worker == worker and held.until - now < timeout * 0.75
        ]
        for held, problem, for_good in await self._hide(due, [timeout] * len(due)):
            # What SQS could not do just then is tried again at the next beat.
            if held.handle in self._held and (for_good or held.until <= self.clock.monotonic()):
                self._forget(held)
                log.warning("SQS gives message %s to others while it is worked on here: %s", held.message_id, problem)

    async def _look_at(self, queue: str, *, warn: bool = True) -> None:
        try:
            facts = await self._ask(queue)
        except SQSRefused as error:
            if error.code != ACCESS_DENIED:
                raise
            # Go needs no such permission. The time is then told with each request instead.
            facts = QueueFacts(visibility=0)
        else:
            if warn and not facts.dead_letters:
                log.warning(
                    "queue %r has no redrive policy: a message that can never run comes again until SQS forgets it",
                    brief(queue),
                )
        self._facts[queue] = facts

    def _timeout(self, queue: str) -> int:
        facts = self._facts.get(queue)
        # 0 is also what a queue may say, and what is not known.
        return self._visibility or (facts.visibility if facts else 0) or _VISIBILITY_SECONDS

    async def _hide(self, held: Sequence[SQSHeld], seconds: Sequence[int]) -> list[tuple[SQSHeld, str, bool]]:
        """Make messages invisible for so long; those for which that was refused, why, and whether for good."""
        commands = change_visibility(held, seconds)
        began = self.clock.monotonic()
        refused: dict[int, tuple[str, bool]] = {}
        replies = await self.port.attempt_many(commands)
        for (_, fields), reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception):
                refused |= {int(entry["Id"]): (str(reply), True) for entry in fields["Entries"]}
            else:
                failed = reply.get("Failed", ())
                refused |= {int(each["Id"]): (reason_of(each), is_for_good(each)) for each in failed}
        for at, each in enumerate(held):
            if at not in refused:
                each.until = began + seconds[at]
        return [(held[at], *problem) for at, problem in sorted(refused.items())]

    async def fetch(self, queue: str, worker: str, limit: int, wait: float) -> list[Delivery]:
        if queue not in self._facts:
            await self._look_at(queue)
        key = (queue, worker)
        if wait <= 0 and key in self._empty:
            # Asked without waiting, SQS may miss what is there, and each request is paid for: the next one waits.
            return []
        seconds = min(MAX_WAIT_SECONDS, max(self._wait, -int(-wait // 1))) if wait > 0 else 0
        visibility = self._visibility or (self._timeout(queue) if not self._facts[queue].visibility else None)
        # Of a FIFO queue SQS gives several of one group at once, which would run at once: their order would be lost.
        count = 1 if is_fifo(queue) else min(limit, BATCH)
        began = self.clock.monotonic()
        answer = await self.port.execute(receive(self._url(queue), count, seconds, visibility))
        messages = answer.get("Messages") or []
        (self._empty.discard if messages else self._empty.add)(key)
        # The time of each began when SQS answered, of which only the end is known here.
        timeout = self._timeout(queue)
        until = timeout + (self.clock.monotonic() - min(1.0, timeout / 4) if seconds else began)
        deliveries = []
        for message in messages:
            held = SQSHeld(self._url(queue), message["ReceiptHandle"], message["MessageId"], until)
            received = int((message.get("Attributes") or {}).get("ApproximateReceiveCount", 1))
            deliveries.append(Delivery(queue, message["Body"].encode(), worker, received - 1, held))
        return await self._due(deliveries)

    async def _due(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Those that may run now. The others stay invisible until they may, which for SQS is another receipt."""
        due: list[Delivery] = []
        early: list[SQSHeld] = []
        seconds: list[int] = []
        for delivery in deliveries:
            wait = self._seconds_early(delivery.body)
            if wait:
                early.append(delivery.token)
                seconds.append(min(wait, _LONGEST_HOLD))
            else:
                due.append(delivery)
        try:
            problems = await self._hide(early, seconds)
        except ServiceUnavailable as error:
            # They come again when their time is over, and are looked at again; the others must not wait for that.
            problems = [(held, str(error), False) for held in early]
        for held, problem, _ in problems:
            log.warning("message %s came before its ETA and cannot be held back: %s", held.message_id, problem)
        for delivery in due:
            self._held[delivery.token.handle] = (delivery.queue, delivery.worker, delivery.token)
        return due

    def _seconds_early(self, body: bytes) -> int:
        # Most bodies name no ETA; Go's decoder takes a key in any case.
        if _NO_ETA in body and body.lower().count(b'"eta"') == 1:
            return 0
        try:
            return self._delay(decode_signature(body))
        except WireError:
            return 0

    def received(self, delivery: Delivery, signature: Signature) -> None:
        signature.sqs_receipt_handle = delivery.token.handle

    def _forget(self, held: SQSHeld) -> None:
        self._held.pop(held.handle, None)

    async def holds(self, delivery: Delivery) -> bool:
        held: SQSHeld = delivery.token
        if held.handle in self._held and held.until > self.clock.monotonic():
            return True
        self._forget(held)
        return False

    async def settle(self, delivery: Delivery) -> bool:
        """Always True: what was done is stored, and a message that comes again for all that is not run again."""
        try:
            await self.port.execute(delete(delivery.token))
        except SQSRefused as error:
            # On a FIFO queue the right to delete it ends with its time.
            log.warning("message %s is done with, but cannot be deleted: %s", delivery.token.message_id, error)
        self._forget(delivery.token)
        return True

    async def leave(self, delivery: Delivery) -> None:
        self._forget(delivery.token)

    async def requeue(self, delivery: Delivery) -> None:
        """It comes again when its time is over, to whoever asks first."""
        self._forget(delivery.token)

    async def hand_back(self, deliveries: Sequence[Delivery]) -> None:
        held = [delivery.token for delivery in deliveries]
        for each in held:
            self._forget(each)
        # What cannot be given back now comes back when its time is over.
        await self._hide(held, [0] * len(held))

    async def bury(self, delivery: Delivery, reason: str) -> None:  # noqa: ARG002
        """SQS moves it to the dead letters when it was received often enough; until then it comes ever more rarely."""
        self._forget(delivery.token)
        pause = min(_LONGEST_BACK_OFF, self._timeout(delivery.queue) * 2 ** min(delivery.attempts, 10))
        await self._hide([delivery.token], [pause])

    async def retire(self, queue: str, worker: str) -> None:
        for its_queue, its_worker, held in self._held.copy().values():
            if (its_queue, its_worker) == (queue, worker):
                self._forget(held)
        self._empty.discard((queue, worker))

    async def check(self) -> None:
        """Whether SQS answers and knows us; the default queue need not be there for those who use others."""
        try:
            await self._ask(self.default_queue)
        except SQSRefused as error:
            if error.code not in (NO_SUCH_QUEUE, ACCESS_DENIED):
                raise
