"""Signed tasks: what fits is run, what was changed becomes a dead letter, and Go may pass a task on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inprocess import FakeRedisPort, server_on, work_until_quiet

from gomachinery_py import Arg, Chain, Chord, Group, Server, Signature, wire
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError
from gomachinery_py.outgoing import Limits, check_signature
from gomachinery_py.signing import HEADER, Signing, Verify

KEY = "a key that is long enough"
OTHER = "another key of this length"


def signed(signature: Signature, key: str = KEY) -> Signature:
    """As it arrives at a worker."""
    copy = check_signature(signature, Limits())
    Signing(key).sign(copy)
    return wire.decode_signature(wire.encode_signature(copy))


VALUES = st.one_of(
    st.tuples(st.just("int64"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("uint64"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("float64"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("float32"), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    st.tuples(st.just("string"), st.text(st.characters())),
    st.tuples(st.just("[]byte"), st.binary()),
    st.tuples(st.just("[]string"), st.lists(st.text())),
)


@given(st.lists(VALUES, max_size=4), st.text(max_size=20))
def test_what_was_sent_fits(values: list[tuple[str, Any]], header: str) -> None:
    """Whatever the arguments are, the signature fits on arrival."""
    args = [Arg(kind, value) for kind, value in values]
    assert Signing(KEY).reason(signed(Signature("add", args, headers={"other": header}))) is None


def _change(**fields: Any) -> Callable[[Signature], Signature]:
    return lambda signature: dataclasses.replace(signature, **fields)


def _with_callback(field: str) -> Callable[[Signature], Signature]:
    return _change(**{field: [signed(Signature("evil"), OTHER)]})


CHANGED: dict[str, Callable[[Signature], Signature]] = {
    "name": _change(name="remove_everything"),
    "uuid": _change(uuid="task_other"),
    "routing key": _change(routing_key="other"),
    "group": _change(group_uuid="group_x", group_task_count=1),
    "immutable": _change(immutable=True),
    "an argument": _change(args=[Arg("int64", 1), Arg("int64", 3)]),
    "a type": _change(args=[Arg("int64", 1), Arg("uint64", 2)]),
    "an argument less": _change(args=[Arg("int64", 1)]),
    "a text before and after": _change(args=[Arg("string", "x"), Arg("int64", 1), Arg("int64", 2), Arg("int64", 3)]),
    "a number before": _change(args=[Arg("int64", 9), Arg("int64", 1), Arg("int64", 2)]),
    "on success": _with_callback("on_success"),
    "on error": _with_callback("on_error"),
    "no header": _change(headers={}),
    "a number as header": _change(headers={HEADER: 1}),
    "a short header": _change(headers={HEADER: "v1"}),
    "a count that is none": _change(headers={HEADER: "v1.00000000.²." + "0" * 64}),
    "another version": _change(headers={HEADER: "v2.00000000.2." + "0" * 64}),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_does_not_fit(what: str) -> None:
    """Anything that Go leaves alone is covered."""
    task = signed(Signature("add", [Arg("int64", 1), Arg("int64", 2)], routing_key="mine"))
    assert Signing(KEY).reason(task) is None
    assert Signing(KEY).reason(CHANGED[what](task)) is not None


PASSED_ON: dict[str, Callable[[Signature], Signature]] = {
    "a retry": _change(retry_count=0, retry_timeout=5),
    "results behind": _change(args=[Arg("int64", 1), Arg("string", "result"), Arg("int64", 7)]),
    "an error's text before": _change(args=[Arg("string", "failed"), Arg("int64", 1)]),
    "the default queue filled in": _change(routing_key="machinery_tasks"),
    "a header more": lambda task: dataclasses.replace(task, headers={**(task.headers or {}), "trace": "x"}),
}


@pytest.mark.parametrize("what", PASSED_ON)
def test_what_go_changes_still_fits(what: str) -> None:
    """Retries and callbacks of Go workers carry the signature on."""
    task = signed(Signature("add", [Arg("int64", 1)], retry_count=3))
    assert Signing(KEY).reason(PASSED_ON[what](task)) is None


@pytest.mark.parametrize(("verify", "unsigned", "wrong"), [("off", 1, 1), ("if-present", 1, 0), ("required", 0, 0)])
def test_what_a_worker_runs(verify: Verify, unsigned: int, wrong: int) -> None:
    """Off runs all; if-present only refuses what does not fit; required needs a signature."""
    port = FakeRedisPort()
    server = server_on(port)
    ran = []

    @server.task
    def note(what: str) -> None:
        ran.append(what)

    server._signing = Signing(KEY, verify=verify)
    for what, signing in (("right", Signing(KEY)), ("unsigned", None), ("wrong", Signing(OTHER))):
        server._producer._sign = signing.sign if signing else None
        note.send(what)
    work_until_quiet(server)

    expected = ["right"] + ["unsigned"] * unsigned + ["wrong"] * wrong
    assert sorted(ran) == sorted(expected)
    dead = run(server.broker.dead("machinery_tasks"))
    assert len(dead) == 3 - len(expected)
    assert all("sign" in why for _, why in dead)


def test_workflows_stay_signed() -> None:
    """Callbacks, chains and chords run where signatures are required, retries too."""
    server = server_on(FakeRedisPort())
    server._signing = signing = Signing(KEY)
    server._producer._sign = signing.sign
    ran: list[Any] = []

    @server.task
    def add(*numbers: int) -> int:
        ran.append(sum(numbers))
        return sum(numbers)

    @server.task(retries=1)
    def fails() -> None:
        ran.append("failing")
        raise ValueError("no luck")

    @server.task
    def failed(text: str) -> None:
        ran.append(text)

    server.send_chain(Chain(add.s(1), add.s(2), add.s(3)))
    server.send_chord(Chord(Group(add.s(10), add.s(20)), add.s(100)))
    fails.using(on_error=failed.s()).send()
    server.send_many(add, [(1000,)])
    work_until_quiet(server)

    assert sorted(map(str, ran)) == sorted(map(str, [1, 3, 6, 10, 20, 130, "failing", "failing", "no luck", 1000]))
    assert run(server.broker.dead("machinery_tasks")) == []


def test_a_handler_may_change_what_is_sent() -> None:
    """The pre-publish handler comes before the signature."""
    server = server_on(FakeRedisPort())
    server._signing = signing = Signing(KEY)
    server._producer._sign = signing.sign
    ran = []

    @server.task
    def note(what: str) -> None:
        ran.append(what)

    @server.set_pre_publish_handler
    def change(signature: Signature) -> None:
        signature.args = [Arg("string", "changed")]

    note.send("x")
    work_until_quiet(server)
    assert ran == ["changed"]


def test_keys() -> None:
    """An old key is accepted while a new one is introduced; a short one is refused; none is ever shown."""
    both = Signing(KEY, old_keys=[OTHER])
    assert both.reason(signed(Signature("x"), OTHER)) is None
    assert both.reason(signed(Signature("x"))) is None
    reason = Signing(KEY).reason(signed(Signature("x"), OTHER))
    assert reason is not None
    assert "not known" in reason
    for text in (repr(both), reason):
        assert KEY not in text
        assert OTHER not in text
    with pytest.raises(ConfigError, match="16 bytes"):
        Signing("short")
    with pytest.raises(ConfigError, match="use off"):
        Signing(KEY, verify="maybe")  # type: ignore[arg-type]
    assert isinstance(Server("redis://localhost", signing=both), Server)
