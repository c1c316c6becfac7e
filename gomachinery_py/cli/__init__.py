"""The command ``gomachinery``: one module a group of verbs, loaded when it is asked for.

Exit codes: 0 done or drained, 1 failed or quit at once, 2 usage or import, 3 broker unreachable.
"""

from __future__ import annotations

import importlib

import click

from gomachinery_py.cli.errors import run_and_exit

__all__ = ["cli", "main"]

_COMMANDS = {
    "delayed": "queues:delayed",
    "dev": "dev:dev",
    "queue": "queues:queue",
    "result": "tasks:result",
    "send": "tasks:send",
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


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="gomachinery-py", prog_name="gomachinery")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """The Python side of Go Machinery."""
    ctx.obj = {"debug": debug}


def main() -> None:
    """The console script."""
    run_and_exit(cli)
