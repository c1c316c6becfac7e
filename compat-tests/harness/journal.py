"""Every change of Machinery's keys, in order, as Redis did it: for clients, in MULTI, or inside scripts.

The journal reads Redis' MONITOR stream, so it does not matter how a change came about, only what changed: that is
what Go and Python must have in common. Keys of our own (``{queue}:gmpy:…``), fetching from a queue and the chord
mutex are how a worker works, not what Machinery stores, and are left out.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from harness.process import wait_until
from harness.redis_server import RedisServer

__all__ = ["Change", "Journal"]

OWN_KEY = re.compile(rb"^\{.*\}:gmpy:")
NOT_STORED = (b"TriggerChordMutex", b"task_probe_", b"test:")
LINE = re.compile(rb'^\+?\d+\.\d+ \[\d+ [^\]]*\] (".*")$')
ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)")
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


@dataclass(frozen=True)
class Change:
    """One change: what was done to which key, with the value, and a TTL in seconds or a score as text."""

    verb: str
    key: str
    value: str = ""
    ttl: int | None = None
    score: str | None = None


class Journal:
    """A context manager; ``changes()`` at any time."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._lines: list[bytes] = []
        self._client = server.connect()
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._thread = threading.Thread(target=self._read, name="journal", daemon=True)

    def __enter__(self) -> Journal:
        self._socket.sendall(b"MONITOR\r\n")
        self._thread.start()
        self._synchronise()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        self._client.close()

    def _read(self) -> None:
        # Leaving while Redis still talks resets the connection; a reset before that shows as missing output.
        with contextlib.suppress(ConnectionResetError), self._socket.makefile("rb") as stream:
            for line in stream:
                self._lines.append(line.rstrip(b"\r\n"))

    def _synchronise(self) -> None:
        """Wait until everything that Redis has done so far has arrived here."""
        marker = uuid.uuid4().hex.encode()
        start = len(self._lines)
        self._client.echo(marker)
        wait_until(lambda: any(marker in line for line in self._lines[start:]), 10, "MONITOR output")

    def changes(self) -> list[Change]:
        """All changes since the start."""
        self._synchronise()
        found: list[Change] = []
        for line in list(self._lines):
            match = LINE.match(line)
            if match:
                found += _changes([_unescape(argument) for argument in ARGUMENT.findall(match[1])])
        return found


def _unescape(argument: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes.fromhex(code[1:].decode()) if len(code) == 3 else ESCAPED.get(code, code)

    return ESCAPE.sub(replace, argument)


def _changes(command: list[bytes]) -> list[Change]:
    reader = READERS.get(command[0].upper())
    if reader is None or _is_own(command[1]):
        return []
    return reader([part.decode("utf-8", "surrogateescape") for part in command])


def _is_own(key: bytes) -> bool:
    return bool(OWN_KEY.match(key)) or key.startswith(NOT_STORED)


def _set(command: list[str]) -> list[Change]:
    options = [option.upper() for option in command[3:]]
    ttl = None
    if "EX" in options:
        ttl = int(options[options.index("EX") + 1])
    if "PX" in options:
        ttl = int(options[options.index("PX") + 1]) // 1000
    return [Change("set", command[1], command[2], ttl=ttl)]


def _setex(command: list[str]) -> list[Change]:
    return [Change("set", command[1], command[3], ttl=int(command[2]))]


def _push(command: list[str]) -> list[Change]:
    return [Change(command[0].lower(), command[1], value) for value in command[2:]]


def _zadd(command: list[str]) -> list[Change]:
    pairs = command[2:]
    return [
        Change("zadd", command[1], value, score=score) for score, value in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def _remove_members(command: list[str]) -> list[Change]:
    return [Change(command[0].lower(), command[1], value) for value in command[2:]]


def _delete(command: list[str]) -> list[Change]:
    return [Change("del", key) for key in command[1:] if not _is_own(key.encode())]


def _expire(command: list[str]) -> list[Change]:
    return [Change("expire", command[1], ttl=int(command[2]))]


READERS: dict[bytes, Callable[[list[str]], list[Change]]] = {
    b"SET": _set,
    b"SETEX": _setex,
    b"GETSET": _push,
    b"APPEND": _push,
    b"RPUSH": _push,
    b"LPUSH": _push,
    b"ZADD": _zadd,
    b"ZREM": _remove_members,
    b"LREM": _remove_members,
    b"DEL": _delete,
    b"UNLINK": _delete,
    b"EXPIRE": _expire,
}
