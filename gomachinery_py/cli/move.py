"""``gomachinery move``."""

from __future__ import annotations

import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from gomachinery_py.brokers.base import QueueInfo
from gomachinery_py.brokers.moves import DEAD, DELAYED, PENDING
from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.owners import is_gone, this_process
from gomachinery_py.cli.progress import counting, progress
from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.effects import run
from gomachinery_py.errors import MachineryError
from gomachinery_py.moving.move import Move, Place, Route
from gomachinery_py.moving.survey import survey
from gomachinery_py.moving.tally import Tally
from gomachinery_py.server import Server

__all__ = ["move", "stopping", "target_options", "target_settings"]

_SHOWN = 20


def target_settings(settings: Settings, to: str | None, to_config: Path | None) -> Settings:
    """Settings of the other side: what is not said of it is as on this one."""
    if to is None and to_config is None:
        return settings
    queue = settings.default_queue if to_config is None else None
    return replace(settings, config_file=to_config, broker=to, result_backend=None, default_queue=queue)


def target_options(function: Callable[..., int]) -> Callable[..., int]:
    """``--to`` and ``--to-config``."""
    for option in (
        click.option(
            "--to-config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Machinery's YAML file for the other broker.",
        ),
        click.option("--to", metavar="URL", help="The other broker; the same one by default."),
    ):
        function = option(function)
    return function


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM; the second ends the program at once."""
    event = threading.Event()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def first(number: int, _frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, before[number])

    try:
        for number in before:
            signal.signal(number, first)
    except ValueError:
        # Not the main thread, which is where signals go.
        yield event
        return
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.argument("queue")
@target_options
@click.option("--to-queue", metavar="QUEUE", help="The other queue; of the same name by default.")
@click.option("--dry-run", is_flag=True, help="Only say what would be moved, and what cannot be.")
@click.option("--no-delayed", is_flag=True, help="Leave delayed tasks where they are.")
@click.option("--all-delayed", is_flag=True, help="Also delayed tasks of other queues, each for its own.")
@click.option("--dead", is_flag=True, help="Dead letters too, to the dead letters there.")
@click.option("--follow", is_flag=True, help="Go on when the queue is empty, until Ctrl-C.")
@click.option("--put-back", is_flag=True, help="First return to the queue what an interrupted move to elsewhere held.")
@click.option(
    "--page",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Tasks at a time; so many may run twice after a kill, where the broker cannot tell.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
@log_options("warning")
def move(
    queue: str,
    to: str | None,
    to_config: Path | None,
    to_queue: str | None,
    dry_run: bool,
    no_delayed: bool,
    all_delayed: bool,
    dead: bool,
    follow: bool,
    put_back: bool,
    page: int,
    as_json: bool,
    settings: Settings,
) -> int:
    """Move the tasks that wait in QUEUE, pending and delayed, to another queue or broker.

    Nothing is lost when it is killed: the same command goes on where it was. What a target cannot take stays where it
    is. Exit code 1 when something stays, or when it was stopped before the end.

    \b
    gomachinery move orders --broker redis://old --to redis://new
    gomachinery move orders --broker redis://old --to amqp://guest:guest@new --dry-run
    --json: {"moved": {"pending", "delayed", "dead"}, "refused", "undecodable", "left": [{"task", "reason"}],
    "maybe_twice", "maybe_twice_uuids", "resumed", "complete"}
    """
    if all_delayed and no_delayed:
        raise click.UsageError("give --all-delayed or --no-delayed, not both")
    other = target_settings(settings, to, to_config)
    if other is settings and to_queue in (None, queue):
        raise click.UsageError("name another broker (--to, --to-config) or another queue (--to-queue)")
    kinds = [kind for kind, wanted in ((DELAYED, not no_delayed), (PENDING, True), (DEAD, dead)) if wanted]
    with settings.open(backend=False) as here, other.open(backend=False) as there:
        info = existing_queue(here, queue)
        if not there.broker.is_amqp:
            # RabbitMQ's are made when they are needed.
            existing_queue(there, to_queue or queue)
        route = Route(
            Place(here.broker, queue, str(here.config.broker)),
            Place(there.broker, to_queue or queue, str(there.config.broker)),
            name=uuid.uuid4().hex,
            owner=this_process(),
            is_gone=is_gone,
            kinds=kinds,
            page=page,
            all_delayed=all_delayed,
            put_back=put_back,
            follow=follow,
        )
        if dry_run:
            with progress(f"looking at {queue}"):
                tally, complete = run(survey(route))
        else:
            tally, complete = _moved(route, info)
    if as_json:
        print_json({**tally.document(), "complete": complete})
    else:
        _say(tally, route, dry_run=dry_run, complete=complete)
    stays = tally.refused or tally.undecodable
    return FAILED if stays or not (complete or dry_run or follow) else 0


def existing_queue(server: Server, queue: str) -> QueueInfo | None:
    """What is known of a queue; None where the service tells nothing. Raises ClickException when it is not there."""
    try:
        infos = run(server.broker.queues([queue]))
    except NotImplementedError:
        return None
    if not infos:
        raise click.ClickException(f"there is no queue {printable(queue)!r} on {server.config.broker}")
    return infos[0]


def _moved(route: Route, info: QueueInfo | None) -> tuple[Tally, bool]:
    with stopping() as stop, counting(f"moving {route.source.queue}", info.waiting if info else None) as show:
        task = Move(route, stop.is_set, lambda tally: show(tally.total))
        try:
            tally = run(task.run())
        except MachineryError:
            click.echo(
                f"gomachinery: {task.tally.total} tasks were moved; nothing is lost, run the same command again to go "
                "on",
                err=True,
            )
            raise
        return tally, not stop.is_set()


def _say(tally: Tally, route: Route, *, dry_run: bool, complete: bool) -> None:
    verb = "would be moved" if dry_run else "moved"
    counts = ", ".join(f"{tally.moved[kind]} {kind}" for kind in (PENDING, DELAYED, DEAD) if kind in route.kinds)
    click.echo(f"{counts} {verb} to {printable(str(route.target))}")
    if tally.resumed:
        click.echo(f"{tally.resumed} pages of an interrupted move were finished")
    if tally.maybe_twice:
        some = ", ".join(printable(each, 60) for each in tally.maybe_twice_uuids[:_SHOWN])
        more = ", …" if tally.maybe_twice > _SHOWN else ""
        click.echo(f"{tally.maybe_twice} may be there twice, since they had been taken before: {some}{more}")
    for left in tally.left[:_SHOWN]:
        click.echo(f"stays: {printable(left.task) or 'a message'}: {printable(left.reason)}", err=True)
    stays = tally.refused + tally.undecodable
    if stays > _SHOWN:
        click.echo(f"stays: … {stays} in all", err=True)
    if not complete:
        click.echo(
            "not every task could be looked at" if dry_run else "stopped; run the same command again to go on",
            err=True,
        )
    sys.stdout.flush()
