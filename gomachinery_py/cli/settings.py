"""Which server a command talks to: flags over ``--config`` over the app's own over the environment."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gomachinery_py.cli.logs import set_up_logging
from gomachinery_py.config import Config, merge
from gomachinery_py.server import Server

__all__ = ["connection_options", "load_app", "open_server"]

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

# An unreachable service is reported within this time.
_CONNECT_SECONDS = 2


def connection_options(function: F) -> F:
    """The options that every command which talks to a service has."""
    for option in (
        click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Format of log lines."),
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            default="info",
            show_default=True,
        ),
        click.option("--strict", is_flag=True, help="Refuse unknown keys in the configuration file."),
        click.option("--default-queue", help="Queue of tasks without a routing key."),
        click.option("--result-backend", help="URL of the result store; the broker's own by default."),
        click.option("--broker", help="URL of the broker."),
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Machinery's YAML file.",
        ),
    ):
        function = option(function)
    return function


def load_app(path: str) -> Server:
    """The server that ``module:attribute`` names; the working directory can be imported from."""
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise click.UsageError(f"{path!r} names no server: write MODULE:SERVER, for instance app:server")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise click.UsageError(f"there is no module {module_name!r} here or on the Python path") from error
        raise click.UsageError(f"importing {module_name} failed: {error}") from error
    except Exception as error:
        raise click.UsageError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    server = getattr(module, attribute, None)
    if not isinstance(server, Server):
        found = "has no attribute" if server is None else "has something else under the name"
        servers = [name for name, value in vars(module).items() if isinstance(value, Server)]
        hint = f"; it has the server {servers[0]!r}" if servers else ""
        raise click.UsageError(f"module {module_name} {found} {attribute!r}{hint}")
    return server


def open_server(
    *,
    app: Server | None = None,
    config_file: Path | None = None,
    broker: str | None = None,
    result_backend: str | None = None,
    default_queue: str | None = None,
    strict: bool = False,
    log_level: str = "info",
    log_format: str = "text",
) -> Server:
    """The server of a command, configured by all that was given."""
    set_up_logging(log_level, log_format)
    flags = Config.of(broker=broker, result_backend=result_backend, default_queue=default_queue)
    file = Config.from_yaml(config_file, strict=strict) if config_file else None
    environment = Config.from_env()
    layers = (flags, file, app.config if app else None, environment)
    config = merge(*layers)
    given = config.names_given()
    if "broker" not in given:
        raise click.UsageError("no broker is given: use --broker, --config, or the environment variable BROKER")
    if "result_backend" not in given or (broker and not result_backend and _same_as_broker(file, app, environment)):
        config.result_backend = config.broker
    for warning in config.warnings:
        log.warning("%s", warning)
    config.redis.connect_timeout = min(config.redis.connect_timeout or _CONNECT_SECONDS, _CONNECT_SECONDS)
    if app is None:
        return Server(config)
    app.configure(config)
    return app


def _same_as_broker(*layers: Any) -> bool:
    """Whether the result store that a weaker layer names is only its broker again."""
    configs = [layer.config if isinstance(layer, Server) else layer for layer in layers]
    for config in configs:
        if config is not None and "result_backend" in config.names_given():
            return config.result_backend == config.broker
    return True
