"""``gomachinery beat``."""

from __future__ import annotations

import click

from gomachinery_py.cli.settings import Settings, connection_options, load_app, log_options

__all__ = ["beat"]


@click.command()
@click.argument("app", metavar="APP")
@click.option(
    "--program",
    metavar="NAME",
    help="The name in the lock's key; schedulers with the same one share their ticks. A Go program's is its file name.",
)
@connection_options
@log_options("info")
def beat(app: str, program: str | None, settings: Settings) -> int:
    """Send the periodic tasks of APP, a server as MODULE:SERVER, when they are due.

    Run as many as you like: with a lock on Redis each tick is sent once. SIGINT and SIGTERM end it (exit code 0).
    """
    server = settings.open(load_app(app), lock=True)
    if program is not None:
        server.lock_program = program
    if not server.periodic_tasks:
        raise click.ClickException(f"{app} has no periodic task: declare one with server.periodic_task(spec, name, …)")
    server.scheduler().run()
    return 0
