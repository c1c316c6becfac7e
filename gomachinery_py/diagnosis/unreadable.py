"""What is wrong with a message that Go cannot read, place by place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gomachinery_py.diagnosis.decoding import Decoding, Problem
from gomachinery_py.diagnosis.document import members_of
from gomachinery_py.diagnosis.findings import Finding, error
from gomachinery_py.diagnosis.suggestions import shown, time_text, type_of, whole_number
from gomachinery_py.diagnosis.values import value
from gomachinery_py.golang.json import EscapedText, Members, Number
from gomachinery_py.wire.decode import SIGNATURE
from gomachinery_py.wire.model import Arg

__all__ = ["arguments_in", "unreadable"]

# Beyond these, one finding is as good as a thousand more.
_MOST: Final = 1000
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


def arguments_in(tree: Members) -> Iterator[Finding]:
    """What is wrong with the arguments that can be read in a message that cannot: it need not be put right twice."""
    for member in members_of(tree):
        if member.position is None or member.position >= _MOST or type(member.value) is not Members:
            continue
        parts = {key.field.name: value for key, value, _ in member.value if key.field is not None}
        kind = parts.get("Type", "")
        if member.struct is SIGNATURE and "Type" in parts and isinstance(kind, str):
            written = parts.get("Value")
            yield from value(Arg(str(kind), str(written) if type(written) is EscapedText else written), member.path)


def _instead(problem: Problem) -> str:
    kind, given = problem.go_type, problem.value
    name = problem.path.rpartition(".")[2].partition("[")[0]
    if kind == "time.Time":
        text = time_text(given)
        return f'"{name}": "{text}"' if text else f'"{name}": null, or a time as "2006-01-02T15:04:05Z"'
    if kind == "tasks.Arg":
        guessed = type_of(given)
        return f'{{"Type": "{guessed}", "Value": {shown(given)}}}' if guessed else '{"Type": …, "Value": …}'
    if kind == "tasks.Signature":
        return "a JSON object: the task with its own Name and Args" if problem.path else "a JSON object"
    if kind == "tasks.Headers":
        return f'"{name}": {{}} (PHP writes an empty array as []; an object is wanted)'
    if kind.startswith("[]"):
        return f'"{name}": [{shown(given)}]' if isinstance(given, dict | list) and given else f'"{name}": []'
    fixed = _scalar(kind, given)
    return f'"{name}": {fixed}' if fixed else ""


def _scalar(kind: str, given: Any) -> str:
    if kind == "string":
        return f'"{shown(given)}"' if isinstance(given, int | float | Number) else '""'
    if kind == "bool":
        return "true" if given in (1, "1", "true", "True", "yes") else "false"
    whole = whole_number(given)
    if whole is None or (kind == "uint8" and not 0 <= whole <= 255):
        return "a whole number from 0 to 255" if kind == "uint8" else _ZERO[kind]
    return str(whole)
