"""Which classes serve which URL, loaded when they are needed.

One row a service. The client libraries are extras: what is not installed is named together with its pip command.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from gomachinery_py.backends.base import Backend
from gomachinery_py.brokers.base import Broker
from gomachinery_py.config import Config
from gomachinery_py.effects import Clock, Port
from gomachinery_py.errors import ConfigError, MissingExtra
from gomachinery_py.locks.base import Lock
from gomachinery_py.locks.eager import EagerLock
from gomachinery_py.urls import (
    AMQPURL,
    SQSURL,
    DynamoDBURL,
    EagerURL,
    MemcacheURL,
    MongoDBURL,
    NullURL,
    PubSubURL,
    RedisURL,
    ServiceURL,
    parse_backend,
    parse_broker,
    parse_lock,
    split_brokers,
)

__all__ = ["Services", "open_management", "open_monitor", "open_services"]


@dataclass(frozen=True, slots=True)
class _Row:
    """``port`` opens the connection; ``broker`` and ``backend`` are classes with ``configured(port, …)``.

    ``lock`` is a class that is made of a port and a clock.
    """

    port: str
    broker: str | None
    backend: str | None
    extra: str | None = None
    lock: str | None = None


# Dates end in the year 9999, and some stores count in 64-bit nanoseconds.
_LONGEST_KEPT: Final = 100 * 366 * 24 * 3600

_ROWS: dict[type[Any], _Row] = {
    RedisURL: _Row(
        "gomachinery_py.ports.redis:open_port",
        "gomachinery_py.brokers.redis:RedisBroker",
        "gomachinery_py.backends.redis:RedisBackend",
        "redis",
        "gomachinery_py.locks.redis:RedisLock",
    ),
    AMQPURL: _Row(
        "gomachinery_py.ports.amqp:open_port",
        "gomachinery_py.brokers.amqp:AMQPBroker",
        "gomachinery_py.backends.amqp:AMQPBackend",
        "amqp",
    ),
    MemcacheURL: _Row(
        "gomachinery_py.ports.memcache:open_port",
        None,
        "gomachinery_py.backends.memcache:MemcacheBackend",
        "memcache",
    ),
    MongoDBURL: _Row(
        "gomachinery_py.ports.mongodb:open_port", None, "gomachinery_py.backends.mongodb:MongoDBBackend", "mongodb"
    ),
    PubSubURL: _Row(
        "gomachinery_py.ports.pubsub:open_port", "gomachinery_py.brokers.pubsub:PubSubBroker", None, "pubsub"
    ),
    DynamoDBURL: _Row(
        "gomachinery_py.ports.dynamodb:open_port", None, "gomachinery_py.backends.dynamodb:DynamoDBBackend", "aws"
    ),
    SQSURL: _Row("gomachinery_py.ports.sqs:open_port", "gomachinery_py.brokers.sqs:SQSBroker", None, "aws"),
    EagerURL: _Row(
        "gomachinery_py.ports.memory:open_port",
        "gomachinery_py.brokers.eager:EagerBroker",
        "gomachinery_py.backends.eager:EagerBackend",
    ),
    NullURL: _Row("gomachinery_py.ports.memory:open_port", None, "gomachinery_py.backends.null:NullBackend"),
}


# What Go's NewUniversalClient decides by the same settings.
_REDIS_CLUSTER = _Row(
    "gomachinery_py.ports.redis_cluster:open_port",
    "gomachinery_py.brokers.redis_cluster:RedisClusterBroker",
    "gomachinery_py.backends.redis_cluster:RedisClusterBackend",
    "redis",
    lock="gomachinery_py.locks.redis:RedisLock",
)
_REDIS_SENTINEL = replace(_ROWS[RedisURL], port="gomachinery_py.ports.redis_sentinel:open_port")


@dataclass(slots=True)
class Services:
    """A broker and a result store, ready to be used; nothing has been connected yet."""

    broker: Broker
    backend: Backend
    _open_lock: Callable[[], Lock]
    _lock: Lock | None = field(default=None, init=False)

    @property
    def lock(self) -> Lock:
        """The lock for periodic tasks, opened when it is first asked for: who only sends needs none.

        Raises ConfigError for a URL that no lock has, MissingExtra when the client library is not installed.
        """
        if self._lock is None:
            self._lock = self._open_lock()
        return self._lock

    @property
    def ports(self) -> list[Port]:
        """Every connection, once."""
        lock = self._lock.port if self._lock is not None else None
        ports: list[Port] = []
        for port in (self.broker.port, self.backend.port, lock):
            if port is not None and port not in ports:
                ports.append(port)
        return ports


def open_services(config: Config, clock: Clock, *, crash_safe: bool = True) -> Services:
    """The broker and the result store that a configuration names.

    Where both name the same server they share one port, so that writes to both can be one step.
    Raises ConfigError for a URL that no service has, MissingExtra when the client library is not installed.
    """
    if not 0 <= config.results_expire_in <= _LONGEST_KEPT:
        raise ConfigError(
            f"results_expire_in is {config.results_expire_in}: it must be from 0 (which is an hour) to {_LONGEST_KEPT} "
            "seconds, a hundred years; otherwise nobody could read a result"
        )
    strict_sqs = "DISABLE_STRICT_SQS_CHECK" not in os.environ
    separator = config.multiple_broker_separator
    broker_url = _several(config.broker, separator, lambda url: parse_broker(url, strict_sqs=strict_sqs))
    backend_url = _several(config.result_backend, separator, parse_backend)
    broker_row, backend_row = _row(broker_url, config), _row(backend_url, config)
    if broker_row.broker is None:
        raise ConfigError(f"broker {config.broker} can only keep results; name a broker that carries tasks")
    if backend_row.backend is None:
        raise ConfigError(
            f'result_backend {config.result_backend} only carries tasks; name a store, or "null" to keep no results'
        )
    broker_port = _load(broker_row.port, broker_row)(broker_url, config)
    backend_port = (
        broker_port if backend_url == broker_url else _load(backend_row.port, backend_row)(backend_url, config)
    )
    broker = _load(broker_row.broker, broker_row).configured(broker_port, clock, config, crash_safe=crash_safe)
    backend = _load(backend_row.backend, backend_row).configured(backend_port, clock, config)

    def open_lock() -> Lock:
        url = parse_lock(config.lock)
        if isinstance(url, EagerURL):
            return EagerLock(clock)
        row = _row(url, config)
        assert row.lock is not None
        port = broker_port if url == broker_url else _load(row.port, row)(url, config)
        return cast(Lock, _load(row.lock, row)(port, clock))

    return Services(cast(Broker, broker), cast(Backend, backend), open_lock)


def open_monitor(broker: Broker) -> Port | None:
    """A port that hears what all clients of a broker's server tell it; None where that cannot be had as a whole."""
    if not hasattr(broker.port, "connection"):
        return None
    return cast(Port, _load("gomachinery_py.ports.redis_monitor:RedisMonitorPort", _ROWS[RedisURL])(broker.port))


def open_management(url: str, config: Config) -> Port:
    """A port to RabbitMQ's management plugin. Raises ConfigError where the broker is another service."""
    broker = _several(config.broker, config.multiple_broker_separator, parse_broker)
    if not isinstance(broker, AMQPURL):
        raise ConfigError("only RabbitMQ has a management plugin; the broker is another service")
    return cast(Port, _load("gomachinery_py.ports.rabbitmq_management:open_port", _ROWS[AMQPURL])(url, broker))


def _several(setting: str, separator: str, parse: Callable[[str], ServiceURL]) -> ServiceURL:
    """A setting that may hold the URLs of several RabbitMQ servers (Go: ``common.AMQPConnector``, brokers only)."""
    if not (separator and setting.startswith(("amqp://", "amqps://"))):
        return parse(setting)
    first, *more = [parse(url) for url in split_brokers(setting, separator)]
    if not (isinstance(first, AMQPURL) and all(isinstance(url, AMQPURL) for url in more)):
        raise ConfigError("multiple_broker_separator is for several amqp:// URLs; these are of different services")
    return replace(first, more=tuple(url for url in more if isinstance(url, AMQPURL)))


def _row(url: ServiceURL, config: Config) -> _Row:
    if isinstance(url, RedisURL):
        if config.redis.is_cluster or (len(url.hosts) > 1 and not config.redis.master_name):
            return _REDIS_CLUSTER
        if config.redis.master_name:
            return _REDIS_SENTINEL
    row = _ROWS.get(type(url))
    if row is None:
        raise ConfigError(f"{url.url}: this service is known, but not built in")
    return row


def _load(path: str, row: _Row) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if row.extra is None or (error.name or "").startswith("gomachinery_py"):
            raise
        raise MissingExtra(
            f"{error.name} is not installed, which this URL needs: pip install 'gomachinery-py[{row.extra}]'"
        ) from error
