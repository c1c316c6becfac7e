"""The recording proxy of go-harness: what a Redis client really sends."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import gobuild

from harness.process import Process
from harness.redis_server import RedisServer

__all__ = ["Recorder"]

_numbers = itertools.count(1)


class Recorder(Process):
    """A proxy in front of ``redis`` that writes down every command; clients get ``url()`` instead of its own."""

    def __init__(self, redis: RedisServer, directory: Path) -> None:
        name = f"recorder-{next(_numbers)}"
        self.redis = redis
        self.transcript_path = directory / f"{name}.jsonl"
        target = f"127.0.0.1:{redis.port}"
        command: list[str | Path] = [gobuild.binary("recorder"), "-target", target]
        super().__init__([*command, "-out", self.transcript_path], name=name, directory=directory)
        self.address = self.read_line(30).removeprefix("LISTENING ")

    def url(self, db: int = 0) -> str:
        """The proxy's URL; credentials are the server's."""
        return self.redis.url(db).replace(f"127.0.0.1:{self.redis.port}", self.address)

    def commands(self) -> list[list[bytes]]:
        """Every command so far, in the order in which they reached the proxy."""
        lines = self.transcript_path.read_text(encoding="utf-8").splitlines()
        return [[_bytes(part) for part in json.loads(line)["command"]] for line in lines]

    def clear(self) -> None:
        """Forget what was recorded."""
        self.transcript_path.write_bytes(b"")


def _bytes(part: Any) -> bytes:
    return part.encode() if isinstance(part, str) else base64.b64decode(part["base64"])
