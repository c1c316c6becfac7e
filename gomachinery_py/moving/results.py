"""Copying what is stored of tasks and groups from one result store to another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from gomachinery_py.backends.base import Backend, Kept
from gomachinery_py.errors import ServiceError, WireError

__all__ = ["Copied", "Copying"]

_MOST_TOLD = 100


@dataclass(slots=True)
class Copied:
    """Counts; of what is missing, and of what could not be copied, the first hundred are told."""

    states: int = 0
    groups: int = 0
    #: The target has something under this UUID already.
    there: int = 0
    missing: int = 0
    missing_uuids: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    failures: int = 0

    @property
    def total(self) -> int:
        return self.states + self.groups


@dataclass(slots=True)
class Copying:
    """One run. What the target has stays, unless ``overwrite``: it may be newer."""

    source: Backend
    target: Backend
    overwrite: bool = False
    stopped: Callable[[], bool] = lambda: False
    told: Callable[[Copied], None] = lambda _copied: None
    copied: Copied = field(default_factory=Copied)

    async def some(self, uuids: Sequence[str]) -> Copied:
        """These tasks and groups, and the members of the groups."""
        seen: set[str] = set()
        waiting = list(uuids)
        while waiting and not self.stopped():
            uuid = waiting.pop(0)
            if uuid in seen:
                continue
            seen.add(uuid)
            kept = await self._copy(uuid, named=True)
            if kept is not None and kept.meta is not None:
                waiting += kept.meta.task_uuids or ()
        return self.copied

    async def all(self) -> Copied:
        """Everything that is stored. Raises NotImplementedError where the source lists nothing."""
        async for uuid in self._listed():
            await self._copy(uuid, named=False)
            if self.stopped():
                break
        return self.copied

    async def _listed(self) -> AsyncIterator[str]:
        cursor = None
        while True:
            uuids, cursor = await self.source.uuids(cursor)
            for uuid in uuids:
                yield uuid
            if cursor is None:
                return

    async def _copy(self, uuid: str, *, named: bool) -> Kept | None:
        """``named``: somebody wants this very one, which is missed when it is not there."""
        copied, kept = self.copied, None
        try:
            kept = await self.source.kept(uuid)
            if kept is None:
                if named:
                    self._miss(uuid)
            elif not await self.target.keep(kept, overwrite=self.overwrite):
                copied.there += 1
            elif kept.meta is not None:
                copied.groups += 1
            else:
                copied.states += 1
        except (ServiceError, WireError) as error:
            copied.failures += 1
            if len(copied.failed) < _MOST_TOLD:
                copied.failed.append((uuid, str(error)))
        self.told(copied)
        return kept

    def _miss(self, uuid: str) -> None:
        self.copied.missing += 1
        if len(self.copied.missing_uuids) < _MOST_TOLD:
            self.copied.missing_uuids.append(uuid)
