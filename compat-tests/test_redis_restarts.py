"""A Python worker whose Redis server crashes and comes back: it goes on by itself and loses nothing that was kept."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.process import wait_until
from harness.python_producer import PythonProducer
from harness.redis_server import RedisServer
from harness.signatures import Document, signature

from gomachinery_py import Config, Server
from gomachinery_py.errors import ServiceUnavailable

BACK_SECONDS = 60.0
CRASHES = 4


def add(*numbers: int, **fields: object) -> Document:
    return signature("add", *(("int64", number) for number in numbers), **fields)


def state(redis: RedisServer, uuid: str) -> str:
    """A task's stored state, empty when there is none."""
    document = redis.client.get(uuid)
    return str(json.loads(document)["State"]) if document else ""


def test_a_worker_outlives_a_server_that_forgets(
    make_redis: Callable[..., RedisServer], python_worker: Callable[..., Any]
) -> None:
    """After each crash of an empty-handed server the same process takes tasks again, and it still drains."""
    redis = make_redis()
    worker = python_worker(redis=redis, concurrency=2)

    for _ in range(2):
        redis.stop()
        time.sleep(0.5)
        assert worker.alive
        redis.start()
        assert worker.consumes(BACK_SECONDS)
        wait_until(lambda: worker.signed_on, BACK_SECONDS, "a heartbeat on the new server")

    assert worker.stop() == 0


def test_a_task_that_runs_while_redis_is_away(
    make_redis: Callable[..., RedisServer], python_worker: Callable[..., Any]
) -> None:
    """Its result, and what follows it, is stored when the server is back."""
    redis = make_redis(append_only=True)
    worker = python_worker(redis=redis, concurrency=2)
    producer = PythonProducer(redis.url(), "machinery_tasks", "")
    sent = producer.send_chain(signature("sleep_ms", ("int64", 1000)), signature("add", ("int64", 1)))
    wait_until(lambda: state(redis, sent.uuids[0]) == "STARTED", 30, "a started task")

    redis.stop()
    time.sleep(1.5)
    redis.start()

    assert [result.value for result in producer.get(*sent.all, timeout=BACK_SECONDS)] == [1001]
    producer.close()
    assert worker.stop() == 0


class Sender(threading.Thread):
    """Sends tasks, chains, chords and delayed tasks for as long as it may; ``acknowledged`` are their last UUIDs."""

    def __init__(self, redis: RedisServer) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self.refused = 0
        self._producer = PythonProducer(redis.url(), "machinery_tasks", "")
        self._stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._stopping.wait(0.002):
            number += 1
            try:
                self.acknowledged.append(self._send(number))
            except ServiceUnavailable:
                self.refused += 1
                time.sleep(0.05)

    def _send(self, number: int) -> str:
        producer = self._producer
        if number % 10 == 1:
            return producer.send_chord(add(number), add(1), add(2), callback=add()).all[-1]
        if number % 10 == 2:
            return producer.send_chain(add(number), add(1), add(2)).all[-1]
        if number % 10 == 3:
            return str(producer.server.send_task(_soon(producer)).uuid)
        return producer.send_task(add(number))

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        self._producer.close()


def _soon(producer: PythonProducer) -> Any:
    add_task = producer.server.tasks.get("add") or producer.server.remote("add")(_add)
    return add_task.using(countdown=0.2).s(1)


def _add(*numbers: int) -> int:
    raise NotImplementedError


def test_nothing_acknowledged_is_lost(
    make_redis: Callable[..., RedisServer], python_worker: Callable[..., Any]
) -> None:
    """With an append-only server every send that returned is done in the end, through several crashes."""
    redis = make_redis(append_only=True)
    workers = [python_worker(redis=redis, concurrency=4) for _ in range(2)]
    sender = Sender(redis)
    sender.start()

    for _ in range(CRASHES):
        time.sleep(0.4)
        redis.stop()
        time.sleep(0.3)
        redis.start()
    before = len(sender.acknowledged)
    wait_until(lambda: len(sender.acknowledged) > before + 20, BACK_SECONDS, "sends after the last crash")
    sender.stop()

    waiting = set(sender.acknowledged)

    def all_done() -> bool:
        for uuid in list(waiting):
            if state(redis, uuid) != "SUCCESS":
                return False
            waiting.discard(uuid)
        return True

    wait_until(all_done, BACK_SECONDS, f"all of {len(sender.acknowledged)} acknowledged tasks done", interval=0.1)
    assert sender.refused > 0
    assert [worker.stop() for worker in workers] == [0, 0]
    assert redis.client.keys("{*}:gmpy:inflight:*") == []


def test_quitting_waits_for_no_silent_server(make_redis: Callable[..., RedisServer]) -> None:
    """A worker that is told to quit ends although Redis says nothing, and nothing limits how long it may be silent."""
    redis = make_redis()
    settings = Config.of(broker=redis.url(), result_backend=redis.url(), redis__read_timeout=0)
    began, release = threading.Event(), threading.Event()
    ended: list[bool] = []
    with Server(settings) as server:

        @server.task
        def wait() -> None:
            began.set()
            release.wait(BACK_SECONDS)

        worker = server.worker(concurrency=1)
        worker.start()
        wait.send()
        assert began.wait(BACK_SECONDS)
        stopping = threading.Thread(target=lambda: ended.append(worker.stop()))
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            release.set()
            stopping.start()
            time.sleep(0.5)
            worker.quit()
            stopping.join(BACK_SECONDS)
            assert ended == [False]
        finally:
            os.kill(redis.pid, signal.SIGCONT)


def test_quitting_waits_for_no_silent_server_when_all_is_done(make_redis: Callable[..., RedisServer]) -> None:
    """The same while a worker that has drained signs off: nothing is left undone, so it has not quit early."""
    redis = make_redis()
    settings = Config.of(broker=redis.url(), result_backend=redis.url(), redis__read_timeout=0)
    ended: list[bool] = []
    with Server(settings) as server:
        silent = threading.Event()
        retire = server.broker.retire

        async def retire_in_silence(queue: str, worker: str) -> None:
            os.kill(redis.pid, signal.SIGSTOP)
            silent.set()
            await retire(queue, worker)

        server.broker.retire = retire_in_silence  # type: ignore[method-assign]
        worker = server.worker(concurrency=1)
        worker.start()
        stopping = threading.Thread(target=lambda: ended.append(worker.stop()))
        stopping.start()
        try:
            assert silent.wait(BACK_SECONDS)
            worker.quit()
            stopping.join(BACK_SECONDS)
            assert ended == [True]
        finally:
            os.kill(redis.pid, signal.SIGCONT)
