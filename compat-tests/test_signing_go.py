"""Signed tasks among Go workers, which know nothing of it: what they pass on still fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.go_worker import GoWorker
from harness.process import wait_until
from harness.redis_server import RedisServer

from gomachinery_py import Chain, Chord, Group, Server, Signature
from gomachinery_py.signing import Signing

KEY = "a key that is long enough"
PYTHON = "python_tasks"


class Signed:
    """A Python server that requires signatures, with a worker on a queue of its own."""

    def __init__(self, url: str) -> None:
        self.server = Server(url, signing=Signing(KEY))
        self.ran: list[Any] = []
        self.server.task("note", queue=PYTHON)(self._note)
        self.server.task("sum_up", queue=PYTHON)(self._sum)

    def _note(self, text: str) -> None:
        self.ran.append(text)

    def _sum(self, *numbers: int) -> int:
        self.ran.append(sum(numbers))
        return sum(numbers)


@pytest.fixture
def signed(redis_server: RedisServer) -> Iterator[Signed]:
    signed = Signed(redis_server.url())
    with signed.server, signed.server.worker(queue=PYTHON):
        yield signed


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_go_passes_on(version: str, signed: Signed, go_worker: Callable[..., GoWorker]) -> None:
    """A result, an error's text, a chord's results and a retry go through Go and are run here."""
    go_worker(version)
    server, note, sum_up = signed.server, signed.server.tasks["note"], signed.server.tasks["sum_up"]

    @server.remote("add")
    def add(*numbers: int) -> int:
        raise NotImplementedError

    @server.remote("fail")
    def fail(text: str) -> None:
        raise NotImplementedError

    @server.remote("fail_n_times")
    def fail_n_times(times: int) -> int:
        raise NotImplementedError

    server.send_chain(Chain(add.s(1, 2), add.s(3), sum_up.s(10)))
    server.send_chord(Chord(Group(add.s(100), add.s(200), sum_up.s(300)), sum_up.s(1)))
    fail.using(on_error=note.s()).send("bad luck")
    fail_n_times.using(retries=2, on_success=sum_up.s(5000)).send(1)

    expected = [16, 300, 601, "bad luck", 5002]
    wait_until(lambda: len(signed.ran) >= len(expected), 20, f"{expected}, not {signed.ran}")
    assert sorted(map(str, signed.ran)) == sorted(map(str, expected))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_go_sends_itself_is_not_signed(
    version: str, signed: Signed, go_producer: Callable[..., Any], redis_server: RedisServer
) -> None:
    """Where signatures are required it becomes a dead letter that says so."""
    go = go_producer(version)
    task: dict[str, Any] = {"Name": "note", "Args": [{"Type": "string", "Value": "x"}], "RoutingKey": PYTHON}
    go.send_task(task)

    wait_until(lambda: redis_server.client.llen(f"{{{PYTHON}}}:gmpy:dead") == 1, 10, "a dead letter")
    assert signed.ran == []
    assert isinstance(signed.server.send_task(Signature("noop")).uuid, str)
