"""A worker dies before and after each of its requests, in every shape of workflow: nothing is lost or stays stuck.

Exhaustive: a shape is run as often as its first message makes requests, and dies at another one each time.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from inprocess import (
    Crashed,
    FakeRedisPort,
    drive,
    engine_of,
    fetch,
    inflight,
    make_due,
    recover,
    server_on,
    work_until_quiet,
)

from gomachinery_py import Chain, Chord, Context, Group, RetryTaskLater, Signature, wire
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.effects import Command
from gomachinery_py.wire import names

QUEUE = "machinery_tasks"


class World:
    """A server with tasks that keep a journal of what was run."""

    def __init__(self, *, foreign_store: bool = False, crash_safe: bool = True) -> None:
        self.port = FakeRedisPort()
        self.store = FakeRedisPort() if foreign_store else self.port
        self.server = server_on(self.port, self.store)
        assert isinstance(self.server.broker, RedisBroker)
        self.server.broker.crash_safe = crash_safe
        self.ran: Counter[str] = Counter()
        self.published: Counter[str] = Counter()
        self.store.on_done = self._note_pending
        journal = self.ran

        @self.server.task
        def work(ctx: Context, number: int) -> int:
            journal[ctx.signature.uuid] += 1
            return number

        @self.server.task
        def total(ctx: Context, *numbers: int) -> int:
            journal[ctx.signature.uuid] += 1
            return sum(numbers)

        @self.server.task
        def fail(ctx: Context) -> None:
            journal[ctx.signature.uuid] += 1
            raise ValueError("no")

        @self.server.task
        def told(ctx: Context, text: str) -> str:
            journal[ctx.signature.uuid] += 1
            return text

        @self.server.task
        def flaky(ctx: Context) -> int:
            journal[ctx.signature.uuid] += 1
            if ctx.retries_left:
                raise ValueError("not yet")
            return 1

        @self.server.task
        def later(ctx: Context) -> int:
            journal[ctx.signature.uuid] += 1
            if ctx.signature.eta is None:
                raise RetryTaskLater("not yet", 0.001)
            return 1

    def _note_pending(self, command: Command) -> None:
        """Each publication stores PENDING."""
        words = list(command[2]) if command[0] == "TRANSACT" else [command[0], *command[2:]]
        for name, value in itertools.pairwise(words):
            if name == "SET" and isinstance(value, bytes) and b'"State":"PENDING"' in value:
                self.published[wire.decode_task_state(value).task_uuid] += 1

    def sig(self, name: str, uuid: str, *args: int) -> Signature:
        signature = self.server.tasks[name].s(*args)
        signature.uuid = uuid
        return signature

    def state(self, uuid: str) -> str:
        stored = self.store.redis.get(uuid)
        return wire.decode_task_state(stored).state if isinstance(stored, bytes) else "none"


Send = Callable[[World], None]


@dataclass(frozen=True)
class Shape:
    """A workflow, what its tasks must have come to in the end, and how often each may run without any crash."""

    send: Send
    states: dict[str, str]
    runs: dict[str, int]
    crash_at_task: int = 0
    #: A task that the first worker does not have.
    missing: str = ""


def _single(w: World) -> None:
    w.server.send_task(w.sig("work", "t1", 1))


def _failure(w: World) -> None:
    w.server.send_task(w.sig("fail", "t1"))


def _retry(w: World) -> None:
    signature = w.sig("flaky", "t1")
    signature.retry_count = 1
    w.server.send_task(signature)


def _later(w: World) -> None:
    w.server.send_task(w.sig("later", "t1"))


def _on_success(w: World) -> None:
    signature = w.sig("work", "t1", 1)
    signature.on_success = [w.sig("total", "t2"), w.sig("total", "t3", 5)]
    w.server.send_task(signature)


def _on_error(w: World) -> None:
    signature = w.sig("fail", "t1")
    signature.on_error = [w.sig("told", "t2")]
    w.server.send_task(signature)


def _chain(w: World) -> None:
    w.server.send_chain(Chain(w.sig("work", "t1", 1), w.sig("total", "t2", 2), w.sig("total", "t3", 3)))


def _group(w: World) -> None:
    w.server.send_group(Group(w.sig("work", "t1", 1), w.sig("work", "t2", 2)))


def _chord(w: World) -> None:
    w.server.send_chord(
        Chord(Group(w.sig("work", "t1", 1), w.sig("work", "t2", 2), w.sig("work", "t3", 3)), w.sig("total", "c"))
    )


def _chord_with_failure(w: World) -> None:
    w.server.send_chord(
        Chord(Group(w.sig("work", "t1", 1), w.sig("fail", "t2"), w.sig("work", "t3", 3)), w.sig("total", "c"))
    )


def _chord_of_callbacks(w: World) -> None:
    callback = w.sig("total", "c")
    callback.on_success = [w.sig("total", "d")]
    w.server.send_chord(Chord(Group(w.sig("work", "t1", 1), w.sig("work", "t2", 2)), callback))


def _chord_of_members_with_callbacks(w: World) -> None:
    first, second = w.sig("work", "t1", 1), w.sig("work", "t2", 2)
    first.on_success, second.on_success = [w.sig("total", "s1")], [w.sig("total", "s2")]
    w.server.send_chord(Chord(Group(first, second), w.sig("total", "c")))


def _delayed(w: World) -> None:
    signature = w.sig("work", "t1", 1)
    signature.eta = datetime.now(UTC) + timedelta(hours=1)
    w.server.send_task(signature)


def _immutable_chord(w: World) -> None:
    callback = w.sig("total", "c", 7)
    callback.immutable = True
    w.server.send_chord(Chord(Group(w.sig("work", "t1", 1), w.sig("work", "t2", 2)), callback))


DONE = "SUCCESS"
CHORD = ("t1", "t2", "t3", "c")
SHAPES = {
    "single": Shape(_single, {"t1": DONE}, {"t1": 1}),
    "failure": Shape(_failure, {"t1": "FAILURE"}, {"t1": 1}),
    "retry": Shape(_retry, {"t1": DONE}, {"t1": 2}),
    "retry later": Shape(_later, {"t1": DONE}, {"t1": 2}),
    "on success": Shape(_on_success, {"t1": DONE, "t2": DONE, "t3": DONE}, {"t1": 1, "t2": 1, "t3": 1}),
    "on error": Shape(_on_error, {"t1": "FAILURE", "t2": DONE}, {"t1": 1, "t2": 1}),
    "chain": Shape(_chain, {"t1": DONE, "t2": DONE, "t3": DONE}, {"t1": 1, "t2": 1, "t3": 1}),
    "group": Shape(_group, {"t1": DONE, "t2": DONE}, {"t1": 1, "t2": 1}),
    "chord, first member": Shape(_chord, dict.fromkeys(CHORD, DONE), dict.fromkeys(CHORD, 1)),
    "chord, last member": Shape(_chord, dict.fromkeys(CHORD, DONE), dict.fromkeys(CHORD, 1), crash_at_task=2),
    "chord, callback": Shape(_chord, dict.fromkeys(CHORD, DONE), dict.fromkeys(CHORD, 1), crash_at_task=3),
    "chord with a failed member": Shape(
        _chord_with_failure, {"t1": DONE, "t2": "FAILURE", "t3": DONE, "c": "none"}, {"t1": 1, "t2": 1, "t3": 1}, 2
    ),
    "chord with a callback's callback": Shape(
        _chord_of_callbacks, dict.fromkeys(("t1", "t2", "c", "d"), DONE), dict.fromkeys(("t1", "t2", "c", "d"), 1), 2
    ),
    "chord, first member with a callback": Shape(
        _chord_of_members_with_callbacks,
        dict.fromkeys(("t1", "t2", "s1", "s2", "c"), DONE),
        dict.fromkeys(("t1", "t2", "s1", "s2", "c"), 1),
    ),
    "chord, last member with a callback": Shape(
        _chord_of_members_with_callbacks,
        dict.fromkeys(("t1", "t2", "s1", "s2", "c"), DONE),
        dict.fromkeys(("t1", "t2", "s1", "s2", "c"), 1),
        crash_at_task=1,
    ),
    "unregistered": Shape(_single, {"t1": DONE}, {"t1": 1}, missing="work"),
    "delayed": Shape(_delayed, {"t1": DONE}, {"t1": 1}),
    "immutable chord": Shape(
        _immutable_chord, dict.fromkeys(("t1", "t2", "c"), DONE), dict.fromkeys(("t1", "t2", "c"), 1), 1
    ),
}


def _run(world: World, shape: Shape, crash_at: int, *, deaths: int = 0) -> bool:
    """Run a shape; the worker dies at a half step: before or after one of its requests. False: it never got there.

    Of what waits then so many workers have died before.
    """
    shape.send(world)
    for number in range(shape.crash_at_task):
        for delivery in fetch(world.server, f"early-{number}"):
            drive(engine_of(world.server).process(delivery), lambda: None, lambda: None)
    for body in world.port.redis.lrange(QUEUE, 0, -1) if deaths else ():
        world.port.redis.hset(names.attempts_key(QUEUE), body, deaths)
    steps = 0

    def half_step() -> None:
        nonlocal steps
        if steps == crash_at:
            raise Crashed
        steps += 1

    try:
        _one_round(world, shape, half_step)
        died = False
    except Crashed:
        died = True
    work_until_quiet(world.server)
    return died


def _one_round(world: World, shape: Shape, half_step: Callable[[], None]) -> None:
    """All that a worker does for one message: bring what is due, recover, take, run, give back another, sign off."""
    broker = world.server.broker
    engine = engine_of(world.server)
    if shape.missing:
        engine.tasks = {name: task for name, task in engine.tasks.items() if name != shape.missing}
    taken: list[Delivery] = []

    async def take() -> None:
        taken.extend(await broker.fetch("machinery_tasks", "victim", 2, 0.0))

    make_due(world.server)
    drive(broker.beat("machinery_tasks", "victim"), half_step, half_step)
    drive(broker.move_due(), half_step, half_step)
    broker.lease = 30.0
    drive(broker.recover("machinery_tasks"), half_step, half_step)
    broker.lease = 0.0
    drive(take(), half_step, half_step)
    drive(broker.hand_back(taken[1:]), half_step, half_step)
    for delivery in taken[:1]:
        drive(engine.process(delivery), half_step, half_step)
    drive(broker.retire("machinery_tasks", "victim"), half_step, half_step)


@pytest.mark.parametrize(
    ("name", "deaths"),
    [*((name, 0) for name in SHAPES), *((name, 2) for name in ("single", "retry", "on error", "chord, last member"))],
)
@pytest.mark.parametrize("foreign_store", [False, True], ids=["one Redis", "another store"])
def test_a_crash_at_every_step(name: str, deaths: int, foreign_store: bool) -> None:
    """Every task comes to its end, nobody holds anything, and at most one task ran once more for the one crash.

    So also when two workers have died before, and the task therefore runs alone.
    """
    shape = SHAPES[name]
    crash_at, died = 0, True
    while died:
        world = World(foreign_store=foreign_store)
        died = _run(world, shape, crash_at, deaths=deaths)
        where = f"{name}, half step {crash_at}"
        assert shape.states == {uuid: world.state(uuid) for uuid in shape.states}, where
        assert inflight(world.port) == [], where
        assert world.port.redis.llen(names.dead_key("machinery_tasks")) == 0, where
        assert world.port.redis.exists(names.alone_key(QUEUE)) == 0, where
        extra = world.ran - Counter(shape.runs)
        # Elsewhere than on one Redis callbacks may be sent twice, so what hangs on the crashed task may run again.
        assert sum(extra.values()) <= (sum(shape.runs.values()) if foreign_store else 1), where
        assert Counter(shape.runs) - world.ran == Counter(), where
        if not foreign_store:
            # Each task is published once, and once more for each retry.
            assert Counter(shape.runs) == world.published, where
        crash_at += 1
    assert crash_at > 12


@pytest.mark.parametrize("name", SHAPES)
def test_without_crash_safety_a_crash_loses_the_task(name: str) -> None:
    """The tests above would notice: with the safeguard off, some crash leaves a task that never comes to its end."""
    shape = SHAPES[name]
    lost, crash_at, died = 0, 0, True
    while died and not lost:
        world = World(crash_safe=False)
        died = _run(world, shape, crash_at)
        lost = sum(world.state(uuid) != state for uuid, state in shape.states.items())
        crash_at += 1
    assert lost > 0


@pytest.mark.parametrize(
    "name", ["retry", "on success", "on error", "chain", "chord, last member", "chord, last member with a callback"]
)
def test_without_one_step_for_all_writes_something_is_sent_twice(name: str) -> None:
    """The tests above would notice: with state, callbacks and removal as steps of their own, a crash repeats one."""
    shape = SHAPES[name]
    repeated, crash_at, died = 0, 0, True
    while died and not repeated:
        world = World()
        world.server._producer.fused = False
        died = _run(world, shape, crash_at)
        repeated += sum((world.published - Counter(shape.runs)).values())
        crash_at += 1
    assert repeated > 0


def test_a_worker_that_lost_its_lease_writes_nothing() -> None:
    """A zombie that wakes up after its task was given to another finds that it may not write."""
    world = World()
    _single(world)
    (delivery,) = fetch(world.server, "zombie")
    zombie = engine_of(world.server).process(delivery)
    asked: list[str] = []

    def steal() -> None:
        asked.append("request")
        if len(asked) == 2:
            # It is about to store its result; by now others have taken its task, and changed the state.
            recover(world.server)
            work_until_quiet(world.server)
            world.store.redis.set("t1", b"sentinel")

    drive(zombie, steal, lambda: None)
    assert len(asked) >= 2
    assert world.store.redis.get("t1") == b"sentinel"


def test_a_task_that_kills_its_workers_is_buried() -> None:
    """After four deaths while it ran, it is a dead letter and the queue goes on."""
    world = World()
    _single(world)
    for number in range(6):
        _die_running(world, fetch(world.server, f"victim-{number}"))
        assert recover(world.server) == ((1, 0) if number < 3 else (0, number == 3))
    assert world.port.redis.llen("machinery_tasks") == 0
    assert world.port.redis.llen(names.dead_key("machinery_tasks")) == 1
    assert world.port.redis.hlen(names.attempts_key("machinery_tasks")) == 0
    assert world.ran["t1"] == 4


def _die_running(world: World, deliveries: Sequence[Delivery]) -> None:
    """A worker dies while it runs these, each about to store its result."""
    for delivery in deliveries:
        steps = 0

        def die(asked: int = 2 + min(delivery.attempts, 2)) -> None:
            nonlocal steps
            steps += 1
            if steps == asked:
                raise Crashed

        with pytest.raises(Crashed):
            drive(engine_of(world.server).process(delivery), die, lambda: None)


def _counted(world: World) -> dict[str, int]:
    """How many deaths are counted of each task."""
    found = world.port.redis.hgetall(names.attempts_key(QUEUE))
    return {wire.decode_signature(body).uuid: int(count) for body, count in found.items()}


def test_of_suspects_only_the_one_that_runs_is_counted() -> None:
    """What ran together is counted together twice; then one is found guilty, and the others are cleared."""
    world = World()
    for number in range(3):
        world.server.send_task(world.sig("work", f"t{number}", number))
    for number in range(2):
        _die_running(world, fetch(world.server, f"both-{number}", 3))
        recover(world.server)
        assert dict.fromkeys(("t0", "t1", "t2"), number + 1) == _counted(world)
    for number in range(2):
        suspects = fetch(world.server, f"alone-{number}", 3)
        _die_running(world, suspects[1:2])
        recover(world.server)
        assert {"t0": 2, "t2": 2} == {uuid: count for uuid, count in _counted(world).items() if uuid != "t1"}
    (letter,) = world.port.redis.lrange(names.dead_key(QUEUE), 0, -1)
    assert "t1" == wire.decode_signature(letter).uuid
    work_until_quiet(world.server)
    assert ["SUCCESS", "STARTED", "SUCCESS"] == [world.state(f"t{number}") for number in range(3)]
    assert {} == _counted(world)


def test_a_suspect_that_waits_is_not_counted_with_what_runs() -> None:
    """Its worker dies of something else before the suspect had its turn, whatever is stored of an earlier run."""
    world = World()
    world.server.send_task(world.sig("work", "suspect", 1))
    for number in range(2):
        _die_running(world, fetch(world.server, f"victim-{number}"))
        recover(world.server)
    world.server.send_task(world.sig("work", "guilty", 1))
    _suspect, guilty = fetch(world.server, "victim-2", 2)
    _die_running(world, [guilty])
    recover(world.server)
    assert {"suspect": 2, "guilty": 1} == _counted(world)


def test_what_a_zombie_sets_apart_means_nothing() -> None:
    """A worker that lost its lease while a suspect waited runs it not, and leaves no mark."""
    world = World()
    _single(world)
    for number in range(2):
        _die_running(world, fetch(world.server, f"victim-{number}"))
        recover(world.server)
    (delivery,) = fetch(world.server, "zombie")
    asked: list[str] = []

    def steal() -> None:
        asked.append("request")
        if len(asked) == 2:
            # It has looked at what is stored, and is about to set the task apart.
            recover(world.server)
            work_until_quiet(world.server)

    drive(engine_of(world.server).process(delivery), steal, lambda: None)
    assert 2 == len(asked)
    assert 3 == world.ran["t1"]
    assert world.port.redis.exists(names.alone_key(QUEUE)) == 0
