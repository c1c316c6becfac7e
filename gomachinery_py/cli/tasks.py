"""``gomachinery send`` and ``gomachinery result``."""

from __future__ import annotations

import math
from typing import Any

import click

from gomachinery_py.cli.arguments import WaitCommand, moment, parse_argument, parse_headers, seconds
from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.output import print_json, shown_value, state_document
from gomachinery_py.cli.progress import progress
from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.errors import ResultTimeout, TaskFailed
from gomachinery_py.results import AsyncResult
from gomachinery_py.server import Server
from gomachinery_py.wire.model import PENDING, Signature

__all__ = ["result", "send"]

_wait = click.option(
    "--wait",
    callback=seconds,
    metavar="[SECONDS]",
    help="Wait for the result; as long as it takes, or so many seconds.",
)


# Numbers below zero are arguments; parse_argument refuses what else looks like an option.
@click.command(cls=WaitCommand, context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[TYPE:VALUE]...")
@click.option("--queue", metavar="QUEUE", help="Routing key; the default queue if none is given.")
@click.option("--uuid", default="", help="UUID of the task; a new one by default.")
@click.option("--eta", metavar="TIME", help="Not before this time: 2030-01-02T15:04:05Z, or with +01:00.")
@click.option("--countdown", callback=seconds, metavar="SECONDS", help="Not before so many seconds.")
@click.option("--retries", type=click.IntRange(min=0), default=0, help="Runs after a failed one.")
@click.option("--priority", type=click.IntRange(0, 255), default=0, help="For services that know one.")
@click.option("--header", "headers", multiple=True, metavar="KEY=VALUE", help="May be given more than once.")
@_wait
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
@log_options("warning")
def send(
    name: str,
    arguments: tuple[str, ...],
    queue: str | None,
    uuid: str,
    eta: str | None,
    countdown: float | None,
    retries: int,
    priority: int,
    headers: tuple[str, ...],
    wait: float | None,
    as_json: bool,
    settings: Settings,
) -> int:
    """Send task NAME, to a worker in any language.

    \b
    gomachinery send add int64:1 int64:2 --wait
    gomachinery send sum '[]int64:[1,2]'
    Without a type: 5 is int64, 1.5 float64, true bool, and everything else string.

    \b
    --json: {"uuid"}; with --wait as of result
    """
    signature = Signature(
        name,
        [parse_argument(argument) for argument in arguments],
        uuid,
        routing_key=queue or "",
        eta=moment(eta, countdown),
        headers=parse_headers(headers),
        priority=priority,
        retry_count=retries,
    )
    with settings.open() as server:
        with progress(f"sending {name}"):
            sent = _sent(server, signature)
        if wait is not None:
            return _show(server, sent, wait, as_json)
    if as_json:
        print_json({"uuid": sent.uuid})
    else:
        click.echo(sent.uuid)
    return 0


def _sent(server: Server, signature: Signature) -> AsyncResult[Any]:
    try:
        return server.send_task(signature)
    except (TypeError, ValueError) as error:
        # Refused before anything was sent: what was typed is wrong.
        raise click.ClickException(str(error)) from error


@click.command(cls=WaitCommand)
@click.argument("uuid")
@_wait
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
@log_options("warning")
def result(uuid: str, wait: float | None, as_json: bool, settings: Settings) -> int:
    """Show the state and result of a task. Exit code 1 when it failed or is not done.

    \b
    --json: {"uuid", "name", "state", "results": [{"type", "value"}] or null, "error", "created_at"}
    """
    with settings.open(broker=False) as server:
        return _show(server, server.result(uuid), wait or 0.0, as_json)


def _show(server: Server, pending: AsyncResult[Any], wait: float, as_json: bool) -> int:
    code = 0
    try:
        with progress(f"waiting for {pending.uuid}"):
            pending.get(timeout=None if wait == math.inf else wait)
    except (TaskFailed, ResultTimeout):
        code = FAILED
    state = pending.peek() if server.backend.reads_once and not code else pending.state
    state = state or pending.state
    if as_json:
        print_json(state_document(state))
    elif state.is_success:
        for item in state.results or ():
            click.echo(shown_value(item.value))
    elif state.is_failure:
        click.echo(f"FAILURE: {shown_value(state.error)}", err=True)
    elif state.state:
        hint = (
            f"; is a worker running that has {shown_value(state.task_name)!r}?"
            if state.state == PENDING and wait
            else ""
        )
        click.echo(f"{shown_value(state.state)}: not done yet{hint}", err=True)
    else:
        click.echo("not stored: never sent here, or expired", err=True)
    return code
