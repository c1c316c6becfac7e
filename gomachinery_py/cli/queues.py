"""``gomachinery queue`` and ``gomachinery delayed``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import click

from gomachinery_py.cli.output import print_json, printable, shown_value, signature_document
from gomachinery_py.cli.settings import connection_options, open_server
from gomachinery_py.effects import run
from gomachinery_py.errors import WireError
from gomachinery_py.golang.time import format_time
from gomachinery_py.server import Server
from gomachinery_py.wire import decode_signature

__all__ = ["delayed", "queue"]

T = TypeVar("T")

_PAGE = 200


@click.group()
def queue() -> None:
    """Look into queues, empty them, and bring back dead letters."""


@click.group()
def delayed() -> None:
    """Look at tasks that wait for their time."""


def _server(settings: dict[str, Any]) -> Server:
    level = "warning" if settings["log_level"] == "info" else settings["log_level"]
    return open_server(**{**settings, "log_level": level})


def _paged(page: Callable[[int, int], Coroutine[Any, Any, list[T]]], limit: int | None) -> Iterator[T]:
    """Everything, page by page: never a whole list at once."""
    start = 0
    while limit is None or start < limit:
        count = _PAGE if limit is None else min(_PAGE, limit - start)
        items = run(page(start, count))
        yield from items
        start += len(items)
        if len(items) < count:
            return


def _describe(body: bytes, as_json: bool, extra: dict[str, Any] | None = None) -> None:
    try:
        signature = decode_signature(body)
    except WireError as error:
        if as_json:
            print_json({"undecodable": body.decode("utf-8", "replace"), "error": str(error), **(extra or {})})
        else:
            click.echo(f"undecodable ({error}): {printable(body.decode('utf-8', 'replace'), 100)}")
        return
    if as_json:
        print_json({**signature_document(signature), **(extra or {})})
        return
    args = ", ".join(f"{printable(arg.type, 20)}:{shown_value(arg.value)}" for arg in signature.args or ())
    eta = f" eta {format_time(signature.eta)}" if signature.eta is not None else ""
    tail = f"  # {printable(extra['reason'])}" if extra and extra.get("reason") else ""
    click.echo(f"{printable(signature.uuid)} {printable(signature.name)}({args}){eta}{tail}")


@queue.command("ls")
@click.argument("names", nargs=-1, metavar="[QUEUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one queue a line.")
@connection_options
def queue_ls(names: tuple[str, ...], as_json: bool, **settings: Any) -> None:
    """How many tasks wait, run and died, and how many Python workers there are; of every queue, or of those named."""
    with _server(settings) as server:
        infos = run(server.broker.queues(list(names)))
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
        click.echo(
            f"{printable(info.name):<{width}}  {info.waiting:>7}  {info.inflight:>8}  {info.dead:>4}  {info.workers:>7}"
        )


@queue.command("peek")
@click.argument("name", required=False)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="0 is all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one task a line.")
@connection_options
def queue_peek(name: str | None, limit: int, as_json: bool, **settings: Any) -> None:
    """Show the tasks that run next; nothing is taken."""
    with _server(settings) as server:
        target = name or server.config.default_queue
        for body in _paged(lambda start, count: server.broker.pending(target, start, count), limit or None):
            _describe(body, as_json)


@queue.command("purge")
@click.argument("name", required=False)
@click.option("--dead", is_flag=True, help="The queue's dead letters instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connection_options
def queue_purge(name: str | None, dead: bool, yes: bool, **settings: Any) -> None:
    """Drop all tasks that wait in a queue."""
    with _server(settings) as server:
        target = name or server.config.default_queue
        run(server.broker.check())
        what = f"the dead letters of {target!r}" if dead else f"all tasks that wait in {target!r}"
        if not yes:
            click.confirm(f"Drop {what}?", abort=True)
        count = run(server.broker.purge_dead(target) if dead else server.broker.purge(target))
    click.echo(f"{count} dropped")


@queue.command("dead")
@click.argument("name", required=False)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="0 is all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one message a line.")
@connection_options
def queue_dead(name: str | None, limit: int, as_json: bool, **settings: Any) -> None:
    """Show messages that could not run, with the reason of each."""
    with _server(settings) as server:
        target = name or server.config.default_queue
        for body, reason in _paged(lambda start, count: server.broker.dead(target, start, count), limit or None):
            _describe(body, as_json, {"reason": reason})


@queue.command("requeue")
@click.argument("name", required=False)
@click.option("-n", "--limit", default=0, show_default="all", type=click.IntRange(min=0), help="The oldest so many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connection_options
def queue_requeue(name: str | None, limit: int, yes: bool, **settings: Any) -> None:
    """Put dead letters back on their queue, the oldest first."""
    with _server(settings) as server:
        target = name or server.config.default_queue
        run(server.broker.check())
        waiting = sum(info.dead for info in run(server.broker.queues([target])))
        count = min(waiting, limit) if limit else waiting
        if count and not yes:
            click.confirm(f"Put {count} dead letters back on {target!r}?", abort=True)
        revived = run(server.broker.revive(target, count)) if count else 0
    click.echo(f"{revived} put back")


@delayed.command("ls")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="0 is all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one task a line.")
@connection_options
def delayed_ls(limit: int, as_json: bool, **settings: Any) -> None:
    """Show tasks that wait for their time, the earliest first."""
    with _server(settings) as server:
        for body in _paged(server.broker.delayed, limit or None):
            _describe(body, as_json)
