"""Chain, Group and Chord as Go's NewChain, NewGroup and NewChord make them, and what they refuse."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from gomachinery_py.errors import SignatureError
from gomachinery_py.types import Int8, Parameters, Results
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.workflow import Chain, Chord, Group

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def one() -> int: ...  # type: ignore[empty-body]
def two() -> tuple[str, Int8]: ...  # type: ignore[empty-body]
def nothing() -> None: ...
def unknown(): ...  # type: ignore[no-untyped-def]
def take_any(*values): ...  # type: ignore[no-untyped-def]
def add(*numbers: int) -> int: ...  # type: ignore[empty-body]
def double(number: int) -> int: ...  # type: ignore[empty-body]
def join(left: str, right: Int8, end: str = "") -> str: ...  # type: ignore[empty-body]


def sig(function: Any, *args: Arg, **fields: Any) -> Signature:
    declared = SimpleNamespace(parameters=Parameters.of(function), results=Results.of(function))
    return Signature(function.__name__, list(args), declared=declared, **fields)


def plain(name: str = "task", **fields: Any) -> Signature:
    return Signature(name, [], **fields)


NUMBER = Arg("int64", 1)


def test_a_chain() -> None:
    """Every task is the next one's OnSuccess; missing UUIDs are filled, given ones stay."""
    a, b, c = plain(), plain(uuid="mine"), plain()
    chain = Chain(a, b, c)
    assert [a, b, c] == chain.tasks
    assert ([b], [c], None) == (a.on_success, b.on_success, c.on_success)
    assert b.uuid == "mine"
    assert all(re.fullmatch(f"task_{UUID4}", task.uuid) for task in (a, c))


def test_a_chain_replaces_callbacks_as_go_does() -> None:
    """NewChain overwrites OnSuccess of all but the last."""
    other = plain()
    a, b = plain(on_success=[other]), plain(on_success=[other])
    Chain(a, b)
    assert ([b], [other]) == (a.on_success, b.on_success)


def test_a_group() -> None:
    """All tasks share a group's UUID and know how many they are."""
    a, b = plain(), plain()
    group = Group(a, b)
    assert re.fullmatch(f"group_{UUID4}", group.group_uuid)
    assert [(group.group_uuid, 2)] * 2 == [(task.group_uuid, task.group_task_count) for task in group.tasks]
    assert [a.uuid, b.uuid] == group.task_uuids
    assert all(re.fullmatch(f"task_{UUID4}", uuid) for uuid in group.task_uuids)


def test_copies_of_a_group() -> None:
    """What is sent is the same group with other objects."""
    group = Group(plain(), plain())
    copies = [plain("x"), plain("y")]
    assert (group.group_uuid, copies) == (group.with_tasks(copies).group_uuid, group.with_tasks(copies).tasks)


def test_a_chord() -> None:
    """Every member carries the callback, whose UUID says that it is one."""
    callback = plain()
    chord = Chord(Group(plain(), plain()), callback)
    assert re.fullmatch(f"chord_{UUID4}", callback.uuid)
    assert all(task.chord_callback is callback for task in chord.group.tasks)
    assert Chord(Group(plain()), plain(uuid="mine")).callback.uuid == "mine"


SAME = plain("same")
NONSENSE: list[tuple[Any, type[Exception], str]] = [
    (lambda: Chain(), SignatureError, "a chain needs at least one task"),
    (lambda: Group(), SignatureError, "a group needs at least one task"),
    (lambda: Chain(SAME, SAME), SignatureError, "number 2 of a chain, same, is in it already"),
    (lambda: Group(SAME, plain(), SAME), SignatureError, "number 3 of a group, same, is in it already"),
    (lambda: Group(plain(uuid="x"), plain(uuid="x")), SignatureError, "two tasks of one UUID"),
    (lambda: Chain([plain()]), TypeError, "number 1 is a list; give the signatures one by one"),  # type: ignore[arg-type]
    (lambda: Group(plain(), None), TypeError, "number 2 is NoneType"),  # type: ignore[arg-type]
    (lambda: Chord([plain()], plain()), TypeError, "a chord begins with a Group, not list"),  # type: ignore[arg-type]
    (lambda: Chord(Group(plain()), None), TypeError, "a chord's callback is a Signature, not NoneType"),  # type: ignore[arg-type]
    (lambda: Chord(Group(SAME), SAME), SignatureError, "cannot be a member of the chord and its callback"),
]


@pytest.mark.parametrize(("make", "error", "text"), NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense(make: Any, error: type[Exception], text: str) -> None:
    """Refused with what is wrong."""
    with pytest.raises(error, match=re.escape(text)):
        make()


def test_a_refused_chain_leaves_its_signatures_alone() -> None:
    """Nothing is filled in before everything is checked."""
    a, b = sig(two), sig(double)
    with pytest.raises(SignatureError):
        Chain(a, b)
    assert (a.on_success, a.uuid, b.uuid) == (None, "", "")


FITTING_CHAINS: list[list[Signature]] = [
    [sig(one), sig(double)],
    [sig(one), sig(double), sig(add, NUMBER, NUMBER)],
    [sig(two), sig(join)],
    [sig(nothing), sig(double, NUMBER)],
    [sig(unknown), sig(double)],
    [plain(), sig(double)],
    [sig(two), plain()],
    [sig(two), sig(take_any)],
    [sig(two, immutable=True), sig(double, NUMBER)],
]


@pytest.mark.parametrize("tasks", FITTING_CHAINS, ids=range(len(FITTING_CHAINS)))
def test_chains_whose_results_fit(tasks: list[Signature]) -> None:
    """Known to fit, or not known."""
    assert tasks == Chain(*tasks).tasks


BAD_CHAINS: list[tuple[list[Signature], str]] = [
    ([sig(two), sig(double)], "double() takes 1 argument(s) and would get 2"),
    ([sig(one), sig(double, NUMBER)], "double() takes 1 argument(s) and would get 2"),
    ([sig(one), sig(join)], "join() would get 1 argument(s) and miss 'right'"),
    ([sig(nothing), sig(double)], "double() would get 0 argument(s) and miss 'number'"),
    ([sig(two), sig(add)], "add() takes int64 for 'numbers' (argument 1) and would get string"),
    ([sig(one), sig(join, Arg("string", ""))], "join() takes int8 for 'right' (argument 2) and would get int64"),
    ([sig(one, immutable=True), sig(double)], "double() would get 0 argument(s) and miss 'number'"),
    ([plain(), sig(one), sig(join)], "join() would get 1 argument(s)"),
]


@pytest.mark.parametrize(("tasks", "text"), BAD_CHAINS, ids=range(len(BAD_CHAINS)))
def test_chains_whose_results_cannot_fit(tasks: list[Signature], text: str) -> None:
    """Refused when composed."""
    with pytest.raises(SignatureError, match=re.escape(text)):
        Chain(*tasks)


def test_the_message_says_what_machinery_appends() -> None:
    """And how to have it append nothing."""
    with pytest.raises(SignatureError) as caught:
        Chain(sig(two), sig(double))
    assert str(caught.value) == (
        "this cannot run as a chain: double() takes 1 argument(s) and would get 2. Machinery appends the results of "
        "two (string, int8) to the arguments given; make two immutable to append none"
    )


def test_chords_whose_results_fit() -> None:
    """Every member's results in order, unless the callback is immutable or something is unknown."""
    Chord(Group(sig(one), sig(one)), sig(add))
    Chord(Group(sig(two), sig(nothing)), sig(join))
    Chord(Group(sig(two), sig(one)), sig(double, NUMBER, immutable=True))
    Chord(Group(sig(two), plain()), sig(double))
    Chord(Group(sig(two, immutable=True)), sig(join))


def test_chords_whose_results_cannot_fit() -> None:
    """A member's own immutable flag does not count, the callback's does."""
    with pytest.raises(SignatureError, match=re.escape("every member's results in order (int64, int64)")):
        Chord(Group(sig(one), sig(one)), sig(double))
    with pytest.raises(SignatureError, match=re.escape("would get string")):
        Chord(Group(sig(two, immutable=True)), sig(add))
    with pytest.raises(SignatureError, match="The callback is immutable"):
        Chord(Group(sig(one)), sig(double, immutable=True))
