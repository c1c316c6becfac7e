"""What is wrong with a message that Go cannot read, place by place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gomachinery_py.diagnosis.decoding import Decoding, Problem
from gomachinery_py.diagnosis.findings import Finding, error
from gomachinery_py.diagnosis.suggestions import shown, time_text, type_of, whole_number
from gomachinery_py.golang.json import Number

__all__ = ["unreadable"]

_ZERO: Final = {"string": '""', "bool": "false", "int": "0", "uint8": "0"}


def unreadable(decoding: Decoding) -> Iterator[Finding]:
    """A finding for each value that Go cannot take, and one for what is no JSON."""
    if decoding.tree is None and decoding.error:
        if decoding.offset == 0 and decoding.error == "EOF":
            yield error("empty", "", "the message is empty", "a signature as JSON")
            return
        at = "" if decoding.offset is None else f" (at byte {decoding.offset})"
        yield error("no-json", "", f"{decoding.error}{at}")
    for problem in decoding.problems:
        yield error("wrong-kind", problem.path, problem.text, _instead(problem))


def _instead(problem: Problem) -> str:
    kind, value = problem.go_type, problem.value
    name = problem.path.rpartition(".")[2].partition("[")[0]
    if kind == "time.Time":
        text = time_text(value)
        return f'"{name}": "{text}"' if text else f'"{name}": null, or a time as "2006-01-02T15:04:05Z"'
    if kind == "tasks.Arg":
        guessed = type_of(value)
        return f'{{"Type": "{guessed}", "Value": {shown(value)}}}' if guessed else '{"Type": …, "Value": …}'
    if kind == "tasks.Signature":
        return "a JSON object: the task with its own Name and Args" if problem.path else "a JSON object"
    if kind == "tasks.Headers":
        return f'"{name}": {{}} (PHP writes an empty array as []; an object is wanted)'
    if kind.startswith("[]"):
        return f'"{name}": [{shown(value)}]' if isinstance(value, dict | list) and value else f'"{name}": []'
    fixed = _scalar(kind, value)
    return f'"{name}": {fixed}' if fixed else ""


def _scalar(kind: str, value: Any) -> str:
    if kind == "string":
        return f'"{shown(value)}"' if isinstance(value, int | float | Number) else '""'
    if kind == "bool":
        return "true" if value in (1, "1", "true", "True", "yes") else "false"
    whole = whole_number(value)
    if whole is None or (kind == "uint8" and not 0 <= whole <= 255):
        return "a whole number from 0 to 255" if kind == "uint8" else _ZERO[kind]
    return str(whole)
