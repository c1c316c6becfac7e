"""Machinery's settings as data: its YAML keys are the field names, its environment names stand beside them.

Go source: ``v2/config/config.go`` (fields, tags, defaults), ``v2/config/file.go``, ``v2/config/env.go``; v1 alike.
The misspelt names (``MULTIPLE_BROKEN_SEPARATOR``, ``visibility_hearth_beat``) are Machinery's. How files and variables
are read is in ``config_sources.py``.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from gomachinery_py.secret import Secret, SecretURL

__all__ = ["AMQPConfig", "Config", "DynamoDBConfig", "RedisConfig", "SQSConfig", "TLSConfig", "merge"]


def _text(default: str, env: str) -> Any:
    return field(default=default, metadata={"kind": "text", "env": env})


def _secret(env: str) -> Any:
    return field(default=Secret(), metadata={"kind": "secret", "env": env})


def _url(default: str, env: str) -> Any:
    return field(default=SecretURL(default), metadata={"kind": "url", "env": env})


def _int(default: int, env: str) -> Any:
    return field(default=default, metadata={"kind": "int", "env": env})


def _bool(env: str) -> Any:
    return field(default=False, metadata={"kind": "bool", "env": env})


def _section(default: Any) -> Any:
    return field(default_factory=default, metadata={"kind": "section"})


@dataclass
class AMQPConfig:
    """RabbitMQ (Go: ``AMQPConfig``)."""

    exchange: str = _text("machinery_exchange", "AMQP_EXCHANGE")
    exchange_type: str = _text("direct", "AMQP_EXCHANGE_TYPE")
    queue_declare_args: dict[str, Any] | None = field(
        default=None, metadata={"kind": "typed map", "env": "AMQP_QUEUE_DECLARE_ARGS"}
    )
    queue_binding_args: dict[str, Any] | None = field(
        default=None, metadata={"kind": "map", "env": "AMQP_QUEUE_BINDING_ARGS"}
    )
    binding_key: str = _text("machinery_task", "AMQP_BINDING_KEY")
    prefetch_count: int = _int(3, "AMQP_PREFETCH_COUNT")
    auto_delete: bool = _bool("AMQP_AUTO_DELETE")
    delayed_queue: str = _text("", "AMQP_DELAYED_QUEUE")


@dataclass
class SQSConfig:
    """SQS; times in seconds, ``receive_visibility_timeout=None`` is the queue's own (Go: ``SQSConfig``)."""

    receive_wait_time_seconds: int = _int(0, "SQS_WAIT_TIME_SECONDS")
    receive_visibility_timeout: int | None = field(
        default=None, metadata={"kind": "int or null", "env": "SQS_VISIBILITY_TIMEOUT"}
    )
    visibility_hearth_beat: bool = _bool("SQS_VISIBILITY_HEARTBEAT")


@dataclass
class RedisConfig:
    """Redis; timeouts in seconds, poll periods in milliseconds (Go: ``RedisConfig``)."""

    max_idle: int = _int(3, "REDIS_MAX_IDLE")
    max_active: int = _int(0, "REDIS_MAX_ACTIVE")
    max_idle_timeout: int = _int(240, "REDIS_IDLE_TIMEOUT")
    wait: bool = _bool("REDIS_WAIT")
    read_timeout: int = _int(15, "REDIS_READ_TIMEOUT")
    write_timeout: int = _int(15, "REDIS_WRITE_TIMEOUT")
    connect_timeout: int = _int(15, "REDIS_CONNECT_TIMEOUT")
    normal_tasks_poll_period: int = _int(1000, "REDIS_NORMAL_TASKS_POLL_PERIOD")
    delayed_tasks_poll_period: int = _int(500, "REDIS_DELAYED_TASKS_POLL_PERIOD")
    delayed_tasks_key: str = _text("", "REDIS_DELAYED_TASKS_KEY")
    client_name: str = _text("", "REDIS_CLIENT_NAME")
    master_name: str = _text("", "REDIS_MASTER_NAME")
    #: v1's name; v2 calls it ``cluster_enabled``. Either one means a cluster.
    cluster_mode: bool = _bool("REDIS_CLUSTER_MODE")
    cluster_enabled: bool = _bool("REDIS_CLUSTER_ENABLED")
    sentinel_password: str = _secret("REDIS_SENTINEL_PASSWORD")

    def __post_init__(self) -> None:
        self.sentinel_password = Secret(_plain(self.sentinel_password))

    @property
    def is_cluster(self) -> bool:
        """Whether a cluster is asked for, whatever the number of addresses."""
        return self.cluster_mode or self.cluster_enabled


@dataclass
class DynamoDBConfig:
    """DynamoDB (Go: ``DynamoDBConfig``)."""

    task_states_table: str = _text("task_states", "TASK_STATES_TABLE")
    group_metas_table: str = _text("group_metas", "GROUP_METAS_TABLE")


@dataclass
class TLSConfig:
    """TLS to the broker and result backend (Go: ``Config.TLSConfig``, a ``crypto/tls.Config``).

    ``servername`` and ``insecureskipverify`` are the keys that yaml.v2 gives to Go's fields. The three files are for
    Python programs: Go has no names for them, so they are not read from files or the environment.
    """

    servername: str = _text("", "TLSCONFIG_SERVERNAME")
    insecureskipverify: bool = _bool("TLSCONFIG_INSECURESKIPVERIFY")
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass
class Config:
    """Machinery's configuration (Go: ``config.Config``).

    ``amqp`` is None when a file has no such section, as in Go; use :attr:`amqp_settings` to read it. ``broker``,
    ``result_backend`` and ``lock`` are strings that print without their passwords. ``warnings`` holds what reading a
    file or the environment had to say; ``given`` the dotted names that were set, None for one made in code.
    """

    broker: str = _url("amqp://guest:guest@localhost:5672/", "BROKER")
    lock: str = _url("", "LOCK")
    multiple_broker_separator: str = _text("", "MULTIPLE_BROKEN_SEPARATOR")
    default_queue: str = _text("machinery_tasks", "DEFAULT_QUEUE")
    result_backend: str = _url("amqp://guest:guest@localhost:5672/", "RESULT_BACKEND")
    results_expire_in: int = _int(3600, "RESULTS_EXPIRE_IN")
    no_unix_signals: bool = _bool("NO_UNIX_SIGNALS")
    amqp: AMQPConfig | None = _section(AMQPConfig)
    sqs: SQSConfig | None = _section(lambda: None)
    redis: RedisConfig = _section(RedisConfig)
    dynamodb: DynamoDBConfig = _section(DynamoDBConfig)
    tlsconfig: TLSConfig | None = _section(lambda: None)
    warnings: list[str] = field(default_factory=list, kw_only=True, compare=False)
    given: frozenset[str] | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.broker = SecretURL(_plain(self.broker))
        self.lock = SecretURL(_plain(self.lock))
        self.result_backend = SecretURL(_plain(self.result_backend))

    @property
    def amqp_settings(self) -> AMQPConfig:
        """The ``amqp`` section, or its defaults when there is none."""
        return self.amqp or AMQPConfig()

    @property
    def sqs_settings(self) -> SQSConfig:
        """The ``sqs`` section, or its defaults when there is none."""
        return self.sqs or SQSConfig()

    def names_given(self) -> frozenset[str]:
        """Dotted names of the settings that were set; for a Config made in code those that are not the default."""
        if self.given is not None:
            return self.given
        return frozenset(_differences(self, Config(), ""))

    @classmethod
    def of(cls, **settings: Any) -> Config:
        """A layer for :func:`merge` that sets exactly these fields; ``None`` means not given (as flags are).

        A setting of a section is written with two underscores: ``redis__delayed_tasks_key="x"``.
        """
        config = cls(
            given=frozenset(name.replace("__", ".") for name, value in settings.items() if value is not None)
        )
        for name, value in settings.items():
            if value is not None:
                _set(config, name.replace("__", "."), value)
        config.__post_init__()
        config.redis.__post_init__()
        return config

    @classmethod
    def from_yaml(cls, source: str | bytes | os.PathLike[str], *, strict: bool = False) -> Config:
        """Read a file that a Go service may use as well, or YAML text (bytes, or several lines).

        Unknown keys are warned about with their line; ``strict`` refuses them. Raises ConfigError that names the key
        and line, never a value.
        """
        from gomachinery_py.config_sources import read_yaml

        return read_yaml(source, strict=strict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read Machinery's environment variables; raises ConfigError that names the variable, never its value."""
        from gomachinery_py.config_sources import read_environment

        return read_environment(os.environ if environ is None else environ)


def merge(*layers: Config | None) -> Config:
    """One Config of several, the strongest first: ``merge(flags, file, app, environment)``; None is left out.

    Only what a layer gives overrides the layers below it.
    """
    present = [layer for layer in layers if layer is not None]
    merged = Config()
    # In Go the section is dropped unless it was given; made in code or from the environment it is there.
    if present and all(layer.amqp is None for layer in present):
        merged.amqp = None
    given: set[str] = set()
    for layer in reversed(present):
        for name in sorted(layer.names_given()):
            _set(merged, name, copy.deepcopy(_get(layer, name)))
            given.add(name)
        if layer.sqs is not None and merged.sqs is None:
            merged.sqs = SQSConfig()
    merged.warnings = [warning for layer in present for warning in layer.warnings]
    merged.given = frozenset(given)
    return merged


_SECTIONS = {
    "amqp": AMQPConfig,
    "dynamodb": DynamoDBConfig,
    "redis": RedisConfig,
    "sqs": SQSConfig,
    "tlsconfig": TLSConfig,
}


def _plain(value: str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _get(config: Config, name: str) -> Any:
    section, dot, key = name.partition(".")
    value = getattr(config, section)
    return getattr(value, key) if dot else value


def _set(config: Config, name: str, value: Any) -> None:
    section, dot, key = name.partition(".")
    if not dot:
        if section not in {f.name for f in fields(Config) if f.metadata}:
            raise TypeError(f"Config has no setting {name!r}")
        setattr(config, section, value)
        return
    if section not in _SECTIONS or key not in {f.name for f in fields(_SECTIONS[section])}:
        raise TypeError(f"Config has no setting {name!r}")
    if getattr(config, section) is None:
        setattr(config, section, _SECTIONS[section]())
    setattr(getattr(config, section), key, value)


def _differences(value: Any, default: Any, prefix: str) -> list[str]:
    names: list[str] = []
    for f in fields(value):
        if prefix == "" and not f.metadata:
            continue
        mine, standard = getattr(value, f.name), getattr(default, f.name)
        if is_dataclass(mine) and is_dataclass(standard):
            names.extend(_differences(mine, standard, f"{f.name}."))
        elif mine != standard:
            names.append(prefix + f.name)
    return names
