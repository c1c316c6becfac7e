"""Reading Machinery's settings from YAML and from the environment.

YAML is read as ``gopkg.in/yaml.v2`` reads it into Go's structs (booleans ``yes`` and ``on``, numbers ``0x10``, ``010``
and ``1_000``, any scalar for text, merges), the environment as ``kelseyhightower/envconfig`` does.
Go source: ``v2/config/file.go``, ``v2/config/env.go``.

=========================================  ==================================  =====================================
                                           Go                                  here
=========================================  ==================================  =====================================
a file over 1,000 bytes                    reads the first 1,000               reads it all, and warns
an unknown key                             is silent                           warns; ``strict`` refuses
a number with a fraction for a whole one   cuts the fraction                   the same, and warns
``-.inf`` for a whole number               the smallest one                    refuses
a document that is ``---`` or ``null``     zeroes every setting                takes the defaults
``redis: NULL``                            zeroes the section                  takes its defaults, as for ``null``
environment without TLS variables          dials TLS                           TLS only for ``rediss`` and ``amqps``
``AMQP_QUEUE_DECLARE_ARGS=k:v``            ``k`` is null                       ``v``, as a number when it is one
=========================================  ==================================  =====================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any, Final

import yaml

from gomachinery_py.config_sections import SECTIONS, settings_of
from gomachinery_py.config_yaml import INT64, KIND_WORDS, YAMLReader, parse_int, warn
from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret, SecretURL

__all__ = ["read_environment", "read_yaml"]

GO_READS_BYTES: Final = 1000  # v2/config/file.go: ReadFromFile
_MAX_BYTES: Final = 1 << 20
# An alias keeps a Go struct's name as the prefix of every variable in it.
_PREFIXES: Final = {
    "amqp": "AMQP",
    "sqs": "SQS",
    "redis": "REDIS",
    "dynamodb": "DYNAMODB",
    "tlsconfig": "TLSCONFIG",
}
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


# -- environment --


def read_environment(environ: Mapping[str, str], config: Any, warnings: list[str]) -> frozenset[str]:
    """Set a Config from variables (Go: ``config.NewFromEnvironment``); the dotted names that they give.

    Raises ConfigError naming the variable, never its value.
    """
    given: set[str] = set()
    for name, setting in settings_of(type(config)).items():
        if name not in SECTIONS:
            variable = setting.metadata["env"]
            if variable in environ:
                setattr(config, name, _from_variable(setting, variable, environ[variable]))
                given.add(name)
            continue
        for key, inner in settings_of(SECTIONS[name]).items():
            own = inner.metadata["env"]
            # envconfig looks for the nested name first.
            nested = own if name == "tlsconfig" else f"{_PREFIXES[name]}_{own}"
            variable = nested if nested in environ else own
            if variable in environ:
                if getattr(config, name) is None:
                    setattr(config, name, SECTIONS[name]())
                setattr(getattr(config, name), key, _from_variable(inner, variable, environ[variable]))
                given.add(f"{name}.{key}")
    if "MULTIPLE_BROKER_SEPARATOR" in environ and "MULTIPLE_BROKEN_SEPARATOR" not in environ:
        warn(warnings, "MULTIPLE_BROKER_SEPARATOR is not read: Machinery's name is MULTIPLE_BROKEN_SEPARATOR")
    return frozenset(given)


def _from_variable(setting: Field[Any], variable: str, text: str) -> Any:
    kind = setting.metadata["kind"]
    value: Any = None
    if kind == "text":
        return text
    if kind == "secret":
        return Secret(text)
    if kind == "url":
        return SecretURL(text)
    if kind in ("int", "int or null"):
        value = parse_int(text, *INT64)
    elif kind == "bool":
        value = True if text in _TRUE else False if text in _FALSE else None
    elif kind == "map":
        value = _pairs(text)
    else:
        pairs = _pairs(text) if text.strip() else {}
        value = None if pairs is None else {name: _typed(part) for name, part in pairs.items()}
    if value is None:
        want = "name:value,name:value" if "map" in kind else KIND_WORDS[kind]
        raise ConfigError(f"environment variable {variable} must be {want}")
    return value


def _pairs(text: str) -> dict[str, Any] | None:
    """Go: ``QueueBindingArgs.Decode``."""
    pairs = [pair.split(":") for pair in text.split(",")]
    return {pair[0]: pair[1] for pair in pairs} if all(len(pair) == 2 for pair in pairs) else None


def _typed(text: str) -> Any:
    # RabbitMQ compares the types of arguments: x-max-priority must be a number.
    number = parse_int(text, *INT64)
    if number is not None:
        return number
    return {"true": True, "false": False}.get(text, text)


# -- YAML --


def read_yaml(
    source: str | bytes | os.PathLike[str], config: Any, warnings: list[str], *, strict: bool = False
) -> frozenset[str]:
    """Set a Config from a file or text (Go: ``config.NewFromYaml`` without reloading); the dotted names it gives.

    Raises ConfigError naming file, line and key, never a value.
    """
    name, data = _load(source)
    if not data:
        raise ConfigError(f"{name} is empty; Machinery refuses such a file")
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{name} is larger than 1 MiB; this is not a configuration")
    reader = YAMLReader(name, warnings, strict)
    if len(data) > GO_READS_BYTES:
        warn(
            warnings,
            f"{name} has {len(data)} bytes; a Go service reads only the first {GO_READS_BYTES} of them",
        )
    root = reader.compose(data)
    if root is not None and not reader.is_null(root):
        if not isinstance(root, yaml.MappingNode):
            raise reader.error(root, "the document", "a section of settings")
        reader.struct(root, config, "")
    return frozenset(reader.given)


def _load(source: str | bytes | os.PathLike[str]) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "configuration", source
    if isinstance(source, str) and ("\n" in source or (re.search(r":(?:\s|$)", source) and not os.path.exists(source))):
        return "configuration", source.encode("utf-8", "surrogatepass")
    path = Path(source)
    try:
        return str(path), path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise ConfigError(f"configuration file {path} cannot be read: {reason}") from error
