"""The first five minutes, in a fresh directory and with no server: docs/tutorial.md shows what really happens."""

from __future__ import annotations

import re

import pytest
from docs_blocks import ROOT, blocks
from docs_transcript import Directory, fresh_directory, transcripts

FIRST_RESULT_SECONDS = 60.0
MISTAKES = re.compile(r"## When something is wrong\n(.*?)\n## ", re.DOTALL)


@pytest.mark.timeout(170)
def test_transcripts() -> None:
    """Each command of the tutorial writes what the page shows, the first result within a minute."""
    seconds: dict[str, float] = {}

    made = transcripts(seconds)

    assert made == [block.text for block in blocks() if block.page == "docs/tutorial.md" and block.info == "console"]
    first = next(iter(seconds))
    assert "55" in made[0]
    assert seconds[first] < FIRST_RESULT_SECONDS


def test_each_mistake_is_one_line() -> None:
    """No broker, unknown task, wrong type, missing extra, missing module: one line each, which names a remedy."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    found = MISTAKES.search(page)
    assert found is not None

    shown = [part.split("\n", 1) for part in re.findall(r"^\$ (.*?)(?=^\$ |^```)", found[1], re.MULTILINE | re.DOTALL)]

    assert len(shown) >= 11
    assert [command for command, output in shown if output.count("\n") != 1] == []


def test_readme_alone() -> None:
    """What README.md says to begin with works where nothing is but the package: a result, and no server."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^gomachinery dev( |$)", readme, re.MULTILINE)
    with fresh_directory() as directory:
        assert_results(directory)


def assert_results(directory: Directory) -> None:
    """The demo's workflow, sent and run."""
    shown = directory.run("gomachinery dev --once --no-go")

    assert re.findall(r"(✓|✗) (?:chain|chord).* (\d+)  ", shown) == [("✓", "60"), ("✓", "88")]
