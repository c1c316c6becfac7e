"""A worker inside the test, on the embedded Redis."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from gomachinery_py import Config, Server, Signature, TaskFailed
from gomachinery_py.demo.embedded import EmbeddedRedis
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError, ServiceUnavailable
from gomachinery_py.observing import Observer


@pytest.fixture
def server() -> Iterator[Server]:
    with EmbeddedRedis() as redis, Server(redis.url) as server:
        yield server


def test_server_handlers_reach_every_worker(server: Server) -> None:
    """Handlers set on the server are called around each task, the error handler for one that failed for good."""
    seen: list[tuple[str, str]] = []
    done = threading.Event()
    server.set_pre_task_handler(lambda signature: seen.append(("before", signature.name)))
    server.set_error_handler(lambda error: seen.append(("error", str(error))))

    @server.set_post_task_handler
    def after(_signature: object) -> None:
        done.set()

    @server.task
    def fail() -> None:
        raise ValueError("no")

    with server.worker(concurrency=1), pytest.raises(TaskFailed, match="no"):
        fail.send().get(timeout=20)
    assert done.wait(20)
    assert [("before", "fail"), ("error", "no")] == seen


def test_sync_and_async_tasks_share_the_concurrency(server: Server) -> None:
    """Two at once, whatever they are: a third one waits."""
    running, most = 0, 0
    lock = threading.Lock()

    def enter(change: int) -> None:
        nonlocal running, most
        with lock:
            running += change
            most = max(most, running)

    @server.task
    def on_thread() -> None:
        enter(1)
        threading.Event().wait(0.02)
        enter(-1)

    @server.task
    async def on_loop() -> None:
        enter(1)
        await asyncio.sleep(0.02)
        enter(-1)

    with server.worker(concurrency=2):
        results = [task.send() for _ in range(5) for task in (on_thread, on_loop)]
        assert [None] * 10 == [result.get(timeout=20) for result in results]
    assert most == 2


def test_a_task_that_was_short_until_now_holds_up_no_other(server: Server) -> None:
    """It runs where the worker is driven, and somebody else drives on while it does not end; so again the next time."""
    release = threading.Event()

    @server.task
    def work(waits: bool) -> str:
        if waits:
            release.wait(60)
        return threading.current_thread().name

    with server.worker("w", concurrency=4) as worker:
        for _ in range(3):
            release.clear()
            while not work.send(False).get(timeout=20).startswith(f"{worker.name}-pump"):
                pass
            slow = [work.send(True) for _ in range(3)]
            others = [work.send(False) for _ in range(20)]
            assert all(result.get(timeout=20) for result in others)
            assert [False] * 3 == [result.state.is_completed for result in slow]
            release.set()
            assert all(result.get(timeout=20) for result in slow)


class Refusing(Observer):
    """Lets no task begin, or end, depending on its name."""

    @contextlib.contextmanager
    def running(self, signature: Signature, queue: str) -> Iterator[Callable[[BaseException | None], None]]:  # noqa: ARG002
        if signature.name.endswith("begin"):
            raise RuntimeError("it may not begin")
        yield lambda _error: None
        raise RuntimeError("it may not end")


def test_an_observer_that_raises_makes_the_task_fail() -> None:
    """A run that an observer ends has its outcome like any other; its message is no dead letter."""
    with EmbeddedRedis() as redis, Server(redis.url, observers=[Refusing()]) as server:

        @server.task
        def may_begin() -> None:
            raise AssertionError

        @server.task
        async def may_end() -> None:
            pass

        with server.worker(concurrency=1):
            for task, text in ((may_begin, "it may not begin"), (may_end, "it may not end")):
                with pytest.raises(TaskFailed, match=text):
                    task.send().get(timeout=20)
        assert run(server.broker.dead("machinery_tasks")) == []


def test_a_worker_starts_once(server: Server) -> None:
    """A stopped worker is not started again; a new one is made."""
    worker = server.worker(concurrency=1)
    with worker:
        pass
    with pytest.raises(RuntimeError, match="make a new one"):
        worker.start()


@pytest.mark.parametrize(("read_timeout", "poll"), [(1, 0.5), (2, 1.0), (15, 1.0), (0, 1.0)])
def test_a_wait_for_messages_is_shorter_than_an_answer_may_take(read_timeout: int, poll: float) -> None:
    """Otherwise each wait of an idle worker ends as a server that does not answer, and its connection is closed."""
    url = "redis://localhost"
    server = Server(Config.of(broker=url, result_backend=url, redis__read_timeout=read_timeout))
    assert server.worker()._settings.poll == poll


def test_no_broker_is_said_at_the_start() -> None:
    """An unreachable broker ends the start, not the patience of whoever waits."""
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        Server("redis://127.0.0.1:1").worker().start()


def test_a_lease_too_short_is_refused() -> None:
    """It would give away tasks that still run."""
    with pytest.raises(ConfigError, match="2 at least"):
        Server("redis://localhost", lease=1)
