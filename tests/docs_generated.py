"""The pages that are made from the code: every setting, and every command's help.

``python tests/docs_generated.py`` writes them; test_docs_generated.py says when that is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field
from typing import Any

import click
from docs_blocks import ROOT

from gomachinery_py.cli import cli
from gomachinery_py.config import Config
from gomachinery_py.config_sections import SECTIONS, settings_of

KINDS = {
    "text": "text",
    "secret": "text, never shown",
    "url": "URL, shown without its password",
    "int": "whole number",
    "int or null": "whole number or null",
    "bool": "true or false",
    "map": "names with texts",
    "typed map": "names with values",
}
# What Machinery's names and the services' pages do not say by themselves.
NOTES = {
    "multiple_broker_separator": "what stands between several `amqp://` URLs in `broker`",
    "results_expire_in": "seconds, up to a hundred years; 0 is 3600",
    "no_unix_signals": "workers leave SIGINT and SIGTERM alone",
    "redis.normal_tasks_poll_period": "milliseconds",
    "redis.delayed_tasks_poll_period": "milliseconds",
    "redis.max_idle_timeout": "seconds",
    "redis.read_timeout": "seconds",
    "redis.write_timeout": "seconds",
    "redis.connect_timeout": "seconds",
    "redis.delayed_tasks_key": "`delayed_tasks` unless set",
    "sqs.receive_wait_time_seconds": "seconds, 20 at most; 0 is 1",
    "sqs.receive_visibility_timeout": "seconds; null and 0 are the queue's own",
    "sqs.visibility_hearth_beat": "on unless it is set to false, unlike in Go",
    "amqp.prefetch_count": "counts when it is set; see RabbitMQ",
}
HEAD = """# Configuration

<!-- Written by tests/docs_generated.py from gomachinery_py/config_sections.py. -->

`Server.from_yaml("config.yml")` reads Machinery's file, `Server.from_env()` Machinery's environment variables: what a
Go service uses works unchanged. The command line takes both: flags count most, then `--config`, then the app's own
settings, then the environment. `--strict` and `strict=True` refuse a key that is not in these tables; otherwise it is
warned about, with its line.

```yaml
broker: redis://localhost:6379
result_backend: redis://localhost:6379
default_queue: machinery_tasks
results_expire_in: 3600
redis:
  read_timeout: 15
  delayed_tasks_poll_period: 500
```

```python
from gomachinery_py import Config, Server

server = Server(Config(broker="redis://localhost:6379", result_backend="redis://localhost:6379"))
server.config.default_queue  # 'machinery_tasks'
Config.from_yaml("defualt_queue: mine", strict=True)  # ConfigError: defualt_queue
Config.from_env({"RESULTS_EXPIRE_IN": "soon"})  # ConfigError: RESULTS_EXPIRE_IN
```

Misspelt names are Machinery's. A Go service reads only the first 1,000 bytes of a file; here all of it is read, with
a warning. Passwords never show in logs, errors or `repr`.
"""


def configuration() -> str:
    """docs/configuration.md."""
    sections = [("Settings", "", Config), *((f"`{name}`", f"{name}.", of) for name, of in SECTIONS.items())]
    parts = [HEAD]
    for title, prefix, of in sections:
        rows = [
            _row(prefix, name, setting) for name, setting in settings_of(of).items() if prefix or name not in SECTIONS
        ]
        parts.append(
            "\n".join(
                [f"## {title}\n", "| key | environment | value | default | |", "|---|---|---|---|---|", *rows, ""]
            )
        )
    return "\n".join(parts)


def _row(prefix: str, name: str, setting: Field[Any]) -> str:
    default = "" if setting.default is MISSING else setting.default
    if setting.metadata["kind"] == "bool":
        shown = "`true`" if default else "`false`"
    elif default is None:
        shown = "null"
    else:
        shown = f"`{getattr(default, 'reveal', lambda: default)()}`" if str(default) else ""
    key, kind = prefix + name, KINDS[setting.metadata["kind"]]
    return f"| `{key}` | `{setting.metadata['env']}` | {kind} | {shown} | {NOTES.get(key, '')} |"


CLI_HEAD = """# Command line

<!-- Written by tests/docs_generated.py from the commands' own help. -->

`gomachinery COMMAND --help` says the same. An error is one line on standard error; `--debug` shows its traceback.

| exit code | |
|---|---|
| 0 | done, or drained |
| 1 | failed, or quit at once |
| 2 | usage, configuration or import |
| 3 | broker or result store unreachable |
| 5 | `contract check` only: something differs |
"""


def command_line() -> str:
    """docs/cli.md."""
    parts = [CLI_HEAD]
    for path, command in _commands("gomachinery", cli):
        settings = {"help_option_names": ["-h", "--help"], "terminal_width": 100, "max_content_width": 100}
        context = click.Context(command, info_name=path, **settings)
        parts.append(f"## `{path}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(f"{path} {name}", below)


PAGES: dict[str, Callable[[], str]] = {"docs/configuration.md": configuration, "docs/cli.md": command_line}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (ROOT / page).write_text(text(), encoding="utf-8")
