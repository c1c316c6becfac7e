"""From exceptions to one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

import click

from gomachinery_py.errors import ConfigError, MachineryError, MissingExtra, ServiceUnavailable

__all__ = ["FAILED", "UNREACHABLE", "USAGE", "run_and_exit"]

FAILED = 1
USAGE = 2
UNREACHABLE = 3


def exit_code(error: Exception) -> int:
    """What an error means to whoever started the command."""
    if isinstance(error, ServiceUnavailable):
        return UNREACHABLE
    return USAGE if isinstance(error, ConfigError | MissingExtra) else FAILED


def run_and_exit(command: click.Command) -> NoReturn:
    """Run a command; an expected error is one line on standard error, its traceback only with ``--debug``."""
    try:
        code = command.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        click.echo("aborted", err=True)
        sys.exit(FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (MachineryError, TypeError, ValueError, OSError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        click.echo(f"gomachinery: {' '.join(str(error).split()) or type(error).__name__}", err=True)
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)
