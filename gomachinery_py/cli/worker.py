"""``gomachinery worker``."""

from __future__ import annotations

import logging
from typing import Any

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.settings import connection_options, load_app, open_server
from gomachinery_py.effects import run

__all__ = ["worker"]

log = logging.getLogger(__name__)


@click.command()
@click.argument("app", metavar="APP")
@click.option("-c", "--concurrency", default=0, show_default="twice the CPUs", help="Tasks at once.")
@click.option("-q", "--queue", "queues", multiple=True, help="Consume this queue; may be given more than once.")
@click.option("--tag", default="", help="Name of this worker in logs.")
@click.option("--prefetch", type=click.IntRange(min=1), help="Tasks that it may hold.")
@connection_options
def worker(app: str, concurrency: int, queues: tuple[str, ...], tag: str, prefetch: int | None, **settings: Any) -> int:
    """Run tasks of APP, a server as MODULE:SERVER.

    The first SIGINT or SIGTERM lets running tasks finish (exit code 0), the second quits at once (1).
    """
    if concurrency < 0:
        raise click.UsageError("-c is a number of tasks, 0 or more")
    server = open_server(app=load_app(app), **settings)
    run(server.broker.check())
    running = server.worker(tag, concurrency, queues, prefetch=prefetch)
    local = [task for task in server.tasks.values() if not task.remote]
    if not local:
        log.warning("%s declares no task: every message will go back to the queue", app)
    for task in local:
        queue = task.defaults.routing_key
        if queue and queue not in running.queues:
            log.warning("task %r is sent to queue %r, which this worker does not consume", task.name, queue)
    return 0 if running.run() else FAILED
