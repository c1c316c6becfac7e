"""``gomachinery doctor``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.settings import Settings, connection_options, load_app, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.config import Config
from gomachinery_py.doctor import PROBLEM, Finding, Fleet, Report, Side, counted, examine
from gomachinery_py.effects import run
from gomachinery_py.registry import open_management, open_monitor
from gomachinery_py.secret import SecretURL

__all__ = ["doctor"]


@click.command()
@click.argument("app_path", required=False, metavar="[APP]")
@click.option(
    "-q", "--queue", "queues", multiple=True, metavar="QUEUE", help="Only this queue; several times for more."
)
@click.option(
    "--side",
    "sides",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another side's configuration file, to be compared.",
)
@click.option(
    "--watch", default=3.0, show_default=True, type=click.FloatRange(0, 600), help="Seconds to look at what moves."
)
@click.option(
    "--patience",
    default=120.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds that a task may wait while nobody takes one, or be overdue.",
)
@click.option(
    "--monitor/--no-monitor", default=True, show_default=True, help="Use Redis' MONITOR to find tasks that circle."
)
@click.option("--management", "management_url", metavar="URL", help="RabbitMQ's management plugin: http://host:15672.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object.")
@connection_options
@log_options("error")
def doctor(
    app_path: str | None,
    queues: tuple[str, ...],
    sides: tuple[Path, ...],
    watch: float,
    patience: float,
    monitor: bool,
    management_url: str | None,
    as_json: bool,
    settings: Settings,
) -> int:
    """Say what is wrong with a fleet, and what to do about it: exit code 1 when there is a problem, 0 when not.

    With APP (module:server) the tasks that wait are compared with those that it registers. Nothing is written, and
    long queues are read in part.

    \b
    --json: {"healthy", "findings": [{"severity", "code", "where", "what", "do"}], "queues", "limits"}
    """
    app = load_app(app_path) if app_path else None
    with settings.open(app) as server:
        own = Side(app_path or str(settings.config_file or "these settings"), server.config)
        ours = {name: task for name, task in server.tasks.items() if not task.remote}
        routed = {task.defaults.routing_key or server.config.default_queue for task in ours.values()}
        fleet = Fleet(
            server.broker,
            server.backend,
            server.config,
            server.clock,
            queues,
            registered=frozenset(ours) if app else None,
            consumed=frozenset({server.config.default_queue, *routed}) if app else frozenset(),
            sides=[own, *(_side(path) for path in sides)],
            watch=watch,
            patience=patience,
            options=_options(settings),
            monitor=open_monitor(server.broker) if monitor else None,
            management=open_management(management_url, server.config) if management_url else None,
        )
        report = _examined(fleet)
    if as_json:
        print_json({"healthy": report.healthy, **asdict(report)})
    else:
        _print(report)
    return 0 if report.healthy else FAILED


def _examined(fleet: Fleet) -> Report:
    try:
        return run(examine(fleet))
    finally:
        if fleet.monitor is not None:
            fleet.monitor.close()


def _side(path: Path) -> Side:
    config = Config.from_yaml(path)
    if "result_backend" not in config.names_given():
        config.result_backend = SecretURL(
            config.broker.reveal() if isinstance(config.broker, SecretURL) else config.broker
        )
    return Side(str(path), config)


def _options(settings: Settings) -> str:
    """What reaches the same fleet again; a URL with a password in it is left to whoever knows it."""
    given = [
        ("--config", settings.config_file),
        ("--broker", settings.broker),
        ("--default-queue", settings.default_queue),
    ]
    words: list[str] = []
    for option, value in given:
        if value is not None and (option != "--broker" or str(SecretURL(str(value))) == str(value)):
            words += [option, str(value)]
    return f" {shlex.join(words)}" if words else ""


def _print(report: Report) -> None:
    for finding in report.findings:
        click.echo(_line(finding))
    for limit in report.limits:
        click.echo(f"note     {printable(limit)}")
    number = counted(len(report.queues), "queue")
    problems = sum(finding.severity == PROBLEM for finding in report.findings)
    if not report.findings:
        click.echo(f"healthy: {number}, nothing found")
    else:
        warnings = len(report.findings) - problems
        click.echo(f"{counted(problems, 'problem')}, {counted(warnings, 'warning')} in {number}")


def _line(finding: Finding) -> str:
    parts: Sequence[str] = (finding.where, finding.what, finding.do)
    where, what, do = map(printable, parts)
    return f"{finding.severity:<8} {finding.code} {where}: {what}. do: {do}"
