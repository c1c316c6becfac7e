"""``gomachinery contract``."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gomachinery_py.cli.contract_files import contract_in
from gomachinery_py.cli.errors import debug_option
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.progress import progress
from gomachinery_py.cli.queues import pages
from gomachinery_py.cli.settings import Settings, connection_options, load_app, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.contracts.differences import Source, code_findings
from gomachinery_py.contracts.go_code import go_producer, go_registry
from gomachinery_py.contracts.model import Contract
from gomachinery_py.contracts.of_python import contract_of, remote_contract_of
from gomachinery_py.contracts.python_stubs import python_stubs
from gomachinery_py.contracts.waiting import Waiting
from gomachinery_py.contracts.writing import write_contract
from gomachinery_py.errors import ConfigError, ServiceError
from gomachinery_py.server import Server

__all__ = ["DRIFT", "contract"]

DRIFT = 5
_PYTHON = "python"

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_output = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to standard output."
)
_service = click.option(
    "--as", "service", default=_PYTHON, show_default=True, metavar="NAME", help="What the service of APP is called."
)
_services = click.option(
    "--served-by", "services", multiple=True, metavar="NAME", help="Only the tasks of this service; more than once."
)


@click.group()
def contract() -> None:
    """One file for what a fleet's tasks are called, take and return, in any language."""


@contract.command("export")
@click.argument("app", metavar="MODULE:SERVER")
@_output
@_service
@debug_option
def contract_export(app: str, output: Path | None, service: str) -> None:
    """Write the tasks that a Python app serves.

    In a file that is there already, only the tasks of this service are replaced.
    """
    exported = contract_of(load_app(app), service)
    if output is not None and output.exists():
        exported = contract_in(output).updated(exported, service)
    _write(write_contract(exported), output)


@contract.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False, path_type=Path))
@_output
@debug_option
def contract_merge(files: tuple[Path, ...], output: Path | None) -> None:
    """Put contracts together: of each service, all tasks are those of the last file that has any.

    A task that two services serve is an error.
    """
    merged = contract_in(files[0])
    for file in files[1:]:
        merged = merged.updated(contract_in(file))
    _write(write_contract(merged), output)


@contract.command("python")
@_file
@_output
@_services
@click.option("--models", default="", metavar="MODULE", help="Where the models of Json[...] are; Any without it.")
@debug_option
def contract_python(file: Path, output: Path | None, services: tuple[str, ...], models: str) -> None:
    """Write a Python module with typed stubs of the tasks.

    \b
    gomachinery contract python tasks.machinery.yaml --served-by go -o fleet.py
    from fleet import Tasks; tasks = Tasks(server); tasks.add.send(1, 2)
    """
    if models and not all(part.isidentifier() for part in models.split(".")):
        raise click.BadParameter(f"{models!r} is no module", param_hint="--models")
    _write(python_stubs(contract_in(file).served_by(services), file.name, models), output)


@contract.command("go")
@_file
@_output
@_services
@click.option("--package", default="fleet", show_default=True, metavar="NAME", help="Of the Go code.")
@click.option("--producer", "what", flag_value="producer", default=True, help="Functions that send. [default]")
@click.option("--registry", "what", flag_value="registry", help="Functions to be filled in, and the map of them.")
@click.option(
    "--machinery", type=click.Choice(["v1", "v2"]), default="v2", show_default=True, help="Which one a producer uses."
)
@debug_option
def contract_go(
    file: Path, output: Path | None, services: tuple[str, ...], package: str, what: str, machinery: Any
) -> None:
    """Write Go code of the tasks.

    \b
    gomachinery contract go tasks.machinery.yaml --served-by python --package fleet -o fleet/fleet.go
    fleet.SendAdd(ctx, server, 1, 2)
    """
    wanted = contract_in(file).served_by(services)
    if what == "registry":
        _write(go_registry(wanted, package, file.name), output)
    else:
        _write(go_producer(wanted, package, machinery, file.name), output)


@contract.command("check")
@_file
@click.argument("code", nargs=-1, metavar="[MODULE:SERVER|FILE]...")
@_service
@click.option("--queue", "queues", multiple=True, metavar="QUEUE", help="Check what waits for it; more than once.")
@click.option("--waiting", is_flag=True, help="Check what waits for all queues of the contract and the default one.")
@click.option("--breaking", is_flag=True, help="Show only what makes tasks fail or results unreadable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one finding a line.")
@connection_options
@log_options("warning")
def contract_check(
    file: Path,
    code: tuple[str, ...],
    service: str,
    queues: tuple[str, ...],
    waiting: bool,
    breaking: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Compare a contract with code and with what waits in queues.

    Code is a Python app, or a contract that was just written from code, as Go's contract.Write does it. One line a
    finding. Exit code 5 when something differs, 0 when nothing does.

    \b
    gomachinery contract check tasks.machinery.yaml app:server go.yaml
    gomachinery contract check tasks.machinery.yaml --waiting --broker redis://localhost:6379
    --json: {"kind", "task", "place", "text", "remedy", "breaking", "count", "uuid"}
    """
    if not (code or queues or waiting):
        raise click.UsageError("say what to compare: MODULE:SERVER, a FILE, --queue or --waiting")
    expected = contract_in(file)
    apps, sources = _sources(code, service)
    found = code_findings(expected, sources)
    looked_at = ""
    if queues or waiting:
        with settings.open(apps[0] if apps else None, backend=False) as server:
            look = _waiting(expected, server, queues, everything=waiting)
        found += look.findings
        looked_at = f"; {look.seen} waiting tasks were looked at"
    shown = [finding for finding in found if finding.breaking or not breaking]
    for finding in shown:
        if as_json:
            print_json(finding.document)
        else:
            click.echo(printable(finding.line))
    if not shown and not as_json:
        click.echo(f"{printable(file.name)}: no difference{looked_at}")
    return DRIFT if shown else 0


def _sources(code: Sequence[str], service: str) -> tuple[list[Server], list[Source]]:
    apps: list[Server] = []
    sources: list[Source] = []
    for name in code:
        if ":" in name and not Path(name).exists():
            apps.append(load_app(name))
            serves, sends = contract_of(apps[-1], service), remote_contract_of(apps[-1])
            sources.append(Source.of(name, serves, sends, service))
        else:
            sources.append(Source.of(name, contract_in(Path(name))))
    return apps, sources


def _waiting(expected: Contract, server: Server, queues: Sequence[str], *, everything: bool) -> Waiting:
    default = server.config.default_queue
    wanted = list(queues)
    if everything:
        wanted += [default, *sorted({task.queue for task in expected.tasks.values()} - {""})]
    wanted = list(dict.fromkeys(wanted))
    look = Waiting(expected)
    with progress(f"reading {len(wanted)} queues"):
        for queue in wanted:
            for body in pages(functools.partial(server.broker.pending, queue), 0):
                look.add(f"queue {queue}", body)
        # A task without a routing key goes to the default queue.
        keys = {*wanted, *([""] if default in wanted else [])}
        try:
            for body in pages(server.broker.delayed, 0):
                look.add("delayed tasks", body, keys)
        except (ServiceError, NotImplementedError) as error:
            click.echo(f"gomachinery: delayed tasks are not checked: {printable(str(error))}", err=True)
    return look


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        _replace(output, text)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from error


def _replace(file: Path, text: str) -> None:
    """Write a file; whoever reads it meanwhile finds the old text or the new one."""
    if file.exists() and not file.is_file():
        file.write_text(text, encoding="utf-8")
        return
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        if file.exists():
            new.chmod(file.stat().st_mode & 0o777)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
