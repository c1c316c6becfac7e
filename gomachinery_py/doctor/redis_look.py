"""One long look at a fleet on Redis: everything is read here, and judged by the modules beside this one.

Nothing is written, nothing is read as a whole: of a queue some pages at its head and its tail, of the keys a number of
``SCAN`` steps, of the commands that clients send at most so many. What moves is read twice, ``watch`` seconds apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.doctor.findings import Fleet
from gomachinery_py.doctor.redis_stream import Listener, digest
from gomachinery_py.effects import Command, Port, sleep
from gomachinery_py.errors import MachineryError, ServiceError, ServiceUnavailable, WireError
from gomachinery_py.golang.time import unix_ns
from gomachinery_py.redis_transactions import unmarked
from gomachinery_py.wire import decode_signature, names
from gomachinery_py.wire.model import PENDING, Signature, TaskState

__all__ = ["DelayedLook", "Leaving", "QueueLook", "RedisLook", "look_at_redis"]

_SCAN_STEPS: Final = 500
_SCAN_COUNT: Final = 1000
_FIRST_PAGE: Final = 8
_LONGEST_PAGE: Final = 250
_SAMPLE: Final = 2000
_SAMPLE_BYTES: Final = 4 << 20
_TAIL: Final = 8
_MOST_QUEUES: Final = 100
_STATES: Final = 8
_DEAD_SHOWN: Final = 3
_LINES_A_SECOND: Final = 20_000
_LEAST_LINES: Final = 40_000
_LINES_AT_ONCE: Final = 5_000
_BYTES_AT_ONCE: Final = 32 << 20
# No sender takes so many seconds between a task's first state and its push.
_LONG_AGO: Final = 30.0
_UNKNOWN: Final = -1.0
# A move under way gives a sign of life with each page.
_LONGEST_PAGE_SECONDS: Final = 60.0

_Marks: TypeAlias = dict[bytes, tuple[str, list[bytes]]]
"""By what was said to the server right after reading: which queue it was, and digests of what it held."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What an interrupted move holds: where it was to go, and the seconds since the move's last sign of life."""

    to: str
    held: int
    silent: float


@dataclass(slots=True)
class QueueLook:
    """What a queue is and holds; ``…_after`` was read when the watch was over."""

    name: str
    kind: str = "none"
    length: int = 0
    length_after: int = 0
    head: bytes | None = None
    head_after: bytes | None = None
    sample: list[bytes] = field(default_factory=list)
    #: The first task, where it can be decoded, and the seconds since it was to run; None where nobody knows.
    first: Signature | None = None
    waits: float | None = None
    #: CreatedAt of some of the last tasks, in unix seconds, by UUID; and the server's time after they were read.
    created: dict[str, float] = field(default_factory=dict)
    read_at: float = 0.0
    #: Python workers by the seconds since their last sign of life; negative ones were recovered from.
    workers: dict[str, float] = field(default_factory=dict)
    #: What each worker's list holds, and what it still held afterwards.
    held: dict[str, int] = field(default_factory=dict)
    held_after: dict[str, int] = field(default_factory=dict)
    leaving: list[Leaving] = field(default_factory=list)
    dead: int = 0
    dead_uuids: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(slots=True)
class DelayedLook:
    """The sorted set of delayed tasks."""

    key: str
    kind: str = "none"
    count: int = 0
    #: Those whose time was over before the watch by more than the fleet's patience, and how many of them were left.
    overdue: int = 0
    overdue_after: int = 0
    #: Seconds that the first of them is late.
    late: float = 0.0
    never: int = 0
    never_first: bytes | None = None
    sample: list[bytes] = field(default_factory=list)
    leaving: list[Leaving] = field(default_factory=list)


@dataclass(slots=True)
class RedisLook:
    """Everything that was read."""

    #: The server's unix seconds when the look began.
    now: float
    #: Seconds that this machine's clock is ahead of the server's, at least; negative when it is behind.
    ahead: float
    info: dict[str, str]
    queues: list[QueueLook]
    delayed: DelayedLook
    #: Milliseconds that the lock of chords lives on; -1 for ever, None when there is none.
    chord_lock: int | None
    heard: Listener | None
    limits: list[str]


async def look_at_redis(fleet: Fleet, broker: RedisBroker) -> RedisLook:
    """Look for ``fleet.watch`` seconds. Raises ServiceUnavailable, ServiceError."""
    limits: list[str] = []
    now, ahead = await _clocks(fleet)
    info = await _info(fleet)
    found = await _found(fleet, limits)
    listening = await _listen(fleet, limits)
    begun = fleet.clock.monotonic()
    seen: _Marks = {}
    marks = seen if listening is not None else None
    queues = [look for name, named in found.items() if (look := await _queue(fleet, name, named, now, marks, limits))]
    delayed = await _delayed(fleet, broker.delayed_key, now)
    lock = await _value(fleet.backend.port, ("PTTL", names.TRIGGER_CHORD_MUTEX))
    heard = None
    if listening is not None:
        # Only the port of one server has a target, and only such a one is listened to.
        db = getattr(getattr(fleet.broker.port, "target", None), "db", 0)
        heard = Listener(db, [look.name for look in queues], broker.delayed_key, seen)
        try:
            await _hear(fleet, listening, heard, begun + fleet.watch)
        except (ServiceError, ServiceUnavailable) as error:
            limits.append(f"listening for tasks that circle ended early ({error})")
        await _find_old(fleet, heard, now)
        limits += _not_turned(queues, heard)
    left = fleet.watch - (fleet.clock.monotonic() - begun)
    if left > 0:
        await sleep(left)
    for look in queues:
        await _queue_again(fleet, look)
    await _delayed_again(fleet, delayed, now)
    chord_lock = lock if isinstance(lock, int) and lock != -2 else None
    return RedisLook(now, ahead, info, queues, delayed, chord_lock, heard, limits)


async def _value(port: Any, command: Command) -> Any:
    """A reply; None for one that the server refused."""
    reply = (await port.attempt_many([command]))[0]
    return None if isinstance(reply, Exception) else reply


async def _clocks(fleet: Fleet) -> tuple[float, float]:
    """The server's time, and by how much this machine's is outside of what the round trip explains."""
    before = fleet.clock.unix_ns() / 1e9
    now = await _time(fleet)
    after = fleet.clock.unix_ns() / 1e9
    return now, before - now if before > now else min(0.0, after - now)


async def _time(fleet: Fleet) -> float:
    seconds, microseconds = await fleet.broker.port.execute(("TIME",))
    return int(seconds) + int(microseconds) / 1e6


async def _info(fleet: Fleet) -> dict[str, str]:
    text = await _value(fleet.broker.port, ("INFO",))
    if not isinstance(text, bytes):
        return {}
    lines = [line.partition(":") for line in text.decode("utf-8", "replace").splitlines()]
    return {name: value for name, colon, value in lines if colon}


async def _listen(fleet: Fleet, limits: list[str]) -> Any:
    if fleet.monitor is None:
        limits.append("what clients tell the server was not listened to: tasks that circle were not looked for")
        return None
    try:
        await fleet.monitor.execute(("MONITOR",))
    except ServiceError as error:
        limits.append(f"tasks that circle were not looked for, since the server refuses MONITOR ({error})")
        return None
    return fleet.monitor


async def _hear(fleet: Fleet, monitor: Port, heard: Listener, until: float) -> None:
    """Listen until then, or until enough was heard: what a server says to one client costs it something."""
    lines_left = max(_LEAST_LINES, int(_LINES_A_SECOND * fleet.watch))
    while lines_left > 0:
        left = max(0.0, until - fleet.clock.monotonic())
        limits = {"seconds": left, "lines": min(_LINES_AT_ONCE, lines_left), "bytes": _BYTES_AT_ONCE}
        lines = await monitor.execute(("HEARD", limits))
        heard.feed(lines)
        lines_left -= len(lines)
        if not lines or left == 0.0:
            break
    await monitor.execute(("QUIT",))


def _not_turned(queues: Sequence[QueueLook], heard: Listener) -> list[str]:
    """A task that circles is seen when it is popped, and behind many others that takes its time."""
    return [
        f"of the {look.length} tasks in {look.name!r} {heard.pops[look.name]} were popped while it was watched: one "
        "that circles behind them was not seen; look with a greater --watch"
        for look in queues
        if 0 < heard.pops[look.name] < look.length and all(queue != look.name for queue, _ in heard.circling)
    ]


async def _find_old(fleet: Fleet, heard: Listener, now: float) -> None:
    """One push is enough of a task that was sent long before anybody listened, and is not begun."""
    for uuid, (queue, name) in heard.unannounced.items():
        state = await _state(fleet, uuid)
        waits = state is not None and state.state == PENDING and state.created_at.year > 1
        if state is not None and waits and unix_ns(state.created_at) / 1e9 < now - _LONG_AGO:
            heard.came_back(queue, name, uuid, is_old=True)


# -- queues --


async def _found(fleet: Fleet, limits: list[str]) -> dict[str, bool]:
    """The queues to look at: whether each was named, or only found and may be something else."""
    own = {fleet.config.default_queue: True, **dict.fromkeys(sorted(fleet.consumed), True)}
    if fleet.queues:
        return dict.fromkeys(fleet.queues, True)
    cursor: Any = b"0"
    scanned: set[str] = set()
    for _ in range(_SCAN_STEPS):
        cursor, keys = await fleet.broker.port.execute(("SCAN", cursor, "COUNT", _SCAN_COUNT, "TYPE", "list"))
        scanned.update(key.decode("utf-8", "replace") for key in keys)
        if cursor in (b"0", 0):
            break
    else:
        limits.append(
            f"queues were looked for among the first {_SCAN_STEPS * _SCAN_COUNT} keys; name those that matter"
        )
    for key in sorted(scanned):
        queue = names.queue_of(key)
        own[queue] = own.get(queue, False) or queue != key
    if len(own) > _MOST_QUEUES:
        limits.append(f"{len(own)} lists were found, {_MOST_QUEUES} were looked at; name the queues that matter")
    return dict(list(own.items())[:_MOST_QUEUES])


async def _queue(
    fleet: Fleet, name: str, named: bool, now: float, marks: _Marks | None, limits: list[str]
) -> QueueLook | None:
    """None for a list that holds something else than tasks."""
    port = fleet.broker.port
    look = QueueLook(name)
    kind, length = await port.attempt_many([("TYPE", name), ("LLEN", name)])
    look.kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if look.kind == "list":
        look.length = length
        await _read_sample(fleet, look, marks)
        look.first = _decoded(look.head)
        if not named and not (look.first and look.first.name and look.first.uuid):
            return None
        if len(look.sample) < length:
            limits.append(f"of the {length} tasks in {name!r} {len(look.sample)} were read")
    await _read_workers(fleet, look, now)
    look.leaving = await _leaving(fleet, name, now)
    await _read_dead(fleet, look)
    await _read_states(fleet, look, now)
    return look


async def _read_sample(fleet: Fleet, look: QueueLook, marks: _Marks | None) -> None:
    """Pages from the head on, each with a mark behind it that tells a listener when it was read."""
    start, count, size = 0, _FIRST_PAGE, 0
    while start < _SAMPLE and size < _SAMPLE_BYTES:
        read: Command = ("LRANGE", look.name, start, start + count - 1)
        if marks is None:
            page = await fleet.broker.port.execute(read)
        else:
            mark = f"gomachinery-doctor-{fleet.clock.unix_ns()}-{len(marks)}".encode()
            page, _ = await fleet.broker.port.execute_many([read, ("ECHO", mark)])
            marks[mark] = (look.name, [digest(body) for body in page])
        look.sample += page
        size += sum(map(len, page))
        if len(page) < count:
            break
        start += count
        count = max(1, min(_LONGEST_PAGE, (_SAMPLE_BYTES - size) * start // (4 * size + 1)))
    look.head = look.sample[0] if look.sample else None
    if look.length > len(look.sample) and size < _SAMPLE_BYTES:
        look.sample += await fleet.broker.port.execute(("LRANGE", look.name, -_TAIL, -1))


async def _read_workers(fleet: Fleet, look: QueueLook, now: float) -> None:
    told = await _value(
        fleet.broker.port, ("ZRANGEBYSCORE", names.workers_key(look.name), "-inf", "+inf", "WITHSCORES")
    )
    for worker, score in zip((told or [])[::2], (told or [])[1::2], strict=True):
        beat = float(score)
        look.workers[worker.decode("utf-8", "replace")] = now - beat if beat >= 0 else _UNKNOWN
    look.held = await _held(fleet, look)


async def _held(fleet: Fleet, look: QueueLook) -> dict[str, int]:
    lengths = await fleet.broker.port.attempt_many(
        [("LLEN", names.inflight_key(look.name, worker)) for worker in look.workers]
    )
    return {worker: length for worker, length in zip(look.workers, lengths, strict=True) if isinstance(length, int)}


async def _leaving(fleet: Fleet, key: str, now: float) -> list[Leaving]:
    """What ``gomachinery move`` took of this key and left when it was killed; see ``brokers/redis_moves.py``."""
    port = fleet.broker.port
    told = await _value(port, ("HGETALL", names.movers_key(key))) or []
    fields: dict[bytes, bytes] = dict(zip(told[::2], told[1::2], strict=True))
    found: list[Leaving] = []
    for name, value in fields.items():
        mover, seen, _ = name.rpartition(b" seen")
        silent = now - float(value) if seen else 0.0
        if silent > _LONGEST_PAGE_SECONDS:
            leaving = names.leaving_key(key, mover.decode("utf-8", "replace"))
            counts = await port.attempt_many([("LLEN", leaving), ("ZCARD", leaving)])
            held = sum(count for count in counts if isinstance(count, int))
            found += [Leaving(_destination(fields.get(mover, b"")), held, silent)] if held else []
    return found


def _destination(about: bytes) -> str:
    try:
        return str(json.loads(about)["to"])
    except (ValueError, KeyError, TypeError):
        return "nobody knows where"


async def _read_dead(fleet: Fleet, look: QueueLook) -> None:
    port = fleet.broker.port
    dead = await _value(port, ("LLEN", names.dead_key(look.name)))
    look.dead = dead if isinstance(dead, int) else 0
    if not look.dead:
        return
    letters = await port.execute(("LRANGE", names.dead_key(look.name), 0, _DEAD_SHOWN - 1))
    look.dead_uuids = [signature.uuid for body in letters if (signature := _decoded(unmarked(body)))]
    told = await _value(port, ("HSCAN", names.dead_reasons_key(look.name), 0, "COUNT", 100))
    look.reasons = [reason.decode("utf-8", "replace") for reason in (told[1][1::2] if told else ())]


async def _read_states(fleet: Fleet, look: QueueLook, now: float) -> None:
    """Since when the first task waits, and what the clocks of those who sent the last ones said."""
    if look.first is not None:
        state = await _state(fleet, look.first.uuid)
        since = [unix_ns(state.created_at) / 1e9] if state is not None and state.created_at.year > 1 else []
        since += [unix_ns(look.first.eta) / 1e9] if look.first.eta is not None else []
        look.waits = now - max(since) if since else None
    for body in look.sample[-_STATES:]:
        signature = _decoded(body)
        state = await _state(fleet, signature.uuid) if signature is not None else None
        if state is not None and state.created_at.year > 1:
            look.created[state.task_uuid] = unix_ns(state.created_at) / 1e9
    look.read_at = await _time(fleet)


async def _state(fleet: Fleet, uuid: str) -> TaskState | None:
    try:
        return await fleet.backend.peek_state(uuid)
    except MachineryError:
        return None


async def _queue_again(fleet: Fleet, look: QueueLook) -> None:
    if look.kind == "list":
        length, head = await fleet.broker.port.attempt_many([("LLEN", look.name), ("LINDEX", look.name, 0)])
        look.length_after = length if isinstance(length, int) else 0
        look.head_after = head if isinstance(head, bytes) else None
    look.held_after = await _held(fleet, look)


def _decoded(body: bytes | None) -> Signature | None:
    try:
        return decode_signature(body) if body is not None else None
    except WireError:
        return None


# -- delayed tasks --


async def _delayed(fleet: Fleet, key: str, now: float) -> DelayedLook:
    port = fleet.broker.port
    look = DelayedLook(key)
    look.leaving = await _leaving(fleet, key, now)
    look.kind = (await port.execute(("TYPE", key))).decode()
    if look.kind != "zset":
        return look
    cutoff = _cutoff(fleet, now)
    look.count, look.overdue, look.never, oldest, never = await port.execute_many(
        [
            ("ZCARD", key),
            ("ZCOUNT", key, 0, cutoff),
            ("ZCOUNT", key, "-inf", "(0"),
            ("ZRANGEBYSCORE", key, 0, cutoff, "WITHSCORES", "LIMIT", 0, 1),
            ("ZRANGEBYSCORE", key, "-inf", "(0", "LIMIT", 0, 1),
        ]
    )
    look.late = now - float(oldest[1]) / 1e9 if oldest else 0.0
    look.never_first = never[0] if never else None
    size = 0
    for start in range(0, _SAMPLE // 10, _FIRST_PAGE):
        page: Sequence[bytes] = await port.execute(("ZRANGE", key, start, start + _FIRST_PAGE - 1))
        look.sample += page
        size += sum(map(len, page))
        if len(page) < _FIRST_PAGE or size > _SAMPLE_BYTES:
            break
    return look


async def _delayed_again(fleet: Fleet, look: DelayedLook, now: float) -> None:
    if look.overdue:
        left = await _value(fleet.broker.port, ("ZCOUNT", look.key, 0, _cutoff(fleet, now)))
        look.overdue_after = left if isinstance(left, int) else 0


def _cutoff(fleet: Fleet, now: float) -> int:
    return int((now - fleet.patience) * 1e9)
