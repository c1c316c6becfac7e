"""memcached through pymemcache: commands in, replies out.

Which server holds a key is decided as Go's client does it (``bradfitz/gomemcache``): the CRC-32 of the key modulo the
number of servers, in the order of the URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from pymemcache.client.base import PooledClient
from pymemcache.exceptions import (
    MemcacheClientError,
    MemcacheError,
    MemcacheIllegalInputError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)

from gomachinery_py.config import Config
from gomachinery_py.effects import Command, Port, Request
from gomachinery_py.errors import ServiceError, ServiceUnavailable, WrongKeyType
from gomachinery_py.incoming import brief
from gomachinery_py.ports.fork_lock import ForkLock
from gomachinery_py.urls import MemcacheURL

__all__ = ["MemcachePort", "open_port"]

_CONNECT_SECONDS = 1.5
_ANSWER_SECONDS = 5.0
_FLAGS = 0
# A line that pymemcache does not know is an answer all the same.
_REFUSALS = (MemcacheClientError, MemcacheServerError, MemcacheUnknownError)


class MemcachePort(Port):
    """One or more servers, each with a pool of connections; shared by threads."""

    def __init__(self, servers: Sequence[tuple[str, int] | str]) -> None:
        self._servers = tuple(servers)
        self._lock = ForkLock()
        self._clients: list[Any] = []
        self._pid = 0

    def _opened(self) -> list[Any]:
        with self._lock:
            if self._pid != os.getpid():
                # Connections belong to the process that made them.
                self._clients, self._pid = [self._client(server) for server in self._servers], os.getpid()
            return self._clients

    def _client(self, server: tuple[str, int] | str) -> Any:
        return PooledClient(
            server,
            connect_timeout=_CONNECT_SECONDS,
            timeout=_ANSWER_SECONDS,
            no_delay=True,
            allow_unicode_keys=True,
            default_noreply=False,
        )

    def _at(self, key: str) -> int:
        return crc32(key.encode()[:256]) % len(self._servers)

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        commands = [command for request in requests for command in request.commands]
        if self.observer is not None:
            for command in commands:
                self.observer(command)
        clients = self._opened()
        replies: list[Any] = [None] * len(commands)
        for run in _runs(commands):
            self._carry_out(clients, commands, run, replies)
        answers: list[list[Any] | Exception] = []
        at = 0
        for request in requests:
            mine = replies[at : at + len(request.commands)]
            at += len(request.commands)
            away = next((reply for reply in mine if isinstance(reply, ServiceUnavailable)), None)
            answers.append(mine if away is None else away)
        return answers

    def _carry_out(
        self, clients: list[Any], commands: Sequence[Command], run: Sequence[int], replies: list[Any]
    ) -> None:
        """Commands that may go together: one exchange with each server that they concern."""
        verb = commands[run[0]][0]
        if verb == "version":
            replies[run[0]] = self._each(clients)
            return
        by_server: dict[int, list[int]] = {}
        for index in run:
            by_server.setdefault(self._at(commands[index][1]), []).append(index)
        for server, indexes in by_server.items():
            mine = [commands[index] for index in indexes]
            try:
                try:
                    found = _exchanged(clients[server], verb, mine)
                except (ConnectionError, MemcacheUnexpectedCloseError):
                    # Connections that were kept do not outlive a restart of the server. Nothing here is harmed by
                    # being done twice.
                    clients[server].close()
                    found = _exchanged(clients[server], verb, mine)
            except Exception as error:
                if len(indexes) > 1 and isinstance(error, (*_REFUSALS, MemcacheIllegalInputError)):
                    # One of them is refused: which one is told when each goes by itself.
                    for index in indexes:
                        self._carry_out(clients, commands, [index], replies)
                    continue
                found = [self._explained(server, error, commands[indexes[0]][1])] * len(indexes)
            for index, reply in zip(indexes, found, strict=True):
                replies[index] = reply

    def _each(self, clients: list[Any]) -> Any:
        for server, client in enumerate(clients):
            try:
                client.version()
            except Exception as error:
                return self._explained(server, error, "")
        return None

    def _explained(self, server: int, error: Exception, key: str) -> Exception:
        address = self._servers[server]
        label = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        if isinstance(error, MemcacheIllegalInputError):
            return WrongKeyType(f"{brief(key)!r} cannot be a key on memcached: 1 to 250 bytes without spaces")
        if isinstance(error, _REFUSALS) and not isinstance(error, MemcacheUnexpectedCloseError):
            words = (each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in error.args)
            text = brief(" ".join(words))
            hint = "; start memcached with a larger -I" if "too large" in text else ""
            return ServiceError(f"memcached at {label} refused {brief(key)!r}: {text}{hint}")
        if isinstance(error, OSError | MemcacheError):
            why = getattr(error, "strerror", None) or str(error) or "the connection was closed"
            return ServiceUnavailable(f"cannot reach memcached at {label}: {why}. Is it running, and is the URL right?")
        return error

    def close(self) -> None:
        with self._lock:
            clients, self._clients = self._clients, []
            mine, self._pid = self._pid == os.getpid(), 0
        for client in clients if mine else ():
            client.close()


def _runs(commands: Sequence[Command]) -> Iterator[list[int]]:
    """Neighbours of one kind, whose keys are all different: they may go together, and the order of writes is kept."""
    run: list[int] = []
    kind: tuple[Any, ...] = ()
    keys: set[str] = set()
    for index, command in enumerate(commands):
        verb = command[0]
        mine = (verb, command[3]) if verb == "set" else (verb,)
        if run and (mine != kind or verb not in ("get", "set") or command[1] in keys):
            yield run
            run, keys = [], set()
        run.append(index)
        kind = mine
        keys.update(command[1:2])
    if run:
        yield run


def _exchanged(client: Any, verb: str, commands: Sequence[Command]) -> list[Any]:
    keys = [command[1] for command in commands]
    if verb == "get":
        found = client.get_many(keys)
        return [found.get(key) for key in keys]
    if verb == "set":
        failed = set(client.set_many({key: value for _, key, value, _ in commands}, commands[0][3], flags=_FLAGS))
        return [ServiceError(f"memcached did not store {brief(key)!r}") if key in failed else None for key in keys]
    if verb == "delete":
        return [client.delete(key) for key in keys]
    if verb == "gets":
        value, version = client.gets(keys[0])
        return [None if value is None else (value, version)]
    _, key, value, exptime, version = commands[0]
    return [client.cas(key, value, version, exptime, flags=_FLAGS)]


def open_port(url: MemcacheURL, config: Config) -> MemcachePort:  # noqa: ARG001
    """A port to the servers of a URL; nothing is connected yet."""
    return MemcachePort([(server.host, server.port) for server in url.servers])
