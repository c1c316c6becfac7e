"""Hostile messages against the engine, in process: nothing stops it, loops or is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hostile_world import DEAD_KEY, QUEUE, World, document, look, plant
from inprocess import FakeRedisPort, inflight

from gomachinery_py import Arg, wire
from gomachinery_py.effects import Command, run
from gomachinery_py.errors import WrongKeyType
from gomachinery_py.incoming import MAX_ARGUMENTS, MAX_BODY_BYTES, MAX_TEXT
from gomachinery_py.wire import names


@pytest.fixture
def world() -> World:
    return World()


BURIED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot be decoded: "),
    "bad json": (b"{]", "cannot be decoded: invalid character ']'"),
    "nan": (document().replace(b"1}", b"NaN}"), "cannot be decoded: invalid character 'N'"),
    "binary": (bytes(range(256)), "cannot be decoded: "),
    "deep": (b'{"Name":"add","Headers":{"a":' + b"[" * 10_001, "cannot be decoded: "),
    "eta without offset": (document(ETA="2024-01-01T00:00:00"), "cannot be decoded: "),
    "year 10000": (document(ETA="10000-01-01T00:00:00Z"), "cannot be decoded: "),
    "huge retry count": (document(RetryCount=0).replace(b": 0}", b": 1e400}"), "cannot be decoded: "),
    "nobody": (b"{}", "it names no task"),
    "null": (b"null", "it names no task"),
    "eta 2263": (document(ETA="2263-01-01T00:00:00Z"), "ETA is after 2262"),
    "null on success": (document(OnSuccess=[None]), "a callback in OnSuccess or OnError is null"),
    "null on error": (document(OnError=[{"Name": "noop"}, None]), "a callback in OnSuccess or OnError is null"),
    "retry timeout": (document(RetryTimeout=2**63 - 1), "RetryTimeout 9223372036854775807"),
    "arguments": (document(Args=[{}] * (MAX_ARGUMENTS + 1)), "10001 arguments"),
    "large": (document().ljust(MAX_BODY_BYTES + 1), "16777217 bytes"),
    "queue": (document(UUID=QUEUE), f"UUID '{QUEUE}'"),
    "delayed": (document(UUID="delayed_tasks"), "UUID 'delayed_tasks'"),
    "mutex": (document(UUID="TriggerChordMutex"), "UUID 'TriggerChordMutex'"),
    "own key": (document(UUID=DEAD_KEY), f"UUID '{DEAD_KEY}'"),
    "group": (document(GroupUUID=QUEUE), f"GroupUUID '{QUEUE}'"),
    "callback": (document(OnSuccess=[{"Name": "noop", "UUID": QUEUE}]), "callback 'noop': UUID"),
    "chord callback": (document(GroupUUID="g", ChordCallback={"Name": "noop", "UUID": "g"}), "callback 'noop': UUID"),
    "routing key": (document(RoutingKey="TriggerChordMutex"), "RoutingKey 'TriggerChordMutex'"),
    "foreign string": (document(UUID="foreign string"), "the key 'foreign string' holds something"),
    "foreign list": (document(UUID="foreign list"), "the key 'foreign list' cannot be a task's state"),
    "foreign hash": (document(UUID="foreign hash"), "the key 'foreign hash' cannot be a task's state"),
    "foreign state": (document(UUID="foreign state"), "the key 'foreign state' holds something"),
}


@pytest.mark.parametrize("kind", BURIED)
def test_what_can_never_run_is_kept(world: World, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Byte for byte, with the reason, beside tasks that are done; no key of others is touched."""
    body, reason = BURIED[kind]
    before = plant(world.redis)
    world.work(document(UUID="task_before"), body, document(UUID="task_after"))
    [(kept, why)] = world.dead()
    assert kept == body
    assert why[: len(reason)] == reason
    assert len(why) < 400
    assert [world.outcome(uuid)[0] for uuid in ("task_before", "task_after")] == ["SUCCESS", "SUCCESS"]
    assert inflight(world.port) == []
    assert look(world.redis) == before
    assert world.redis.exists("TriggerChordMutex", "delayed_tasks", QUEUE) == 0
    assert len(caplog.text) < 1024


VALUES: dict[str, tuple[str, Any, str]] = {
    "text": ("int64", "x", "x is not int64"),
    "bool in list": ("[]int64", [1, True], "true is not int64"),
    "object in list": ("[]int64", [{}], "map[] is not int64"),
    "bool as list": ("[]int64", True, "true is not []int64"),
    "false in texts": ("[]string", [False], "false is not string"),
    "unknown type": ("int128", 1, "int128 is not one of supported types"),
    "too large": ("int8", 300, "300 does not fit int8 (-128 to 127)"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_arguments_that_do_not_fit_are_a_failure(world: World, kind: str) -> None:
    """At once, without a retry, with Go's text."""
    type_name, value, text = VALUES[kind]
    world.work(document(Args=[{"Type": type_name, "Value": value}], RetryCount=3), document(UUID="task_after"))
    assert world.outcome("task_1") == ("FAILURE", f"Reflect task args error: {text}")
    assert world.outcome("task_after")[0] == "SUCCESS"
    assert (world.calls, world.dead(), inflight(world.port)) == (1, [], [])


def test_a_huge_value_is_not_all_repeated(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the stored error, nor in the OnError task's argument, nor in the log."""
    body = document(
        Args=[{"Type": "int64", "Value": list(range(600_000))}], OnError=[{"UUID": "task_told", "Name": "noop"}]
    )
    world.work(body)
    state, text = world.outcome("task_1")
    assert state == "FAILURE"
    assert text.startswith("Reflect task args error: [0 1 2 3")
    assert len(text) <= MAX_TEXT
    [told] = world.redis.lrange(QUEUE, 0, -1)
    assert wire.decode_signature(told).args == [Arg("string", text)]
    assert len(caplog.text) < 1024


def test_the_task_that_is_not_registered_waits(world: World) -> None:
    """Byte for byte; one that asks to be ignored is dropped; one that would harm a Go worker is kept."""
    unknown = document(Name="x")
    bomb = document(Name="x", OnError=[None])
    world.work(unknown, document(Name="x", IgnoreWhenTaskNotRegistered=True), bomb)
    assert world.redis.lrange(QUEUE, 0, -1) == [unknown]
    assert [body for body, _ in world.dead()] == [bomb]
    assert inflight(world.port) == []


# -- callbacks --


@pytest.mark.parametrize("field", ["UUID", "RoutingKey"])
def test_a_callback_that_would_hit_a_foreign_key_is_kept(world: World, field: str) -> None:
    """The task itself has run; its callback is a dead letter as it would have been sent."""
    before = plant(world.redis)
    callback = {"Name": "noop", "UUID": "task_next", field: "foreign hash"}
    world.work(document(OnSuccess=[callback]))
    assert world.outcome("task_1")[0] == "SUCCESS"
    [(kept, why)] = world.dead()
    assert wire.decode_signature(kept).args == [Arg("int64", 1)]
    assert "'foreign hash'" in why
    assert look(world.redis) == before
    assert inflight(world.port) == []


def test_a_callback_that_grows_too_large_is_kept(world: World) -> None:
    """Its results made it so."""

    @world.server.task
    def grow() -> str:
        return "x" * MAX_BODY_BYTES

    world.work(document(Name="grow", Args=[], OnSuccess=[{"Name": "noop", "UUID": "task_next"}]))
    assert world.outcome("task_1")[0] == "SUCCESS"
    assert [why.partition(" bytes")[1] for _, why in world.dead()] == [" bytes"]
    assert world.outcome("task_next")[0] == ""


GROUPS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "is not in the result store"),
    "not a group": (b"[]", "cannot be read"),
    "another": (b'{"GroupUUID":"other","TaskUUIDs":["task_1"]}', "is another one"),
    "without a member": (b'{"GroupUUID":"group_1","TaskUUIDs":["task_1","task_gone"]}', "lacks the state"),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_a_chord_that_cannot_fire_is_told(world: World, kind: str) -> None:
    """Its member has run, and is kept with the reason, so that somebody hears of the chord."""
    stored, reason = GROUPS[kind]
    if stored is not None:
        world.redis.set("group_1", stored)
    body = document(GroupUUID="group_1", GroupTaskCount=2, ChordCallback={"Name": "noop", "UUID": "chord_1"})
    world.work(body, document(UUID="task_after"))
    [(kept, why)] = world.dead()
    assert kept == body
    assert reason in why
    assert [world.outcome(uuid)[0] for uuid in ("task_1", "task_after", "chord_1")] == ["SUCCESS", "SUCCESS", ""]
    assert world.redis.get("group_1") == stored
    assert inflight(world.port) == []


# -- delayed --


def test_hostile_delayed_tasks(world: World) -> None:
    """What cannot be decoded or has no queue to go to is kept; the others reach their queue."""
    plant(world.redis)
    bad = [b"\xff", document(ETA="+24:00"), document(RoutingKey="foreign hash"), document(RoutingKey="delayed_tasks")]
    bad.append(document(OnSuccess=[{"Name": "noop", "ETA": "2024-01-01T00:00:00+24:00"}]))
    good = [document(UUID=f"task_{number}", RoutingKey="other") for number in range(1_200)]
    world.redis.zadd("delayed_tasks", {body: at for at, body in enumerate([*bad, *good], start=1)})
    moved = 0
    while count := run(world.server.broker.move_due()):
        moved += count
    assert moved == len(bad) + len(good)
    assert sorted(body for body, _ in world.dead()) == sorted(bad)
    assert all(reason.startswith("delayed task: ") for _, reason in world.dead())
    assert world.redis.llen("other") == len(good)
    assert world.redis.zcard("delayed_tasks") == 0
    assert world.redis.hgetall("foreign hash") == {b"a": b"b"}


def test_large_delayed_tasks_are_moved_a_few_at_a_time(world: World) -> None:
    """So that a worker never holds hundreds of megabytes of them."""
    large = {document(UUID=f"task_{number}", Headers={"a": "x" * 1_100_000}): number + 1 for number in range(20)}
    world.redis.zadd("delayed_tasks", large)
    moved = [run(world.server.broker.move_due()) for _ in range(4)]
    assert moved == [8, 8, 4, 0]


# -- a key that changes its type between two looks --


class Switching(FakeRedisPort):
    """Somebody else writes to a key just before one of the transactions."""

    def __init__(self, change: Any, before: int) -> None:
        super().__init__()
        self.change = change
        self.transactions = -before

    def _run(self, command: Command) -> Any:
        if command[0] == "TRANSACT":
            self.transactions += 1
            if self.transactions == 0:
                self.change(self.redis)
        return super()._run(command)


@pytest.mark.parametrize(
    ("before", "reason"), [(1, "cannot be a task's state"), (2, "not Machinery's"), (3, "not Machinery's")]
)
def test_a_key_that_becomes_foreign_is_not_written_over(world: World, before: int, reason: str) -> None:
    """The last look is inside the script, so the message is kept and the key is as it was."""

    def change(redis: Any) -> None:
        redis.delete("task_1")
        redis.rpush("task_1", "precious")

    world.port = Switching(change, before)
    world.redis = world.port.redis
    world.server.broker.port = world.server.backend.port = world.port
    world.work(document())
    assert world.redis.lrange("task_1", 0, -1) == [b"precious"]
    assert [(body, reason in why) for body, why in world.dead()] == [(document(), True)]
    assert inflight(world.port) == []


@pytest.mark.parametrize("suffix", ["", ":reasons"])
def test_dead_letters_that_cannot_be_kept(world: World, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
    """The message stays in hand, byte for byte, the others are done, and the log says what to do."""
    key = names.dead_reasons_key(QUEUE) if suffix else DEAD_KEY
    world.redis.set(key, "precious")
    world.work(b"{]", document())
    assert [entry.endswith(b"\n{]") for entry in inflight(world.port)] == [True]
    assert world.outcome("task_1") == ("SUCCESS", "")
    assert world.redis.get(key) == b"precious"
    [told] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "can never run" in told
    assert "rename or delete it" in told
    assert key in told


def test_brokers_know_what_is_no_queue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign key is asked about each time, a queue only once."""
    broker = world.server.broker
    world.redis.hset("foreign hash", "a", "b")
    for _ in range(2):
        with pytest.raises(WrongKeyType, match="RoutingKey 'foreign hash' holds a hash, not a queue"):
            run(broker.check_queue("foreign hash"))
    run(broker.check_queue("elsewhere"))
    monkeypatch.setattr(FakeRedisPort, "send", _unreachable)
    for name in ("", QUEUE, "elsewhere"):
        run(broker.check_queue(name))
    with pytest.raises(AssertionError, match="nobody asks"):
        run(broker.check_queue("foreign hash"))


def _unreachable(_port: object, _requests: object) -> list[Any]:
    raise AssertionError("nobody asks")
