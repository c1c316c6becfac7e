"""The end of a chord: its callback is sent once, by whoever finds that every member is done.

Go source: ``taskSucceeded`` in ``v2/worker.go``; ``GroupCompleted`` and ``TriggerChord`` of the backends.
"""

from __future__ import annotations

from collections.abc import Sequence

from gomachinery_py import redis_transactions as tx
from gomachinery_py.backends.base import GroupSnapshot, Origin
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.effects import Clock, sleep
from gomachinery_py.errors import ServiceError, WireError
from gomachinery_py.incoming import brief
from gomachinery_py.runs import with_results
from gomachinery_py.wire.model import PENDING, Signature, TaskResult
from gomachinery_py.writes import Writes

__all__ = ["Chords", "has_chord"]

# While a Go worker holds TriggerChordMutex; one left by a crash expires after 8 s.
_CHORD_WAIT_SECONDS = 10.0
_CHORD_LOOK_AGAIN_SECONDS = 0.02
# No state is written here.
_NO_ORIGIN = Origin()


def has_chord(signature: Signature) -> bool:
    """Whether a task is the member of a chord."""
    return signature.group_uuid != "" and signature.chord_callback is not None


class Chords:
    """Deals with members that have succeeded."""

    def __init__(self, writes: Writes, clock: Clock) -> None:
        self.writes = writes
        self.producer = writes.producer
        self.broker = writes.broker
        self.backend = writes.backend
        self.clock = clock

    async def member_done(self, delivery: Delivery, signature: Signature, late: Sequence[Signature]) -> None:
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
            await self.writes.commit(delivery, signature, _NO_ORIGIN, (), late, settle=False, checked=True)
            reason = f"it has run, but its chord cannot fire: group {group} {problem}"
            await self.writes.bury(delivery, reason, signature)
            return
        triggered = snapshot is not None and snapshot.meta.chord_triggered
        died_between = triggered and await self._callback_may_be_missing(delivery, signature)
        if snapshot is None or snapshot.completed != signature.group_task_count or (triggered and not died_between):
            await self.writes.commit(delivery, signature, _NO_ORIGIN, (), late, settle=True, checked=True)
            return
        callback = self._callback(signature, snapshot)
        sends = [] if callback is None else await self.writes.sendable(delivery, [callback])
        if self.producer.fused:
            await self._trigger_fused(delivery, signature, snapshot, sends, late)
            return
        if died_between or await self.backend.trigger_chord(snapshot):
            for send in sends:
                await self.producer.send_task(send)
        await self.broker.settle(delivery)

    async def collected(self, delivery: Delivery, signature: Signature) -> None:
        """:meth:`member_done` where members' states are collected: they stay held until the callback is on its way."""
        claim = await self.backend.claim_group(signature.group_uuid, signature.group_task_count)
        if claim is not None:
            try:
                callback = self._callback(signature, claim.snapshot)
                begun = delivery.attempts and not await self._callback_may_be_missing(delivery, signature)
                for send in [] if callback is None or begun else await self.writes.sendable(delivery, [callback]):
                    await self.producer.send_task(send)
            except Exception:
                # Not when a worker quits and closes this coroutine: nobody would carry it out then.
                await self.backend.release_group(claim, fired=False)
                raise
            await self.backend.release_group(claim, fired=True)
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
            if reply in (tx.CHANGED, tx.FOREIGN):
                await self.writes.commit(delivery, signature, _NO_ORIGIN, (), late, settle=True, checked=True)
            if reply != tx.LOCKED:
                return
            if self.clock.monotonic() > deadline:
                absent = []
            await sleep(_CHORD_LOOK_AGAIN_SECONDS)

    def _callback(self, signature: Signature, snapshot: GroupSnapshot) -> Signature | None:
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
