"""A word on a terminal while something takes its time; never anywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["counting", "progress"]

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


@contextmanager
def counting(text: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done (None: nobody knows), on standard error; yields what is told the number."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(escape(text)), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(text, total=total)
        yield lambda done: shown.update(task, completed=done)
