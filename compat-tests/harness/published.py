"""How often each task was put on a queue, whoever did it: counted from Redis' MONITOR stream as it comes."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import uuid
from collections import Counter
from types import TracebackType

from harness.process import wait_until
from harness.redis_server import RedisServer

__all__ = ["Published"]

_PUSH = re.compile(rb'^\+?[\d.]+ \[[^\]]*\] "(?i:rpush)" "machinery_tasks" "\{\\"UUID\\":\\"([^\\]+)')


class Published:
    """A context manager; ``counts()`` by UUID at any time."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.connect()
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._counts: Counter[str] = Counter()
        self._marker = b""
        self._thread = threading.Thread(target=self._read, name="published", daemon=True)

    def __enter__(self) -> Published:
        self._socket.sendall(b"MONITOR\r\n")
        self._thread.start()
        self._synchronise()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        self._client.close()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionResetError), self._socket.makefile("rb") as stream:
            for line in stream:
                found = _PUSH.match(line)
                if found:
                    self._counts[found[1].decode()] += 1
                elif self._marker and self._marker in line:
                    self._marker = b""

    def _synchronise(self) -> None:
        marker = uuid.uuid4().hex.encode()
        self._marker = marker
        # MONITOR may only just have been read by the server.
        wait_until(lambda: self._client.echo(marker) and not self._marker, 60, "MONITOR output")

    def counts(self) -> Counter[str]:
        """Everything that Redis has done so far."""
        self._synchronise()
        return Counter(self._counts)
