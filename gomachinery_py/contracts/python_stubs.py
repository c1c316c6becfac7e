"""A Python module with typed, sendable stubs of a contract's tasks."""

from __future__ import annotations

import keyword
from typing import Any, Final

import msgspec

from gomachinery_py.contracts.model import ANY, REQUIRED, Contract, ParameterContract, ResultContract, TaskContract
from gomachinery_py.contracts.naming import distinct, numbered, python_name
from gomachinery_py.contracts.quoting import quoted
from gomachinery_py.golang.json import Number
from gomachinery_py.wire.reflect import RANGES, reflect_value

__all__ = ["python_stubs"]

_WIDTH: Final = 110
# What a Machinery type is in Python; the others have an alias in gomachinery_py.types.
_BUILTIN: Final = {"bool": "bool", "int64": "int", "float64": "float", "string": "str", "[]byte": "bytes", ANY: "Any"}
_ALIASES: Final = {
    name: name.replace("u", "U", 1).replace("int", "Int").replace("float", "Float")
    for name in (*RANGES, "float32")
    if name not in _BUILTIN
}
_USED: Final = ("Json", "NotImplementedError", "Server", "Tasks", "list", "self", "server", "tuple", "type_for")
_RESERVED: Final = frozenset([*_BUILTIN.values(), *_ALIASES.values(), *_USED])


def python_stubs(contract: Contract, source: str, models: str = "") -> str:
    """The module's text; ``source`` is the contract's file.

    ``models`` is a module with the models that ``json`` names; without it every ``Json[…]`` is ``Json[Any]``.
    """
    return _Module(contract, source, models).text()


class _Module:
    def __init__(self, contract: Contract, source: str, models: str) -> None:
        self.contract = contract
        self.source = source
        self.models = models
        self.types: set[str] = set()
        self.imported: set[str] = set()
        self.needs_any = False

    def text(self) -> str:
        reserved = _RESERVED | self._models()
        names = distinct(self.contract.tasks, lambda name: python_name(name, reserved))
        body = [line for name, task in self.contract.tasks.items() for line in self._task(task, names[name])]
        lines = [
            _docstring(f"The tasks of {self.source}, typed. Written by gomachinery contract python: do not edit."),
            "",
            "from __future__ import annotations",
            "",
            *(["from typing import Any", ""] if self.needs_any else []),
            "from gomachinery_py import Server",
            *([f"from gomachinery_py.types import {', '.join(sorted(self.types))}"] if self.types else []),
            *(["", f"from {self.models} import {', '.join(sorted(self.imported))}"] if self.imported else []),
            "",
            "",
            "class Tasks:",
            '    """What others serve, to be sent through a server: ``Tasks(server).<task>.send(…)``."""',
            "",
            "    def __init__(self, server: Server) -> None:",
            *(body or ["        pass"]),
        ]
        return "\n".join(lines).rstrip("\n") + "\n"

    def _models(self) -> set[str]:
        """Names of models that can be imported."""
        values = [value for task in self.contract.tasks.values() for value in (*task.parameters, *(task.results or ()))]
        return {value.json for value in values if value.json and self._is_model(value.json)}

    def _is_model(self, name: str) -> bool:
        taken = name in _RESERVED or keyword.iskeyword(name)
        return bool(self.models) and name.isidentifier() and not name.startswith("__") and not taken

    def _task(self, task: TaskContract, name: str) -> list[str]:
        options = [quoted(task.name)]
        options += [
            f"{option}={quoted(value) if isinstance(value, str) else value}"
            for option, value in (
                ("queue", task.queue),
                ("retries", task.retries),
                ("retry_timeout", task.retry_timeout),
                ("priority", task.priority),
                ("ignore_when_not_registered", task.ignore_when_not_registered),
            )
            if value
        ]
        return [
            f"        @server.remote({', '.join(options)})",
            *self._head(task, name),
            *([f"            {_docstring(task.doc)}"] if task.doc else []),
            "            raise NotImplementedError",
            "",
            f"        self.{name} = {name}",
            "",
        ]

    def _head(self, task: TaskContract, name: str) -> list[str]:
        parts: list[str] = []
        names = numbered([parameter.name for parameter in task.parameters], python_name)
        for parameter, own in zip(task.parameters, names, strict=True):
            annotation = self._annotation(parameter)
            parts.append(f"{'*' if parameter.variadic else ''}{own}: {annotation}")
            if parameter.default is REQUIRED:
                continue
            if parameter.json is not None and self._is_model(parameter.json):
                self.types.add("type_for")
                parts[-1] += f" = type_for({annotation}).from_wire({_value(parameter.default)})"
            else:
                parts[-1] += f" = {_literal(parameter)}"
        unnamed = [index for index, parameter in enumerate(task.fixed, start=1) if parameter.name is None]
        if unnamed:
            # Nobody may call them by a name that nobody has given them.
            parts.insert(unnamed[-1], "/")
        returns = self._returns(task)
        line = f"        def {name}({', '.join(parts)}) -> {returns}:"
        if len(line) <= _WIDTH or not parts:
            return [line]
        return [f"        def {name}(", *(f"            {part}," for part in parts), f"        ) -> {returns}:"]

    def _returns(self, task: TaskContract) -> str:
        if task.results is None:
            self.needs_any = True
            return "Any"
        if not task.results:
            return "None"
        annotations = [self._annotation(result) for result in task.results]
        return annotations[0] if len(annotations) == 1 else f"tuple[{', '.join(annotations)}]"

    def _annotation(self, value: ResultContract) -> str:
        if value.json is not None:
            self.types.add("Json")
            if self._is_model(value.json):
                self.imported.add(value.json)
                found = f"Json[{value.json}]"
            else:
                self.needs_any = True
                found = "Json[Any]"
            return f"list[{found}]" if value.type.startswith("[]") else found
        if value.type in _BUILTIN:
            self.needs_any = self.needs_any or value.type == ANY
            return _BUILTIN[value.type]
        element = value.type.removeprefix("[]")
        if element in _BUILTIN:
            return f"list[{_BUILTIN[element]}]"
        alias = _ALIASES[element]
        self.types.add(alias)
        return f"list[{alias}]" if value.type.startswith("[]") else alias


def _docstring(text: str) -> str:
    return f'""{quoted(text)}""'


def _literal(parameter: ParameterContract) -> str:
    value = parameter.default
    if parameter.type in ("[]byte", "[]uint8") and isinstance(value, str):
        return _bytes(parameter, value)
    if parameter.json is not None:
        decode = msgspec.json.decode
        value = [decode(text) for text in value] if isinstance(value, list) else decode(value)
    return _value(value, is_float="float" in parameter.type)


def _bytes(parameter: ParameterContract, text: str) -> str:
    data = reflect_value(parameter.type, text)
    return repr(data) if parameter.type == "[]byte" else repr(list(data))


def _value(value: Any, *, is_float: bool = False) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item, is_float=is_float) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(str(key))}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and not isinstance(value, Number):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return str(value)
    text = str(value) if isinstance(value, Number) else repr(value)
    return f"{text}.0" if is_float and text.lstrip("-").isdecimal() else text
