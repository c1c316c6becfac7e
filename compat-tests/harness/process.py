"""A child process whose standard output is read line by line and whose log is kept."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Process", "ProcessFailed", "wait_until"]


class ProcessFailed(AssertionError):
    """A child process ended, or stayed silent, when a test needed it; the text holds the end of its log."""


class Process:
    """Start ``command``; its standard error goes to ``<directory>/<name>.log``.

    Args:
        command: program and arguments.
        name: what error messages call it.
        directory: an existing directory for the log.
        env: variables in addition to this process'.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        directory: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(env or {})},
                text=True,
                encoding="utf-8",
            )
        self._reader = threading.Thread(target=self._read, name=f"{name}-stdout", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._child.poll()

    @property
    def log(self) -> str:
        """Everything that it has written to standard error."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def failed(self, what: str) -> ProcessFailed:
        """An error that says what happened to this process, with the end of its log."""
        state = "is running" if self.alive else f"ended with exit code {self.exit_code}"
        return ProcessFailed(f"{self.name} {what} ({state}); its log ends:\n{self.log[-4000:]}")

    def write_line(self, text: str) -> None:
        """Send one line to its standard input."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(text + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise self.failed("took no input") from error

    def read_line(self, timeout: float) -> str:
        """The next line of its standard output, at most ``timeout`` seconds from now."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise self.failed(f"wrote no line within {timeout} s") from None
        if line is None:
            self.wait(5)
            raise self.failed("closed its output")
        return line

    def wait(self, timeout: float) -> int:
        """Wait for its end, at most ``timeout`` seconds; its exit code."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self.failed(f"did not end within {timeout} s") from None

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        self._child.send_signal(number)

    def stop(self, timeout: float = 15) -> int:
        """Ask it to end, insist after ``timeout`` seconds, and clean up; its exit code."""
        if self.alive:
            self.signal(signal.SIGTERM)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self._child.kill()
        return self._clean_up()

    def kill(self) -> int:
        """End it at once, as a crash does, and clean up; its exit code."""
        self._child.kill()
        return self._clean_up()

    def _clean_up(self) -> int:
        code = self._child.wait()
        self._reader.join(10)
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return code


def wait_until(condition: Callable[[], object], timeout: float, what: str, *, interval: float = 0.01) -> None:
    """Call ``condition`` until it is true; AssertionError naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(interval)
