"""Tasks that a Go worker serves, declared in Python with ``@server.remote``: sent and awaited as users write it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.fleet import Fleet

from gomachinery_py import Chain, Chord, Config, Group, ResultTimeout, Server, TaskFailed
from gomachinery_py.types import Float32, Int8, UInt64

TIMEOUT = 60


@dataclass(frozen=True)
class Remote:
    """A server, and Go's tasks by name as our stubs."""

    server: Server
    stubs: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.stubs[name]


def declare(server: Server) -> dict[str, Any]:
    """The stubs."""

    @server.remote("add")
    def add(*numbers: int) -> int:
        raise NotImplementedError

    @server.remote("multiply")
    def multiply(*numbers: int) -> int:
        raise NotImplementedError

    @server.remote("concat")
    def concat(*parts: str) -> str:
        raise NotImplementedError

    @server.remote("return_multiple_values")
    def two(first: str, second: str, fail: bool = False) -> tuple[str, str]:
        raise NotImplementedError

    @server.remote("noop")
    def noop() -> None:
        raise NotImplementedError

    @server.remote("fail", retries=1)
    def fail(message: str) -> None:
        raise NotImplementedError

    @server.remote("nano_time")
    def nano_time() -> int:
        raise NotImplementedError

    @server.remote("echo_[]uint8")
    def echo_bytes(value: bytes) -> bytes:
        raise NotImplementedError

    @server.remote("echo_int8")
    def echo_int8(value: Int8) -> Int8:
        raise NotImplementedError

    @server.remote("echo_[]float32")
    def echo_floats(value: list[Float32]) -> list[Float32]:
        raise NotImplementedError

    @server.remote("echo_[]uint64")
    def echo_uints(value: list[UInt64]) -> list[UInt64]:
        raise NotImplementedError

    return {name: stub for name, stub in locals().items() if name != "server"}


@pytest.fixture(params=["go-v1-redigo", "go-v2-redigo", "python"])
def remote(request: Any, fleet: Fleet) -> Iterator[Remote]:
    """Stubs on a server whose tasks a worker of each kind does."""
    kind = request.param
    assert fleet.worker(kind).alive
    url = fleet.redis.url()
    settings = {"default_queue": kind, "redis__delayed_tasks_key": f"delayed:{kind}"}
    with Server(Config.of(broker=url, result_backend=url, **settings)) as server:
        yield Remote(server, declare(server))


def test_values(remote: Remote) -> None:
    """Plain calls: results come back as the annotations say, defaults and keywords are applied."""
    assert remote.add.send(1, 2).get(TIMEOUT) == 3
    assert remote.two.send("a", "b").get(TIMEOUT) == ("a", "b")
    assert remote.two.send("a", second="b").get(TIMEOUT) == ("a", "b")
    assert remote.noop.send().get(TIMEOUT) is None
    assert remote.echo_bytes.send(b"\x00\xff").get(TIMEOUT) == b"\x00\xff"
    assert remote.echo_int8.send(-128).get(TIMEOUT) == -128
    assert remote.echo_floats.send([0.5, 1e10]).get(TIMEOUT) == [0.5, 1e10]
    assert remote.echo_uints.send([0, 2**64 - 1]).get(TIMEOUT) == [0, 2**64 - 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda remote: remote.add.send(2**63),
        lambda remote: remote.add.send(1.5),
        lambda remote: remote.echo_int8.send(300),
        lambda remote: remote.echo_uints.send([-1]),
        lambda remote: remote.echo_floats.send([float("nan")]),
        lambda remote: remote.two.send("a"),
        lambda remote: remote.two.send("a", "b", True, "c"),
        lambda remote: Chain(remote.two.s("a", "b"), remote.add.s(1)),
        lambda remote: remote.server.send_chord(Chord(Group(remote.add.s(1)), remote.concat.s())),
        lambda remote: remote.add.using(eta=datetime(2099, 1, 1)).send(1),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[Remote], object], fleet: Fleet) -> None:
    """A value, an arity or a workflow that Go could not run raises before anything is sent."""
    url = fleet.redis.url()
    with Server(url, default_queue="nobody") as server, pytest.raises((TypeError, ValueError)):
        call(Remote(server, declare(server)))

    assert fleet.redis.client.exists("nobody") == 0


def test_workflows(remote: Remote) -> None:
    """Chain, group and chord of stubs."""
    add, multiply = remote.add, remote.multiply
    chain = remote.server.send_chain(Chain(add.s(2, 2), add.s(5, 6), multiply.s(4)))
    group = remote.server.send_group(Group(*(add.s(number, number) for number in range(5))))
    chord = remote.server.send_chord(Chord(Group(add.s(1, 1), add.s(2, 2), add.s(5, 6)), multiply.s()))

    assert chain.get(TIMEOUT) == 60
    assert group.get(TIMEOUT) == [0, 2, 4, 6, 8]
    assert chord.get(TIMEOUT) == 88
    assert chord.group.get(TIMEOUT) == [2, 4, 11]


def test_options(remote: Remote) -> None:
    """ETA, countdown, callbacks and retries of ``using``."""
    eta = datetime.now(UTC) + timedelta(milliseconds=250)
    began = time.time_ns()
    at = remote.nano_time.using(eta=eta).send()
    after = remote.nano_time.using(countdown=0.25).send()
    callback = remote.concat.s("got: ")
    seen = remote.concat.s()
    remote.concat.using(on_success=callback).send("x", "y")
    failed = remote.fail.using(on_error=[seen]).send("bad")

    assert at.get(TIMEOUT) >= int(eta.timestamp() * 1000) * 1_000_000
    assert after.get(TIMEOUT) >= began + 250_000_000
    with pytest.raises(TaskFailed, match=r"^bad$") as caught:
        failed.get(TIMEOUT)
    assert (caught.value.task_name, caught.value.task_uuid) == ("fail", failed.uuid)
    assert remote.server.result(callback.uuid).get(TIMEOUT) == "got: xy"
    assert remote.server.result(seen.uuid).get(TIMEOUT) == "bad"


def test_many(remote: Remote) -> None:
    """A thousand sends in a few round trips, each with its own result."""
    results = remote.server.send_many(remote.add, [(number, 1) for number in range(1000)])

    assert [result.get(TIMEOUT) for result in results] == list(range(1, 1001))


def test_asyncio(remote: Remote) -> None:
    """The async faces, many at once on one event loop; a blocking call there raises and names its twin."""

    async def main() -> None:
        server, add = remote.server, remote.add
        sums = await asyncio.gather(*(add.asend(number, number) for number in range(50)))
        assert await asyncio.gather(*(result.aget(TIMEOUT) for result in sums)) == [2 * number for number in range(50)]
        chain = await server.asend_chain(Chain(add.s(2, 2), add.s(5, 6)))
        group = await server.asend_group(Group(add.s(1), add.s(2)))
        chord = await server.asend_chord(Chord(Group(add.s(1, 1), add.s(2, 2)), remote.multiply.s()))
        many = await server.asend_many(add, [(1,), (2,)])
        assert await chain.aget(TIMEOUT) == 15
        assert await group.aget(TIMEOUT) == [1, 2]
        assert await chord.aget(TIMEOUT) == 8
        assert [await result.aget(TIMEOUT) for result in many] == [1, 2]
        late = await remote.noop.using(routing_key="nobody_async").asend()
        with pytest.raises(ResultTimeout):
            await late.aget(timeout=0.05)
        assert (await late.astate()).state == "PENDING"
        await late.aforget()
        assert await late.apeek() is None
        with pytest.raises(RuntimeError, match=r"add\.asend\(\)"):
            add.send(1)
        await server.aclose()

    asyncio.run(main())
