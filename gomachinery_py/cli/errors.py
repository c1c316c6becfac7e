"""From exceptions to one line and an exit code.

0 done or drained, 1 failed or quit at once, 2 usage or import, 3 broker unreachable.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from gomachinery_py.cli.text import printable
from gomachinery_py.errors import ConfigError, MachineryError, MissingExtra, ServiceUnavailable

__all__ = ["FAILED", "UNREACHABLE", "USAGE", "State", "debug_option", "execute"]

FAILED = 1
USAGE = 2
UNREACHABLE = 3

_EXPECTED = (MachineryError, NotImplementedError, OSError, TypeError, ValueError)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class State:
    """What the options of the outermost command say to whoever reports errors."""

    debug: bool = False


def debug_option(function: F) -> F:
    """``--debug``, before a verb or after it."""

    def asked(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        if value:
            ctx.ensure_object(State).debug = True

    option = click.option(
        "--debug", is_flag=True, expose_value=False, callback=asked, help="Show the traceback of an error."
    )
    return option(function)


def execute(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. An expected error is one line on standard error, its traceback with ``--debug``."""
    state = State()
    try:
        code = command.main(arguments, prog_name="gomachinery", standalone_mode=False, obj=state)
    except click.Abort:
        click.echo("gomachinery: aborted", err=True)
        return FAILED
    except click.ClickException as error:
        _trace(error, state)
        _say_usage(error)
        return USAGE
    except _EXPECTED as error:
        _trace(error, state)
        click.echo(f"gomachinery: {_one_line(str(error)) or type(error).__name__}", err=True)
        return exit_code(error)
    return code if isinstance(code, int) else 0


def exit_code(error: Exception) -> int:
    """What an error means to whoever started the command."""
    if isinstance(error, ServiceUnavailable):
        return UNREACHABLE
    return USAGE if isinstance(error, ConfigError | MissingExtra) else FAILED


def _say_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
        return
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    click.echo(f"gomachinery: {_one_line(error.format_message()).rstrip('.')}{hint}", err=True)


def _trace(error: Exception, state: State) -> None:
    if state.debug:
        traceback.print_exception(error, file=sys.stderr)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
