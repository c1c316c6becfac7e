"""A worker in several processes, on the embedded Redis: who works, who is replaced, and how all of it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from command_line import finished, process

from gomachinery_py import Server
from gomachinery_py.errors import ServiceUnavailable

APP = """
import os, time
from gomachinery_py import Server
server = Server("redis://127.0.0.1:1", lease=3)

@server.task
def who(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()
"""


class Fleet:
    """A parent and its processes, and somebody who sends them tasks."""

    def __init__(self, directory: Path, url: str, queue: str) -> None:
        (directory / "app.py").write_text(APP)
        options = ("--broker", url, "-c", "1", "-q", queue, "--processes", "2", "--prefetch", "1")
        self.log = (directory / "log").open("w+b")
        self.parent = process("worker", "app:server", *options, cwd=directory, stderr=self.log.fileno())
        self.server = Server(url, default_queue=queue)

        @self.server.task
        def who(seconds: float) -> int:
            raise NotImplementedError

        self.who = who

    def pids(self) -> set[int]:
        """Who works: two tasks at a time, as often as it takes until both processes have had one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            sent = [self.who.send(0.3) for _ in range(2)]
            found = {result.get(timeout=60) for result in sent}
            if len(found) == 2:
                return found
        raise AssertionError("only one process works")

    def end(self) -> int:
        """The parent's exit code."""
        return self.parent.wait(timeout=30)


@pytest.fixture
def fleet(tmp_path: Path, embedded_url: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    made = Fleet(tmp_path, embedded_url, f"queue_{request.node.name}")
    yield made
    for _ in range(2):
        with suppress(subprocess.TimeoutExpired):
            made.parent.terminate()
            made.parent.wait(timeout=10)
    made.parent.communicate()
    made.log.close()
    made.server.close()


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # One that nobody waits for is as good as gone.
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_both_work_and_drain(fleet: Fleet) -> None:
    """Each process takes tasks; at the first signal running ones are finished, and the exit code is 0."""
    pids = fleet.pids()
    assert fleet.parent.pid not in pids
    running = fleet.who.send(1.5)
    assert _within(10, lambda: running.state.state == "STARTED")
    fleet.parent.send_signal(signal.SIGINT)
    assert fleet.end() == 0
    assert running.state.state == "SUCCESS"
    assert all(_is_gone(pid) for pid in pids)


def test_one_that_died_is_replaced(fleet: Fleet) -> None:
    """Whoever was killed is followed by another one."""
    pids = fleet.pids()
    killed = min(pids)
    os.kill(killed, signal.SIGKILL)
    later = fleet.pids()
    assert killed not in later
    assert len(pids & later) == 1
    assert b"was ended by signal 9" in Path(fleet.log.name).read_bytes()


def test_the_second_signal_quits(fleet: Fleet) -> None:
    """A task that runs is left to others, and the exit code says so."""
    fleet.pids()
    running = fleet.who.send(30)
    assert _within(10, lambda: running.state.state == "STARTED")
    fleet.parent.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    fleet.parent.send_signal(signal.SIGTERM)
    assert fleet.end() == 1


def test_none_outlives_a_killed_parent(fleet: Fleet) -> None:
    """Without their parent they drain and end."""
    pids = fleet.pids()
    fleet.parent.kill()
    fleet.end()
    assert _within(20, lambda: all(_is_gone(pid) for pid in pids))


def test_a_signal_just_before_a_process_is_started() -> None:
    """Nobody is started then who would never hear of it."""
    program = """
import os, signal, time
from gomachinery_py.worker.processes import run_processes
mask = signal.pthread_sigmask
def signal_first(how, numbers):
    if how == signal.SIG_BLOCK:
        os.kill(os.getpid(), signal.SIGTERM)
    return mask(how, numbers)
signal.pthread_sigmask = signal_first
print(run_processes(2, lambda: time.sleep(60)))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=40)
    assert told.stdout == "True\n"


def test_no_broker_is_said_once(tmp_path: Path) -> None:
    """By the parent, with the exit code for it."""
    (tmp_path / "app.py").write_text(APP)
    done = finished("worker", "app:server", "--processes", "2", cwd=tmp_path)
    assert done.code == 3
    assert len(done.error.splitlines()) == 1


def test_at_least_one_process() -> None:
    """None at all is refused, and a broker that is away raises before anything is forked."""
    worker = Server("redis://127.0.0.1:1").worker()
    with pytest.raises(ValueError, match="at least one"):
        worker.run(processes=0)
    with pytest.raises(ServiceUnavailable):
        worker.run(processes=2)
