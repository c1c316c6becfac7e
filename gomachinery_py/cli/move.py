"""``gomachinery move``."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
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
from gomachinery_py.errors import MachineryError, ServiceUnavailable
from gomachinery_py.moving.held import HeldSource, Owner
from gomachinery_py.moving.move import Move
from gomachinery_py.moving.sources import FetchedSource, Source
from gomachinery_py.moving.survey import survey
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import QueueTarget
from gomachinery_py.server import Server

__all__ = [
    "STOPPED",
    "carried",
    "existing_queue",
    "move",
    "say",
    "source_of",
    "stopping",
    "target_options",
    "target_settings",
]

_SHOWN = 20
_FOLLOW_SECONDS = 1.0
STOPPED = "stopped; run the same command again to go on"


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
    unseen: int | None = 0
    kinds = [kind for kind, wanted in ((DELAYED, not no_delayed), (PENDING, True), (DEAD, dead)) if wanted]
    with settings.open(backend=False) as here, other.open(backend=False) as there:
        info = existing_queue(here, queue)
        if not there.broker.is_amqp:
            # RabbitMQ's are made when they are needed.
            existing_queue(there, to_queue or queue)
        target = QueueTarget(there.broker, to_queue or queue, str(there.config.broker), all_delayed=all_delayed)
        tally = Tally()
        source = source_of(here, queue, page, tally, kinds=kinds, all_delayed=all_delayed, put_back=put_back)
        if dry_run:
            with progress(f"looking at {queue}"):
                tally, unseen = run(survey(here.broker, queue, target, kinds, all_delayed=all_delayed))
            complete = unseen == 0
        else:
            idle = _FOLLOW_SECONDS if follow else None
            complete = carried(Move(source, target, tally, idle=idle), f"moving {queue}", info)
    if as_json:
        print_json({**tally.document(), "complete": complete})
    else:
        counts = ", ".join(f"{tally.moved[kind]} {kind}" for kind in kinds[::-1])
        click.echo(f"{counts} {'would be moved' if dry_run else 'moved'} to {printable(str(target))}")
        say(tally)
        if not complete:
            said = f"{unseen or 'some'} tasks could not be looked at" if dry_run else STOPPED
            click.echo(said, err=True)
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


def source_of(
    server: Server,
    queue: str,
    page: int,
    tally: Tally,
    *,
    kinds: Sequence[str] = (DELAYED, PENDING),
    all_delayed: bool = False,
    put_back: bool = False,
) -> Source:
    """The way to empty a queue of this server's broker. Raises NotImplementedError for dead letters but on Redis."""
    run_name = uuid.uuid4().hex
    if server.broker.holds_departures:
        owner = Owner(run_name, this_process(), is_gone)
        flags = {"kinds": kinds, "all_delayed": all_delayed, "put_back": put_back}
        return HeldSource(server.broker, queue, page, tally, owner, **flags)  # type: ignore[arg-type]
    if DEAD in kinds:
        raise NotImplementedError(
            "dead letters are moved from Redis only; elsewhere put them back first: gomachinery queue requeue"
        )
    return FetchedSource(server.broker, queue, page, tally, name=run_name)


def carried(work: Move, text: str, info: QueueInfo | None) -> bool:
    """Run a move with a word on its progress; False when it was stopped before its end."""
    with stopping() as stop, counting(text, info.waiting if info else None) as show:
        work.stopped, work.told = stop.is_set, lambda tally: show(tally.total)
        try:
            run(work.run())
        except MachineryError as error:
            held = work.source.in_hand
            if held or isinstance(error, ServiceUnavailable):
                unseen = f", with {held} that it has in hand, where no worker sees them" if held else ""
                told = f"{work.tally.total} tasks have gone and none is lost; the same command goes on{unseen}"
                click.echo(f"gomachinery: {told}", err=True)
            raise
        return not stop.is_set()


def say(tally: Tally) -> None:
    """What stays and what may be there twice, for people."""
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
