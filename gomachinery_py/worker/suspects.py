"""How long the worker waits for what runs to end when a task must run alone, and for which task it waits.

Such a task, a suspect, was running when workers died. It begins when nothing else runs and nothing else begins until it
has ended: whatever the process dies of then, nobody else is counted.

While it waits, nothing new begins, so that short tasks make way at once. Behind a long one it does not hold up others
for ever: it goes to the end of the queue, where an idle worker finds it, and all that waits has its turn before this
worker waits for it again. One that has come by for long enough is waited for until what runs has ended, however long
that takes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

__all__ = ["Suspects"]

# So long nothing new begins for the sake of one suspect.
_QUIET_SECONDS: Final = 5.0
# After so much time a suspect that came by again is not sent away any more.
_INSIST_SECONDS: Final = 600.0
# Longer than anything runs.
_WITHOUT_END: Final = 1e8
# More suspects are not remembered.
_MOST: Final = 1_000


class Suspects:
    """Remembers when suspects first came by that could not begin; for one thread at a time."""

    def __init__(self) -> None:
        self._met: OrderedDict[bytes, float] = OrderedDict()

    def insists(self, body: bytes, now: float) -> bool:
        """Whether this one is not sent away any more."""
        met = self._met.get(_mark(body))
        return met is not None and now >= met + _INSIST_SECONDS

    def patience(self, body: bytes, now: float) -> float:
        """For how many seconds this one may keep others from beginning, while something runs that it waits for."""
        return _WITHOUT_END if self.insists(body, now) else _QUIET_SECONDS

    def sent_away(self, body: bytes, now: float) -> None:
        """It waited in vain and is on the queue again."""
        self._met.setdefault(_mark(body), now)
        if len(self._met) > _MOST:
            self._met.popitem(last=False)


def _mark(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
