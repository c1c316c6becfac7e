"""The examples of docs/wire-tools.md: messages, and what the commands say of them.

``python tests/docs_wire.py`` writes what they say today into the page.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from command_line import gomachinery
from docs_blocks import ROOT, Block, blocks

__all__ = ["BETTER", "PAGE", "TRANSCRIPT", "WRITTEN", "Example", "examples", "messages", "said"]

PAGE = "docs/wire-tools.md"
WRITTEN = ("json written.json", "text written.json")
BETTER = "json better.json"
TRANSCRIPT = "console wire"


class Example(NamedTuple):
    """A transcript, and the files that stand before it."""

    block: Block
    files: dict[str, str]


def messages() -> list[Block]:
    """Every message of the page."""
    return [block for block in _page() if block.info in (*WRITTEN, BETTER)]


def examples() -> Iterator[Example]:
    """Every transcript of the page."""
    files: dict[str, str] = {}
    for block in _page():
        if block.info == TRANSCRIPT:
            yield Example(block, dict(files))
        elif block.info in (*WRITTEN, BETTER):
            files[block.info.split()[1]] = block.text


def said(example: Example) -> str:
    """The command of a transcript and what it writes, run among the files of its example."""
    command = example.block.text.splitlines()[0]
    prompt, program, *arguments = command.split()
    assert (prompt, program) == ("$", "gomachinery"), command
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            for name, text in example.files.items():
                Path(name).write_text(text, encoding="utf-8")
            done = gomachinery(*arguments)
        finally:
            os.chdir(before)
    assert done.error == "", done
    return f"{command}\n{done.out}"


def _page() -> Iterator[Block]:
    return (block for block in blocks() if block.page == PAGE)


def _write() -> None:
    path = ROOT / PAGE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for example in reversed(list(examples())):
        begin = example.block.line
        end = next(at for at in range(begin, len(lines)) if lines[at].strip() == "```")
        lines[begin:end] = [said(example)]
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    _write()
