"""Messages that are no signature at all: other task queues' envelopes, other encodings, and JSON that is not quite.

Each is known by its first bytes or by the names at its top; nothing is unpickled or evaluated.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final

from gomachinery_py.diagnosis.findings import Finding, error
from gomachinery_py.golang.json import Members, parse

__all__ = ["foreign"]

_MAGIC: Final = (
    (b"\xef\xbb\xbf", "a UTF-8 byte order mark stands before the document", "write UTF-8 without it"),
    (b"\xff\xfe\x00\x00", "the text is UTF-32", "encode it as UTF-8"),
    (b"\xff\xfe", "the text is UTF-16", "encode it as UTF-8"),
    (b"\xfe\xff", "the text is UTF-16", "encode it as UTF-8"),
    (b"\x1f\x8b", "the message is compressed by gzip", "send the JSON as it is"),
    (b"\x28\xb5\x2f\xfd", "the message is compressed by zstd", "send the JSON as it is"),
    (b"\x78\x9c", "the message is compressed by zlib (RQ keeps its jobs so)", "send a signature as JSON"),
    (b"\x80\x02", "the message is a Python pickle", "send JSON; nothing here unpickles"),
    (b"\x80\x03", "the message is a Python pickle", "send JSON; nothing here unpickles"),
    (b"\x80\x04", "the message is a Python pickle", "send JSON; nothing here unpickles"),
    (b"\x80\x05", "the message is a Python pickle", "send JSON; nothing here unpickles"),
    (b"a:", "the message is PHP's serialize()", "use json_encode()"),
    (b"O:", "the message is PHP's serialize()", "use json_encode()"),
)

# Whose envelope has these members at its top; the first that fits.
_ENVELOPES: Final = (
    ("Kombu (Celery's transport)", {"body", "content-encoding", "content-type", "properties"}),
    ("Celery (protocol 1)", {"task", "id", "args", "kwargs"}),
    ("Dramatiq", {"queue_name", "actor_name", "args", "message_id"}),
    ("Sidekiq", {"class", "jid", "args"}),
    ("Resque", {"class", "args"}),
    ("Laravel", {"job", "data", "displayName"}),
    ("BullMQ", {"name", "data", "opts"}),
    ("arq or a plain function call", {"function", "args", "kwargs"}),
    ("Huey or a plain function call", {"name", "args", "kwargs"}),
    ("CloudEvents", {"specversion", "type", "source"}),
)
_GO_BYTES: Final = re.compile(rb"\[[0-9]{1,3}(?: [0-9]{1,3})+\]")
_PYTHON: Final = re.compile(r"\{\s*'|:\s*(?:None|True|False)\b")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")


def foreign(data: bytes, tree: Any, *, is_json: bool) -> Iterator[Finding]:
    """What else a message is than a signature; ``tree`` is the document that was read, where one could be."""
    if not is_json:
        yield from _no_json(data)
    elif type(tree) is Members:
        keys = {key.written for key, _, _ in tree}
        if "Name" not in {key.field.name for key, _, _ in tree if key.field is not None} or "args" in keys:
            yield from _envelope(keys)
    elif isinstance(tree, str):
        yield from _in_a_string(tree)
    elif isinstance(tree, list):
        yield from _in_a_list(tree)


def _envelope(keys: set[str]) -> Iterator[Finding]:
    for whose, members in _ENVELOPES:
        if members <= keys:
            yield error(
                "foreign-envelope",
                "",
                f"this is how {whose} writes a task, not Machinery",
                'a signature: {"UUID": "task_…", "Name": …, "Args": [{"Type": …, "Value": …}]}; it has no keywords',
            )
            return


def _in_a_string(text: str) -> Iterator[Finding]:
    if text.lstrip().startswith("{"):
        yield error(
            "encoded-twice",
            "",
            "the signature was made JSON twice: it is text inside of a JSON string",
            "encode it once",
        )


def _in_a_list(items: list[Any]) -> Iterator[Finding]:
    embedded = {key.written for key, _, _ in items[2]} if len(items) == 3 and type(items[2]) is Members else set()
    if "callbacks" in embedded and isinstance(items[0], list):
        yield error(
            "foreign-envelope",
            "",
            "this is the body of a Celery task (protocol 2: arguments, keywords, callbacks), not a signature",
            "the task's name is in Celery's headers; send a signature",
        )
    elif items and all(isinstance(item, Members) for item in items):
        yield error("several-in-one", "", "several signatures in one message", "one message for each task")
    elif items and all(isinstance(item, int) and 0 <= item <= 255 for item in items):
        yield error("list-of-bytes", "", "the bytes of a message as a list of numbers", "the text itself")


def _no_json(data: bytes) -> Iterator[Finding]:
    for magic, what, instead in _MAGIC:
        if data.startswith(magic):
            yield error("other-encoding", "", what, instead)
            return
    text = data.decode("utf-8", "replace").strip()
    if _GO_BYTES.fullmatch(data.strip()):
        # Seen in https://github.com/RichardKnop/machinery/issues/201.
        yield error(
            "printed-bytes", "", "these are bytes as Go prints them with %v", "print them with %s, or string(bytes)"
        )
    elif "\x00" in text:
        # Before what texts are known by: all of it is found somewhere in enough random bytes.
        yield error("other-encoding", "", "the message is binary (UTF-16, MessagePack, Protobuf?)", "JSON in UTF-8")
    elif _PYTHON.search(text):
        yield error("python-text", "", "this is how Python prints a dict, which is not JSON", "json.dumps(…)")
    elif re.search(r"\b(?:NaN|Infinity)\b", text):
        yield error(
            "no-number",
            "",
            "NaN and Infinity are no JSON; Python's json.dumps writes them",
            "allow_nan=False finds them",
        )
    elif re.search(r",\s*[\]}]", text):
        yield error("trailing-comma", "", "a comma stands before a closing bracket", "no comma after the last member")
    elif _BASE64.fullmatch(data.strip()) and _is_wrapped_json(data.strip()):
        yield error("base64", "", "the message is base64 of the JSON", "send the JSON as it is")


def _is_wrapped_json(data: bytes) -> bool:
    try:
        return isinstance(parse(base64.b64decode(data, validate=True)), dict)
    except (ValueError, binascii.Error):
        return False
