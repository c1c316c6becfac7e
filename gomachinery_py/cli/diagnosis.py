"""``gomachinery wire explain``, ``wire lint`` and ``wire diff``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from gomachinery_py.cli.errors import FAILED, debug_option
from gomachinery_py.cli.output import message_line, print_json
from gomachinery_py.cli.queues import existing_queue, pages
from gomachinery_py.cli.settings import Settings, connection_options, load_app, log_options
from gomachinery_py.cli.text import printable
from gomachinery_py.cli.verdicts import (
    difference_document,
    difference_lines,
    finding_document,
    finding_lines,
    verdict_document,
    verdict_lines,
)
from gomachinery_py.diagnosis.costs import VERSIONS
from gomachinery_py.diagnosis.decoding import Decoding, decode
from gomachinery_py.diagnosis.difference import Meaning, differences
from gomachinery_py.diagnosis.findings import Finding, Severity
from gomachinery_py.diagnosis.lint import lint
from gomachinery_py.diagnosis.verdict import Knowledge, go_verdict, our_verdict
from gomachinery_py.errors import WireError
from gomachinery_py.golang.json import JsonSyntaxError, parse
from gomachinery_py.server import Server
from gomachinery_py.wire import decode_signature
from gomachinery_py.wire.names import DEFAULT_QUEUE, is_reserved_key

__all__ = ["wire_diff", "wire_explain", "wire_lint"]

_HEADLINE = 120

F = TypeVar("F", bound=Callable[..., Any])


class _Source:
    """The messages that a command is about, and what is known of the fleet that they are for."""

    def __init__(
        self,
        settings: Settings,
        file: BinaryIO | None,
        queue: str | None,
        limit: int,
        app: str | None,
        contract: Path | None,
    ) -> None:
        if file is not None and queue is not None:
            raise click.UsageError("give a FILE or --queue, not both")
        if app is not None and contract is not None:
            raise click.UsageError("give --app or --contract, not both")
        self._settings, self._file, self._limit = settings, file, limit
        self._app = load_app(app) if app is not None else None
        self.queue = queue
        self.known = _knowledge(self._app) if contract is None else _knowledge_of(contract)

    def messages(self) -> Iterator[bytes]:
        """From the queue, the file, or standard input."""
        if self.queue is None:
            yield from split(_read(self._file))
            return
        with self._settings.open(self._app, backend=False) as server:
            name = existing_queue(server, self.queue).name
            queues = {*self.known.queues, server.config.default_queue, name}
            reserved = frozenset(server.broker.reserved_names()) - queues
            self.known = replace(
                self.known, queues=queues, is_reserved=lambda key: key in reserved or is_reserved_key(key)
            )
            bodies = pages(lambda start, count: server.broker.pending(name, start, count), self._limit)
            first = next(bodies, None)
            if first is None:
                # A queue that is empty and one that is misspelt look alike, and both would pass in silence.
                click.echo(f"gomachinery: nothing waits in {printable(name)!r}", err=True)
                return
            yield first
            yield from bodies


def _read(file: BinaryIO | None) -> bytes:
    return sys.stdin.buffer.read() if file is None else file.read()


def _knowledge(app: Server | None) -> Knowledge:
    if app is None:
        return Knowledge()
    tasks = app.tasks
    return Knowledge(
        {name: task.parameters for name, task in tasks.items()},
        {name for name, task in tasks.items() if not task.remote},
        {app.config.default_queue},
    )


def _knowledge_of(contract: Path) -> Knowledge:
    from gomachinery_py.cli.contract_files import contract_in

    tasks = contract_in(contract).tasks
    queues = {DEFAULT_QUEUE, *(task.queue for task in tasks.values())} - {""}
    return Knowledge({name: task.call for name, task in tasks.items()}, queues=queues)


def split(data: bytes) -> list[bytes]:
    """The messages of a file: one a line when its first line is a JSON document by itself, else the whole is one."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > 1:
        try:
            parse(lines[0])
        except JsonSyntaxError:
            pass
        else:
            return [line.removesuffix(b"\r") for line in lines]
    return [data.removesuffix(b"\n").removesuffix(b"\r")]


def _message_options(function: F) -> F:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a message."),
        click.option(
            "--contract",
            metavar="FILE",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The same from a contract (tasks.machinery.yaml).",
        ),
        click.option("--app", metavar="MODULE:SERVER", help="Whose tasks are known: names, arguments and their types."),
        click.option(
            "-n",
            "--limit",
            default=20,
            show_default=True,
            type=click.IntRange(min=0),
            help="How many messages of the queue; 0 is all.",
        ),
        click.option("--queue", metavar="QUEUE", help="Read the messages that wait there; nothing is taken."),
        click.argument("file", type=click.File("rb", lazy=True), required=False),
    ):
        function = option(function)
    return function


@click.command("explain")
@_message_options
@connection_options
@log_options("warning")
def wire_explain(
    file: BinaryIO | None,
    queue: str | None,
    limit: int,
    app: str | None,
    contract: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Say what becomes of a message at a Go worker and here, and why.

    FILE, or standard input, is one message, or one a line. The verdicts are those of workers that have the task; with
    --app or --contract only of a task that is known there, and then with its number and types of arguments.

    \b
    --json: {"number", "bytes", "verdicts": {"go_v1", "go_v2", "here"}, "findings"}; a verdict is {"verdict",
    "text", "retries", "cost", "on_success", "on_failure"}, a finding as of "wire lint"
    """
    source = _Source(settings, file, queue, limit, app, contract)
    for number, body in enumerate(source.messages(), start=1):
        decoding = decode(body)
        go = go_verdict(body, source.known, decoding)
        ours = our_verdict(body, source.known)
        findings = _findings(body, source, decoding)
        if as_json:
            verdicts = {f"go_{version}": verdict_document(go, version) for version in VERSIONS}
            print_json(
                {
                    "number": number,
                    "bytes": len(body),
                    "verdicts": {**verdicts, "here": verdict_document(ours)},
                    "findings": [finding_document(finding) for finding in findings],
                }
            )
            continue
        click.echo(_headline(body))
        for version in VERSIONS:
            for line in verdict_lines(f"Go {version}", go, version):
                click.echo(line)
        for line in (*verdict_lines("here", ours), *finding_lines(findings)):
            click.echo(line)


def _headline(body: bytes) -> str:
    """The task as ``queue peek`` shows it; of what is none, how it begins."""
    try:
        decode_signature(body)
    except WireError:
        return printable(" ".join(body[:_HEADLINE].decode("utf-8", "replace").split()) or "(empty)")
    return message_line(body)


def _findings(body: bytes, source: _Source, decoding: Decoding) -> list[Finding]:
    return lint(body, source.known, decoding=decoding, now_ns=time.time_ns(), queue=source.queue)


@click.command("lint")
@_message_options
@connection_options
@log_options("warning")
def wire_lint(
    file: BinaryIO | None,
    queue: str | None,
    limit: int,
    app: str | None,
    contract: Path | None,
    as_json: bool,
    settings: Settings,
) -> int:
    """Find what is wrong with messages, or not as it looks; each finding says what to write instead.

    FILE, or standard input, is one message, or one a line. Exit code 1 when there are errors; with --strict also when
    there are warnings. Notes never count.

    \b
    --json: {"number", "findings": [{"severity", "code", "path", "what", "instead"}]}
    """
    source = _Source(settings, file, queue, limit, app, contract)
    counted = {Severity.ERROR, Severity.WARNING} if settings.strict else {Severity.ERROR}
    failed = False
    for number, body in enumerate(source.messages(), start=1):
        findings = _findings(body, source, decode(body))
        failed = failed or any(finding.severity in counted for finding in findings)
        if as_json:
            print_json({"number": number, "findings": [finding_document(finding) for finding in findings]})
        elif findings:
            click.echo(_headline(body))
            for line in finding_lines(findings):
                click.echo(line)
    return FAILED if failed else 0


@click.command("diff")
@click.argument("left", type=click.File("rb", lazy=True))
@click.argument("right", type=click.File("rb", lazy=True))
@click.option("--strict", is_flag=True, help="Exit code 1 also when only the bytes differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a difference.")
@debug_option
def wire_diff(left: BinaryIO, right: BinaryIO, strict: bool, as_json: bool) -> int:
    """Compare two messages field by field: what Go sees differ, and what is only written in another way.

    Exit code 1 when Go sees them differ, "nil or empty" and number literals included; 0 when it writes both alike.

    \b
    --json: {"meaning", "path", "left", "right"}
    """
    found = differences(*(_read(file).removesuffix(b"\n") for file in (left, right)))
    if as_json:
        for difference in found:
            print_json(difference_document(difference))
    else:
        for line in difference_lines(found):
            click.echo(line)
    return FAILED if any(strict or difference.meaning is not Meaning.WRITTEN for difference in found) else 0
