"""What is wrong with a fleet on Redis, told from one look at it."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from typing import Final

from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.doctor.findings import PROBLEM, WARNING, Finding, Fleet, counted, dead_letters, time_text
from gomachinery_py.doctor.messages import judge_messages
from gomachinery_py.doctor.redis_look import DelayedLook, Leaving, QueueLook, RedisLook
from gomachinery_py.doctor.redis_stream import Circling, Listener
from gomachinery_py.errors import WireError
from gomachinery_py.incoming import brief
from gomachinery_py.wire import decode_signature, names

__all__ = ["judge_redis"]

# So often a task has to come back before it counts, where sending it again would be seen.
_CERTAIN: Final = 2
_CERTAIN_WITHOUT_STATES: Final = 5
# Go's own lock of chords lives 8 s.
_LONGEST_LOCK_MS: Final = 60_000
_LEASES: Final = 2


def judge_redis(fleet: Fleet, broker: RedisBroker, look: RedisLook) -> list[Finding]:
    """Every finding, in the order of the queues."""
    findings = _chord_lock(look)
    queues = {queue.name for queue in look.queues}
    reserved = (broker.reserved_names() | {look.delayed.key}) - queues

    def is_reserved(name: str) -> bool:
        return name in reserved or names.is_reserved_key(name)

    for queue in look.queues:
        circling = _circling(fleet, queue, look.heard)
        findings += circling
        findings += [] if circling else _unserved(fleet, queue, look.heard)
        findings += _wrong_type(queue.name, queue.kind, "list")
        findings += judge_messages(fleet, queue.name, queue.sample, is_reserved, queues)
        findings += _dead(fleet, queue)
        findings += _held(fleet, queue)
        findings += _interrupted(queue.name, queue.leaving)
    return findings + _delayed(look.delayed) + _interrupted(look.delayed.key, look.delayed.leaving)


# -- queues --


def _circling(fleet: Fleet, queue: QueueLook, heard: Listener | None) -> list[Finding]:
    if heard is None:
        return []
    # Where states are kept elsewhere, one that is sent again every second looks the same.
    least = _CERTAIN if fleet.broker.sees_states else math.ceil(2 * fleet.watch) + _CERTAIN_WITHOUT_STATES
    found = [
        each for each in heard.circling.values() if each.queue == queue.name and (each.times >= least or each.is_old)
    ]
    return [_circles(fleet, each, heard.served[each.name]) for each in found]


def _circles(fleet: Fleet, circling: Circling, served: int) -> Finding:
    queue, name = circling.queue, brief(circling.name)
    those = f"{', '.join(map(brief, circling.uuids))}"
    what = f"{name!r} is popped and pushed back, {circling.times} times while it was watched ({those})"
    if served:
        return Finding(
            WARNING,
            "circling",
            queue,
            f"{what}, until a worker takes it that registers it: some of this queue's workers do not",
            f"register {name!r} in every worker of {queue!r}, or send it to a queue of its own",
        )
    return Finding(
        PROBLEM,
        "circling",
        queue,
        f"{what}: no live worker of this queue registers it, and it fills the workers' logs",
        f"start a worker that registers {name!r}; where it is registered, restart the worker that is stuck; or stop "
        f"the queue's workers and drop what waits: {fleet.command('queue purge', queue)}",
    )


def _unserved(fleet: Fleet, queue: QueueLook, heard: Listener | None) -> list[Finding]:
    still = queue.head is not None and queue.head == queue.head_after
    alive = any(0 <= age <= fleet.broker.lease for age in queue.workers.values())
    if not still or alive or (heard is not None and heard.pops[queue.name]):
        return []
    if queue.waits is None and fleet.backend.is_null and (heard is None or heard.moves):
        # How long it waits is not known, and somebody is there who may only be busy.
        return []
    if queue.waits is not None and queue.waits < fleet.patience:
        return []
    since = f" {time_text(queue.waits)}" if queue.waits is not None else " for an unknown time"
    return [
        Finding(
            PROBLEM,
            "unserved",
            queue.name,
            f"{queue.length_after} wait and nobody took one in {fleet.watch:g} s; the first waits{since}",
            f"start a worker: {fleet.command('worker APP -q', queue.name)}; where all workers are busy for so long, "
            "add some, or look with a greater --patience",
        )
    ]


def _wrong_type(key: str, kind: str, wanted: str) -> list[Finding]:
    if kind in (wanted, "none"):
        return []
    return [
        Finding(
            PROBLEM,
            "wrong-type",
            key,
            f"the key holds a {kind} where Machinery needs a {wanted}, as after a task whose UUID is this name",
            f"look at it, then take it out of the way: redis-cli {shlex.join(['RENAME', key, key + '.found'])}",
        )
    ]


def _dead(fleet: Fleet, queue: QueueLook) -> list[Finding]:
    if not queue.dead:
        return []
    frequent = "; ".join(f"{brief(reason)} ({count})" for reason, count in Counter(queue.reasons).most_common(3))
    uuids = ", ".join(map(brief, queue.dead_uuids))
    what = f"{counted(queue.dead, 'dead letter')}: {frequent or 'no reasons are kept'}"
    return [dead_letters(fleet, queue.name, f"{what}; the first: {uuids}" if uuids else what)]


def _held(fleet: Fleet, queue: QueueLook) -> list[Finding]:
    gone = {
        worker: queue.held_after[worker]
        for worker, age in queue.workers.items()
        if (age < 0 or age > _LEASES * fleet.broker.lease)
        and queue.held.get(worker, 0) > 0
        and queue.held_after.get(worker, 0) > 0
    }
    if not gone:
        return []
    number = counted(sum(gone.values()), "task")
    return [
        Finding(
            PROBLEM,
            "held",
            queue.name,
            f"{number} held by Python workers that are gone: {', '.join(map(brief, gone))}",
            f"start any Python worker of the queue, it gives them back: {fleet.command('worker APP -q', queue.name)}",
        )
    ]


def _interrupted(key: str, leaving: list[Leaving]) -> list[Finding]:
    if not leaving:
        return []
    number = counted(sum(each.held for each in leaving), "task")
    places = ", ".join(dict.fromkeys(brief(each.to) for each in leaving))
    since = time_text(min(each.silent for each in leaving))
    what = f"{number} held by what moved them to {places}, and ended {since} ago: no worker sees them"
    do = "run the same gomachinery command (move, mirror or capture) once more, it goes on where it was; or --put-back"
    return [Finding(PROBLEM, "interrupted-move", key, what, do)]


# -- delayed tasks and chords --


def _delayed(delayed: DelayedLook) -> list[Finding]:
    findings = _wrong_type(delayed.key, delayed.kind, "zset")
    if delayed.overdue and delayed.overdue_after >= delayed.overdue:
        late = f"the first by {time_text(delayed.late)}, and none was moved"
        what = f"{counted(delayed.overdue, 'delayed task')} overdue, {late}"
        do = "start a worker that has this delayed_tasks_key and this server: nobody brings its tasks to their queues"
        findings.append(Finding(PROBLEM, "overdue", delayed.key, what, do))
    if delayed.never:
        why = "a score below 0 is an ETA after 2262, when Go's clock ends"
        what = f"{counted(delayed.never, 'delayed task')} will never run: {why}"
        first = brief((delayed.never_first or b"").decode("utf-8", "replace"), 60)
        remove = f"redis-cli ZREMRANGEBYSCORE {shlex.quote(delayed.key)} -inf '(0'"
        do = f"send them again with a real ETA, then: {remove} (the first is {first})"
        findings.append(Finding(PROBLEM, "never-due", delayed.key, what, do))
    bad = [(member, text) for member in delayed.sample if (text := _undecodable(member))]
    if bad:
        member, text = bad[0]
        why = f"Go publishes such a one as an empty task, over and over ({text})"
        what = f"{counted(len(bad), 'delayed member')} that cannot be decoded: {why}"
        shown = brief(member.decode("utf-8", "replace"), 60)
        do = f"take them out before they are due, with ZREM; a Python worker buries them then (first: {shown})"
        findings.append(Finding(PROBLEM, "undecodable", delayed.key, what, do))
    return findings


def _undecodable(member: bytes) -> str:
    try:
        decode_signature(member)
    except WireError as error:
        return brief(str(error))
    return ""


def _chord_lock(look: RedisLook) -> list[Finding]:
    left = look.chord_lock
    if left is None or 0 <= left <= _LONGEST_LOCK_MS:
        return []
    key = names.TRIGGER_CHORD_MUTEX
    what = "the lock of chords never ends" if left < 0 else f"the lock of chords lives {time_text(left / 1000)} on"
    return [Finding(PROBLEM, "chord-lock", key, f"{what}: no chord fires on Go workers", f"redis-cli DEL {key}")]
