"""Short calls on the thread that drives, and another thread that drives on when one of them is not short after all.

To hand a call to another thread and to be told of its end costs more than many a call. So calls that have been short so
far run where they are. A second thread looks on: when it has found the same call running twice, it takes over what the
first one does, and nothing but that call is held up. The first one then tells the call's outcome and ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from gomachinery_py.worker.executor import Call, Ended

__all__ = ["Paces", "Relay"]

# A call that runs for one to two of these is found out.
_LOOK_SECONDS: Final = 0.002
# Calls of a kind that take no longer on average are short.
_SHORT_SECONDS: Final = 0.0002
# So much of one call counts: that a thread had to wait for a processor says little about what it runs.
_MOST_SECONDS: Final = 0.001
_UNKNOWN_SECONDS: Final = 0.01


class Paces:
    """How long calls of each kind take, the latest ones counting most. For one thread at a time."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def is_short(self, kind: str) -> bool:
        """Whether such calls have been short; one that is not known is not."""
        return self._means.get(kind, _UNKNOWN_SECONDS) < _SHORT_SECONDS

    def ran(self, kind: str, seconds: float) -> None:
        """A call of this kind took so long."""
        mean = self._means.get(kind)
        # The first one tells more than nothing does.
        seconds = min(seconds, _MOST_SECONDS)
        self._means[kind] = seconds if mean is None else mean + (seconds - mean) * 0.2

    def was_long(self, kind: str) -> None:
        """A call of this kind held up its thread."""
        self._means[kind] = _UNKNOWN_SECONDS


class Relay:
    """``drive`` is what another thread is to do when a call, which it is given, holds up the one that drives."""

    def __init__(self, drive: Callable[[Call], None], name: str) -> None:
        self._drive = drive
        self._name = name
        self._reliefs = 0
        # What a call that runs here has: whoever takes it, its end or the thread that looks on, is who goes on driving.
        self._token: list[Call] = []
        self._begun = 0
        #: Somebody looks on; else whoever begins a call wakes the one that is to.
        self.looks_on = False
        self._closed = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._standby: threading.Thread | None = None

    def run(self, calls: deque[Call], ended: Callable[[Ended], None], late: Callable[[Ended], None]) -> bool:
        """Run calls one after the other for a while; what is left of them then has not begun.

        False: one took long, its outcome went to ``late``, and another thread drives now.
        """
        token, now = self._token, time.monotonic
        if self._standby is None:
            self._stand_by()
        began = start = now()
        while calls:
            item = calls.popleft()
            key, call = item
            self._begun += 1
            token.append(item)
            if not self.looks_on:
                self.looks_on = True
                self._wake.put(None)
            try:
                value = call()
            except BaseException as error:
                value = error
            moment = now()
            try:
                token.pop()
            except IndexError:
                late((key, value, moment - began))
                return False
            ended((key, value, moment - began))
            began = moment
            if moment - start > _LOOK_SECONDS / 2:
                break
        return True

    def close(self) -> None:
        """Let the thread that looks on end; to be called by the one that drives."""
        self._closed = True
        self._wake.put(None)

    # -- the thread that looks on --

    def _stand_by(self) -> None:
        self._reliefs += 1
        self._standby = threading.Thread(target=self._look_on, name=f"{self._name}-{self._reliefs}", daemon=True)
        self._standby.start()

    def _look_on(self) -> None:
        token = self._token
        seen = 0
        while not self._closed:
            if seen == self._begun and not token:
                # Nothing has begun since the last look. Said first and looked at again: else a call could slip between.
                self.looks_on = False
                if seen == self._begun:
                    self._wake.get()
                self.looks_on = True
            seen = self._begun
            time.sleep(_LOOK_SECONDS)
            if seen == self._begun and token:
                try:
                    item = token.pop()
                except IndexError:
                    continue
                self._standby = None
                self._drive(item)
                return
