"""``gomachinery capture`` and ``gomachinery replay``."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from gomachinery_py.brokers.moves import DEAD, DELAYED, PENDING, Departure
from gomachinery_py.cli.captures import CaptureFile, CaptureSource, Picked
from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.move import STOPPED, carried, existing_queue, say, source_of
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.progress import progress
from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.effects import run
from gomachinery_py.moving.capture import Header
from gomachinery_py.moving.move import Move
from gomachinery_py.moving.survey import walk
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import QueueTarget
from gomachinery_py.server import Server

__all__ = ["capture", "replay"]

_PAGE = 100
_SHOWN = 20


@click.command()
@click.argument("queue")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file.")
@click.option("--take", is_flag=True, help="Take the tasks away, each when it is safe in the file.")
@click.option("--dead", is_flag=True, help="Dead letters too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
@log_options("warning")
def capture(queue: str, output: Path, take: bool, dead: bool, as_json: bool, settings: Settings) -> int:
    """Write the tasks that wait in QUEUE, pending and delayed, to a file of JSON lines.

    Without --take they stay where they are, and as many as workers take meanwhile may be missing. With it nothing is
    lost when it is killed: the same command goes on with the same file.

    \b
    --json: {"captured": {"pending", "delayed", "dead"}, "not_seen", "complete"}
    """
    tally, unseen, complete = Tally(), 0, True
    kinds = [DELAYED, PENDING, *([DEAD] if dead else [])]
    with settings.open(backend=False) as server:
        info = existing_queue(server, queue)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        file = CaptureFile(output, Header(uuid.uuid4().hex, queue, str(server.config.broker), now, taken=take))
        with closing(file):
            source = source_of(server, queue, _PAGE, tally, kinds=kinds) if take else None
            file.open()
            if source is not None:
                complete = carried(Move(source, file, tally), f"capturing {queue}", info)
            else:
                unseen = _copied(server, queue, kinds, file, tally)
    counts = {kind: tally.moved[kind] for kind in (PENDING, DELAYED, DEAD)}
    if as_json:
        print_json({"captured": counts, "not_seen": unseen, "complete": complete})
    else:
        shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if kind in kinds)
        click.echo(f"{shown} captured in {printable(str(output))}")
        if unseen:
            click.echo(f"{unseen} more could not be looked at; --take captures them all", err=True)
        if not complete:
            click.echo(STOPPED, err=True)
    return FAILED if unseen or not complete else 0


def _copied(server: Server, queue: str, kinds: list[str], file: CaptureFile, tally: Tally) -> int:
    """How many could not be looked at. Raises NotImplementedError where nobody can look."""

    def seen(departure: Departure) -> None:
        file.add(departure)
        tally.moved[departure.kind] += 1

    with progress(f"capturing {queue}"):
        unseen = run(walk(server.broker, queue, kinds, seen))
        file.flush()
    if unseen is None:
        file.discard()
        raise NotImplementedError("this broker shows no task without taking it: use --take")
    return unseen


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to-queue", metavar="QUEUE", help="Another queue than the one that they were captured from.")
@click.option(
    "--name", "names", multiple=True, metavar="PATTERN", help="Only tasks of this name, as send_*; repeatable."
)
@click.option("--fresh-uuids", is_flag=True, help="New UUIDs, and out of their groups and chords: a second run.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many tasks a second.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
@log_options("warning")
def replay(
    file: Path,
    to_queue: str | None,
    names: tuple[str, ...],
    fresh_uuids: bool,
    rate: float | None,
    as_json: bool,
    settings: Settings,
) -> int:
    """Send the tasks of a file that "capture" wrote, byte for byte as they were.

    How far it is stands in FILE.progress; when it is killed the same command goes on there. The file is never changed.
    Exit code 1 when a line could not be sent.

    \b
    --json: {"sent": {"pending", "delayed", "dead"}, "bad", "bad_lines": [{"line", "reason"}], "refused",
    "undecodable", "left": [{"task", "reason"}], "maybe_twice", "maybe_twice_uuids", "complete"}
    """
    tally = Tally()
    page = _PAGE if rate is None else max(1, min(_PAGE, int(rate)))
    with settings.open(backend=False) as server:
        queue = to_queue or CaptureSource.header_of(file).queue
        if not server.broker.is_amqp:
            existing_queue(server, queue)
        target = QueueTarget(server.broker, queue, str(server.config.broker))
        source = CaptureSource(file, page, tally, Picked(names, fresh_uuids), rate=rate, to=str(target))
        complete = carried(Move(source, target, tally), f"replaying {file.name}", None)
        if complete:
            source.complete()
    if as_json:
        document = tally.document()
        lines = [{"line": at, "reason": why} for at, why in source.bad_lines]
        sent = {"sent": document.pop("moved"), "bad": source.bad, "bad_lines": lines}
        print_json({**sent, **document, "complete": complete})
    else:
        click.echo(", ".join(f"{count} {kind}" for kind, count in tally.moved.items()) or "0 tasks", nl=False)
        click.echo(f" sent to {printable(str(target))}")
        for at, why in source.bad_lines[:_SHOWN]:
            click.echo(f"line {at}: {printable(why)}", err=True)
        if source.bad > _SHOWN:
            click.echo(f"… {source.bad} such lines in all", err=True)
        say(tally)
        if not complete:
            click.echo(STOPPED, err=True)
    return FAILED if source.bad or tally.refused or tally.undecodable or not complete else 0
