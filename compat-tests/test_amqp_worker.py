"""Our worker on RabbitMQ when things go wrong: connections that are closed, poison, slow tasks, workers that die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika
import pytest
from conftest import short_directory
from harness.amqp_fleet import AMQPPythonWorker
from harness.process import wait_until
from harness.rabbitmq_server import RabbitServer
from harness.redis_server import RedisServer, free_port
from harness.signatures import signature

from gomachinery_py import Arg, AsyncResult, Chord, Config, Group, RetryTaskLater, Server, Signature, TaskFailed
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.effects import run
from gomachinery_py.errors import PublishError, ServiceUnavailable
from gomachinery_py.ports.amqp_lane import Lane


class Runs:
    """Counts executions; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.of: Counter[Any] = Counter()

    def __call__(self, what: Any) -> None:
        with self._lock:
            self.of[what] += 1


def make_server(url: str, runs: Runs, **settings: Any) -> Server:
    server = Server(Config.of(**{"broker": url, "result_backend": url, **settings}))

    @server.task
    def count(number: int) -> int:
        runs(number)
        return number

    @server.task
    def slow(number: int, milliseconds: int) -> int:
        runs(number)
        time.sleep(milliseconds / 1000)
        return number

    @server.task
    def total(*numbers: int) -> int:
        runs("total")
        return sum(numbers)

    @server.task
    def fail(text: str) -> None:
        raise ValueError(text)

    return server


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def server(rabbit_server: RabbitServer, vhost: str, runs: Runs) -> Iterator[Server]:
    """A server whose broker and result store are an empty vhost."""
    with make_server(rabbit_server.url(vhost), runs) as server:
        yield server


@contextlib.contextmanager
def channel(rabbit: RabbitServer, vhost: str) -> Iterator[Any]:
    opened = rabbit.connect(vhost)
    try:
        yield opened
    finally:
        opened.connection.close()


def publish(rabbit: RabbitServer, vhost: str, queue: str, *bodies: bytes) -> None:
    with channel(rabbit, vhost) as opened:
        for body in bodies:
            opened.basic_publish("", queue, body)


def test_closing_every_connection_loses_nothing(
    server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str
) -> None:
    """600 tasks run although every connection is closed again and again; what runs meanwhile does not run twice."""
    slow = server.tasks["slow"]
    closing: list[threading.Thread] = []
    with server.worker(concurrency=8):
        results = [slow.send(number, 20) for number in range(300)]
        rabbit_server.close_connections(vhost)
        for number in range(300, 600):
            while len(results) == number:
                # Where rabbitmqctl is slow the next try may be met by the next close.
                with contextlib.suppress(ServiceUnavailable):
                    results.append(slow.send(number, 20))
            if number in (400, 500):
                closing.append(threading.Thread(target=rabbit_server.close_connections, args=(vhost,), daemon=True))
                closing[-1].start()
        rabbit_server.close_connections(vhost)
        # A read that loses its connection says so; results are read once nobody closes any more.
        for thread in closing:
            thread.join(60)

        assert [result.get(timeout=60) for result in results] == list(range(600))
        wait_until(lambda: len(runs.of) == 600, 30, "all have run")

    assert sum(runs.of.values()) < 600 + 5 * 8
    assert rabbit_server.counts("machinery_tasks", vhost) == (0, 0)


def test_what_is_running_survives_a_lost_connection(
    server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str
) -> None:
    """A task that runs while the connection is lost comes again, is recognised, and has run once in the end."""
    with server.worker(concurrency=2):
        result = server.tasks["slow"].send(1, 3000)
        wait_until(lambda: runs.of[1], 10, "the task runs")
        rabbit_server.close_connections(vhost)
        assert result.get(timeout=20) == 1
        wait_until(lambda: rabbit_server.counts("machinery_tasks", vhost) == (0, 1), 10, "the message is settled")
        assert server.tasks["count"].send(2).get(timeout=10) == 2

    assert runs.of[1] == 1


def test_what_ends_without_a_connection_is_settled_later(tmp_path: Path, runs: Runs, redis_server: RedisServer) -> None:
    """A task that comes to its end while the node is down is not held for ever when its message comes again."""
    rabbit = RabbitServer(tmp_path)
    go_on = threading.Event()
    try:
        with make_server(rabbit.url(), runs, result_backend=redis_server.url()) as server:

            @server.task
            def held_up() -> None:
                runs("held up")
                assert go_on.wait(60)

            with server.worker(concurrency=2):
                result = held_up.send()
                wait_until(lambda: runs.of["held up"], 10, "the task runs")
                rabbit.stop()
                go_on.set()
                wait_until(lambda: result.state.state == "SUCCESS", 10, "its result is stored")
                with pytest.raises(ServiceUnavailable):
                    server.tasks["count"].send(1)
                rabbit.start()
                wait_until(lambda: rabbit.counts("machinery_tasks") == (0, 1), 30, "the worker consumes")
            assert rabbit.counts("machinery_tasks") == (0, 0)
    finally:
        go_on.set()
        rabbit.stop()

    assert runs.of["held up"] == 1


def test_long_tasks_do_not_starve_the_heartbeat(runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """With a heartbeat of one second a task of four seconds keeps its connection."""
    with make_server(f"{rabbit_server.url(vhost)}?heartbeat=1", runs) as server:
        worker = server.worker(concurrency=1)
        with worker:
            result = server.tasks["slow"].send(1, 4000)
            assert result.get(timeout=20) == 1
            generations = [consumer._generation for consumer in server.broker.port._link.consumers._all.values()]  # type: ignore[attr-defined]

    assert (generations, runs.of[1]) == ([1], 1)


def test_a_killed_workers_tasks_run_again(
    server: Server, runs: Runs, rabbit_server: RabbitServer, redis_server: RedisServer, vhost: str
) -> None:
    """What a killed worker had begun or fetched is run by another one."""
    sent = [server.send_task(signature_of("sleep_ms", ("int64", 60_000))) for _ in range(3)]
    with short_directory() as directory:
        process = AMQPPythonWorker(rabbit_server, redis_server, directory, vhost=vhost, concurrency=2)
        wait_until(lambda: rabbit_server.counts("machinery_tasks", vhost) == (0, 1), 10, "all are taken")
        process.kill()

    @server.task
    def sleep_ms(milliseconds: int) -> int:
        runs("slept")
        return milliseconds

    with server.worker(concurrency=2):
        assert [result.get(timeout=20) for result in sent] == [60_000] * 3
    assert runs.of["slept"] == 3


@pytest.mark.parametrize("how", ["stop", "quit"])
def test_a_worker_that_gives_up_leaves_its_tasks_to_others(
    how: str, server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str
) -> None:
    """A program that goes on, with its connection, after its worker had no time to drain keeps nothing from others."""
    release = threading.Event()

    @server.task
    def stuck(times: int) -> int:
        runs("stuck")
        if runs.of["stuck"] <= times:
            release.wait(60)
        return times

    worker = server.worker(concurrency=2)
    worker.start()
    results = [stuck.send(2) for _ in range(3)]
    wait_until(lambda: runs.of["stuck"] == 2, 20, "two are running")
    if how == "quit":
        worker.quit()
    assert not worker.stop(timeout=0.1)
    try:
        with server.worker(concurrency=2):
            assert [result.get(timeout=20) for result in results] == [2] * 3
    finally:
        release.set()
    assert rabbit_server.counts("machinery_tasks", vhost) == (0, 0)


def signature_of(name: str, *args: tuple[str, Any]) -> Signature:
    return Signature(name, [Arg(kind, value) for kind, value in args])


def test_poison_is_kept(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """What cannot be decoded, an empty message too, lies in the queue's dead letters with the reason; others run."""
    poison = [b"", b"{", b'{"UUID": 5}', b"\xff\xfe"]
    good = json.dumps(signature("count", ("int64", 7), UUID="task_good")).encode()
    with server.worker(concurrency=4):
        wait_until(lambda: rabbit_server.consumers("machinery_tasks", vhost), 10, "a consumer")
        publish(rabbit_server, vhost, "machinery_tasks", *poison, good)
        assert server.result("task_good").get(timeout=10) == 7
        wait_until(lambda: rabbit_server.counts("machinery_tasks.dead", vhost) == (4, 0), 10, "four dead letters")

        dead = run(server.broker.dead("machinery_tasks"))
        assert sorted(body for body, _ in dead) == sorted(poison)
        assert all(reason.startswith("cannot be decoded: ") for _, reason in dead)

    assert run(server.broker.revive("machinery_tasks", 3)) == 3
    assert rabbit_server.counts("machinery_tasks", vhost) == (3, 0)
    assert run(server.broker.purge_dead("machinery_tasks")) == 1


def test_unregistered_tasks_go_back(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """A task that nobody here knows stays in its queue, the others run; one that may be ignored is dropped."""
    unknown = server.send_task(Signature("elsewhere"))
    server.send_task(Signature("elsewhere", ignore_when_task_not_registered=True))
    with server.worker(concurrency=1):
        results = [server.tasks["count"].send(number) for number in range(20)]
        assert [result.get(timeout=10) for result in results] == list(range(20))

    wait_until(lambda: rabbit_server.counts("machinery_tasks", vhost) == (1, 0), 10, "one is left")
    assert [waiting.uuid for waiting in server.pending()] == [unknown.uuid]


def test_a_slow_task_holds_up_no_other(server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """What a worker got in advance goes back while all its slots are taken, and another worker runs it."""
    with make_server(rabbit_server.url(vhost), runs) as other, server.worker(concurrency=1):
        stuck = server.tasks["slow"].send(1, 3500)
        wait_until(lambda: runs.of[1], 10, "the slow task runs")
        behind = [server.tasks["count"].send(number) for number in (2, 3)]
        time.sleep(0.1)
        began = time.monotonic()
        with other.worker(concurrency=1):
            assert [result.get(timeout=10) for result in behind] == [2, 3]
        assert time.monotonic() - began < 2.5
        assert stuck.get(timeout=20) == 1


def taken(server: Server, at_least: int) -> list[Delivery]:
    """What the broker gives when ten are asked for again and again, and nothing is acknowledged."""
    held: list[Delivery] = []

    def enough() -> bool:
        held.extend(run(server.broker.fetch("machinery_tasks", "one", 10, 0.2)))
        return len(held) >= at_least

    wait_until(enough, 30, f"{at_least} messages are given")
    held.extend(run(server.broker.fetch("machinery_tasks", "one", 10, 0.5)))
    return held


def test_more_is_under_way_while_much_is_asked_for(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """Twice what is worked on; a large message ends that, and nothing that was given goes back."""
    run(server.broker.fetch("machinery_tasks", "one", 3, 0.0))
    publish(rabbit_server, vhost, "machinery_tasks", *(b"%d" % number for number in range(40)))
    held = taken(server, 20)
    # Three more may have come before there was room for twenty.
    assert 20 <= len(held) <= 23
    assert [delivery.body for delivery in held] == [b"%d" % number for number in range(len(held))]
    for delivery in held:
        run(server.broker.settle(delivery))
    publish(rabbit_server, vhost, "machinery_tasks", bytes(100_000))

    held = taken(server, 41 - len(held))

    assert len(held[-1].body) == 100_000
    assert not any(delivery.attempts for delivery in held)
    wait_until(
        lambda: (
            [3] == [each["prefetch_count"] for each in rabbit_server.listed("consumers", "prefetch_count", vhost=vhost)]
        ),
        30,
        "there is room for three again",
    )


def test_a_prefetch_that_was_set_stays(runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """However much is asked for."""
    with make_server(rabbit_server.url(vhost), runs, amqp__prefetch_count=3) as server:
        run(server.broker.fetch("machinery_tasks", "one", 3, 0.0))
        publish(rabbit_server, vhost, "machinery_tasks", *(b"%d" % number for number in range(10)))
        assert len(taken(server, 3)) == 3


def test_a_prefetch_that_is_more_than_amqp_has_bits_for(runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """The most that can be asked for is; the connection, which sends go over too, does not break by it."""
    with make_server(rabbit_server.url(vhost), runs, amqp__prefetch_count=100_000) as server:
        sent = server.tasks["count"].send(5)
        with server.worker(concurrency=2):
            assert sent.get(timeout=20) == 5


@pytest.mark.parametrize("count", [1, 4])
def test_chords_fire_once(server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str, count: int) -> None:
    """Among two Python workers every chord's callback runs exactly once, with all results."""
    tasks = server.tasks
    with (
        make_server(rabbit_server.url(vhost), runs) as other,
        server.worker(concurrency=4),
        other.worker(concurrency=4),
    ):
        chords = [
            server.send_chord(Chord(Group(*[tasks["count"].s(at) for at in range(count)]), tasks["total"].s(100)))
            for _ in range(25)
        ]
        assert [chord.get(timeout=30) for chord in chords] == [100 + sum(range(count))] * 25
        time.sleep(0.3)

    assert runs.of["total"] == 25


def test_a_failed_member_fires_no_chord(server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """As in Go: the group is collected, the callback is not sent."""
    tasks = server.tasks
    with server.worker(concurrency=1):
        chord = server.send_chord(Chord(Group(tasks["fail"].s("no"), tasks["count"].s(1)), tasks["total"].s()))
        with pytest.raises(TaskFailed, match=r"^no$"):
            chord.get(timeout=10)
        wait_until(lambda: rabbit_server.counts(chord.group.group_uuid, vhost) is None, 10, "the group is collected")

    assert runs.of["total"] == 0


def test_peek_leaves_the_state(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """Peeking leaves every state, reading takes them, and a result that was read is gone with its queue."""
    result = server.tasks["count"].send(5)
    with server.worker(concurrency=1):
        wait_until(lambda: getattr(result.peek(), "state", "") == "SUCCESS", 10, "SUCCESS")
    assert rabbit_server.counts(result.uuid, vhost) == (4, 0)

    assert result.get(timeout=1) == 5
    assert rabbit_server.counts(result.uuid, vhost) is None
    assert server.result(result.uuid).peek() is None


def test_a_connection_that_is_lost_while_results_are_read(
    server: Server, runs: Runs, rabbit_server: RabbitServer, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been taken out of its queue by then is not lost with it."""
    with make_server(rabbit_server.url(vhost), runs) as working, working.worker(concurrency=2):
        sent = server.send_group(Group(*(server.tasks["count"].s(number) for number in range(3))))
        wait_until(lambda: all(peek(member) == "SUCCESS" for member in sent), 20, "all results")
    get, lost = Lane.get, threading.Event()

    def losing(lane: Any, queue: str, reply: Any) -> None:
        if queue != sent[1].uuid or lost.is_set():
            get(lane, queue, reply)
            return
        lost.set()
        # A moment later, so that what was taken before is acknowledged.
        lane._connection.ioloop.call_later(0.2, lambda: lane._connection._transport._sock.shutdown(socket.SHUT_RDWR))

    monkeypatch.setattr(Lane, "get", losing)
    assert sent.get(timeout=20) == [0, 1, 2]
    assert lost.is_set()


def peek(result: AsyncResult[Any]) -> str:
    state = result.peek()
    return state.state if state else ""


def test_what_cannot_be_delayed_for_so_long(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """A task that is to be tried again too late has failed; a callback that is too late is a dead letter by itself."""

    @server.task
    def later() -> None:
        raise RetryTaskLater("later", timedelta(days=30))

    far = datetime.now(UTC) + timedelta(days=30)
    with server.worker(concurrency=1):
        with pytest.raises(TaskFailed, match="cannot be tried again: task later: eta is 29 days away"):
            later.send().get(timeout=20)
        late = server.tasks["count"].using(eta=far).s()
        assert server.tasks["count"].using(on_success=late).send(1).get(timeout=20) == 1
        wait_until(lambda: rabbit_server.counts("machinery_tasks.dead", vhost) == (1, 0), 20, "a dead letter")
    [(body, reason)] = run(server.broker.dead("machinery_tasks"))
    assert json.loads(body)["UUID"] == late.uuid
    assert "24 at most" in reason


def test_a_publish_that_nobody_takes(runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """A full queue (nack) and a routing key that leads nowhere (return) raise PublishError that names the task."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    url = rabbit_server.url(vhost)
    with make_server(url, runs, amqp__queue_declare_args=full) as server:
        server.send_task(Signature("count"))
        with pytest.raises(PublishError, match="task count: RabbitMQ did not take the message"):
            server.send_task(Signature("count"))
    with (
        make_server(url, runs, amqp__exchange="topics", amqp__exchange_type="topic", default_queue="topics") as server,
        pytest.raises(PublishError, match="task count: RabbitMQ: no queue takes the routing key 'nowhere'"),
    ):
        server.send_task(Signature("count", routing_key="nowhere"))


def test_a_queue_that_was_deleted_is_declared_again(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """A producer and a worker that have known the queue for long get over its loss."""
    with server.worker(concurrency=1):
        assert server.tasks["count"].send(1).get(timeout=10) == 1
        with channel(rabbit_server, vhost) as opened:
            opened.queue_delete("machinery_tasks")
        assert server.tasks["count"].send(2).get(timeout=10) == 2


def test_another_routing_key_than_the_delayed_queues(runs: Runs, rabbit_server: RabbitServer, vhost: str) -> None:
    """The queue of amqp.delayed_queue leads to one routing key; tasks for another one are delayed all the same."""
    with make_server(rabbit_server.url(vhost), runs, amqp__delayed_queue="later") as server:
        count = server.tasks["count"]
        first = count.using(countdown=60).send(1)
        with server.worker(concurrency=1, queue="special"):
            assert count.using(countdown=0.2, routing_key="special").send(2).get(timeout=10) == 2
        assert [waiting.uuid for waiting in server.delayed()] == [first.uuid]


def test_tls_and_several_brokers(runs: Runs, rabbit_server: RabbitServer) -> None:
    """The first of several brokers that answers is used; amqps checks the certificate."""
    urls = f"amqp://127.0.0.1:{free_port()}/,{rabbit_server.tls_url()}?cacertfile={rabbit_server.ca_file}"
    with (
        make_server(urls, runs, multiple_broker_separator=",") as server,
        server.worker(concurrency=1),
    ):
        assert server.tasks["count"].send(1).get(timeout=10) == 1
    with make_server(rabbit_server.tls_url(), runs) as server, pytest.raises(ServiceUnavailable, match="certificate"):
        server.send_task(Signature("count"))


def test_asyncio(server: Server) -> None:
    """Many sends and waits share one event loop and one connection."""
    count = server.tasks["count"]

    async def send_and_wait() -> list[int]:
        results = await asyncio.gather(*(count.asend(number) for number in range(50)))
        return await asyncio.gather(*(result.aget(timeout=20) for result in results))

    with server.worker(concurrency=4):
        assert asyncio.run(send_and_wait()) == list(range(50))


def test_unreachable(runs: Runs, rabbit_server: RabbitServer) -> None:
    """Nobody there, a wrong password and an unknown vhost say so in one line, soon, without the password."""
    port = rabbit_server.port
    cases = {
        f"amqp://guest:secret@127.0.0.1:{free_port()}/": "Connection refused",
        f"amqp://guest:secret@127.0.0.1:{port}/": "refused the login",
        f"amqp://guest:guest@127.0.0.1:{port}/nowhere": "vhost",
        "amqp://guest:secret@no-such-host.invalid:1/": "cannot reach RabbitMQ at amqp://",
    }
    for url, text in cases.items():
        began = time.monotonic()
        with make_server(url, runs) as server, pytest.raises(ServiceUnavailable, match=text) as caught:
            server.send_task(Signature("count"))
        assert time.monotonic() - began < 3
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


def test_bytes_on_the_wire(server: Server, rabbit_server: RabbitServer, vhost: str) -> None:
    """A message is persistent JSON with its priority and headers; pending tasks are read and left where they are."""
    sent = server.send_task(Signature("x", priority=7, headers={"a": "b"}))
    assert [waiting.uuid for waiting in server.pending()] == [sent.uuid]
    with channel(rabbit_server, vhost) as opened:
        _, properties, _ = opened.basic_get("machinery_tasks", auto_ack=True)

    assert properties == pika.BasicProperties(
        content_type="application/json", headers={"a": "b"}, delivery_mode=2, priority=7
    )


def test_acknowledged_at_the_very_end(rabbit_server: RabbitServer, vhost: str) -> None:
    """What is acknowledged in the same moment as the consumer ends stays acknowledged."""
    with Server(rabbit_server.url(vhost), result_backend="null") as server:
        for _ in range(3):
            server.send_task(Signature("noop"))
        taken: list[Delivery] = []
        while len(taken) < 3:
            taken += run(server.broker.fetch("machinery_tasks", "me", 3, 5.0))
        ended = ("retire", {"queue": "machinery_tasks", "worker": "me"})
        run(server.broker.port.execute_many([*(("basic_ack", {"held": each.token}) for each in taken), ended]))

    assert rabbit_server.counts("machinery_tasks", vhost) == (0, 0)
