"""Configurations of one fleet's programs, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gomachinery_py.config import Config
from gomachinery_py.doctor.findings import PROBLEM, WARNING, Finding, Side
from gomachinery_py.errors import ConfigError
from gomachinery_py.urls import AMQPURL, Address, RedisURL, parse_backend, parse_broker, parse_lock, split_brokers
from gomachinery_py.wire import names

__all__ = ["judge_sides"]

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


def judge_sides(sides: Sequence[Side]) -> list[Finding]:
    """What reading each configuration had to say, and each setting that the sides must share and do not."""
    findings = []
    for side in sides:
        findings += [Finding(WARNING, "settings-file", side.name, text, _MEND) for text in side.config.warnings]
        findings += _plain_text(side)
    for setting, severity, read, harm in _SHARED:
        read_by = {side.name: read(side.config) for side in sides}
        told = {name: value for name, value in read_by.items() if value is not None}
        if len(set(told.values())) > 1:
            what = "; ".join(f"{name} has {value or 'none'}" for name, value in told.items())
            findings.append(
                Finding(severity, "settings-differ", setting, f"{what}: {harm}", f"set one {setting} for all")
            )
    return findings


_MEND: Final = "correct the file; --strict refuses such a one"


def _plain_text(side: Side) -> list[Finding]:
    found = []
    for setting, url in (("broker", side.config.broker), ("result_backend", side.config.result_backend)):
        try:
            parsed = (parse_broker if setting == "broker" else parse_backend)(url)
        except ConfigError:
            continue
        remote = isinstance(parsed, RedisURL) and any(host.host not in _LOCAL for host in parsed.hosts)
        if isinstance(parsed, RedisURL) and remote and parsed.password and not parsed.tls:
            what = f"{setting} {parsed.url} sends its password in plain text to another machine"
            found.append(Finding(WARNING, "plain-password", side.name, what, "use rediss:// there"))
    return found


def _place(parse: Callable[[str], Any], url: str) -> str:
    """Where a URL leads, without who goes there."""
    try:
        parsed = parse(url)
    except ConfigError as error:
        return str(error)
    if isinstance(parsed, RedisURL):
        hosts = ",".join(map(_address, parsed.hosts)) or parsed.socket
        return f"redis {hosts} database {parsed.db}"
    if isinstance(parsed, AMQPURL):
        return f"amqp {_address(parsed.host)} vhost {parsed.vhost}"
    return str(parsed.url)


def _address(address: Address) -> str:
    return f"{'127.0.0.1' if address.host in _LOCAL else address.host}:{address.port}"


def _broker(config: Config) -> str:
    return ", ".join(
        _place(parse_broker, url) for url in split_brokers(config.broker, config.multiple_broker_separator)
    )


def _of_amqp(name: str) -> Callable[[Config], str | None]:
    def read(config: Config) -> str | None:
        return str(getattr(config.amqp_settings, name) or "") if config.broker.startswith("amqp") else None

    return read


def _lock(config: Config) -> str | None:
    # Who has none sends no periodic tasks, as far as can be told.
    return _place(parse_lock, config.lock) if config.lock else None


def _delayed_key(config: Config) -> str | None:
    return (config.redis.delayed_tasks_key or names.DELAYED_TASKS_KEY) if config.broker.startswith("redis") else None


def _tables(config: Config) -> str | None:
    tables = config.dynamodb
    is_dynamodb = config.result_backend.startswith("https://dynamodb")
    return f"{tables.task_states_table}, {tables.group_metas_table}" if is_dynamodb else None


_REFUSED: Final = "RabbitMQ refuses whoever declares it second (406)"
_SHARED: Final[tuple[tuple[str, str, Callable[[Config], str | None], str], ...]] = (
    # Setting, severity, what a side has (None where it does not matter), and what comes of a difference.
    ("broker", PROBLEM, _broker, "they do not see each other's tasks, unless these are names of one server"),
    (
        "result_backend",
        PROBLEM,
        lambda config: _place(parse_backend, config.result_backend),
        "results, groups and chords of one side are not found by the other",
    ),
    ("lock", PROBLEM, _lock, "periodic tasks run once for each"),
    (
        "default_queue",
        WARNING,
        lambda config: config.default_queue,
        "a task without a routing key goes to its sender's, and only workers of that one run it",
    ),
    (
        "results_expire_in",
        WARNING,
        lambda config: str(config.results_expire_in or names.RESULTS_EXPIRE_IN),
        "states live as long as whoever wrote last says; on RabbitMQ the second one is refused",
    ),
    ("redis.delayed_tasks_key", PROBLEM, _delayed_key, "delayed tasks of one side are moved only by its own workers"),
    ("amqp.exchange", PROBLEM, _of_amqp("exchange"), "what one side publishes does not reach the other's queues"),
    ("amqp.exchange_type", PROBLEM, _of_amqp("exchange_type"), _REFUSED),
    ("amqp.binding_key", PROBLEM, _of_amqp("binding_key"), "tasks without a routing key do not reach the other side"),
    ("amqp.queue_declare_args", PROBLEM, _of_amqp("queue_declare_args"), _REFUSED),
    ("amqp.auto_delete", PROBLEM, _of_amqp("auto_delete"), _REFUSED),
    ("amqp.delayed_queue", WARNING, _of_amqp("delayed_queue"), "delayed tasks wait in different queues"),
    ("dynamodb", PROBLEM, _tables, "results of one side are not found by the other"),
)
