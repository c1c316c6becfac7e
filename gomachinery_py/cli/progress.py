"""A word on a terminal while something takes its time; never anywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["progress"]

# What is over sooner shows nothing: a flash helps nobody, and rich takes its time to load.
_SHOWN_AFTER_SECONDS = 0.3


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show ``text`` and that it goes on, on standard error."""
    if not sys.stderr.isatty():
        yield
        return
    shown: list[Status] = []

    def show() -> None:
        from rich.console import Console
        from rich.markup import escape

        status = Console(stderr=True).status(escape(text))
        shown.append(status)
        status.start()

    timer = threading.Timer(_SHOWN_AFTER_SECONDS, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for status in shown:
            status.stop()
