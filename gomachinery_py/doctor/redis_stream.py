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

__all__ = ["Circling", "Listener", "digest", "unescaped"]

_TEXT: Final = rb'"((?:[^"\\]|\\.)*+)"'
_LINE: Final = re.compile(
    rb'[\d.]+ \[(\d+) [^"]*\] ' + _TEXT + rb"(?: " + _TEXT + rb")?(?: " + _TEXT + rb")?", re.DOTALL
)
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NAMED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_POPS: Final = frozenset({b"BLPOP", b"LPOP", b"BLMOVE", b"LMOVE"})
# As a line has it, with its quotes escaped; PENDING is whoever sends the task.
_SERVED: Final = re.compile(rb'\\"TaskName\\":\\"(.*?)\\",\\"State\\":\\"(?!PENDING)')
_MOVES: Final = frozenset({b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE", b"ZREM"})
_RELEVANT: Final = _POPS | _MOVES | {b"RPUSH", b"SET", b"ECHO"}
_SHOWN_UUIDS: Final = 3
_MOST_UNANNOUNCED: Final = 50


@dataclass(slots=True)
class Circling:
    """Tasks of one name that were pushed back to one queue."""

    queue: str
    name: str
    times: int = 0
    uuids: list[str] = field(default_factory=list)
    #: One of them was sent long before anybody listened.
    is_old: bool = False


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


class Listener:
    """What is told of some queues; ``feed`` it with lines in their order.

    Args:
        db: the number of the broker's database; of other ones only the states that are stored there matter.
        queues: the queues that matter.
        delayed_key: where tasks wait for their time.
        seen: by the text of an ``ECHO`` in the stream: a queue, and digests of bodies that it held just then.
    """

    def __init__(
        self, db: int, queues: Iterable[str], delayed_key: str, seen: Mapping[bytes, tuple[str, Iterable[bytes]]]
    ) -> None:
        #: Pops, and attempts to pop, of each queue.
        self.pops: Counter[str] = Counter()
        #: Pushed back, by queue and name.
        self.circling: dict[tuple[str, str], Circling] = {}
        #: States after PENDING that were stored of tasks of a name.
        self.served: Counter[str] = Counter()
        #: Somebody looked for delayed tasks that are due: a worker lives, of whatever queue.
        self.moves = False
        #: Pushed once, by nobody who stored a state before, by UUID: a queue and a name. Who was sent long ago circles.
        self.unannounced: dict[str, tuple[str, str]] = {}
        self._number = str(db).encode()
        self._delayed = delayed_key.encode()
        self._names = {queue.encode(): queue for queue in queues}
        self._waiting: dict[str, set[bytes]] = {queue: set() for queue in self._names.values()}
        self._seen = seen
        self._touched: set[bytes] = set()

    def feed(self, lines: Iterable[bytes]) -> None:
        """More of the stream."""
        for line in lines:
            match = _LINE.match(line)
            if match is None or match[3] is None or (command := match[2].upper()) not in _RELEVANT:
                continue
            key = unescaped(match[3])
            if command == b"SET":
                self._touched.add(key)
                if told := _SERVED.search(match[4] or b""):
                    self.served[unescaped(told[1]).decode("utf-8", "replace")] += 1
            elif match[1] != self._number:
                continue
            elif command == b"ECHO" and key in self._seen:
                queue, digests = self._seen[key]
                # A list may have been read and then found to be something else than a queue.
                if queue in self._waiting:
                    self._waiting[queue].update(digests)
            elif command in _MOVES:
                self.moves = self.moves or key == self._delayed
            elif key in self._names:
                if command != b"RPUSH":
                    self.pops[self._names[key]] += 1
                elif match[4] is not None:
                    self._pushed(self._names[key], unescaped(match[4]))

    def _pushed(self, queue: str, body: bytes) -> None:
        mark = digest(body)
        is_new = mark not in self._waiting[queue]
        self._waiting[queue].add(mark)
        if is_new and len(self.unannounced) >= _MOST_UNANNOUNCED:
            return
        try:
            signature = decode_signature(body)
        except WireError:
            return
        uuid = signature.uuid.encode()
        if uuid in self._touched:
            # Sent for the first time, sent again under its old UUID as periodic tasks are, or tried again.
            if not is_new:
                self._touched.discard(uuid)
        elif not is_new:
            self.came_back(queue, signature.name, signature.uuid)
        elif signature.eta is None and not signature.group_uuid:
            self.unannounced[signature.uuid] = (queue, signature.name)

    def came_back(self, queue: str, name: str, uuid: str, *, is_old: bool = False) -> None:
        """A task was pushed that was sent before."""
        circling = self.circling.setdefault((queue, name), Circling(queue, name))
        circling.times += 1
        circling.is_old = circling.is_old or is_old
        if uuid not in circling.uuids and len(circling.uuids) < _SHOWN_UUIDS:
            circling.uuids.append(uuid)
