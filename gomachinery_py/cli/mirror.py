"""``gomachinery mirror``."""

from __future__ import annotations

from pathlib import Path

import click

from gomachinery_py.brokers.moves import PENDING
from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.move import STOPPED, carried, existing_queue, source_of, target_settings
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.effects import run
from gomachinery_py.moving.mirror import ShadowTarget
from gomachinery_py.moving.move import Move
from gomachinery_py.moving.tally import Tally
from gomachinery_py.moving.targets import QueueTarget
from gomachinery_py.server import Server

__all__ = ["mirror"]

# A task of the real run waits for so long at most.
_IDLE_SECONDS = 0.02
_PAGE = 100


@click.command()
@click.argument("queue")
@click.option("--shadow", required=True, metavar="QUEUE", help="The queue that gets the copies.")
@click.option("--shadow-broker", metavar="URL", help="Its broker; the same one by default.")
@click.option(
    "--shadow-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Machinery's YAML file for that broker.",
)
@click.option("--to", "real", metavar="QUEUE", help="On Redis: the queue that the real workers take from.")
@click.option("--until-empty", is_flag=True, help="End when there is nothing more, instead of by Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@connection_options
@log_options("warning")
def mirror(
    queue: str,
    shadow: str,
    shadow_broker: str | None,
    shadow_config: Path | None,
    real: str | None,
    until_empty: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Copy every task that arrives in QUEUE to a second queue, for a shadow run.

    RabbitMQ makes the copies itself. Redis has no such thing: there this command stands between producers and the real
    workers, who take from the queue that --to names; nothing is lost when it is killed, but nothing goes on either
    until it runs again. A copy is called shadow_<UUID>, and has no callbacks, group or chord.

    \b
    gomachinery mirror orders --shadow orders-next --broker amqp://guest:guest@localhost
    gomachinery mirror orders --to orders-now --shadow orders-next --broker redis://localhost
    --json: {"copied", "uncopied", "refused", "undecodable"}
    """
    other = target_settings(settings, shadow_broker, shadow_config)
    with settings.open(backend=False) as here, other.open(backend=False) as there:
        _check(here, queue, real)
        if other is settings and shadow in (queue, real):
            raise click.UsageError("the shadow must be another queue than the real one")
        copies = QueueTarget(there.broker, shadow, str(there.config.broker))
        tally = Tally()
        info = existing_queue(here, queue)
        if here.broker.is_amqp:
            target = ShadowTarget(copies)
            complete = _natively(here, queue, target, tally, until_empty=until_empty)
        else:
            target = ShadowTarget(copies, QueueTarget(here.broker, real or "", str(here.config.broker)))
            source = source_of(here, queue, _PAGE, tally, kinds=[PENDING])
            idle = None if until_empty else _IDLE_SECONDS
            complete = carried(Move(source, target, tally, idle=idle), f"mirroring {queue}", info) or not until_empty
    if as_json:
        counts = {"copied": target.copied, "uncopied": target.uncopied}
        print_json({**counts, "refused": tally.refused, "undecodable": tally.undecodable})
    else:
        click.echo(f"{target.copied} tasks copied to {printable(shadow)}, {target.uncopied} without a copy")
        for left in tally.left:
            click.echo(f"stays: {printable(left.task) or 'a message'}: {printable(left.reason)}", err=True)
        if not complete:
            click.echo(STOPPED, err=True)
    return 0 if complete else FAILED


def _check(server: Server, queue: str, real: str | None) -> None:
    """Raises NotImplementedError where a broker's own means are the way, UsageError for what does not fit this one."""
    if server.broker.is_amqp:
        if real is not None:
            raise click.UsageError("--to is for Redis: RabbitMQ copies, and its workers stay where they are")
    elif not server.broker.holds_departures:
        raise NotImplementedError(
            "only its owner can copy what this broker carries: on AWS publish to an SNS topic with two SQS queues, on "
            "Pub/Sub give the topic a second subscription"
        )
    elif real in (None, queue):
        raise click.UsageError(
            "Redis cannot copy what arrives: give --to QUEUE, and have the real workers take from that queue"
        )


def _natively(server: Server, queue: str, target: ShadowTarget, tally: Tally, *, until_empty: bool) -> bool:
    """RabbitMQ: a second queue with the same binding gets the copies, from where they go on with their new names.

    False when it was stopped while copies waited there still.
    """
    copy = f"{queue}.gmpy-mirror"
    run(server.broker.begin_copy(queue, copy))

    def go(idle: float | None) -> bool:
        source = source_of(server, copy, _PAGE, tally)
        return carried(Move(source, target, tally, idle=idle), f"mirroring {queue}", None)

    if not until_empty:
        go(_IDLE_SECONDS)
    run(server.broker.end_copy(queue, copy))
    is_empty = go(None)
    if is_empty:
        run(server.broker.drop_copy(copy))
    return is_empty
