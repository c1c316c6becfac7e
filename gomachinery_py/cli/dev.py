"""``gomachinery dev``: the embedded default."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.logs import set_up_logging
from gomachinery_py.cli.settings import load_app
from gomachinery_py.config import Config

__all__ = ["dev"]

_GO_SECONDS = 30_000


@click.command()
@click.argument("app", required=False)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port of the embedded Redis; any by default.")
@click.option("--once", is_flag=True, help="End after the demo; exit code 0 only if every result is right.")
@click.option("--no-go", is_flag=True, help="Leave out Go's side.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="error")
def dev(app: str | None, port: int, once: bool, no_go: bool, log_level: str) -> int:
    """An embedded Redis and a worker, no server needed: shows the main job, then waits for you to join in.

    With APP, a server as MODULE:SERVER, its tasks are served as well.
    """
    from gomachinery_py.demo import go_side
    from gomachinery_py.demo.app import server
    from gomachinery_py.demo.embedded import EmbeddedRedis

    set_up_logging(log_level, "text")
    own = load_app(app) if app else None
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(port))
        for each in (server, own):
            if each is not None:
                each.configure(Config.of(broker=redis.url, result_backend=redis.url))
                stack.callback(each.close)
        if own is not None:
            own.tasks.update({name: task for name, task in server.tasks.items() if name not in own.tasks})
        click.echo(f"embedded Redis on {redis.url}, a worker beside it\n")
        stack.enter_context((own or server).worker("dev", concurrency=8))
        right = _show_python()
        reason = "left out" if no_go else go_side.why_not()
        if reason is None:
            right = _show_go(redis.url, stack) and right
        elif not no_go:
            click.echo(f"\n{reason}")
        if once:
            return 0 if right else FAILED
        _join_in(redis.url, own is not None)
        _wait_for_signal()
    return 0 if right else FAILED


def _show_python() -> bool:
    from gomachinery_py.demo.workflow import steps

    shown = [_shown(step.title, step.run, step.right) for step in steps()]
    return all(shown)


def _shown(title: str, run: Callable[[], Any], right: Callable[[Any], bool]) -> bool:
    started = time.monotonic()
    try:
        value = run()
        good = right(value)
    except Exception as error:
        value, good = f"{type(error).__name__}: {error}", False
    took = (time.monotonic() - started) * 1000
    mark = click.style("✓", fg="green") if good else click.style("✗", fg="red")
    click.echo(f"  {mark} {title:<52} {value}  ({took:.0f} ms)")
    return good


def _show_go(url: str, stack: ExitStack) -> bool:
    from gomachinery_py.demo import go_side
    from gomachinery_py.demo.app import add, server

    click.echo("\nGo's side: building the harness' worker and producer (the first time takes a minute)")
    try:
        worker, producer = go_side.build("worker"), go_side.build("producer")
    except (RuntimeError, OSError) as error:
        click.echo(f"  {error}")
        return False
    # A queue that only the Go worker serves, so that it is plain who did the work.
    go_worker = go_side.GoProgram(worker, "-version=v2", f"-broker={url}", "-custom-queue=go_tasks", "-tag=dev-go")
    stack.callback(go_worker.stop)
    go_producer = go_side.GoProgram(producer, "-version=v1", f"-broker={url}")
    stack.callback(go_producer.stop)
    go_worker.line()

    def python_to_go() -> int:
        return add.using(routing_key="go_tasks").send(20, 22).get(20)

    def go_to_python() -> str:
        arguments = [{"Name": "", "Type": "int64", "Value": value} for value in (20, 22)]
        signature = {"Name": "add", "Args": arguments, "RoutingKey": server.config.default_queue}
        sent = go_producer.command(op="send_task", signature=signature)
        got = go_producer.command(op="get", uuids=[sent["uuid"]], timeout_ms=_GO_SECONDS)
        return str(got["results"][0]["go_text"])

    there = _shown("Python → Go (v2 worker): add(20, 22)", python_to_go, lambda value: value == 42)
    back = _shown("Go (v1 producer) → Python: add(20, 22)", go_to_python, lambda value: value == "42")
    return there and back


def _join_in(url: str, has_app: bool) -> None:
    click.echo(
        f"""
Join in while this runs:
  shell    gomachinery send add int64:1 int64:2 --wait --broker {url}
  Python   Server("{url}"), then declare "add" with @server.remote and send it
  Go       config.Config{{Broker: "{url}", ResultBackend: "{url}", DefaultQueue: "machinery_tasks"}}
{"Your app's tasks are served too. " if has_app else ""}Ctrl-C ends it, and everything in it is gone."""
    )


def _wait_for_signal() -> None:
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    while not asked.wait(3600):
        pass
