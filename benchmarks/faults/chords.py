"""Chords of eight over two Go and two Python workers: every callback published once, none missing.

Also while Python workers are killed, and while a lock lies about that a crashed Go worker has left behind. How often
a callback was put on the queue is read from Redis' own journal of commands; that it had all results, in order, from
the log.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from harness.faults import LEASE, Site, Verdict
from harness.process import wait_until
from harness.published import Published

from benchmarks.faults.verdicts import chosen, together, told
from gomachinery_py import Arg, Chord, Group, Signature

__all__ = ["arguments", "chords", "main"]

MEMBERS = 8
MIXED = ("go", "go", "python", "python")
_AHEAD = 100
_LOCK_SECONDS = 9.0


def chords(fleet: Sequence[str], count: int, *, kills: int = 0, victims: str = "", orphan: bool = False) -> Verdict:
    """``count`` chords; ``kills`` of workers of the kind ``victims``; ``orphan`` leaves Go's lock behind at first."""
    with Site() as site, Published(site.redis) as published:
        server = site.server()
        workers = [site.worker(kind) for kind in fleet]
        mortal = [at for at, kind in enumerate(fleet) if victims in ("", kind)]
        callbacks: dict[str, str] = {}
        began = time.monotonic()
        killed = 0
        if orphan:
            site.redis.client.set("TriggerChordMutex", "of a worker that died", px=8000)
        for number in range(count):
            members = [Signature("concat", [Arg("string", str(place))]) for place in range(MEMBERS)]
            callback = Signature("record", [Arg("string", f"chord {number}")])
            sent = server.send_chord(Chord(Group(*members), callback))
            callbacks[sent.callback.uuid] = "|".join([f"chord {number}", *map(str, range(MEMBERS))])
            if number % 20 == 0:
                _wait_for(site, number - _AHEAD)
            if killed < kills and number >= (killed + 1) * count // (kills + 1):
                at = mortal[killed % len(mortal)]
                site.crash(workers[at])
                workers[at] = site.worker(fleet[at])
                killed += 1
        site.settle(quiet=12.0 if orphan else LEASE + 4)
        _wait_for_go(site, callbacks)
        counts = published.counts()
        executed = site.executed()
        states = site.states(list(callbacks))
        return Verdict(
            acknowledged=count,
            lost=sum(not executed[line] for line in callbacks.values()),
            unfinished=sum(state != "SUCCESS" for state in states),
            repeated=sum(executed.values()) - len(executed),
            left=site.unsettled(),
            dead=site.dead(),
            faults=killed,
            seconds=time.monotonic() - began,
            more={
                "published twice": sum(counts[uuid] > 1 for uuid in callbacks),
                "never published": sum(counts[uuid] == 0 for uuid in callbacks),
            },
        )


def _wait_for(site: Site, count: int) -> None:
    """Not too far ahead of the workers, but not for ever: what is lost will not come."""
    try:
        wait_until(lambda: site.executions() >= count, 1.0, "callbacks")
    except AssertionError:
        return


def _wait_for_go(site: Site, callbacks: dict[str, str]) -> None:
    """What a Go worker holds is in its memory only, and it may wait for its chord lock for as long as that can live."""

    def all_done() -> bool:
        executed = site.executed()
        return all(executed[line] for line in callbacks.values())

    try:
        wait_until(all_done, _LOCK_SECONDS, "every callback")
    except AssertionError:
        return


def once(verdict: Verdict) -> bool:
    """Whether every callback was published once and is done."""
    return verdict.whole and (verdict.more["published twice"], verdict.more["never published"]) == (0, 0)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The table's figures are the defaults."""
    parser.add_argument("--chords", type=int, default=10_000)
    parser.add_argument("--killed", type=int, default=1_000, help="chords while Python workers are killed")
    parser.add_argument("--kills", type=int, default=30)


def main(options: argparse.Namespace) -> bool:
    """Four workers, concurrency 10."""
    all_kept = []
    tables = (
        (
            f"{options.chords} chords of {MEMBERS}",
            {"Go v2 × 4": ["go"] * 4, "Go × 2 + ours × 2": MIXED, "unguarded": ["go", "go"] + ["plain_chord"] * 2},
            "plain_chord",
            options.chords,
            {},
        ),
        (
            f"{options.killed} chords, kills",
            {"Go v2 × 4": ["go"] * 4, "Go × 2 + ours × 2": MIXED, "ours × 4": ["python"] * 4},
            "plain_chord",
            options.killed,
            {"kills": options.kills},
        ),
        (
            "100 chords, orphaned lock",
            {"Go v2 × 4": ["go"] * 4, "ours × 4": ["python"] * 4},
            "endless_wait",
            100,
            {"orphan": True},
        ),
    )
    for title, fleets, sabotage, count, more in tables:
        columns = {
            name: chords(fleet, count, victims="python" if "kills" in more and "python" in fleet else "", **more)
            for name, fleet in chosen(options, fleets, {"ours × 4": [sabotage] * 4}).items()
        }
        kept = all(once(verdict) for name, verdict in columns.items() if "ours" in name)
        all_kept.append(told(title, columns, kept))
    return together(options, all_kept)
