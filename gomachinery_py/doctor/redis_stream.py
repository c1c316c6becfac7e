"""What clients told a Redis server, line by line as ``MONITOR`` shows it, and what circles in it.

A task that a worker does not register is pushed back the moment it is popped. It may never be seen in the queue:
another ``BLPOP`` waits for it already. What is seen is the same body being pushed again, although nobody has stored a
state of its task meanwhile: whoever sends a task stores PENDING first, whoever runs it stores RECEIVED. Python workers
give tasks back at the head of a queue (``LPUSH``), so that is something else.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gomachinery_py.errors import WireError
from gomachinery_py.wire import decode_signature

__all__ = ["Circling", "Heard", "digest", "hear", "unescaped"]

_TEXT: Final = rb'"((?:[^"\\]|\\.)*+)"'
_LINE: Final = re.compile(
    rb"[\d.]+ \[(\d+) [^\]]*\] " + _TEXT + rb"(?: " + _TEXT + rb")?(?: " + _TEXT + rb")?", re.DOTALL
)
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NAMED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_POPS: Final = frozenset({b"BLPOP", b"LPOP", b"BLMOVE", b"LMOVE"})
# As a line has it, with its quotes escaped; PENDING is whoever sends the task.
_SERVED: Final = re.compile(rb'\\"TaskName\\":\\"(.*?)\\",\\"State\\":\\"(?!PENDING)')
_MOVES: Final = frozenset({b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE", b"ZREM"})
_RELEVANT: Final = _POPS | _MOVES | {b"RPUSH", b"SET", b"ECHO"}
_SHOWN_UUIDS: Final = 3


@dataclass(slots=True)
class Circling:
    """Tasks of one name that were pushed back to one queue."""

    queue: str
    name: str
    times: int = 0
    uuids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Heard:
    """What was in the stream."""

    #: Pops, and attempts to pop, of each queue.
    pops: Counter[str] = field(default_factory=Counter)
    circling: dict[tuple[str, str], Circling] = field(default_factory=dict)
    #: States after PENDING that were stored of tasks of a name.
    served: Counter[str] = field(default_factory=Counter)
    #: Somebody looked for delayed tasks that are due: a worker lives, of whatever queue.
    moves: bool = False


def digest(body: bytes) -> bytes:
    """A name for a body that is short enough to be kept for thousands of them."""
    return hashlib.blake2b(body, digest_size=16).digest()


def unescaped(text: bytes) -> bytes:
    """What a quoted word of a line stands for (Redis: ``sdscatrepr``)."""
    if b"\\" not in text:
        return text
    plain = text.replace(b'\\"', b'"')
    return plain if b"\\" not in plain else _ESCAPE.sub(_meant, text)


def _meant(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code[1:], 16)]) if len(code) == 3 else _NAMED.get(code, code)


def hear(
    lines: Iterable[bytes],
    db: int,
    queues: Iterable[str],
    delayed_key: str,
    seen: Mapping[bytes, tuple[str, Iterable[bytes]]],
) -> Heard:
    """Read a stream; of other databases only the states that are stored there matter.

    Args:
        lines: in their order.
        db: the number of the broker's database.
        queues: the queues that matter.
        delayed_key: where tasks wait for their time.
        seen: by the text of an ``ECHO`` in the stream: a queue, and digests of bodies that it held just then.
    """
    heard = Heard()
    number, delayed = str(db).encode(), delayed_key.encode()
    names = {queue.encode(): queue for queue in queues}
    waiting: dict[str, set[bytes]] = {queue: set() for queue in names.values()}
    touched: set[bytes] = set()
    for line in lines:
        match = _LINE.match(line)
        if match is None or match[3] is None or (command := match[2].upper()) not in _RELEVANT:
            continue
        key = unescaped(match[3])
        if command == b"SET":
            touched.add(key)
            if told := _SERVED.search(match[4] or b""):
                heard.served[unescaped(told[1]).decode("utf-8", "replace")] += 1
        elif match[1] != number:
            continue
        elif command == b"ECHO" and key in seen:
            queue, digests = seen[key]
            waiting[queue].update(digests)
        elif command in _MOVES:
            heard.moves = heard.moves or key == delayed
        elif key in names:
            if command != b"RPUSH":
                heard.pops[names[key]] += 1
            elif match[4] is not None:
                _pushed(heard, names[key], unescaped(match[4]), waiting[names[key]], touched)
    return heard


def _pushed(heard: Heard, queue: str, body: bytes, waiting: set[bytes], touched: set[bytes]) -> None:
    name = digest(body)
    if name not in waiting:
        waiting.add(name)
        return
    try:
        signature = decode_signature(body)
    except WireError:
        return
    uuid = signature.uuid.encode()
    if uuid in touched:
        # Sent again under its old UUID, as periodic tasks are, or tried again.
        touched.discard(uuid)
        return
    circling = heard.circling.setdefault((queue, signature.name), Circling(queue, signature.name))
    circling.times += 1
    if signature.uuid not in circling.uuids and len(circling.uuids) < _SHOWN_UUIDS:
        circling.uuids.append(signature.uuid)
