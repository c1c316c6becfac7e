"""The demo workflow: what is sent, what must come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gomachinery_py.demo.app import add, clock, flaky, multiply, server, total
from gomachinery_py.workflow import Chain, Chord, Group

__all__ = ["Step", "steps"]

_TIMEOUT = 10.0
_DELAY = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the demo shows: what it says it does, how, and whether the result is right."""

    title: str
    run: Callable[[], Any]
    right: Callable[[Any], bool]


def steps() -> Iterator[Step]:
    """Everything the demo does, in order."""
    yield Step(
        "sum([1, …, 10])",
        lambda: total.send(list(range(1, 11))).get(_TIMEOUT),
        lambda value: value == 55,
    )
    yield Step(
        "chain: add(2, 2) → add(5, 6) → multiply(4)",
        lambda: server.send_chain(Chain(add.s(2, 2), add.s(5, 6), multiply.s(4))).get(_TIMEOUT),
        lambda value: value == 60,
    )
    yield Step(
        "chord: add(1, 1), add(2, 2), add(5, 6) → multiply",
        lambda: server.send_chord(Chord(Group(add.s(1, 1), add.s(2, 2), add.s(5, 6)), multiply.s())).get(_TIMEOUT),
        lambda value: value == 88,
    )
    yield Step(
        "a task that fails once and is retried after 1 s",
        lambda: flaky.send().get(_TIMEOUT),
        lambda value: value == "done with 1 retry left",
    )
    yield Step(f"a task held back for {_DELAY:g} s", _held_back, lambda value: str(value).endswith("late"))


def _held_back() -> str:
    due = time.time_ns() + round(_DELAY * 1_000_000_000)
    ran = clock.using(countdown=_DELAY).send().get(_TIMEOUT)
    late = (ran - due) / 1_000_000
    return f"ran {late:.0f} ms late" if late >= 0 else f"ran {-late:.0f} ms EARLY"
