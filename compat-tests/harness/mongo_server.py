"""A server that speaks MongoDB's protocol, for tests: SecantusDB."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import Any

import pymongo

from harness.process import Process
from harness.redis_server import free_port

__all__ = ["MongoServer"]

START_SECONDS = 30.0


class MongoServer:
    """One server on 127.0.0.1, in memory; construct it and it answers.

    Args:
        directory: an existing directory for its log.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: Process | None = None
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before if it had one."""
        program = Path(sys.executable).with_name("secantusd-py")
        command = [str(program), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--storage-path", ":memory:", "--standalone", "--cache-size", "128M"]
        self._process = Process(command, name=f"mongodb-{self.port}", directory=self.directory)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if not self._process.alive or time.monotonic() > deadline:
                    raise self._process.failed("did not start") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def url(self) -> str:
        """Its URL as Machinery reads it."""
        return f"mongodb://127.0.0.1:{self.port}"

    def connect(self) -> Any:
        """A client of its own, for the caller to close."""
        return pymongo.MongoClient(self.url(), tz_aware=True)
