"""Redis through redis-py: commands in, replies out, in as few round trips as possible.

redis-py's own retries are off: a command that pushes or pops must never be sent twice on a guess. A connection that
broke while it was idle is replaced before anything is sent on it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from gomachinery_py.config import Config
from gomachinery_py.effects import Flight, Port, Request
from gomachinery_py.errors import ServiceError, ServiceUnavailable
from gomachinery_py.ports.redis_batch import Batch, atomic_answer, packed_atomic
from gomachinery_py.ports.redis_loops import LoopPools
from gomachinery_py.ports.redis_replies import read_replies, read_reply
from gomachinery_py.ports.redis_tls import AsyncTLSConnection, TLSConnection
from gomachinery_py.urls import Address, RedisURL

__all__ = ["Pipeline", "RedisPort", "RedisTarget", "is_fresh", "open_port", "target_of"]

log = logging.getLogger(__name__)

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_MAX_CONNECTIONS = 1000
# A connection that was used so recently is taken to be alive; asking costs a system call.
_FRESH_SECONDS = 0.05
_NOT_ENCODABLE = (TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Where a Redis server is and how to log in. Times are in seconds; 0 is without a limit."""

    #: Safe to print: no password.
    label: str
    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    unix_socket: str | None = None
    tls: bool = False
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_verify: bool = True
    #: Whom the certificate must be for, when that is not ``host``.
    tls_server_name: str = ""
    client_name: str | None = None
    connect_timeout: float = 15.0
    read_timeout: float = 15.0
    max_connections: int = 1000


class Pipeline(Protocol):
    """Commands on their way over one connection: :class:`Batch`, or a cluster node's share of several."""

    replies: list[Any]
    broken: ServiceUnavailable | None

    @property
    def commands(self) -> Sequence[tuple[Any, ...]]:
        """What is sent, one reply each."""
        ...

    def unknown_scripts(self) -> list[tuple[int, bytes]]:
        """Where the server did not know a script, and what sends it whole."""
        ...


class RedisPort(Port):
    """One Redis server. Blocking connections are shared by threads; each event loop has its own pool."""

    def __init__(self, target: RedisTarget) -> None:
        self.target = target
        # Idle connections; lists are safe to share between threads. A fork and a close() leave it for another one.
        self._idle: list[tuple[Any, float]] = []
        self._pid = os.getpid()
        self._loops = LoopPools(self._new_async_pool, target.max_connections)

    # -- blocking --

    def send(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        if len(requests) == 1 and requests[0].atomic and self.observer is None:
            answer = self._send_atomic(requests[0])
            if answer is not None:
                return [answer]
        return self.begin(requests).finish()

    def _send_atomic(self, request: Request) -> list[Any] | Exception | None:
        """One transaction by itself, such as a task that is sent; None when that takes more than a look."""
        packed = packed_atomic(request.commands)
        if packed is None or self._pid != os.getpid():
            return None
        idle = self._idle
        try:
            connection, since = idle.pop()
        except IndexError:
            return None
        if time.monotonic() - since >= _FRESH_SECONDS or not connection.is_connected:
            idle.append((connection, since))
            return None
        replies: list[Any] = [None] * (len(request.commands) + 2)
        try:
            connection.send_packed_command((packed,), check_health=False)
            read_replies(connection, replies)
        except (RedisError, OSError) as error:
            connection.disconnect()
            return self.unavailable(error)
        except BaseException:
            connection.disconnect()
            raise
        self._release(connection, idle)
        answer = atomic_answer(request, replies)
        if isinstance(answer, ServiceUnavailable):
            self.close()
        return answer

    def begin(self, requests: Sequence[Request]) -> Flight:
        batch = Batch(requests, self.observer)
        try:
            packed = batch.packed()
        except _NOT_ENCODABLE as error:
            if len(requests) == 1:
                return Flight([ServiceError(f"Redis: {error}")])
            return Flight([answer for request in requests for answer in self.send([request])])
        sent = self._sent(batch, packed)
        return Flight(batch.results()) if sent is None else _Pipeline(self, batch, *sent)

    def exchange(self, batch: Pipeline, packed: bytes) -> None:
        """Send a pipeline and fill in its replies, or say why it ended early."""
        sent = self._sent(batch, packed)
        if sent is not None:
            self._receive(batch, *sent)

    def _sent(self, batch: Pipeline, packed: bytes) -> tuple[Any, list[tuple[Any, float]]] | None:
        """The connection that a pipeline was sent on, and where it came from; None when that did not work."""
        if self._pid != os.getpid():
            self._idle, self._pid = [], os.getpid()
        idle = self._idle
        try:
            connection = self._connected(idle)
        except (RedisError, OSError) as error:
            batch.broken = self.unavailable(error)
            return None
        try:
            connection.send_packed_command([packed], check_health=False)
        except (RedisError, OSError) as error:
            connection.disconnect()
            batch.broken = self.unavailable(error)
            return None
        except BaseException:
            connection.disconnect()
            raise
        return connection, idle

    def _receive(self, batch: Pipeline, connection: Any, idle: list[tuple[Any, float]]) -> None:
        try:
            read_replies(connection, batch.replies)
            for at, whole in batch.unknown_scripts():
                connection.send_packed_command([whole], check_health=False)
                batch.replies[at] = read_reply(connection)
        except (RedisError, OSError) as error:
            connection.disconnect()
            batch.broken = self.unavailable(error)
        except BaseException:
            connection.disconnect()
            raise
        self._release(connection, idle)

    def _release(self, connection: Any, idle: list[tuple[Any, float]]) -> None:
        if idle is self._idle:
            idle.append((connection, time.monotonic()))
        else:
            connection.disconnect()

    def _connected(self, idle: list[tuple[Any, float]]) -> Any:
        """A connection that works as far as can be told; one that the server has closed is opened again."""
        try:
            connection, since = idle.pop()
        except IndexError:
            connection = self._new_connection()
            connection.connect()
            return connection
        if connection.is_connected and is_fresh(since):
            return connection
        try:
            # Nothing was asked, so anything to read is the end of the connection.
            ended = connection.is_connected and connection.can_read(timeout=0)
        except (RedisError, OSError):
            ended = True
        try:
            if ended:
                connection.disconnect()
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection

    def connection(self) -> Any:
        """A connection for somebody else to open, use and close."""
        return self._new_connection()

    def _new_connection(self) -> Any:
        kind = self._connection_class(redis.Connection, TLSConnection, redis.UnixDomainSocketConnection)
        options = self._options()
        del options["max_connections"]
        return kind(retry=Retry(NoBackoff(), 0), **options)

    def close(self) -> None:
        idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for connection, _ in idle:
                connection.disconnect()
        self._loops.drop_closed()

    # -- asyncio --

    async def asend(self, requests: Sequence[Request]) -> list[list[Any] | Exception]:
        batch = Batch(requests, self.observer)
        try:
            packed = batch.packed()
        except _NOT_ENCODABLE as error:
            if len(requests) == 1:
                return [ServiceError(f"Redis: {error}")]
            return [answer for request in requests for answer in await self.asend([request])]
        await self.aexchange(batch, packed)
        answers = batch.results()
        if batch.is_demoted:
            pool, _ = self._loops.here()
            await pool.disconnect(inuse_connections=False)
        return answers

    async def aexchange(self, batch: Pipeline, packed: bytes) -> None:
        """:meth:`exchange` for asyncio."""
        pool, gate = self._loops.here()
        async with gate:
            await self._aexchange(pool, batch, packed)

    async def _aexchange(self, pool: Any, batch: Pipeline, packed: bytes) -> None:
        try:
            connection = await pool.get_connection()
        except (RedisError, OSError) as error:
            batch.broken = self.unavailable(error)
            return
        try:
            await connection.send_packed_command([packed], check_health=False)
            for at in range(len(batch.commands)):
                batch.replies[at] = await _areply(connection.read_response)
            for at, whole in batch.unknown_scripts():
                await connection.send_packed_command([whole], check_health=False)
                batch.replies[at] = await _areply(connection.read_response)
        except (RedisError, OSError) as error:
            await connection.disconnect()
            batch.broken = self.unavailable(error)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    def _new_async_pool(self) -> redis.asyncio.ConnectionPool:
        kind = self._connection_class(
            redis.asyncio.Connection, AsyncTLSConnection, redis.asyncio.UnixDomainSocketConnection
        )
        return redis.asyncio.ConnectionPool(connection_class=kind, **self._options())

    async def aclose(self) -> None:
        pool = self._loops.pop()
        if pool is not None:
            await pool.disconnect()

    # -- shared --

    def _connection_class(self, plain: Any, tls: Any, unix: Any) -> Any:
        if self.target.unix_socket is not None:
            return unix
        return tls if self.target.tls else plain

    def _options(self) -> dict[str, Any]:
        target = self.target
        options: dict[str, Any] = {
            "db": target.db,
            "username": target.username,
            "password": target.password,
            "protocol": 2,
            "driver_info": None,
            "client_name": target.client_name,
            "socket_timeout": target.read_timeout or None,
            "socket_connect_timeout": target.connect_timeout or None,
            "max_connections": target.max_connections,
        }
        if target.unix_socket is not None:
            options["path"] = target.unix_socket
            return options
        options |= {"host": target.host, "port": target.port, "socket_keepalive": True}
        if target.tls:
            options |= {
                "ssl_cert_reqs": "required" if target.tls_verify else "none",
                "ssl_check_hostname": target.tls_verify,
                "ssl_ca_certs": target.tls_ca,
                "ssl_certfile": target.tls_certificate,
                "ssl_keyfile": target.tls_key,
                "server_name": target.tls_server_name,
            }
        return options

    def unavailable(self, error: BaseException) -> ServiceUnavailable:
        """What a failed connection means to people; no password in it."""
        where = self.target.label
        if isinstance(error, AuthenticationError) or "WRONGPASS" in str(error) or "NOAUTH" in str(error):
            return ServiceUnavailable(f"Redis at {where} refused the login: check user and password in its URL")
        text = (str(error) or type(error).__name__).rstrip(".")
        if self.target.password:
            text = text.replace(self.target.password, "***")
        return ServiceUnavailable(f"cannot reach Redis at {where}: {text}. Is it running, and is the URL right?")


class _Pipeline(Flight):
    """A pipeline that was sent on a connection of its own."""

    def __init__(self, port: RedisPort, batch: Batch, connection: Any, idle: list[tuple[Any, float]]) -> None:
        self._port = port
        self._batch = batch
        self._connection = connection
        self._idle = idle

    def finish(self) -> list[list[Any] | Exception]:
        self._port._receive(self._batch, self._connection, self._idle)
        answers = self._batch.results()
        if self._batch.is_demoted:
            # A new connection may lead to the server that is the master now, even by the same address.
            self._port.close()
        return answers

    def abandon(self) -> None:
        self._connection.disconnect()


def open_port(url: RedisURL, config: Config) -> RedisPort:
    """A port to the server of a URL; nothing is connected yet."""
    return RedisPort(target_of(url, config, url.hosts[0] if url.hosts else None))


def target_of(url: RedisURL, config: Config, address: Address | None) -> RedisTarget:
    """How to reach one server of a URL (a unix socket without an address), with a configuration's settings."""
    settings = config.redis
    if url.password and not url.tls and address is not None and address.host not in _LOCAL_HOSTS:
        log.warning("%s sends its password in plain text to %s; use rediss:// where you can", url.url, address)
    tls = config.tlsconfig
    return RedisTarget(
        label=str(url.url),
        host=address.host if address else "",
        port=address.port if address else 0,
        db=url.db,
        username=url.username or None,
        password=url.password.reveal() or None,
        unix_socket=url.socket or None,
        tls=url.tls,
        tls_ca=(tls.ca_file or None) if tls else None,
        tls_certificate=(tls.cert_file or None) if tls else None,
        tls_key=(tls.key_file or None) if tls else None,
        tls_verify=not (tls and tls.insecureskipverify),
        tls_server_name=tls.servername if tls else "",
        client_name=settings.client_name or None,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        max_connections=settings.max_active or _MAX_CONNECTIONS,
    )


def is_fresh(since: float) -> bool:
    """Whether a connection that was last used then is taken to be alive without asking."""
    return time.monotonic() - since < _FRESH_SECONDS


async def _areply(read: Callable[[], Any]) -> Any:
    try:
        return await read()
    except ResponseError as error:
        return error
