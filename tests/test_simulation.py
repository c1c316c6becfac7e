"""Two hundred seeds of the simulated fleet; ``python -m benchmarks.faults simulation --seeds 10000`` runs more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fleet import SimWorker
from simulation import Safeguards, simulate

from gomachinery_py.backends.base import Origin
from gomachinery_py.brokers.base import Delivery
from gomachinery_py.redis_transactions import DONE
from gomachinery_py.wire import names
from gomachinery_py.wire.model import RECEIVED, STARTED

SEEDS = 200
PART = 25
SUSPECT_SEEDS = 100
# Some safeguards matter only when much comes together.
SABOTAGE_SEEDS = 2000


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_nothing_is_lost_or_done_twice(first: int) -> None:
    """No promise is broken, whatever is lost, late, dead, asleep or there twice; the seed names the run."""
    reports = [simulate(seed) for seed in range(first, first + PART)]
    assert [] == [(report.seed, report.violations) for report in reports if report.violations]


def test_there_is_trouble() -> None:
    """Each kind of trouble comes up, and tasks are really repeated after crashes."""
    reports = [simulate(seed) for seed in range(60)]
    kinds = {kind for report in reports for kind in report.faults}
    assert kinds == {"request lost", "answer lost", "request late", "crash", "drain", "pause", "copy"}
    assert sum(report.repeated for report in reports) > 10


def test_a_seed_is_repeated_exactly() -> None:
    """The same seed gives the same run, so that a violation can be looked at."""
    assert simulate(7) == simulate(7)


def test_of_suspects_only_what_ran_alone_is_counted() -> None:
    """Whoever was there when one worker died runs alone; no promise is broken, and nobody is counted for another."""
    reports = [simulate(seed, Safeguards(suspect_after=1)) for seed in range(SUSPECT_SEEDS)]
    assert [] == [(report.seed, report.violations) for report in reports if report.violations]


def test_without_suspects_others_are_counted_too() -> None:
    """The same checker finds tasks that were counted with the deaths of workers that ran others beside them."""

    def no_suspects(worker: SimWorker) -> None:
        worker.broker.suspect_after = 1_000_000

    safeguards = Safeguards(suspect_after=1, sabotage=no_suspects)
    violations = [text for seed in range(SUSPECT_SEEDS) for text in simulate(seed, safeguards).violations]
    assert violations
    assert [] == [text for text in violations if "was counted with" not in text]


def _no_fence(worker: SimWorker) -> None:
    """What a task writes before its end is written whether it is still held or not."""
    original = worker.broker._hold

    def hold(delivery: Delivery, *, remove: bool) -> Any:
        return original(delivery, remove=True) if remove else None

    worker.broker._hold = hold  # type: ignore[method-assign]


def _no_recovery(worker: SimWorker) -> None:
    async def recover(_queue: str) -> int:
        return 0

    worker.broker.recover = recover  # type: ignore[method-assign]


def _no_resume(worker: SimWorker) -> None:
    async def resume(*_arguments: object) -> list[Delivery]:
        return []

    worker.broker.resume = resume  # type: ignore[method-assign]


def _plain_retire(worker: SimWorker) -> None:
    """A worker signs off without giving back what never reached it."""

    async def retire(queue: str, name: str) -> None:
        await worker.broker.port.execute(("ZREM", names.workers_key(queue), name))

    worker.broker.retire = retire  # type: ignore[method-assign]


def _no_redo(worker: SimWorker) -> None:
    """After a crash a finished chord member is taken for one that has not come to its end."""
    begin = worker.engine._begin_member

    async def begin_anew(delivery: Delivery, uuid: str, origin: Origin) -> bool:
        return await begin(delivery, uuid, replace(origin, state=STARTED))

    worker.engine._is_half_done = lambda *_arguments: False  # type: ignore[method-assign]
    worker.engine._begin_member = begin_anew  # type: ignore[method-assign]


def _plain_begin(worker: SimWorker) -> None:
    """A member's STARTED is written over whatever is there."""

    async def begin(delivery: Delivery, uuid: str, origin: Origin) -> bool:
        begun = worker.engine.backend.next_commands(uuid, origin, [(RECEIVED, None, ""), (STARTED, None, "")])
        command = worker.broker.transact(delivery, begun, remove=False)
        return bool(await worker.broker.port.execute(command) == DONE)

    worker.engine._begin_member = begin  # type: ignore[method-assign]


def _plain_chord(worker: SimWorker) -> None:
    """A chord is marked without a look at what others have marked."""
    guards = worker.engine.backend.trigger_guards
    worker.engine.backend.trigger_guards = lambda snapshot: (guards(snapshot)[0], [])  # type: ignore[method-assign]


SABOTAGE = {
    "no fence": _no_fence,
    "no recovery": _no_recovery,
    "no resume": _no_resume,
    "plain retire": _plain_retire,
    "no redo": _no_redo,
    "plain begin": _plain_begin,
    "plain chord": _plain_chord,
}


@pytest.mark.parametrize("seed", [1488, 2359, 3494, 5167, 5417, 7911])
def test_a_member_that_was_sent_twice(seed: int) -> None:
    """Seeds in which a late request once wrote STARTED over the end of a member whose message was there twice."""
    assert simulate(seed).violations == []


@pytest.mark.parametrize("sabotage", SABOTAGE.values(), ids=SABOTAGE)
def test_without_a_safeguard_the_checker_complains(sabotage: Callable[[SimWorker], None]) -> None:
    """Each safeguard, switched off, breaks a promise within some seeds; a worker that breaks proves nothing."""
    for seed in range(SABOTAGE_SEEDS):
        violations = simulate(seed, Safeguards(sabotage=sabotage)).violations
        assert not any(" broke: " in violation for violation in violations), violations
        if violations:
            return
    pytest.fail(f"no violation in {SABOTAGE_SEEDS} seeds")


def test_without_crash_safety_the_checker_complains() -> None:
    """Go's at-most-once loses tasks here."""
    assert any(simulate(seed, Safeguards(crash_safe=False)).violations for seed in range(20))
