"""Tasks whose workers died: each runs alone, on a worker inside the test and the embedded Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from gomachinery_py import AsyncResult, Server
from gomachinery_py.demo.embedded import EmbeddedRedis
from gomachinery_py.wire import names
from gomachinery_py.worker import suspects
from gomachinery_py.worker.suspects import Suspects
from gomachinery_py.worker.worker import Worker

QUEUE = "machinery_tasks"
LIMIT = 60.0


class Stage:
    """A server, tasks that keep a log of what began and ended, and a way to have workers die beforehand."""

    def __init__(self, server: Server, client: Any) -> None:
        self.server = server
        self.client = client
        self.log: list[str] = []
        self.release = threading.Event()

        @server.task
        def act(name: str, waits: bool) -> str:
            self.log.append(f"{name} begins")
            if waits:
                self.release.wait(LIMIT)
            self.log.append(f"{name} ends")
            return name

        @server.task
        async def act_on_loop(name: str) -> str:
            self.log += [f"{name} begins", f"{name} ends"]
            return name

        self.act = act
        self.act_on_loop = act_on_loop

    def send(self, name: str, *, waits: bool = False, deaths: int = 0, on_loop: bool = False) -> AsyncResult[str]:
        """One task, at the head of the queue as what is recovered is, with so many deaths counted."""
        signature = self.act_on_loop.s(name) if on_loop else self.act.s(name, waits)
        signature.routing_key = "aside"
        result: AsyncResult[str] = self.server.send_task(signature)
        body = self.client.lindex("aside", -1)
        if deaths:
            self.client.hset(names.attempts_key(QUEUE), body, deaths)
        self.client.lmove("aside", QUEUE, "RIGHT", "LEFT")
        return result

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.005)

    def has_suspect(self, worker: Worker) -> bool:
        """Whether one waits for its turn there, or has it."""
        assert worker._pump is not None
        return worker._pump._suspect is not None

    def left(self) -> dict[str, int]:
        """What our own keys hold."""
        keys = {key.decode().partition(":gmpy:")[2]: key for key in self.client.keys("{*")}
        counted = {
            name: key for name, key in keys.items() if name.startswith(("inflight", "alone", "attempts", "dead"))
        }
        return {name: self.client.llen(k) if "fl" in name else self.client.exists(k) for name, k in counted.items()}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with EmbeddedRedis() as embedded, Server(embedded.url) as server, redis.Redis(port=embedded.port) as client:
        yield Stage(server, client)


def story(*names: str) -> list[str]:
    """The log of tasks that ran one after the other."""
    return [f"{name} {what}" for name in names for what in ("begins", "ends")]


@pytest.mark.parametrize("on_loop", [False, True], ids=["thread", "event loop"])
def test_a_suspect_begins_when_what_runs_has_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, on_loop: bool
) -> None:
    """Nothing else begins before it has ended, although there is room; then it is no suspect any more."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", LIMIT)
    stage.send("long", waits=True)
    with stage.server.worker(concurrency=3) as worker:
        stage.wait_for(lambda: stage.log)
        suspect = stage.send("suspect", deaths=2, on_loop=on_loop)
        stage.wait_for(lambda: stage.has_suspect(worker))
        quick = stage.send("quick")
        # A fetch that was under way may bring it: then it goes back.
        stage.wait_for(lambda: stage.client.llen(QUEUE) == 1 and len(worker._pump.held(QUEUE)) == 2)  # type: ignore[union-attr]
        stage.release.set()
        assert ["suspect", "quick"] == [result.get(timeout=LIMIT) for result in (suspect, quick)]
    assert story("long", "suspect", "quick") == stage.log
    assert {} == stage.left()


def test_while_it_runs_alone_it_is_all_that_is_held(stage: Stage) -> None:
    """What comes goes back to the queue, and one task is said to run."""
    suspect = stage.send("suspect", waits=True, deaths=2)
    with stage.server.worker(concurrency=6) as worker:
        pump = worker._pump
        assert pump is not None
        stage.wait_for(lambda: stage.log)
        results = [stage.send(f"after {number}") for number in range(5)]
        stage.wait_for(lambda: stage.client.llen(QUEUE) == 5 and pump.counts == (1, 1))
        stage.release.set()
        for result in (suspect, *results):
            result.get(timeout=LIMIT)
    assert story("suspect") == stage.log[:2]
    assert {} == stage.left()


def test_many_suspects_run_one_after_the_other(stage: Stage) -> None:
    """As many as a worker that died may have had."""
    suspects_ = [f"suspect {number}" for number in range(10)]
    results = [stage.send(name, deaths=2 + number % 2) for number, name in enumerate(suspects_)]
    with stage.server.worker(concurrency=10):
        assert suspects_ == [result.get(timeout=LIMIT) for result in results]
    assert stage.log == story(*(line.removesuffix(" begins") for line in stage.log[::2]))
    assert sorted(suspects_) == sorted(line.removesuffix(" begins") for line in stage.log[::2])
    assert {} == stage.left()


def test_one_death_makes_no_suspect(stage: Stage) -> None:
    """Two that wait for each other run at once."""
    meeting = threading.Barrier(2, timeout=LIMIT)

    @stage.server.task
    def meet(name: str) -> str:
        meeting.wait()
        return name

    results = [stage.server.send_task(meet.s(name)) for name in ("one", "two")]
    for body in stage.client.lrange(QUEUE, 0, -1):
        stage.client.hset(names.attempts_key(QUEUE), body, 1)
    with stage.server.worker(concurrency=2):
        assert ["one", "two"] == [result.get(timeout=LIMIT) for result in results]


def test_without_crash_safety_there_are_no_suspects() -> None:
    """Nothing is counted, so what others have counted means nothing: two that wait for each other run at once."""
    meeting = threading.Barrier(2, timeout=LIMIT)
    with EmbeddedRedis() as embedded, Server(embedded.url, crash_safe=False) as server:

        @server.task
        def meet(name: str) -> str:
            meeting.wait()
            return name

        results = [server.send_task(meet.s(name)) for name in ("one", "two")]
        with redis.Redis(port=embedded.port) as client:
            for body in client.lrange(QUEUE, 0, -1):
                client.hset(names.attempts_key(QUEUE), body, 3)
        with server.worker(concurrency=2):
            assert ["one", "two"] == [result.get(timeout=LIMIT) for result in results]


def test_a_suspect_behind_a_long_task_does_not_hold_up_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the end of the queue, others have their turn, and it runs when it can."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", 0.05)
    stage.send("long", waits=True)
    with stage.server.worker(concurrency=2) as worker:
        stage.wait_for(lambda: stage.log)
        suspect = stage.send("suspect", deaths=2)
        stage.wait_for(lambda: stage.has_suspect(worker))
        for number in range(5):
            assert f"quick {number}" == stage.send(f"quick {number}").get(timeout=LIMIT)
        assert stage.log == ["long begins", *story(*(f"quick {number}" for number in range(5)))]
        stage.release.set()
        assert "suspect" == suspect.get(timeout=LIMIT)
    assert {} == stage.left()


def test_an_idle_worker_takes_what_a_busy_one_sent_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not wait for the long task at all."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", 0.05)
    stage.send("long", waits=True)
    with stage.server.worker(concurrency=2):
        stage.wait_for(lambda: stage.log)
        with stage.server.worker(concurrency=2):
            assert "suspect" == stage.send("suspect", deaths=2).get(timeout=LIMIT)
        assert ["long begins", *story("suspect")] == stage.log
        stage.release.set()


def test_a_suspect_that_found_no_quiet_moment_is_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After long enough nothing new begins until it has run, however long that takes."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(suspects, "_INSIST_SECONDS", 0.2)
    stage.send("long", waits=True)
    with stage.server.worker(concurrency=2):
        stage.wait_for(lambda: stage.log)
        suspect = stage.send("suspect", deaths=2)
        stage.wait_for(lambda: "has found no quiet moment" in caplog.text)
        quick = stage.send("quick")
        stage.release.set()
        assert ["quick", "suspect"] == [result.get(timeout=LIMIT) for result in (quick, suspect)]
    assert story("long", "suspect", "quick") == stage.log


def test_a_drained_worker_gives_back_the_suspect_that_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs comes to its end, the suspect has not begun and stays one."""
    monkeypatch.setattr(suspects, "_QUIET_SECONDS", LIMIT)
    stage.send("long", waits=True)
    worker = stage.server.worker(concurrency=2)
    worker.start()
    stage.wait_for(lambda: stage.log)
    stage.send("suspect", deaths=2)
    stage.wait_for(lambda: stage.has_suspect(worker))
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    stage.wait_for(lambda: stage.client.llen(QUEUE) == 1)
    stage.release.set()
    stopping.join(LIMIT)
    assert story("long") == stage.log
    assert {"attempts": 1} == stage.left()


def test_how_long_a_suspect_is_waited_for() -> None:
    """Some seconds; without end ten minutes after it was first sent away."""
    suspects_ = Suspects()
    assert (5.0, False) == (suspects_.patience(b"a", 0.0), suspects_.insists(b"a", 0.0))
    suspects_.sent_away(b"a", 5.0)
    suspects_.sent_away(b"a", 500.0)
    assert (5.0, 1e8) == (suspects_.patience(b"a", 604.9), suspects_.patience(b"a", 605.0))
    assert 5.0 == suspects_.patience(b"b", 605.0)
