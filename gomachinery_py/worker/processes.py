"""One worker in several processes: a parent that starts them, passes signals on, and replaces those that died.

Python runs one thread at a time, so a second process is what makes use of a second core. Each process is a worker of
its own, with a name of its own, so that what one of them held when it died is recovered like any other worker's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from gomachinery_py.errors import ConfigError, MachineryError

__all__ = ["run_processes"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# Who lived so long was in good health.
_HEALTHY_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class _Place:
    """One of the processes, or the place of one that is to be started."""

    pid: int = 0
    started: float = 0.0
    not_before: float = 0.0
    failures: int = 0


def run_processes(count: int, run_one: Callable[[], bool]) -> bool:
    """Run ``run_one`` in ``count`` processes until a signal; True when each of them returned True then.

    To be called on the main thread. ``run_one`` starts with SIGINT and SIGTERM blocked and must unblock them when it
    handles them as a worker does: the first one drains, the second one quits. Raises ConfigError where processes
    cannot be forked.
    """
    if not hasattr(os, "fork"):
        raise ConfigError("several processes need a system that can fork; start several workers instead")
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("several processes are started on the main thread, where signals arrive")
    return _Parent(count, run_one).run()


class _Parent:
    def __init__(self, count: int, run_one: Callable[[], bool]) -> None:
        self._run_one = run_one
        self._places = [_Place() for _ in range(count)]
        self._signals = 0
        self._drained = True
        # Its end in the children says when the parent is gone.
        self._lifeline, self._alive = os.pipe()

    def run(self) -> bool:
        before = [(number, signal.signal(number, self._on_signal)) for number in _SIGNALS]
        try:
            while not self._signals or any(place.pid for place in self._places):
                self._look()
                time.sleep(_LOOK_SECONDS)
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            os.close(self._alive)
            os.close(self._lifeline)
        return self._drained

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        for place in self._places:
            if place.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(place.pid, signal.SIGTERM)
        log.warning("signal %d: passed on to the processes", number)

    def _look(self) -> None:
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._ended(place, os.waitstatus_to_exitcode(status))
            if not place.pid and not self._signals and place.not_before <= time.monotonic():
                self._start(place)

    def _ended(self, place: _Place, code: int) -> None:
        pid, place.pid = place.pid, 0
        if self._signals:
            self._drained = self._drained and code == 0
            return
        now = time.monotonic()
        place.failures = 0 if now - place.started > _HEALTHY_SECONDS else place.failures + 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(place.failures - 1, 10)) if place.failures else 0.0
        place.not_before = now + pause
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        log.error("process %d %s; another one starts in %.0f s", pid, how, pause)

    def _start(self, place: _Place) -> None:
        # A signal that arrives between fork and the new process's own handlers would be lost, or end it at once.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self._signals:
                # It came just before: whoever is started now would never hear of it.
                return
            place.started = time.monotonic()
            place.pid = os.fork()
            if place.pid == 0:
                self._be_child()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        log.info("process %d started", place.pid)

    def _be_child(self) -> None:
        """Work, and end this process; never returns."""
        code = 1
        try:
            # Not in the terminal's group: a Ctrl-C reaches the parent, which passes it on, and not twice the child.
            os.setpgid(0, 0)
            os.close(self._alive)
            threading.Thread(target=self._follow_parent, name="parent-watch", daemon=True).start()
            code = 0 if self._run_one() else 1
        except MachineryError as error:
            log.error("process %d: %s", os.getpid(), error)
        except BaseException:
            log.exception("process %d failed", os.getpid())
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code)

    def _follow_parent(self) -> None:
        """Drain when the parent has ended without a word."""
        os.read(self._lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)
