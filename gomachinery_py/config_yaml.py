"""One YAML file on its way into one Config, as ``gopkg.in/yaml.v2`` reads it into Go's structs.

PyYAML parses; what a scalar means is decided here (Go: ``resolve`` in ``resolve.go``, ``mappingStruct`` in
``decode.go``). What differs from Go is listed in ``config_sources.py``.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import logging
import math
import re
from dataclasses import Field
from typing import Any, Final

import yaml

from gomachinery_py.config_sections import SECTIONS, settings_of
from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret, SecretURL

__all__ = ["INT64", "KIND_WORDS", "YAMLReader", "parse_int", "warn"]

log = logging.getLogger("gomachinery_py.config")

_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 100

KIND_WORDS: Final = {
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


# -- numbers as Go's strconv reads them with base 0 --

_INTEGER: Final = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)|0[xX]_(?P<hex2>[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)"
    r"|0[bB]_?(?P<bin>[01]+(?:_[01]+)*)|0[oO]?_?(?P<oct>[0-7]+(?:_[0-7]+)*)|(?P<dec>0|[1-9][0-9]*(?:_[0-9]+)*))"
)


def parse_int(text: str, low: int, high: int) -> int | None:
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


INT64: Final = (-(1 << 63), (1 << 63) - 1)


def warn(warnings: list[str], text: str) -> None:
    """Keep a warning for the program and log it."""
    warnings.append(text)
    log.warning("%s", text)


_TAG: Final = "tag:yaml.org,2002:"
_STR: Final = _TAG + "str"


class _Loader(yaml.SafeLoader):
    """Leaves plain scalars without a tag, to be resolved as yaml.v2 does it."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode:
            return "" if implicit[0] else _STR
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


class YAMLReader:
    """One file on its way into one Config; ``given`` are the dotted names that it sets."""

    def __init__(self, name: str, warnings: list[str], strict: bool) -> None:
        self.name = name
        self.warnings = warnings
        self.strict = strict
        self.given: set[str] = set()
        self.nodes = 0

    def compose(self, data: bytes, *, only: bool = False) -> yaml.Node | None:
        """The first document, which is all that Go reads. Raises ConfigError, with ``only`` also for a second one."""
        loader: Any = None
        try:
            loader = _Loader(data)
            node: yaml.Node | None = loader.get_node() if loader.check_node() else None
            if only and loader.check_node():
                line = loader.peek_event().start_mark.line + 1
                raise ConfigError(f"{self.name} line {line}: a second document begins (---); there may be one")
            return node
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = "" if mark is None else f" line {mark.line + 1}"
            raise ConfigError(f"{self.name}{line}: not YAML: {_unquoted(error.problem)}") from None
        except yaml.YAMLError:
            raise ConfigError(f"{self.name}: not YAML: it holds bytes or characters that YAML forbids") from None
        except RecursionError:
            raise ConfigError(f"{self.name}: nested too deeply") from None
        finally:
            if loader is not None:
                loader.dispose()

    def error(self, node: yaml.Node, key: str, want: str) -> ConfigError:
        kinds: dict[type[yaml.Node], str] = {yaml.MappingNode: "a section", yaml.SequenceNode: "a list"}
        found = kinds.get(type(node), "another kind of value")
        return ConfigError(f"{self.name} line {node.start_mark.line + 1}: {key} must be {want}, not {found}")

    def is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and self.resolve(node) is None

    def count(self, node: yaml.Node, depth: int) -> None:
        self.nodes += 1
        if self.nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise ConfigError(f"{self.name} line {node.start_mark.line + 1}: aliases make this file too large")

    def struct(self, node: yaml.MappingNode, target: Any, prefix: str, depth: int = 0) -> None:
        """Go: yaml.v2 ``mappingStruct``: keys in order, so the last one of a name wins."""
        settings = settings_of(type(target))
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

    def section(self, key: str, node: yaml.Node, target: Any, depth: int) -> None:
        of = SECTIONS[key]
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
        warn(self.warnings, text)

    def is_merge(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.tag in ("", _TAG + "merge")

    def merged(self, node: yaml.Node) -> list[yaml.MappingNode]:
        parts = list(reversed(node.value)) if isinstance(node, yaml.SequenceNode) else [node]
        sections = [part for part in parts if isinstance(part, yaml.MappingNode)]
        if len(sections) < len(parts):
            raise self.error(node, "<<", "a section or a list of sections")
        return sections

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
                raise self.error(node, key, KIND_WORDS[kind])
            return self.mapping(node, 0)
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, key, KIND_WORDS[kind])
        value = self.resolve(node)
        if kind in ("text", "secret", "url"):
            text = "" if value is None else self.text(node)
            return {"text": str, "secret": Secret, "url": SecretURL}[kind](text)
        if value is None:
            return {"int": 0, "bool": False}.get(kind)
        if kind == "bool":
            if isinstance(value, bool):
                return value
            raise self.error(node, key, KIND_WORDS[kind])
        return self.whole(node, value, key)

    def whole(self, node: yaml.ScalarNode, value: Any, key: str) -> int:
        number: int | None = None
        if isinstance(value, float) and math.isfinite(value):
            number = int(value)
            if number != value:
                warn(self.warnings, f"{self.name} line {node.start_mark.line + 1}: {key} is read as {number}")
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        if number is None or not INT64[0] <= number <= INT64[1]:
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
        number = parse_int(plain, INT64[0], INT64[1])
        if number is None and plain[0] not in "+-":
            number = parse_int(plain, 0, (1 << 64) - 1)
        if number is not None:
            return number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        if math.isfinite(value):
            return value
    return text
