"""How a message is written: keys that Go drops, merges or takes in another case; bytes that it changes or ignores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from gomachinery_py.diagnosis.document import Member, document_end, members_of, text_of
from gomachinery_py.diagnosis.findings import Finding, error, note, warning
from gomachinery_py.golang.json import Members
from gomachinery_py.wire.decode import Struct

__all__ = ["spelling"]

_NO_UTF_8: Final = re.compile("[\udc80-\udcff]")
# What the same thing is called elsewhere.
_ELSEWHERE: Final = {
    "id": "UUID",
    "taskid": "UUID",
    "taskuuid": "UUID",
    "task": "Name",
    "taskname": "Name",
    "function": "Name",
    "queue": "RoutingKey",
    "queuename": "RoutingKey",
    "arguments": "Args",
    "params": "Args",
    "parameters": "Args",
    "retries": "RetryCount",
    "maxretries": "RetryCount",
    "countdown": "ETA",
    "delay": "ETA",
    "runat": "ETA",
    "groupid": "GroupUUID",
    "callback": "OnSuccess",
    "errback": "OnError",
    "chord": "ChordCallback",
    "kind": "Type",
    "val": "Value",
    "kwargs": "Args",
}


def spelling(data: bytes, tree: Members) -> Iterator[Finding]:
    """Findings about keys and bytes, in the order of the text."""
    text = text_of(data)
    if _NO_UTF_8.search(text):
        yield warning("no-utf-8", "", "bytes that are not UTF-8: Go reads each as U+FFFD, and writes that on", "UTF-8")
    yield from _behind(text)
    written = Counter(
        (member.holder, member.key.field.name)
        for member in members_of(tree)
        if member.position is None and member.key.field is not None
    )
    seen: set[tuple[int, str]] = set()
    others: dict[str, str] = {}
    for member in members_of(tree):
        if member.position is not None:
            continue
        if member.key.field is None:
            meant = _meant(member.key.written, member.struct)
            yield _dropped(member, "" if (member.holder, meant) in written else meant)
            continue
        place = (member.holder, member.key.field.name)
        if place in seen:
            yield _twice(member)
        seen.add(place)
        if member.key.written != member.key.field.name:
            others.setdefault(member.key.written, member.key.field.name)
    if others:
        what = f"Go takes field names in any case: {', '.join(others)}"
        yield note("other-case", "", what, ", ".join(others.values()))


def _behind(text: str) -> Iterator[Finding]:
    rest = text[document_end(text) :].strip(" \t\r\n\x00")
    if rest.startswith(("{", "[")):
        yield error("second-document", "", "another document follows: Go ignores it", "one message for each task")
    elif rest:
        yield warning("text-behind", "", f"{len(rest)} characters follow the document: Go ignores them", "nothing")


def _dropped(member: Member, meant: str) -> Finding:
    what = "Go drops it: Machinery has no such field"
    if meant:
        return error("unknown-field", member.path, what, f'"{meant}"')
    return warning("unknown-field", member.path, what)


def _meant(written: str, struct: Struct[object]) -> str:
    plain = "".join(character for character in written.lower() if character.isalnum())
    for name in (plain, _ELSEWHERE.get(plain, "")):
        found = struct.member(name) if name else None
        if found is not None:
            return str(found[0].name)
    return ""


def _twice(member: Member) -> Finding:
    assert member.key.field is not None
    if member.key.field.struct is not None or member.key.field.kind == "tasks.Headers":
        what = "given twice: Go merges both, element by element"
    else:
        what = "given twice: the last one counts"
    return warning("given-twice", member.path, what, "once")
