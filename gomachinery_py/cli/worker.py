"""``gomachinery worker``."""

from __future__ import annotations

import logging
import os

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.logs import show_lines_of
from gomachinery_py.cli.settings import Settings, connection_options, load_app, log_options
from gomachinery_py.health import forget_dead, run_directory

__all__ = ["worker"]

log = logging.getLogger(__name__)


@click.command()
@click.argument("app", metavar="APP")
@click.option(
    "-c", "--concurrency", default=0, type=click.IntRange(min=0), show_default="twice the CPUs", help="Tasks at once."
)
@click.option("-q", "--queue", "queues", multiple=True, help="Consume this queue; may be given more than once.")
@click.option("--tag", default="", help="Name of this worker in logs.")
@click.option(
    "--processes", default=1, type=click.IntRange(min=1), show_default=True, help="Each with the whole concurrency."
)
@click.option("--prefetch", type=click.IntRange(min=1), help="Tasks that it may hold; four times as many by default.")
@click.option(
    "--health-file",
    type=click.Path(dir_okay=False),
    help="Where to say that it is well; by default in a directory that `gomachinery health` knows.",
)
@connection_options
@log_options("info")
def worker(
    app: str,
    concurrency: int,
    queues: tuple[str, ...],
    tag: str,
    processes: int,
    prefetch: int | None,
    health_file: str | None,
    settings: Settings,
) -> int:
    """Run tasks of APP, a server as MODULE:SERVER.

    The first SIGINT or SIGTERM lets running tasks finish (exit code 0), the second quits at once (1). With several
    processes the first one passes signals on and replaces those that died.
    """
    server = settings.open(load_app(app))
    show_lines_of(app.partition(":")[0])
    forget_dead(run_directory())
    path = health_file or os.path.join(run_directory(), f"{os.getpid()}.json")
    running = server.worker(tag, concurrency, queues, prefetch=prefetch, health_file=path)
    local = [task for task in server.tasks.values() if not task.remote]
    if not local:
        log.warning("%s declares no task: every message will go back to the queue", app)
    for task in local:
        queue = task.defaults.routing_key
        if queue and queue not in running.queues:
            log.warning("task %r is sent to queue %r, which this worker does not consume", task.name, queue)
    return 0 if running.run(processes) else FAILED
