"""Redis behind sentinels: every new connection asks them, by redis-py, who the master is.

Go: go-redis' FailoverClient, which ``NewUniversalClient`` makes when ``master_name`` is set. Password and database of
the URL are the master's; the sentinels have ``sentinel_password``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.asyncio.sentinel import SentinelManagedConnection as AsyncSentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from gomachinery_py.config import Config
from gomachinery_py.config_sections import plain
from gomachinery_py.effects import Request
from gomachinery_py.errors import ConfigError, ServiceUnavailable
from gomachinery_py.ports.redis import RedisPort, RedisTarget, is_fresh, target_of
from gomachinery_py.ports.redis_tls import AsyncTLSConnection, TLSConnection
from gomachinery_py.urls import Address, RedisURL

__all__ = ["RedisSentinelPort", "open_port"]


# redis-py leaves these without annotations.
_SENTINEL: Any = Sentinel
_ASYNC_SENTINEL: Any = AsyncSentinel
_ASYNC_POOL: Any = AsyncSentinelConnectionPool


class _ManagedTLS(AsyncSentinelManagedConnection, AsyncTLSConnection):
    pass


class RedisSentinelPort(RedisPort):
    """The master of a name; after a failover it is another server."""

    def __init__(
        self, target: RedisTarget, sentinels: Sequence[Address], master_name: str, sentinel_password: str
    ) -> None:
        super().__init__(target)
        self._sentinels = [(address.host, address.port) for address in sentinels]
        self._master_name = master_name
        self._sentinel_password = sentinel_password

    def _send_atomic(self, request: Request) -> list[Any] | Exception | None:  # noqa: ARG002
        # The whole way looks at the replies.
        return None

    def _new_connection(self) -> Any:
        manager: Any = _SENTINEL(self._sentinels, sentinel_kwargs=self._sentinel_options(redis))
        self._check_names(manager, TLSConnection)
        try:
            address = manager.discover_master(self._master_name)
        finally:
            for client in manager.sentinels:
                client.close()
        connection = super()._new_connection()
        connection.host, connection.port = address
        return connection

    def _connected(self, idle: list[tuple[Any, float]]) -> Any:
        # One that has ended is not opened again: its server may be a replica now, which answers reads of the past.
        while True:
            try:
                connection, since = idle.pop()
            except IndexError:
                connection = self._new_connection()
                connection.connect()
                return connection
            try:
                if connection.is_connected and (is_fresh(since) or not connection.can_read(timeout=0)):
                    return connection
            except (redis.RedisError, OSError):
                pass
            connection.disconnect()

    def _new_async_pool(self) -> redis.asyncio.ConnectionPool:
        options = self._options()
        del options["host"], options["port"]
        manager: Any = _ASYNC_SENTINEL(self._sentinels, sentinel_kwargs=self._sentinel_options(redis.asyncio))
        self._check_names(manager, AsyncTLSConnection)
        pool: redis.asyncio.ConnectionPool = _ASYNC_POOL(
            self._master_name,
            manager,
            connection_class=_ManagedTLS if self.target.tls else AsyncSentinelManagedConnection,
            retry=AsyncRetry(NoBackoff(), 0),
            **options,
        )
        return pool

    async def aclose(self) -> None:
        pool = self._loops.pop()
        if pool is not None:
            await pool.disconnect()
            for client in pool.sentinel_manager.sentinels:
                await client.aclose()

    def _check_names(self, manager: Any, connection_class: Any) -> None:
        """Have the sentinels' certificates checked against the name that the settings give, as Go does."""
        if self.target.tls:
            for client in manager.sentinels:
                client.connection_pool.connection_class = connection_class
                client.connection_pool.connection_kwargs["server_name"] = self.target.tls_server_name

    def _sentinel_options(self, library: Any) -> dict[str, Any]:
        target = self.target
        options: dict[str, Any] = {
            "password": self._sentinel_password or None,
            "protocol": 2,
            "driver_info": None,
            "socket_timeout": target.read_timeout or None,
            "socket_connect_timeout": target.connect_timeout or None,
            "retry": Retry(NoBackoff(), 0) if library is redis else AsyncRetry(NoBackoff(), 0),
        }
        if target.tls:
            options |= {
                "ssl": True,
                "ssl_cert_reqs": "required" if target.tls_verify else "none",
                "ssl_check_hostname": target.tls_verify,
                "ssl_ca_certs": target.tls_ca,
                "ssl_certfile": target.tls_certificate,
                "ssl_keyfile": target.tls_key,
            }
        return options

    def unavailable(self, error: BaseException) -> ServiceUnavailable:
        where, name = self.target.label, self._master_name
        text = str(error)
        if isinstance(error, (MasterNotFoundError, AsyncMasterNotFoundError)):
            if "NOAUTH" in text or "Authentication" in text or "WRONGPASS" in text or "AUTH" in text:
                return ServiceUnavailable(f"the sentinels at {where} refused the login: check redis.sentinel_password")
            why = "" if " : " not in text else f" ({text.partition(' : ')[2]})"
            return ServiceUnavailable(
                f"no sentinel at {where} knows a master {name!r}: check redis.master_name, and that they run{why}"
            )
        if isinstance(error, AuthenticationError):
            return ServiceUnavailable(
                f"Redis master {name!r} of {where} refused the login: check user and password in its URL"
            )
        return super().unavailable(error)


def open_port(url: RedisURL, config: Config) -> RedisSentinelPort:
    """A port to the master that a URL's sentinels name; nothing is connected yet."""
    settings = config.redis
    if not url.hosts:
        raise ConfigError(f"{url.url}: sentinels are reached by host:port, not by a unix socket")
    return RedisSentinelPort(
        target_of(url, config, url.hosts[0]), url.hosts, settings.master_name, plain(settings.sentinel_password)
    )
