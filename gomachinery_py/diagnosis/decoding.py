"""Whether Go can read a message, with the very text of its error, and every place that it could not take.

Go source: ``encoding/json/stream.go`` (``Decode``), ``decode.go`` (``saveError``, ``addErrorContext``). Go reports the
first value of a wrong kind when it has read all, but gives up at once at a time that it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gomachinery_py.diagnosis.document import Member, members_of, read, text_of
from gomachinery_py.golang.json import EscapedText, JsonSyntaxError, Members, Number, value_text
from gomachinery_py.golang.json_read import string_end
from gomachinery_py.golang.time import parse_time
from gomachinery_py.golang.time_error import time_error
from gomachinery_py.wire.decode import WHOLE_NUMBERS, json_kind

__all__ = ["Decoding", "Problem", "decode"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that Go cannot take: where, what it is there, and Go's text."""

    path: str
    go_type: str
    value: Any
    text: str
    stops: bool = False
    """Whether Go reads no further."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What came of reading a message; ``error`` is Go's text, empty when there is none."""

    error: str
    offset: int | None = None
    """The byte that cannot be, for what is not JSON."""
    tree: Any = None
    """The document as it was written; None for what is not JSON."""
    problems: tuple[Problem, ...] = ()


def decode(data: bytes) -> Decoding:
    """Read a message as Go does: ``json.Decoder`` with ``UseNumber`` into a ``tasks.Signature``."""
    try:
        tree = read(data)
    except JsonSyntaxError as error:
        return Decoding(_syntax_text(data, error), error.offset)
    if tree is None:
        return Decoding("", tree=tree)
    if type(tree) is not Members:
        text = f"json: cannot unmarshal {json_kind(tree)} into Go value of type tasks.Signature"
        return Decoding(text, tree=tree, problems=(Problem("", "tasks.Signature", tree, text),))
    problems = [problem for member in members_of(tree) if (problem := _problem(data, member)) is not None]
    last = next((problem for problem in problems if problem.stops), None)
    first = last or (problems[0] if problems else None)
    return Decoding("" if first is None else first.text, tree=tree, problems=tuple(problems))


def _syntax_text(data: bytes, error: JsonSyntaxError) -> str:
    """A Decoder, which reads a stream, has other words than Unmarshal for a text that ends too early."""
    if error.offset < len(data):
        return error.reason
    return "unexpected EOF" if data.strip(b" \t\r\n") else "EOF"


def _problem(data: bytes, member: Member) -> Problem | None:
    field = member.key.field
    if field is None:
        return None
    if member.position is not None:
        # Of what is in a list only the kind counts here; its own members come by themselves.
        if member.value is None or type(member.value) is Members:
            return None
        return _mismatch(member, field.kind.removeprefix("[]").removeprefix("*"))
    return _CHECKS[field.kind](data, member)


def _mismatch(member: Member, go_type: str) -> Problem:
    what = json_kind(member.value)
    if what == "number" and go_type in WHOLE_NUMBERS:
        what = f"number {value_text(member.value)}"
    place = f"{member.struct.name.removeprefix('tasks.')}.{member.go_path}"
    text = f"json: cannot unmarshal {what} into Go struct field {place} of type {go_type}"
    return Problem(member.path, go_type, member.value, text)


def _string(_data: bytes, member: Member) -> Problem | None:
    return None if member.value is None or type(member.value) in (str, EscapedText) else _mismatch(member, "string")


def _bool(_data: bytes, member: Member) -> Problem | None:
    return None if member.value is None or type(member.value) is bool else _mismatch(member, "bool")


def _whole_number(_data: bytes, member: Member) -> Problem | None:
    assert member.key.field is not None
    kind, value = member.key.field.kind, member.value
    if value is None or (type(value) is Number and value == "-0" and kind != "uint8"):
        return None
    low, high = WHOLE_NUMBERS[kind]
    return None if type(value) is int and low <= value <= high else _mismatch(member, kind)


def _time(data: bytes, member: Member) -> Problem | None:
    value = member.value
    if value is None:
        return None
    if type(value) is str:
        try:
            parse_time(value)
        except ValueError:
            pass
        else:
            return None
    if type(value) in (str, EscapedText):
        text = time_error(_literal(data, member.at))
    else:
        text = "Time.UnmarshalJSON: input is not a JSON string"
    return Problem(member.path, "time.Time", value, text, stops=True)


def _literal(data: bytes, at: int) -> bytes:
    """The bytes between the quotes of a string."""
    text = text_of(data)
    begin = text.index('"', at) + 1
    return text[begin : string_end(text, begin - 1) - 1].encode("utf-8", "surrogateescape")


def _map(_data: bytes, member: Member) -> Problem | None:
    return None if member.value is None or type(member.value) is dict else _mismatch(member, "tasks.Headers")


def _pointer(_data: bytes, member: Member) -> Problem | None:
    return None if member.value is None or type(member.value) is Members else _mismatch(member, "tasks.Signature")


def _slice(_data: bytes, member: Member) -> Problem | None:
    assert member.key.field is not None
    return None if member.value is None or type(member.value) is list else _mismatch(member, member.key.field.kind)


def _any(_data: bytes, _member: Member) -> Problem | None:
    return None


_CHECKS: Final[dict[str, Callable[[bytes, Member], Problem | None]]] = {
    "string": _string,
    "bool": _bool,
    "int": _whole_number,
    "uint8": _whole_number,
    "*time.Time": _time,
    "any": _any,
    "tasks.Headers": _map,
    "*tasks.Signature": _pointer,
    "[]tasks.Arg": _slice,
    "[]*tasks.Signature": _slice,
}
