"""The pages that are made from the code are what the code says today."""

from __future__ import annotations

import pytest
from docs_blocks import ROOT
from docs_generated import PAGES


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str) -> None:
    """`scripts/regenerate-docs` would change nothing."""
    assert PAGES[page]() == (ROOT / page).read_text(encoding="utf-8")
