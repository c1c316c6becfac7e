"""``gomachinery move``, ``capture``, ``replay``, ``mirror`` and ``results`` as they are typed."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Done, finished, gomachinery

from gomachinery_py import Arg, Server, Signature, wire
from gomachinery_py.brokers.moves import PENDING
from gomachinery_py.cli.owners import is_gone, this_process
from gomachinery_py.effects import run
from gomachinery_py.wire.model import GroupMeta, TaskResult, TaskState

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def server(embedded_url: str) -> Iterator[Server]:
    """Fills the queues that are moved."""
    with Server(embedded_url) as server:
        yield server


def push(server: Server, queue: str, *bodies: bytes) -> None:
    run(server.broker.port.execute(("RPUSH", queue, *bodies)))


def waiting(server: Server, queue: str) -> list[bytes]:
    return run(server.broker.pending(queue))


def task(number: int, queue: str) -> bytes:
    return wire.encode_signature(
        Signature("add", [Arg("int64", number)], uuid=f"task_{number}", routing_key=queue, headers={})
    )


def test_move(server: Server, embedded_url: str) -> None:
    """What is moved, for people and for programs; a dry run moves nothing."""
    push(server, "move.a", *(task(number, "move.a") for number in range(12)))
    server.send_task(Signature("add", uuid="late", routing_key="move.a", eta=_in_an_hour()))
    options = ("move", "move.a", "--to-queue", "move.b", "--broker", embedded_url)

    assert gomachinery(*options, "--dry-run").out.startswith("12 pending, 1 delayed would be moved to move.b on redis")
    assert len(waiting(server, "move.a")) == 12
    done = gomachinery(*options, "--json")

    assert (done.code, json.loads(done.out)) == (
        0,
        {
            "moved": {"pending": 12, "delayed": 1, "dead": 0},
            "refused": 0,
            "undecodable": 0,
            "left": [],
            "maybe_twice": 0,
            "maybe_twice_uuids": [],
            "resumed": 0,
            "complete": True,
        },
    )
    assert waiting(server, "move.b") == [task(number, "move.b") for number in range(12)]


def _in_an_hour() -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) + timedelta(hours=1)


def test_what_stays_is_told(server: Server, embedded_url: str) -> None:
    """Exit code 1, one line each, safe for a terminal."""
    push(server, "stay.a", b"\x1b[2J", task(1, "stay.a"))
    done = gomachinery("move", "stay.a", "--to-queue", "stay.b", "--broker", embedded_url)
    assert (done.code, done.out) == (1, f"1 pending, 0 delayed moved to stay.b on {server.config.broker}\n")
    assert done.error.startswith("stays: a message: it cannot be decoded: invalid character")
    assert "\x1b" not in done.error
    assert waiting(server, "stay.a") == [b"\x1b[2J"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("move", "q"), 2, "name another broker (--to, --to-config) or another queue (--to-queue)"),
        (("move", "q", "--to-queue", "r", "--no-delayed", "--all-delayed"), 2, "not both"),
        (("move", "q", "--to", NOWHERE), 3, "cannot reach Redis"),
        (("move", "q", "--to", "eager"), 2, "the eager broker runs tasks inside the process"),
        (("move", "q", "--to", "nothing://"), 2, "nothing://"),
        (("move", "q", "--to-queue", "r", "--page", "0"), 2, "--page"),
        (("mirror", "q", "--shadow", "s"), 2, "Redis cannot copy what arrives: give --to QUEUE"),
        (("mirror", "q", "--shadow", "s", "--to", "s"), 2, "must be another queue"),
        (("mirror", "q", "--shadow", "s", "--to", "q"), 2, "give --to QUEUE"),
        (("capture", "q"), 2, "--output"),
    ],
)
def test_wrong_options(embedded_url: str, arguments: tuple[str, ...], code: int, text: str) -> None:
    """One line, and nothing is touched."""
    done = gomachinery(*arguments, "--broker", embedded_url)
    assert (done.code, done.out, text in done.error) == (code, "", True), done.error


def test_move_of_something_that_is_no_queue(server: Server, embedded_url: str) -> None:
    """Neither from there nor to there."""
    run(server.broker.port.execute(("SET", "no.queue", "x")))
    push(server, "some.queue", task(1, "some.queue"))
    for source, target in (("no.queue", "x"), ("some.queue", "no.queue")):
        done = gomachinery("move", source, "--to-queue", target, "--broker", embedded_url)
        assert (done.code, "there is no queue 'no.queue'" in done.error) == (2, True)
    assert len(waiting(server, "some.queue")) == 1


def test_capture_and_replay(server: Server, embedded_url: str, tmp_path: Path) -> None:
    """There and back, byte for byte; a file is not written over, and not taken for a capture when it is none."""
    bodies = [*(task(number, "cap.a") for number in range(9)), b"\xff"]
    push(server, "cap.a", *bodies)
    file, broker = str(tmp_path / "c.jsonl"), ("--broker", embedded_url)

    assert gomachinery("capture", "cap.a", "-o", file, *broker).out == f"10 pending, 0 delayed captured in {file}\n"
    assert gomachinery("capture", "cap.a", "-o", file, *broker).code == 2
    again = str(tmp_path / "again.jsonl")
    done = gomachinery("capture", "cap.a", "-o", again, "--take", "--json", *broker)
    captured = {"captured": {"pending": 10, "delayed": 0, "dead": 0}, "not_seen": 0, "complete": True}
    assert (json.loads(done.out), waiting(server, "cap.a")) == (captured, [])

    replayed = gomachinery("replay", file, *broker)
    assert (replayed.code, replayed.out) == (1, f"9 pending sent to cap.a on {server.config.broker}\n")
    assert "stays: a message: line 11: it cannot be decoded" in replayed.error
    assert waiting(server, "cap.a") == bodies[:9]
    other = gomachinery("replay", file, "--to-queue", "cap.b", "--name", "a*", "--rate", "5000", "--json", *broker)
    assert (other.code, json.loads(other.out)["sent"]["pending"]) == (0, 9)
    (tmp_path / "other").write_text("{}\n")
    done = gomachinery("replay", str(tmp_path / "other"), *broker)
    assert done == Done(1, "", f"gomachinery: {tmp_path / 'other'}: this is no file of gomachinery capture\n")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A file can have so many bytes, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk(server: Server, embedded_url: str, tmp_path: Path) -> None:
    """It says which file, what to do, and what no worker sees until then; the same command does the rest."""
    bodies = [task(number, "full.a") for number in range(50)]
    push(server, "full.a", *bodies)
    copy, taken, broker = tmp_path / "copy.jsonl", tmp_path / "taken.jsonl", ("--broker", embedded_url)
    with files_up_to(6_000):
        copied = finished("capture", "full.a", "-o", str(copy), *broker)
        done = finished("capture", "full.a", "-o", str(taken), "--take", *broker)

    assert (copied.code, copied.out, done.code, done.out) == (1, "", 1, "")
    assert f"{copy} cannot be written (File too large); it is not complete: delete it" in copied.error
    told = r"(\d+) tasks have gone and none is lost; the same command goes on, with (\d+) that it has in hand"
    assert [sum(map(int, found)) for found in re.findall(told, done.error)] == [50]
    assert f"{taken} cannot be written (File too large); make room and run the same command again" in done.error
    assert gomachinery("capture", "full.a", "-o", str(taken), "--take", *broker).code == 0
    lines = taken.read_text().splitlines()[1:]
    assert [json.loads(line)["body"].encode() for line in lines] == bodies


def test_mirror(server: Server, embedded_url: str) -> None:
    """One queue for the real workers, one for the shadow's."""
    push(server, "mir.a", task(1, "mir.a"), task(2, "mir.a"))
    done = gomachinery(
        *("mirror", "mir.a", "--to", "mir.b", "--shadow", "mir.c", "--until-empty", "--json", "--broker", embedded_url)
    )
    assert (done.code, json.loads(done.out)) == (0, {"copied": 2, "uncopied": 0, "refused": 0, "undecodable": 0})
    assert waiting(server, "mir.b") == [task(1, "mir.b"), task(2, "mir.b")]
    assert [wire.decode_signature(body).uuid for body in waiting(server, "mir.c")] == ["shadow_task_1", "shadow_task_2"]


def test_results_copy(server: Server, embedded_url: str) -> None:
    """Named or all; the same bytes with the time that is left; what is there stays unless it is to be overwritten."""
    other = f"{embedded_url.rstrip('/')}/1"
    state = wire.encode_task_state(TaskState("res_1", "add", "SUCCESS", [TaskResult("int64", 5)]))
    odd = state.replace(b'"Value":5', b'"Value": 5.0').replace(b"res_1", b"res_2")
    meta = wire.encode_group_meta(GroupMeta("res_group", ["res_1", "res_2", "res_gone"]))
    commands = [("SET", "res_1", state, "EX", 100), ("SET", "res_2", odd), ("SET", "res_group", meta, "EX", 50)]
    run(server.broker.port.execute_many([*commands, ("SET", "res_else", "x"), ("RPUSH", "res_list", "x")]))
    urls = ("--from", embedded_url, "--to", other)

    done = gomachinery("results", "copy", "res_group", "res_list", *urls)

    assert (done.code, done.out) == (1, "2 states and 1 groups copied, 0 were there already\n")
    why = "never sent, expired, or something else has this name"
    assert done.error == f"2 are no results there ({why}): res_list, res_gone\n"
    with Server(other) as there:
        keys = ("res_1", "res_2", "res_group")
        assert run(there.broker.port.execute_many([("GET", key) for key in keys])) == [state, odd, meta]
        left = run(there.broker.port.execute_many([("TTL", key) for key in keys]))
        assert ([95 < left[0] <= 100, left[1], 45 < left[2] <= 50]) == [True, -1, True]
        run(there.broker.port.execute(("SET", "res_1", "newer")))
        everything = json.loads(gomachinery("results", "copy", "--all", *urls, "--json").out)
        assert (everything["there"] >= 3, everything["missing"], everything["failed"]) == (True, 0, [])
        assert run(there.broker.port.execute(("GET", "res_1"))) == b"newer"
        assert gomachinery("results", "copy", "res_1", "--overwrite", *urls).code == 0
        assert run(there.broker.port.execute(("GET", "res_1"))) == state
        assert run(there.broker.port.execute(("EXISTS", "res_else"))) == 0


def test_results_copy_destroys_nothing(server: Server, embedded_url: str) -> None:
    """A result whose name is that of a queue in the other store, which stays; the others are copied, members too."""
    other = f"{embedded_url.rstrip('/')}/2"
    state = wire.encode_task_state(TaskState("dest_ok", "add", "SUCCESS"))
    meta = wire.encode_group_meta(GroupMeta("dest_queue", ["dest_ok"]))
    run(server.broker.port.execute_many([("SET", "dest_ok", state), ("SET", "dest_queue", meta, "EX", 50)]))
    with Server(other) as there:
        push(there, "dest_queue", b"a task")
        command = ("results", "copy", "dest_queue", "--overwrite", "--from", embedded_url, "--to", other, "--json")
        done = gomachinery(*command)
        told = json.loads(done.out)
        assert (done.code, told["states"], told["groups"], told["failures"]) == (1, 1, 0, 1)
        assert [each["uuid"] for each in told["failed"]] == ["dest_queue"]
        assert waiting(there, "dest_queue") == [b"a task"]
        assert run(there.broker.port.execute(("GET", "dest_ok"))) == state


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "name UUIDs, or give --all"),
        (("x", "--all"), 2, "name UUIDs, or give --all"),
        (("x", "--to", "null"), 2, "keeps nothing that another process could see"),
        (("x", "--to", NOWHERE), 3, "cannot reach Redis"),
    ],
)
def test_results_copy_with_wrong_options(embedded_url: str, arguments: tuple[str, ...], code: int, text: str) -> None:
    """One line."""
    done = gomachinery("results", "copy", "--from", embedded_url, "--to", f"{embedded_url}/1", *arguments)
    assert (done.code, done.out, text in done.error) == (code, "", True), done.error


def test_whose_process_has_ended() -> None:
    """This one lives; one that has ended is gone, also when its number is another one's; of other machines none is."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    mine = this_process()
    machine, number, began = mine.rsplit(" ", 2)
    assert int(number) == os.getpid()
    known = [is_gone(text) for text in (mine, f"{machine} {number} {began}1", f"{machine} {child.pid} {began}")]
    assert known == [False, True, True]
    assert [is_gone(text) for text in ("", "x", f"elsewhere {number} 1", f"{machine} -1 1")] == [False] * 4


def test_a_stopped_move_goes_on(server: Server, embedded_url: str) -> None:
    """After Ctrl-C: exit code 1, nothing in between, and the same command does the rest."""
    from gomachinery_py.moving.held import HeldSource, Owner
    from gomachinery_py.moving.move import Move
    from gomachinery_py.moving.tally import Tally
    from gomachinery_py.moving.targets import QueueTarget

    push(server, "stop.a", *(task(number, "stop.a") for number in range(30)))
    tally = Tally()
    source = HeldSource(server.broker, "stop.a", 8, tally, Owner("r", this_process(), is_gone), kinds=[PENDING])
    work = Move(source, QueueTarget(server.broker, "stop.b", "here"), tally, stopped=lambda: tally.total >= 10)
    run(work.run())
    assert (len(waiting(server, "stop.a")), len(waiting(server, "stop.b"))) == (30 - tally.total, tally.total)
    assert gomachinery("move", "stop.a", "--to-queue", "stop.b", "--broker", embedded_url).code == 0
    assert waiting(server, "stop.b") == [task(number, "stop.b") for number in range(30)]
