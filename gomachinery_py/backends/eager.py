"""The eager result backend: JSON documents in this process' memory.

Go source: ``v2/backends/eager/eager.go``. Nothing expires and nothing is merged, as there; Go lets every member of a
group fire its chord once the group is complete, here the first one does.
"""

from __future__ import annotations

from gomachinery_py.backends.base import GroupSnapshot
from gomachinery_py.backends.keyvalue import KeyValueBackend
from gomachinery_py.effects import Command

__all__ = ["EagerBackend"]


class EagerBackend(KeyValueBackend):
    """A dictionary behind the same interface as every other store."""

    def read_command(self, key: str) -> Command:
        return ("GET", key)

    def write_command(self, key: str, value: bytes) -> Command:
        return ("SET", key, value)

    def delete_command(self, key: str) -> Command:
        return ("DEL", key)

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        if snapshot.meta.chord_triggered:
            return False
        await self.port.execute_many(self.group_commands(self.triggered(snapshot)))
        return True
