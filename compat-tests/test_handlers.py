"""Pre-task, post-task, pre-publish and error handlers are called as Go's workers call them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.go_producer import GoProducer
from harness.go_worker import probe
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.signatures import Document, push, signature

from gomachinery_py import Arg, Chain, Chord, Group, Server, Signature

TIMEOUT = 60
QUEUE = "machinery_tasks"


def add(*numbers: int, **fields: object) -> Document:
    return signature("add", *(("int64", number) for number in numbers), **fields)


def send_everything(producer: GoProducer) -> Iterator[str]:
    """One task after another, each with its callbacks and retries; the UUID of what ends last of each."""
    on_error = [signature("concat", ("string", "!"), UUID="task_on_error")]
    on_success = [signature("context_signature", UUID="task_seen")]
    yield producer.send_task(add(1, 2))
    producer.send_task(add(1, Immutable=True, OnSuccess=on_success))
    yield "task_seen"
    producer.send_task(signature("fail", ("string", "bad"), OnError=on_error))
    yield "task_on_error"
    yield producer.send_task(signature("panic"))
    yield producer.send_task(signature("fail_n_times", ("int64", 1), RetryCount=2))
    yield producer.send_task(signature("retry_later", ("string", "busy"), ("int64", 20), ("int64", 1)))
    yield producer.send_task(signature("sum", ("string", "wrong call")))
    yield producer.send_chain(add(1), add(2)).all[-1]
    yield producer.send_chord(add(1), add(2), callback=add(3)).all[-1]


def wait_for(redis: RedisServer, uuid: str) -> None:
    """Until a task, which may not even be sent yet, has succeeded or failed."""
    final = (b'"State":"SUCCESS"', b'"State":"FAILURE"')
    wait_until(lambda: any(state in (redis.client.get(uuid) or b"") for state in final), TIMEOUT, f"{uuid} done")


def run_scenario(redis: RedisServer, producer: GoProducer) -> None:
    """Send everything to a worker of concurrency 1, each when the one before is done, and wait until it is through."""
    for uuid in send_everything(producer):
        wait_for(redis, uuid)
    assert probe(redis, QUEUE, TIMEOUT)
    redis.client.rpush("test:records", "x|end")


@pytest.fixture
def python_calls(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, list[str]]]:
    """The test tasks on a server in this process, and what its pre-publish handler was called with."""
    calls: list[str] = []
    monkeypatch.setenv("GMPY_BROKER", redis_server.url())
    sys.modules.pop("python_tasks", None)
    tasks = importlib.import_module("python_tasks")
    server: Server = tasks.server

    @server.set_pre_publish_handler
    def published(sent: Signature) -> None:
        assert sent.headers is not None
        sent.headers["published"] = sent.name
        calls.append(f"publish|{sent.name}|{sent.retry_count}")

    with server:
        yield server, calls
    sys.modules.pop("python_tasks", None)


def by_kind(lines: list[str]) -> dict[str, list[str]]:
    """Calls of each handler in their order, without those of the last, empty task."""
    told: dict[str, list[str]] = {}
    for line in lines:
        kind, _, rest = line.partition("|")
        if not rest.startswith("noop|"):
            told.setdefault(kind, []).append(rest)
    return told


def go_lines(redis: RedisServer) -> list[str]:
    lines = [line.decode().partition("|")[2] for line in redis.client.lrange("test:records", 0, -1)]
    return lines[: lines.index("end")]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_handlers_are_called_as_in_go(
    version: str,
    redis_server: RedisServer,
    python_calls: tuple[Server, list[str]],
    go_producer: Callable[..., Any],
    go_worker: Callable[..., Any],
) -> None:
    """The same tasks give each handler the same calls in the same order, in Go and here."""
    server, calls = python_calls
    producer = go_producer(version)
    go = go_worker(version, concurrency=1, handlers="true")
    run_scenario(redis_server, producer)
    expected = go_lines(redis_server)
    [go_saw] = producer.get("task_seen")
    go.kill()
    redis_server.flush()

    worker = server.worker(concurrency=1)
    worker.set_pre_task_handler(lambda sent: calls.append(f"pre|{sent.name}|{sent.retry_count}"))
    worker.set_post_task_handler(lambda sent: calls.append(f"post|{sent.name}|{sent.retry_count}"))
    worker.set_error_handler(lambda error: calls.append(f"error|{error}"))
    with worker:
        run_scenario(redis_server, producer)

    assert by_kind(calls) == by_kind(expected)
    assert set(by_kind(calls)) == {"publish", "pre", "post", "error"}
    # What the pre-publish handler changes is what is sent.
    [python_saw] = producer.get("task_seen")
    assert '"published":"context_signature"' in go_saw.value
    assert '"published":"context_signature"' in python_saw.value


def test_the_order_around_one_task(redis_server: RedisServer, python_calls: tuple[Server, list[str]]) -> None:
    """Before the call; then what follows from it is sent; then after the task: its state is stored by then."""
    server, calls = python_calls
    worker = server.worker(concurrency=1)
    states: list[str] = []

    def state(sent: Signature) -> str:
        return server.result(sent.uuid).state.state

    @worker.set_pre_task_handler
    def before(sent: Signature) -> None:
        states.append(state(sent))
        calls.append(f"pre|{sent.name}")

    @worker.set_post_task_handler
    def after(sent: Signature) -> None:
        states.append(state(sent))
        calls.append(f"post|{sent.name}")

    with worker:
        push(redis_server.client, QUEUE, add(1, UUID="task_first", OnSuccess=[add(2, UUID="task_next")]))
        wait_until(lambda: len(calls) == 5, TIMEOUT, "both tasks done with")

    assert calls == ["pre|add", "publish|add|0", "post|add", "pre|add", "post|add"]
    assert states == ["STARTED", "SUCCESS"] * 2


def test_the_producers_handler_skips_groups_and_chords(redis_server: RedisServer) -> None:
    """As in Go: tasks and chains pass by the pre-publish handler, groups and chords do not."""
    seen: list[str] = []

    def task(name: str) -> Signature:
        return Signature(name, [Arg("int64", 1)])

    with Server(redis_server.url()) as server:
        server.set_pre_publish_handler(lambda sent: seen.append(sent.name))
        server.send_task(task("single"))
        server.send_chain(Chain(task("first"), task("second")))
        server.send_group(Group(task("member")))
        server.send_chord(Chord(Group(task("member")), task("callback")))

    assert seen == ["single", "first"]


def test_handlers_that_raise_change_nothing(python_calls: tuple[Server, list[str]]) -> None:
    """A handler's own error never decides a task's fate and never stops the worker."""
    server, _ = python_calls
    worker = server.worker(concurrency=1)

    def broken(_: object) -> None:
        raise RuntimeError("handler")

    worker.set_pre_task_handler(broken)
    worker.set_post_task_handler(broken)
    worker.set_error_handler(broken)
    with worker:
        good = server.tasks["add"].send(1, 2)
        bad = server.tasks["fail"].send("bad")
        assert good.get(TIMEOUT) == 3
        wait_until(lambda: bad.state.is_completed, TIMEOUT, "the failed task")
        assert bad.state.error == "bad"
        assert server.tasks["noop"].send().get(TIMEOUT) is None


def test_nothing_is_taken_while_the_pre_consume_handler_says_no(
    redis_server: RedisServer, python_calls: tuple[Server, list[str]]
) -> None:
    """Tasks wait on the queue until it says yes (Go: ``SetPreConsumeHandler``)."""
    server, _ = python_calls
    worker = server.worker(concurrency=1)
    open_for_work = False
    asked: list[bool] = []

    def may_consume() -> bool:
        asked.append(open_for_work)
        return open_for_work

    worker.set_pre_consume_handler(may_consume)
    with worker:
        result = server.tasks["noop"].send()
        wait_until(lambda: len(asked) > 1, TIMEOUT, "the handler asked")
        assert redis_server.client.llen(QUEUE) == 1
        open_for_work = True
        assert result.get(TIMEOUT) is None
