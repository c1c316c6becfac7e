"""``gomachinery queue`` and ``gomachinery delayed``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import click

from gomachinery_py.brokers.base import QueueInfo
from gomachinery_py.cancelling import cancel
from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.output import message_document, message_line, print_json
from gomachinery_py.cli.progress import progress
from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.effects import run
from gomachinery_py.errors import WrongKeyType
from gomachinery_py.server import Server

__all__ = ["delayed", "existing_queue", "pages", "queue"]

_Item = TypeVar("_Item", bytes, tuple[bytes, str])

# A page begins small, because one message may have 16 MiB, and grows with messages that do not.
_FIRST_PAGE = 8
_LONGEST_PAGE = 500
_PAGE_BYTES = 4 << 20
_REVIVED_AT_ONCE = 100

_limit = click.option(
    "-n", "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="How many; 0 is all."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def queue() -> None:
    """Look into queues, empty them, and bring back dead letters."""


@click.group()
def delayed() -> None:
    """Look at tasks that wait for their time, and take them back."""


def pages(page: Callable[[int, int], Coroutine[Any, Any, list[_Item]]], limit: int) -> Iterator[_Item]:
    """All items, or the first ``limit``, page by page: never a whole list at once."""
    start, count = 0, _FIRST_PAGE
    while True:
        wanted = min(count, limit - start) if limit else count
        items = run(page(start, wanted)) if wanted > 0 else []
        yield from items
        if not items or len(items) < wanted:
            return
        start += len(items)
        size = sum(len(item if isinstance(item, bytes) else item[0]) for item in items) + 1
        count = max(1, min(_LONGEST_PAGE, _PAGE_BYTES * len(items) // size))


def existing_queue(server: Server, name: str | None) -> QueueInfo:
    """The queue that a command is about; raises WrongKeyType rather than touch what is something else."""
    target = name or server.config.default_queue
    infos = run(server.broker.queues([target]))
    if not infos:
        raise WrongKeyType(f"{target!r} holds something else than a queue")
    return infos[0]


@queue.command("ls")
@click.argument("names", nargs=-1, metavar="[QUEUE]...")
@_json
@connection_options
@log_options("warning")
def queue_ls(names: tuple[str, ...], as_json: bool, settings: Settings) -> None:
    """How many tasks wait, run and died, and how many Python workers there are; of every queue, or of those named.

    \b
    --json: {"queue", "waiting", "inflight", "dead", "workers"}, null where the service does not count ("-")
    """
    with settings.open(backend=False) as server:
        infos = [existing_queue(server, name) for name in names] or run(server.broker.queues([]))
    if as_json:
        for info in infos:
            print_json(
                {
                    "queue": info.name,
                    "waiting": info.waiting,
                    "inflight": info.inflight,
                    "dead": info.dead,
                    "workers": info.workers,
                }
            )
        return
    width = max([len(printable(info.name)) for info in infos] + [5])
    click.echo(f"{'queue':<{width}}  waiting  inflight  dead  workers")
    for info in infos:
        waiting, inflight, workers = (
            "-" if count is None else count for count in (info.waiting, info.inflight, info.workers)
        )
        click.echo(f"{printable(info.name):<{width}}  {waiting:>7}  {inflight:>8}  {info.dead:>4}  {workers:>7}")


@queue.command("peek")
@click.argument("name", required=False, metavar="[QUEUE]")
@_limit
@_json
@connection_options
@log_options("warning")
def queue_peek(name: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """Show the tasks that run next; nothing is taken.

    \b
    --json: {"uuid", "name", "routing_key", "eta", "args": [{"type", "value"}], "headers", "retry_count",
    "group_uuid"}, or {"undecodable", "base64", "error"}
    """
    with settings.open(backend=False) as server:
        target = existing_queue(server, name).name
        for body in pages(lambda start, count: server.broker.pending(target, start, count), limit):
            if as_json:
                print_json(message_document(body))
            else:
                click.echo(message_line(body))


@queue.command("purge")
@click.argument("name", required=False, metavar="[QUEUE]")
@click.option("--dead", is_flag=True, help="The queue's dead letters instead.")
@_yes
@connection_options
@log_options("warning")
def queue_purge(name: str | None, dead: bool, yes: bool, settings: Settings) -> None:
    """Drop all tasks that wait in a queue."""
    with settings.open(backend=False) as server:
        info = existing_queue(server, name)
        what, there = ("dead letters of", info.dead) if dead else ("tasks that wait in", info.waiting)
        number = "their number is not known" if there is None else there
        _confirm(f"Drop all {what} {printable(info.name)!r} ({number})?", yes)
        count = run(server.broker.purge_dead(info.name) if dead else server.broker.purge(info.name))
    click.echo("all dropped" if count is None else f"{count} dropped")


@queue.command("dead")
@click.argument("name", required=False, metavar="[QUEUE]")
@_limit
@_json
@connection_options
@log_options("warning")
def queue_dead(name: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """Show messages that could not run, with the reason of each, the oldest first.

    \b
    --json: as of peek, and "reason"
    """
    with settings.open(backend=False) as server:
        target = name or server.config.default_queue
        for body, reason in pages(lambda start, count: server.broker.dead(target, start, count), limit):
            if as_json:
                print_json({**message_document(body), "reason": reason})
            else:
                click.echo(message_line(body, reason))


@queue.command("requeue")
@click.argument("name", required=False, metavar="[QUEUE]")
@click.option("-n", "--limit", default=0, show_default="all", type=click.IntRange(min=0), help="The oldest so many.")
@_yes
@connection_options
@log_options("warning")
def queue_requeue(name: str | None, limit: int, yes: bool, settings: Settings) -> None:
    """Put dead letters back on their queue, the oldest first."""
    with settings.open(backend=False) as server:
        info = existing_queue(server, name)
        count = min(info.dead, limit) if limit else info.dead
        if count:
            _confirm(f"Put dead letters back on {printable(info.name)!r} ({count})?", yes)
        revived = 0
        with progress(f"putting back {count} dead letters"):
            while revived < count:
                some = run(server.broker.revive(info.name, min(count - revived, _REVIVED_AT_ONCE)))
                if not some:
                    break
                revived += some
    click.echo(f"{revived} put back")


@delayed.command("ls")
@_limit
@_json
@connection_options
@log_options("warning")
def delayed_ls(limit: int, as_json: bool, settings: Settings) -> None:
    """Show tasks that wait for their time, the earliest first.

    \b
    --json: as of "queue peek"
    """
    with settings.open(backend=False) as server:
        for body in pages(server.broker.delayed, limit):
            if as_json:
                print_json(message_document(body))
            else:
                click.echo(message_line(body))


@delayed.command("cancel")
@click.argument("uuids", nargs=-1, required=True, metavar="UUID...")
@_yes
@connection_options
@log_options("warning")
def delayed_cancel(uuids: tuple[str, ...], yes: bool, settings: Settings) -> int:
    """Take back tasks that wait for their time: none of them runs, in Go or in Python.

    Their results become FAILURE, "cancelled before it ran"; OnError callbacks are not sent. Exit code 1 if any of
    them was not there, or its time came meanwhile. Only on Redis.
    """
    with settings.open() as server:
        found = run(server.broker.find_delayed(frozenset(uuids)))
        for _, body in found:
            click.echo(message_line(body), err=True)
        if found:
            _confirm(f"Cancel {'this task' if len(found) == 1 else f'these {len(found)} tasks'}?", yes)
        cancelled = {uuid for uuid, body in found if run(cancel(server._producer, body))}
    for uuid in dict.fromkeys(uuids):
        shown = printable(uuid)
        if uuid in cancelled:
            click.echo(f"{shown} cancelled")
        else:
            hint = "it may be in its queue already, where 'gomachinery revoke' keeps Python workers from running it"
            click.echo(f"gomachinery: {shown} was not cancelled: no such task waits for its time; {hint}", err=True)
    return 0 if len(cancelled) == len(set(uuids)) else FAILED


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)
