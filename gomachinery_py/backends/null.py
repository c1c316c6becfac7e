"""The null result backend: nothing is kept.

Go source: ``v2/backends/null/null.go``. There every member of a group fires its chord; sending a chord with this
store is refused here, and a chord that a Go producer sent all the same is not fired by a worker without a store.
"""

from __future__ import annotations

from gomachinery_py.backends.base import Backend, GroupSnapshot, Origin
from gomachinery_py.effects import Command
from gomachinery_py.wire.model import GroupMeta, TaskState

__all__ = ["NullBackend"]


class NullBackend(Backend):
    """For tasks whose results nobody asks for."""

    is_null = True

    def state_commands(self, state: TaskState) -> list[Command]:  # noqa: ARG002
        return []

    async def origin(self, uuid: str) -> Origin:  # noqa: ARG002
        return Origin()

    async def get_state(self, uuid: str) -> TaskState | None:  # noqa: ARG002
        return None

    async def purge_state(self, uuid: str) -> None:
        """There is nothing to forget."""

    def group_commands(self, meta: GroupMeta) -> list[Command]:  # noqa: ARG002
        return []

    async def group(self, group_uuid: str, task_count: int) -> GroupSnapshot | None:  # noqa: ARG002
        return None

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:  # noqa: ARG002
        return False

    async def purge_group(self, group_uuid: str) -> None:
        """There is nothing to forget."""
