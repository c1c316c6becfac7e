"""The harness itself: Go producers and workers among themselves, so that other tests rest on solid ground."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from harness.go_producer import GoError, GoProducer, GoTaskFailed, GoTimeout, GoValue
from harness.go_worker import GoWorker
from harness.journal import Change, Journal
from harness.normalise import Names
from harness.process import wait_until
from harness.recorder import Recorder
from harness.redis_server import RedisServer
from harness.signatures import push, signature

PAIRS = [("v1", "redigo"), ("v1", "goredis"), ("v2", "redigo"), ("v2", "goredis")]
GoPair = tuple[GoProducer, GoWorker]


@pytest.fixture(params=PAIRS, ids="-".join)
def go_pair(request: Any, go_producer: Callable[..., Any], go_worker: Callable[..., Any]) -> GoPair:
    """A Go producer and a Go worker of one version and client."""
    version, client = request.param
    return go_producer(version, client), go_worker(version, client)


def values(results: list[GoValue]) -> list[Any]:
    return [result.value for result in results]


def test_a_go_worker_does_what_a_go_producer_sends(go_pair: GoPair) -> None:
    """Results in any number, errors, three kinds of panic and wrong arguments come back as Go reports them."""
    producer, worker = go_pair

    def get(task: str, *args: tuple[str, object]) -> list[Any]:
        return values(producer.get(producer.send_task(signature(task, *args), typed=True)))

    def failure(task: str, *args: tuple[str, object]) -> str:
        with pytest.raises(GoTaskFailed) as caught:
            get(task, *args)
        return str(caught.value)

    assert get("add", ("int64", 1), ("int64", 2)) == [3]
    assert get("sum", ("[]int64", [1, 2, 3])) == [6]
    assert get("return_multiple_values", ("string", "a"), ("string", "b"), ("bool", False)) == ["a", "b"]
    assert get("return_just_error", ("string", ""), ("bool", False)) == []
    assert get("noop") == []
    assert failure("return_just_error", ("string", "Test error"), ("bool", True)) == "Test error"
    assert failure("fail", ("string", "no <luck> & more")) == "no <luck> & more"
    assert failure("panic") == "oops"
    assert failure("panic_string") == "plain text"
    assert failure("panic_other") == "Invoking task caused a panic"
    assert failure("sum", ("string", "x")) == "reflect: Call using string as type []int64"
    assert worker.restarts == 0


ECHOES = [
    ("bool", True),
    ("int", -1),
    ("int8", -128),
    ("int16", 32767),
    ("int32", -(2**31)),
    ("int64", 2**63 - 1),
    ("uint", 2**64 - 1),
    ("uint8", 255),
    ("uint16", 65535),
    ("uint32", 2**32 - 1),
    ("uint64", 2**64 - 1),
    ("float32", 0.1),
    ("float64", 1e300),
    ("string", "żółw <&> \u2028"),
]


def test_each_type_is_echoed(go_pair: GoPair) -> None:
    """Every Machinery type and its slice comes back from its echo task with Go's reflected type name."""
    producer, _ = go_pair
    arguments = dict(ECHOES) | {f"[]{kind}": [value] for kind, value in ECHOES} | {"[]uint8": "AP8="}

    def send(kind: str, value: object) -> str:
        return producer.send_task(signature(f"echo_{kind}", (kind, value)), typed=True)

    sent = {kind: send(kind, value) for kind, value in arguments.items()}
    [byte_slice] = producer.get(send("[]byte", "AP8="))

    echoed = {kind: [(r.type, r.value) for r in producer.get(uuid)] for kind, uuid in sent.items()}
    assert echoed == {kind: [(kind, value)] for kind, value in arguments.items()}
    assert (byte_slice.type, byte_slice.text, byte_slice.value) == ("[]uint8", "[0 255]", "AP8=")


def test_all_types_at_once(go_producer: Callable[..., Any], go_worker: Callable[..., Any]) -> None:
    """Fourteen arguments and fourteen results, scalars and slices, keep their order and types."""
    producer, _ = go_producer(), go_worker()
    slices = [(f"[]{kind}", [value] if kind != "uint8" else "AP8=") for kind, value in ECHOES]

    scalars = producer.get(producer.send_task(signature("all_scalars", *ECHOES), typed=True))
    sliced = producer.get(producer.send_task(signature("all_slices", *slices), typed=True))

    assert [(result.type, result.value) for result in scalars] == ECHOES
    assert [(result.type, result.value) for result in sliced] == slices


def test_workflows(go_pair: GoPair) -> None:
    """Chain, group, chord and callbacks between Go and Go give the results of Machinery's own examples."""
    producer, _ = go_pair

    def add(first: int, second: int) -> dict[str, Any]:
        return signature("add", ("int64", first), ("int64", second))

    chain = producer.send_chain(add(2, 2), add(5, 6), signature("multiply", ("int64", 4)))
    group = producer.send_group(add(1, 1), add(2, 2), add(5, 6))
    chord = producer.send_chord(add(1, 1), add(2, 2), add(5, 6), callback=signature("multiply"))

    assert values(producer.get(*chain.all)) == [60]
    assert [values(producer.get(uuid)) for uuid in group.uuids] == [[2], [4], [11]]
    assert values(producer.get(*chord.all)) == [88]
    assert [state["State"] for state in producer.group_states(chord.group_uuid, 3)] == ["SUCCESS"] * 3


def test_retries_and_eta(go_pair: GoPair) -> None:
    """RetryTaskLater, retries by count and an ETA run the task again, or late, and never early."""
    producer, _ = go_pair
    later = [("string", "busy"), ("int64", 20), ("int64", 2)]
    eta = datetime.now(UTC) + timedelta(milliseconds=300)
    delayed = producer.send_task(signature("nano_time", ETA=eta.isoformat()))
    retried = producer.send_task(signature("retry_later", *later), typed=True)
    failed_once = producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=3))

    assert values(producer.get(retried)) == [3]
    assert values(producer.get(failed_once)) == [2]
    assert producer.get(delayed)[0].value >= eta.timestamp() * 1e9


def test_context_and_record(go_pair: GoPair, redis_server: RedisServer) -> None:
    """A task sees its signature and headers, and the record task counts executions in Redis."""
    producer, _ = go_pair
    task = signature("context_signature", Headers={"trace": "abc", "n": 1.50})
    uuid = producer.send_task(task)
    on_error = signature("record", ("string", "context"), UUID="task_on_error")
    producer.send_task(signature("fail", ("string", "bad"), OnError=[on_error]))

    seen = json.loads(producer.get(uuid)[0].value)
    producer.get("task_on_error")

    assert (seen["UUID"], seen["Headers"]) == (uuid, {"trace": "abc", "n": 1.50})
    assert redis_server.client.lrange("test:records", 0, -1) == [b"go-worker|bad|context"]


def test_readers_and_errors_of_the_producer(go_producer: Callable[..., Any]) -> None:
    """Waiting tasks are listed, a missing result is a timeout and a bad command an error with Go's text."""
    producer = go_producer()
    uuid = producer.send_task(signature("noop", RoutingKey="other"))
    late = producer.send_task(signature("noop", ETA="2099-01-01T00:00:00Z"))

    assert [task["UUID"] for task in producer.pending("other")] == [uuid]
    assert [task["UUID"] for task in producer.delayed()] == [late]
    assert producer.pending() == []
    assert producer.state(uuid)["State"] == "PENDING"
    with pytest.raises(GoTimeout):
        producer.get(uuid, timeout=0.05)
    with pytest.raises(GoError, match="cannot unmarshal number"):
        producer.send_task({"Name": 1})
    with pytest.raises(GoError, match="x is not one of supported types"):
        producer.send_task(signature("noop", ("x", 1)), typed=True)


@pytest.mark.parametrize(("version", "client"), PAIRS)
def test_health_is_seen(version: str, client: str, redis_server: RedisServer, go_worker: Callable[..., Any]) -> None:
    """One task with an argument error restarts a Go consumer, and stops v2's redigo client for good."""
    worker = go_worker(version, client, concurrency=2, normal_poll=100)
    assert worker.consumes()
    assert worker.restarts == 0

    push(redis_server.client, "machinery_tasks", signature("add", ("int64", "x"), UUID="task_bad"))

    if (version, client) == ("v2", "redigo"):
        wait_until(lambda: b"FAILURE" in (redis_server.client.get("task_bad") or b""), 10, "a failed task")
        assert not worker.consumes(2)
        assert worker.alive
    else:
        wait_until(lambda: worker.restarts == 1, 10, "a restarted consumer")


def test_a_killed_go_worker_is_seen(redis_server: RedisServer, go_worker: Callable[..., Any]) -> None:
    """A bool given as a list ends a Go process, and the harness says so."""
    worker = go_worker("v1")

    push(redis_server.client, "machinery_tasks", signature("sum", ("[]int64", True), UUID="task_bad"))

    assert worker.wait(10) == 2
    assert not worker.alive
    assert "panic" in worker.log


def test_a_go_worker_drains_on_the_first_signal(go_producer: Callable[..., Any], go_worker: Callable[..., Any]) -> None:
    """SIGTERM lets the running task end, and the worker then ends with exit code 0."""
    producer, worker = go_producer(), go_worker(concurrency=1)
    uuid = producer.send_task(signature("sleep_ms", ("int64", 300)))
    wait_until(lambda: producer.state(uuid)["State"] == "STARTED", 10, "a started task")

    assert worker.stop() == 0
    assert producer.state(uuid)["State"] == "SUCCESS"


def test_only_and_custom_queue(
    redis_server: RedisServer, go_producer: Callable[..., Any], go_worker: Callable[..., Any]
) -> None:
    """A worker can serve a custom queue and only some tasks; others go back to its queue, or are dropped."""
    producer = go_producer()
    unknown = producer.send_task(signature("add", RoutingKey="special"))
    dropped = producer.send_task(signature("add", RoutingKey="special", IgnoreWhenTaskNotRegistered=True))
    known = producer.send_task(signature("noop", RoutingKey="special"))

    with Journal(redis_server) as journal:
        go_worker(custom_queue="special", only="noop")
        assert values(producer.get(known)) == []
        wait_until(lambda: len(journal.changes()) > 5, 10, "the unknown task back on the queue")
        pushed = {json.loads(change.value)["UUID"] for change in journal.changes() if change.verb == "rpush"}

    assert pushed == {unknown}
    assert {producer.state(uuid)["State"] for uuid in (unknown, dropped)} == {"PENDING"}


REDIS_KINDS: dict[str, dict[str, Any]] = {
    "password": {"password": "p@ss word"},
    "user": {"user": ("alice", "s3cret")},
    "tls": {"tls": True},
    "tls-password": {"tls": True, "password": "secret"},
}


@pytest.mark.parametrize("kind", REDIS_KINDS)
def test_go_reaches_every_kind_of_redis(
    kind: str,
    make_redis: Callable[..., RedisServer],
    go_producer: Callable[..., Any],
    go_worker: Callable[..., Any],
) -> None:
    """Password, ACL user and TLS servers serve a Go producer and worker, and refuse a stranger."""
    server = make_redis(**REDIS_KINDS[kind])
    producer, _ = go_producer(redis=server), go_worker(redis=server)
    stranger = go_producer(redis=server, broker=f"redis://127.0.0.1:{server.port}", tls_ca="")

    assert values(producer.get(producer.send_task(signature("add", ("int64", 2), ("int64", 3))))) == [5]
    with pytest.raises(GoError, match=r"NOAUTH|EOF|reset"):
        stranger.send_task(signature("noop"))


def test_go_reaches_a_unix_socket(
    make_redis: Callable[..., RedisServer], go_producer: Callable[..., Any], go_worker: Callable[..., Any]
) -> None:
    """A server on a unix socket with a password and a database number serves Go v1 and v2."""
    server = make_redis(unix_socket=True, password="secret")
    for version in ("v1", "v2"):
        producer = go_producer(version, redis=server, broker=server.socket_url(3))
        go_worker(version, redis=server, broker=server.socket_url(3))

        assert values(producer.get(producer.send_task(signature("add", ("int64", 1))))) == [1]
        assert server.client.dbsize() == 0


def test_redis_can_be_restarted(make_redis: Callable[..., RedisServer]) -> None:
    """A stopped server comes back empty on the same port."""
    server = make_redis()
    port, pid = server.port, server.pid
    server.client.set("key", "value")

    server.stop()
    server.start()

    assert (server.port, server.client.dbsize()) == (port, 0)
    assert server.pid != pid


def test_the_recorder_writes_every_byte(
    recorder: Callable[..., Recorder], redis_server: RedisServer, go_producer: Callable[..., Any]
) -> None:
    """Commands pass through the proxy unchanged and are on record when the reply arrives."""
    proxy = recorder()
    producer = go_producer(broker=proxy.url())
    uuid = producer.send_task(signature("noop"))
    queued = redis_server.client.lindex("machinery_tasks", 0)

    sent = proxy.commands()

    assert [command[:2] for command in sent] == [[b"SET", uuid.encode()], [b"RPUSH", b"machinery_tasks"]]
    assert sent[1][2] == queued
    proxy.clear()
    assert proxy.commands() == []


def test_the_recorder_keeps_binary(recorder: Callable[..., Recorder]) -> None:
    """Arguments that are not UTF-8 are on record byte for byte."""
    proxy = recorder()
    host, port = proxy.address.split(":")

    with redis.Redis(host, int(port)) as client:
        client.set(b"\xff\x00\r\n", b"\x80")

    assert [b"SET", b"\xff\x00\r\n", b"\x80"] in proxy.commands()


def test_the_journal_sees_every_change_however_made(redis_server: RedisServer) -> None:
    """Changes by clients, in MULTI and inside scripts are told in order; fetching and our own keys are not."""
    client = redis_server.client
    script = "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) redis.call('LMOVE', KEYS[2], KEYS[3], 'LEFT', 'RIGHT')"
    with Journal(redis_server) as journal:
        client.set("task_1", 'a "quoted" \\ żółw \r\n\t\x07', ex=60)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.rpush("queue", "one", "two").execute_command("SETEX", "task_2", 30, "x").execute()
        client.eval(script, 3, "delayed_tasks", "queue", "{queue}:gmpy:inflight:w", "1.5", "late")
        client.blpop("queue", 1)
        client.set("TriggerChordMutex", "secret", nx=True, px=8000)
        client.zrem("delayed_tasks", "late")
        client.delete("task_2", "{queue}:gmpy:inflight:w")
        changes = journal.changes()

    assert changes == [
        Change("set", "task_1", 'a "quoted" \\ żółw \r\n\t\x07', ttl=60),
        Change("rpush", "queue", "one"),
        Change("rpush", "queue", "two"),
        Change("set", "task_2", "x", ttl=30),
        Change("zadd", "delayed_tasks", "late", score="1.5"),
        Change("zrem", "delayed_tasks", "late"),
        Change("del", "task_2"),
    ]


def test_names_keep_what_is_the_same_the_same() -> None:
    """UUIDs and times become numbered names, a score the name of its time, and a scenario's own time stays."""
    names = Names()
    uuid = "task_0f0e0d0c-0b0a-4908-8706-050403020100"

    texts = [
        names.text(f"{uuid} 2031-05-06T07:08:09.123456789Z"),
        names.text(f"2031-05-06T07:08:10+02:00 {uuid} 2031-05-06T07:08:09.123456789Z"),
        names.text("0001-01-01T00:00:00Z 2099-01-01T00:00:00Z"),
    ]

    assert texts == [
        "task_#1 <time 1>Z",
        "<time 2>+02:00 task_#1 <time 1>Z",
        "0001-01-01T00:00:00Z 2099-01-01T00:00:00Z",
    ]
    assert names.score("1935817689123456789") == "<score of <time 1>Z>"
    assert names.score("1.5e3") == "1500"
