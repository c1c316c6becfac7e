"""Which server a command talks to: flags over ``--config`` over the app's own over the environment."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gomachinery_py.cli.errors import debug_option
from gomachinery_py.cli.logs import set_up_logging
from gomachinery_py.config import Config, merge
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError, ServiceUnavailable
from gomachinery_py.secret import SecretURL
from gomachinery_py.server import Server
from gomachinery_py.urls import only_carries

__all__ = ["Settings", "connection_options", "load_app", "load_object", "log_options", "reach"]

# An unreachable service is reported within two seconds, the start of Python included.
_REACH_SECONDS = 1.2


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options said."""

    config_file: Path | None
    broker: str | None
    result_backend: str | None
    default_queue: str | None
    strict: bool

    def open(
        self, app: Server | None = None, *, broker: bool = True, backend: bool = True, lock: bool = False
    ) -> Server:
        """The server of a command, configured by all that was given.

        Args:
            app: the server to configure; a new one unless given.
            broker: whether the broker must be reachable.
            backend: whether the result store must be reachable.
            lock: whether the lock of periodic tasks must be reachable.

        Raises ServiceUnavailable within two seconds, ConfigError, MissingExtra, click.ClickException.
        """
        server = self._configured(app, needs_results=backend)
        if server.broker.is_eager:
            raise ConfigError(
                "the eager broker runs tasks inside the process that sends them, so there is nothing to see or do "
                "from here: give another --broker"
            )
        checks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        if backend:
            checks[server.config.result_backend] = server.backend.check
        if broker:
            checks[server.config.broker] = server.broker.check
        if lock and server.lock.is_shared:
            checks[server.config.lock] = server.lock.check
        for port in (server.broker.port, server.backend.port):
            port.prepare()
        for url, check in checks.items():
            reach(check, str(url))
        return server

    def _configured(self, app: Server | None, *, needs_results: bool) -> Server:
        flags = Config.of(broker=self.broker, result_backend=self.result_backend, default_queue=self.default_queue)
        file = Config.from_yaml(self.config_file, strict=self.strict) if self.config_file else None
        environment = Config.from_env()
        config = merge(flags, file, app.config if app else None, environment)
        given = config.names_given()
        if "broker" not in given:
            raise click.ClickException("no broker is given: use --broker, --config, or the environment variable BROKER")
        weaker = (file, app.config if app else None, environment)
        if "result_backend" not in given or (self.broker and not self.result_backend and _follows_broker(*weaker)):
            config.result_backend = _of_broker(config.broker, needs_results=needs_results)
        if app is None:
            return Server(config)
        app.configure(config)
        return app


def _of_broker(broker: str, *, needs_results: bool) -> str:
    """The result store of whoever names none. Raises ConfigError where the broker cannot be it."""
    if not only_carries(broker):
        return broker
    if needs_results:
        raise ConfigError('this broker keeps no results: give --result-backend URL, or "null" to keep none')
    return SecretURL("null")


def _follows_broker(*layers: Config | None) -> bool:
    """Whether the result store that a weaker layer names is only its broker again."""
    for config in layers:
        if config is not None and "result_backend" in config.names_given():
            return config.result_backend == config.broker
    return True


def reach(check: Callable[[], Coroutine[Any, Any, None]], url: str) -> None:
    """Raise ServiceUnavailable unless ``check`` succeeds soon, whatever it is that waits: a name, a login, a reply."""
    outcome: list[Exception | None] = []

    def attempt() -> None:
        try:
            run(check())
            outcome.append(None)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt, name="reach", daemon=True)
    thread.start()
    thread.join(_REACH_SECONDS)
    if not outcome:
        raise ServiceUnavailable(
            f"cannot reach {url}: no answer for {_REACH_SECONDS} s. Is it running, is the URL right?"
        )
    if outcome[0] is not None:
        raise outcome[0]


def connection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that talks to a service; the command gets them as ``settings``."""

    @functools.wraps(function)
    def command(
        *args: Any,
        config_file: Path | None,
        broker: str | None,
        result_backend: str | None,
        default_queue: str | None,
        strict: bool,
        **kwargs: Any,
    ) -> Any:
        settings = Settings(config_file, broker, result_backend, default_queue, strict)
        return function(*args, settings=settings, **kwargs)

    for option in (
        click.option("--strict", is_flag=True, help="Refuse unknown keys in the configuration file."),
        click.option("--default-queue", metavar="QUEUE", help="Queue of tasks without a routing key."),
        click.option("--result-backend", metavar="URL", help="The result store; the broker by default."),
        click.option("--broker", metavar="URL", help="The broker."),
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Machinery's YAML file; a Go service's own can be used.",
        ),
    ):
        command = option(command)
    return command


def log_options(level: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--log-level``, ``--log-format`` and ``--debug``; logging is set up before the command runs."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(*args: Any, log_level: str, log_format: str, **kwargs: Any) -> Any:
            set_up_logging(log_level, log_format)
            return function(*args, **kwargs)

        for option in (
            debug_option,
            click.option(
                "--log-format",
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
                help="Of log lines, which go to standard error.",
            ),
            click.option(
                "--log-level",
                type=click.Choice(["debug", "info", "warning", "error"]),
                default=level,
                show_default=True,
                help="The least that is logged.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def load_app(path: str) -> Server:
    """The server that ``module:attribute`` names; the working directory can be imported from.

    Raises click.ClickException.
    """
    server = load_object(path)
    if not isinstance(server, Server):
        if isinstance(getattr(server, "server", None), Server):
            raise click.ClickException(f"{path} is an app that has a server: write {path}.server")
        module_name, _, attribute = path.partition(":")
        found = "has no attribute" if server is None else "has something else under the name"
        servers = [name for name, value in vars(sys.modules[module_name]).items() if isinstance(value, Server)]
        hint = f"; it has the server {servers[0]!r}" if servers else ""
        raise click.ClickException(f"module {module_name} {found} {attribute!r}{hint}")
    return server


def load_object(path: str) -> Any:
    """What ``module:attribute`` names, None when the module has no such attribute.

    Raises click.ClickException.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise click.ClickException(f"{path!r} names no server: write MODULE:SERVER, for instance app:server")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise click.ClickException(
                f"there is no module {module_name!r} here or on the Python path: go to the directory that it is in, "
                "or set PYTHONPATH"
            ) from error
        raise click.ClickException(f"importing {module_name} failed: {error}") from error
    except (Exception, SystemExit) as error:
        raise click.ClickException(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    return found
