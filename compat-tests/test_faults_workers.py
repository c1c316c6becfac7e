"""Workers that are killed, put to sleep and told to stop, in short.

``python -m benchmarks.faults`` has the heavy forms. Each fault is tried once more with its safeguard taken away, to
see that the checker can find something.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness.faults import CONCURRENCY, Verdict

from benchmarks.faults.drains import drains
from benchmarks.faults.kills import kills
from benchmarks.faults.poison import poison
from benchmarks.faults.sleep import sleeps

TASKS = 3_000
KILLS = 4


def found(verdict: Verdict) -> tuple[int, int, int]:
    """What was lost, not finished, and left behind."""
    return verdict.lost, verdict.unfinished, verdict.left


@pytest.mark.parametrize("beside", ["python", "go"])
def test_killed_workers_lose_nothing(beside: str) -> None:
    """kill -9 of ours, one after another, with another one of ours or Go's beside: little is done again."""
    verdict = kills(["python", beside], KILLS, TASKS, victims="python")
    assert (TASKS, 0, 0, 0) == (verdict.acknowledged, *found(verdict))
    assert verdict.repeated <= 2 * CONCURRENCY * KILLS


def test_killed_workers_lose_tasks_when_they_take_them_as_go_does() -> None:
    """Without crash safety the same checker finds losses."""
    assert kills(["at-most-once"] * 2, KILLS, TASKS).lost > 0


def test_a_worker_that_slept_too_long_writes_nothing() -> None:
    """SIGSTOP past the lease: others do its tasks, and after SIGCONT not one state or callback is written late."""
    verdict = sleeps("python", 1)
    assert (0, 0, 0) == found(verdict)
    assert {"done while it slept": verdict.acknowledged, "stale writes": 0} == verdict.more


def test_a_worker_that_slept_too_long_writes_when_nothing_fences_it() -> None:
    """Without the check whether a task is still held, the journal shows late writes."""
    assert sleeps("no_fence", 1).more["stale writes"] > 0


def test_stopped_workers_lose_and_repeat_nothing() -> None:
    """SIGTERM under load: what runs comes to its end, the rest goes back, and every worker ends in order."""
    verdict = drains("python", KILLS, TASKS)
    assert (TASKS, 0, 0, 0, 0) == (verdict.acknowledged, *found(verdict), verdict.repeated)
    assert verdict.more["exit codes"] == "0"


def test_stopped_workers_repeat_tasks_when_they_do_not_wait() -> None:
    """A worker that ends at the first signal leaves tasks that have run to be run again, unless it is between two."""
    assert any(drains("no_drain", KILLS, TASKS).repeated for _ in range(5))


@pytest.mark.parametrize(("options", "status", "broken"), [([], 0, "ours 0 of 20"), (["--sabotaged"], 1, "seed ")])
def test_a_heavy_form_says_by_its_status_what_it_found(options: list[str], status: int, broken: str) -> None:
    """0 when every promise was kept, 1 when one was broken, as it must be without the safeguard."""
    command = [sys.executable, "-m", "benchmarks.faults", "simulation", "--seeds", "20", *options]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert (status, True) == (done.returncode, broken in done.stdout), done.stderr


def test_a_task_that_kills_its_worker_takes_nobody_along() -> None:
    """Forty slow tasks and one that kills: that one is the only dead letter, all others are SUCCESS in the end."""
    verdict = poison("python", 40)
    assert (41, 0, 0, 1) == (verdict.acknowledged, verdict.unfinished, verdict.left, verdict.dead)
    assert {"innocent and dead": 0, "guilty and not dead": 0, "still marked": 0} == verdict.more
    assert verdict.faults == 4


def test_a_task_that_kills_its_worker_takes_others_along_when_none_runs_alone() -> None:
    """Without suspects, what ran beside it four times is dead with it."""
    assert any(poison("no_suspects", 40).more["innocent and dead"] > 0 for _ in range(3))
