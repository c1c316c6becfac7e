"""Tasks that are sent the quick way are sent by the very commands that the whole way gives."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import FakeRedisPort, server_on

from gomachinery_py import Group, Server, wire
from gomachinery_py.amqp_commands import NO_ROUTE, AMQPRefused
from gomachinery_py.effects import Command, Request
from gomachinery_py.errors import PublishError, SignatureError
from gomachinery_py.incoming import MAX_BODY_BYTES
from gomachinery_py.producer import new_task_uuid
from gomachinery_py.types import Float32, Int8, Json, UInt64


class _Port(FakeRedisPort):
    """Keeps what is sent, in its own words."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[bool, list[Command]]] = []

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        self.requests += [(request.atomic, list(request.commands)) for request in requests]
        return [[b"OK" for _ in request.commands] for request in requests]


class _Clock:
    def unix_ns(self) -> int:
        return 1_790_000_000_123_456_000

    def monotonic(self) -> float:
        return 0.0


def _server(port: _Port, broker: str = "") -> Server:
    server = Server(broker, result_backend="redis://localhost") if broker else server_on(port)
    server.broker.port = server.backend.port = port
    server.clock = server.broker.clock = server.backend.clock = _Clock()
    server._sends._clock = server.clock

    @server.task
    def numbers(a: int, b: Int8, c: UInt64) -> None: ...

    @server.task(queue="elsewhere", retries=3, priority=2)
    def texts(a: str, b: bool, c: float) -> None: ...

    @server.task
    def many(a: str, *rest: int) -> None: ...

    @server.task
    def others(a: Float32, b: Json[list[int]], c: list[int]) -> None: ...

    @server.task
    def untyped(a: Any, b: int = 3) -> None: ...

    return server


def _named(sent: list[tuple[bool, list[Command]]]) -> list[tuple[bool, list[Command]]]:
    """The same with the same UUIDs, whatever they were."""
    found: dict[str, str] = {}

    def name(text: str) -> str:
        return re.sub(r"task_[0-9a-f-]{36}", lambda match: found.setdefault(match[0], f"task_{len(found)}"), text)

    def told(word: Any) -> Any:
        if isinstance(word, bytes):
            return name(word.decode()).encode()
        if isinstance(word, dict):
            return {key: told(value) for key, value in word.items()}
        if isinstance(word, list | tuple):
            return tuple(told(each) for each in word)
        return name(word) if isinstance(word, str) else word

    return [(atomic, [told(command) for command in commands]) for atomic, commands in sent]


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


values = st.one_of(
    st.integers(-130, 260),
    st.integers(),
    st.text(),
    st.text('abc "\\<é\x7f'),
    st.booleans(),
    st.floats(),
    st.none(),
    st.lists(st.integers(), max_size=2),
)
tasks = st.sampled_from(["numbers", "texts", "many", "others", "untyped"])


@pytest.fixture(scope="module")
def quick() -> Server:
    """A server that sends the quick way where it can."""
    return _server(_Port())


@pytest.fixture(scope="module")
def whole() -> Server:
    """The same with a handler, so that it always goes the whole way."""
    server = _server(_Port())
    server.set_pre_publish_handler(lambda _signature: None)
    return server


@pytest.fixture(scope="module")
def quick_on_rabbitmq() -> Server:
    """The quick way where tasks are on RabbitMQ and results on Redis."""
    return _server(_Port(), "amqp://localhost/")


@pytest.fixture(scope="module")
def whole_on_rabbitmq() -> Server:
    """The same with a handler."""
    server = _server(_Port(), "amqp://localhost/")
    server.set_pre_publish_handler(lambda _signature: None)
    return server


def _sent(server: Server, call: Callable[[], Any]) -> tuple[Any, list[tuple[bool, list[Command]]]]:
    """What came of a call, and what it sent."""
    port = server.broker.port
    assert isinstance(port, _Port)
    port.requests = []
    return _outcome(call), _named(port.requests)


@settings(deadline=None)
@given(name=tasks, args=st.lists(values, max_size=5))
def test_one_send(quick: Server, whole: Server, name: str, args: list[Any]) -> None:
    """Whatever the arguments: the same commands, the same signature, or the same refusal."""
    result, sent = _sent(quick, lambda: quick.tasks[name].send(*args))
    exact, exactly = _sent(whole, lambda: whole.tasks[name].send(*args))
    assert exactly == sent
    if isinstance(exact, tuple):
        assert exact == result
        return
    result.signature.uuid = exact.signature.uuid
    assert repr(exact.signature) == repr(result.signature)
    assert result.signature.declared is quick.tasks[name]


@settings(deadline=None)
@given(name=tasks, args=st.lists(values, max_size=5))
def test_one_send_on_rabbitmq(quick_on_rabbitmq: Server, whole_on_rabbitmq: Server, name: str, args: list[Any]) -> None:
    """PENDING on Redis, then the publish with what it relies on: the same commands, or the same refusal."""
    result, sent = _sent(quick_on_rabbitmq, lambda: quick_on_rabbitmq.tasks[name].send(*args))
    exact, exactly = _sent(whole_on_rabbitmq, lambda: whole_on_rabbitmq.tasks[name].send(*args))
    assert exactly == sent
    if isinstance(exact, tuple):
        assert exact == result
    else:
        result.signature.uuid = exact.signature.uuid
        assert repr(exact.signature) == repr(result.signature)


class _Refusing(_Port):
    """Stores states; refuses to publish."""

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        super().send(requests)
        refused = AMQPRefused("RabbitMQ: no queue takes it", NO_ROUTE)
        return [[refused if name == "basic_publish" else None for name, *_ in each.commands] for each in requests]


def test_a_plain_publish_that_is_refused() -> None:
    """PublishError names the task, by ``asend`` as well; the quick way was taken."""
    port = _Refusing()
    server = _server(port, "amqp://localhost/")
    task = server.tasks["numbers"]
    assert server._sends.plainly(task, (1, 2, 3)) is not None
    with pytest.raises(PublishError, match="task numbers: RabbitMQ: no queue takes it"):
        task.send(1, 2, 3)
    with pytest.raises(PublishError, match="task numbers: RabbitMQ: no queue takes it"):
        asyncio.run(task.asend(1, 2, 3))
    kinds = [[name for name, *_ in commands] for _, commands in port.requests]
    assert kinds == [["SET"], ["ensure", "basic_publish"]] * 2


@settings(deadline=None)
@given(name=tasks, rows=st.lists(st.lists(values, max_size=4), max_size=4))
def test_many_sends(quick: Server, whole: Server, name: str, rows: list[list[Any]]) -> None:
    """Rows go as one send each would, all in one transaction; one that is refused refuses all."""
    _compare_many(quick, whole, name, rows)


@settings(deadline=None)
@given(name=tasks, rows=st.lists(st.lists(values, max_size=4), max_size=4))
def test_many_sends_on_rabbitmq(
    quick_on_rabbitmq: Server, whole_on_rabbitmq: Server, name: str, rows: list[list[Any]]
) -> None:
    """Every PENDING first, on Redis, then all publishes."""
    _compare_many(quick_on_rabbitmq, whole_on_rabbitmq, name, rows)


def _compare_many(quick: Server, whole: Server, name: str, rows: list[list[Any]]) -> None:
    results, sent = _sent(quick, lambda: quick.send_many(quick.tasks[name], rows))
    exact, exactly = _sent(whole, lambda: whole.send_many(whole.tasks[name], rows))
    assert exactly == sent
    if isinstance(exact, tuple):
        assert exact == results
    else:
        assert len(exact) == len(results)


def test_a_plain_send_is_quick() -> None:
    """The quick way is taken at all, by ``asend`` as well, unless a handler wants to see each signature."""
    port = _Port()
    server = _server(port)
    task = server.tasks["numbers"]
    sends = server._sends
    assert sends.plainly(task, (1, 2, 3)) is not None
    assert sends.plainly(task, (1, 200, 3)) is None
    assert sends.plainly(task, (1, 2)) is None
    assert sends.plainly(server.tasks["many"], ("a", 1, 2)) is not None
    assert sends.plainly(server.tasks["others"], (1.0, [1], [1])) is None
    asyncio.run(task.asend(1, 2, 3))
    [(atomic, [stored, pushed])] = port.requests
    assert atomic
    assert stored[0] == "SET"
    assert wire.decode_signature(pushed[2]).uuid == stored[1]
    server.set_pre_publish_handler(lambda _signature: None)
    assert sends.plainly(task, (1, 2, 3)) is None


def test_a_blocking_send_inside_a_loop_is_refused() -> None:
    """Before anything is sent, naming the twin."""
    port = _Port()
    task = _server(port).tasks["numbers"]

    async def inside() -> None:
        task.send(1, 2, 3)

    with pytest.raises(RuntimeError, match=r"numbers\.asend"):
        asyncio.run(inside())
    assert port.requests == []


def test_uuids_are_random_and_of_version_four() -> None:
    """Machinery's form, no two alike."""
    uuids = {new_task_uuid() for _ in range(1000)}
    assert len(uuids) == 1000
    form = re.compile(r"task_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(form.fullmatch(uuid) for uuid in uuids)
    assert {uuid[24] for uuid in uuids} == set("89ab")


def test_a_forked_process_makes_uuids_of_its_own() -> None:
    """What its parent has in store is not used by both."""
    new_task_uuid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_task_uuid().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    assert theirs not in {new_task_uuid() for _ in range(200)}


members = st.lists(st.tuples(tasks, st.lists(values, max_size=3)), min_size=1, max_size=4)
changes = st.sampled_from(["", "priority", "routing_key", "uuid", "twice", "type", "name", "headers", "chord"])


@settings(deadline=None)
@given(calls=members, change=changes)
def test_groups(quick: Server, whole: Server, calls: list[tuple[str, list[Any]]], change: str) -> None:
    """Groups of whatever tasks, also when a member was changed afterwards: the same commands, or the same refusal."""
    _compare_groups(quick, whole, calls, change)


@settings(deadline=None)
@given(calls=members, change=changes)
def test_groups_on_rabbitmq(
    quick_on_rabbitmq: Server, whole_on_rabbitmq: Server, calls: list[tuple[str, list[Any]]], change: str
) -> None:
    """GroupMeta and every PENDING on Redis, then all publishes."""
    _compare_groups(quick_on_rabbitmq, whole_on_rabbitmq, calls, change)


def _compare_groups(quick: Server, whole: Server, calls: list[tuple[str, list[Any]]], change: str) -> None:
    def composed(server: Server) -> Any:
        group = Group(*(server.tasks[name].signature(*args) for name, args in calls))
        group.group_uuid = "group_same"
        for member in group.tasks:
            member.group_uuid = group.group_uuid
        last = group.tasks[-1]
        if change == "twice":
            last.uuid = group.tasks[0].uuid
        elif change == "type" and last.args:
            last.args[0].type = "int16"
        elif change == "name":
            last.name = "renamed"
        elif change:
            setattr(
                last,
                *{
                    "priority": ("priority", True),
                    "routing_key": ("routing_key", "other"),
                    "uuid": ("uuid", "machinery_tasks"),
                    "headers": ("headers", {"a": 1}),
                    "chord": ("group_task_count", 7),
                }.get(change, ("headers", None)),
            )
        return server.send_group(group)

    result, sent = _sent(quick, lambda: composed(quick))
    exact, exactly = _sent(whole, lambda: composed(whole))
    assert exactly == sent
    if isinstance(exact, tuple):
        assert exact == result


@pytest.mark.parametrize(("broker", "pushed"), [("", ["RPUSH"]), ("amqp://localhost/", ["ensure", "basic_publish"])])
def test_plain_groups_and_rows_go_the_quick_way(
    broker: str, pushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the tests above would compare the whole way with itself."""
    server = _server(_Port(), broker)

    def refuse(*_: object) -> None:
        raise AssertionError("it went the whole way")

    for name in ("send_group", "send_tasks"):
        monkeypatch.setattr(server._producer, name, refuse)
    many = server.tasks["many"]
    result, sent = _sent(server, lambda: server.send_group(Group(many.s("a", 1), many.s("b"))))
    assert len(result.members if hasattr(result, "members") else list(result)) == 2
    assert [[command[0] for command in commands] for _, commands in sent] == [["SET", "SET", "SET"], pushed * 2]

    results, sent = _sent(server, lambda: server.send_many(many, [("a", 1), ("b",)]))
    assert len(results) == 2
    words = [command[0] for _, commands in sent for command in commands]
    assert words == (["SET", "SET", *pushed * 2] if broker else ["SET", "RPUSH"] * 2)


@pytest.mark.parametrize("broker", ["", "redis://localhost/1", "amqp://localhost/"])
def test_nothing_is_sent_when_the_last_is_too_large(broker: str) -> None:
    """However many batches come before it."""
    port = _Port()
    server = _server(port, broker)

    @server.task
    def join(*parts: str) -> None: ...

    large = ("x" * (MAX_BODY_BYTES // 16),) * 17
    with pytest.raises(SignatureError, match=r"task join has 178[0-9]+ bytes"):
        server.send_many(join, [("a",)] * 401 + [large])
    with pytest.raises(SignatureError, match=r"task join has 178[0-9]+ bytes"):
        server.send_group(Group(*[join.s("a") for _ in range(401)], join.s(*large)))
    assert port.requests == []


def test_plain_groups_and_rows_that_are_refused() -> None:
    """PublishError says that it was one or some of them."""
    server = _server(_Refusing(), "amqp://localhost/")
    many = server.tasks["many"]
    for rows, what in ([("a",)], "the task: "), ([("a",), ("b",)], "some of 2 tasks: "):
        with pytest.raises(PublishError, match=f"{what}RabbitMQ: no queue takes it"):
            server.send_many(many, rows)
        with pytest.raises(PublishError, match=f"{what}RabbitMQ: no queue takes it"):
            server.send_group(Group(*(many.s(*row) for row in rows)))
