"""The states of one task as text: each is the one before with two or three words exchanged.

On Redis a state carries TaskName and CreatedAt of the stored one on. Where that document is written as we would write
it, and plain, its bytes around those words are kept as they are, so nothing is decoded and written again.
``tests/test_state_text.py`` shows that what comes out is what :func:`~gomachinery_py.wire.encode.encode_task_state`
writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import escaped, quote
from gomachinery_py.wire.encode import results_text
from gomachinery_py.wire.model import TaskResult

__all__ = ["StateText"]

# Printable ASCII that JSON, as Go writes it, has no escape for.
_TEXT: Final = rb"[ !#-%'-;=?-\[\]-~]*"
_DAY: Final = (
    rb"(?:19|20|21)[0-9]{2}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME: Final = _DAY + rb"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{0,8}[1-9])?Z"
_HEAD: Final = rb'(\{"TaskUUID":"(' + _TEXT + rb')","TaskName":"' + _TEXT + rb'","State":")'
_PLAIN: Final = re.compile(
    _HEAD + rb'([A-Z]*)","Results":null,"Error":""'
    rb'(,"CreatedAt":"' + _TIME + rb'","TTL":0\})'
)
_match: Final = _PLAIN.fullmatch
_match_head: Final = re.compile(_HEAD).fullmatch
_NOTHING_MORE: Final = b'","Results":null,"Error":""'


class StateText:
    """What the states of one task have in common."""

    __slots__ = ("_head", "_tail", "state")

    def __init__(self, head: bytes, state: str, tail: bytes) -> None:
        self._head = head
        #: The stored one.
        self.state = state
        self._tail = tail

    @classmethod
    def of(cls, document: bytes, uuid: str) -> StateText | None:
        """A stored state of this task; None when it is not plain, or not this task's."""
        match = _match(document)
        if match is None:
            return None
        head, found, state, tail = match.groups()
        return cls(head, state.decode(), tail) if found == uuid.encode() else None

    @staticmethod
    def head(uuid: str, task_name: str) -> bytes | None:
        """What is before the state's name in a task's plain states; None when they are not plain."""
        head = b'{"TaskUUID":"%b","TaskName":"%b","State":"' % (uuid.encode(), task_name.encode())
        return head if _match_head(head) is not None else None

    @classmethod
    def between(cls, head: bytes, state: str, rest: bytes) -> StateText:
        """A stored state of which is known what is before and after the state's name."""
        return cls(head, state, rest[len(_NOTHING_MORE) :])

    def document(self, state: str, results: Iterable[TaskResult | None] | None = None, error: str = "") -> bytes:
        """Another state of this task as Go writes it. Raises WireError for results that cannot be written."""
        if results is None and not error:
            return self._head + state.encode() + _NOTHING_MORE + self._tail
        try:
            written = escaped(results_text(results))
            return b'%b%b","Results":%b,"Error":%b%b' % (
                self._head,
                state.encode(),
                written.encode(),
                quote(error).encode(),
                self._tail,
            )
        except (TypeError, ValueError, AttributeError) as problem:
            raise WireError(f"Results: {problem}") from None
