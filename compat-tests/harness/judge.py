"""Asks live Go what a worker does with messages; ``go-harness/cmd/judge`` says how."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gobuild import binary

__all__ = ["NOT_UNMARSHALLED", "Judged", "judge"]

NOT_UNMARSHALLED = "' into a task signature: "
"""What stands between a message and the reason why it cannot be decoded."""

SECONDS = 240


@dataclass(frozen=True, slots=True)
class Judged:
    """What was seen of one message; the fields are the Go program's."""

    error: str
    panic: str
    hangs: bool
    called: bool
    state: str
    text: str
    results: list[Any] | None
    queued: int
    delayed: int


def judge(redis_url: str, version: str, messages: Sequence[bytes], *arguments: str) -> list[Judged]:
    """What a Go worker does with each message, on a Redis that is emptied after each."""
    frames = b"".join(struct.pack(">I", len(message)) + message for message in messages)
    run = subprocess.run(
        [binary("judge"), "-version", version, "-broker", redis_url, *arguments],
        input=frames,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if run.returncode != 0:
        raise RuntimeError(f"the judge ended with status {run.returncode}: {run.stderr.decode()}")
    return [Judged(**json.loads(line)) for line in run.stdout.splitlines()]
