"""Go's side of the demo: the harness' worker and producer, where Go and the harness are at hand."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from gomachinery_py.demo.app import add
from gomachinery_py.demo.show import Show
from gomachinery_py.demo.workflow import Step

__all__ = ["GoUnavailable", "show_both_ways", "why_not"]

_ANSWER_SECONDS = 20.0
# Served by the Go worker only, so that it is plain who did the work.
_GO_QUEUE = "go_tasks"


class GoUnavailable(Exception):
    """Go's side cannot be shown; the text says why."""


def _harness() -> Path:
    return Path(__file__).resolve().parents[2] / "go-harness"


def why_not() -> str | None:
    """Why Go's side cannot be shown, or None."""
    if not (_harness() / "go.mod").exists():
        return "Go's side is left out: it is shown in a checkout of the project only"
    if shutil.which("go") is None:
        return "Go's side is left out: there is no go command on this machine"
    return None


def show_both_ways(url: str, queue: str, show: Show, stack: ExitStack, build_seconds: float) -> None:
    """Send from Python to a Go worker, and from a Go producer to the Python worker of ``queue``.

    What is started here ends with ``stack``. Raises GoUnavailable when Go's side cannot be built, within
    ``build_seconds``, or started.
    """
    with show.busy("building Go's side; the first time takes a minute"):
        worker_binary, producer_binary = _build("worker", "producer", seconds=build_seconds)
    worker = _Program(worker_binary, "-version=v2", f"-broker={url}", f"-custom-queue={_GO_QUEUE}", "-tag=dev-go")
    stack.callback(worker.stop)
    producer = _Program(producer_binary, "-version=v1", f"-broker={url}")
    stack.callback(producer.stop)
    ready = worker.line()
    if ready != "READY":
        raise GoUnavailable("the Go worker did not start")

    def python_to_go() -> int:
        return add.using(routing_key=_GO_QUEUE).send(20, 22).get(_ANSWER_SECONDS)

    def go_to_python() -> int:
        arguments = [{"Name": "", "Type": "int64", "Value": value} for value in (20, 22)]
        signature = {"Name": "add", "Args": arguments, "RoutingKey": queue}
        sent = producer.command(op="send_task", signature=signature)
        got = producer.command(op="get", uuids=[sent["uuid"]], timeout_ms=round(_ANSWER_SECONDS * 1000))
        return int(got["results"][0]["go_text"])

    show.step(Step("Python → Go (v2 worker): add(20, 22)", python_to_go, lambda value: value == 42))
    show.step(Step("Go (v1 producer) → Python: add(20, 22)", go_to_python, lambda value: value == 42))


def _build(*names: str, seconds: float) -> list[Path]:
    target = _harness() / "bin"
    command = ["go", "build", "-trimpath", "-o", f"{target}/", *(f"./cmd/{name}" for name in names)]
    try:
        target.mkdir(exist_ok=True)
        # Tests build the same programs.
        with (target / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            code, said = _run(command, seconds)
    except OSError as error:
        raise GoUnavailable(f"go build: {error}") from error
    if code != 0:
        lines = said.strip().splitlines()
        raise GoUnavailable(f"go build: {lines[-1] if lines else f'exit code {code}'}")
    return [target / name for name in names]


def _run(command: list[str], seconds: float) -> tuple[int, str]:
    """Exit code and standard error; it and all that it started end with this call."""
    child = subprocess.Popen(
        command,
        cwd=_harness(),
        env={**os.environ, "CGO_ENABLED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with child:
        try:
            _, said = child.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise GoUnavailable(
                    f"it was not built within {seconds:g} s; what was built is kept, so the next time is faster"
                ) from error
            raise
    return child.returncode, said


class _Program:
    """A running program of the harness: commands in and answers out, a line of JSON each."""

    def __init__(self, binary: Path, *flags: str) -> None:
        try:
            self._process = subprocess.Popen(
                [str(binary), *flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                # Ctrl-C is for us; we end it.
                start_new_session=True,
            )
        except OSError as error:
            raise GoUnavailable(f"{binary.name} cannot be started: {error}") from error
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"{binary.name}-output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def line(self) -> str:
        """The next line that it prints; "" when it has ended or says nothing."""
        try:
            return self._lines.get(timeout=_ANSWER_SECONDS + 5)
        except Empty:
            return ""

    def command(self, **fields: Any) -> Any:
        """One command of the harness' producer; raises RuntimeError with its error."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self.line() or '{"error": "the Go producer has ended, or does not answer"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["ok"]

    def stop(self) -> None:
        """End it, now."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
