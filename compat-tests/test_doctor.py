"""``gomachinery doctor`` on Redis with live Go workers: it finds each planted fault and only that."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.command_line import gomachinery
from harness.doctors import WrongClock, found, report
from harness.go_producer import GoError, GoProducer
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.python_producer import PythonProducer
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer
from harness.signatures import Document, arg, push, signature

from gomachinery_py import Arg, Group, Server, Signature
from gomachinery_py.brokers.moves import DELAYED, PENDING
from gomachinery_py.effects import run
from gomachinery_py.golang.time import Time, format_unix_ns

QUEUE = "machinery_tasks"
DONE_SECONDS = 120.0
LOOKS = 2
HEALTHY_LOOKS = 3
KINDS = [("v1", "redigo"), ("v1", "goredis"), ("v2", "redigo"), ("v2", "goredis")]


@pytest.fixture(name="server")
def doctors_server(redis_server: RedisServer) -> Iterator[Server]:
    """The doctor's own view of the fleet."""
    with Server(redis_server.url()) as server:
        yield server


@contextmanager
def sent_by(redis: RedisServer, clock: WrongClock, queue: str = QUEUE) -> Iterator[Server]:
    """A sender of our own with another clock."""
    with Server(redis.url(), default_queue=queue, clock=clock) as sender:
        yield sender


def task(name: str, number: int = 0) -> Signature:
    return Signature(name, [Arg("int64", number)])


# -- planted faults --


@pytest.mark.parametrize(
    ("version", "client", "length"),
    [*((*kind, 1) for kind in KINDS), ("v1", "redigo", 500), ("v2", "goredis", 500), ("v2", "redigo", 20_000)],
)
def test_a_task_that_circles(
    server: Server,
    go_worker: Callable[..., GoWorker],
    version: str,
    client: str,
    length: int,
) -> None:
    """A live Go worker does not register what waits, however long the queue is: found at every look."""
    server.send_group(_group("unknown", length))
    worker = go_worker(version, client, only="noop")
    wait_until(lambda: "unknown" in worker.log, DONE_SECONDS, "the loop")
    looks = [found(server, watch=_turn(length)) for _ in range(LOOKS)]
    assert looks == [{("problem", "circling", QUEUE)}] * LOOKS


@pytest.mark.parametrize("length", [1, 500, 20_000])
def test_a_task_that_circles_beside_work(server: Server, go_worker: Callable[..., GoWorker], length: int) -> None:
    """The same where the workers are busy with tasks that they register, on the same queue."""
    for version, client in KINDS[1:3]:
        go_worker(version, client, only="noop")
    server.send_group(_group("unknown", length))
    with load(lambda: server.send_group(_group("noop", 50)).get(timeout=DONE_SECONDS)):
        looks = [report(server, watch=2 * _turn(length)).findings for _ in range(LOOKS)]
    assert [[(each.code, each.where) for each in look] for look in looks] == [[("circling", QUEUE)]] * LOOKS
    assert all("'unknown'" in look[0].what for look in looks)


def test_some_workers_do_not_register_it(server: Server, go_worker: Callable[..., GoWorker]) -> None:
    """It circles until the right worker takes it: a warning."""
    go_worker("v1", "goredis", only="noop")
    go_worker("v2", "goredis", only="concat")
    with load(lambda: server.send_group(_group("concat", 50)).get(timeout=DONE_SECONDS)):
        wait_until(lambda: found(server, watch=1.0), DONE_SECONDS, "a finding")
        look = found(server, watch=1.0)
    assert look == {("warning", "circling", QUEUE)}


def test_nobody_serves_a_queue(redis_server: RedisServer, server: Server, go_worker: Callable[..., GoWorker]) -> None:
    """Tasks wait for ten minutes, while workers of another queue are there."""
    go_worker("v2", "goredis", queue="served")
    with sent_by(redis_server, WrongClock(-600), "forgotten") as sender:
        sender.send_group(_group("noop", 20))
    assert found(server) == {("problem", "unserved", "forgotten")}


def test_dead_letters(redis_server: RedisServer, server: Server, python_worker: Callable[..., PythonWorker]) -> None:
    """A live worker has buried what cannot be decoded."""
    python_worker()
    redis_server.client.rpush(QUEUE, b'{"UUID": 1}')
    wait_until(lambda: redis_server.client.llen(f"{{{QUEUE}}}:gmpy:dead"), DONE_SECONDS, "a burial")
    assert found(server) == {("problem", "dead-letters", QUEUE)}


def test_delayed_tasks_are_overdue(redis_server: RedisServer, server: Server) -> None:
    """Nobody moves them: no worker has their key."""
    with sent_by(redis_server, WrongClock(-600)) as sender:
        late = Signature("noop", [], eta=_later(sender, 60))
        sender.send_task(late)
    assert found(server) == {("problem", "overdue", "delayed_tasks")}


def test_delayed_tasks_that_never_run(
    server: Server,
    go_worker: Callable[..., GoWorker],
    go_producer: Callable[..., GoProducer],
) -> None:
    """A Go producer takes an ETA after 2262, and a live worker leaves it for ever."""
    go_worker("v2", "goredis")
    go_producer("v2", "goredis").send_task(signature("noop", ETA="2300-01-01T00:00:00Z"))
    assert found(server) == {("problem", "never-due", "delayed_tasks")}


def test_a_worker_died_and_nobody_recovers(
    redis_server: RedisServer, server: Server, python_worker: Callable[..., PythonWorker]
) -> None:
    """It held a task, and its last sign of life is older than two leases."""
    worker = python_worker()
    push(redis_server.client, QUEUE, signature("sleep_ms", ("int64", 600_000), UUID="task_long"))
    [name] = redis_server.client.zrange(f"{{{QUEUE}}}:gmpy:workers", 0, -1)
    held = f"{{{QUEUE}}}:gmpy:inflight:{name.decode()}"
    wait_until(lambda: redis_server.client.llen(held), DONE_SECONDS, "a task under way")
    assert found(server) == set()
    worker.kill()
    redis_server.client.zincrby(f"{{{QUEUE}}}:gmpy:workers", -100, name)
    assert found(server) == {("problem", "held", QUEUE)}


@pytest.mark.parametrize("kind", [PENDING, DELAYED])
def test_a_move_was_interrupted(redis_server: RedisServer, server: Server, kind: str) -> None:
    """Two took a page each, and gave no sign of life since: all of it is counted, and where it was to go."""
    client = redis_server.client
    bodies = [json.dumps(signature("noop", UUID=f"task_{number}")).encode() for number in range(2)]
    key = QUEUE if kind == PENDING else "delayed_tasks"
    if kind == PENDING:
        client.rpush(key, *bodies)
    else:
        client.zadd(key, dict.fromkeys(bodies, 2e18))
    broker = server.broker
    for mover in ("first", "second"):
        about = json.dumps({"to": f"there with the {mover}"}).encode()
        assert run(broker.take_over(QUEUE, kind, mover, b"", about))
        assert len(run(broker.hold(QUEUE, kind, mover, about, 10, [bodies.pop()]))) == 1
    assert found(server) == set()
    for mover in ("first", "second"):
        client.hincrby(f"{{{key}}}:gmpy:movers", f"{mover} seen", -100)
    [finding] = report(server, watch=0.0).findings
    assert (finding.severity, finding.code, finding.where) == ("problem", "interrupted-move", key)
    assert "2 tasks held by what moved them to there with the first, there with the second" in finding.what


def test_clocks(redis_server: RedisServer, server: Server) -> None:
    """A sender's clock is an hour ahead; and so is this machine's, or it is some seconds behind."""
    with sent_by(redis_server, WrongClock(3600)) as sender:
        sender.send_task(task("noop"))
    assert found(server) == {("problem", "clocks", QUEUE)}
    redis_server.flush()
    for seconds, severity in ((3600, "problem"), (-3600, "problem"), (5, "warning"), (-5, "warning")):
        with sent_by(redis_server, WrongClock(seconds)) as wrong:
            assert found(wrong) == {(severity, "clocks", redis_server.url())}


def test_the_lock_of_chords(redis_server: RedisServer, server: Server) -> None:
    """Without an end no chord fires on Go; Go's own has one."""
    redis_server.client.set("TriggerChordMutex", "x", px=8000)
    assert found(server) == set()
    redis_server.client.set("TriggerChordMutex", "x")
    assert found(server) == {("problem", "chord-lock", "TriggerChordMutex")}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_task_overwrote_the_queue(server: Server, go_producer: Callable[..., GoProducer], version: str) -> None:
    """A Go producer was given the queue's name as a UUID."""
    server.send_group(_group("noop", 20))
    with pytest.raises(GoError, match="WRONGTYPE"):
        go_producer(version).send_task(signature("noop", UUID=QUEUE))
    assert found(server) == {("problem", "wrong-type", QUEUE)}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "undecodable"),
        (json.dumps({"UUID": "task_1", "Name": "noop", "OnSuccess": [None]}).encode(), "harmful"),
        (json.dumps({"UUID": "task_1", "Name": "noop", "Args": [arg("int64", "x")]}).encode(), "arguments"),
    ],
)
def test_messages_that_harm_go_workers(redis_server: RedisServer, server: Server, body: bytes, code: str) -> None:
    """They are seen while they wait, in the middle of good ones."""
    server.send_group(_group("noop", 20))
    redis_server.client.rpush(QUEUE, body)
    server.send_group(_group("noop", 20))
    assert found(server) == {("problem", code, QUEUE)}


def test_a_server_that_evicts(make_redis: Callable[..., RedisServer]) -> None:
    """A cache's policy, under which queues vanish."""
    redis = make_redis()
    redis.client.config_set("maxmemory", "500mb")
    redis.client.config_set("maxmemory-policy", "allkeys-lru")
    with Server(redis.url()) as server:
        assert found(server) == {("problem", "server", redis.url())}


def test_a_replica(make_redis: Callable[..., RedisServer]) -> None:
    """It refuses writes; its master is named."""
    master, replica = make_redis(), make_redis()
    replica.client.replicaof("127.0.0.1", master.port)
    with Server(replica.url()) as server:
        [finding] = report(server).findings
    assert (finding.code, f"127.0.0.1:{master.port}" in finding.do) == ("server", True)


def test_sides_that_differ(redis_server: RedisServer, tmp_path: Path) -> None:
    """The command compares a Go service's file with ours, and its exit code says so; nothing is said of equal ones."""
    ours = f"broker: {redis_server.url()}\nresult_backend: {redis_server.url()}\n"
    (tmp_path / "ours.yml").write_text(ours)
    (tmp_path / "same.yml").write_text(ours.replace("127.0.0.1", "localhost"))
    (tmp_path / "go.yml").write_text(f"{ours}redis:\n  delayed_tasks_key: later\n")
    command = ("doctor", "--config", str(tmp_path / "ours.yml"), "--watch", "0.1", "--json", "--side")
    code, out, error = gomachinery(*command, str(tmp_path / "same.yml"))
    assert (code, json.loads(out)["findings"], error) == (0, [], "")
    code, out, error = gomachinery(*command, str(tmp_path / "go.yml"))
    found = [(each["code"], each["where"]) for each in json.loads(out)["findings"]]
    assert (code, found, error) == (1, [("settings-differ", "redis.delayed_tasks_key")], "")


def test_tasks_that_an_app_does_not_register(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is given the app; the exit code of a warning is 0."""
    (tmp_path / "its_app.py").write_text(
        f"from gomachinery_py import Server\n\nserver = Server({redis_server.url()!r})\n\n\n"
        "@server.task\ndef known(number: int) -> None: ...\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Server(redis_server.url()) as sender:
        sender.send_task(task("known"))
        sender.send_task(task("foreign"))
    code, out, _ = gomachinery("doctor", "its_app:server", "--watch", "0.1", "--json")
    found = [(each["code"], "'foreign'" in each["what"]) for each in json.loads(out)["findings"]]
    assert (code, found) == (0, [("unregistered", True)])


# -- healthy fleets --


def test_fresh_and_idle_fleets(
    server: Server,
    go_worker: Callable[..., GoWorker],
    python_worker: Callable[..., PythonWorker],
) -> None:
    """Nothing on an empty server, nothing on tasks sent before the first worker starts, nothing on idle workers."""
    looks = [found(server)]
    results = server.send_group(_group("noop", 20))
    looks.append(found(server))
    for version, client in KINDS:
        go_worker(version, client)
    python_worker()
    looks.append(found(server, watch=1.0))
    results.get(timeout=DONE_SECONDS)
    looks += [found(server, watch=1.0) for _ in range(HEALTHY_LOOKS)]
    assert looks == [set()] * len(looks)


def test_a_redis_of_others(redis_server: RedisServer, server: Server) -> None:
    """Lists that hold something else than tasks are left alone, while it listens too."""
    for key, body in (("celery", b'{"body": "x"}'), ("resque:queue:x", b'{"class": "A"}'), ("bytes", b"\xff\xfe")):
        redis_server.client.rpush(key, body)
    looked = report(server, watch=0.2)
    assert (looked.findings, looked.queues, looked.limits) == ([], [QUEUE], [])


def test_all_workers_are_busy(redis_server: RedisServer, server: Server, go_worker: Callable[..., GoWorker]) -> None:
    """With long tasks: others wait, and nobody takes one."""
    worker = go_worker("v2", "goredis", concurrency=1)
    for _ in range(10):
        server.send_task(Signature("sleep_ms", [Arg("int64", 600_000)]))
    wait_until(lambda: redis_server.client.llen(QUEUE) <= 8, DONE_SECONDS, "a task under way")
    looks = [found(server, watch=1.0) for _ in range(HEALTHY_LOOKS)]
    assert (looks, worker.alive) == ([set()] * HEALTHY_LOOKS, True)


def test_a_busy_fleet(
    redis_server: RedisServer,
    server: Server,
    go_worker: Callable[..., GoWorker],
    go_producer: Callable[..., GoProducer],
    python_worker: Callable[..., PythonWorker],
) -> None:
    """Go and Python on one queue, both ways: single tasks, retries, delayed ones, chains, chords, fixed UUIDs."""
    for version, client in KINDS:
        go_worker(version, client, delayed_poll=20)
    python_worker()
    python = PythonProducer(redis_server.url(), QUEUE, "")
    producers = [go_producer("v1"), go_producer("v2"), python]
    with ExitStack() as stack:
        stack.callback(python.close)
        for producer in producers:
            stack.enter_context(load(lambda producer=producer: _everything(producer)))
        looks = [found(server, watch=2.0) for _ in range(HEALTHY_LOOKS)]
    assert looks == [set()] * HEALTHY_LOOKS


def test_states_elsewhere(
    redis_server: RedisServer, make_redis: Callable[..., RedisServer], go_worker: Callable[..., GoWorker]
) -> None:
    """Where the doctor cannot see states being stored it still tells a fixed UUID from a task that circles."""
    states = make_redis()
    with Server(redis_server.url(), result_backend=states.url()) as server:
        worker = go_worker("v2", "goredis", only="noop", backend=states.url())
        server.send_group(_group("noop", 20)).get(timeout=DONE_SECONDS)
        assert found(server, watch=1.0) == set()
        server.send_task(task("unknown"))
        wait_until(lambda: "unknown" in worker.log, DONE_SECONDS, "the loop")
        assert found(server, watch=3.0) == {("problem", "circling", QUEUE)}


def test_a_listener_that_is_cut_off(redis_server: RedisServer, server: Server) -> None:
    """The rest of the look goes on, and it is said."""
    over = threading.Event()

    def cut() -> None:
        # The connection of MONITOR has the flag O.
        while not over.wait(0.01):
            for client in redis_server.client.client_list():
                if "O" in client["flags"]:
                    redis_server.client.client_kill_filter(_id=client["id"])
                    return

    cutter = threading.Thread(target=cut, daemon=True)
    cutter.start()
    redis_server.client.set("TriggerChordMutex", "x")
    looked = report(server, watch=5.0)
    over.set()
    cutter.join(DONE_SECONDS)
    assert [each.code for each in looked.findings] == ["chord-lock"]
    assert [limit.startswith("listening for tasks that circle ended early") for limit in looked.limits] == [True]


def _everything(producer: Any) -> None:
    """One of each kind of work."""
    later = _rfc3339(WrongClock(0.2))
    for number in range(20):
        producer.send_task(signature("noop"))
        # A periodic task is sent with the same UUID every time.
        producer.send_task(signature("concat", ("string", "x"), UUID=f"task_periodic_{id(producer)}_{number % 2}"))
    producer.send_task(signature("noop", ETA=later))
    producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=2))
    producer.send_task(signature("retry_later", ("string", "soon"), ("int64", 20), ("int64", 1)))
    producer.send_chain(signature("add", ("int64", 1)), signature("add", ("int64", 2)))
    members: list[Document] = [signature("add", ("int64", number)) for number in range(8)]
    producer.send_chord(*members, callback=signature("add"))


@contextmanager
def load(once: Callable[[], object]) -> Iterator[None]:
    """Do it over and over on a thread; it has been done once when this begins."""
    begun, over = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not over.is_set():
                once()
                begun.set()
        except BaseException as error:
            errors.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert begun.wait(DONE_SECONDS)
    try:
        yield
    finally:
        over.set()
        thread.join(DONE_SECONDS)
    assert errors == []


def _group(name: str, length: int) -> Any:
    return Group(*(Signature(name, []) if name != "unknown" else task(name, number) for number in range(length)))


def _turn(length: int) -> float:
    """Seconds in which some of a queue that circles are popped and pushed back, many times over."""
    return 1.0 if length > 1_000 else 0.5


def _later(server: Server, seconds: float) -> Any:
    return Time.from_unix_ns(server.clock.unix_ns() + int(seconds * 1e9))


def _rfc3339(clock: WrongClock) -> str:
    return format_unix_ns(clock.unix_ns())
