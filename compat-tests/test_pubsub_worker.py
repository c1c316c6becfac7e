"""Our side of Pub/Sub when things go wrong: workers that die, results that cannot be stored, poison, missing topics."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.process import wait_until
from harness.pubsub_fleet import PubSubFleet
from harness.pubsub_server import PubSubServer
from harness.redis_server import RedisServer, free_port
from harness.signatures import signature

from gomachinery_py import Group, Server
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.effects import run
from gomachinery_py.errors import PublishError, SignatureError
from gomachinery_py.pubsub_commands import PubSubRefused

ONE_LINE_SECONDS = 2.0
# Of an interpreter that imports everything, on a busy machine.
START_SECONDS = 5.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis for the results of this module."""
    with short_directory() as directory:
        server = RedisServer(directory)
        yield server
        server.stop()


@pytest.fixture
def project(request: pytest.FixtureRequest, pubsub: PubSubServer) -> str:
    """A project of this test's own, with the default queue."""
    name = request.node.name.replace("_", "-")[:40]
    pubsub.make_queue(name)
    return name


class Runs:
    """A server with one task that counts its runs by number."""

    def __init__(self, broker: str, backend: str, **settings: Any) -> None:
        self.server = Server(broker, result_backend=backend, **settings)
        self.count: Counter[int] = Counter()
        self.times: list[float] = []

        @self.server.task
        def note(number: int, milliseconds: int = 0) -> int:
            self.count[number] += 1
            self.times.append(time.time())
            time.sleep(milliseconds / 1000)
            return number

        self.note = note


@pytest.fixture
def runs(pubsub: PubSubServer, project: str, redis: RedisServer) -> Iterator[Runs]:
    runs = Runs(pubsub.url(project), redis.url(), lease=2)
    with runs.server:
        yield runs


def commands_of(server: Server) -> list[tuple[float, str, dict[str, Any]]]:
    """What the server's broker tells Pub/Sub from now on, and when."""
    told: list[tuple[float, str, dict[str, Any]]] = []
    server.broker.port.observer = lambda command: told.append((time.time(), *command))
    return told


def test_what_is_too_large_leaves_nothing_behind(runs: Runs, redis: RedisServer) -> None:
    """A task over 10 MB is refused before any state is stored, and before any other member of its group is sent."""

    @runs.server.task
    def size(text: str) -> int:
        return len(text)

    told = commands_of(runs.server)
    redis.flush()
    large = "x" * 10_000_000
    with pytest.raises(SignatureError, match="task size has 10000"):
        size.send(large)
    with pytest.raises(SignatureError, match="Pub/Sub takes 10000000"):
        runs.server.send_group(Group(*[size.s("x") for _ in range(200)], size.s(large)))
    with pytest.raises(SignatureError, match="Pub/Sub takes 10000000"):
        runs.server.send_many(size, [*[("x",)] * 200, (large,)])

    assert redis.client.keys() == []
    assert told == []


def test_what_lay_here_too_long_is_not_run(runs: Runs, pubsub: PubSubServer, project: str) -> None:
    """What a pull has brought while nothing was taken is somebody else's by the time that it is looked at."""
    broker, queue = runs.server.broker, "machinery_tasks"
    pubsub.publish(project, json.dumps(signature("note", ("int64", 1))).encode())
    while taken := run(broker.fetch(queue, "first", 1, 0.0)):
        run(broker.hand_back(taken))

    other: list[Delivery] = []
    wait_until(lambda: other.extend(run(broker.fetch(queue, "second", 1, 1.0))) or other, 60, "another delivery")

    assert run(broker.fetch(queue, "first", 1, 0.0)) == []
    assert len(other) == 1
    run(broker.settle(other[0]))
    assert pubsub.take(project) == []


def test_a_worker_that_is_killed_loses_nothing(pubsub: PubSubServer, redis: RedisServer) -> None:
    """kill -9 in the middle of the work: another worker does all that was not done."""
    with short_directory() as directory, PubSubFleet(pubsub, redis, directory) as fleet:
        first = fleet.start_worker("python", "killed", concurrency=4, record_key="test:killed")
        producer = fleet.producer_in("python", "killed")

        def note(number: int) -> dict[str, Any]:
            return signature("record", ("string", f"number-{number}"))

        sent = [
            producer.send_task(signature("sleep_ms", ("int64", 30), Immutable=True, OnSuccess=[note(number)]))
            for number in range(60)
        ]
        wait_until(lambda: redis.client.llen("test:killed") >= 10, 20, "ten tasks that were run")
        first.kill()
        done = redis.client.llen("test:killed")
        fleet.start_worker("python", "killed", concurrency=4, record_key="test:killed")

        assert [producer.get(uuid)[0].value for uuid in sent] == [30] * 60

        def names() -> set[str]:
            return {line.decode().rpartition("|")[2] for line in redis.client.lrange("test:killed", 0, -1)}

        wait_until(lambda: len(names()) == 60, 20, "all callbacks")
        assert 10 <= done < 60


def test_nothing_is_acknowledged_before_it_is_stored(
    pubsub: PubSubServer, project: str, make_redis: Callable[..., RedisServer]
) -> None:
    """A task that takes longer than the lease, and then finds no result store, runs once and is kept meanwhile."""
    store = make_redis(append_only=True)
    runs = Runs(pubsub.url(project), store.url(), lease=2)
    with runs.server, runs.server.worker(concurrency=2):
        result = runs.note.send(1, 2500)
        wait_until(lambda: runs.count[1], 10, "it has begun")
        told = commands_of(runs.server)
        store.stop()
        time.sleep(5)
        store.start()
        back = time.time()

        assert result.get(timeout=10) == 1

        wait_until(lambda: any(name == "Acknowledge" for _, name, _ in told), 10, "it is acknowledged")
        assert runs.count == {1: 1}
        assert min(at for at, name, _ in told if name == "Acknowledge") >= back - 0.1
        extended = [fields for _, name, fields in told if name == "ModifyAckDeadline"]
        assert {fields["ack_deadline_seconds"] for fields in extended} == {2}


def test_what_is_stored_is_not_run_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker ends after it has stored an outcome and before it acknowledges: the next one only does that."""

    async def die(_delivery: Delivery) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr(runs.server.broker, "settle", die)
        with runs.server.worker(concurrency=1):
            result = runs.note.send(1)
            assert result.get(timeout=10) == 1
    told = commands_of(runs.server)
    with runs.server.worker(concurrency=1):
        wait_until(lambda: any(name == "Acknowledge" for _, name, _ in told), 15, "it is acknowledged")

    assert (runs.count, result.state.state) == ({1: 1}, "SUCCESS")


def test_an_eta_is_kept_by_whoever_holds_the_message(runs: Runs) -> None:
    """A worker that stops gives what waits for its time to the next one, which runs it then and never early."""
    with runs.server.worker(concurrency=2):
        eta = datetime.now(UTC) + timedelta(seconds=2.5)
        results = [runs.note.using(eta=eta).send(number) for number in range(3)]
        runs.note.send(9).get(timeout=10)
    assert runs.count == {9: 1}
    with runs.server.worker(concurrency=2):
        assert [result.get(timeout=10) for result in results] == [0, 1, 2]
    assert runs.count == {0: 1, 1: 1, 2: 1, 9: 1}
    assert all(0 <= at - eta.timestamp() < 3 for at in runs.times[1:])


def test_a_sender_can_wait_as_go_does(runs: Runs, pubsub: PubSubServer, project: str) -> None:
    """For readers in Go: with ``sender_waits`` nothing is on the topic before its ETA, the rest is not held up."""
    runs.server.broker.sender_waits = True  # type: ignore[attr-defined]
    began = time.time()
    later = runs.note.using(eta=datetime.now(UTC) + timedelta(seconds=0.6)).s(1)

    async def send_both() -> float:
        waiting = asyncio.create_task(runs.server.asend_task(later))
        await runs.note.asend(2)
        at_once = time.time() - began
        await waiting
        await runs.server.aclose()
        return at_once

    assert asyncio.run(send_both()) < 0.5
    assert 0.6 <= time.time() - began < 3
    published = [json.loads(message.data)["Args"][0]["Value"] for message in pubsub.take(project)]
    assert published == [2, 1]


def test_poison_is_neither_dropped_nor_looped(
    runs: Runs, pubsub: PubSubServer, project: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot run comes again later each time and is never acknowledged; what may be ignored is; the rest runs."""
    caplog.set_level(logging.CRITICAL)
    told = commands_of(runs.server)
    bodies = [b"{", b"nonsense", json.dumps(signature("nobody_knows")).encode()]
    pubsub.publish(project, *bodies, json.dumps(signature("nor_this", IgnoreWhenTaskNotRegistered=True)).encode())
    with runs.server.worker(concurrency=2):
        assert [result.get(timeout=10) for result in [runs.note.send(number) for number in range(20)]] == [*range(20)]
        wait_until(lambda: _pauses(told, "unregistered") == [0, 1], 10, "the unregistered task has come twice")
        acknowledged = {each for _, name, fields in told if name == "Acknowledge" for each in fields["ack_ids"]}

    assert _pauses(told, "poison") == [10, 10]
    assert len(acknowledged) == 21


def _pauses(told: list[tuple[float, str, dict[str, Any]]], kind: str) -> list[int]:
    """Seconds that single messages were put off, apart from the 2 of the heartbeat."""
    seconds = [fields["ack_deadline_seconds"] for _, name, fields in told if name == "ModifyAckDeadline"]
    wanted = (10, 20) if kind == "poison" else (0, 1)
    return [each for each in seconds if each in wanted]


def test_what_is_missing_is_one_line(pubsub: PubSubServer, redis: RedisServer) -> None:
    """Go's texts for a topic or a subscription that does not exist, with the command that makes it."""
    pubsub.make_queue("half", subscription="another")
    nothing = Runs("gcppubsub://nothing/worker", redis.url())
    half = Runs("gcppubsub://half/worker", redis.url())
    whole = Runs("gcppubsub://half/another", redis.url())
    with nothing.server, half.server, whole.server:
        with pytest.raises(PubSubRefused) as no_topic:
            nothing.server.worker().start()
        with pytest.raises(PubSubRefused) as no_subscription:
            half.server.worker().start()
        with pytest.raises(PubSubRefused, match="subscription does not exist, instead got special"):
            whole.server.worker(queue="special").start()
        with pytest.raises(PublishError) as not_sent:
            nothing.note.using(routing_key="special").send(1)

    made = "make it in project nothing: gcloud pubsub topics create"
    assert str(no_topic.value) == f"topic does not exist, instead got machinery_tasks; {made} machinery_tasks"
    assert str(no_subscription.value).startswith("subscription does not exist, instead got worker; make it in project")
    assert str(not_sent.value) == f"task note: topic does not exist, instead got special; {made} special"


def test_unreachable_is_one_line(redis: RedisServer, tmp_path: Path) -> None:
    """Nothing listens, or there are no credentials: exit code, one line and the remedy, soon."""
    base = {key: value for key, value in os.environ.items() if key != "PUBSUB_EMULATOR_HOST"}
    away = {**base, "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}"}
    no_login = {**base, "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    told = []
    for environment in (away, no_login):
        began = time.monotonic()
        done = gomachinery("send", "x", "--broker", "gcppubsub://p/s", "--result-backend", redis.url(), **environment)
        assert time.monotonic() - began < START_SECONDS + ONE_LINE_SECONDS
        told.append(done)

    assert [code for code, _, _ in told] == [3, 2]
    assert [error.count("\n") for _, _, error in told] == [1, 1]
    assert "cannot reach Pub/Sub at 127.0.0.1" in told[0][2]
    assert "GOOGLE_APPLICATION_CREDENTIALS" in told[1][2]


def gomachinery(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    command = [sys.executable, "-m", "gomachinery_py", *arguments]
    done = subprocess.run(
        command, env=environment or None, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_what_the_command_line_can_see(runs: Runs, pubsub: PubSubServer, project: str) -> None:
    """What waits can be looked at and dropped; what Pub/Sub does not tell is a dash or one line."""
    for number in range(3):
        runs.note.send(number)
    pubsub.make_queue(project, "graves", "graves")
    pubsub.subscribe(project, "graves", "strict", dead_letter_queue="machinery_tasks")
    broker = ("--broker", pubsub.url(project))

    listed = gomachinery("queue", "ls", "--json", *broker)
    peeked = gomachinery("queue", "peek", "--json", *broker)
    again = run(runs.server.broker.pending("machinery_tasks"))
    purged = gomachinery("queue", "purge", "--yes", *broker)
    delayed = gomachinery("delayed", "ls", *broker)
    dead = gomachinery("queue", "dead", *broker)

    nothing = {"waiting": None, "inflight": None, "dead": 0, "workers": None}
    assert json.loads(listed[1]) == {"queue": "machinery_tasks", **nothing}
    assert [json.loads(line)["name"] for line in peeked[1].splitlines()] == ["note"] * 3
    assert len(again) == 3
    assert purged == (0, "all dropped\n", "")
    assert run(runs.server.broker.pending("machinery_tasks")) == []
    assert (delayed[0], delayed[2].count("\n"), dead[0], dead[2].count("\n")) == (1, 1, 1, 1)
    with pytest.raises(PubSubRefused, match="dead-letter policy counts"):
        run(runs.server.broker.pending("strict"))
