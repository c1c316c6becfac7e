"""The life of a task on a worker, from the message to its last write, as one coroutine a message.

Go source: ``Process``, ``taskSucceeded``, ``taskFailed``, ``taskRetry``, ``retryTaskIn`` in ``v2/worker.go``.

Driven by ``worker/pump.py`` (many at a time), by the drivers in ``effects.py`` (the eager broker) and by tests.
The order of writes is Go's. Where broker and result store are one Redis, all writes that end a task are one step
together with its removal from the worker's inflight list, and happen only if the task is still there: a worker
that lost its lease writes nothing. Elsewhere the order is state, callbacks, chord, and the message is settled last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.base import Backend, Origin, Step
from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.chords import Chords, has_chord
from gomachinery_py.effects import Clock, alone, invoke, slot
from gomachinery_py.errors import (
    ArgumentError,
    MachineryError,
    RetryTaskLater,
    ServiceError,
    SignatureError,
    WireError,
    WrongKeyType,
)
from gomachinery_py.golang.time import Time
from gomachinery_py.incoming import (
    LAST_ETA_NS,
    MAX_BODY_BYTES,
    MAX_RETRY_TIMEOUT,
    brief,
    brief_failure,
    error_text,
    reject_reason,
    shortened,
)
from gomachinery_py.logs import about
from gomachinery_py.observing import Observers
from gomachinery_py.producer import Producer
from gomachinery_py.runs import (
    REVOKED,
    Handlers,
    Outcome,
    RunnableTask,
    fibonacci_next,
    guarded,
    with_error,
    with_results,
)
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.model import (
    FAILURE,
    RECEIVED,
    RETRY,
    STARTED,
    SUCCESS,
    Signature,
    TaskResult,
)
from gomachinery_py.wire.states import StateText
from gomachinery_py.writes import Writes

__all__ = ["Engine"]

log = logging.getLogger(__name__)

_RECEIVED: tuple[Step, ...] = ((RECEIVED, None, ""),)
_RECEIVED_AND_STARTED: tuple[Step, ...] = (*_RECEIVED, (STARTED, None, ""))
_RETRY: tuple[Step, ...] = ((RETRY, None, ""),)
_REVOKED: tuple[Step, ...] = ((FAILURE, None, REVOKED),)


class Engine:
    """Runs messages of one broker against one result store."""

    def __init__(
        self,
        producer: Producer,
        tasks: Mapping[str, RunnableTask],
        clock: Clock,
        handlers: Handlers | None = None,
        observers: Observers | None = None,
    ) -> None:
        self.producer = producer
        self.broker: Broker = producer.broker
        self.backend: Backend = producer.backend
        self.tasks = tasks
        self.clock = clock
        self.handlers = handlers or Handlers()
        self.observers = Observers() if observers is None else observers
        self.writes = Writes(producer, self.observers)
        self.chords = Chords(self.writes, clock)
        #: UUIDs of tasks that are not begun any more.
        self.revoked: Collection[str] = ()
        #: Why a signature must not be run, or None; a task that is not registered here is for others to judge.
        self.verify: Callable[[Signature], str | None] | None = None
        #: Told of each message: True when its task is registered here, False when it was given back.
        self.on_seen: Callable[[Delivery, bool], object] = lambda _delivery, _registered: None
        #: Asked of each message whose task is not registered here: why it shall not go back once more, or None.
        self.gives_up: Callable[[Delivery], str | None] = lambda _delivery: None

    # -- one message --

    async def process(self, delivery: Delivery) -> None:
        """Everything that happens to one message."""
        try:
            signature = decode_signature(delivery.body)
        except WireError as error:
            await self.writes.bury(delivery, f"cannot be decoded: {error}")
            return
        signature.taken_from = delivery.queue
        self.broker.received(delivery, signature)
        task = self.tasks.get(signature.name)
        is_reserved, queues = self.writes.is_reserved, self.writes.queues
        reason = reject_reason(signature, delivery.body, is_reserved, queues, is_ours=task is not None)
        if reason is None and task is not None and self.verify is not None:
            reason = self.verify(signature)
        if reason is not None:
            await self.writes.bury(delivery, reason, signature)
            return
        if task is None:
            await self._unregistered(delivery, signature)
            return
        self.on_seen(delivery, True)
        try:
            if self._begins_at_once(delivery, signature):
                await self._run_at_once(delivery, signature, task)
            else:
                await self._run(delivery, signature, task)
        except WrongKeyType as error:
            await self.writes.bury(delivery, str(error), signature)

    async def _run(self, delivery: Delivery, signature: Signature, task: RunnableTask) -> None:
        # Where a state can be read only once, looking costs more than it tells of a first delivery.
        looks = delivery.attempts or not self.backend.reads_once
        origin = await self.backend.origin(signature.uuid) if looks else Origin()
        if delivery.attempts and self._is_half_done(signature, origin):
            await self._finish_again(delivery, signature, origin)
            return
        if self.revoked and signature.uuid in self.revoked:
            await self._revoked(delivery, signature, origin)
            return
        try:
            call = task.prepare(signature)
        except ArgumentError as error:
            await self._failed(delivery, signature, origin, error, before=_RECEIVED)
            return
        if not (delivery.attempts and self.broker.is_suspect(delivery)):
            await slot()
            await self._run_over(delivery, signature, task, call, origin)
            return
        await alone()
        if await self.broker.set_apart(delivery):
            log.warning(
                "task %s (%s) was running when %d workers died: here it runs alone, until it has ended",
                brief(signature.uuid),
                brief(signature.name),
                delivery.attempts,
                extra=about(signature),
            )
            # Whoever is alone stays alone until its end is stored.
            await self._run_over(delivery, signature, task, call, origin, holds_slot=False)
        else:
            _taken_over(signature)

    async def _run_over(
        self,
        delivery: Delivery,
        signature: Signature,
        task: RunnableTask,
        call: Callable[[], Any],
        origin: Origin,
        *,
        holds_slot: bool = True,
    ) -> None:
        """Begin, call and finish over what is stored."""
        if not await self._begin(delivery, signature, origin):
            return
        call = self._watched(delivery, signature, task, call)
        outcome: Outcome = await invoke(call, is_async=task.is_async, holds_slot=holds_slot, kind=signature.name)
        await self._finish(delivery, signature, origin, outcome)
        await self._after(signature)

    def _begins_at_once(self, delivery: Delivery, signature: Signature) -> bool:
        """Whether its first states may be stored before anybody has looked at what is stored."""
        is_plain = self.producer.fused and self.backend.merges and not delivery.attempts and not has_chord(signature)
        return is_plain and signature.uuid not in self.revoked

    async def _run_at_once(self, delivery: Delivery, signature: Signature, task: RunnableTask) -> None:
        """:meth:`_run` without a look at what is stored, for as long as nothing is out of the ordinary.

        Every reply that is not the usual one leads to the way that knows them all.
        """
        uuid, seconds, port = signature.uuid, self.backend.results_expire_in, self.broker.port
        head = StateText.head(uuid, signature.name)
        try:
            call = None if head is None else task.prepare(signature)
        except ArgumentError:
            call = None
        if head is None or call is None:
            await self._run(delivery, signature, task)
            return
        await slot()
        reply = await port.execute(self.broker.begin(delivery, uuid, seconds, head))
        if type(reply) is not bytes:
            await self._run_over(delivery, signature, task, call, await self.backend.origin(uuid))
            return
        text = StateText.between(head, STARTED, reply)
        call = self._watched(delivery, signature, task, call)
        outcome: Outcome = await invoke(call, is_async=task.is_async, kind=signature.name)
        reply = None
        if outcome.error is None and not signature.on_success:
            try:
                document = text.document(SUCCESS, outcome.results)
                if len(document) <= MAX_BODY_BYTES:
                    reply = await port.execute(self.broker.end(delivery, uuid, seconds, document))
            except (WireError, ServiceError):
                pass
        if reply == tx.DONE:
            self.observers.ended(signature, delivery.queue, "SUCCESS")
        else:
            await self._finish(delivery, signature, Origin(state=STARTED, text=text), outcome)
        await self._after(signature)

    def _watched(
        self, delivery: Delivery, signature: Signature, task: RunnableTask, call: Callable[[], Any]
    ) -> Callable[[], Any]:
        call = self._with_pre_task(call, task, signature)
        return self.observers.watched(call, signature, delivery.queue, is_async=task.is_async)

    async def _after(self, signature: Signature) -> None:
        if self.handlers.post_task is not None:
            await invoke(guarded(self.handlers.post_task, signature), holds_slot=False)

    async def _begin(self, delivery: Delivery, signature: Signature, origin: Origin) -> bool:
        if has_chord(signature) and self.producer.fused:
            held = await self._begin_member(delivery, signature.uuid, origin)
        elif self.producer.fused:
            held = await self.writes.store(delivery, signature, origin, _RECEIVED_AND_STARTED, settle=False)
        else:
            held = await self.broker.holds(delivery) and await self.writes.commit(
                delivery, signature, origin, _RECEIVED_AND_STARTED, (), settle=False
            )
        if held:
            return True
        _taken_over(signature)
        return False

    async def _begin_member(self, delivery: Delivery, uuid: str, origin: Origin) -> bool:
        """Only over the state that was read: a member is still held after its SUCCESS.

        A request that was given up and sent again, and arrives after all, must not write over that.
        """
        while True:
            # Over the end of a first run, whose message was there twice, nothing is written: it could come once more,
            # late, and find the very same bytes again as the end of the second.
            steps = () if origin.state == SUCCESS else _RECEIVED_AND_STARTED
            commands = self.backend.next_commands(uuid, origin, steps)
            absent = [uuid] if origin.raw is None else []
            equals = [] if origin.raw is None else [(uuid, origin.raw)]
            command = self.broker.transact(delivery, commands, remove=False, absent=absent, equals=equals)
            reply = await self.broker.port.execute(command)
            if reply not in (tx.LOCKED, tx.CHANGED):
                return bool(reply == tx.DONE)
            origin = await self.backend.origin(uuid)

    async def _finish(self, delivery: Delivery, signature: Signature, origin: Origin, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            await self._succeeded(delivery, signature, origin, outcome.results)
        elif isinstance(error, RetryTaskLater) and self._can_wait(error):
            await self._retry(delivery, signature, origin, error.delay_ns)
        elif signature.retry_count > 0:
            signature.retry_count -= 1
            signature.retry_timeout = min(fibonacci_next(signature.retry_timeout), MAX_RETRY_TIMEOUT)
            log.warning(
                "task %s (%s) failed, next try in %d s: %s",
                brief(signature.uuid),
                brief(signature.name),
                signature.retry_timeout,
                brief_failure(error),
                extra=about(signature),
            )
            await self._retry(delivery, signature, origin, signature.retry_timeout * 1_000_000_000)
        else:
            await self._failed(delivery, signature, origin, error)

    def _can_wait(self, error: RetryTaskLater) -> bool:
        """Whether the wanted delay ends at a time that can be written; otherwise it is an error like any other."""
        delay_ns = getattr(error, "delay_ns", None)
        return isinstance(delay_ns, int) and 0 <= self.clock.unix_ns() + delay_ns <= LAST_ETA_NS

    # -- endings --

    async def _succeeded(
        self,
        delivery: Delivery,
        signature: Signature,
        origin: Origin,
        results: list[TaskResult],
        *,
        again: bool = False,
    ) -> None:
        is_member = has_chord(signature)
        steps: Sequence[Step] = () if again else ((SUCCESS, results, ""),)
        late: Sequence[Signature] = ()
        try:
            if not signature.on_success and not is_member and self.producer.fused and not again:
                held = await self.writes.store(delivery, signature, origin, steps, settle=True)
            else:
                callbacks = [
                    callback if signature.immutable else with_results(callback, results)
                    for callback in signature.on_success or ()
                ]
                # What can be one step with the end of the message is: a crash before it then sends no callback twice.
                if is_member and self.producer.fused:
                    late, callbacks = await self.writes.sendable(delivery, callbacks), []
                held = await self.writes.commit(delivery, signature, origin, steps, callbacks, settle=not is_member)
        except ServiceError as refused:
            if again or isinstance(refused, WrongKeyType):
                raise
            # For good, unlike a store that is away: to try again would never end.
            await self._failed(delivery, signature, origin, MachineryError(f"its result cannot be stored: {refused}"))
            return
        if not held:
            _too_late(signature)
            return
        self.observers.ended(signature, delivery.queue, "SUCCESS")
        if is_member and self.backend.collects:
            await self.chords.collected(delivery, signature)
        elif is_member:
            await self.chords.member_done(delivery, signature, late)

    async def _retry(self, delivery: Delivery, signature: Signature, origin: Origin, delay_ns: int) -> None:
        signature.eta = Time.from_unix_ns(self.clock.unix_ns() + delay_ns)
        try:
            held = await self.writes.commit(delivery, signature, origin, _RETRY, [signature], settle=True, checked=True)
        except SignatureError as refused:
            # For good: the service cannot delay it for so long, or it has become too large.
            await self._failed(delivery, signature, origin, MachineryError(f"it cannot be tried again: {refused}"))
            return
        if held:
            self.observers.ended(signature, delivery.queue, "RETRY")

    async def _failed(
        self,
        delivery: Delivery,
        signature: Signature,
        origin: Origin,
        error: BaseException,
        before: Sequence[Step] = (),
        *,
        again: bool = False,
    ) -> None:
        text = error_text(error)
        stays = signature.stop_task_deletion_on_error and self.broker.is_sqs
        while True:
            callbacks = [with_error(callback, text) for callback in signature.on_error or ()]
            steps = () if again else (*before, (FAILURE, None, text))
            try:
                held = await self.writes.commit(delivery, signature, origin, steps, callbacks, settle=not stays)
                break
            except ServiceError as refused:
                # An item of DynamoDB has 400 KB at most, one of memcached 1 MiB.
                if again or isinstance(refused, WrongKeyType) or (shorter := shortened(text, str(refused))) is None:
                    raise
                text = shorter
        if stays:
            await self.broker.leave(delivery)
        if held and not again:
            self.observers.ended(signature, delivery.queue, "FAILURE", text)
            log.error(
                "task %s (%s) failed: %s",
                brief(signature.uuid),
                brief(signature.name),
                brief_failure(error),
                extra=about(signature),
            )
            if self.handlers.error is not None:
                await invoke(guarded(self.handlers.error, error), holds_slot=False)

    async def _revoked(self, delivery: Delivery, signature: Signature, origin: Origin) -> None:
        """Go knows no state for it but FAILURE. OnError callbacks are not sent: nothing has gone wrong."""
        if await self.writes.commit(delivery, signature, origin, _REVOKED, (), settle=True):
            self.observers.ended(signature, delivery.queue, "FAILURE")
            uuid, name = brief(signature.uuid), brief(signature.name)
            log.warning("task %s (%s) was revoked and is not run", uuid, name, extra=about(signature))

    def _is_half_done(self, signature: Signature, origin: Origin) -> bool:
        """Whether a worker may have died after it had stored the outcome, and before the end of the message.

        Where both are one step, only a chord's member can be between them. Otherwise the state is that of another
        message with the same UUID, such as an earlier run of a periodic task.
        """
        if self.producer.fused:
            return origin.state == SUCCESS and has_chord(signature)
        stays = signature.stop_task_deletion_on_error and self.broker.is_sqs
        return origin.state == SUCCESS or (origin.state == FAILURE and not stays)

    async def _finish_again(self, delivery: Delivery, signature: Signature, origin: Origin) -> None:
        """A worker died after it had stored the outcome: the function does not run again, the rest does."""
        if origin.state == SUCCESS:
            await self._succeeded(delivery, signature, origin, list(origin.results), again=True)
        else:
            state = await self.backend.peek_state(signature.uuid)
            error = MachineryError(state.error if state else "")
            await self._failed(delivery, signature, origin, error, again=True)

    async def _unregistered(self, delivery: Delivery, signature: Signature) -> None:
        if signature.ignore_when_task_not_registered:
            await self.broker.drop(delivery)
            return
        hopeless = self.gives_up(delivery)
        if hopeless is not None:
            await self.writes.bury(delivery, f"task {brief(signature.name)!r} {hopeless}", signature)
            return
        await self.broker.requeue(delivery)
        self.on_seen(delivery, False)

    def _with_pre_task(self, call: Callable[[], Any], task: RunnableTask, signature: Signature) -> Callable[[], Any]:
        handler = self.handlers.pre_task
        if handler is None:
            return call
        before = guarded(handler, signature)
        if not task.is_async:
            return lambda: (before(), call())[1]

        async def both() -> Any:
            before()
            return await call()

        return both


def _taken_over(signature: Signature) -> None:
    log.warning(
        "task %s was taken over by another worker before it began here", brief(signature.uuid), extra=about(signature)
    )


def _too_late(signature: Signature) -> None:
    log.warning(
        "the result of task %s came too late: another worker has it", brief(signature.uuid), extra=about(signature)
    )
