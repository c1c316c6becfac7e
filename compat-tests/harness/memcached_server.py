"""A real memcached for tests."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from harness.process import Process
from harness.redis_server import MISSING, free_port

__all__ = ["MemcachedServer"]

START_SECONDS = 10.0


class MemcachedServer:
    """One memcached on 127.0.0.1; construct it and it answers.

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
        program = shutil.which("memcached")
        if program is None:
            raise RuntimeError(MISSING.format("memcached", "memcached"))
        command = [program, "-u", "root", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        self._process = Process(command, name=f"memcached-{self.port}", directory=self.directory)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if not self._process.alive or time.monotonic() > deadline:
                    raise self._process.failed("did not start") from None
                time.sleep(0.01)

    def stop(self) -> None:
        """Stop it at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self) -> str:
        """Its URL as Machinery reads it."""
        return f"memcache://{self.address}"

    def told(self, line: str) -> list[str]:
        """What it answers to a line of its protocol."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection, connection.makefile("rb") as answers:
            # The second command is answered after the first, whatever that says.
            connection.sendall(f"{line}\r\nmn\r\n".encode())
            found: list[str] = []
            while (answer := answers.readline().decode().rstrip("\r\n")) != "MN":
                found.append(answer)
            return found
