"""docs/compatibility.md shows every subject, every case and every known difference that there is."""

from __future__ import annotations

import re

import test_conformance
from compatibility_table import CASES, PAGE, render
from harness.conformance import SUBJECTS


def test_page() -> None:
    """It is what would be written today, but for the numbers; scripts/regenerate-compatibility writes it."""
    page = PAGE.read_text(encoding="utf-8")
    rows = [re.findall(r"✓ [1-9][0-9]*|–(?= \|)", line) for line in page.splitlines() if "✓" in line]
    numbers = [{case: int(cell.strip("✓ –") or 0) for case, cell in zip(CASES, row, strict=True)} for row in rows]

    assert render(dict(zip(map(str, SUBJECTS), numbers, strict=True))) == page


def test_cases() -> None:
    """The page has a column for each test of the suite."""
    assert [name for name in vars(test_conformance) if name.startswith("test_")] == list(CASES)
