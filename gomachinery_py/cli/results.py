"""``gomachinery results``."""

from __future__ import annotations

from pathlib import Path

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.move import STOPPED, stopping
from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.progress import counting
from gomachinery_py.cli.settings import log_options, reach
from gomachinery_py.cli.text import printable
from gomachinery_py.config import Config, merge
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError
from gomachinery_py.moving.results import Copied, Copying
from gomachinery_py.server import Server

__all__ = ["results"]

_SHOWN = 20


@click.group()
def results() -> None:
    """Copy what is stored of tasks and groups."""


@results.command("copy")
@click.argument("uuids", nargs=-1, metavar="[UUID]...")
@click.option("--from", "source", required=True, metavar="URL", help="The result store to copy from.")
@click.option("--to", "target", required=True, metavar="URL", help="The result store to copy to.")
@click.option("--all", "everything", is_flag=True, help="All that is stored; from Redis, MongoDB and DynamoDB.")
@click.option("--overwrite", is_flag=True, help="Also where the other store has something under a UUID.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Machinery's YAML file, for the settings of both stores.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@log_options("warning")
def copy(
    uuids: tuple[str, ...],
    source: str,
    target: str,
    everything: bool,
    overwrite: bool,
    config_file: Path | None,
    as_json: bool,
) -> int:
    """Copy the states of tasks, and groups with their members, to another result store.

    Documents are the same bytes between Redis and memcached, and keep the time that is left to them where both sides
    know it. Nothing is deleted. Exit code 1 when a UUID is not stored, or something could not be copied.

    \b
    gomachinery results copy --all --from redis://old --to redis://new
    --json: {"states", "groups", "there", "missing", "missing_uuids", "failures", "failed": [{"uuid", "reason"}],
    "complete"}
    """
    if bool(uuids) == everything:
        raise click.UsageError("name UUIDs, or give --all")
    file = Config.from_yaml(config_file) if config_file else None
    with _store(source, file) as here, _store(target, file) as there, stopping() as stop:
        if here.config.result_backend == there.config.result_backend:
            raise click.UsageError("both stores are the same")
        with counting("copying results", None if everything else len(uuids)) as show:
            work = Copying(
                here.backend, there.backend, overwrite, stop.is_set, lambda copied: show(copied.total + copied.there)
            )
            done = run(work.all() if everything else work.some(uuids))
        complete = not stop.is_set()
    _say(done, as_json=as_json, complete=complete)
    return FAILED if done.missing or done.failures or not complete else 0


def _store(url: str, file: Config | None) -> Server:
    """A server of which only the result store is used. Raises ServiceUnavailable, ConfigError."""
    server = Server(merge(Config.of(broker="eager", result_backend=url), file, Config.from_env()))
    if server.backend.is_null or url.startswith("eager"):
        raise ConfigError(f"{url!r} keeps nothing that another process could see: name another store")
    server.backend.port.prepare()
    reach(server.backend.check, str(server.config.result_backend))
    return server


def _say(done: Copied, *, as_json: bool, complete: bool) -> None:
    if as_json:
        failed = [{"uuid": uuid, "reason": reason} for uuid, reason in done.failed]
        counts = {"states": done.states, "groups": done.groups, "there": done.there, "missing": done.missing}
        lacking = {"missing_uuids": done.missing_uuids, "failures": done.failures, "failed": failed}
        print_json({**counts, **lacking, "complete": complete})
        return
    click.echo(f"{done.states} states and {done.groups} groups copied, {done.there} were there already")
    if done.missing:
        some = ", ".join(printable(uuid, 60) for uuid in done.missing_uuids[:_SHOWN])
        more = ", …" if done.missing > _SHOWN else ""
        why = "never sent, expired, or something else has this name"
        click.echo(f"{done.missing} are no results there ({why}): {some}{more}", err=True)
    for uuid, reason in done.failed[:_SHOWN]:
        click.echo(f"not copied: {printable(uuid)}: {printable(reason)}", err=True)
    if done.failures > _SHOWN:
        click.echo(f"not copied: … {done.failures} in all", err=True)
    if not complete:
        click.echo(STOPPED, err=True)
