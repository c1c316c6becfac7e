"""Processes that a task forks: they are the task's own, and a signal to one of them is no signal to the worker."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from command_line import process

from gomachinery_py import Server
from gomachinery_py.demo.embedded import EmbeddedRedis

APP = """
import multiprocessing, os, signal, time
from gomachinery_py import Server

server = Server("redis://127.0.0.1:1")
context = multiprocessing.get_context("fork")

@server.task
def pooled(numbers: list[int]) -> list[int]:
    with context.Pool(2) as pool:
        return pool.map(abs, numbers)

def ready(pipe):
    pipe.send(os.getpid())
    time.sleep(600)

@server.task
def signalled(*numbers: int) -> int:
    ours, theirs = context.Pipe()
    child = context.Process(target=ready, args=(theirs,))
    child.start()
    ours.recv()
    for number in numbers:
        os.kill(child.pid, number)
    child.join(20)
    ended = child.exitcode
    child.kill()
    return 0 if ended is None else ended

@server.task
def late() -> int:
    return 5
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_task_may_fork_and_end_its_children(tmp_path: Path, processes: str) -> None:
    """A pool ends when its block does, terminate() ends a process; Ctrl-C of a terminal is the worker's affair."""
    (tmp_path / "app.py").write_text(APP)
    with EmbeddedRedis() as redis, Server(redis.url) as server:

        @server.remote("pooled")
        def pooled(numbers: list[int]) -> list[int]:
            raise NotImplementedError

        @server.remote("signalled")
        def signalled(*numbers: int) -> int:
            raise NotImplementedError

        @server.remote("late")
        def late() -> int:
            raise NotImplementedError

        options = ("worker", "app:server", "--broker", redis.url, "-c", "2", "--processes", processes)
        with process(*options, cwd=tmp_path) as worker:
            try:
                assert [1, 2, 3] == pooled.send([-1, 2, -3]).get(timeout=60)
                assert -signal.SIGTERM == signalled.send(signal.SIGTERM).get(timeout=60)
                assert -signal.SIGTERM == signalled.send(signal.SIGINT, signal.SIGTERM).get(timeout=60)
                # Nothing of that was for the worker.
                assert 5 == late.send().get(timeout=60)
                worker.send_signal(signal.SIGTERM)
                _, error = worker.communicate(timeout=60)
            finally:
                worker.kill()
    assert 0 == worker.returncode
    assert processes == str(error.decode().count("signal 15: waiting for running tasks to finish"))
