"""The command ``gomachinery``: one module a group of verbs, loaded when it is asked for.

Exit codes: 0 done or drained, 1 failed or quit at once, 2 usage or import, 3 broker unreachable; and 5, of
``contract check`` alone: something differs.
"""

from __future__ import annotations

import importlib
import os
import sys
from io import TextIOWrapper
from typing import cast

import click

from gomachinery_py.cli.errors import debug_option, execute

__all__ = ["cli", "main"]

_COMMANDS = {
    "beat": "beat:beat",
    "capture": "capture:capture",
    "celery": "celery:celery",
    "contract": "contract:contract",
    "delayed": "queues:delayed",
    "dev": "dev:dev",
    "doctor": "doctor:doctor",
    "health": "health:health",
    "mirror": "mirror:mirror",
    "move": "move:move",
    "queue": "queues:queue",
    "replay": "capture:replay",
    "result": "tasks:result",
    "results": "results:results",
    "revoke": "revoke:revoke",
    "send": "tasks:send",
    "top": "top:top",
    "wire": "wire:wire",
    "worker": "worker:worker",
}


class _Lazy(click.Group):
    """Commands whose modules are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"gomachinery_py.cli.{module}"), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@debug_option
@click.version_option(package_name="gomachinery-py", prog_name="gomachinery")
def cli() -> None:
    """The Python side of Go Machinery.

    Exit codes: 0 done or drained, 1 failed or quit at once, 2 usage or import, 3 broker unreachable.
    """


def main() -> None:
    """The console script."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal may lack a character that a result has.
        cast(TextIOWrapper, stream).reconfigure(errors="backslashreplace")
    sys.exit(execute(cli))


def _open_closed_streams() -> None:
    """Somebody may have started this with streams closed; nothing that is opened later shall take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free, and those below are not.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
