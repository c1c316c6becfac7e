"""The base of the stores that keep one JSON document a key: Redis, memcache, eager.

What differs is only how a key is read and written; the documents are the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from gomachinery_py.backends.base import Backend, GroupSnapshot, Kept, Origin, Step
from gomachinery_py.effects import Command
from gomachinery_py.errors import ServiceError, WireError, WrongKeyType
from gomachinery_py.incoming import brief
from gomachinery_py.wire import (
    decode_group_meta,
    decode_task_state,
    encode_group_meta,
    encode_task_state,
)
from gomachinery_py.wire.model import GroupMeta, TaskState
from gomachinery_py.wire.states import StateText

__all__ = ["KeyValueBackend", "document_of", "read_kept"]

_NOTHING = Origin()


class KeyValueBackend(Backend):
    """States and groups as JSON under their UUIDs."""

    @abstractmethod
    def read_command(self, key: str) -> Command:
        """Read one value; the reply is bytes or None."""

    @abstractmethod
    def write_command(self, key: str, value: bytes) -> Command:
        """Write one value that expires with the results."""

    @abstractmethod
    def delete_command(self, key: str) -> Command:
        """Forget one value."""

    def state_commands(self, state: TaskState) -> list[Command]:
        return [self.write_command(state.task_uuid, encode_task_state(state))]

    def group_commands(self, meta: GroupMeta) -> list[Command]:
        return [self.write_command(meta.group_uuid, encode_group_meta(meta))]

    async def origin(self, uuid: str) -> Origin:
        try:
            value = await self.port.execute(self.read_command(uuid))
        except ServiceError as error:
            raise WrongKeyType(f"the key {brief(uuid)!r} cannot be a task's state: {error}") from error
        if value is None:
            return _NOTHING
        text = StateText.of(value, uuid) if self.merges else None
        if text is not None:
            return Origin(state=text.state, raw=value, text=text)
        try:
            state = decode_task_state(value)
        except WireError as error:
            raise WrongKeyType(f"the key {brief(uuid)!r} holds something that is not a task state") from error
        if state.task_uuid != uuid:
            raise WrongKeyType(f"the key {brief(uuid)!r} holds something that is not this task's state")
        return Origin(state.task_name, state.created_at, state.state, tuple(state.results or ()), value)

    def next_commands(self, uuid: str, origin: Origin, steps: Sequence[Step]) -> list[Command]:
        text = origin.text
        if text is None:
            return super().next_commands(uuid, origin, steps)
        return [self.write_command(uuid, text.document(*step)) for step in steps]

    async def get_state(self, uuid: str) -> TaskState | None:
        value = await self.port.execute(self.read_command(uuid))
        return None if value is None else decode_task_state(value)

    async def purge_state(self, uuid: str) -> None:
        await self.port.execute(self.delete_command(uuid))

    async def states(self, uuids: Sequence[str]) -> list[TaskState | None]:
        """The states of several tasks, in their order."""
        values = await self.port.execute_many([self.read_command(uuid) for uuid in uuids])
        return [None if value is None else decode_task_state(value) for value in values]

    async def group(self, group_uuid: str, task_count: int) -> GroupSnapshot | None:  # noqa: ARG002
        raw = await self.port.execute(self.read_command(group_uuid))
        if raw is None:
            return None
        meta = decode_group_meta(raw)
        return GroupSnapshot(meta, raw, await self.states(meta.task_uuids or ()))

    def triggered(self, snapshot: GroupSnapshot) -> GroupMeta:
        """The meta document of a chord that was triggered."""
        return replace(snapshot.meta, chord_triggered=True)

    async def purge_group(self, group_uuid: str) -> None:
        await self.port.execute(self.delete_command(group_uuid))

    # -- copying --

    def kept_command(self, key: str, value: bytes, seconds: float | None) -> Command:  # noqa: ARG002
        """Write a copy; ``seconds`` as in :class:`Kept`."""
        return self.write_command(key, value)

    async def kept(self, uuid: str) -> Kept | None:
        try:
            value = await self.port.execute(self.read_command(uuid))
        except ServiceError:
            # A key of another kind.
            return None
        return None if value is None else read_kept(uuid, value)

    async def keep(self, kept: Kept, *, overwrite: bool) -> bool:
        if not overwrite and await self.port.execute(self.read_command(kept.uuid)) is not None:
            return False
        await self.port.execute(self.kept_command(kept.uuid, document_of(kept), kept.seconds))
        return True


def document_of(kept: Kept) -> bytes:
    """What is stored, byte for byte where it was such a document."""
    if kept.raw is not None:
        return kept.raw
    if kept.state is not None:
        return encode_task_state(kept.state)
    return encode_group_meta(kept.meta or GroupMeta(kept.uuid))


def read_kept(uuid: str, value: bytes, seconds: float | None = None) -> Kept | None:
    """A document by what it says of itself; None for one that is neither a state nor a group of this UUID."""
    try:
        state = decode_task_state(value)
        if state.task_uuid == uuid and state.state:
            return Kept(uuid, state, None, value, seconds)
        meta = decode_group_meta(value)
    except WireError:
        return None
    return Kept(uuid, None, meta, value, seconds) if meta.group_uuid == uuid else None
