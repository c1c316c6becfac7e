"""Periodic tasks: what is registered, when it is due, and that several schedulers send it once."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from inprocess import FakeRedisPort, server_on
from manual_clock import SECOND, START, ManualClock

from gomachinery_py import Server, Signature, wire
from gomachinery_py.effects import Command, run
from gomachinery_py.errors import ServiceUnavailable, SignatureError
from gomachinery_py.locks.redis import RedisLock
from gomachinery_py.schedule import ScheduleError, parse
from gomachinery_py.scheduler import Agenda, PeriodicTask, tick

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def periodic(
    spec: str, send: Callable[[], Coroutine[Any, Any, object]] | None = None, zone: str = "UTC"
) -> PeriodicTask:
    """A task that does nothing, or what ``send`` does."""

    async def nothing() -> None: ...

    return PeriodicTask("name", spec, parse(spec, local=ZoneInfo(zone)), send or nothing)


def ticks(agenda: Agenda) -> int:
    """Send all that is due now; how many it was."""
    due = agenda.take_due()
    for entry in due:
        agenda.done(entry)
    return len(due)


def ns(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[misc]


# -- when --


def test_ticks_are_on_the_second_whatever_they_take() -> None:
    """A thousand late looks do not move a single due time."""
    clock = ManualClock()
    agenda = Agenda([periodic("@every 1s")], clock)
    sent = 0
    for second in range(1, 1001):
        clock.now = START + second * SECOND + random.Random(second).randrange(SECOND)
        sent += ticks(agenda)
        assert START + (second + 1) * SECOND == agenda.entries[0].due_ns
    assert 1000 == sent


def test_nothing_is_due_before_its_time() -> None:
    """Not a nanosecond early, and the wait is exact."""
    clock = ManualClock()
    agenda = Agenda([periodic("@every 2s")], clock)
    assert 2 * SECOND == agenda.wait_ns()
    clock.now = START + 2 * SECOND - 1
    assert (0, 1) == (ticks(agenda), agenda.wait_ns())
    clock.now += 1
    assert 1 == ticks(agenda)


def test_an_interval_below_a_second_is_a_second() -> None:
    """robfig/cron rounds it up."""
    clock = ManualClock()
    agenda = Agenda([periodic("@every 10ms")], clock)
    sent = 0
    for _ in range(300):
        clock.now += 10_000_000
        sent += ticks(agenda)
    assert 3 == sent


def test_a_spec_that_never_fires_waits_for_ever() -> None:
    """The 30th of February has no moment, and holds up nobody else."""
    clock = ManualClock()
    agenda = Agenda([periodic("0 0 30 2 *")], clock)
    clock.now += 1000 * 24 * HOUR
    assert (0, None) == (ticks(agenda), agenda.wait_ns())
    agenda = Agenda([periodic("0 0 30 2 *"), periodic("@every 1s")], clock)
    assert SECOND == agenda.wait_ns()


def test_what_was_missed_is_sent_once() -> None:
    """After a sleep of an hour an interval of a second has one tick, then goes on."""
    clock = ManualClock()
    agenda = Agenda([periodic("@every 1s"), periodic("* * * * *")], clock)
    clock.now += HOUR
    assert (2, 0) == (ticks(agenda), ticks(agenda))
    clock.now += SECOND
    assert 1 == ticks(agenda)


def test_no_moment_comes_twice_when_the_clock_goes_back() -> None:
    """A daily task that was sent at three is not sent again at the second three o'clock of the night."""
    clock = ManualClock(ns(2026, 11, 23, 2, 59, 59))
    agenda = Agenda([periodic("0 3 * * *")], clock)
    clock.now += 2 * SECOND
    assert 1 == ticks(agenda)
    clock.now -= 10 * MINUTE
    sent = 0
    for _ in range(60):
        clock.now += MINUTE
        sent += ticks(agenda)
    assert 0 == sent
    clock.now = ns(2026, 11, 24, 3, 0, 0)
    assert 1 == ticks(agenda)


def test_an_interval_goes_on_when_the_clock_goes_back() -> None:
    """Two ticks of a ten seconds' interval are never farther apart than that."""
    clock = ManualClock()
    agenda = Agenda([periodic("@every 10s")], clock)
    clock.now += 10 * SECOND
    assert 1 == ticks(agenda)
    clock.now -= 30 * MINUTE
    assert 0 == ticks(agenda)
    clock.now += 10 * SECOND
    assert 1 == ticks(agenda)


def test_a_clock_that_was_far_off_is_forgotten() -> None:
    """A machine that began a year ahead does not sleep for that year."""
    clock = ManualClock(START + 365 * 24 * HOUR)
    agenda = Agenda([periodic("* * * * *")], clock)
    clock.now = START
    ticks(agenda)
    clock.now += MINUTE
    assert 1 == ticks(agenda)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("30 2 * * *", ["2026-03-28T01:30", "2026-03-30T00:30"]),
        ("30 * * * *", ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"]),
    ],
)
def test_a_time_that_the_clocks_skip(spec: str, expected: list[str]) -> None:
    """Half past two does not exist on the night of the gap; each half hour that exists has its tick."""
    start = ns(2026, 3, 28, 0, 0, 0) if spec.startswith("30 2") else ns(2026, 3, 29, 0, 0, 0)
    clock = ManualClock(start)
    agenda = Agenda([periodic(spec, zone="Europe/Berlin")], clock)
    sent: list[str] = []
    while len(sent) < len(expected):
        clock.now += MINUTE
        if ticks(agenda):
            sent.append(datetime.fromtimestamp(clock.now // SECOND, UTC).strftime("%Y-%m-%dT%H:%M"))
    assert expected == sent


def test_a_long_tick_is_followed_by_one() -> None:
    """What is being sent is not due; what fell due meanwhile is sent once when it is done."""
    clock = ManualClock()
    agenda = Agenda([periodic("@every 1s")], clock)
    clock.now += SECOND
    (entry,) = agenda.take_due()
    clock.now += 5 * SECOND
    assert ([], None) == (agenda.take_due(), agenda.wait_ns())
    agenda.done(entry)
    assert (0, 1, 0) == (agenda.wait_ns(), ticks(agenda), ticks(agenda))


def test_the_longest_due_comes_first() -> None:
    """When not all can be sent at once."""
    clock = ManualClock()
    late, early = periodic("@every 3s"), periodic("@every 2s")
    agenda = Agenda([late, early], clock)
    clock.now += 5 * SECOND
    assert [early] == [entry.task for entry in agenda.take_due(1)]
    assert [late] == [entry.task for entry in agenda.take_due(1)]


# -- once --


class ClockedPort(FakeRedisPort):
    """Keys expire by the test's clock, in whole milliseconds as in Redis."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.ends: dict[str, int] = {}

    def _run(self, command: Command) -> Any:
        name, key, *rest = command
        now = self.clock.now // 1_000_000
        if self.ends.get(key, now + 1) <= now:
            self.redis.delete(key)
            del self.ends[key]
        if name == "PEXPIRE":
            self.ends[key] = now + rest[0]
            return 1
        if name == "SET":
            value, _, milliseconds, _ = rest
            reply = super()._run(("SET", key, value, "NX"))
            if reply is not None:
                self.ends[key] = now + milliseconds
            return reply
        if name == "GETSET":
            self.ends.pop(key, None)
        return super()._run(command)


@pytest.mark.parametrize("seed", range(50))
def test_five_schedulers_send_each_tick_once(seed: int) -> None:
    """However late each of them looks and whoever sleeps, a second that somebody saw has exactly one tick.

    Its last twelve milliseconds do not count: who looks then only has the next tick before it.
    """
    random_ = random.Random(seed)
    clock = ManualClock()
    port = ClockedPort(clock)
    sent: Counter[int] = Counter()

    async def send() -> None:
        sent[clock.now // SECOND] += 1

    task = periodic("@every 1s", send)
    schedulers = [(Agenda([task], clock), RedisLock(port, clock)) for _ in range(5)]
    seen: set[int] = set()
    for _ in range(500):
        clock.now += random_.choice((1, 1_000, 90_000_000, 700_000_000, 2_300_000_000))
        for agenda, lock in random_.sample(schedulers, random_.randrange(1, 6)):
            clock.now += random_.randrange(2_000_000)
            for entry in agenda.take_due():
                if clock.now % SECOND <= SECOND - 12_000_000:
                    seen.add(clock.now // SECOND)
                run(tick(entry.task, lock, "sched", clock))
                agenda.done(entry)
    assert dict.fromkeys(sorted(seen), 1) == dict(sorted(sent.items()))


# -- what --


@pytest.fixture
def port() -> FakeRedisPort:
    return FakeRedisPort()


@pytest.fixture
def server(port: FakeRedisPort) -> Server:
    return server_on(port)


def sent_by(server: Server, port: FakeRedisPort, rounds: int = 2) -> list[Signature]:
    """What some ticks of the only periodic task put on the queue."""
    (task,) = server.periodic_tasks
    for _ in range(rounds):
        run(task.send())
    return [wire.decode_signature(body) for body in port.redis.lrange("machinery_tasks", 0, -1)]


def test_a_uuid_repeats_and_a_missing_one_is_new(port: FakeRedisPort, server: Server) -> None:
    """As in Go: what is registered is copied, and only the copy is filled in."""
    fixed, free = Signature("add", uuid="task_fixed"), Signature("add")
    server.periodic_task("@every 1s", "fixed", fixed)
    server.periodic_task("@every 1s", "free", free)
    for task in server.periodic_tasks * 2:
        run(task.send())
    uuids = [wire.decode_signature(body).uuid for body in port.redis.lrange("machinery_tasks", 0, -1)]
    assert ["task_fixed", "task_fixed"] == uuids[::2]
    assert 2 == len(set(uuids[1::2]))
    assert "" == free.uuid


def test_what_is_registered_stays_as_it_is(port: FakeRedisPort, server: Server) -> None:
    """A chord fills in copies: its signatures can be used again."""
    a, b, callback = Signature("a"), Signature("b"), Signature("callback")
    server.periodic_chord("@every 1s", "chord", callback, a, b)
    sent = sent_by(server, port)
    assert [Signature("a"), Signature("b"), Signature("callback")] == [a, b, callback]
    assert 2 == len({signature.group_uuid for signature in sent})
    callbacks = [signature.chord_callback.uuid for signature in sent if signature.chord_callback]
    assert [2, 2] == list(Counter(callbacks).values())


def test_nil_becomes_empty_as_in_gos_copy(port: FakeRedisPort, server: Server) -> None:
    """Lists that were not given travel as [], at every depth."""
    server.periodic_task("@every 1s", "n", Signature("a", on_error=[Signature("b")]))
    (sent, _) = sent_by(server, port)
    assert ([], [], {}) == (sent.args, sent.on_success, sent.headers)
    assert sent.on_error is not None
    assert ([], [], [], {}) == (
        sent.on_error[0].args,
        sent.on_error[0].on_success,
        sent.on_error[0].on_error,
        sent.on_error[0].headers,
    )


def test_a_chain_of_a_thousand(port: FakeRedisPort, server: Server) -> None:
    """Copying needs no recursion."""
    server.periodic_chain("@every 1s", "n", *(Signature("a") for _ in range(1000)))
    (sent,) = sent_by(server, port, rounds=1)
    depth = 1
    while sent.on_success:
        (sent,) = sent.on_success
        depth += 1
    assert 1000 == depth


@pytest.mark.parametrize("spec", ["", "* * * *", "@every", "@every 5", "60 * * * *", "@often", "TZ=Nowhere * * * * *"])
def test_a_wrong_spec_is_refused_when_it_is_declared(spec: str, server: Server) -> None:
    """The text names the spec; nothing is registered."""
    with pytest.raises(ScheduleError, match="cron spec"):
        server.periodic_task(spec, "n", Signature("a"))
    assert [] == server.periodic_tasks


def test_what_cannot_be_sent_is_refused_when_it_is_declared(server: Server) -> None:
    """Not at the first tick, where nobody looks."""
    loop = Signature("a")
    loop.on_success = [loop]
    with pytest.raises(SignatureError, match="leads back"):
        server.periodic_task("@hourly", "n", loop)
    with pytest.raises(TypeError, match=r"task\.s"):
        server.periodic_task("@hourly", "n", "add")  # type: ignore[arg-type]
    with pytest.raises(SignatureError, match="at least one task"):
        server.periodic_group("@hourly", "n")
    with pytest.raises(ValueError, match="concurrency"):
        server.periodic_group("@hourly", "n", Signature("a"), concurrency=-1)
    with pytest.raises(SignatureError, match="two tasks of one UUID"):
        server.periodic_chord("@hourly", "n", Signature("c"), Signature("a", uuid="u"), Signature("a", uuid="u"))
    assert [] == server.periodic_tasks


def test_a_name_and_spec_are_declared_once(server: Server) -> None:
    """Two of one lock would take each other's ticks."""
    server.periodic_task("@hourly", "n", Signature("a"))
    server.periodic_task("@daily", "n", Signature("a"))
    with pytest.raises(SignatureError, match="declared twice"):
        server.periodic_group("@hourly", "n", Signature("a"))


def test_a_chord_needs_a_store() -> None:
    """The null store would never fire it."""
    server = Server("redis://localhost", result_backend="null")
    with pytest.raises(SignatureError, match="null store"):
        server.periodic_chord("@hourly", "n", Signature("c"), Signature("a"))


# -- the runner --


@pytest.fixture
def eager() -> Iterator[tuple[Server, threading.Event]]:
    """A server that runs ``work`` at once, and what ``work`` sets."""
    server, done = Server("eager", result_backend="eager"), threading.Event()

    @server.task
    def work() -> None:
        done.set()

    server.periodic_task("@every 1s", "work", work.s())
    with server:
        yield server, done


def test_a_scheduler_sends_until_it_is_stopped(eager: tuple[Server, threading.Event]) -> None:
    """start, a tick, stop; a second start is refused."""
    server, done = eager
    scheduler = server.scheduler()
    with scheduler:
        assert done.wait(20)
    with pytest.raises(RuntimeError, match="make a new one"):
        scheduler.start()
    assert scheduler.stop()


def test_a_failing_tick_is_one_line_and_the_next_one_goes_on(
    eager: tuple[Server, threading.Event], caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that is away for two ticks is told once; then it works again."""
    server, done = eager
    failures = iter(range(2))
    real = server.lock.acquire

    async def acquire(key: str, until_ns: int) -> bool:
        if next(failures, None) is not None:
            raise ServiceUnavailable("cannot reach it")
        return await real(key, until_ns)

    server.lock.acquire = acquire  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO, "gomachinery_py.scheduler"), server.scheduler():
        assert done.wait(20)
    told = [record.message for record in caplog.records if "periodic task 'work'" in record.message]
    assert ["periodic task 'work' was not sent: cannot reach it", "periodic task 'work': works again"] == told


def test_an_unreachable_lock_is_said_at_the_start() -> None:
    """It ends the start, not the patience of whoever waits."""
    server = Server("eager", result_backend="eager", lock="redis://127.0.0.1:1")
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:1"):
        server.scheduler().start()
