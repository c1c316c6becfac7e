"""How the demo's results are shown: a line each, and on a terminal a spinner until it is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from gomachinery_py.demo.workflow import Step

__all__ = ["Show"]

_TITLE_WIDTH = 52


class Show:
    """Writes to standard output and remembers whether every result was right."""

    def __init__(self) -> None:
        self.all_right = True
        self._console = Console(highlight=False, soft_wrap=True)

    def say(self, text: str = "") -> None:
        """A line of text."""
        self._console.print(Text(text))

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """While something takes its time; shows nothing unless this is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(Text(text)):
            yield

    def step(self, step: Step) -> None:
        """Do a step and show what came back."""
        started = time.monotonic()
        with self.busy(step.title):
            try:
                value = step.run()
                right = step.right(value)
            except Exception as error:
                value, right = f"{type(error).__name__}: {error}", False
        took = (time.monotonic() - started) * 1000
        self.all_right = self.all_right and right
        mark = Text("✓", "green") if right else Text("✗", "bold red")
        line = Text.assemble(
            "  ", mark, f" {step.title:<{_TITLE_WIDTH}} ", (str(value), "bold"), (f"  ({took:.0f} ms)", "dim")
        )
        self._console.print(line)
