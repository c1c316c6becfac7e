"""Short calls run where they are; one that is not short holds up nothing but itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from gomachinery_py.worker.executor import Call, Ended
from gomachinery_py.worker.relay import Paces, Relay


class _Driver:
    """What the pump does with a relay, as far as it matters here: whoever drives runs what is left."""

    def __init__(self, *functions: Callable[[], Any]) -> None:
        self.calls: deque[Call] = deque(enumerate(functions))
        self.total = len(functions)
        self.ended: list[Ended] = []
        self.late: list[Ended] = []
        self.took_over: list[Any] = []
        self.done = threading.Event()
        self.relay = Relay(self._go_on, "test")

    def drive(self) -> None:
        """Until every call has begun, or another thread goes on."""
        while self.calls:
            if not self.relay.run(self.calls, self.ended.append, self._tell_late):
                return
        self._look()

    def _go_on(self, item: Call) -> None:
        self.took_over.append(item[0])
        self.drive()

    def _tell_late(self, ended: Ended) -> None:
        self.late.append(ended)
        self._look()

    def _look(self) -> None:
        if len(self.ended) + len(self.late) == self.total:
            self.relay.close()
            self.done.set()

    @property
    def values(self) -> list[tuple[Any, Any]]:
        """What has ended so far, by the one that drove, with what it returned."""
        return [(key, value) for key, value, _ in self.ended]


def test_short_calls_run_where_they_are() -> None:
    """On the thread that drives, in their order; what one of them raises is its outcome."""

    def leave() -> None:
        raise SystemExit(3)

    driver = _Driver(threading.get_ident, leave, threading.get_ident)
    driver.drive()
    (_, first), (_, error), (_, last) = driver.values
    assert threading.get_ident() == first == last
    assert isinstance(error, SystemExit)


def test_a_call_that_is_not_short_holds_up_no_other() -> None:
    """Another thread goes on with those behind it, and its own outcome comes when it comes."""
    release, others = threading.Event(), threading.Event()
    driver = _Driver(lambda: 0, lambda: release.wait(30), lambda: 2, lambda: others.set() or 3)
    thread = threading.Thread(target=driver.drive)
    thread.start()
    assert others.wait(30)
    release.set()
    assert driver.done.wait(30)
    thread.join(30)
    assert [(0, 0), (2, 2), (3, 3)] == driver.values
    assert [(1, True)] == [(key, value) for key, value, _ in driver.late]
    assert [1] == driver.took_over


def test_several_of_them_in_a_row_hold_up_no_other() -> None:
    """Whoever takes over may be held up and relieved as well."""
    release = threading.Event()
    driver = _Driver(*[lambda: release.wait(30)] * 3, lambda: release.set() or 3)
    thread = threading.Thread(target=driver.drive)
    thread.start()
    assert driver.done.wait(30)
    thread.join(30)
    assert [(3, 3)] == driver.values
    assert [(0, True), (1, True), (2, True)] == sorted((key, value) for key, value, _ in driver.late)


def test_who_has_looked_on_for_nothing_looks_on_again() -> None:
    """A pause between calls, in which the other thread falls asleep, changes nothing."""
    for _ in range(3):
        driver = _Driver(lambda: 0)
        driver.total = 3
        driver.drive()
        pause = threading.Event()
        while driver.relay.looks_on and not pause.wait(0.001):
            pass
        release = threading.Event()
        driver.calls.extend([(1, lambda at=release: at.wait(30)), (2, lambda at=release: at.set())])
        driver.drive()
        assert driver.done.wait(30)
        assert [(0, 0), (2, None)] == driver.values


def test_what_is_known_of_a_kind_of_call() -> None:
    """One that is not known is not short, one that once took long only after several that did not."""
    paces = Paces()
    assert not paces.is_short("add")
    paces.ran("add", 0.00001)
    assert paces.is_short("add")
    assert not paces.is_short("multiply")
    paces.was_long("add")
    runs = 0
    while not paces.is_short("add"):
        paces.ran("add", 0.00001)
        runs += 1
    assert 5 < runs < 50
