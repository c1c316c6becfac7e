"""A contract from its text; errors name the line. What a scalar means is decided here: text, unless JSON says else."""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec
import yaml

from gomachinery_py.annotations import infer_type, wire_value
from gomachinery_py.config_yaml import YAMLReader
from gomachinery_py.contracts.model import (
    ANY,
    REQUIRED,
    VERSION,
    Contract,
    ParameterContract,
    ResultContract,
    TaskContract,
)
from gomachinery_py.errors import ConfigError
from gomachinery_py.golang.json import Number, parse
from gomachinery_py.golang.json_number import NUMBER
from gomachinery_py.incoming import MAX_ARGUMENTS, MAX_RETRY_TIMEOUT
from gomachinery_py.outgoing_fields import MAX_RETRIES
from gomachinery_py.wire.reflect import TYPE_NAMES

__all__ = ["read_contract"]

_NUMBER: Final = re.compile(NUMBER)
_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_BYTES: Final = 16 << 20
_NUMBERS: Final = {"retries": MAX_RETRIES, "retry_timeout": MAX_RETRY_TIMEOUT, "priority": 255}
_TEXTS: Final = ("doc", "served_by", "queue")
_TASK_KEYS: Final = (*_TEXTS, *_NUMBERS, "ignore_when_not_registered", "parameters", "results")


def read_contract(data: bytes, name: str) -> Contract:
    """Read a contract; ``name`` is what errors call it. Raises ConfigError that names the line."""
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{name}: {len(data)} bytes are more than the {_MAX_BYTES} that a contract may have")
    node = YAMLReader(name, [], strict=True).compose(data, only=True)
    if node is None:
        raise ConfigError(f"{name} is empty; a contract begins with machinery_contract: {VERSION}")
    try:
        return _Reader(name).contract(node)
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self._seen: set[int] = set()

    def error(self, node: yaml.Node, text: str) -> ConfigError:
        return ConfigError(f"{self.name} line {node.start_mark.line + 1}: {text}")

    def contract(self, node: yaml.Node) -> Contract:
        fields = self.fields(node, "a contract", ("machinery_contract", "tasks"))
        version = fields.get("machinery_contract")
        if version is None:
            raise self.error(node, f"this is no contract: it does not begin with machinery_contract: {VERSION}")
        if self.text(version, "machinery_contract") != str(VERSION):
            raise self.error(
                version, f"only version {VERSION} of machinery_contract can be read here; update this program"
            )
        tasks = fields.get("tasks")
        if tasks is None:
            raise self.error(node, "a contract needs tasks; write tasks: {} when there are none")
        return Contract.of(self.task(key, value) for key, value in self.entries(tasks, "tasks"))

    def task(self, key: yaml.ScalarNode, node: yaml.Node) -> TaskContract:
        name = self.text(key, "a task's name")
        if not name:
            raise self.error(key, "a task needs a name")
        fields = self.fields(node, f"task {name!r}", _TASK_KEYS)
        read: dict[str, Any] = {text: self.text(fields[text], text) for text in _TEXTS if text in fields}
        for number, most in _NUMBERS.items():
            if number in fields:
                read[number] = self.whole(fields[number], number, most)
        if "ignore_when_not_registered" in fields:
            read["ignore_when_not_registered"] = self.flag(fields["ignore_when_not_registered"])
        return TaskContract(
            name,
            self.parameters(fields["parameters"], name) if "parameters" in fields else (),
            tuple(map(self.result, self.items(fields["results"], "results"))) if "results" in fields else None,
            place=f"{self.name}:{key.start_mark.line + 1}",
            **read,
        )

    def parameters(self, node: yaml.Node, task: str) -> tuple[ParameterContract, ...]:
        read: list[ParameterContract] = []
        items = self.items(node, "parameters")
        if len(items) > MAX_ARGUMENTS:
            raise self.error(node, f"{len(items)} parameters are more than the {MAX_ARGUMENTS} that a task may have")
        names: set[str] = set()
        for item in items:
            parameter = self.parameter(item)
            if read and read[-1].variadic:
                raise self.error(item, f"task {task!r}: the variadic parameter must be the last one")
            if parameter.is_required and read and not read[-1].is_required:
                raise self.error(item, f"task {task!r}: a parameter behind one with a default needs a default as well")
            if parameter.name is not None and parameter.name in names:
                raise self.error(item, f"task {task!r} has two parameters {parameter.name!r}")
            names.add(parameter.name or "")
            read.append(parameter)
        return tuple(read)

    def parameter(self, node: yaml.Node) -> ParameterContract:
        fields = self.fields(node, "a parameter", ("name", "type", "json", "variadic", "default"))
        kind, model = self.type(node, fields)
        name = self.text(fields["name"], "name") if "name" in fields else None
        if name == "":
            raise self.error(node, "a parameter's name is empty; leave it out when it is not known")
        variadic = "variadic" in fields and self.flag(fields["variadic"])
        default = REQUIRED
        if "default" in fields:
            if variadic:
                raise self.error(node, "a variadic parameter has no default: it may be left out anyway")
            default = self.default(fields["default"], kind, model)
        return ParameterContract(kind, model, name, variadic, default)

    def result(self, node: yaml.Node) -> ResultContract:
        return ResultContract(*self.type(node, self.fields(node, "a result", ("type", "json"))))

    def type(self, node: yaml.Node, fields: dict[str, yaml.Node]) -> tuple[str, str | None]:
        if "type" not in fields:
            raise self.error(node, f"a type is missing; it is one of Machinery's, or {ANY}")
        kind = self.text(fields["type"], "type")
        if kind != ANY and kind not in TYPE_NAMES:
            near = difflib.get_close_matches(kind, sorted(TYPE_NAMES), 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(TYPE_NAMES))}"
            raise self.error(fields["type"], f"Machinery has no type {kind!r}; {hint}")
        if "json" not in fields:
            return kind, None
        if kind not in ("string", "[]string"):
            raise self.error(fields["json"], f"JSON travels as string or []string, not as {kind}")
        model = self.text(fields["json"], "json")
        if not model:
            raise self.error(fields["json"], "json names what the text holds, as json: Order")
        return kind, model

    def default(self, node: yaml.Node, kind: str, model: str | None) -> Any:
        value = self.value(node)
        if kind == ANY and value is None:
            return None
        try:
            if value is None:
                raise TypeError("it is null")
            if kind == ANY:
                infer_type(value)
            else:
                wire_value(kind, _literals(value) if "float" in kind else value)
            for text in (value if isinstance(value, list) else [value]) if model is not None else ():
                msgspec.json.decode(text)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise self.error(node, f"the default does not fit {'JSON' if model else kind}: {error}") from None
        if kind in ("[]byte", "[]uint8") and isinstance(value, list):
            # In one form, whoever wrote it.
            return base64.b64encode(bytes(value)).decode()
        return value

    # -- nodes --

    def fields(self, node: yaml.Node, what: str, known: Collection[str]) -> dict[str, yaml.Node]:
        found: dict[str, yaml.Node] = {}
        if isinstance(node, yaml.ScalarNode) and node.tag == "" and node.value in ("", "null", "~"):
            return found
        for key, value in self.entries(node, what):
            name = self.text(key, "a key")
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(known)}"
                raise self.error(key, f"{what} has no key {name!r}; {hint}")
            found[name] = value
        return found

    def entries(self, node: yaml.Node, what: str) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be names with values (key: value)")
        self.once(node)
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, f"a name in {what} must be text")
            if key.value in seen:
                raise self.error(key, f"{key.value!r} is twice in {what}")
            seen.add(key.value)
            yield key, value

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(node, f"{what} must be a list (- …)")
        self.once(node)
        return list(node.value)

    def once(self, node: yaml.Node) -> None:
        if id(node) in self._seen:
            raise self.error(node, "aliases (*name) are not taken here; write it out")
        self._seen.add(id(node))

    def text(self, node: yaml.Node, what: str) -> str:
        text = self.scalar(node, what)
        if node.tag == "" and text.lower() in ("null", "~"):
            raise self.error(node, f"{what} is null; leave it out, or put the text into quotes")
        return text

    def scalar(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, f"{what} must be text")
        text = str(node.value)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.error(node, f"{what} holds a lone surrogate, which Go would replace") from None
        return text

    def whole(self, node: yaml.Node, what: str, most: int) -> int:
        text = self.text(node, what)
        if not _WHOLE.fullmatch(text) or int(text) > most:
            raise self.error(node, f"{what} must be a whole number from 0 to {most}")
        return int(text)

    def flag(self, node: yaml.Node) -> bool:
        if not isinstance(node, yaml.ScalarNode) or node.tag or node.value not in ("true", "false"):
            raise self.error(node, "must be true or false")
        return bool(node.value == "true")

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in self.items(node, "a default")]
        text = self.scalar(node, "a default")
        if node.tag == "" and (text in ("true", "false", "null") or _NUMBER.fullmatch(text)):
            return parse(text.encode())
        return text


def _literals(value: Any) -> Any:
    """Integers as Go reads them for a float: the nearest one, since Go itself writes floats without a fraction."""
    if isinstance(value, list):
        return [_literals(item) for item in value]
    return Number(str(value)) if type(value) is int else value
