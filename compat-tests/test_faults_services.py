"""Redis that crashes, a bad network, an absent result store, long queues, in short.

``python -m benchmarks.faults`` has the heavy forms. Each fault is tried once more with its safeguard taken away, to
see that the checker can find something.
"""

from __future__ import annotations

from benchmarks.faults.network import READ_TIMEOUT, toxic
from benchmarks.faults.redis import crashes
from benchmarks.faults.results import store_away
from benchmarks.faults.size import FEW, MORE_MIB, waiting

CRASHES = 3
TOXIC_SECONDS = 0.3


def test_a_redis_that_crashes() -> None:
    """kill -9 of an append-only Redis: nothing acknowledged is lost, work goes on within 5 s, and waiting is idle."""
    verdict = crashes("python", CRASHES, last=3)
    assert verdict.whole, verdict
    assert verdict.faults == CRASHES
    assert verdict.refused > 0
    slowest, idle = verdict.more.values()
    assert slowest <= 5
    assert idle < 5


def test_a_sender_that_ignores_errors() -> None:
    """A send that raised was not stored: taken for done, it is missing in the end."""
    assert crashes("python", CRASHES, last=0.5, believes_all=True).lost > 0


def test_a_bad_network() -> None:
    """Every toxic of toxiproxy in both directions: nothing is lost, hangs, or is left over."""
    verdict = toxic("python", TOXIC_SECONDS)
    assert verdict.whole, verdict
    assert (0, "0") == (verdict.more["orphans"], verdict.more["exit codes"])
    assert verdict.more["slowest send, seconds"] < 2 * READ_TIMEOUT


def test_a_bad_network_loses_tasks_that_are_taken_as_go_does() -> None:
    """Answers that never arrive are lost without a list of what this worker holds."""
    assert toxic("at-most-once", TOXIC_SECONDS, ["timeout", "reset", "silence"]).lost > 0


def test_an_absent_result_store() -> None:
    """While it is away workers wait; in the end every task is SUCCESS, and none was let go of before."""
    verdict = store_away("python", 2_000, 2)
    assert verdict.whole, verdict
    assert verdict.more == {"acknowledged early": 0, "begun without the store": 0}


def test_an_absent_result_store_that_nobody_waits_for() -> None:
    """Where a failed write counts as written, tasks are let go of without a result."""
    verdict = store_away("no_result_needed", 2_000, 1)
    assert verdict.more["acknowledged early"] > 0
    assert verdict.unfinished > 0


def more_memory(kind: str) -> float:
    """How many MiB more a worker needs with 50,000 tasks waiting and 50,000 delayed than with few."""
    few, many = waiting(kind, FEW, 0), waiting(kind, 50_000, 50_000)
    return float(many.more["most memory, MiB"] - few.more["most memory, MiB"])


def test_a_long_queue_costs_nothing() -> None:
    """A worker takes no more than it can do."""
    assert more_memory("python") <= MORE_MIB


def test_a_long_queue_costs_memory_when_all_of_it_is_taken() -> None:
    """The same with a worker that takes whatever waits."""
    assert more_memory("takes_all") > MORE_MIB
