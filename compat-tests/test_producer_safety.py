"""Whatever our producer accepts is safe for Go's workers, and what it refuses has left no trace.

One task with an argument error stops a v2 Go worker on Redis for good, others kill its process: so this is about what
may never be sent.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.sends import REUSED, Plan, declare, plans
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gomachinery_py import Arg, Chain, Chord, Config, Group, Server, Signature
from gomachinery_py.golang.json import Number
from gomachinery_py.golang.time import Time

WORKERS = [("v1", "redigo"), ("v2", "redigo"), ("v2", "goredis")]
ACCEPTED = 5_000
EXAMPLES, BATCH = 190, 50
#: Every refusal names what it is about, so one of these is in its text.
NAMED = ("task ", "argument", "item ", "chain", "group", "chord", "supported types", "headers")


class _Batch(list[Plan]):
    """Plans that are sent before the workers are looked at; printed in full only by what went wrong."""

    def __repr__(self) -> str:
        return f"{len(self)} plans"

    def told(self) -> str:
        return "".join(f"\n  {plan!r}" for plan in self)


class _Fleet:
    """Servers of our own, each in front of one Go worker on a Redis of its own."""

    def __init__(self, servers: list[Server], workers: list[GoWorker]) -> None:
        self.servers = servers
        self.workers = workers
        self.stubs = declare(servers[0])
        self.commands = 0
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        #: Tasks that must have run once the queue is empty.
        self.due: list[str] = []
        for server in servers:
            server.broker.port.observer = self._count

    def _count(self, _command: object) -> None:
        self.commands += 1

    def carry_out(self, plan: Plan) -> None:
        before = self.commands
        try:
            sent = plan.carry_out(self.stubs, self.servers)
        except (TypeError, ValueError) as error:
            text = str(error)
            assert self.commands == before, f"{plan} wrote something and was refused then: {text}"
            assert any(name in text for name in NAMED), f"{plan}: {text!r} names nothing"
            assert len(text) < 600, f"{plan}: {text!r} is too long"
            self.refused[type(error).__name__] += 1
            return
        self.accepted[plan.how] += 1
        now = datetime.now(UTC)
        self.due += [
            task.uuid
            for task in sent
            if task.routing_key in ("", "machinery_tasks")
            and (task.eta is None or task.eta <= now)
            and not task.ignore_when_task_not_registered
            and not task.retry_count
            and task.uuid != REUSED
        ]

    def check(self, batch: _Batch) -> None:
        """Every worker has done all that was due, without an error of its own, and goes on."""
        for server, worker in zip(self.servers, self.workers, strict=True):
            what = f"{worker.name} after{batch.told()}"
            assert worker.consumes(30), worker.failed(f"no longer works: {what}")
            assert worker.restarts == 0, worker.failed(f"was restarted: {what}")
            client = worker.redis.client
            wait_until(functools.partial(self._is_done, client), 30, f"all tasks done: {what}")
            assert client.type("machinery_tasks") in (b"none", b"list")
            assert client.type("delayed_tasks") in (b"none", b"zset")
            server.close()
        self.due.clear()

    def _is_done(self, client: Any) -> bool:
        states = client.mget(self.due) if self.due else []
        return all(state and json.loads(state)["State"] in ("SUCCESS", "FAILURE") for state in states)


@pytest.fixture
def fleet(make_redis: Callable[..., RedisServer], go_worker: Callable[..., GoWorker]) -> _Fleet:
    """v1 and both clients of v2."""
    databases = [make_redis() for _ in WORKERS]
    workers = [
        go_worker(version, client, redis=database, concurrency=4)
        for (version, client), database in zip(WORKERS, databases, strict=True)
    ]
    return _Fleet([Server(database.url()) for database in databases], workers)


def test_go_workers_survive_whatever_is_accepted(fleet: _Fleet) -> None:
    """None restarts, hangs or ends; everything due is run; what is refused is refused before anything is written."""
    started = time.monotonic()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(st.lists(plans, min_size=BATCH, max_size=BATCH).map(_Batch))
    def send(batch: _Batch) -> None:
        for plan in batch:
            fleet.carry_out(plan)
        fleet.check(batch)

    send()
    fleet.check(_Batch())
    accepted, refused = sum(fleet.accepted.values()), sum(fleet.refused.values())
    print(
        f"\n{accepted} sends accepted {dict(fleet.accepted)} and {refused} refused {dict(fleet.refused)}, "
        f"to {len(WORKERS)} Go workers in {time.monotonic() - started:.0f} s"
    )
    assert accepted >= ACCEPTED


# -- what is refused --

NOW = datetime.now(UTC)
QUEUE = "machinery_tasks"


def _task(name: str = "add", *args: Arg, **fields: Any) -> Signature:
    return Signature(name, list(args), **fields)


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _long_chain() -> Chain:
    return Chain(*(_task("noop") for _ in range(5_001)))


def _spoiled(field: str, value: Any) -> Chord:
    chord = Chord(Group(_task(), _task()), _task("multiply"))
    setattr(chord.group.tasks[0], field, value)
    return chord


def _clashing(which: str) -> Chord:
    chord = Chord(Group(_task(), _task()), _task("multiply"))
    first, second = chord.group.tasks
    if which == "members":
        first.uuid = second.uuid
    elif which == "callback":
        chord.callback.uuid = second.uuid
    elif which == "group":
        chord.callback.uuid = chord.group.group_uuid
    else:
        first.on_success = [_task("noop", uuid=chord.group.group_uuid)]
    return chord


CIRCLE: dict[str, Any] = {}
CIRCLE["again"] = CIRCLE

NO_INTEGERS: list[Any] = [True, 1.5, None, [], {}, b"1", 2**63, -(2**63) - 1, Number("1.0"), Number("1e3")]
NO_LISTS: list[Any] = [True, {}, {"a": 1}, "5", [True], ["x"], [None], [1.5], [[1]], [2**63], 5]
NO_HEADERS: list[Any] = [{"a": math.nan}, {"a": _nested(10_000)}, CIRCLE, {"a": b""}, {1: 1}, []]
VALUES: list[tuple[str, Any]] = [
    *((kind, "x") for kind in ("int64", "uint8", "float64", "bool", "[]int64", "[]bool")),
    *(("int64", value) for value in NO_INTEGERS),
    *(("int8", 300), ("int32", 2**31), ("uint64", -1), ("uint64", 2**64), ("uint16", 65_536), ("string", 5)),
    *(("float64", value) for value in (math.nan, math.inf, -math.inf, True, Number("1e400"), 10**400)),
    *(
        ("float32", 3.5e38),
        ("float32", math.nan),
        ("string", None),
        ("string", "\ud800"),
        ("bool", 0),
        ("bool", "true"),
    ),
    *(("[]int64", value) for value in NO_LISTS),
    *(("[]string", [False]), ("[]string", [None]), ("[]string", {"a": 1}), ("[]float64", [math.nan]), ("[]byte", "?")),
    *(("[]byte", [256]), ("[]uint8", [-1]), ("int128", 1), ("", 1), ("map[string]int", {}), ("[]any", [])),
]
FIELDS: list[tuple[str, Any]] = [
    *(("on_success", [None]), ("on_error", [None]), ("on_success", [_task(on_error=[None])]), ("on_error", "x")),
    *(("stop_task_deletion_on_error", True), ("on_success", [_task(stop_task_deletion_on_error=True)])),
    *(("eta", moment) for moment in (datetime(2030, 1, 1), datetime(1969, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00Z")),
    *(("eta", datetime(2263, 1, 1, tzinfo=UTC)), ("eta", Time.from_unix_ns(253_402_300_800 * 10**9))),
    *(("retry_count", value) for value in (-1, 2**63, 10**400, True, "3", 1.0, math.inf)),
    *(("retry_timeout", value) for value in (-1, 2**63 - 1, 2**63 - 100, 367 * 86_400, "1", None)),
    *(("priority", value) for value in (-1, 256, True, 1.0)),
    *(("headers", value) for value in NO_HEADERS),
    *(
        (field, name)
        for field in ("uuid", "group_uuid", "routing_key")
        for name in ("later", "TriggerChordMutex", "machinery_lock_x", "{machinery_tasks}:gmpy:dead", 5)
    ),
    *(("uuid", QUEUE), ("group_uuid", QUEUE), ("uuid", None), ("name", None), ("name", "")),
    *(("args", [Arg("int64", 1)] * 10_001), ("args", [1]), ("args", "x"), ("immutable", "yes")),
    *(("chord_callback", _task()), ("chord_callback", "x")),
    ("on_success", [_task(uuid=QUEUE)]),
    ("on_error", [_task(routing_key="later")]),
]
#: What the error says where it is not the field's own name.
SAID = {
    "args": ("argument", "args"),
    "on_success": ("on_success", "on_error", "uuid", "stop_task_deletion_on_error"),
    "on_error": ("on_error", "routing_key"),
    "chord_callback": ("chord_callback",),
    "name": ("name",),
}
WORKFLOWS: dict[str, tuple[str, Callable[[], Any], str]] = {
    "a chain of 5,001": ("chain", _long_chain, "nested deeper"),
    "a late member": ("group", lambda: Group(_task(), _task(eta=NOW + timedelta(hours=2))), "eta is"),
    "a late chord": (
        "chord",
        lambda: Chord(Group(_task(eta=NOW + timedelta(hours=2))), _task("multiply")),
        "eta is",
    ),
    "retries beyond the chord's end": (
        "chord",
        lambda: Chord(Group(_task(retry_count=30)), _task("multiply")),
        "its retries",
    ),
    "another group": ("chord", lambda: _spoiled("group_uuid", "group_other"), "group_uuid"),
    "another count": ("chord", lambda: _spoiled("group_task_count", 1), "group_task_count"),
    "a member that is no member": ("chord", lambda: _spoiled("group_uuid", ""), "group"),
    "two members of one UUID": ("chord", lambda: _clashing("members"), "uuid"),
    "a callback with a member's UUID": ("chord", lambda: _clashing("callback"), "uuid"),
    "a callback with the group's UUID": ("chord", lambda: _clashing("group"), "uuid"),
    "an OnSuccess with the group's UUID": ("chord", lambda: _clashing("below"), "uuid"),
    "a chord that waits for itself": ("chord", lambda: _spoiled("uuid", QUEUE), "uuid"),
    "16 MiB and a byte": ("task", lambda: _task("concat", Arg("string", "x" * (16 << 20))), "bytes"),
    "16 MiB and a byte in a group": ("group", lambda: Group(_task("concat", Arg("string", "x" * (16 << 20)))), "bytes"),
    "its own queue as UUID": ("task", lambda: _task(uuid="q", routing_key="q"), "'q'"),
}


@pytest.fixture
def quiet(redis_server: RedisServer) -> Iterator[tuple[Server, Callable[[], object]]]:
    """A server without a worker, and a look at everything that its Redis holds."""
    client = redis_server.client
    client.rpush(QUEUE, "waiting")
    client.zadd("later", {"delayed": 1})

    def look() -> dict[bytes, bytes]:
        return {key: client.dump(key) for key in client.keys("*")}

    config = Config.of(broker=redis_server.url(), result_backend=redis_server.url(), redis__delayed_tasks_key="later")
    with Server(config) as server:
        yield server, look


Quiet = tuple[Server, Callable[[], object]]


def _refused(quiet: Quiet, send: Callable[[Server], object]) -> str:
    server, look = quiet
    before = look()
    with pytest.raises((TypeError, ValueError)) as caught:
        send(server)
    assert look() == before
    text = str(caught.value)
    assert len(text) < 500
    return text


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=range(len(VALUES)))
def test_mistyped_values_are_refused(quiet: Quiet, kind: str, value: Any) -> None:
    """At the send, by name of the task and number of the argument, with nothing written."""
    text = _refused(quiet, lambda server: server.send_task(_task("add", Arg("int64", 1), Arg(kind, value))))
    assert "argument 2" in text or f"{kind} is not one of supported types" in text
    _refused(quiet, lambda server: server.send_chain(Chain(_task(), _task("add", Arg(kind, value)))))
    _refused(quiet, lambda server: server.send_group(Group(_task(), _task("add", Arg(kind, value)))))
    _refused(quiet, lambda server: server.send_chord(Chord(Group(_task()), _task("add", Arg(kind, value)))))


@pytest.mark.parametrize(("field", "value"), FIELDS, ids=range(len(FIELDS)))
def test_harmful_fields_are_refused(quiet: Quiet, field: str, value: Any) -> None:
    """The error names the field; nothing is written, wherever in a workflow the task is."""

    def task() -> Signature:
        signature = _task()
        setattr(signature, field, value)
        return signature

    text = _refused(quiet, lambda server: server.send_task(task()))
    assert any(word in text for word in SAID.get(field, (field,))), text
    _refused(quiet, lambda server: server.send_task(_task(on_success=[_task(on_error=[task()])])))
    if field not in ("uuid", "group_uuid", "on_success", "chord_callback"):
        _refused(quiet, lambda server: server.send_chord(Chord(Group(_task(), task()), _task("multiply"))))
        _refused(quiet, lambda server: server.send_chord(Chord(Group(_task()), task())))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_harmful_workflows_are_refused(quiet: Quiet, name: str) -> None:
    """Groups that a worker could not find or would overwrite, and what is too deep or too large."""
    how, build, expected = WORKFLOWS[name]
    built = build()
    assert expected in _refused(quiet, lambda server: getattr(server, f"send_{how}")(built))


def test_a_chord_needs_a_store(redis_server: RedisServer) -> None:
    """With the null store every member of a Go worker's chord would fire it."""
    with Server(redis_server.url(), result_backend="null") as server:
        quiet = server, lambda: redis_server.client.dbsize()
        text = _refused(quiet, lambda server: server.send_chord(Chord(Group(_task()), _task("multiply"))))
    assert "a chord needs a result store" in text


def test_one_bad_row_refuses_all(quiet: Quiet) -> None:
    """send_many checks every row before the first is sent."""
    server, _ = quiet
    stubs = declare(server)
    text = _refused(quiet, lambda server: server.send_many(stubs["add"], [(1, 2), (3, "x")]))
    assert "add() argument 2" in text


HARM: dict[str, dict[str, Any]] = {
    "a mistyped value": {"Args": [{"Name": "", "Type": "int64", "Value": "x"}]},
    "an unknown type": {"Args": [{"Name": "", "Type": "int128", "Value": 1}]},
    "a missing group": {"GroupUUID": "group_x", "GroupTaskCount": 1, "ChordCallback": {"Name": "noop"}},
    "a bool for a list": {"Args": [{"Name": "", "Type": "[]int64", "Value": True}]},
    "a null callback": {"OnSuccess": [None]},
}


@pytest.mark.parametrize("what", HARM)
def test_what_is_refused_would_do_harm(
    what: str, redis_server: RedisServer, go_worker: Callable[..., GoWorker]
) -> None:
    """The same put on the queue by hand restarts or ends a v1 Go worker, and the harness sees it."""
    worker = go_worker("v1", concurrency=1, normal_poll=100)
    document = {"UUID": "task_bad", "Name": "add", **HARM[what]}
    redis_server.client.rpush(QUEUE, json.dumps(document))
    wait_until(lambda: worker.restarts or not worker.alive, 10, "a Go worker that stops")
