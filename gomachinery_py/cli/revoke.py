"""``gomachinery revoke``."""

from __future__ import annotations

import click

from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.revocations import EXPIRES_IN, LONGEST

__all__ = ["revoke"]


@click.command()
@click.argument("uuids", nargs=-1, required=True, metavar="UUID...")
@click.option(
    "--expires-in",
    default=EXPIRES_IN,
    show_default=True,
    type=click.IntRange(min=1, max=LONGEST),
    help="Seconds for which it is remembered.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@connection_options
@log_options("warning")
def revoke(uuids: tuple[str, ...], expires_in: int, yes: bool, settings: Settings) -> None:
    """Have Python workers begin these tasks no more. Go workers know nothing of it, and run them.

    It takes hold within two seconds. A task that comes to a Python worker meanwhile ends in FAILURE, "revoked before
    it ran"; OnError callbacks are not sent. One that runs already goes on. Where the broker or the result store is a
    Redis.
    """
    number = len(set(uuids))
    with settings.open() as server:
        if not yes:
            what = "this task" if number == 1 else f"these {number} tasks"
            click.confirm(f"Have Python workers begin {what} no more?", abort=True, err=True)
        server.revoke(*dict.fromkeys(uuids), expires_in=expires_in)
    click.echo(f"{number} revoked, for Python workers")
