"""What every fault test has in common: which columns it runs, and how it ends."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeVar

from harness.faults import Verdict, table

__all__ = ["chosen", "together", "told"]

Column = TypeVar("Column")


def chosen(options: argparse.Namespace, columns: dict[str, Column], sabotaged: dict[str, Column]) -> dict[str, Column]:
    """What is to be run, by its title: with ``--sabotaged`` only ours, with the safeguard taken away."""
    return sabotaged if options.sabotaged else columns


def told(title: str, columns: dict[str, Verdict], kept: bool) -> bool:
    """Print verdicts side by side, and whether what we promise held; returns that."""
    print(table(title, columns), end="\n\n")
    print(f"{title}: {'kept' if kept else 'BROKEN'}", end="\n\n", flush=True)
    return kept


def together(options: argparse.Namespace, kept: Sequence[bool]) -> bool:
    """Whether every promise held; with ``--sabotaged`` one that did is one too many."""
    return any(kept) if options.sabotaged else all(kept)
