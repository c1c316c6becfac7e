"""A worker's sign of life for probes: one small file, written by the worker and read by ``gomachinery health``.

The reading side imports next to nothing, since a probe runs every few seconds. The file is removed when the worker ends
in order; after a crash it stays, grows old, and names a process that is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import time
from dataclasses import asdict, dataclass

__all__ = ["FRESH_SECONDS", "WRITE_SECONDS", "Report", "forget_dead", "now", "read", "reports", "run_directory"]

WRITE_SECONDS = 2.0
"""How often a worker writes its file."""

FRESH_SECONDS = 15.0
"""How old a file may be; a worker that writes less often than that is stuck."""


@dataclass(frozen=True)
class Report:
    """What a worker says of itself.

    Attributes:
        worker: its name.
        pid: its process.
        queues: what it consumes.
        consuming: whether the broker has answered it lately on every queue.
        running: calls under way.
        held: messages that it has taken and not settled.
        time: unix seconds when this was written.
        started: unix seconds when it began.
    """

    worker: str
    pid: int
    queues: list[str]
    consuming: bool
    running: int
    held: int
    time: float
    started: float

    def problem(self, now: float, *, ready: bool = True) -> str | None:
        """Why this worker is not well, or None; ``ready`` asks for consuming, otherwise being alive is enough."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return "its process is gone"
        except PermissionError:
            pass
        age = now - self.time
        if age > FRESH_SECONDS:
            return f"it has given no sign of life for {age:.0f} s"
        if ready and not self.consuming:
            return "it does not consume: the broker does not answer, or its handler says no"
        return None

    def write(self, path: str) -> None:
        """Replace the file; whoever reads meanwhile sees the old one or the new one. Raises OSError."""
        directory = os.path.dirname(path) or "."
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=directory, delete=False, encoding="utf-8") as file:
            json.dump(asdict(self), file)
        os.replace(file.name, path)


def run_directory() -> str:
    """Where workers of this user keep their files: ``GOMACHINERY_RUN_DIR``, or a private one for temporary files."""
    return os.environ.get("GOMACHINERY_RUN_DIR") or os.path.join(tempfile.gettempdir(), f"gomachinery-{os.getuid()}")


def read(path: str) -> Report | None:
    """A worker's report, or None when this is no file of ours."""
    try:
        about = os.stat(path, follow_symlinks=False)
        if about.st_uid != os.getuid() or not stat.S_ISREG(about.st_mode):
            return None
        with open(path, encoding="utf-8") as file:
            return Report(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def reports(directory: str) -> list[Report]:
    """Those of all workers that write to a directory."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    found = [read(os.path.join(directory, name)) for name in names if name.endswith(".json")]
    return [report for report in found if report is not None]


def forget_dead(directory: str) -> None:
    """Remove the files of workers that were killed; called by the next one that starts."""
    for report in reports(directory):
        if report.problem(report.time, ready=False) is not None:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, f"{report.pid}.json"))


def now() -> float:
    """Unix seconds."""
    return time.time()
