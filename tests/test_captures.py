"""Capturing, replaying and mirroring, killed before and after every request; and files that are no captures."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from inprocess import Crashed, FakeRedisPort, drive
from moving_world import Run, Side, amqp_side, died, fill, interrupted, moved, redis_side, task

from gomachinery_py.brokers.moves import DEAD, DELAYED, KINDS, PENDING, Arrival
from gomachinery_py.cli import captures
from gomachinery_py.cli.captures import CaptureFile, CaptureSource, Picked
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError
from gomachinery_py.moving.capture import CaptureError, Header, read_header, read_line, write_header, write_line
from gomachinery_py.moving.mirror import ShadowTarget
from gomachinery_py.moving.move import Move
from gomachinery_py.moving.survey import walk
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import QueueTarget
from gomachinery_py.wire import decode_signature, encode_signature

TASKS = [task("p0"), task("p1"), task("p2"), task("d0", delay=100)]
SENT = Counter(each.uuid for each in TASKS)
HEADER = Header("c1", "orders", "redis://here", "2030-01-01T00:00:00Z", taken=True)


def captured(source: Side, path: Path, crash_at: int | None = None) -> bool:
    """Take everything into a file; True when the process died on the way."""
    with closing(CaptureFile(path, HEADER)) as file:
        file.open()
        taking = Run(source, file)
        if crash_at is not None:
            return died(source, taking, crash_at)
        moved(taking)
    return False


def bodies(path: Path) -> list[bytes]:
    return [read_line(line).body for line in path.read_bytes().splitlines(keepends=True)[1:]]


def uuids(path: Path) -> Counter[str]:
    return Counter(json.loads(body)["UUID"] for body in bodies(path))


def test_a_kill_at_every_step_of_a_capture(tmp_path: Path) -> None:
    """Each task is in the file once, or still where it was, and the same command finishes it."""
    crash_at, crashed = 0, True
    while crashed:
        source, path = redis_side(), tmp_path / f"{crash_at}.jsonl"
        fill(source, TASKS)
        crashed = captured(source, path, crash_at)
        captured(source, path)
        assert (SENT, Counter()) == (uuids(path), source.uuids()), crash_at
        crash_at += 1
    assert crash_at > 12


def test_a_line_that_a_kill_cut_off_is_written_again(tmp_path: Path) -> None:
    """Its task was not given up yet; of the header alone the same."""
    path = tmp_path / "c.jsonl"
    source = redis_side()
    fill(source, TASKS[:1])
    captured(source, path)
    whole = path.read_bytes()
    for end in (3, len(write_header(HEADER)) - 1, len(write_header(HEADER)) + 9, len(whole) - 1):
        path.write_bytes(whole[:end])
        again = redis_side()
        fill(again, TASKS[:1])
        captured(again, path)
        assert bodies(path) == [encode_signature(TASKS[0])], end


def test_a_capture_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Another queue's, or no capture at all."""
    path = tmp_path / "c.jsonl"
    path.write_bytes(write_header(Header("c0", "bills", "redis://here", "", taken=True)))
    with pytest.raises(ConfigError, match="is a capture of 'bills' on redis://here"):
        captured(redis_side(), path)
    path.write_text("hello\n")
    with pytest.raises(CaptureError, match="no file of gomachinery capture"):
        captured(redis_side(), path)
    assert path.read_text() == "hello\n"


@pytest.mark.parametrize("content", [b"one line", b'{"an": "other document"}', b"\0" * 3, b"x" * (2 << 20), b"\n"])
def test_a_file_that_is_no_capture_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    """Not even one whose first line has no end, as that of a capture that was killed at once."""
    path = tmp_path / "notes.json"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=r"notes\.json: this is no file of gomachinery capture"):
        captured(redis_side(), path)
    assert path.read_bytes() == content


def test_what_is_no_ordinary_file_is_not_read() -> None:
    """There is no end to some."""
    with pytest.raises(ConfigError, match="is there already"):
        captured(redis_side(), Path("/dev/full"))


def test_tasks_are_not_taken_into_a_copy_of_them(tmp_path: Path) -> None:
    """Each would be in it twice, and be sent twice."""
    source, path = redis_side(), tmp_path / "c.jsonl"
    fill(source, TASKS)
    with closing(CaptureFile(path, replace(HEADER, taken=False))) as file:
        file.open()
        run(walk(source.broker, "orders", KINDS, file.add))
    assert uuids(path) == SENT
    with pytest.raises(ConfigError, match="is a copy of tasks that stayed in their queue"):
        captured(source, path)
    assert source.uuids() == SENT


def test_a_damaged_capture_is_not_gone_on_with(tmp_path: Path) -> None:
    """Which line it is, so that it can be mended."""
    path = written(tmp_path / "c.jsonl", line_of(0), b"rubbish\n", line_of(1))
    with pytest.raises(CaptureError, match=r"c\.jsonl line 3: not JSON: .*; mend it or name another file"):
        captured(redis_side(), path)


def test_a_long_capture_does_not_remember_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a killed run may have in hand still; of that nothing is written twice."""
    monkeypatch.setattr(captures, "_REMEMBERED", 4)
    source, path = redis_side(), tmp_path / "c.jsonl"
    fill(source, [task(f"p{number}") for number in range(20)])
    assert captured(source, path, 70)
    with closing(CaptureFile(path, HEADER)) as file:
        file.open()
        moved(Run(source, file))
        assert len(file._known) == 4
    assert uuids(path) == Counter(f"p{number}" for number in range(20))


def test_a_line_is_every_byte_of_a_message() -> None:
    """Text as text, everything else as base64, times and reasons beside it."""
    for arrival in (
        Arrival(PENDING, "", b'{"Name":"\xc5\xbc \\u2028 \xe2\x80\xa8"}'),
        Arrival(DELAYED, "", b"\xff\x00", due_ns=1 << 60),
        Arrival(DEAD, "", b"", reason="no JSON"),
    ):
        line = write_line(arrival, "id")
        found = read_line(line)
        assert line.count(b"\n") == 1
        assert (found.kind, found.body, found.due_ns, found.reason, found.identity) == (
            arrival.kind,
            arrival.body,
            arrival.due_ns,
            arrival.reason,
            "id",
        )


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b"null", b'{"kind":"other","body":""}', b'{"kind":"pending"}', b'{"kind":"pending","body":5}'),
        *(b'{"kind":"pending","base64":"%"}', b'{"kind":"delayed","due_ns":"1","body":""}', b"[" * 100_000),
        *(b'{"kind":"pending","body":"\\ud800"}', b'{"kind":["pending"],"body":""}'),
    ],
)
def test_lines_that_are_none(line: bytes) -> None:
    """Whatever they hold, they are refused in one way."""
    with pytest.raises(CaptureError):
        read_line(line)


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"5", b'{"gomachinery_capture":2,"id":"","queue":"","broker":"","begun":"","taken":true}'],
)
def test_headers_that_are_none(line: bytes) -> None:
    """A later form too."""
    with pytest.raises(CaptureError):
        read_header(line)


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(write_header(HEADER) + b"".join(lines))
    return path


def line_of(index: int) -> bytes:
    kind = PENDING if TASKS[index].eta is None else DELAYED
    return write_line(Arrival(kind, "", encode_signature(TASKS[index])), "")


def replaying(path: Path, target: Side, picked: Picked = Picked()) -> tuple[Move, CaptureSource]:  # noqa: B008
    tally = Tally()
    source = CaptureSource(path, 2, tally, picked, to="there")
    return Move(source, QueueTarget(target.broker, "orders", "there"), tally), source


def replayed(path: Path, target: Side, picked: Picked = Picked(), crash_at: int | None = None) -> CaptureSource | None:  # noqa: B008
    """Send a file; None when the process died on the way."""
    move, source = replaying(path, target, picked)
    steps = itertools.count()

    def half_step() -> None:
        if next(steps) == crash_at:
            raise Crashed

    try:
        drive(move.run(), half_step, half_step)
    except Crashed:
        if source._file is not None:
            source._file.close()
        return None
    source.complete()
    return source


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_a_kill_at_every_step_of_a_replay(tmp_path: Path, kind: str) -> None:
    """Once each on Redis; on RabbitMQ a page twice at most, and counted."""
    crash_at, source = 0, None
    while source is None:
        target = redis_side() if kind == "redis" else amqp_side()
        path = written(tmp_path / f"{crash_at}.jsonl", *map(line_of, range(4)))
        source = replayed(path, target, crash_at=crash_at)
        again = replayed(path, target) if source is None else source
        assert again is not None
        assert SENT - target.uuids() == Counter(), crash_at
        doubled = sum((target.uuids() - SENT).values())
        assert doubled <= (0 if kind == "redis" else again._tally.maybe_twice), crash_at
        assert again._tally.maybe_twice <= 2, crash_at
        assert not path.with_name(f"{path.name}.progress").exists()
        crash_at += 1
    assert crash_at > 5


def test_bad_lines_are_told_and_the_others_sent(tmp_path: Path) -> None:
    """By their numbers; the file stays as it is."""
    path = written(tmp_path / "c.jsonl", line_of(0), b"rubbish\n", line_of(1), line_of(2)[:-5])
    before, target = path.read_bytes(), redis_side()

    source = replayed(path, target)

    assert source is not None
    assert ([3, 5], Counter(["p0", "p1"])) == ([number for number, _ in source.bad_lines], target.uuids())
    assert path.read_bytes() == before


def test_what_was_not_sent_is_told_by_whoever_goes_on(tmp_path: Path) -> None:
    """Lines that are no tasks, and tasks that the target refuses, met by a run that was killed at any step."""
    far = write_line(Arrival(DELAYED, "", encode_signature(task("far", delay=30 * 86_400))), "")
    garbage = write_line(Arrival(PENDING, "", b"no JSON"), "")
    crash_at, source = 0, None
    while source is None:
        target = amqp_side()
        path = written(tmp_path / f"{crash_at}.jsonl", b"rubbish\n", far, line_of(0), garbage, *map(line_of, (1, 2, 3)))
        source = replayed(path, target, crash_at=crash_at)
        again = replayed(path, target) if source is None else source
        assert again is not None
        assert (1, [2]) == (again.bad, [number for number, _ in again.bad_lines]), crash_at
        assert (1, 1) == (again._tally.refused, again._tally.undecodable), crash_at
        assert [left.reason.partition(":")[0] for left in again._tally.left] == ["line 3", "line 5"], crash_at
        crash_at += 1
    assert crash_at > 5


def test_a_file_full_of_rubbish_is_not_kept_in_memory(tmp_path: Path) -> None:
    """All such lines are counted, the first hundred told."""
    source = replayed(written(tmp_path / "c.jsonl", *[b"rubbish\n"] * 500), redis_side())
    assert source is not None
    assert (source.bad, len(source.bad_lines)) == (500, 100)


def test_names_and_fresh_uuids(tmp_path: Path) -> None:
    """Only what is asked for; as a run of its own, out of its group, with callbacks of their own."""
    grouped = task("g1", group_uuid="group_1", group_task_count=1, on_success=[task("cb")], chord_callback=task("ch"))
    other = task("o1")
    other.name = "other.name"
    lines = [write_line(Arrival(PENDING, "", encode_signature(each)), "") for each in (grouped, other, grouped)]
    path, target = written(tmp_path / "c.jsonl", *lines), redis_side()

    replayed(path, target, Picked(("ad?",), fresh_uuids=True))

    first, second = map(decode_signature, target.bodies())
    assert (first.name, first.group_uuid, first.group_task_count, first.chord_callback) == ("add", "", 0, None)
    assert first.on_success is not None
    assert second.on_success is not None
    fresh = {first.uuid, first.on_success[0].uuid, second.uuid, second.on_success[0].uuid}
    assert (len(fresh), fresh & {"g1", "cb"}) == (4, set())
    assert all(uuid.startswith("task_") for uuid in fresh)


def test_the_progress_of_another_replay_is_not_gone_on_with(tmp_path: Path) -> None:
    """Other names, another place: the first one has to be finished, or its progress deleted."""
    path = written(tmp_path / "c.jsonl", *map(line_of, range(4)))
    assert replayed(path, redis_side(), crash_at=2) is None
    with pytest.raises(ConfigError, match="progress of an interrupted replay to there"):
        replayed(path, redis_side(), Picked(("x",)))
    path.with_name("c.jsonl.progress").write_text('{"run": 5}')
    with pytest.raises(ConfigError, match="cannot be read: delete it"):
        replayed(path, redis_side())


# -- mirror --


def mirrored(source: Side, real: Side, shadow: Side) -> tuple[Run, ShadowTarget]:
    target = ShadowTarget(QueueTarget(shadow.broker, "shadow", "there"), QueueTarget(real.broker, "real", "there"))
    return Run(source, target, kinds=(PENDING,)), target


def test_a_kill_at_every_step_of_a_mirror() -> None:
    """The real queue and the shadow have each task once, whenever the mirror is killed."""
    crash_at, crashed = 0, True
    while crashed:
        source, real, shadow = redis_side(), redis_side("real"), redis_side("shadow")
        fill(source, TASKS[:3])
        crashed = died(source, mirrored(source, real, shadow)[0], crash_at)
        moved(mirrored(source, real, shadow)[0])
        assert real.uuids() == Counter(["p0", "p1", "p2"]), crash_at
        assert shadow.uuids() == Counter(["shadow_p0", "shadow_p1", "shadow_p2"]), crash_at
        crash_at += 1
    assert crash_at > 12


def test_a_shadow_sends_nothing_and_belongs_to_nothing() -> None:
    """No callbacks, no group, no chord; its routing key is the shadow's, so that its retries stay there."""
    source, real, shadow = redis_side(), redis_side("real"), redis_side("shadow")
    whole = task("x", on_success=[task("y")], on_error=[task("z")], group_uuid="g", group_task_count=2)
    whole.chord_callback = task("c")
    fill(source, [whole])
    assert isinstance(source.port, FakeRedisPort)
    source.port.redis.rpush("orders", b"no JSON")

    run, target = mirrored(source, real, shadow)
    tally = moved(run)

    [copy] = map(decode_signature, shadow.bodies())
    whole.routing_key = "real"
    assert real.bodies() == [encode_signature(whole)]
    assert (copy.uuid, copy.routing_key, copy.args) == ("shadow_x", "shadow", whole.args)
    assert (copy.on_success, copy.on_error, copy.chord_callback, copy.group_uuid) == (None, None, None, "")
    assert (target.copied, target.uncopied, tally.undecodable) == (1, 0, 1)


def test_a_shadow_that_is_no_queue_holds_up_nothing() -> None:
    """The real tasks go on; what has no copy is counted."""
    source, real, shadow = redis_side(), redis_side("real"), redis_side("shadow")
    fill(source, TASKS[:3])
    assert isinstance(shadow.port, FakeRedisPort)
    shadow.port.redis.set("shadow", "something else")

    run, target = mirrored(source, real, shadow)
    moved(run)

    assert (real.uuids(), target.copied, target.uncopied) == (Counter(["p0", "p1", "p2"]), 0, 3)


def test_an_interrupted_move_is_not_made_a_mirror() -> None:
    """What it holds was for elsewhere."""
    source, _, held = interrupted(amqp_side, TASKS[:3])
    run, _ = mirrored(source, redis_side("real"), redis_side("shadow"))
    with pytest.raises(Exception, match=f"holds {held} pending tasks"):
        moved(run)
