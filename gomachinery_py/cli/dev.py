"""``gomachinery dev``: the embedded default."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from gomachinery_py.cli.errors import FAILED
from gomachinery_py.cli.settings import load_app, log_options
from gomachinery_py.config import Config
from gomachinery_py.declaring import queues_of
from gomachinery_py.server import Server

if TYPE_CHECKING:
    from gomachinery_py.demo.show import Show

__all__ = ["dev"]

# With an app of your own, the demo keeps to itself.
_DEMO_QUEUE = "demo_tasks"
# The first build downloads and compiles Machinery and all that it needs. The demo alone shall not take two minutes.
_BUILD_SECONDS = 300.0
_BUILD_SECONDS_ONCE = 80.0


@click.command()
@click.argument("app", required=False, metavar="[APP]")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port of the embedded Redis; any by default.")
@click.option("--once", is_flag=True, help="End after the demo; exit code 0 only if every result is right.")
@click.option("--no-go", is_flag=True, help="Leave out Go's side.")
@log_options("error")
def dev(app: str | None, port: int, once: bool, no_go: bool) -> int:
    """An embedded Redis and a worker, no server needed: shows the main job, then waits for you to join in.

    With APP, a server as MODULE:SERVER, its tasks are served too.
    """
    from gomachinery_py.demo.app import server as demo
    from gomachinery_py.demo.embedded import EmbeddedRedis
    from gomachinery_py.demo.show import Show

    own = load_app(app) if app else None
    show = Show()
    with _ended_by_signals(), ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(port))
        _serve(demo, Config.of(broker=redis.url, result_backend=redis.url, default_queue=own and _DEMO_QUEUE), stack)
        if own is not None:
            _serve(own, _embedded(own.config, redis.url), stack)
        show.say(f"embedded Redis on {redis.url}, a worker beside it\n")
        _show_python(show)
        if not no_go:
            seconds = _BUILD_SECONDS_ONCE if once else _BUILD_SECONDS
            _show_go(redis.url, demo.config.default_queue, show, stack, seconds)
        if not once:
            _stay(redis.url, own, show)
    return 0 if show.all_right else FAILED


def _embedded(config: Config, url: str) -> Config:
    """An app's own settings, as far as they mean something here."""
    return Config.of(
        broker=url,
        result_backend=url,
        default_queue=config.default_queue,
        results_expire_in=config.results_expire_in,
    )


def _serve(server: Server, config: Config, stack: ExitStack) -> None:
    server.configure(config)
    stack.callback(server.close)
    stack.enter_context(server.worker("dev", 8, queues_of(server)))


def _show_python(show: Show) -> None:
    from gomachinery_py.demo.workflow import steps

    for step in steps():
        show.step(step)


def _show_go(url: str, queue: str, show: Show, stack: ExitStack, build_seconds: float) -> None:
    from gomachinery_py.demo import go_side

    reason = go_side.why_not()
    if reason is None:
        show.say("\nGo's side (building it takes a minute the first time)")
        try:
            go_side.show_both_ways(url, queue, show, stack, build_seconds)
        except go_side.GoUnavailable as error:
            reason = f"  left out: {error}"
    if reason is not None:
        show.say(reason)


def _stay(url: str, own: Server | None, show: Show) -> None:
    """Wait for Ctrl-C, or SIGTERM, to be joined until then."""
    try:
        _join_in(url, own, show)
        while True:
            # Not signal.pause(), which sleeps on when the signal comes just before it.
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


def _join_in(url: str, own: Server | None, show: Show) -> None:
    queue = own.config.default_queue if own is not None else "machinery_tasks"
    # The demo's queue is the default one, unless an app has that.
    flag = field = note = ""
    if own is not None:
        flag, field = f" --queue {_DEMO_QUEUE}", f', routing_key="{_DEMO_QUEUE}"'
        note = f"Your app's tasks ({len(own.tasks)}) are served from {own.config.default_queue}.\n"
    show.say(
        f"""
Join in while this runs:
  shell    gomachinery send add int64:1 int64:2{flag} --wait --broker {url}
  Python   Server("{url}").send_task(Signature("add", [Arg("int64", 1), Arg("int64", 2)]{field})).get(5)
  Go       machinery.NewServer(&config.Config{{Broker: "{url}", ResultBackend: "{url}",
               DefaultQueue: "{queue}", Redis: &config.RedisConfig{{}}}})   // machinery/v1
{note}Ctrl-C ends it, and everything in it is gone."""
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end this as Ctrl-C does, so that nothing which was started stays behind."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
