"""Processes that tasks fork: a worker's signal handlers are not theirs.

They would inherit them, and ``terminate()`` or the end of a ``multiprocessing.Pool`` would wait for ever. SIGTERM does
to them what it does to any process. SIGINT comes from a terminal, to all at once, and what becomes of running tasks is
then the worker's affair, so they take no notice of it.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

__all__ = ["handled_here"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_mask = threading.local()
_is_registered = False
#: The process whose handlers must not be inherited.
_owner = 0


def handled_here(is_handled: bool) -> None:
    """Say that this process handles SIGINT and SIGTERM as a worker does, or that it does so no more."""
    global _is_registered, _owner
    _owner = os.getpid() if is_handled else 0
    if not _is_registered and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
        _is_registered = True


def _before() -> None:
    # One that arrived before the child has its own handlers would be lost there: Python forgets it after a fork.
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS) if _owner == os.getpid() else None


def _after() -> None:
    if _mask.before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _after_in_child() -> None:
    if _mask.before is not None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Not SIG_IGN, which a program that it becomes would inherit.
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
        handled_here(False)
        _after()
