"""Chords over Go and Python workers, in short; ``python -m benchmarks.faults chords`` has the heavy form."""

from __future__ import annotations

from benchmarks.faults.chords import MIXED, chords

PUBLISHED_ONCE = {"published twice": 0, "never published": 0}


def test_every_callback_is_published_once() -> None:
    """Over two Go and two Python workers: none twice, none missing, each with all results in order."""
    verdict = chords(MIXED, 200)
    assert verdict.whole, verdict
    assert PUBLISHED_ONCE == verdict.more
    assert verdict.repeated == 0


def test_every_callback_is_published_once_while_workers_are_killed() -> None:
    """The same while the Python workers are killed in turn; what one of them ran may run again."""
    verdict = chords(MIXED, 200, kills=4, victims="python")
    assert verdict.whole, verdict
    assert PUBLISHED_ONCE == verdict.more


def test_a_lock_that_a_crashed_go_worker_left() -> None:
    """Python waits for it, and for no longer than it can be alive: no chord is given up."""
    verdict = chords(["python"] * 2, 40, orphan=True)
    assert verdict.whole, verdict
    assert PUBLISHED_ONCE == verdict.more


def test_unguarded_callbacks_are_published_twice() -> None:
    """Without the comparison of what was read the same checker finds callbacks that are there twice."""
    assert chords(["plain_chord"] * 4, 200).more["published twice"] > 0


def test_a_lock_that_nobody_waits_for() -> None:
    """A worker that gives up on the lock leaves callbacks unpublished, as Go does."""
    assert chords(["endless_wait"] * 2, 20, orphan=True).more["never published"] > 0
