"""The MongoDB result backend.

Go source: ``v2/backends/mongo/mongodb.go``; v1 alike.

One document a task in ``tasks``, updated field by field, so that the task's name and creation time stay; one a group in
``group_metas``. v2 writes ``delete_at`` with the final state, by which MongoDB deletes the document; v1 makes indexes
on ``state`` and ``lock`` that never expire anything. Go ignores whether its update of a chord matched a document, so
that several workers may fire it; here only the one whose update did fires it.
"""

from __future__ import annotations

import uuid as uuids_of
from collections.abc import Sequence
from typing import Any, Final, Self

from gomachinery_py.backends.base import Backend, GroupSnapshot, Origin
from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Command, Port
from gomachinery_py.errors import WireError, WrongKeyType
from gomachinery_py.golang.time import Time
from gomachinery_py.incoming import brief
from gomachinery_py.mongodb_documents import (
    Document,
    date,
    group_document,
    read_group,
    read_state,
    result_document,
    utf8,
)
from gomachinery_py.urls import MongoDBURL, parse_backend
from gomachinery_py.wire import names
from gomachinery_py.wire.model import FAILURE, PENDING, SUCCESS, GroupMeta, TaskState

__all__ = ["MongoDBBackend"]

_TASKS: Final = "tasks"
_GROUPS: Final = "group_metas"
# Of a group's document, beside Machinery's fields: who marked it as triggered.
_MARK: Final = "gmpy_triggered_by"


class MongoDBBackend(Backend):
    """A document a task, and one a group. ``dialect`` is Go's major version, ``v1`` or ``v2``."""

    def __init__(self, port: Port, clock: Clock, results_expire_in: int, dialect: str = "v2") -> None:
        # Go v2 deletes at once when this is 0.
        super().__init__(port, clock, results_expire_in or names.RESULTS_EXPIRE_IN)
        self.dialect = dialect

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config) -> Self:
        url = parse_backend(config.result_backend)
        return cls(port, clock, config.results_expire_in, url.dialect if isinstance(url, MongoDBURL) else "v2")

    # -- states --

    def state_commands(self, state: TaskState) -> list[Command]:
        fields: Document = {"state": state.state}
        if state.state == PENDING:
            fields |= {"task_name": state.task_name, "created_at": date(state.created_at)}
        if state.state == SUCCESS:
            fields["results"] = [result_document(result) for result in state.results or ()]
        if state.state == FAILURE:
            fields["error"] = utf8(state.error)
        if state.is_completed and self.dialect == "v2":
            expiry = self.clock.unix_ns() + self.results_expire_in * 1_000_000_000
            fields["delete_at"] = date(Time.from_unix_ns(expiry))
        return [("update_one", _TASKS, {"_id": state.task_uuid}, {"$set": fields})]

    async def origin(self, uuid: str) -> Origin:
        try:
            state = await self.get_state(uuid)
        except WireError as error:
            raise WrongKeyType(f"the document {brief(uuid)!r} holds something that is not a task's state") from error
        if state is None:
            return Origin()
        return Origin(state.task_name, state.created_at, state.state, tuple(state.results or ()))

    async def get_state(self, uuid: str) -> TaskState | None:
        document: Document | None = await self.port.execute(("find_one", _TASKS, {"_id": uuid}))
        return None if document is None else read_state(document)

    async def states(self, uuids: Sequence[str]) -> list[TaskState | None]:
        """The states of several tasks, in their order; Go gets them in any."""
        if not uuids:
            return []
        documents: list[Any] = await self.port.execute(("find", _TASKS, {"_id": {"$in": list(dict.fromkeys(uuids))}}))
        found = {state.task_uuid: state for state in map(read_state, documents)}
        return [found.get(uuid) for uuid in uuids]

    async def purge_state(self, uuid: str) -> None:
        await self.port.execute(("delete_one", _TASKS, {"_id": uuid}))

    # -- groups --

    def group_commands(self, meta: GroupMeta) -> list[Command]:
        """Written again, after an answer that was lost, it stays one document; Go's insert would fail."""
        return [("replace_one", _GROUPS, {"_id": meta.group_uuid}, group_document(meta))]

    async def group(self, group_uuid: str, task_count: int) -> GroupSnapshot | None:  # noqa: ARG002
        document: Document | None = await self.port.execute(("find_one", _GROUPS, {"_id": group_uuid}))
        if document is None:
            return None
        meta = read_group(document)
        return GroupSnapshot(meta, b"", await self.states(meta.task_uuids or ()))

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        group_uuid = snapshot.meta.group_uuid
        # Tells an answer that was lost, after which this is sent again, from somebody else's mark.
        mark = uuids_of.uuid4().hex
        wanted = {"_id": group_uuid, "chord_triggered": False}
        change = {"$set": {"chord_triggered": True, _MARK: mark}}
        if await self.port.execute(("update_if", _GROUPS, wanted, change)):
            return True
        document: Document | None = await self.port.execute(("find_one", _GROUPS, {"_id": group_uuid}))
        return document is not None and document.get(_MARK) == mark

    async def purge_group(self, group_uuid: str) -> None:
        await self.port.execute(("delete_one", _GROUPS, {"_id": group_uuid}))

    async def uuids(self, cursor: Any = None) -> tuple[list[str], Any]:
        collection, after = cursor or (_TASKS, "")
        found: list[str] = await self.port.execute(("find_ids", collection, {"_id": {"$gt": after}}))
        if found:
            return found, (collection, found[-1])
        return [], (_GROUPS, "") if collection == _TASKS else None

    async def check(self) -> None:
        await self.port.execute(("find_one", _TASKS, {"_id": ""}))
