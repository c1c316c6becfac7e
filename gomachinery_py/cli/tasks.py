"""``gomachinery send`` and ``gomachinery result``."""

from __future__ import annotations

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.output import print_json, shown_value, state_document
from gomachinery_py.cli.settings import connection_options, open_server
from gomachinery_py.errors import ResultTimeout, TaskFailed
from gomachinery_py.golang.json import parse, plain_value
from gomachinery_py.golang.time import Time, parse_time
from gomachinery_py.results import AsyncResult
from gomachinery_py.server import Server
from gomachinery_py.wire.model import Arg, Signature
from gomachinery_py.wire.reflect import TYPE_NAMES

__all__ = ["parse_argument", "result", "send"]

_TYPED = re.compile(r"((?:\[\])?[a-z]+[0-9]*):(.*)", re.DOTALL)
_FOREVER = 10 * 365 * 24 * 3600.0


def parse_argument(text: str) -> Arg:
    """``int64:5``, ``[]int64:[1,2]``, ``string:hi``; without a type: a number, ``true``, ``false``, or else text."""
    match = _TYPED.fullmatch(text)
    if match is not None and match[1] in TYPE_NAMES:
        kind, literal = match[1], match[2]
        if kind == "string":
            return Arg(kind, literal)
        if kind in ("[]byte", "[]uint8") and not literal.lstrip().startswith(("[", "null", '"')):
            return Arg(kind, literal)
        return Arg(kind, _json(text, literal))
    if text in ("true", "false"):
        return Arg("bool", text == "true")
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        return Arg("int64", int(text))
    if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        return Arg("float64", float(text))
    return Arg("string", text)


def _json(argument: str, literal: str) -> Any:
    try:
        return plain_value(parse(literal.encode()))
    except ValueError as error:
        raise click.BadParameter(f"{argument!r}: {error}") from error


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[TYPE:VALUE]...")
@click.option("--queue", help="Routing key.")
@click.option("--uuid", default="", help="UUID of the task; a new one by default.")
@click.option("--eta", help="Not before this time, RFC 3339.")
@click.option("--countdown", type=float, help="Not before so many seconds.")
@click.option("--retries", type=click.IntRange(min=0), default=0, help="Runs after a failed one.")
@click.option("--priority", type=click.IntRange(0, 255), default=0)
@click.option("--header", "headers", multiple=True, metavar="KEY=VALUE", help="May be given more than once.")
@click.option(
    "--wait", is_flag=False, flag_value=_FOREVER, type=float, metavar="[SECONDS]", help="Wait for the result."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
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
    **settings: Any,
) -> int:
    """Send task NAME, in any language: gomachinery send add int64:1 int64:2 --wait"""
    if eta is not None and countdown is not None:
        raise click.UsageError("give --eta or --countdown, not both")
    pairs = _headers(headers)
    signature = Signature(
        name,
        [parse_argument(argument) for argument in arguments],
        uuid,
        routing_key=queue or "",
        eta=_moment(eta, countdown),
        headers=pairs,
        priority=priority,
        retry_count=retries,
    )
    with open_server(**{**settings, "log_level": _quiet(settings)}) as server:
        sent = server.send_task(signature)
        if wait is not None:
            return _show(server, sent, wait, as_json)
        if as_json:
            print_json({"uuid": sent.uuid})
        else:
            click.echo(sent.uuid)
    return 0


def _headers(options: tuple[str, ...]) -> dict[str, Any] | None:
    headers: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{option!r} is not KEY=VALUE", param_hint="--header")
        headers[key] = value
    return headers or None


def _moment(eta: str | None, countdown: float | None) -> datetime | None:
    if eta is not None:
        try:
            return parse_time(eta)
        except ValueError as error:
            raise click.BadParameter(f"{error}", param_hint="--eta") from error
    if countdown is not None:
        return Time.from_unix_ns(Time.now().unix_ns + round(countdown * 1_000_000_000))
    return None


@click.command()
@click.argument("uuid")
@click.option(
    "--wait", is_flag=False, flag_value=_FOREVER, type=float, metavar="[SECONDS]", help="Wait for the result."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
def result(uuid: str, wait: float | None, as_json: bool, **settings: Any) -> int:
    """Show the state and result of a task. Exit code 1 when it failed or is not done."""
    with open_server(**{**settings, "log_level": _quiet(settings)}) as server:
        return _show(server, server.result(uuid), wait or 0.0, as_json)


def _quiet(settings: dict[str, Any]) -> str:
    return "warning" if settings["log_level"] == "info" else str(settings["log_level"])


def _show(server: Server, pending: AsyncResult[Any], wait: float, as_json: bool) -> int:
    timeout = None if wait == _FOREVER else wait
    code = 0
    try:
        with _progress(f"waiting for {pending.uuid}", wait):
            pending.get(timeout=timeout)
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
    else:
        click.echo(f"{state.state or 'not stored: never sent here, or expired'}", err=True)
    return code


def _progress(text: str, wait: float) -> AbstractContextManager[object]:
    if wait <= 0 or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
