"""``gomachinery celery``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.settings import Settings, connection_options, load_object, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.config import Config
from gomachinery_py.effects import run
from gomachinery_py.server import Server
from gomachinery_py.urls import parse_broker

if TYPE_CHECKING:
    from gomachinery_py.compat.celery.app import Celery
    from gomachinery_py.compat.celery.translating import Translator, Verdict

__all__ = ["celery"]


@click.group()
def celery() -> None:
    """Bring over what Celery has left waiting."""


@celery.command("translate")
@click.argument("queue", default="celery", metavar="[QUEUE]")
@click.option("--from", "source", metavar="URL", help="Celery's broker; the same as --broker by default.")
@click.option("--to", "to_queue", metavar="QUEUE", help="Where tasks go; by default where the app sends them.")
@click.option("--app", metavar="APP", help="The moved Celery app as MODULE:APP; it knows the tasks' parameters.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of each message.")
@click.option("-n", "--limit", default=0, show_default="all", type=click.IntRange(min=0), help="The next so many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@connection_options
@log_options("warning")
def translate(
    queue: str,
    source: str | None,
    to_queue: str | None,
    app: str | None,
    dry_run: bool,
    limit: int,
    yes: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Move the tasks that wait in a Celery queue to a Machinery queue, as Machinery's.

    A task keeps its id. What has no exact translation stays in its place, with the reason (exit code 1). Messages are
    read as JSON; nothing is unpickled. Killed and started again it goes on: nothing is lost, and on one Redis nothing
    comes twice.

    \b
    --json: {"id", "name", "queue", "refused"}, "queue" null for what stays; the last line is
    {"translated", "refused", "gone", "held"}
    """
    moved = _app(app)
    with settings.open(moved.server if moved is not None else None) as server:
        translator, reader = _translator(server, moved, source, to_queue)
        with reader:
            held = run(reader.broker.kombu().held())
            if not (dry_run or yes):
                click.confirm(f"Translate the tasks that wait in {printable(queue)!r}?", abort=True, err=True)
            counts: Counter[str] = Counter()

            def report(verdict: Verdict) -> None:
                counts["refused" if verdict.refused else "gone" if verdict.is_gone else "translated"] += 1
                _say(verdict, as_json=as_json)

            run(translator.translate(queue, report, dry_run=dry_run, limit=limit))
    _say_counts(counts, held, dry_run=dry_run, as_json=as_json)
    if counts["refused"] and moved is None and not as_json:
        click.echo("Tasks with keywords, or with others to follow, need --app MODULE:APP, which knows the tasks.")
    return FAILED if counts["refused"] else 0


def _app(path: str | None) -> Celery | None:
    if path is None:
        return None
    from gomachinery_py.compat.celery.app import Celery

    found = load_object(path)
    if not isinstance(found, Celery):
        raise click.ClickException(f"{path} is no app of gomachinery_py.compat.celery: write MODULE:APP")
    return found


def _translator(
    server: Server, app: Celery | None, source: str | None, to_queue: str | None
) -> tuple[Translator, Server]:
    """The translator, and the server whose broker is Celery's."""
    from gomachinery_py.compat.celery.app import Celery
    from gomachinery_py.compat.celery.settings import broker_url
    from gomachinery_py.compat.celery.translating import Translator

    if app is None:
        app = Celery(set_as_current=False)
        app.adopt(server)
    url = broker_url(source) if source is not None else server.config.broker
    if parse_broker(url) == parse_broker(server.config.broker):
        return Translator(server.broker.kombu(), app, to_queue=to_queue, shares_broker=True), server
    reader = Server(Config.of(broker=url, result_backend="null"))
    run(reader.broker.check())
    return Translator(reader.broker.kombu(), app, to_queue=to_queue), reader


def _say(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "id": verdict.id,
                "name": verdict.name,
                "queue": verdict.queue or None,
                "refused": verdict.refused or None,
            }
        )
        return
    what = printable(f"{verdict.name} {verdict.id}" if verdict.id else "a message", 100)
    if verdict.refused:
        click.echo(f"stays  {what}: {printable(verdict.refused, 400)}")
    else:
        click.echo(f"{'gone ' if verdict.is_gone else 'moves'}  {what} -> {printable(verdict.queue)}")


def _say_counts(counts: Counter[str], held: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({**{name: counts[name] for name in ("translated", "refused", "gone")}, "held": held})
        return
    click.echo(f"{counts['translated']} {'would be ' if dry_run else ''}translated, {counts['refused']} stay")
    if counts["gone"]:
        click.echo(f"{counts['gone']} were taken by somebody else meanwhile: is a Celery worker still running?")
    if held:
        click.echo(
            f"{held} more are held by Celery workers (unacked), those with an ETA among them: stop the workers, which "
            "gives them back, and translate again",
        )
