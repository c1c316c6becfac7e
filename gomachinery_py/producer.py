"""Sending: what is stored, what is published, and in which order.

Go source: ``SendTask``, ``SendChain``, ``SendGroup``, ``SendChord`` in ``v2/server.go``. Signatures given to this
module are the sender's own copies; they are filled in and sent as they are. What may be sent at all is decided in
``outgoing.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from gomachinery_py.backends.base import Backend
from gomachinery_py.brokers.base import Broker
from gomachinery_py.effects import Command, Request, first_error_raised
from gomachinery_py.errors import ServiceError
from gomachinery_py.incoming import brief
from gomachinery_py.wire.model import Signature

__all__ = ["Producer", "batches", "new_task_uuid"]

T = TypeVar("T")

# So many tasks share one round trip; more would only make the server's replies wait for each other.
_BATCH = 200


def new_task_uuid() -> str:
    """Go: ``task_`` + a random UUID (RFC 9562, version 4)."""
    try:
        return _uuids.pop()
    except IndexError:
        # Asking for randomness costs more than to get much of it.
        digits = os.urandom(16 * _UUIDS_AT_A_TIME).hex()
        made = [
            f"task_{d[:8]}-{d[8:12]}-4{d[13:16]}-{_VARIANT[d[16]]}{d[17:20]}-{d[20:]}"
            for d in (digits[at : at + 32] for at in range(0, len(digits), 32))
        ]
        _uuids.extend(made[1:])
        return made[0]


_UUIDS_AT_A_TIME: Final = 64
# The two highest bits of the 17th digit are 10.
_VARIANT: Final = {digit: "89ab"[at % 4] for at, digit in enumerate("0123456789abcdef")}
# Single steps on a list are safe between threads; a forked process must not use its parent's.
_uuids: Final[list[str]] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_uuids.clear)


class Producer:
    """Sends through one broker and one result store."""

    def __init__(
        self,
        broker: Broker,
        backend: Backend,
        pre_publish: Callable[[], Callable[[Signature], object] | None] = lambda: None,
        sign: Callable[[Signature], object] | None = None,
    ) -> None:
        self.broker = broker
        self.backend = backend
        self._pre_publish = pre_publish
        self._sign = sign
        #: One Redis for both: PENDING and the push are one step.
        self.fused = broker.can_fuse(backend.port)
        broker.sees_states = self.fused

    def prepare(self, signature: Signature) -> Signature:
        """Fill what ``SendTask`` fills: a missing UUID, nil Headers."""
        if signature.uuid == "":
            signature.uuid = new_task_uuid()
        if signature.headers is None:
            signature.headers = {}
        return signature

    def commands(self, signature: Signature, *, is_new: bool = False) -> list[Command]:
        """Everything that sending one prepared task writes, in Go's order; only where :attr:`fused`."""
        pending = self.backend.state_commands(self.backend.pending_state(signature))
        self.about_to_publish(signature, is_new=is_new)
        return [*pending, *self.broker.publish_commands(signature)]

    def commands_at(self, signature: Signature, moment: datetime) -> list[Command]:
        """What stores PENDING, and what publishes a task, at another time and without the pre-publish handler."""
        pending = self.backend.pending_state(self.prepare(signature))
        pending.created_at = moment
        return [*self.backend.state_commands(pending), *self.broker.publish_commands(signature)]

    async def send_plain_tasks(self, sends: Sequence[Sequence[Command]], what: str = "") -> None:
        """Send what :meth:`commands_at` gives for some tasks, of each of which the first command stores PENDING.

        ``what`` they are, for the error.
        """
        if self.fused:
            await self.broker.port.execute_many([command for send in sends for command in send], atomic=True)
            return
        await self.backend.port.execute_many([send[0] for send in sends])
        await self._push_plain(sends, what)

    async def _push_plain(self, sends: Sequence[Sequence[Command]], what: str = "") -> None:
        pushed = [command for send in sends for command in send[1:]]
        try:
            await self.broker.port.execute_many(pushed, atomic=self.fused)
        except ServiceError as error:
            what = what or ("the task" if len(sends) == 1 else f"some of {len(sends)} tasks")
            raise self.broker.publish_error(what, error) from error

    def send_now(self, commands: Sequence[Command], task: str) -> None:
        """:meth:`send_plain_tasks` of one, on this thread and without a coroutine around it."""
        port = self.broker.port
        if self.fused:
            first_error_raised(port.send((Request(port, commands, True),))[0])
            return
        store = self.backend.port
        first_error_raised(store.send((Request(store, commands[:1]),))[0])
        try:
            first_error_raised(port.send((Request(port, commands[1:]),))[0])
        except ServiceError as error:
            raise self.broker.publish_error(f"task {brief(task)}", error) from error

    def about_to_publish(self, signature: Signature, *, is_new: bool) -> None:
        """Call the pre-publish handler (Go: ``Server.SetPreTaskHandler``), and sign what is ours."""
        handler = self._pre_publish()
        if handler is not None:
            handler(signature)
        if is_new and self._sign is not None:
            self._sign(signature)

    async def send_task(self, signature: Signature, *, is_new: bool = False) -> None:
        """PENDING, then publish (Go: ``SendTask``). ``is_new``: not a retry or callback of what others have sent."""
        self.prepare(signature)
        if self.fused:
            await self.broker.port.execute_many(self.commands(signature, is_new=is_new), atomic=True)
            return
        if is_new:
            self.broker.check_send(signature)
        await self.backend.store(self.backend.pending_state(signature))
        self.about_to_publish(signature, is_new=is_new)
        await self.broker.publish(signature)

    async def send_tasks(self, signatures: Sequence[Signature]) -> None:
        """Many independent tasks, each as :meth:`send_task` does it, in as few round trips as possible."""
        for signature in signatures:
            self.prepare(signature)
            if not self.fused or len(signatures) > _BATCH:
                self.broker.check_send(signature)
        if not self.fused:
            for some in batches(signatures):
                pending = [self.backend.pending_state(signature) for signature in some]
                await self.backend.store_pending(pending)
                for signature in some:
                    self.about_to_publish(signature, is_new=True)
                await self.broker.publish_all(some)
            return
        for batch in batches(signatures):
            commands = [command for signature in batch for command in self.commands(signature, is_new=True)]
            await self.broker.port.execute_many(commands, atomic=True)

    async def send_plain_group(self, group_uuid: str, uuids: Sequence[str], sends: Sequence[Sequence[Command]]) -> None:
        """:meth:`send_group` for members whose commands are known already, as :meth:`send_plain_tasks` takes them."""
        stored = self.backend.group_commands(self.backend.new_group(group_uuid, uuids))
        for batch in batches(sends):
            await self.backend.port.execute_many([*stored, *(send[0] for send in batch)])
            stored = []
        for batch in batches(sends):
            await self._push_plain(batch)

    async def send_group(self, group_uuid: str, members: Sequence[Signature]) -> None:
        """GroupMeta, then PENDING for every member, and only then the first publish (Go: ``SendGroup``, ``SendChord``).

        Published between, a fast Go worker would find a member without a state and stop consuming. Groups skip
        the pre-publish handler, as in Go.
        """
        for member in members:
            self.prepare(member)
            if member.chord_callback is not None and member.chord_callback.headers is None:
                member.chord_callback.headers = {}
            if self._sign is not None:
                self._sign(member)
        # Encoded first: what cannot be sent is found before anything is stored.
        published = [self.broker.publish_commands(member) for member in members] if self.fused else []
        for member in () if self.fused else members:
            self.broker.check_send(member)
        meta = self.backend.new_group(group_uuid, [member.uuid for member in members])
        group = self.backend.group_commands(meta)
        for batch in batches(members):
            await self.backend.store_pending([self.backend.pending_state(member) for member in batch], group)
            group = []
        if self.fused:
            for commands in batches(published):
                await self.broker.port.execute_many([command for some in commands for command in some], atomic=True)
        else:
            for batch in batches(members):
                await self.broker.publish_all(batch)


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at a time as share one round trip."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
