"""The DynamoDB backend on a double of its port: commands as Go sends them, answers that real servers seldom give."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gomachinery_py import dynamodb_items
from gomachinery_py.backends.base import GroupSnapshot
from gomachinery_py.backends.dynamodb import DynamoDBBackend
from gomachinery_py.dynamodb_items import CONDITION_FAILED, DynamoDBRefused, read_state
from gomachinery_py.effects import Port, Request, run
from gomachinery_py.errors import ServiceUnavailable, WireError, WrongKeyType
from gomachinery_py.golang.json import value_text
from gomachinery_py.golang.strconv import printed_float
from gomachinery_py.types import type_named
from gomachinery_py.wire.model import FAILURE, RETRY, STARTED, SUCCESS, GroupMeta, Signature, TaskResult, TaskState

NOW = 1_700_000_000


class FixedClock:
    """Time that passes when it is looked at."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def unix_ns(self) -> int:
        return NOW * 1_000_000_000 + 5

    def monotonic(self) -> float:
        return float(next(self._seconds))


class ScriptedPort(Port):
    """Answers each command by a function; keeps the commands."""

    def __init__(self, answer: Callable[[Any], Any] = lambda _command: {}) -> None:
        self.commands: list[Any] = []
        self._answer = answer

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        answers: list[list[Any] | Exception] = []
        for request in requests:
            self.commands += request.commands
            answers.append([self._answer(command) for command in request.commands])
        return answers


def backend(
    answer: Callable[[Any], Any] = lambda _command: {}, expire: int = 0
) -> tuple[DynamoDBBackend, ScriptedPort]:
    port = ScriptedPort(answer)
    return DynamoDBBackend(port, FixedClock(), expire), port


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gomachinery_py.effects.time.sleep", lambda _seconds: None)


def update(state: str, *more: tuple[str, Any]) -> Any:
    """Go's UpdateItem of the task ``t``."""
    fields = [("State", {"S": state}), *more]
    return (
        "UpdateItem",
        {
            "ExpressionAttributeNames": {f"#{name[0]}": name for name, _ in fields},
            "ExpressionAttributeValues": {f":{name[0].lower()}": value for name, value in fields},
            "Key": {"TaskUUID": {"S": "t"}},
            "ReturnValues": "UPDATED_NEW",
            "TableName": "task_states",
            "UpdateExpression": "SET " + ", ".join(f"#{name[0]} = :{name[0].lower()}" for name, _ in fields),
        },
    )


TTL = ("TTL", {"N": str(NOW + 3600)})


def test_states_are_gos_commands() -> None:
    """PENDING puts every field; later states update State and what they bring, in Go's order and with Go's names."""
    store, _ = backend()
    pending = store.pending_state(Signature("add", uuid="t"))
    result = ("Results", {"L": [{"M": {"Type": {"S": "int64"}, "Value": {"S": "3"}}}]})

    assert store.state_commands(pending) == [
        (
            "PutItem",
            {
                "Item": {
                    "TaskUUID": {"S": "t"},
                    "TaskName": {"S": "add"},
                    "State": {"S": "PENDING"},
                    "Results": {"NULL": True},
                    "Error": {"S": ""},
                    "CreatedAt": {"S": "2023-11-14T22:13:20.000000005Z"},
                    "TTL": {"N": "0"},
                },
                "TableName": "task_states",
            },
        )
    ]
    for state in (STARTED, RETRY):
        assert store.state_commands(TaskState("t", state=state)) == [update(state)]
    assert store.state_commands(TaskState("t", state=SUCCESS, results=[])) == [update(SUCCESS, TTL)]
    done = TaskState("t", state=SUCCESS, results=[TaskResult("int64", 3)])
    assert store.state_commands(done) == [update(SUCCESS, TTL, result)]
    failed = TaskState("t", state=FAILURE, error="no \ud800")
    assert store.state_commands(failed) == [update(FAILURE, ("Error", {"S": "no \ufffd\ufffd\ufffd"}), TTL)]


def test_expiry_is_the_settings() -> None:
    """results_expire_in counts from the final state, and for a group from its start; 0 is an hour."""
    store, _ = backend(expire=60)

    [(_, done)] = store.state_commands(TaskState("t", state=SUCCESS))
    assert done["ExpressionAttributeValues"][":t"] == {"N": str(NOW + 60)}
    assert store.new_group("g", ["t"]).ttl == NOW + 60
    assert backend()[0].new_group("g", ["t"]).ttl == NOW + 3600


def test_names_that_cannot_be_keys() -> None:
    """An empty UUID and one of more than 2,048 bytes are refused before anything is sent."""
    store, port = backend()

    for uuid in ("", "ż" * 1025):
        with pytest.raises(WrongKeyType):
            run(store.get_state(uuid))
        with pytest.raises(WrongKeyType):
            store.state_commands(TaskState(uuid, state=SUCCESS))
    assert port.commands == []


# -- batches --


def _item(uuid: str) -> dict[str, Any]:
    return {"TaskUUID": {"S": uuid}, "State": {"S": SUCCESS}}


def test_states_come_in_order_by_batches() -> None:
    """99 keys a request, consistent, each key once; the answers in any order, absent ones None."""

    def answer(command: Any) -> Any:
        keys = command[1]["RequestItems"]["task_states"]["Keys"]
        found = [_item(key["TaskUUID"]["S"]) for key in reversed(keys) if key["TaskUUID"]["S"] != "t7"]
        return {"Responses": {"task_states": found}, "UnprocessedKeys": {}}

    store, port = backend(answer)
    uuids = [f"t{number}" for number in range(200)] + ["t3"]

    states = run(store.states(uuids))

    assert [None if state is None else state.task_uuid for state in states] == [
        None if uuid == "t7" else uuid for uuid in uuids
    ]
    requests = [command[1]["RequestItems"]["task_states"] for command in port.commands]
    assert [len(request["Keys"]) for request in requests] == [99, 99, 2]
    assert {request["ConsistentRead"] for request in requests} == {True}


def test_unprocessed_keys_are_asked_for_again() -> None:
    """What DynamoDB leaves out comes with the next request; if it leaves all out time and again, that is an error."""

    def one_at_a_time(command: Any) -> Any:
        first, *left = command[1]["RequestItems"]["task_states"]["Keys"]
        unprocessed = {"task_states": {"Keys": left, "ConsistentRead": True}} if left else {}
        return {"Responses": {"task_states": [_item(first["TaskUUID"]["S"])]}, "UnprocessedKeys": unprocessed}

    uuids = [f"t{number}" for number in range(20)]
    store, port = backend(one_at_a_time)
    assert [state and state.task_uuid for state in run(store.states(uuids))] == uuids
    assert len(port.commands) == 20

    store, port = backend(lambda command: {"Responses": {}, "UnprocessedKeys": command[1]["RequestItems"]})
    with pytest.raises(ServiceUnavailable, match=r"no answer for 20 of 20 states.*task_states enough read capacity"):
        run(store.states(uuids))
    assert len(port.commands) == 7


# -- chords --


class Group:
    """A group's item that is updated as DynamoDB does it, under a condition."""

    def __init__(self, **fields: Any) -> None:
        self.item: dict[str, Any] = {
            "GroupUUID": {"S": "g"},
            "ChordTriggered": {"BOOL": False},
            "Lock": {"BOOL": False},
        }
        self.item.update(fields)
        self.after: list[Callable[[], Exception | None]] = []

    def __call__(self, command: Any) -> Any:
        parameters = command[1]
        heeds_lock = "#L" in parameters["ConditionExpression"]
        assert parameters["ConditionExpression"] == "#CT = :no" + (" AND #L <> :ct" if heeds_lock else "")
        refused = DynamoDBRefused("The conditional request failed", CONDITION_FAILED, dict(self.item))
        locked = heeds_lock and self.item["Lock"]["BOOL"]
        answer: Any = refused
        if not (self.item["ChordTriggered"]["BOOL"] or locked):
            values = parameters["ExpressionAttributeValues"]
            self.item.update(ChordTriggered=values[":ct"], GmpyTriggeredBy=values[":m"])
            answer = {}
        return (self.after.pop(0)() if self.after else None) or answer


def trigger(group: Group) -> tuple[bool, int]:
    """Whether the chord is the caller's, and how many commands that took."""
    store, port = backend(group)
    snapshot = dynamodb_items.read_group(group.item)
    return run(store.trigger_chord(_snapshot(snapshot))), len(port.commands)


def _snapshot(meta: GroupMeta) -> GroupSnapshot:
    return GroupSnapshot(meta, b"", [])


def test_a_chord_is_marked_once() -> None:
    """The first one marks it, the others are told so; a group that is gone is nobody's."""
    group = Group()

    assert [trigger(group), trigger(group)] == [(True, 1), (False, 1)]
    assert group.item["ChordTriggered"] == {"BOOL": True}

    gone = DynamoDBRefused("The conditional request failed", CONDITION_FAILED)
    assert run(backend(lambda _command: gone)[0].trigger_chord(_snapshot(GroupMeta("g")))) is False


def test_an_answer_that_was_lost() -> None:
    """The port sends a command again when no answer came; the mark then tells that it was this one."""
    group = Group()
    store, port = backend(lambda command: (group(command), group(command))[1])

    assert run(store.trigger_chord(_snapshot(GroupMeta("g")))) is True
    assert len(port.commands) == 1


def test_a_go_worker_holds_the_lock() -> None:
    """It is waited for while Go is about to mark the chord; a lock that is never given back is passed in the end."""
    group = Group(Lock={"BOOL": True})

    def marked() -> None:
        group.item.update(ChordTriggered={"BOOL": True}, Lock={"BOOL": False})

    group.after = [lambda: None, marked]
    assert trigger(group) == (False, 3)

    orphan = Group(Lock={"BOOL": True})
    fired, commands = trigger(orphan)
    assert fired
    assert commands > 5
    assert orphan.item["Lock"] == {"BOOL": True}


def test_other_refusals_are_raised() -> None:
    """Only a condition that was not met means that somebody else was first."""
    store, _ = backend(lambda _command: DynamoDBRefused("too large", "ValidationException"))

    with pytest.raises(DynamoDBRefused, match="too large"):
        run(store.trigger_chord(_snapshot(GroupMeta("g"))))


# -- items --


def test_foreign_items() -> None:
    """An item of something else is no task's state, and a UUID that names one is refused."""
    item = {"TaskUUID": {"S": "t"}, "State": {"N": "1"}}
    store, _ = backend(lambda _command: {"Item": item})

    with pytest.raises(WireError, match="State is not of DynamoDB's type S but N"):
        run(store.get_state("t"))
    with pytest.raises(WrongKeyType, match="'t' holds something that is not a task's state"):
        run(store.origin("t"))
    for results in ([{"S": "x"}], [{"M": {"GmpyJSON": {"S": "{"}}}], [{"M": {"GmpyJSON": {"N": "1"}}}]):
        with pytest.raises(WireError):
            read_state({"Results": {"L": results}})
    with pytest.raises(WireError, match="CreatedAt"):
        read_state({"CreatedAt": {"S": "yesterday"}})


def test_an_empty_item_is_an_empty_state() -> None:
    """As Go's unmarshallers have it, every field may be missing or NULL."""
    assert read_state({}) == TaskState("")
    names = ("TaskUUID", "TaskName", "State", "Results", "Error", "CreatedAt", "TTL")
    assert read_state({name: {"NULL": True} for name in names}) == TaskState("")


def test_values_that_are_no_texts() -> None:
    """Somebody else's numbers, lists and maps are what Go's unmarshallers make of them."""
    values = [{"N": "1.5"}, {"BOOL": True}, {"L": [{"S": "a"}, {"NULL": True}]}, {"M": {"k": {"N": "2"}}}]
    state = read_state({"Results": {"L": [{"M": {"Type": {"S": "x"}, "Value": value}} for value in values]}})

    assert [result.value for result in state.results or ()] == [1.5, True, ["a", None], {"k": 2}]


# However busy the machine is.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int8": st.integers(-128, 127),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
}


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(sorted(NUMBERS)))
    if draw(st.booleans()):
        return f"[]{kind}", draw(st.lists(NUMBERS[kind]) | st.none())
    return kind, draw(NUMBERS[kind])


@UNHURRIED
@given(typed() | st.tuples(st.just("[]uint8"), st.binary()))
def test_every_value_comes_back(case: tuple[str, Any]) -> None:
    """Whatever a task returns is read back as the JSON that every other store keeps."""
    kind, value = case
    wire = None if value is None else type_named(kind).to_wire(value)
    stored = dynamodb_items.result_value(TaskResult(kind, wire))

    [back] = read_state({"Results": {"L": [stored]}}).results or ()

    assert (back.type, value_text(back.value)) == (kind, value_text(wire))
    assert ("GmpyJSON" in stored["M"]) == (kind == "[]string" or value is None)


@UNHURRIED
@given(
    st.sampled_from(["int64", "[]int64", "bool", "[]uint8", "float32", "x"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
        max_leaves=6,
    ),
)
def test_values_of_the_wrong_kind_come_back(kind: str, value: Any) -> None:
    """What a hand-made result claims to be need not be so."""
    stored = dynamodb_items.result_value(TaskResult(kind, value))

    [back] = read_state({"Results": {"L": [stored]}}).results or ()

    assert value_text(back.value) == value_text(value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e20, "1e+20"),
        (123456789.0, "1.23456789e+08"),
        (1e6, "1e+06"),
        (999999.5, "999999.5"),
        (100000.0, "100000"),
        (0.0001, "0.0001"),
        (1e-5, "1e-05"),
        (-0.0, "-0"),
        (5e-324, "5e-324"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (-1.5e300, "-1.5e+300"),
    ],
)
def test_floats_are_printed_as_go_prints_them(number: float, text: str) -> None:
    """Recorded from Go: ``fmt.Sprintf("%v", number)``."""
    assert printed_float(number) == text
    assert printed_float(16777216.0, single=True) == "1.6777216e+07"
