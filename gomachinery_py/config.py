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

from gomachinery_py.config_sections import (
    SECTIONS,
    AMQPConfig,
    DynamoDBConfig,
    RedisConfig,
    SQSConfig,
    TLSConfig,
    check_kinds,
    flag,
    plain,
    section,
    text,
    url,
    whole,
)
from gomachinery_py.config_sources import read_environment, read_yaml
from gomachinery_py.secret import SecretURL

__all__ = ["AMQPConfig", "Config", "DynamoDBConfig", "RedisConfig", "SQSConfig", "TLSConfig", "merge"]


@dataclass
class Config:
    """Machinery's configuration (Go: ``config.Config``).

    ``amqp`` is None when a file has no such section, as in Go; use :attr:`amqp_settings` to read it. ``broker``,
    ``result_backend`` and ``lock`` are strings that print without their passwords. ``warnings`` holds what reading a
    file or the environment had to say; ``given`` the dotted names that were set, None for one made in code.
    """

    broker: str = url("amqp://guest:guest@localhost:5672/", "BROKER")
    lock: str = url("", "LOCK")
    multiple_broker_separator: str = text("", "MULTIPLE_BROKEN_SEPARATOR")
    default_queue: str = text("machinery_tasks", "DEFAULT_QUEUE")
    result_backend: str = url("amqp://guest:guest@localhost:5672/", "RESULT_BACKEND")
    results_expire_in: int = whole(3600, "RESULTS_EXPIRE_IN")
    no_unix_signals: bool = flag("NO_UNIX_SIGNALS")
    amqp: AMQPConfig | None = section(AMQPConfig)
    sqs: SQSConfig | None = section(lambda: None)
    redis: RedisConfig = section(RedisConfig)
    dynamodb: DynamoDBConfig = section(DynamoDBConfig)
    tlsconfig: TLSConfig | None = section(lambda: None)
    warnings: list[str] = field(default_factory=list, kw_only=True, compare=False)
    given: frozenset[str] | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_kinds(self)
        self.broker = SecretURL(plain(self.broker))
        self.lock = SecretURL(plain(self.lock))
        self.result_backend = SecretURL(plain(self.result_backend))

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
        config = cls(given=frozenset(name.replace("__", ".") for name, value in settings.items() if value is not None))
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
        config = cls(amqp=None)
        config.given = read_yaml(source, config, config.warnings, strict=strict)
        return config

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read Machinery's environment variables; raises ConfigError that names the variable, never its value."""
        config = cls(sqs=SQSConfig())
        config.given = read_environment(os.environ if environ is None else environ, config, config.warnings)
        return config


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
    if section not in SECTIONS or key not in {f.name for f in fields(SECTIONS[section])}:
        raise TypeError(f"Config has no setting {name!r}")
    if getattr(config, section) is None:
        setattr(config, section, SECTIONS[section]())
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
