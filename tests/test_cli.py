"""The command line as a process: workers, apps, signals, and services that are not there."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Done, finished, gomachinery, process

from gomachinery_py import Arg, Server, Signature, wire
from gomachinery_py.demo.embedded import EmbeddedRedis
from gomachinery_py.effects import run

APP = """
import logging, time
from gomachinery_py import Server
server = Server("redis://127.0.0.1:1")
eager = Server("eager")
other = 5

@server.task
def add(*numbers: int) -> int:
    return sum(numbers)

@server.task
def fail(text: str) -> None:
    raise ValueError(text)

@server.task(queue="elsewhere")
def far() -> str:
    return "from far away"

@server.task
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"
"""

NOT_ON_PATH = "here or on the Python path: go to the directory that it is in, or set PYTHONPATH"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an app."""
    directory = tmp_path_factory.mktemp("app")
    (directory / "app.py").write_text(APP)
    celery = "from gomachinery_py.compat.celery import Celery\napp = Celery(broker='redis://localhost:1')\n"
    (directory / "moved.py").write_text(celery)
    (directory / "broken.py").write_text("import nothing_of_this_name\n")
    (directory / "ends.py").write_text("raise SystemExit(7)\n")
    return directory


class Worker:
    """A worker process that consumes by the time this is constructed."""

    def __init__(self, app: Path, url: str, *options: str) -> None:
        variables = {"PYTHONFAULTHANDLER": "1"}
        self.child = process("worker", "app:server", "--broker", url, *options, cwd=app, env=variables)
        self.lines: list[bytes] = []
        self.says(b"at once, from")

    def says(self, text: bytes) -> None:
        """Return when it has logged this."""
        assert self.child.stderr is not None
        while not self.lines or text not in self.lines[-1]:
            line = self.child.stderr.readline()
            assert line, self.lines
            self.lines.append(line)

    def ended(self) -> tuple[int, bytes]:
        """Its exit code, and all that it logged."""
        try:
            _, rest = self.child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            # Where each of its threads is goes into the failure.
            self.child.send_signal(signal.SIGABRT)
            raise AssertionError(self.child.communicate()[1].decode()) from None
        return self.child.returncode, b"".join(self.lines) + rest


@pytest.fixture(scope="module")
def worker(app: Path, embedded_url: str) -> Iterator[Worker]:
    """A worker of the app on two queues."""
    worker = Worker(app, embedded_url, "-c", "2", "-q", "machinery_tasks", "-q", "elsewhere", "--tag", "w1")
    yield worker
    worker.child.terminate()
    worker.ended()


@pytest.mark.usefixtures("worker")
def test_send_wait_and_result(embedded_url: str) -> None:
    """A typed task sent from the shell runs, and its result can be read again."""
    sent = gomachinery("send", "add", "int64:1", "2", "--wait", "20", "--json", "--broker", embedded_url)
    state = json.loads(sent.out)
    assert (sent.code, state["state"], state["results"]) == (0, "SUCCESS", [{"type": "int64", "value": 3}])
    assert gomachinery("result", state["uuid"], "--broker", embedded_url) == Done(0, "3\n", "")


@pytest.mark.usefixtures("worker")
def test_wait_without_seconds_may_stand_in_front(embedded_url: str) -> None:
    """What has a type cannot be a number of seconds."""
    assert gomachinery("send", "add", "--wait", "int64:1", "-5", "--broker", embedded_url).out == "-4\n"


@pytest.mark.usefixtures("worker")
def test_a_second_queue_is_consumed(embedded_url: str) -> None:
    """-q may be given more than once."""
    assert (
        gomachinery("send", "far", "--queue", "elsewhere", "--wait", "--broker", embedded_url).out == "from far away\n"
    )


@pytest.mark.usefixtures("worker")
def test_a_failed_task_is_exit_code_1(embedded_url: str) -> None:
    """The stored text goes to standard error, on one line and harmless."""
    done = gomachinery("send", "fail", "string:no\x1b[2J luck\n", "--wait", "20", "--broker", embedded_url)
    assert done == Done(1, "", "FAILURE: no\\x1b[2J luck\\n\n")


@pytest.mark.usefixtures("worker")
def test_progress_is_shown_on_a_terminal_only(embedded_url: str) -> None:
    """A spinner while a result is waited for; nothing of it in a pipe."""
    command = ("send", "slow", "float64:1", "--wait", "--broker", embedded_url)
    ours, theirs = pty.openpty()
    with process(*command, stderr=theirs, env={"TERM": "xterm", "COLUMNS": "120"}) as child:
        os.close(theirs)
        out, _ = child.communicate(timeout=30)
        seen = os.read(ours, 65536)
        os.close(ours)
    assert (child.returncode, out, b"waiting for task_" in seen) == (0, b"slept\n", True)
    assert finished(*command) == Done(0, "slept\n", "")


def send_slow(seconds: float, queue: str, url: str) -> str:
    """Send a task, and return its UUID when a worker has begun it."""
    sent = gomachinery("send", "slow", f"float64:{seconds}", "--queue", queue, "--broker", url).out.strip()
    deadline = time.monotonic() + 60
    while json.loads(gomachinery("result", sent, "--json", "--broker", url).out)["state"] in ("PENDING", "RECEIVED"):
        assert time.monotonic() < deadline, "no worker has begun it"
        time.sleep(0.02)
    return sent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_drains_on_the_first_signal(app: Path, embedded_url: str, number: int) -> None:
    """The running task ends well, and the exit code is 0."""
    queue = f"drained_{number}"
    worker = Worker(app, embedded_url, "--default-queue", queue)
    sent = send_slow(0.7, queue, embedded_url)
    worker.child.send_signal(number)
    code, log = worker.ended()
    assert (code, b"drained" in log) == (0, True)
    assert gomachinery("result", sent, "--broker", embedded_url) == Done(0, "slept\n", "")


def test_worker_quits_on_the_second_signal(app: Path, embedded_url: str) -> None:
    """At once, with exit code 1, whatever runs; the task is not lost."""
    worker = Worker(app, embedded_url, "--default-queue", "quit")
    # Far longer than its end is waited for.
    send_slow(600, "quit", embedded_url)
    worker.child.send_signal(signal.SIGINT)
    worker.says(b"waiting for running tasks to finish")
    worker.child.send_signal(signal.SIGINT)
    code, _ = worker.ended()
    assert code == 1
    listed = json.loads(gomachinery("queue", "ls", "quit", "--json", "--broker", embedded_url).out)
    assert listed["inflight"] == 1


def test_worker_warns_of_tasks_that_it_does_not_consume(app: Path, embedded_url: str) -> None:
    """A declared queue that no -q names would wait for ever."""
    worker = Worker(app, embedded_url, "--default-queue", "warned")
    worker.child.terminate()
    assert b"'elsewhere', which this worker does not consume" in worker.ended()[1]


def test_log_lines_are_text_or_json(app: Path, embedded_url: str) -> None:
    """Each has time, level and message."""
    worker = Worker(app, embedded_url, "--default-queue", "logged", "--log-format", "json")
    worker.child.terminate()
    lines = [json.loads(line) for line in worker.ended()[1].splitlines()]
    assert {tuple(line) for line in lines} == {("time", "level", "logger", "message")}
    assert [line["level"] for line in lines if "at once, from logged" in line["message"]] == ["info"]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (
            "nowhere:server",
            f"there is no module 'nowhere' {NOT_ON_PATH}",
        ),
        ("broken:server", "importing broken failed: No module named 'nothing_of_this_name'"),
        ("ends:server", "importing ends failed: SystemExit: 7"),
        ("app:missing", "module app has no attribute 'missing'; it has the server 'server'"),
        ("app:other", "module app has something else under the name 'other'; it has the server 'server'"),
        ("moved:app", "moved:app is an app that has a server: write moved:app.server"),
        ("app", "'app' names no server: write MODULE:SERVER, for instance app:server"),
        ("app:eager", "the eager broker runs tasks inside the process that sends them"),
    ],
)
def test_wrong_apps_are_usage_errors(app: Path, target: str, text: str) -> None:
    """Exit code 2 and one line that says what to do."""
    code, out, error = finished("worker", target, cwd=app)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"gomachinery: {text}")


def test_debug_shows_where_an_import_failed(app: Path) -> None:
    """--debug may stand before the verb and after it."""
    for command in (("--debug", "worker", "broken:server"), ("worker", "broken:server", "--debug")):
        code, _, error = finished(*command, cwd=app)
        assert (code, "Traceback" in error, 'broken.py", line 1' in error) == (2, True, True)


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"redis://:hunter2@127.0.0.1:{listener.getsockname()[1]}"


def check_unreachable(app: Path, url: str, *verb: str) -> str:
    """One line with exit code 3, which is returned; the URL is named without its password."""
    code, out, error = finished(*verb, "--broker", url, cwd=app)
    assert (code, out, error.count("\n"), "Traceback" in error) == (3, "", 1, False), error
    assert url.replace(":hunter2", "***") in error
    assert "hunter2" not in error
    assert "Is it running" in error
    return error


@pytest.mark.parametrize(
    "verb",
    [("worker", "app:server"), ("queue", "ls"), ("delayed", "ls"), ("send", "add"), ("result", "task_1")],
    ids=" ".join,
)
def test_a_broker_that_is_not_there(app: Path, verb: tuple[str, ...]) -> None:
    """Nothing listens."""
    check_unreachable(app, "redis://:hunter2@127.0.0.1:1", *verb)


def test_a_broker_that_does_not_answer(app: Path, silent: str) -> None:
    """Something listens, and that is all that it does: it is given up soon, not when every time limit has passed."""
    assert "no answer for 1.2 s" in check_unreachable(app, silent, "worker", "app:server")


def test_help_is_there_for_every_verb() -> None:
    """Its first line says what the verb does."""
    for verb in ("worker", "send", "result", "queue ls", "queue peek", "queue purge", "queue dead", "queue requeue"):
        done = gomachinery(*verb.split(), "--help")
        assert (done.code, done.error, f"Usage: gomachinery {verb} " in done.out) == (0, "", True)
    for verb in ("delayed ls", "dev", "wire fmt"):
        assert f"Usage: gomachinery {verb} " in gomachinery(*verb.split(), "--help").out


def test_an_unknown_verb_is_one_line() -> None:
    """Exit code 2, and where help is."""
    assert gomachinery("frobnicate") == Done(
        2, "", "gomachinery: No such command 'frobnicate' (see gomachinery --help)\n"
    )


def test_a_reader_that_goes_away_is_no_error(embedded_url: str) -> None:
    """As in ``gomachinery queue peek | head -1``."""
    body = wire.encode_signature(Signature("add", [Arg("string", "x" * 1000)], uuid="task_1"))
    with Server(embedded_url) as server:
        run(server.broker.port.execute(("RPUSH", "piped", *([body] * 300))))
    with process("queue", "peek", "piped", "-n", "0", "--broker", embedded_url) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"task_")
        child.stdout.close()
        child.stdout = None
        _, error = child.communicate(timeout=60)
    assert error == b""


def test_python_m_is_the_command() -> None:
    """Both spellings are one program."""
    script = Path(sys.executable).with_name("gomachinery")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert finished("--version") == Done(0, done.stdout, "")


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    """A worker that somebody started with streams closed works; what it opens itself does not take their place."""
    code = """
import os, sys
from gomachinery_py import Server
server = Server("redis://127.0.0.1:1")

@server.task
def streams() -> list[str]:
    return [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
"""
    (tmp_path / "app.py").write_text(code)
    with EmbeddedRedis() as redis, Server(redis.url) as server:

        @server.remote("streams")
        def streams() -> list[str]:
            raise NotImplementedError

        command = [sys.executable, "-m", "gomachinery_py", "worker", "app:server", "--broker", redis.url]
        shell = f'exec "$@" {closed}'
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(["sh", "-c", shell, "sh", *command], cwd=tmp_path, stdout=log, stderr=log)
        try:
            found = streams.send().get(timeout=60)
            worker.send_signal(signal.SIGTERM)
            assert 0 == worker.wait(60)
        finally:
            worker.kill()
            worker.wait()
    assert {int(each[0]) for each in closed.split()} <= {at for at, file in enumerate(found) if file == os.devnull}
    assert [] == [file for file in found if file.startswith("socket:")]
