"""A Redis cluster: Go v1, Go v2 and Python in both directions, chords of two workers, failovers and crashes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.fleet import Fleet, Pair
from harness.process import wait_until
from harness.redis_cluster import RedisCluster
from harness.redis_server import RedisServer, free_port
from harness.several import PAIRS, check_pair
from harness.signatures import signature
from test_both_ways import failure

from gomachinery_py import Config, Server
from gomachinery_py.effects import run
from gomachinery_py.errors import ServiceUnavailable

TASKS = 2000
CHORDS, MEMBERS = 200, 8


@pytest.fixture(scope="module")
def fleet(shared_redis: RedisServer) -> Iterator[Fleet]:
    """Workers of every kind on three masters."""
    with short_directory() as directory:
        several: Any = RedisCluster(directory)
        with Fleet(several, directory, records=shared_redis.url()) as fleet:
            yield fleet
        several.stop()


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: Any, fleet: Fleet) -> Iterator[Pair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = Pair(fleet, *request.param)
    pair.check_worker()
    yield pair
    pair.check_worker()


@pytest.fixture(scope="module")
def replicated() -> Iterator[RedisCluster]:
    """Three masters with a replica each."""
    with short_directory() as directory:
        several = RedisCluster(directory, replicas=1)
        yield several
        several.stop()


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


def make_server(url: str, **settings: Any) -> Server:
    server = Server(Config.of(**{"broker": url, "result_backend": url, **settings}))

    @server.task
    def count(number: int) -> int:
        return number

    return server


def test_both_ways(pair: Pair) -> None:
    """Everything that Machinery can send is done and answered."""
    check_pair(pair, failure)


def test_chords_of_two_workers(fleet: Fleet, shared_redis: RedisServer) -> None:
    """200 chords of 8 by two Python workers: each callback runs once."""
    shared_redis.flush()
    producer = fleet.producer("python", "chords")
    with ExitStack() as stack:
        for _ in range(2):
            fleet.start_worker("python", stack, queue="chords", delayed_key="delayed:chords")
        members = [signature("add", ("int64", number)) for number in range(MEMBERS)]
        sent = [
            producer.send_chord(*members, callback=signature("record", ("string", str(number)), Immutable=True))
            for number in range(CHORDS)
        ]
        for chord in sent:
            producer.get(*chord.all)

    ran = sorted(int(line.split(b"|")[1]) for line in shared_redis.client.lrange("test:records", 0, -1))
    assert ran == list(range(CHORDS))


def test_killed_worker_loses_nothing(fleet: Fleet, shared_redis: RedisServer) -> None:
    """What a killed worker held is done by the next one once its lease is over."""
    shared_redis.flush()
    producer = fleet.producer("python", "killed")
    with ExitStack() as stack:
        queue: dict[str, Any] = {"queue": "killed", "delayed_key": "delayed:killed"}
        worker = fleet.start_worker("python", stack, **queue)
        sent = [producer.send_task(signature("sleep_ms", ("int64", 20))) for _ in range(200)]
        wait_until(lambda: producer.state(sent[20])["State"] == "SUCCESS", 30, "a worker at work")
        worker.kill()
        fleet.start_worker("python", stack, **queue)
        for uuid in sent:
            assert producer.get(uuid, timeout=60)


def test_a_suspect_runs_alone(fleet: Fleet) -> None:
    """Only the one that a dead worker ran alone is counted, and its end leaves no trace of it."""
    with make_server(fleet.redis.url(), default_queue="suspected") as server:
        client, broker = fleet.redis.client, server.broker
        results = [server.tasks["count"].send(number) for number in range(2)]
        bodies = client.lrange("suspected", 0, -1)
        client.hset("{suspected}:gmpy:attempts", mapping=dict.fromkeys(bodies, 2))
        broker.lease = 0.0
        run(broker.beat("suspected", "victim"))
        deliveries = run(broker.fetch("suspected", "victim", 2, 0.0))
        assert [True, True] == [broker.is_suspect(delivery) for delivery in deliveries]
        assert run(broker.set_apart(deliveries[1]))
        assert run(broker.recover("suspected")) == (2, 0)
        assert [b"2", b"3"] == client.hmget("{suspected}:gmpy:attempts", bodies)

        broker.lease = 30.0
        with server.worker(concurrency=2):
            assert [0, 1] == [result.get(timeout=30) for result in results]
        assert [] == [key for key in ("alone", "attempts") if client.exists(f"{{suspected}}:gmpy:{key}")]


def test_failover_in_order(replicated: RedisCluster) -> None:
    """2,000 tasks run although the queue's master hands over to its replica meanwhile; none is lost."""

    def fail_over() -> None:
        replica = replicated.replica_of(master)
        with replicated.node(replica) as client:
            client.execute_command("CLUSTER FAILOVER")
        wait_until(lambda: replicated.master_of("machinery_tasks") == replica, 20, "another master")

    master = replicated.master_of("machinery_tasks")
    _check_failover(replicated, fail_over)
    wait_until(lambda: len(replicated.replicas()) == 3, 30, "the old master in step")


def test_master_is_killed(replicated: RedisCluster) -> None:
    """Sends that reached the replica, by WAIT, outlive the crash of the queue's master, and all others as well."""
    master = replicated.master_of("machinery_tasks")

    def crash() -> None:
        for port in {replicated.master_of(key) for key in ("machinery_tasks", "a", "b", "c", "d", "e")}:
            with replicated.node(port) as client:
                assert client.wait(1, 5000) >= 1
        replicated.kill(master)

    _check_failover(replicated, crash, sends_meanwhile=False)


def _check_failover(several: RedisCluster, fail_over: Callable[[], None], *, sends_meanwhile: bool = True) -> None:
    with make_server(several.url(count=6)) as server, server.worker(concurrency=4):
        sent: list[Any] = []
        failing = threading.Thread(target=fail_over, daemon=True)
        if not sends_meanwhile:
            _send(server, sent, TASKS // 2)
            failing.start()
            failing.join()
        else:
            failing.start()
        _send(server, sent, TASKS)
        failing.join(30)
        assert _answers(sent) == list(range(TASKS))


def test_delayed_tasks_of_a_dead_mover(fleet: Fleet) -> None:
    """What a mover claimed and never pushed is moved once its claim is over; what it pushed is not moved twice."""
    with make_server(fleet.redis.url(), default_queue="moved", redis__delayed_tasks_key="delayed:moved") as server:
        client, broker = fleet.redis.client, server.broker
        bodies = [_encoded(server, number, "moved") for number in range(3)]
        client.zadd("delayed:moved", {bodies[0]: 1})
        client.zadd("{delayed:moved}:gmpy:moving", {bodies[1]: 1, bodies[2]: 9e15})

        assert run(broker.move_due()) == 2
        assert run(broker.move_due()) == 0
        assert sorted(client.lrange("moved", 0, -1)) == sorted(bodies[:2])
        assert client.zrange("{delayed:moved}:gmpy:moving", 0, -1) == [bodies[2]]


def test_delayed_task_for_a_key_that_is_no_queue(fleet: Fleet) -> None:
    """It becomes a dead letter, byte for byte, and the others are moved."""
    with make_server(fleet.redis.url(), default_queue="wrong", redis__delayed_tasks_key="delayed:wrong") as server:
        client, broker = fleet.redis.client, server.broker
        client.set("a text", "x")
        members = [_encoded(server, 1, "a text"), b"no json", _encoded(server, 2, "wrong")]
        client.zadd("delayed:wrong", dict.fromkeys(members, 1))

        assert run(broker.move_due()) == 3
        assert client.lrange("wrong", 0, -1) == members[2:]
        dead = run(broker.dead("wrong"))
        assert sorted(body for body, _ in dead) == sorted(members[:2])
        assert all(reason.startswith("delayed task: ") for _, reason in dead)


def test_slots_that_move(fleet: Fleet) -> None:
    """A queue that moves to another node is followed there, while it moves and afterwards."""
    several: Any = fleet.redis
    with make_server(several.url(), default_queue="wanders") as server, server.worker(concurrency=1):
        assert server.tasks["count"].send(1).get(timeout=10) == 1
        _move_slot(several, "wanders")
        assert server.tasks["count"].send(2).get(timeout=20) == 2


def test_looking_at_queues(fleet: Fleet) -> None:
    """Queues of every node are found, counted and purged."""
    wanted = [f"seen-{number}" for number in range(12)]
    with make_server(fleet.redis.url()) as server:
        for queue in wanted:
            fleet.redis.client.rpush(queue, b"{}")
        found = {info.name: info.waiting for info in run(server.broker.queues([]))}
        assert {queue: found.get(queue) for queue in wanted} == dict.fromkeys(wanted, 1)
        assert [run(server.broker.purge(queue)) for queue in wanted] == [1] * 12


def test_password_tls_and_one_host(directory: Path) -> None:
    """``cluster_mode`` makes one host a cluster; a password and TLS hold for every node."""
    several = RedisCluster(directory, password="geheim", tls=True)
    settings = {"redis__cluster_mode": True, "tlsconfig__ca_file": str(several.ca_file)}
    try:
        with make_server(several.url(count=1), **settings) as server, server.worker(concurrency=2):
            sent = [server.tasks["count"].send(number) for number in range(20)]
            assert [result.get(timeout=10) for result in sent] == list(range(20))
        wrong = _refusal(several.url(count=1).replace("geheim", "falsch"), **settings)
    finally:
        several.stop()
    assert "check user and password in its URL" in wrong


def test_clear_errors(redis_server: RedisServer) -> None:
    """Nodes that are not there, and a server that is no cluster, are one line each, at once."""
    nobody = _refusal(f"redis://127.0.0.1:{free_port()},127.0.0.1:{free_port()}")
    single = _refusal(redis_server.url(), redis__cluster_enabled=True)

    assert "cannot reach Redis at redis://127.0.0.1:" in nobody
    assert "cluster support disabled" in single


def _refusal(url: str, **settings: Any) -> str:
    """The one line with which a send fails within two seconds."""
    began = time.monotonic()
    with make_server(url, **settings) as server, pytest.raises(ServiceUnavailable) as caught:
        server.tasks["count"].send(1)
    assert time.monotonic() - began < 2
    text = str(caught.value)
    assert "\n" not in text
    assert "falsch" not in text
    return text


def _encoded(server: Server, number: int, queue: str) -> bytes:
    task = server.tasks["count"].signature(number)
    task.routing_key = queue
    return server.broker.encoded(task)


def _move_slot(several: RedisCluster, key: str) -> None:
    slot = several.client.keyslot(key)
    source = several.master_of(key)
    target = next(port for port in several.ports if port != source)
    with several.node(source) as old, several.node(target) as new:
        old_id, new_id = (client.execute_command("CLUSTER MYID").decode() for client in (old, new))
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", old_id)
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", new_id)
        keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
        for each in keys:
            old.execute_command("MIGRATE", "127.0.0.1", target, each, 0, 5000)
        for client in (new, old):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", new_id)


def _send(server: Server, sent: list[Any], until: int) -> None:
    """Send until all were acknowledged; one that was not is sent again."""
    deadline = time.monotonic() + 40
    while len(sent) < until:
        try:
            sent.append(server.tasks["count"].send(len(sent)))
        except ServiceUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _answers(sent: list[Any]) -> list[Any]:
    found = []
    for result in sent:
        for attempt in range(100):
            try:
                found.append(result.get(timeout=40))
                break
            except ServiceUnavailable:
                assert attempt < 99
                time.sleep(0.1)
    return found
