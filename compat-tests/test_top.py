"""``gomachinery top`` over a real Redis with Go and Python workers, in a terminal and as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness.command_line import gomachinery
from harness.go_worker import GoWorker
from harness.python_worker import PythonWorker
from harness.redis_server import RedisServer
from harness.signatures import push, signature

SECONDS = 60


class Terminal:
    """A command in a pseudo terminal of 200 columns; ``seen`` is all that it has written, without its movements."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, 200))
        self.child = subprocess.Popen(
            [sys.executable, "-m", "gomachinery_py", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "LINES": "50"},
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = b""

    def wait_for(self, pattern: str) -> str:
        """Read on until what is written from here on matches."""
        self.raw, deadline = b"", time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text
        return found[0]

    @property
    def text(self) -> str:
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>])", "", self.raw.decode("utf-8", "replace"))

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1.0)[0]:
            return True
        try:
            got = os.read(self._ours, 65536)
        except OSError:
            return False
        self.raw += got
        return bool(got)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.child.send_signal(signal.SIGINT)
        while self._read() and self.child.poll() is None:
            pass
        return self.child.wait(SECONDS)


@contextlib.contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    shown = Terminal(*arguments)
    try:
        yield shown
    finally:
        shown.child.kill()
        shown.child.wait()


def frame(redis: RedisServer, *queues: str) -> dict[str, Any]:
    code, out, error = gomachinery("top", *queues, "--once", "--json", "--broker", redis.url())
    assert (code, error) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_mixed_fleet(
    redis_server: RedisServer, go_worker: Callable[..., GoWorker], python_worker: Callable[..., PythonWorker]
) -> None:
    """Both take their tasks from one queue; what Python did is counted, of Go only the queue is known."""
    client = redis_server.client
    worker = python_worker(concurrency=2, arguments=("--log-level", "debug"))
    go_worker("v2", concurrency=2)
    uuids = [f"task_{number}" for number in range(200)]
    for uuid in uuids:
        push(client, "machinery_tasks", signature("sleep_ms", ("int64", 10), UUID=uuid))
    for number in range(3):
        push(client, "nobodys", signature("noop", UUID=f"task_nobodys_{number}"))
    later = json.dumps(signature("noop", UUID="task_later", ETA="2199-06-01T00:00:00Z"))
    client.zadd("delayed_tasks", {later: 7_240_000_000_000_000_000})
    wait_for(lambda: [state and json.loads(state)["State"] for state in client.mget(uuids)] == ["SUCCESS"] * 200)
    ran_here = worker.log.count("(sleep_ms) begins")
    assert 0 < ran_here < 200

    def found() -> dict[str, Any]:
        return frame(redis_server, "machinery_tasks", "nobodys")

    wait_for(lambda: found()["workers"][0]["done"] == ran_here)
    last = found()
    assert [(queue["queue"], queue["waiting"], queue["workers"]) for queue in last["queues"]] == [
        ("machinery_tasks", 0, 1),
        ("nobodys", 3, 0),
    ]
    [row] = last["workers"]
    assert (row["pid"], row["done"], row["failed"], row["running"], row["held"]) == (worker.pid, ran_here, 0, 0, 0)
    assert last["delayed"]["count"] == 1
    assert last["delayed"]["next"].startswith("2199-06-")


def test_in_a_terminal(redis_server: RedisServer, python_worker: Callable[..., PythonWorker]) -> None:
    """The live form shows what happens, and Ctrl-C ends it with 0 and gives the terminal back."""
    client = redis_server.client
    worker = python_worker(concurrency=2)
    with terminal("top", "--interval", "0.2", "--broker", redis_server.url()) as shown:
        shown.wait_for(r"machinery_tasks +0 +0 +0 +1 ")
        assert b"\x1b[?1049h" in shown.raw
        shown.wait_for(rf":{worker.pid}:\w+ +machinery_tasks +\d+ s +0/2 ")
        push(client, "machinery_tasks", signature("fail", ("string", "out of paper"), UUID="task_f"))
        push(client, "machinery_tasks", signature("noop", UUID="task_d", RetryTimeout=-1))
        shown.wait_for(r"dead letters")
        shown.wait_for(r"failed for good")
        shown.wait_for(r"task_f +out of paper")
        assert shown.interrupt() == 0
        assert b"\x1b[?1049l" in shown.raw
        assert "Traceback" not in shown.text


def test_a_redis_that_goes_and_comes(make_redis: Callable[..., RedisServer]) -> None:
    """A line says that it is away; it goes on when it is back."""
    redis = make_redis()
    with terminal("top", "machinery_tasks", "--interval", "0.2", "--broker", redis.url()) as shown:
        shown.wait_for(r"machinery_tasks +0 ")
        redis.stop()
        shown.wait_for(r"cannot reach|Trying again")
        redis.start()
        shown.wait_for(r"machinery_tasks +0 ")
        assert shown.interrupt() == 0


def test_json_for_programs(redis_server: RedisServer) -> None:
    """One object for each look, at once; whoever has read enough may go."""
    command = [
        sys.executable,
        "-m",
        "gomachinery_py",
        "top",
        "--json",
        "--interval",
        "0.1",
        "--broker",
        redis_server.url(),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        lines = [json.loads(child.stdout.readline()) for _ in range(3)]
        child.stdout.close()
        assert child.wait(SECONDS) == 0
        assert child.stderr.read() == b""
    assert [line["error"] for line in lines] == [None] * 3
    code, _, error = gomachinery("top", "--once", "--broker", "redis://127.0.0.1:1")
    assert (code, error.count("\n")) == (3, 1)
