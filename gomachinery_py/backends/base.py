"""What every result store offers to the engine, to results and to the command line.

A backend is pure: it turns states into commands for its port and replies into states.
Go source: ``v2/backends/iface/interfaces.go``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self, TypeAlias

from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import ServiceError
from gomachinery_py.golang.time import ZERO_TIME, Time
from gomachinery_py.wire import decode_task_state
from gomachinery_py.wire.model import PENDING, GroupMeta, Signature, TaskResult, TaskState
from gomachinery_py.wire.states import StateText

__all__ = ["Backend", "GroupClaim", "GroupSnapshot", "Kept", "Origin", "Step"]


Step: TypeAlias = tuple[str, list[TaskResult] | None, str]
"""What a next state adds to what is stored: its name, results, and an error's text."""


@dataclass(slots=True)
class Origin:
    """What was stored of a task before this run: later states carry its name and creation time on.

    Where ``text`` is set, it carries these, and the fields for them are empty; see :meth:`Backend.next_state`.
    """

    task_name: str = ""
    created_at: datetime = ZERO_TIME
    state: str = ""
    results: tuple[TaskResult, ...] = ()
    #: The stored document, where it can be compared with what is stored later.
    raw: bytes | None = None
    #: The stored document, where later states are made of it as it is.
    text: StateText | None = None


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """A group as it was read: its meta document, the same as raw bytes, and its members' states in order."""

    meta: GroupMeta
    raw: bytes
    states: list[TaskState | None]

    @property
    def completed(self) -> int:
        return sum(1 for state in self.states if state is not None and state.is_completed)


@dataclass(frozen=True, slots=True)
class GroupClaim:
    """A complete group that is held by one worker alone until it is released."""

    snapshot: GroupSnapshot
    handle: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored under a UUID, to be copied to another store: a task's state, or a group.

    ``raw`` is the document where it is JSON; ``seconds`` is how long it is kept from now on, infinity for ever, None
    where the store does not tell.
    """

    uuid: str
    state: TaskState | None = None
    meta: GroupMeta | None = None
    raw: bytes | None = None
    seconds: float | None = None


class Backend(ABC):
    """Machinery's result store interface, with what a safe worker needs on top."""

    port: Port
    #: Nothing is kept (Go: the null backend).
    is_null = False
    #: A state can be read only once (Go: the AMQP backend).
    reads_once = False
    #: States after PENDING keep the stored CreatedAt and TaskName (Go: only Redis does so by reading first).
    merges = False
    #: Groups are collected by claiming them instead of being marked as triggered (AMQP).
    collects = False
    #: Bytes that a UUID may have; 0 is without a limit.
    uuid_bytes = 0
    #: UUIDs of tasks that no Python worker shall begin can be kept there; see ``revocations.py``.
    keeps_revocations = False

    def __init__(self, port: Port, clock: Clock, results_expire_in: int) -> None:
        self.port = port
        self.clock = clock
        self.results_expire_in = results_expire_in

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config) -> Self:
        """A result store with the settings of a configuration."""
        return cls(port, clock, config.results_expire_in)

    # -- states --

    def pending_state(self, signature: Signature) -> TaskState:
        """Go: ``tasks.NewPendingTaskState``."""
        return TaskState(
            signature.uuid,
            task_name=signature.name,
            state=PENDING,
            created_at=Time.from_unix_ns(self.clock.unix_ns()),
        )

    def next_state(
        self,
        uuid: str,
        state: str,
        origin: Origin,
        *,
        results: list[TaskResult] | None = None,
        error: str = "",
    ) -> TaskState:
        """The state after PENDING (Go: ``tasks.New…TaskState`` and, on Redis, ``mergeNewTaskState``)."""
        if origin.text is not None:
            stored = decode_task_state(origin.text.document(origin.state))
            origin = Origin(stored.task_name, stored.created_at)
        created_at, task_name = (origin.created_at, origin.task_name) if self.merges else (ZERO_TIME, "")
        return TaskState(uuid, task_name, state, results, error, created_at)

    @abstractmethod
    def state_commands(self, state: TaskState) -> list[Command]:
        """The commands that store a state."""

    def next_commands(self, uuid: str, origin: Origin, steps: Sequence[Step]) -> list[Command]:
        """The commands that store the states after PENDING, in order; see :meth:`next_state`."""
        return [
            command
            for state, results, error in steps
            for command in self.state_commands(self.next_state(uuid, state, origin, results=results, error=error))
        ]

    async def store(self, state: TaskState) -> None:
        """Store one state."""
        await self.port.execute_many(self.state_commands(state))

    async def store_all(self, states: Sequence[TaskState], signature: Signature | None = None) -> None:  # noqa: ARG002
        """Store states of one task in their order; ``signature`` says which group it belongs to."""
        await self.port.execute_many([command for state in states for command in self.state_commands(state)])

    async def store_pending(self, states: Sequence[TaskState], group: Sequence[Command] = ()) -> None:
        """Store the first states of several tasks, after the commands of the group that they are in."""
        await self.port.execute_many([*group, *(each for state in states for each in self.state_commands(state))])

    @abstractmethod
    async def origin(self, uuid: str) -> Origin:
        """What is stored under a task's UUID; raises WrongKeyType when that is not a task state."""

    @abstractmethod
    async def get_state(self, uuid: str) -> TaskState | None:
        """The latest state, or None when there is none (expired, or never sent)."""

    async def peek_state(self, uuid: str) -> TaskState | None:
        """Like :meth:`get_state`, but leaves the state for others where reading would take it."""
        return await self.get_state(uuid)

    async def states(self, uuids: Sequence[str]) -> list[TaskState | None]:
        """The states of several tasks, in their order."""
        return [await self.get_state(uuid) for uuid in uuids]

    @abstractmethod
    async def purge_state(self, uuid: str) -> None:
        """Forget a task's state."""

    # -- groups --

    @abstractmethod
    def group_commands(self, meta: GroupMeta) -> list[Command]:
        """The commands that store a group's meta document."""

    def new_group(self, group_uuid: str, task_uuids: Sequence[str]) -> GroupMeta:
        """Go: ``InitGroup``."""
        return GroupMeta(group_uuid, list(task_uuids), created_at=Time.from_unix_ns(self.clock.unix_ns()))

    @abstractmethod
    async def group(self, group_uuid: str, task_count: int) -> GroupSnapshot | None:
        """Everything known of a group, or None when its meta document is gone."""

    def trigger_guards(self, snapshot: GroupSnapshot) -> tuple[list[str], list[tuple[str, bytes]]]:
        """For stores whose writes can be one step with the broker's: keys that must be absent, and equal."""
        raise NotImplementedError(f"{type(self).__name__} triggers chords by itself")

    def trigger_commands(self, snapshot: GroupSnapshot) -> list[Command]:
        """The commands that mark a chord as triggered."""
        raise NotImplementedError(f"{type(self).__name__} triggers chords by itself")

    @abstractmethod
    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        """Mark a chord as triggered; True for the one caller who may send its callback."""

    async def claim_group(self, group_uuid: str, task_count: int) -> GroupClaim | None:
        """Hold a group that is complete and not yet triggered; None for everybody else. Only where :attr:`collects`."""
        raise NotImplementedError(f"{type(self).__name__} does not collect groups")

    async def release_group(self, claim: GroupClaim, *, fired: bool) -> None:
        """Let a claimed group go: for good when its callback was sent, else for the next one who claims it."""
        raise NotImplementedError(f"{type(self).__name__} does not collect groups")

    @abstractmethod
    async def purge_group(self, group_uuid: str) -> None:
        """Forget a group's meta document."""

    def is_reserved(self, name: str) -> bool:  # noqa: ARG002
        """Whether the store itself uses this name, so that no task or group may."""
        return False

    async def check(self) -> None:
        """Reach the service once; raises ServiceUnavailable naming what to do."""

    # -- copying --

    async def kept(self, uuid: str) -> Kept | None:
        """What is stored under a task's or a group's UUID; nothing is taken."""
        state = await self.peek_state(uuid)
        if state is not None:
            return Kept(uuid, state)
        if self.collects:
            # Nothing is stored of a group but its members' states.
            return None
        snapshot = await self.group(uuid, 0)
        return None if snapshot is None else Kept(uuid, meta=snapshot.meta)

    async def keep(self, kept: Kept, *, overwrite: bool) -> bool:
        """Store what another store had; False when there is something under this UUID, which stays.

        Raises ServiceError for what this store cannot keep.
        """
        if kept.meta is not None and not self.group_commands(kept.meta):
            raise ServiceError("this store keeps nothing of a group but its members' states")
        if not overwrite and await self.kept(kept.uuid) is not None:
            return False
        if kept.meta is not None:
            await self.port.execute_many(self.group_commands(kept.meta))
        if kept.state is not None:
            # Stores that update documents keep name and creation time from the first state.
            first = replace(kept.state, state=PENDING, results=None, error="")
            states = [first, kept.state] if kept.state.state != PENDING else [first]
            await self.store_all(states)
        return True

    async def uuids(self, cursor: Any = None) -> tuple[list[str], Any]:
        """A page of what is stored, perhaps with names of other things, and where the next one begins (None: no more).

        Raises NotImplementedError where the service lists nothing.
        """
        raise NotImplementedError("this store does not list what it keeps: name the UUIDs")
