"""The DynamoDB result backend.

Go source: ``v2/backends/dynamodb/dynamodb.go``; v1 alike.

One item a task and one a group, in two tables that must be there. PENDING puts a whole item, later states update it, so
the task's name and creation time stay. DynamoDB deletes items some time after their TTL (unix seconds, from SUCCESS or
FAILURE on), where the table's time to live is switched on for the attribute ``TTL``.

Go marks a chord as triggered by writing true, whoever else has; here that is one conditional write, so a chord is
marked once however many workers try. Go v2 never asks again for keys that were left unprocessed.
"""

from __future__ import annotations

import uuid as uuids_of
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Self

from gomachinery_py.backends.base import Backend, GroupSnapshot, Kept, Origin
from gomachinery_py.config import Config
from gomachinery_py.config_sections import DynamoDBConfig
from gomachinery_py.dynamodb_items import (
    CONDITION_FAILED,
    DynamoDBCommand,
    DynamoDBRefused,
    Item,
    group_item,
    read_group,
    read_state,
    result_value,
    state_item,
    utf8,
)
from gomachinery_py.effects import Clock, Command, Port, sleep
from gomachinery_py.errors import ServiceUnavailable, WireError, WrongKeyType
from gomachinery_py.incoming import brief
from gomachinery_py.wire import names
from gomachinery_py.wire.model import FAILURE, PENDING, GroupMeta, TaskState

__all__ = ["DynamoDBBackend"]

# Go: BatchItemsLimit.
_BATCH: Final = 99
# Of a group's item, next to Machinery's attributes: who marked it as triggered.
_MARK: Final = "GmpyTriggeredBy"
# Unprocessed keys are asked for again after 0.05, 0.1 … 1.6 s, as long as none comes.
_FIRST_PAUSE: Final = 0.05
_PAUSES: Final = 6
# A Go worker holds its lock for two writes; one that died holds it for ever.
_ORPHAN_SECONDS: Final = 10.0
_LOOK_AGAIN_SECONDS: Final = 0.02
# A key of 2,048 bytes is DynamoDB's limit.
_MOST_KEY_BYTES: Final = 2048


class DynamoDBBackend(Backend):
    """An item a task, and one a group."""

    def __init__(
        self, port: Port, clock: Clock, results_expire_in: int, settings: DynamoDBConfig | None = None
    ) -> None:
        super().__init__(port, clock, results_expire_in or names.RESULTS_EXPIRE_IN)
        settings = settings or DynamoDBConfig()
        self.task_states, self.group_metas = settings.task_states_table, settings.group_metas_table

    @classmethod
    def configured(cls, port: Port, clock: Clock, config: Config) -> Self:
        return cls(port, clock, config.results_expire_in, config.dynamodb)

    def _expiry(self) -> int:
        """Go: ``getExpirationTime``."""
        return self.clock.unix_ns() // 1_000_000_000 + self.results_expire_in

    # -- states --

    def state_commands(self, state: TaskState) -> list[Command]:
        _check_key(state.task_uuid)
        if state.state == PENDING:
            return [("PutItem", {"Item": state_item(state), "TableName": self.task_states})]
        fields: dict[str, Any] = {"State": {"S": state.state}}
        if state.state == FAILURE:
            fields["Error"] = {"S": utf8(state.error)}
        if state.is_completed:
            fields["TTL"] = {"N": str(self._expiry())}
        if state.results:
            fields["Results"] = {"L": [result_value(result) for result in state.results]}
        return [_update(self.task_states, {"TaskUUID": {"S": state.task_uuid}}, fields)]

    async def origin(self, uuid: str) -> Origin:
        try:
            state = await self.get_state(uuid)
        except WireError as error:
            raise WrongKeyType(f"the item {brief(uuid)!r} holds something that is not a task's state") from error
        if state is None:
            return Origin()
        return Origin(state.task_name, state.created_at, state.state, tuple(state.results or ()))

    async def get_state(self, uuid: str) -> TaskState | None:
        item = await self._item(self.task_states, "TaskUUID", uuid)
        return None if item is None else read_state(item)

    async def _item(self, table: str, name: str, uuid: str) -> Item | None:
        _check_key(uuid)
        reply = await self.port.execute(_get(table, name, uuid))
        item: Item | None = reply.get("Item")
        return item

    async def states(self, uuids: Sequence[str]) -> list[TaskState | None]:
        """The states of several tasks, in their order. Raises ServiceUnavailable when DynamoDB leaves some out."""
        if len(uuids) == 1:
            return [await self.get_state(uuids[0])]
        for uuid in uuids:
            _check_key(uuid)
        # A key that is asked for twice is refused.
        waiting = list(dict.fromkeys(uuids))
        found: dict[str, TaskState] = {}
        pauses = 0
        while waiting:
            left: list[str] = []
            batches = [waiting[start : start + _BATCH] for start in range(0, len(waiting), _BATCH)]
            for reply in await self.port.execute_many([self._batch(batch) for batch in batches]):
                for item in reply.get("Responses", {}).get(self.task_states, ()):
                    state = read_state(item)
                    found[state.task_uuid] = state
                unprocessed = reply.get("UnprocessedKeys", {}).get(self.task_states, {})
                left += [key["TaskUUID"]["S"] for key in unprocessed.get("Keys", ())]
            if left:
                pauses = pauses + 1 if len(left) == len(waiting) else 1
                if pauses > _PAUSES:
                    raise ServiceUnavailable(
                        f"DynamoDB gave no answer for {len(left)} of {len(uuids)} states: has the table "
                        f"{self.task_states} enough read capacity?"
                    )
                await sleep(_FIRST_PAUSE * 2 ** (pauses - 1))
            waiting = left
        return [found.get(uuid) for uuid in uuids]

    def _batch(self, uuids: Sequence[str]) -> DynamoDBCommand:
        keys = [{"TaskUUID": {"S": uuid}} for uuid in uuids]
        return ("BatchGetItem", {"RequestItems": {self.task_states: {"ConsistentRead": True, "Keys": keys}}})

    async def purge_state(self, uuid: str) -> None:
        """Go v1 names the key as a number, which DynamoDB refuses."""
        _check_key(uuid)
        await self.port.execute(_delete(self.task_states, "TaskUUID", uuid))

    # -- groups --

    def new_group(self, group_uuid: str, task_uuids: Sequence[str]) -> GroupMeta:
        meta = super().new_group(group_uuid, task_uuids)
        meta.ttl = self._expiry()
        return meta

    def group_commands(self, meta: GroupMeta) -> list[Command]:
        _check_key(meta.group_uuid)
        return [("PutItem", {"Item": group_item(meta), "TableName": self.group_metas})]

    async def group(self, group_uuid: str, task_count: int) -> GroupSnapshot | None:  # noqa: ARG002
        item = await self._item(self.group_metas, "GroupUUID", group_uuid)
        if item is None:
            return None
        meta = read_group(item)
        return GroupSnapshot(meta, b"", await self.states(meta.task_uuids or ()))

    async def trigger_chord(self, snapshot: GroupSnapshot) -> bool:
        group_uuid = snapshot.meta.group_uuid
        # Tells an answer that was lost, after which this is sent again, from somebody else's mark.
        mark = uuids_of.uuid4().hex
        deadline = self.clock.monotonic() + _ORPHAN_SECONDS
        heeds_lock = True
        while True:
            try:
                await self.port.execute(self._trigger(group_uuid, mark, heeds_lock=heeds_lock))
            except DynamoDBRefused as error:
                if error.code != CONDITION_FAILED:
                    raise
                if error.item is None:
                    return False
                if read_group(error.item).chord_triggered:
                    return error.item.get(_MARK) == {"S": mark}
            else:
                return True
            heeds_lock = self.clock.monotonic() <= deadline
            await sleep(_LOOK_AGAIN_SECONDS)

    def _trigger(self, group_uuid: str, mark: str, *, heeds_lock: bool) -> DynamoDBCommand:
        fields = {"ChordTriggered": {"BOOL": True}, _MARK: {"S": mark}}
        operation, parameters = _update(self.group_metas, {"GroupUUID": {"S": group_uuid}}, fields)
        parameters["ConditionExpression"] = "#CT = :no"
        parameters["ExpressionAttributeValues"][":no"] = {"BOOL": False}
        parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if heeds_lock:
            # Where a Go worker is about to mark the group.
            parameters["ConditionExpression"] += " AND #L <> :ct"
            parameters["ExpressionAttributeNames"]["#L"] = "Lock"
        return operation, parameters

    async def purge_group(self, group_uuid: str) -> None:
        _check_key(group_uuid)
        await self.port.execute(_delete(self.group_metas, "GroupUUID", group_uuid))

    async def kept(self, uuid: str) -> Kept | None:
        found = await super().kept(uuid)
        if found is None:
            return None
        ttl = (found.state or found.meta or GroupMeta(uuid)).ttl
        left = ttl - self.clock.unix_ns() / 1_000_000_000
        return replace(found, seconds=max(1.0, left) if ttl else None)

    async def uuids(self, cursor: Any = None) -> tuple[list[str], Any]:
        table, start = cursor or (self.task_states, None)
        name = "TaskUUID" if table == self.task_states else "GroupUUID"
        fields = {"TableName": table, "ProjectionExpression": name, **({"ExclusiveStartKey": start} if start else {})}
        reply = await self.port.execute(("Scan", fields))
        found = [str(item[name]["S"]) for item in reply.get("Items", ())]
        if reply.get("LastEvaluatedKey"):
            return found, (table, reply["LastEvaluatedKey"])
        return found, (self.group_metas, None) if table == self.task_states else None

    async def check(self) -> None:
        """Whether both tables are there and have the keys that they must have; asks for an item that is not."""
        await self.port.execute_many(
            [_get(self.task_states, "TaskUUID", "gmpy:check"), _get(self.group_metas, "GroupUUID", "gmpy:check")]
        )


# What Go calls attributes and their values in expressions: #S and :s.
_SHORT: Final = {"State": "S", "TTL": "T", "Results": "R", "Error": "E", "ChordTriggered": "CT", _MARK: "M"}


def _update(table: str, key: Item, fields: dict[str, Any]) -> DynamoDBCommand:
    """Set attributes, in Go's words."""
    settings = ", ".join(f"#{_SHORT[name]} = :{_SHORT[name].lower()}" for name in fields)
    return (
        "UpdateItem",
        {
            "ExpressionAttributeNames": {f"#{_SHORT[name]}": name for name in fields},
            "ExpressionAttributeValues": {f":{_SHORT[name].lower()}": value for name, value in fields.items()},
            "Key": key,
            "ReturnValues": "UPDATED_NEW",
            "TableName": table,
            "UpdateExpression": f"SET {settings}",
        },
    )


def _get(table: str, name: str, uuid: str) -> DynamoDBCommand:
    return ("GetItem", {"TableName": table, "Key": {name: {"S": uuid}}, "ConsistentRead": True})


def _delete(table: str, name: str, uuid: str) -> DynamoDBCommand:
    return ("DeleteItem", {"TableName": table, "Key": {name: {"S": uuid}}})


def _check_key(uuid: str) -> None:
    if not 0 < len(uuid.encode("utf-8", "surrogatepass")) <= _MOST_KEY_BYTES:
        raise WrongKeyType(f"{brief(uuid)!r} cannot be a key in DynamoDB: a UUID has 1 to {_MOST_KEY_BYTES} bytes")
