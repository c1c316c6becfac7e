"""The life of a task on a worker, from the message to its last write, as one coroutine a message.

Go source: ``Process``, ``taskSucceeded``, ``taskFailed``, ``taskRetry``, ``retryTaskIn`` in ``v2/worker.go``.

Driven by ``worker/pump.py`` (many at a time), by the drivers in ``effects.py`` (the eager broker) and by tests.
The order of writes is Go's. Where broker and result store are one Redis, all writes that end a task are one step
together with its removal from the worker's inflight list, and happen only if the task is still there: a worker
that lost its lease writes nothing. Elsewhere the order is state, callbacks, chord, and the message is settled last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gomachinery_py import redis_scripts as lua
from gomachinery_py.backends.base import Backend, GroupSnapshot, Origin, Step
from gomachinery_py.brokers.base import Broker, Delivery
from gomachinery_py.effects import Clock, invoke, sleep, slot
from gomachinery_py.errors import (
    ArgumentError,
    MachineryError,
    RetryTaskLater,
    ServiceError,
    ServiceUnavailable,
    SignatureError,
    WireError,
    WrongKeyType,
)
from gomachinery_py.golang.time import Time
from gomachinery_py.incoming import LAST_ETA_NS, MAX_RETRY_TIMEOUT, brief, error_text, reject_reason
from gomachinery_py.observing import Observers
from gomachinery_py.producer import Producer
from gomachinery_py.runs import Handlers, Outcome, RunnableTask, fibonacci_next, guarded, with_error, with_results
from gomachinery_py.wire import decode_signature, encode_signature
from gomachinery_py.wire.model import (
    FAILURE,
    PENDING,
    RECEIVED,
    RETRY,
    STARTED,
    SUCCESS,
    Signature,
    TaskResult,
)

__all__ = ["Engine"]

log = logging.getLogger(__name__)

# While a Go worker holds TriggerChordMutex; one left by a crash expires after 8 s.
_CHORD_WAIT_SECONDS = 10.0
_CHORD_LOOK_AGAIN_SECONDS = 0.02

_RECEIVED: tuple[Step, ...] = ((RECEIVED, None, ""),)
_RECEIVED_AND_STARTED: tuple[Step, ...] = (*_RECEIVED, (STARTED, None, ""))
_RETRY: tuple[Step, ...] = ((RETRY, None, ""),)
# Where no state is written.
_UNKNOWN = Origin()


class Engine:
    """Runs messages of one broker against one result store."""

    def __init__(
        self,
        producer: Producer,
        tasks: Mapping[str, RunnableTask],
        clock: Clock,
        handlers: Handlers | None = None,
    ) -> None:
        self.producer = producer
        self.broker: Broker = producer.broker
        self.backend: Backend = producer.backend
        self.tasks = tasks
        self.clock = clock
        self.handlers = handlers or Handlers()
        #: The queues that are known here; none of them may be a task's UUID. A worker adds its own.
        self.queues = self.broker.own_queues
        self._keys = frozenset(self.broker.reserved_names()) - self.queues
        #: Why a signature must not be run, or None; a task that is not registered here is for others to judge.
        self.verify: Callable[[Signature], str | None] | None = None
        self.observers = Observers()
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
            await self._bury(delivery, f"cannot be decoded: {error}")
            return
        self.broker.received(delivery, signature)
        task = self.tasks.get(signature.name)
        reason = reject_reason(signature, delivery.body, self._is_reserved, self.queues, is_ours=task is not None)
        if reason is None and task is not None and self.verify is not None:
            reason = self.verify(signature)
        if reason is not None:
            await self._bury(delivery, reason)
            return
        if task is None:
            await self._unregistered(delivery, signature)
            return
        self.on_seen(delivery, True)
        try:
            await self._run(delivery, signature, task)
        except WrongKeyType as error:
            await self._bury(delivery, str(error))

    async def _run(self, delivery: Delivery, signature: Signature, task: RunnableTask) -> None:
        # Where a state can be read only once, looking costs more than it tells of a first delivery.
        looks = delivery.attempts or not self.backend.reads_once
        origin = await self.backend.origin(signature.uuid) if looks else Origin()
        if delivery.attempts and self._is_half_done(signature, origin):
            await self._finish_again(delivery, signature, origin)
            return
        try:
            call = task.prepare(signature)
        except ArgumentError as error:
            await self._failed(delivery, signature, origin, error, before=_RECEIVED)
            return
        await slot()
        if not await self._begin(delivery, signature, origin):
            return
        call = self._with_pre_task(call, task, signature)
        call = self.observers.watched(call, signature, delivery.queue, is_async=task.is_async)
        outcome: Outcome = await invoke(call, is_async=task.is_async)
        await self._finish(delivery, signature, origin, outcome)
        if self.handlers.post_task is not None:
            await invoke(guarded(self.handlers.post_task, signature), holds_slot=False)

    async def _begin(self, delivery: Delivery, signature: Signature, origin: Origin) -> bool:
        if _has_chord(signature) and self.producer.fused:
            held = await self._begin_member(delivery, signature.uuid, origin)
        elif self.producer.fused:
            held = await self._store(delivery, signature, origin, _RECEIVED_AND_STARTED, settle=False)
        else:
            held = await self.broker.holds(delivery) and await self._commit(
                delivery, signature, origin, _RECEIVED_AND_STARTED, (), settle=False
            )
        if held:
            return True
        log.warning("task %s was taken over by another worker before it began here", brief(signature.uuid))
        return False

    async def _begin_member(self, delivery: Delivery, uuid: str, origin: Origin) -> bool:
        """Only over the state that was read: a member is still held after its SUCCESS.

        A request that was given up and sent again, and arrives after all, must not write over that.
        """
        commands = self.backend.next_commands(uuid, origin, _RECEIVED_AND_STARTED)
        while True:
            absent = [uuid] if origin.raw is None else []
            equals = [] if origin.raw is None else [(uuid, origin.raw)]
            command = self.broker.transact(delivery, commands, remove=False, absent=absent, equals=equals)
            reply = await self.broker.port.execute(command)
            if reply not in (lua.LOCKED, lua.CHANGED):
                return bool(reply == lua.DONE)
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
                brief(error_text(error)),
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
        has_chord = _has_chord(signature)
        steps: Sequence[Step] = () if again else ((SUCCESS, results, ""),)
        late: Sequence[Signature] = ()
        try:
            if not signature.on_success and not has_chord and self.producer.fused and not again:
                held = await self._store(delivery, signature, origin, steps, settle=True)
            else:
                callbacks = [
                    callback if signature.immutable else with_results(callback, results)
                    for callback in signature.on_success or ()
                ]
                # What can be one step with the end of the message is: a crash before it then sends no callback twice.
                if has_chord and self.producer.fused:
                    late, callbacks = await self._sendable(delivery, callbacks), []
                held = await self._commit(delivery, signature, origin, steps, callbacks, settle=not has_chord)
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
        if has_chord and self.backend.collects:
            await self._chord_collected(delivery, signature)
        elif has_chord:
            await self._chord(delivery, signature, late)

    async def _retry(self, delivery: Delivery, signature: Signature, origin: Origin, delay_ns: int) -> None:
        signature.eta = Time.from_unix_ns(self.clock.unix_ns() + delay_ns)
        if await self._commit(delivery, signature, origin, _RETRY, [signature], settle=True, checked=True):
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
        callbacks = [with_error(callback, text) for callback in signature.on_error or ()]
        steps = () if again else (*before, (FAILURE, None, text))
        stays = signature.stop_task_deletion_on_error and self.broker.is_sqs
        held = await self._commit(delivery, signature, origin, steps, callbacks, settle=not stays)
        if stays:
            await self.broker.leave(delivery)
        if held and not again:
            self.observers.ended(signature, delivery.queue, "FAILURE")
            log.error("task %s (%s) failed: %s", brief(signature.uuid), brief(signature.name), brief(text))
            if self.handlers.error is not None:
                await invoke(guarded(self.handlers.error, error), holds_slot=False)

    def _is_half_done(self, signature: Signature, origin: Origin) -> bool:
        """Whether a worker may have died after it had stored the outcome, and before the end of the message.

        Where both are one step, only a chord's member can be between them. Otherwise the state is that of another
        message with the same UUID, such as an earlier run of a periodic task.
        """
        if self.producer.fused:
            return origin.state == SUCCESS and _has_chord(signature)
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
            await self._bury(delivery, f"task {brief(signature.name)!r} {hopeless}")
            return
        await self.broker.requeue(delivery)
        self.on_seen(delivery, False)

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        reason = brief(reason, 300)
        log.error(
            "message of %d bytes on %r is kept as a dead letter: %s", len(delivery.body), brief(delivery.queue), reason
        )
        await self.broker.bury(delivery, reason)
        self.observers.buried(delivery.queue)

    # -- chords --

    async def _chord(self, delivery: Delivery, signature: Signature, late: Sequence[Signature]) -> None:
        """Fire the callback if this was the group's last member, send ``late`` ones, and settle the message.

        A chord that can never fire leaves this member among the dead letters, although its function has run.
        """
        problem = ""
        try:
            snapshot = await self.backend.group(signature.group_uuid, signature.group_task_count)
        except (WireError, ServiceError) as error:
            snapshot, problem = None, f"cannot be read: {brief(str(error))}"
        if snapshot is None:
            problem = problem or "is not in the result store"
        elif snapshot.meta.group_uuid != signature.group_uuid:
            problem = "is another one in the result store"
        elif not snapshot.meta.chord_triggered and None in snapshot.states:
            problem = "lacks the state of a member"
        if problem and not self.backend.is_null:
            group = brief(signature.group_uuid)
            await self._commit(delivery, signature, _UNKNOWN, (), late, settle=False, checked=True)
            await self._bury(delivery, f"it has run, but its chord cannot fire: group {group} {problem}")
            return
        triggered = snapshot is not None and snapshot.meta.chord_triggered
        died_between = triggered and await self._callback_may_be_missing(delivery, signature)
        if snapshot is None or snapshot.completed != signature.group_task_count or (triggered and not died_between):
            await self._commit(delivery, signature, _UNKNOWN, (), late, settle=True, checked=True)
            return
        callback = self._chord_callback(signature, snapshot)
        sends = [] if callback is None else await self._sendable(delivery, [callback])
        if self.producer.fused:
            await self._trigger_fused(delivery, signature, snapshot, sends, late)
            return
        if died_between or await self.backend.trigger_chord(snapshot):
            for send in sends:
                await self.producer.send_task(send)
        await self.broker.settle(delivery)

    async def _chord_collected(self, delivery: Delivery, signature: Signature) -> None:
        """The same where members' states are collected: they stay held until the callback is on its way."""
        claim = await self.backend.claim_group(signature.group_uuid, signature.group_task_count)
        if claim is not None:
            fired = False
            try:
                callback = self._chord_callback(signature, claim.snapshot)
                begun = delivery.attempts and not await self._callback_may_be_missing(delivery, signature)
                for send in [] if callback is None or begun else await self._sendable(delivery, [callback]):
                    await self.producer.send_task(send)
                fired = True
            finally:
                await self.backend.release_group(claim, fired=fired)
        await self.broker.settle(delivery)

    async def _callback_may_be_missing(self, delivery: Delivery, signature: Signature) -> bool:
        """Whether a worker died after it had marked the chord and before its callback was surely published.

        Where both are one step that cannot be. Elsewhere the callback is sent again unless it has begun.
        """
        if self.producer.fused or not delivery.attempts or signature.chord_callback is None:
            return False
        callback = await self.backend.origin(signature.chord_callback.uuid)
        return callback.state in ("", PENDING)

    async def _trigger_fused(
        self,
        delivery: Delivery,
        signature: Signature,
        snapshot: GroupSnapshot,
        sends: Sequence[Signature],
        late: Sequence[Signature],
    ) -> None:
        absent, equals = self.backend.trigger_guards(snapshot)
        commands = self.backend.trigger_commands(snapshot)
        for send in (*late, *sends):
            commands += self.producer.commands(send)
        deadline = self.clock.monotonic() + _CHORD_WAIT_SECONDS
        while True:
            reply = await self.broker.port.execute(
                self.broker.transact(delivery, commands, absent=absent, equals=equals)
            )
            if reply in (lua.CHANGED, lua.FOREIGN):
                await self._commit(delivery, signature, _UNKNOWN, (), late, settle=True, checked=True)
            if reply != lua.LOCKED:
                return
            if self.clock.monotonic() > deadline:
                absent = []
            await sleep(_CHORD_LOOK_AGAIN_SECONDS)

    def _chord_callback(self, signature: Signature, snapshot: GroupSnapshot) -> Signature | None:
        """The callback with every member's results; None when a member failed, which never fires a chord."""
        callback = signature.chord_callback
        results: list[TaskResult] = []
        for state in snapshot.states:
            if state is None or not state.is_success:
                return None
            results.extend(state.results or ())
        if callback is None or callback.immutable:
            return callback
        return with_results(callback, results)

    # -- writing --

    async def _commit(
        self,
        delivery: Delivery,
        task: Signature,
        origin: Origin,
        steps: Sequence[Step],
        sends: Sequence[Signature],
        *,
        settle: bool,
        checked: bool = False,
    ) -> bool:
        """Store states of a task, send tasks, settle; False when this worker no longer holds the message."""
        if sends and not checked:
            sends = await self._sendable(delivery, sends)
        if self.producer.fused:
            commands = self.backend.next_commands(task.uuid, origin, steps)
            for send in sends:
                commands += self.producer.commands(self.producer.prepare(send))
            if not commands and not settle:
                return True
            return _was_done(await self.broker.port.execute(self.broker.transact(delivery, commands, remove=settle)))
        states = [
            self.backend.next_state(task.uuid, state, origin, results=results, error=error)
            for state, results, error in steps
        ]
        await self.backend.store_all(states, task)
        for send in sends:
            await self.producer.send_task(send)
        if settle:
            return await self.broker.settle(delivery)
        return True

    async def _store(
        self, delivery: Delivery, task: Signature, origin: Origin, steps: Sequence[Step], *, settle: bool
    ) -> bool:
        """:meth:`_commit` of states alone where that is one step."""
        commands = self.backend.next_commands(task.uuid, origin, steps)
        return _was_done(await self.broker.port.execute(self.broker.transact(delivery, commands, remove=settle)))

    async def _sendable(self, delivery: Delivery, sends: Sequence[Signature]) -> list[Signature]:
        """The callbacks that may be sent; the others are kept among the dead letters."""
        good = []
        for send in sends:
            try:
                self.producer.prepare(send)
                body = encode_signature(send)
                reason = reject_reason(send, body, self._is_reserved, self.queues)
                if reason is None and not self.backend.reads_once:
                    await self.backend.origin(send.uuid)
                if reason is None:
                    self.broker.check_send(send)
                    await self.broker.check_queue(send.routing_key)
            except ServiceUnavailable:
                raise
            except (WireError, WrongKeyType, SignatureError) as error:
                reason = str(error)
            if reason is None:
                good.append(send)
                continue
            log.error("callback %s (%s) cannot be sent: %s", brief(send.uuid), brief(send.name), brief(reason))
            try:
                await self.broker.bury_body(delivery.queue, encode_signature(send), reason)
            except (WireError, NotImplementedError) as error:
                log.error("and it cannot be kept: %s", brief(str(error)))
        return good

    def _is_reserved(self, name: str) -> bool:
        return name in self._keys or self.backend.is_reserved(name)

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


def _was_done(reply: object) -> bool:
    """Whether a transaction took place; False when this worker no longer holds the message."""
    if reply == lua.FOREIGN:
        raise WrongKeyType("a key or queue that it would write to holds something that is not Machinery's")
    return bool(reply == lua.DONE)


def _too_late(signature: Signature) -> None:
    log.warning("the result of task %s came too late: another worker has it", brief(signature.uuid))


def _has_chord(signature: Signature) -> bool:
    return signature.group_uuid != "" and signature.chord_callback is not None
