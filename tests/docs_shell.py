"""Shell blocks: each command of ours must be a valid one, each other one must be known here."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
from docs_blocks import ROOT

from gomachinery_py.cli import cli
from gomachinery_py.cli.arguments import parse_argument

# Programs of others. What they are given is theirs to judge; that it is shell at all is seen.
OTHERS = {
    "aws", "cd", "celery", "curl", "docker", "export", "gcloud", "go", "kill", "mkdir", "mongosh", "openssl", "pytest",
    "rabbitmqctl", "rabbitmq-plugins", "redis-cli", "redis-server", "sed", "sudo", "systemctl", "true",
}  # fmt: skip
KEYWORDS = {"for", "do", "done", "in", "while", "if", "then", "fi"}


def commands(script: str) -> Iterator[list[str]]:
    """The words of each simple command, without redirections and variables set before it."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set("();|&"):
                yield from _plain(command)
                command = []
            else:
                command.append(word)


def _plain(words: list[str]) -> Iterator[list[str]]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if set(word) <= set("<>"):
            next(rest, None)
        elif kept or not re.fullmatch(r"[A-Z_]+=.*", word, re.DOTALL):
            kept.append(word)
    while kept and kept[0] in {"do", "then"}:
        kept = kept[1:]
    if kept and kept[0] not in KEYWORDS:
        yield kept


def check_script(script: str, directory: Path) -> int:
    """Check a block; how many commands there were. ``directory`` has the files that commands name."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    number = 0
    # An argument in quotes may go over several lines: those blocks are of other programs.
    for words in commands(re.sub(r"'[^']*'", lambda found: found[0].replace("\n", " "), script)):
        number += 1
        program, *arguments = words
        if program == "gomachinery":
            check_gomachinery(arguments, directory)
        elif program in ("pip", "uv"):
            check_pip(arguments)
        elif program in ("python", "python3"):
            check_python(arguments, directory)
        elif program.startswith("scripts/"):
            assert (ROOT / program).stat().st_mode & 0o100, f"{program} cannot be run"
        else:
            assert program in OTHERS, f"{program} is not a command that these pages use; see OTHERS"
    return number


def check_gomachinery(arguments: list[str], directory: Path) -> None:
    """Parse a command as click does, without running it: verbs, options, their values, and how many arguments."""
    if arguments[-1:] in (["--help"], ["--version"]):
        arguments = arguments[:-1]
        if not arguments:
            return
        command: click.Command | None = cli
        for word in arguments:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
            assert command is not None, f"there is no verb {word}"
        return
    command, context = cli, cli.make_context("gomachinery", [str(word) for word in arguments])
    while isinstance(command, click.Group):
        # Kept by click for the verb below; make_context has checked what stands before it.
        rest = [*context._protected_args, *context.args]
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(found.name, _here(rest, directory), parent=context)
        command = found
    # "send" takes what looks like an option for an argument at first.
    for argument in context.params.get("arguments", ()):
        parse_argument(argument)


def _here(arguments: list[str], directory: Path) -> list[str]:
    return [str(directory / word) if re.fullmatch(r"[\w-]+\.(yml|yaml|jsonl?)", word) else word for word in arguments]


def check_pip(arguments: list[str]) -> None:
    """What is installed of ours has such extras."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in arguments:
        found = re.fullmatch(r"gomachinery-py(?:\[([\w,]+)\])?", word)
        for extra in (found[1] or "").split(",") if found else ():
            assert extra == "" or extra in extras, f"there is no extra {extra}"


def check_python(arguments: list[str], directory: Path) -> None:
    """The module or file is there, the code can be read."""
    if arguments[0] == "-c":
        compile(arguments[1], "<command>", "exec")
    elif arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None, f"there is no module {arguments[1]}"
    else:
        assert (directory / arguments[0]).exists() or (ROOT / arguments[0]).exists(), f"there is no {arguments[0]}"
