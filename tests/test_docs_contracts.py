"""docs/contracts.md: its commands, run in order; its Go code is for compat-tests/test_docs_contracts_go.py."""

from __future__ import annotations

from pathlib import Path

from docs_blocks import ROOT
from docs_console import PageDirectory

from gomachinery_py.demo.embedded import EmbeddedRedis

PAGE = "docs/contracts.md"


def test_transcripts(tmp_path: Path) -> None:
    """Each command writes what the page shows (``scripts/regenerate-docs`` writes it anew)."""
    with EmbeddedRedis() as redis:
        directory = PageDirectory(PAGE, tmp_path, redis.url)
        assert directory.rewritten() == (ROOT / PAGE).read_text(encoding="utf-8")
