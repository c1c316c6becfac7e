"""``gomachinery top``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from gomachinery_py.cli.output import print_json
from gomachinery_py.cli.settings import Settings, connection_options, log_options
from gomachinery_py.cli.top_frame import Watch
from gomachinery_py.cli.top_view import view
from gomachinery_py.errors import ServiceUnavailable

__all__ = ["top"]

# What is no terminal has no width; so wide that little is cut off.
_WIDTH = 200


@click.command()
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object for each look.")
@connection_options
@log_options("error")
def top(queues: tuple[str, ...], interval: float, once: bool, as_json: bool, settings: Settings) -> None:
    """Watch a fleet: queues, workers, rates, what is delayed, what failed and what died. Ctrl-C ends it.

    Rates and the counts of workers are what Python workers say of themselves, every few seconds; of Go workers
    nothing is known but what they do to a queue's length. "-" is what a service does not tell. All queues of a Redis
    are looked for once a minute; name some to spare it that.

    \b
    --json: {"time", "error", "queues", "delayed", "workers", "failures", "dead_letters"}, see docs/operations.md
    """
    with settings.open(backend=False) as server:
        frames = _frames(Watch(server, queues), interval, once)
        try:
            if as_json:
                for frame in frames:
                    print_json(frame)
            else:
                _show(frames, str(server.config.broker))
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            # Whoever read this has seen enough; what is still buffered has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _frames(watch: Watch, interval: float, once: bool) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield watch.look()
        except ServiceUnavailable as error:
            yield _lost(f"{error} Trying again.")
        if once:
            return
        time.sleep(interval)


def _lost(why: str) -> dict[str, Any]:
    """The broker does not answer: a frame of the same form with nothing in it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    empty: dict[str, Any] = {name: [] for name in ("queues", "workers", "failures", "dead_letters")}
    return {"time": now, "error": why, **empty, "delayed": {"count": None, "next": None}}


def _show(frames: Iterator[dict[str, Any]], broker: str) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
        for frame in frames:
            console.print(view(frame, broker))
        return
    first = next(frames)
    with Live(
        view(first, broker), console=console, screen=True, auto_refresh=False, vertical_overflow="ellipsis"
    ) as live:
        live.refresh()
        for frame in frames:
            live.update(view(frame, broker), refresh=True)
