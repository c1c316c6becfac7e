"""The transcripts of a page, its commands run in order in a fresh directory with the page's files.

``docs_transcript.py`` is for the tutorial, which must do without a server; here ``redis://localhost:6379`` is one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from docs_blocks import REDIS, ROOT, Block, blocks

__all__ = ["PageDirectory"]

COMMAND_SECONDS = 60.0


class PageDirectory:
    """A directory with what the blocks ``python NAME`` and ``text NAME`` of a page hold."""

    def __init__(self, page: str, path: Path, url: str) -> None:
        self.path = path
        self.blocks: list[Block] = [block for block in blocks() if block.page == page]
        self._url = url
        for block in self.blocks:
            kind, _, name = block.info.partition(" ")
            if kind in ("python", "text") and name:
                (path / name).write_text(block.text.replace(REDIS, url), encoding="utf-8")
        program = path / "bin" / "gomachinery"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gomachinery_py "$@"\n', encoding="utf-8")
        program.chmod(0o755)

    def run(self, command: str) -> str:
        """What a command writes."""
        variables = {name: value for name, value in os.environ.items() if name not in ("BROKER", "RESULT_BACKEND")}
        done = subprocess.run(
            ["bash", "-c", command.replace(REDIS, self._url)],
            cwd=self.path,
            env={
                **variables,
                "PATH": f"{self.path / 'bin'}{os.pathsep}{variables.get('PATH', '')}",
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "BROKER": self._url,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return done.stdout.strip("\n").replace(self._url, REDIS)

    def transcript(self, block: Block) -> str:
        """A block ``console`` as it is now."""
        lines = []
        for command in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE):
            shown = self.run(command)
            lines += [f"$ {command}", *([shown] if shown else [])]
        return "\n".join(lines) + "\n"

    def rewritten(self) -> str:
        """The page with its transcripts as they are now."""
        page = ROOT / self.blocks[0].page
        new = iter([self.transcript(block) for block in self.blocks if block.info.startswith("console")])
        return re.sub(
            r"(?ms)^(```console[^\n]*)\n.*?^```$",
            lambda found: f"{found[1]}\n{next(new)}```",
            page.read_text(encoding="utf-8"),
        )
