"""Which process a move belongs to, and whether that process has ended.

Only the machine that it ran on can tell, and there only the same space of process numbers (a container has its own).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

__all__ = ["is_gone", "this_process"]


def this_process() -> str:
    """Machine, process number, and when it began."""
    return f"{_machine()} {os.getpid()} {_began(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether a process that said this of itself is known to have ended."""
    machine, _, process = owner.rpartition(" ")[0].rpartition(" ")
    if machine != _machine() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    # The number may be another one's by now.
    return _began(int(process)) != owner.rpartition(" ")[2]


def _machine() -> str:
    space = ""
    with suppress(OSError):
        space = Path("/proc/self/ns/pid").readlink().name
    return f"{socket.gethostname()} {space}".strip()


def _began(process: int) -> str:
    with suppress(OSError):
        # Behind the name in brackets, which may hold anything; the 22nd field is the start in clock ticks.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        # One that has ended and whom nobody has asked yet for its exit code is no longer at work.
        return "ended" if fields[0] == "Z" else fields[19]
    return "-"
