"""The sections of Machinery's configuration, and what each setting is called in the environment.

Go source: ``v2/config/config.go`` (fields, tags, defaults); v1 alike. A field's metadata says what kind of value it
takes (``kind``) and its environment name (``env``); ``config_yaml.py`` and ``config_sources.py`` read by it.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from gomachinery_py.arguments import kind_of
from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret, SecretURL

__all__ = [
    "SECTIONS",
    "AMQPConfig",
    "DynamoDBConfig",
    "RedisConfig",
    "SQSConfig",
    "TLSConfig",
    "check_kinds",
    "flag",
    "plain",
    "secret",
    "section",
    "settings_of",
    "text",
    "url",
    "whole",
]


def text(default: str, env: str) -> Any:
    return field(default=default, metadata={"kind": "text", "env": env})


def secret(env: str) -> Any:
    return field(default=Secret(), metadata={"kind": "secret", "env": env})


def url(default: str, env: str) -> Any:
    return field(default=SecretURL(default), metadata={"kind": "url", "env": env})


def whole(default: int, env: str) -> Any:
    return field(default=default, metadata={"kind": "int", "env": env})


def flag(env: str) -> Any:
    return field(default=False, metadata={"kind": "bool", "env": env})


def section(default: Any) -> Any:
    return field(default_factory=default, metadata={"kind": "section"})


def plain(value: str) -> str:
    """The text of a setting that may be a secret already."""
    return value.reveal() if isinstance(value, Secret) else value


@dataclass
class AMQPConfig:
    """RabbitMQ (Go: ``AMQPConfig``)."""

    exchange: str = text("machinery_exchange", "AMQP_EXCHANGE")
    exchange_type: str = text("direct", "AMQP_EXCHANGE_TYPE")
    queue_declare_args: dict[str, Any] | None = field(
        default=None, metadata={"kind": "typed map", "env": "AMQP_QUEUE_DECLARE_ARGS"}
    )
    queue_binding_args: dict[str, Any] | None = field(
        default=None, metadata={"kind": "map", "env": "AMQP_QUEUE_BINDING_ARGS"}
    )
    binding_key: str = text("machinery_task", "AMQP_BINDING_KEY")
    prefetch_count: int = whole(3, "AMQP_PREFETCH_COUNT")
    auto_delete: bool = flag("AMQP_AUTO_DELETE")
    delayed_queue: str = text("", "AMQP_DELAYED_QUEUE")


@dataclass
class SQSConfig:
    """SQS; times in seconds, ``receive_visibility_timeout=None`` is the queue's own (Go: ``SQSConfig``)."""

    receive_wait_time_seconds: int = whole(0, "SQS_WAIT_TIME_SECONDS")
    receive_visibility_timeout: int | None = field(
        default=None, metadata={"kind": "int or null", "env": "SQS_VISIBILITY_TIMEOUT"}
    )
    visibility_hearth_beat: bool = flag("SQS_VISIBILITY_HEARTBEAT")


@dataclass
class RedisConfig:
    """Redis; timeouts in seconds, poll periods in milliseconds (Go: ``RedisConfig``)."""

    max_idle: int = whole(3, "REDIS_MAX_IDLE")
    max_active: int = whole(0, "REDIS_MAX_ACTIVE")
    max_idle_timeout: int = whole(240, "REDIS_IDLE_TIMEOUT")
    wait: bool = flag("REDIS_WAIT")
    read_timeout: int = whole(15, "REDIS_READ_TIMEOUT")
    write_timeout: int = whole(15, "REDIS_WRITE_TIMEOUT")
    connect_timeout: int = whole(15, "REDIS_CONNECT_TIMEOUT")
    normal_tasks_poll_period: int = whole(1000, "REDIS_NORMAL_TASKS_POLL_PERIOD")
    delayed_tasks_poll_period: int = whole(500, "REDIS_DELAYED_TASKS_POLL_PERIOD")
    delayed_tasks_key: str = text("", "REDIS_DELAYED_TASKS_KEY")
    client_name: str = text("", "REDIS_CLIENT_NAME")
    master_name: str = text("", "REDIS_MASTER_NAME")
    #: v1's name; v2 calls it ``cluster_enabled``. Either one means a cluster.
    cluster_mode: bool = flag("REDIS_CLUSTER_MODE")
    cluster_enabled: bool = flag("REDIS_CLUSTER_ENABLED")
    sentinel_password: str = secret("REDIS_SENTINEL_PASSWORD")

    def __post_init__(self) -> None:
        self.sentinel_password = Secret(plain(self.sentinel_password))

    @property
    def is_cluster(self) -> bool:
        """Whether a cluster is asked for, whatever the number of addresses."""
        return self.cluster_mode or self.cluster_enabled


@dataclass
class DynamoDBConfig:
    """DynamoDB (Go: ``DynamoDBConfig``)."""

    task_states_table: str = text("task_states", "TASK_STATES_TABLE")
    group_metas_table: str = text("group_metas", "GROUP_METAS_TABLE")


@dataclass
class TLSConfig:
    """TLS to the broker and result backend (Go: ``Config.TLSConfig``, a ``crypto/tls.Config``).

    ``servername`` and ``insecureskipverify`` are the keys that yaml.v2 gives to Go's fields. The three files are for
    Python programs: Go has no names for them, so they are not read from files or the environment.
    """

    servername: str = text("", "TLSCONFIG_SERVERNAME")
    insecureskipverify: bool = flag("TLSCONFIG_INSECURESKIPVERIFY")
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


SECTIONS: Final[dict[str, type[Any]]] = {
    "amqp": AMQPConfig,
    "sqs": SQSConfig,
    "redis": RedisConfig,
    "dynamodb": DynamoDBConfig,
    "tlsconfig": TLSConfig,
}
"""The sections by their YAML keys."""


def settings_of(of: type[Any]) -> dict[str, Field[Any]]:
    """The fields of Config or a section that Machinery knows, by their YAML keys."""
    return {f.name: f for f in fields(of) if f.metadata}


_KINDS: Final[dict[str, tuple[type[Any], str]]] = {
    "text": (str, "text"),
    "secret": (str, "text"),
    "url": (str, "a URL"),
    "int": (int, "a whole number"),
    "int or null": (int, "a whole number"),
    "bool": (bool, "True or False"),
    "map": (dict, "a dict"),
    "typed map": (dict, "a dict"),
}
_MAY_BE_NONE: Final = {"int or null", "map", "typed map", "amqp", "sqs", "tlsconfig"}


def check_kinds(settings: Any, prefix: str = "") -> None:
    """Refuse values of a wrong kind, where code has set them. Raises ConfigError that names the setting, no value."""
    for name, setting in settings_of(type(settings)).items():
        value, kind = getattr(settings, name), setting.metadata["kind"]
        if value is None and (kind in _MAY_BE_NONE or name in _MAY_BE_NONE):
            continue
        section_class = SECTIONS.get(name) if kind == "section" else None
        wanted, what = (section_class, f"a {section_class.__name__}") if section_class else _KINDS[kind]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(f"{prefix}{name} must be {what}, not {kind_of(value)}")
        if section_class:
            check_kinds(value, f"{name}.")
