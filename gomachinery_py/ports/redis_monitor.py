"""What one Redis server is told by all its clients, for a bounded while: ``MONITOR``.

``("MONITOR",)`` begins, and is answered when it has begun. ``("HEARD", limits)`` is answered with the next lines, as
the server wrote them; ``limits`` are ``seconds`` from now on, ``lines`` and ``bytes``, whichever comes first.
``("QUIT",)`` ends it. Meanwhile the server keeps what is not read yet.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from gomachinery_py.effects import Port, Request
from gomachinery_py.errors import ServiceError
from gomachinery_py.ports.redis import RedisPort

__all__ = ["RedisMonitorPort"]

_READY = (b"OK", "OK")


class RedisMonitorPort(Port):
    """Listens on a connection of its own, to the server of another port."""

    def __init__(self, port: RedisPort) -> None:
        self._port = port
        self._connection: Any = None

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> list[Any] | Exception:
        replies: list[Any] = []
        try:
            for name, *fields in request.commands:
                if name == "HEARD":
                    replies.append(self._heard(*fields))
                    continue
                self.close()
                if name == "MONITOR":
                    self._begin()
                replies.append(None)
        except ResponseError as error:
            self.close()
            return ServiceError(f"Redis: {error}")
        except (RedisError, OSError) as error:
            self.close()
            return self._port.unavailable(error)
        return replies

    def _begin(self) -> None:
        self._connection = self._port.connection()
        self._connection.connect()
        self._connection.send_command("MONITOR", check_health=False)
        reply = self._connection.read_response()
        if reply not in _READY:
            raise ResponseError(f"MONITOR is answered with {reply!r}")

    def _heard(self, limits: Mapping[str, float]) -> list[bytes]:
        heard: list[bytes] = []
        size = 0
        deadline = time.monotonic() + limits["seconds"]
        while len(heard) < limits["lines"] and size < limits["bytes"]:
            if not self._connection.can_read(timeout=max(0.0, deadline - time.monotonic())):
                break
            line = self._connection.read_response(disable_decoding=True)
            heard.append(line)
            size += len(line)
        return heard

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
