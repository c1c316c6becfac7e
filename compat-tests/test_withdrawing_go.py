"""Cancelled and revoked tasks beside Go: what Go's own results say of them, and who still runs what."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.command_line import gomachinery
from harness.go_producer import GoProducer, GoTaskFailed
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.python_worker import PythonWorker
from harness.rabbitmq_server import RabbitServer
from harness.redis_cluster import RedisCluster
from harness.redis_server import RedisServer
from harness.signatures import push, signature

from gomachinery_py import Arg, Server, Signature, TaskFailed

SECONDS = 60.0
TASKS = 300


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def records(redis: RedisServer) -> list[str]:
    """The tasks that ran, whoever ran them."""
    return [entry.decode().partition("|")[2] for entry in redis.client.lrange("test:records", 0, -1)]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_go_producer_learns_of_it(
    redis_server: RedisServer, go_producer: Callable[..., GoProducer], version: str
) -> None:
    """A task that Go delays can be taken back, and Go's waiting result fails with the text that says so."""
    producer = go_producer(version)
    uuid = producer.send_task(signature("noop", ETA=later(3600)))
    kept = producer.send_task(signature("noop", ETA=later(3600)))

    done = gomachinery("delayed", "cancel", uuid, "--yes", "--broker", redis_server.url())

    assert (done[0], done[1]) == (0, f"{uuid} cancelled\n")
    with pytest.raises(GoTaskFailed, match="cancelled before it ran"):
        producer.get(uuid)
    assert [task["UUID"] for task in producer.delayed()] == [kept]
    state = producer.state(uuid)
    assert (state["State"], state["TaskName"], state["CreatedAt"] > "2020") == ("FAILURE", "noop", True)


def test_cancelled_or_run(
    redis_server: RedisServer, go_worker: Callable[..., GoWorker], python_worker: Callable[..., PythonWorker]
) -> None:
    """Tasks whose time comes while they are cancelled, with Go and Python movers: each is one or the other."""
    python_worker(concurrency=4)
    go_worker("v2", concurrency=4)
    with Server(redis_server.url()) as server:
        uuids = [f"task_{number}" for number in range(TASKS)]
        begun = datetime.now(UTC)
        for number, uuid in enumerate(uuids):
            # The first third is due at once, the second while it is cancelled, the rest never.
            seconds = (0.1, 0.1 + (number - TASKS // 3) / TASKS, 3600)[3 * number // TASKS]
            eta = begun + timedelta(seconds=seconds)
            server.send_task(Signature("record", [Arg("string", uuid)], uuid=uuid, eta=eta))
        wait_until(lambda: records(redis_server), SECONDS, "a task that ran")
        cancelled = {uuid for uuid in [*uuids[TASKS // 3 :], *uuids] if server.cancel_delayed(uuid)}
        expected = set(uuids) - cancelled
        wait_until(lambda: len(records(redis_server)) >= len(expected), SECONDS, "what was not cancelled")
        states = {uuid: lambda uuid=uuid: server.result(uuid).state for uuid in uuids}
        wait_until(lambda: all(ask().is_completed for ask in states.values()), SECONDS, "an end for each task")
        assert sorted(records(redis_server)) == sorted(expected)
        assert {uuid for uuid, ask in states.items() if ask().error == "cancelled before it ran"} == cancelled
        assert TASKS // 3 <= len(cancelled) < TASKS


@pytest.mark.parametrize("kind", ["go", "python"])
def test_python_workers_alone_honour_it(
    redis_server: RedisServer,
    go_worker: Callable[..., GoWorker],
    python_worker: Callable[..., PythonWorker],
    go_producer: Callable[..., GoProducer],
    kind: str,
) -> None:
    """Go knows nothing of a revocation and runs the task; a Python worker ends it with a text that Go reads."""
    assert gomachinery("revoke", "task_revoked", "--yes", "--broker", redis_server.url())[0] == 0
    push(redis_server.client, "machinery_tasks", signature("noop", UUID="task_revoked"))
    push(redis_server.client, "machinery_tasks", signature("noop", UUID="task_other"))
    _ = go_worker("v2") if kind == "go" else python_worker()
    producer = go_producer("v2")
    producer.get("task_other")
    if kind == "go":
        assert producer.get("task_revoked") == []
    else:
        with pytest.raises(GoTaskFailed, match="revoked before it ran"):
            producer.get("task_revoked")


def test_on_rabbitmq(rabbit_server: RabbitServer, vhost: str, redis_server: RedisServer) -> None:
    """Revoking works where results are on Redis, and is refused where they are not; cancelling is refused."""
    options = ("--broker", rabbit_server.url(vhost))
    stored = (*options, "--result-backend", redis_server.url())
    code, out, error = gomachinery("delayed", "cancel", "task_1", "--yes", *stored)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "RabbitMQ holds each delay in a queue of its own, out of which no client can take one message" in error
    code, out, error = gomachinery("revoke", "task_1", "--yes", *options)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "neither the broker nor the result store" in error

    ran: list[str] = []
    with Server(rabbit_server.url(vhost), result_backend=redis_server.url()) as server:
        note = server.task("note")(_noting(ran))
        assert gomachinery("revoke", "task_1", "--yes", *stored)[0] == 0
        with server.worker("w", 1):
            with pytest.raises(TaskFailed, match="revoked before it ran"):
                note.using(uuid="task_1").send("revoked").get(timeout=SECONDS)
            note.send("another").get(timeout=SECONDS)
    assert ran == ["another"]


def _noting(ran: list[str]) -> Any:
    def note(text: str) -> None:
        ran.append(text)

    return note


def test_on_a_cluster(cluster: RedisCluster) -> None:
    """Keys of a slot each; cancelled first, then written."""
    ran: list[str] = []
    with Server(cluster.url()) as server:
        note = server.task("note")(_noting(ran))
        cancelled = note.using(countdown=3600).send("cancelled")
        note.using(countdown=3600).send("kept")
        assert server.cancel_delayed(cancelled.uuid) is True
        assert server.cancel_delayed(cancelled.uuid) is False
        with pytest.raises(TaskFailed, match="cancelled before it ran"):
            cancelled.get(timeout=SECONDS)
        server.revoke("task_1")
        with server.worker("w", 1):
            with pytest.raises(TaskFailed, match="revoked before it ran"):
                note.using(uuid="task_1").send("revoked").get(timeout=SECONDS)
            note.send("another").get(timeout=SECONDS)
        code, out, _ = gomachinery("top", "--once", "--json", "--broker", cluster.url())
        frame = json.loads(out)
        assert (code, frame["delayed"]["count"]) == (0, 1)
    assert ran == ["another"]
