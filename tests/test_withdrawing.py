"""Tasks that are stopped before they begin: cancelled while they are delayed, or revoked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from command_line import gomachinery
from inprocess import FakeRedisPort, make_due, server_on, work_until_quiet

from gomachinery_py import Chord, Group, Server, Signature, TaskFailed
from gomachinery_py.cancelling import cancel
from gomachinery_py.effects import Request, run
from gomachinery_py.errors import MachineryError, ServiceError, ServiceUnavailable
from gomachinery_py.revocations import MOST, Revocations


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Ran:
    """A server whose tasks write down that they ran."""

    def __init__(self, store: FakeRedisPort | None = None) -> None:
        self.port = FakeRedisPort()
        self.server = server_on(self.port, store)
        self.names: list[str] = []

        @self.server.task
        def note(name: str) -> str:
            self.names.append(name)
            return name

        @self.server.task
        def gather(*names: str) -> None:
            self.names.extend(names)

        self.note: Any = note
        self.gather: Any = gather


# -- cancelling --


@pytest.mark.parametrize("is_one_redis", [True, False])
def test_cancelled(is_one_redis: bool) -> None:
    """It never runs, its result says why, and its OnError callbacks are not sent."""
    ran = Ran(None if is_one_redis else FakeRedisPort())
    failed = ran.gather.signature("on error")
    kept = ran.note.using(countdown=1000).send("kept")
    result = ran.note.using(countdown=1000, on_error=failed).send("cancelled")

    assert ran.server.cancel_delayed(result.uuid) is True
    assert ran.server.cancel_delayed(result.uuid) is False

    with pytest.raises(TaskFailed, match=r"^cancelled before it ran$"):
        result.get(timeout=5)
    assert result.state.task_name == "note"
    work_until_quiet(ran.server)
    assert (ran.names, kept.get(timeout=5)) == (["kept"], "kept")


def test_time_has_come() -> None:
    """One that was moved to its queue between the look and the step is not cancelled, and nothing is written."""
    ran = Ran()
    result = ran.note.using(countdown=1000).send("moved")
    [(_, body)] = run(ran.server.broker.find_delayed({result.uuid}))
    make_due(ran.server)
    run(ran.server.broker.move_due())
    assert run(cancel(ran.server._producer, body)) is False
    assert result.state.state == "PENDING"
    work_until_quiet(ran.server)
    assert result.get(timeout=5) == "moved"


@pytest.mark.parametrize("uuid", ["task_[a]*?", 'task_"\\', "täsk", "x" * 500])
def test_any_uuid_is_found(uuid: str) -> None:
    """However it is written; others whose text holds the same are left alone."""
    ran = Ran()
    callback = ran.gather.signature("x")
    callback.uuid = uuid
    ran.note.using(countdown=1000, on_success=callback).send(uuid)
    ran.note.using(countdown=1000, uuid=uuid).send("it")
    for number in range(1200):
        ran.note.using(countdown=1000, uuid=f"{uuid}{number}").send("another")
    assert ran.server.cancel_delayed(uuid) is True
    assert ran.port.redis.zcard("delayed_tasks") == 1201


def test_twins() -> None:
    """`acancel_delayed` and `arevoke` do the same inside an event loop, where the blocking ones refuse."""
    ran = Ran()

    async def main() -> tuple[bool, bool]:
        result = await ran.note.using(countdown=1000).asend("x")
        with pytest.raises(RuntimeError, match="acancel_delayed"):
            ran.server.cancel_delayed(result.uuid)
        with pytest.raises(RuntimeError, match="arevoke"):
            ran.server.revoke(result.uuid)
        await ran.server.arevoke(result.uuid)
        return await ran.server.acancel_delayed(result.uuid), await ran.server.acancel_delayed("task_none")

    assert asyncio.run(main()) == (True, False)
    assert ran.port.redis.zcard("{machinery}:gmpy:revoked") == 1


def test_a_store_that_is_away() -> None:
    """Where it cannot be one step, the error says that the task is gone and its result unknown."""

    class Away(FakeRedisPort):
        def send(self, requests: Any) -> list[list[Any] | Exception]:
            def answer(request: Request) -> list[Any] | Exception:
                writes = any(command[0] == "SET" for command in request.commands)
                return ServiceUnavailable("gone") if writes else super(Away, self).send([request])[0]

            return [answer(request) for request in requests]

    ran = Ran(FakeRedisPort())
    result = ran.note.using(countdown=1000).send("x")
    store = Away()
    ran.server.backend.port = store
    with pytest.raises(MachineryError, match=f"{result.uuid} was cancelled, but .* PENDING: gone"):
        ran.server.cancel_delayed(result.uuid)


def test_a_key_of_others_is_left_alone() -> None:
    """A state's key that holds something else: nothing happens, and the error says so."""
    ran = Ran()
    result = ran.note.using(countdown=1000).send("x")
    [(_, body)] = run(ran.server.broker.find_delayed({result.uuid}))
    ran.port.redis.rpush("a list", "x")
    with pytest.raises(ServiceError, match="nothing was done"):
        run(ran.server.broker.cancel(body, [("SET", "a list", b"{}", "EX", 10)]))
    assert ran.port.redis.zcard("delayed_tasks") == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("amqp://guest:guest@localhost:5672/", "RabbitMQ holds each delay in a queue of its own"),
        ("https://sqs.us-east-2.amazonaws.com/123456789012", "SQS shows a message to nobody before its time"),
        ("eager", "runs tasks when they are sent"),
    ],
)
def test_where_it_cannot_be(url: str, why: str) -> None:
    """Refused with the reason, before anything is asked of a service."""
    server = Server(url, result_backend="eager")
    with pytest.raises(NotImplementedError, match=why):
        server.cancel_delayed("task_x")
    with pytest.raises(NotImplementedError, match="neither the broker nor the result store"):
        server.revoke("task_x")


# -- revoking --


def test_revoked() -> None:
    """A worker that is at work learns of it; what runs goes on, callbacks of the revoked are not sent."""
    ran = Ran()
    ran.server.broker.lease = 30.0
    server = ran.server
    with server.worker("w", 1) as worker:
        server.revoke("task_later", "task_retried")
        wait_for(lambda: "task_later" in worker._engine.revoked)
        failed = ran.gather.signature("on error")
        revoked = ran.note.using(uuid="task_later", on_error=failed, on_success=failed).send("revoked")
        with pytest.raises(TaskFailed, match=r"^revoked before it ran$"):
            revoked.get(timeout=30)
        assert ran.note.send("another").get(timeout=30) == "another"
    assert ran.names == ["another"]


def test_known_before_the_first_task() -> None:
    """A worker that starts later begins none of them either, and the commands of a task are what they always are."""
    ran = Ran()
    ran.server.broker.lease = 30.0
    result = ran.note.send("revoked")
    ran.server.revoke(result.uuid)
    with ran.server.worker("w", 1), pytest.raises(TaskFailed, match="revoked"):
        result.get(timeout=30)
    assert ran.names == []


def test_a_revoked_member_never_fires_its_chord() -> None:
    """As with any member that fails, in Go too."""
    ran = Ran()
    ran.server.broker.lease = 30.0
    chord = Chord(Group(ran.note.using(uuid="task_1").s("1"), ran.note.using(uuid="task_2").s("2")), ran.gather.s())
    ran.server.revoke("task_1")
    with ran.server.worker("w", 1):
        results = ran.server.send_chord(chord)
        wait_for(lambda: ran.server.result("task_1").state.state == "FAILURE")
        wait_for(lambda: ran.server.result("task_2").state.state == "SUCCESS")
    assert ran.names == ["2"]
    assert results is not None


def test_it_costs_no_request() -> None:
    """A task's commands are the same whether something is revoked or not."""
    transcripts = []
    for revoked in ((), ("task_other",)):
        ran = Ran()
        ran.server.revoke(*revoked)
        seen: list[Any] = []
        ran.port.on_done = lambda command, seen=seen: seen.append(command[0])  # type: ignore[misc]
        ran.note.using(uuid="task_1").send("x")
        work_until_quiet(ran.server)
        transcripts.append(seen)
    assert transcripts[0] == transcripts[1]


def test_kept_for_a_while() -> None:
    """Each for its own time, the longest counts; the keys go when the last one has gone."""
    port = FakeRedisPort()
    server = server_on(port)
    server.revoke("task_a", expires_in=timedelta(hours=2))
    server.revoke("task_a", "task_b", expires_in=100)
    key = "{machinery}:gmpy:revoked"
    assert 7100 < port.redis.zscore(key, "task_a") - time.time() <= 7201
    assert 90 < port.redis.zscore(key, "task_b") - time.time() <= 101
    for name in (key, f"{key}:changed"):
        assert 7100 < port.redis.ttl(name) <= 7202

    revocations = Revocations(port)
    run(revocations.look())
    assert revocations.uuids == {"task_a", "task_b"}
    # Its time is over.
    port.redis.zadd(key, {"task_b": 1})
    run(revocations.look())
    assert revocations.uuids == {"task_a"}
    port.redis.delete(key, f"{key}:changed")
    run(revocations.look())
    assert revocations.uuids == frozenset()


def test_a_look_is_small() -> None:
    """What is known is not told again."""
    port = FakeRedisPort()
    server_on(port).revoke(*(f"task_{number}" for number in range(MOST)))
    revocations = Revocations(port)
    run(revocations.look())
    assert len(revocations.uuids) == MOST
    replies: list[Any] = []
    answer = port.send

    def send(requests: Any) -> Any:
        replies.extend(answer(requests))
        return replies[-1:]

    port.send = send  # type: ignore[method-assign]
    run(revocations.look())
    assert [len(reply[0]) for reply in replies] == [1]
    with pytest.raises(ServiceError, match="10000 tasks at most"):
        server_on(port).revoke("task_one_more")
    server_on(port).revoke("task_1")


def test_what_is_no_uuid() -> None:
    """Refused before anything is asked."""
    with pytest.raises(ValueError, match="takes UUIDs"):
        server_on(FakeRedisPort()).revoke("task_1", "")
    with pytest.raises(TypeError, match="UUID must be text"):
        server_on(FakeRedisPort()).revoke(7)  # type: ignore[arg-type]
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expires_in"):
            server_on(FakeRedisPort()).revoke("task_1", expires_in=seconds)


# -- the command line --


def test_delayed_cancel_on_the_command_line(embedded_url: str) -> None:
    """It asks, says what it did, and ends with 1 when one was not there."""
    with Server(embedded_url) as server:
        for name in ("task_c1", "task_c2", "task_c3"):
            server.send_task(Signature("note", uuid=name, eta=datetime.now(UTC) + timedelta(days=1)))
        options = ("--broker", embedded_url)
        asked = gomachinery("delayed", "cancel", "task_c1", *options, stdin=b"n\n")
        assert (asked.code, asked.out, "task_c1 note()" in asked.error) == (1, "", True)
        done = gomachinery("delayed", "cancel", "task_c1", "task_c2", "--yes", *options)
        assert (done.code, done.out) == (0, "task_c1 cancelled\ntask_c2 cancelled\n")
        again = gomachinery("delayed", "cancel", "task_c1", "task_c3", "--yes", *options)
        assert (again.code, again.out) == (1, "task_c3 cancelled\n")
        assert "task_c1 was not cancelled: no such task waits for its time" in again.error
        shown = gomachinery("result", "task_c1", *options)
        assert (shown.code, "cancelled before it ran" in shown.out + shown.error) == (1, True)


def test_revoke_on_the_command_line(embedded_url: str) -> None:
    """It asks too."""
    options = ("--broker", embedded_url)
    assert gomachinery("revoke", "task_r1", *options, stdin=b"n\n").code == 1
    assert gomachinery("revoke", "task_r1", "task_r2", "--yes", *options).out == "2 revoked, for Python workers\n"
    with Server(embedded_url) as server:
        revocations = Revocations(server.broker.port)
        run(revocations.look())
        assert revocations.uuids == {"task_r1", "task_r2"}


def test_neither_on_rabbitmq() -> None:
    """One line that says why, without a broker at hand."""
    code, out, error = gomachinery("delayed", "cancel", "x", "--yes", "--broker", "amqp://localhost:1")
    assert (code, out, error.count("\n")) == (3, "", 1)
