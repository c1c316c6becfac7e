"""The eager broker and store: everything in this process, inside the send."""

from __future__ import annotations

import asyncio

import pytest

from gomachinery_py import Chain, Chord, Context, Group, RetryTaskLater, Server, TaskFailed, current_signature
from gomachinery_py.errors import MachineryError, SignatureError


@pytest.fixture
def server() -> Server:
    return Server("eager")


def test_a_task_runs_inside_the_send(server: Server) -> None:
    """The result is there when send returns."""

    @server.task
    def add(*numbers: int) -> int:
        return sum(numbers)

    assert add.send(1, 2, 3).get(timeout=0) == 6


def test_async_task_and_async_face(server: Server) -> None:
    """A coroutine function runs from sync and async callers alike."""

    @server.task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def main() -> int:
        return await (await double.asend(4)).aget(timeout=0)

    assert (double.send(3).get(timeout=0), asyncio.run(main())) == (6, 8)


def test_failure_is_raised_by_get(server: Server) -> None:
    """The send does not raise, get does, with the text that is stored."""

    @server.task
    def fail() -> None:
        raise ValueError("no")

    result = fail.send()
    with pytest.raises(TaskFailed) as caught:
        result.get(timeout=0)
    assert (str(caught.value), result.state.state) == ("no", "FAILURE")


def test_error_without_text_is_its_class(server: Server) -> None:
    """An exception whose text is empty is stored by its class name."""

    @server.task
    def fail() -> None:
        raise KeyError

    with pytest.raises(TaskFailed, match=r"^KeyError$"):
        fail.send().get(timeout=0)


def test_chain_appends_results(server: Server) -> None:
    """add(2, 2) → add(5, 6, 4) → multiply(4, 15) is 60."""

    @server.task
    def add(*numbers: int) -> int:
        return sum(numbers)

    @server.task
    def multiply(first: int, second: int) -> int:
        return first * second

    chain = Chain(add.s(2, 2), add.s(5, 6), multiply.s(4))
    assert server.send_chain(chain).get(timeout=0) == 60


def test_chord_fires_once_with_results_in_order(server: Server) -> None:
    """The callback gets every member's results in the group's order, once."""
    calls: list[tuple[str, ...]] = []

    @server.task
    def name(text: str) -> tuple[str, str]:
        return text, text.upper()

    @server.task
    def collect(*texts: str) -> int:
        calls.append(texts)
        return len(texts)

    result = server.send_chord(Chord(Group(name.s("a"), name.s("b"), name.s("c")), collect.s("first")))
    assert result.get(timeout=0) == 7
    assert calls == [("first", "a", "A", "b", "B", "c", "C")]
    assert [member.get(timeout=0) for member in result.group] == [("a", "A"), ("b", "B"), ("c", "C")]


def test_a_failed_member_never_fires_the_chord(server: Server) -> None:
    """Waiting for the chord raises the member's failure."""
    calls: list[int] = []

    @server.task
    def maybe(fails: bool) -> int:
        if fails:
            raise RuntimeError("member failed")
        return 1

    @server.task
    def collect(*numbers: int) -> None:
        calls.append(len(numbers))

    result = server.send_chord(Chord(Group(maybe.s(False), maybe.s(True)), collect.s()))
    with pytest.raises(TaskFailed, match="member failed"):
        result.get(timeout=0)
    assert calls == []


def test_retries_count_down_and_then_fail(server: Server) -> None:
    """retries=2 makes three runs; the context says how many are left."""
    left: list[int] = []

    @server.task("flaky", retries=2)
    def flaky(ctx: Context) -> None:
        left.append(ctx.retries_left)
        raise RuntimeError("still no")

    with pytest.raises(TaskFailed, match="still no"):
        flaky.send().get(timeout=0)
    assert left == [2, 1, 0]


def test_retry_task_later_keeps_the_count(server: Server) -> None:
    """RetryTaskLater runs the task again without using up a retry."""
    runs: list[int] = []

    @server.task(retries=1)
    def later(ctx: Context) -> int:
        runs.append(ctx.retries_left)
        if len(runs) < 3:
            raise RetryTaskLater("not yet", 0.001)
        return len(runs)

    assert (later.send().get(timeout=0), runs) == (3, [1, 1, 1])


def test_current_signature_and_context(server: Server) -> None:
    """A running task sees its own signature, and nobody else does."""

    @server.task
    def who(ctx: Context) -> bool:
        seen = current_signature()
        return seen is not None and seen.uuid == ctx.signature.uuid == "task_mine"

    assert who.using(uuid="task_mine").send().get(timeout=0) is True
    assert current_signature() is None


def test_a_direct_call_is_a_plain_call(server: Server) -> None:
    """Calling a task with a context calls the function with an empty one."""

    @server.task
    def who(ctx: Context, number: int) -> tuple[str, int]:
        return ctx.signature.uuid, number

    assert who(3) == ("", 3)


def test_callbacks(server: Server) -> None:
    """OnSuccess gets the results appended, OnError the text first."""
    seen: list[object] = []

    @server.task
    def note(*values: int) -> None:
        seen.append(values)

    @server.task
    def complain(text: str, number: int) -> None:
        seen.append((text, number))

    @server.task
    def half(number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number // 2

    half.using(on_success=note.s(1), on_error=complain.s(9)).send(8)
    half.using(on_success=note.s(1), on_error=complain.s(9)).send(7)
    half.using(on_success=note.s(1), immutable=True).send(6)
    assert seen == [(1, 4), ("odd", 9), (1,)]


def test_pre_publish_handler_sees_each_send(server: Server) -> None:
    """Callbacks pass through it as well, as in Go."""
    names: list[str] = []
    server.set_pre_publish_handler(lambda signature: names.append(signature.name))

    @server.task
    def second(number: int) -> int:
        return number

    @server.task
    def first() -> int:
        return 1

    first.using(on_success=second.s()).send()
    assert names == ["first", "second"]


def test_send_keeps_the_signature_but_for_its_uuid(server: Server) -> None:
    """Sends work on a copy."""

    @server.task
    def noop() -> None:
        return

    signature = noop.s()
    signature.uuid = ""
    server.send_task(signature)
    assert (signature.uuid.startswith("task_"), signature.headers, signature.routing_key) == (True, None, "")


def test_null_store() -> None:
    """Nothing is kept: waiting says so at once, chords are refused."""
    server = Server("eager", result_backend="null")

    @server.task
    def noop() -> None:
        return

    with pytest.raises(MachineryError, match="keeps no results"):
        noop.send().get(timeout=0)
    with pytest.raises(SignatureError, match="null"):
        server.send_chord(Chord(Group(noop.s()), noop.s()))


def test_sync_send_inside_a_loop_names_its_twin(server: Server) -> None:
    """Blocking inside a running loop is refused, not done."""

    @server.task
    def noop() -> None:
        return

    async def main() -> None:
        noop.send()

    with pytest.raises(RuntimeError, match=r"noop\.asend"):
        asyncio.run(main())


def test_send_many(server: Server) -> None:
    """One task, a row of arguments each."""

    @server.task
    def add(*numbers: int) -> int:
        return sum(numbers)

    assert [result.get(timeout=0) for result in server.send_many(add, [(1, 2), (3,), ()])] == [3, 3, 0]
