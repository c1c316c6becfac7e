"""The transcripts of docs/tutorial.md: its commands, run in a fresh directory with no server at hand."""

from __future__ import annotations

import importlib.metadata
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docs_blocks import ROOT, blocks
from packaging.requirements import Requirement

TUTORIAL = ROOT / "docs" / "tutorial.md"
PORT = "6379"
DEV_READY = "Ctrl-C ends it"
COMMAND_SECONDS = 60.0


class Directory:
    """A fresh directory with the tutorial's files, and commands that find this package."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._background: list[subprocess.Popen[str]] = []
        self._port = _free_port()
        for name in ("bin", "bare", "work"):
            (path / name).mkdir()
        for block in blocks():
            kind, _, file = block.info.partition(" ")
            if block.page == "docs/tutorial.md" and kind == "python" and file:
                (path / "work" / file).write_text(block.text, encoding="utf-8")
        _program(path / "bin" / "gomachinery", f'exec {sys.executable} -m gomachinery_py "$@"')
        _program(path / "bin" / "python", f'exec {sys.executable} "$@"')
        for name in _without_extras():
            for file in _top_level(name):
                (path / "bare" / file.name).symlink_to(file)
        (path / "bare" / "gomachinery_py").symlink_to(ROOT / "gomachinery_py")

    def run(self, command: str) -> str:
        """What a command writes, as the tutorial shows it."""
        line = command.partition("  # ")[0].replace(PORT, str(self._port))
        if line.endswith(" &"):
            return self._shown(self._start(line.removesuffix(" &")))
        if "# without the extra" in command:
            # No site-packages: only what an installation without extras has.
            line = line.replace("gomachinery ", f"{sys.executable} -S -m gomachinery_py ", 1)
            environment = {**self._environment(), "PYTHONPATH": str(self.path / "bare")}
        else:
            environment = self._environment()
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return self._shown(done.stdout)

    def _start(self, line: str) -> str:
        child = subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.path / "work",
            env={**self._environment(), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._background.append(child)
        assert child.stdout is not None
        shown = ""
        while DEV_READY not in shown:
            told = child.stdout.readline()
            assert told, shown
            shown += told
        return shown

    def _environment(self) -> dict[str, str]:
        unset = ("BROKER", "RESULT_BACKEND", "DEFAULT_QUEUE", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        search = f"{self.path / 'bin'}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "PATH": search, "PYTHONPATH": str(ROOT), "COLUMNS": "110", "PYTHONWARNINGS": "ignore"}

    def _shown(self, text: str) -> str:
        """Without what is another each time: ports, times, UUIDs, lateness."""
        text = text.replace(str(self._port), PORT)
        text = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{PORT}", text)
        text = re.sub(r"\(\d+ ms\)", "(… ms)", text)
        text = re.sub(r"ran \d+ ms late", "ran … ms late", text)
        return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip("\n")

    def close(self) -> None:
        for child in self._background:
            child.terminate()
            assert child.stdout is not None
            child.stdout.close()
            child.wait(10)


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _without_extras() -> set[str]:
    """What pip installs with this package alone."""
    names, found = ["click", "msgspec", "PyYAML", "rich"], set[str]()
    for name in names:
        if name not in found:
            found.add(name)
            wanted = map(Requirement, importlib.metadata.requires(name) or ())
            names += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def _top_level(name: str) -> set[Path]:
    distribution = importlib.metadata.distribution(name)
    tops = {Path(str(file)).parts[0] for file in distribution.files or () if not str(file).startswith("..")}
    return {Path(str(distribution.locate_file(top))) for top in tops}


@contextmanager
def fresh_directory() -> Iterator[Directory]:
    """A directory of its own, gone afterwards with whatever was started in it."""
    with tempfile.TemporaryDirectory(prefix="gmpy-first-") as name:
        directory = Directory(Path(name))
        try:
            yield directory
        finally:
            directory.close()


def transcripts(seconds: dict[str, float] | None = None) -> list[str]:
    """Each transcript of the tutorial anew, its commands run in their order; ``seconds`` gets how long each took."""
    made = []
    with fresh_directory() as directory:
        for block in blocks():
            if block.page == "docs/tutorial.md" and block.info == "console":
                lines = []
                for command in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE):
                    began = time.monotonic()
                    shown = directory.run(command)
                    if seconds is not None:
                        seconds[command] = time.monotonic() - began
                    lines += [f"$ {command}", *([shown] if shown else [])]
                made.append("\n".join(lines) + "\n")
    return made


def rewritten() -> str:
    """The tutorial with its transcripts as they are now."""
    new = iter(transcripts())
    page = TUTORIAL.read_text(encoding="utf-8")
    return re.sub(r"(?ms)^```console\n.*?^```$", lambda _: f"```console\n{next(new)}```", page)
