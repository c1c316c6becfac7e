"""The AMQP result backend (RabbitMQ).

Go source: ``v2/backends/amqp/amqp.go``; v1 alike.

Every task has a queue named like its UUID, and every state is a message in it. Reading takes the messages away, so a
state is read once, by whoever comes first; ``peek_state`` gives them back. There is no merge: only PENDING carries the
task's name and creation time. The final states of a group's members are messages in a queue named like the group as
well, and the group is complete when it holds all of them.

Go lets every worker that finds the group complete collect it, and the second one deletes the queue under the first.
Here one worker at a time may (see ``ports/amqp_claims.py``), the states stay unacknowledged until the callback was
confirmed, and then the queue that Go only looks for, ``<group>_chord_triggered``, says that the chord has fired.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Literal, Self

from gomachinery_py.amqp_commands import (
    MAX_NAME_BYTES,
    NO_ROUTE,
    NOT_FOUND,
    PRECONDITION_FAILED,
    AMQPCommand,
    AMQPRefused,
    Int32,
    bind,
    declare_exchange,
    declare_queue,
    ensure,
    parallel,
    publish,
)
from gomachinery_py.backends.base import Backend, GroupClaim, GroupSnapshot, Origin
from gomachinery_py.config import AMQPConfig, Config
from gomachinery_py.effects import Clock, Command, Port, sleep
from gomachinery_py.errors import ConfigError, WireError, WrongKeyType
from gomachinery_py.incoming import brief
from gomachinery_py.wire import decode_task_state, encode_task_state, names
from gomachinery_py.wire.model import PENDING, GroupMeta, Signature, TaskState

__all__ = ["AMQPBackend"]

log = logging.getLogger(__name__)

_LOCK_SUFFIX: Final = "_gmpy_chord_lock"
# Milliseconds in a signed 32-bit integer; Go's own are cut off there and RabbitMQ refuses the queue.
_MOST_EXPIRE_SECONDS: Final = ((1 << 31) - 1) // 1000
_MOST_STATES: Final = 10_000
_CHANNELS: Final = 16
_LOOK_AGAIN_SECONDS: Final = 0.05


class AMQPBackend(Backend):
    """A queue for each task, and one for each group."""

    reads_once = True
    collects = True
    uuid_bytes = MAX_NAME_BYTES - len(_LOCK_SUFFIX)

    def __init__(self, port: Port, clock: Clock, results_expire_in: int, settings: AMQPConfig | None = None) -> None:
        super().__init__(port, clock, results_expire_in or names.RESULTS_EXPIRE_IN)
        self.settings = settings or AMQPConfig()
        if not 0 < self.results_expire_in <= _MOST_EXPIRE_SECONDS:
            raise ConfigError(
                f"results_expire_in is {self.results_expire_in} s; a result store on RabbitMQ keeps results "
                f"{_MOST_EXPIRE_SECONDS} s (24 days) at most"
            )
        self._told_expiry = False

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config) -> Self:
        return cls(port, clock, config.results_expire_in, config.amqp_settings)

    def is_reserved(self, name: str) -> bool:
        return name.startswith("amq.") or name.endswith((_triggered(""), _LOCK_SUFFIX))

    # -- states --

    def _declared(self, queue: str, *, answered: bool | Literal["later"] = False) -> list[Command]:
        milliseconds = Int32(self.results_expire_in * 1000)
        arguments = {"x-message-ttl": milliseconds, "x-expires": milliseconds}
        return [
            ensure(f"exchange {self.settings.exchange}", declare_exchange(self.settings)),
            declare_queue(queue, durable=False, auto_delete=True, arguments=arguments, answered=answered),
            bind(queue, queue, self.settings),
        ]

    def _published(self, queue: str, states: Sequence[TaskState]) -> list[Command]:
        return [publish(self.settings.exchange, queue, encode_task_state(state)) for state in states]

    def state_commands(self, state: TaskState) -> list[Command]:
        return [*self._declared(state.task_uuid), *self._published(state.task_uuid, [state])]

    async def store(self, state: TaskState) -> None:
        await self.store_all([state])

    async def store_pending(self, states: Sequence[TaskState], group: Sequence[Command] = ()) -> None:  # noqa: ARG002
        """Nothing is stored of a group itself."""
        series = [
            [command for state in states[first::_CHANNELS] for command in self.state_commands(state)]
            for first in range(min(_CHANNELS, len(states)))
        ]
        await self.port.execute(parallel(series))

    async def store_all(self, states: Sequence[TaskState], signature: Signature | None = None) -> None:
        """Raises WrongKeyType when the queue of that name is not a task's."""
        if not states:
            return
        await self._put(states[-1].task_uuid, states)
        if signature is None or not states[-1].is_completed:
            return
        if signature.group_uuid and signature.group_task_count > 0:
            await self._put(signature.group_uuid, states[-1:])

    async def _put(self, queue: str, states: Sequence[TaskState]) -> None:
        _check_name(queue)
        messages = self._published(queue, states)
        is_completed = states[-1].is_completed
        exchange, *declared = self._declared(queue, answered=is_completed)
        # A queue has been there since its task was sent, and binding it again costs more than all else. Declaring it
        # tells whether it is one of states, and the time that a result is kept starts with the result.
        known = self._declared(queue, answered="later" if is_completed else False)[:2]
        whole = [exchange, *declared, *messages]
        is_new = states[0].state == PENDING
        try:
            try:
                await self.port.execute_many(whole if is_new else [*known, *messages])
            except AMQPRefused as error:
                if error.code != NO_ROUTE:
                    raise
                await self.port.execute_many(whole)
        except AMQPRefused as error:
            if error.code != PRECONDITION_FAILED:
                raise
            if "'x-expires'" not in str(error) and "'x-message-ttl'" not in str(error):
                raise WrongKeyType(f"the queue {brief(queue)!r} is not one of a task's states: {error}") from error
            if not self._told_expiry:
                self._told_expiry = True
                log.warning("results_expire_in is not the same everywhere; queues keep what they were made with")
            await self.port.execute_many(messages)

    async def origin(self, uuid: str) -> Origin:
        try:
            state = await self.peek_state(uuid)
        except WireError as error:
            raise WrongKeyType(f"the queue {brief(uuid)!r} holds something that is not a task's state") from error
        if state is None:
            return Origin()
        if state.task_uuid != uuid:
            raise WrongKeyType(f"the queue {brief(uuid)!r} holds something that is not this task's state")
        return Origin(state.task_name, state.created_at, state.state, tuple(state.results or ()))

    async def get_state(self, uuid: str) -> TaskState | None:
        """The latest state; it and those before it are gone then."""
        return await self._last(("take", {"queue": uuid, "count": _MOST_STATES}))

    async def peek_state(self, uuid: str) -> TaskState | None:
        return await self._last(("browse", {"queue": uuid, "start": 0, "count": _MOST_STATES}))

    async def _last(self, command: AMQPCommand) -> TaskState | None:
        _check_name(command[1]["queue"])
        try:
            found: list[tuple[bytes, Any]] = await self.port.execute(command)
        except AMQPRefused as error:
            if error.code != NOT_FOUND:
                raise
            return None
        return decode_task_state(found[-1][0]) if found else None

    async def states(self, uuids: Sequence[str]) -> list[TaskState | None]:
        replies = await self.port.attempt_many([("take", {"queue": uuid, "count": _MOST_STATES}) for uuid in uuids])
        states: list[TaskState | None] = []
        refused: Exception | None = None
        for reply in replies:
            state = None
            if not isinstance(reply, Exception):
                try:
                    state = decode_task_state(reply[-1][0]) if reply else None
                except WireError as error:
                    refused = error
            elif not (isinstance(reply, AMQPRefused) and reply.code == NOT_FOUND):
                refused = reply
            states.append(state)
        if refused is not None and not any(states):
            # Otherwise those that were taken come first: they are nowhere else now.
            raise refused
        return states

    async def purge_state(self, uuid: str) -> None:
        _check_name(uuid)
        await self.port.execute(("queue_delete", {"queue": uuid}))

    # -- groups --

    def group_commands(self, meta: GroupMeta) -> list[Command]:
        """Go keeps nothing of a group but its members' final states."""
        _check_name(meta.group_uuid)
        return []

    async def group(self, group_uuid: str, task_count: int) -> GroupSnapshot | None:
        """What is in the group's queue, left there; in the order in which the members ended."""
        count = max(task_count, 1) * 10
        try:
            found = await self.port.execute(("browse", {"queue": group_uuid, "start": 0, "count": count}))
        except AMQPRefused as error:
            if error.code != NOT_FOUND:
                raise
            return None
        return _snapshot(group_uuid, [body for body, _ in found])

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        claim = await self.claim_group(snapshot.meta.group_uuid, len(snapshot.states))
        if claim is None:
            return False
        await self.release_group(claim, fired=True)
        return True

    async def claim_group(self, group_uuid: str, task_count: int) -> GroupClaim | None:
        _check_name(group_uuid)
        fields = {"queue": group_uuid, "lock": f"{group_uuid}{_LOCK_SUFFIX}", "at_least": task_count}
        if await self._count(_triggered(group_uuid)) is not None:
            await self.purge_group(group_uuid)
            return None
        seen = 0
        while True:
            # Counted first: most members find the group incomplete, and then nothing needs to be locked.
            waiting = await self._count(group_uuid)
            if waiting is None or waiting < task_count or waiting == seen:
                return None
            how, handle, bodies = await self.port.execute(("claim", {**fields, "limit": _MOST_STATES}))
            if how in ("missing", "short"):
                return None
            if how == "busy":
                await sleep(_LOOK_AGAIN_SECONDS)
                continue
            try:
                snapshot = _snapshot(group_uuid, bodies)
            except WireError:
                await self.port.execute(("release", {"handle": handle, "done": False}))
                raise
            if len(snapshot.states) >= task_count:
                return GroupClaim(snapshot, handle)
            # Somebody's state is there twice. One that came in meanwhile may be the last one.
            seen = len(bodies)
            await self.port.execute(("release", {"handle": handle, "done": False}))

    async def release_group(self, claim: GroupClaim, *, fired: bool) -> None:
        if fired:
            group_uuid = claim.snapshot.meta.group_uuid
            await self.port.execute_many(self._declared(_triggered(group_uuid)))
            await self.port.execute(("queue_delete", {"queue": group_uuid}))
        await self.port.execute(("release", {"handle": claim.handle, "done": fired}))

    async def _count(self, queue: str) -> int | None:
        try:
            messages, _ = await self.port.execute(("queue_declare", {"queue": queue, "passive": True}))
        except AMQPRefused as error:
            if error.code != NOT_FOUND:
                raise
            return None
        return int(messages)

    async def purge_group(self, group_uuid: str) -> None:
        await self.port.execute(("queue_delete", {"queue": group_uuid}))

    async def check(self) -> None:
        await self.port.execute(declare_exchange(self.settings))


def _triggered(group_uuid: str) -> str:
    """Go: ``amqmChordTriggeredQueue``."""
    return f"{group_uuid}_chord_triggered"


def _check_name(name: str) -> None:
    most = AMQPBackend.uuid_bytes
    if not 0 < len(name.encode()) <= most or name.startswith("amq."):
        raise WrongKeyType(f"{brief(name)!r} cannot be the name of a queue on RabbitMQ: a UUID has 1 to {most} bytes")


def _snapshot(group_uuid: str, bodies: Sequence[bytes]) -> GroupSnapshot:
    """The members' states, each once: one that was stored again after a crash is there twice."""
    states: dict[str, TaskState | None] = {}
    for body in bodies:
        state = decode_task_state(body)
        states.setdefault(state.task_uuid, state)
    return GroupSnapshot(GroupMeta(group_uuid, list(states)), b"", list(states.values()))
