"""A contract as text: the same contract is always the same bytes, and one change is one line.

go/contract/write.go writes the same text.
"""

from __future__ import annotations

from typing import Any, Final

from gomachinery_py.contracts.model import REQUIRED, VERSION, Contract, ParameterContract, ResultContract, TaskContract
from gomachinery_py.contracts.quoting import plain, quoted
from gomachinery_py.golang.json import write_value

__all__ = ["value_text", "write_contract"]

_HEAD: Final = """\
# What this fleet's tasks are called, take and return. Written from code by "gomachinery contract export" and Go's
# contract.Write; "gomachinery contract check" compares it with code and queues.
"""


def write_contract(contract: Contract) -> str:
    """The YAML of a contract."""
    lines = [_HEAD + f"machinery_contract: {VERSION}"]
    lines.append("tasks:" if contract.tasks else "tasks: {}")
    for name in sorted(contract.tasks):
        lines += _task(contract.tasks[name])
    return "\n".join(lines) + "\n"


def _task(task: TaskContract) -> list[str]:
    lines = [f"  {plain(task.name)}:"]
    lines += [
        f"    {key}: {value}"
        for key, given, value in (
            ("doc", task.doc, quoted(task.doc)),
            ("served_by", task.served_by, plain(task.served_by)),
            ("queue", task.queue, plain(task.queue)),
            ("retries", task.retries, task.retries),
            ("retry_timeout", task.retry_timeout, task.retry_timeout),
            ("priority", task.priority, task.priority),
            ("ignore_when_not_registered", task.ignore_when_not_registered, "true"),
        )
        if given
    ]
    lines += _listed("parameters", [_parameter(parameter) for parameter in task.parameters])
    if task.results is not None:
        lines += _listed("results", [_fields(result) for result in task.results])
    return lines


def _listed(key: str, items: list[str]) -> list[str]:
    if not items:
        return [f"    {key}: []"]
    return [f"    {key}:", *(f"      - {{{item}}}" for item in items)]


def _parameter(parameter: ParameterContract) -> str:
    parts = [_fields(parameter)]
    if parameter.name is not None:
        parts.insert(0, f"name: {plain(parameter.name)}")
    if parameter.variadic:
        parts.append("variadic: true")
    if parameter.default is not REQUIRED:
        parts.append(f"default: {value_text(parameter.default)}")
    return ", ".join(parts)


def _fields(value: ResultContract) -> str:
    return f"type: {plain(value.type)}" + (f", json: {plain(value.json)}" if value.json is not None else "")


def value_text(value: Any) -> str:
    """A default as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    # A number may be a text that holds its literal.
    return quoted(value) if type(value) is str else write_value(value)
