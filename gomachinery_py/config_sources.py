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

import base64
import binascii
import difflib
import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Final

import yaml

from gomachinery_py.config import AMQPConfig, Config, DynamoDBConfig, RedisConfig, SQSConfig, TLSConfig
from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret, SecretURL

__all__ = ["read_environment", "read_yaml"]

log = logging.getLogger("gomachinery_py.config")

GO_READS_BYTES: Final = 1000  # v2/config/file.go: ReadFromFile
_MAX_BYTES: Final = 1 << 20
_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 100

_SECTIONS: Final[dict[str, type[Any]]] = {
    "amqp": AMQPConfig,
    "sqs": SQSConfig,
    "redis": RedisConfig,
    "dynamodb": DynamoDBConfig,
    "tlsconfig": TLSConfig,
}
# An alias keeps a Go struct's name as the prefix of every variable in it.
_PREFIXES: Final = {
    "amqp": "AMQP",
    "sqs": "SQS",
    "redis": "REDIS",
    "dynamodb": "DYNAMODB",
    "tlsconfig": "TLSCONFIG",
}
_KIND_WORDS: Final = {
    "text": "text",
    "secret": "text",
    "url": "text",
    "int": "a whole number",
    "int or null": "a whole number",
    "bool": "true or false",
    "map": "a section of names and values",
    "typed map": "a section of names and values",
    "section": "a section",
}


def _settings(of: type[Any]) -> dict[str, Field[Any]]:
    return {f.name: f for f in fields(of) if f.metadata}


# -- numbers as Go's strconv reads them with base 0 --

_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)|0[xX]_(?P<hex2>[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)"
    r"|0[bB]_?(?P<bin>[01]+(?:_[01]+)*)|0[oO]?_?(?P<oct>[0-7]+(?:_[0-7]+)*)|(?P<dec>0|[1-9][0-9]*(?:_[0-9]+)*))"
)


def _parse_int(text: str, low: int, high: int) -> int | None:
    """Go: ``strconv.ParseInt(text, 0, 64)``; None is its error."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 200:
        return None
    if match["dec"] is not None:
        number = int(match["dec"].replace("_", ""))
    elif match["bin"] is not None:
        number = int(match["bin"].replace("_", ""), 2)
    elif match["oct"] is not None:
        number = int(match["oct"].replace("_", ""), 8)
    else:
        number = int((match["hex"] or match["hex2"]).replace("_", ""), 16)
    if match["sign"] == "-":
        number = -number
    return number if low <= number <= high else None


_INT64: Final = (-(1 << 63), (1 << 63) - 1)
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


# -- environment --


def read_environment(environ: Mapping[str, str]) -> Config:
    """Go: ``config.NewFromEnvironment``. Raises ConfigError naming the variable."""
    config = Config(sqs=SQSConfig())
    given: set[str] = set()
    for name, setting in _settings(Config).items():
        if name not in _SECTIONS:
            variable = setting.metadata["env"]
            if variable in environ:
                setattr(config, name, _from_variable(setting, variable, environ[variable]))
                given.add(name)
            continue
        for key, inner in _settings(_SECTIONS[name]).items():
            own = inner.metadata["env"]
            # envconfig looks for the nested name first.
            nested = own if name == "tlsconfig" else f"{_PREFIXES[name]}_{own}"
            variable = nested if nested in environ else own
            if variable in environ:
                if getattr(config, name) is None:
                    setattr(config, name, _SECTIONS[name]())
                setattr(getattr(config, name), key, _from_variable(inner, variable, environ[variable]))
                given.add(f"{name}.{key}")
    if "MULTIPLE_BROKER_SEPARATOR" in environ and "MULTIPLE_BROKEN_SEPARATOR" not in environ:
        _warn(config, "MULTIPLE_BROKER_SEPARATOR is not read: Machinery's name is MULTIPLE_BROKEN_SEPARATOR")
    config.given = frozenset(given)
    return config


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
        value = _parse_int(text, *_INT64)
    elif kind == "bool":
        value = True if text in _TRUE else False if text in _FALSE else None
    elif kind == "map":
        value = _pairs(text)
    else:
        pairs = _pairs(text) if text.strip() else {}
        value = None if pairs is None else {name: _typed(part) for name, part in pairs.items()}
    if value is None:
        want = "name:value,name:value" if "map" in kind else _KIND_WORDS[kind]
        raise ConfigError(f"environment variable {variable} must be {want}")
    return value


def _pairs(text: str) -> dict[str, Any] | None:
    """Go: ``QueueBindingArgs.Decode``."""
    pairs = [pair.split(":") for pair in text.split(",")]
    return {pair[0]: pair[1] for pair in pairs} if all(len(pair) == 2 for pair in pairs) else None


def _typed(text: str) -> Any:
    # RabbitMQ compares the types of arguments: x-max-priority must be a number.
    number = _parse_int(text, *_INT64)
    if number is not None:
        return number
    return {"true": True, "false": False}.get(text, text)


# -- YAML --


def read_yaml(source: str | bytes | os.PathLike[str], *, strict: bool = False) -> Config:
    """Go: ``config.NewFromYaml`` without reloading. Raises ConfigError naming file, line and key."""
    name, data = _load(source)
    if not data:
        raise ConfigError(f"{name} is empty; Machinery refuses such a file")
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{name} is larger than 1 MiB; this is not a configuration")
    config = Config(amqp=None)
    reader = _Reader(name, config, strict)
    if len(data) > GO_READS_BYTES:
        _warn(
            config,
            f"{name} has {len(data)} bytes; a Go service reads only the first {GO_READS_BYTES} of them",
        )
    root = reader.compose(data)
    if root is not None and not reader.is_null(root):
        if not isinstance(root, yaml.MappingNode):
            raise reader.error(root, "the document", "a section of settings")
        reader.struct(root, config, "")
    config.given = frozenset(reader.given)
    return config


def _load(source: str | bytes | os.PathLike[str]) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "configuration", source
    if isinstance(source, str) and (
        "\n" in source or (re.search(r":(?:\s|$)", source) and not os.path.exists(source))
    ):
        return "configuration", source.encode("utf-8", "surrogatepass")
    path = Path(source)
    try:
        return str(path), path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise ConfigError(f"configuration file {path} cannot be read: {reason}") from error


def _warn(config: Config, text: str) -> None:
    config.warnings.append(text)
    log.warning("%s", text)


_TAG: Final = "tag:yaml.org,2002:"
_STR: Final = _TAG + "str"


class _Loader(yaml.SafeLoader):
    """Leaves plain scalars without a tag, to be resolved as yaml.v2 does it."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode:
            return "" if implicit[0] else _STR
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


class _Reader:
    """One file on its way into one Config."""

    def __init__(self, name: str, config: Config, strict: bool) -> None:
        self.name = name
        self.config = config
        self.strict = strict
        self.given: set[str] = set()
        self.nodes = 0

    def compose(self, data: bytes) -> yaml.Node | None:
        """The first document, which is all that Go reads."""
        loader: Any = None
        try:
            loader = _Loader(data)
            return loader.get_node() if loader.check_node() else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = "" if mark is None else f" line {mark.line + 1}"
            raise ConfigError(f"{self.name}{line}: not YAML: {_unquoted(error.problem)}") from None
        except yaml.YAMLError:
            raise ConfigError(
                f"{self.name}: not YAML: it holds bytes or characters that YAML forbids"
            ) from None
        except RecursionError:
            raise ConfigError(f"{self.name}: nested too deeply") from None
        finally:
            if loader is not None:
                loader.dispose()

    def error(self, node: yaml.Node, key: str, want: str) -> ConfigError:
        found = {"mapping": "a section", "sequence": "a list"}.get(node.id, "another kind of value")
        return ConfigError(f"{self.name} line {node.start_mark.line + 1}: {key} must be {want}, not {found}")

    def is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and self.resolve(node) is None

    def count(self, node: yaml.Node, depth: int) -> None:
        self.nodes += 1
        if self.nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise ConfigError(
                f"{self.name} line {node.start_mark.line + 1}: aliases make this file too large"
            )

    def struct(self, node: yaml.MappingNode, target: Any, prefix: str, depth: int = 0) -> None:
        """Go: yaml.v2 ``mappingStruct``: keys in order, so the last one of a name wins."""
        settings = _settings(type(target))
        for key_node, value in node.value:
            self.count(key_node, depth)
            if self.is_merge(key_node):
                for merged in self.merged(value):
                    self.struct(merged, target, prefix, depth + 1)
                continue
            key = self.key(key_node)
            setting = settings.get(key)
            if setting is None:
                self.unknown(key_node, prefix + key, list(settings))
            elif setting.metadata["kind"] == "section":
                self.section(key, value, target, depth)
            else:
                read = self.setting(setting, value, prefix + key)
                if isinstance(read, dict) and isinstance(getattr(target, key), dict):
                    # A map that is given twice is merged, as are sections.
                    read = {**getattr(target, key), **read}
                setattr(target, key, read)
                self.given.add(prefix + key)

    def section(self, key: str, node: yaml.Node, target: Config, depth: int) -> None:
        of = _SECTIONS[key]
        if self.is_null(node):
            # Go's nil: Machinery then works with its defaults, or has none of it.
            setattr(target, key, None if key in ("amqp", "sqs", "tlsconfig") else of())
            return
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, key, "a section")
        if getattr(target, key) is None:
            setattr(target, key, of())
            self.given.add(key)
        self.struct(node, getattr(target, key), f"{key}.", depth + 1)

    def unknown(self, node: yaml.Node, key: str, known: list[str]) -> None:
        near = difflib.get_close_matches(key.rpartition(".")[2].lower(), known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        text = f"{self.name} line {node.start_mark.line + 1}: unknown key {key!r}{hint}"
        if self.strict:
            raise ConfigError(text)
        _warn(self.config, text)

    def is_merge(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.tag in ("", _TAG + "merge")

    def merged(self, node: yaml.Node) -> list[yaml.MappingNode]:
        parts = list(reversed(node.value)) if isinstance(node, yaml.SequenceNode) else [node]
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                raise self.error(node, "<<", "a section or a list of sections")
        return parts

    def key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, "a key", "text")
        return "" if self.is_null(node) else self.text(node)

    def text(self, node: yaml.ScalarNode) -> str:
        """Any scalar is text as it is written; ``!!binary`` is what it encodes."""
        value = self.resolve(node)
        return str(value if node.tag == _TAG + "binary" else node.value)

    def setting(self, setting: Field[Any], node: yaml.Node, key: str) -> Any:
        kind = setting.metadata["kind"]
        if kind in ("map", "typed map"):
            if self.is_null(node):
                return None
            if not isinstance(node, yaml.MappingNode):
                raise self.error(node, key, _KIND_WORDS[kind])
            return self.mapping(node, 0)
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, key, _KIND_WORDS[kind])
        value = self.resolve(node)
        if kind in ("text", "secret", "url"):
            text = "" if value is None else self.text(node)
            return {"text": str, "secret": Secret, "url": SecretURL}[kind](text)
        if value is None:
            return {"int": 0, "bool": False}.get(kind)
        if kind == "bool":
            if isinstance(value, bool):
                return value
            raise self.error(node, key, _KIND_WORDS[kind])
        return self.whole(node, value, key)

    def whole(self, node: yaml.ScalarNode, value: Any, key: str) -> int:
        number: int | None = None
        if isinstance(value, float) and math.isfinite(value):
            number = int(value)
            if number != value:
                _warn(self.config, f"{self.name} line {node.start_mark.line + 1}: {key} is read as {number}")
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        if number is None or not _INT64[0] <= number <= _INT64[1]:
            raise self.error(node, key, "a whole number")
        return number

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value in node.value:
            self.count(key_node, depth)
            if self.is_merge(key_node):
                for merged in self.merged(value):
                    values.update(self.mapping(merged, depth + 1))
            else:
                values[self.key(key_node)] = self.anything(value, depth + 1)
        return values

    def anything(self, node: yaml.Node, depth: int) -> Any:
        self.count(node, depth)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.anything(part, depth + 1) for part in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return self.resolve(node)

    def resolve(self, node: yaml.ScalarNode) -> Any:
        """Go: yaml.v2 ``resolve``."""
        tag, text = node.tag, node.value
        if tag == _TAG + "binary":
            try:
                return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                raise self.error(node, "!!binary", "base64 text") from None
        if tag not in ("", *(_TAG + known for known in ("bool", "int", "float", "null"))):
            return text
        value = _resolve(text)
        if tag:
            if tag == _TAG + "float" and isinstance(value, int) and not isinstance(value, bool):
                return float(value)
            kinds = {"bool": bool, "int": int, "float": float, "null": type(None)}
            if type(value) is not kinds[tag.removeprefix(_TAG)]:
                raise self.error(node, f"!!{tag.removeprefix(_TAG)}", "of that kind")
        return value


def _unquoted(problem: str | None) -> str:
    """PyYAML quotes pieces of the file, and those may be passwords."""
    text = re.sub(r"(['\"])(.{4,})\1", "…", problem or "it cannot be read", flags=re.DOTALL)
    return text.splitlines()[0] if text else "it cannot be read"


_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def _resolve(text: str) -> Any:
    """What an untagged plain scalar is to yaml.v2: None, bool, int, float or the text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    if text[0] != ".":
        number = _parse_int(plain, _INT64[0], _INT64[1])
        if number is None and plain[0] not in "+-":
            number = _parse_int(plain, 0, (1 << 64) - 1)
        if number is not None:
            return number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        if math.isfinite(value):
            return value
    return text
