"""Settings from YAML, the environment and code, and which of them wins."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gomachinery_py import Server
from gomachinery_py.config import AMQPConfig, Config, RedisConfig, SQSConfig, TLSConfig, merge
from gomachinery_py.errors import ConfigError

# v2/config/testconfig.yml of Machinery itself.
MACHINERYS_OWN = """---
broker: broker
default_queue: default_queue
result_backend: result_backend
results_expire_in: 123456
amqp:
  binding_key: binding_key
  exchange: exchange
  exchange_type: exchange_type
  prefetch_count: 123
  queue_declare_args:
    x-max-priority: 10
  queue_binding_args:
    image-type: png
    x-match: any
sqs:
  receive_wait_time_seconds: 123
  receive_visibility_timeout: 456
redis:
  max_idle: 12
  max_active: 123
  max_idle_timeout: 456
  wait: false
  read_timeout: 17
  write_timeout: 19
  connect_timeout: 21
  normal_tasks_poll_period: 1001
  delayed_tasks_poll_period: 23
  delayed_tasks_key: delayed_tasks_key
  master_name: master_name
no_unix_signals: true
dynamodb:
  task_states_table: task_states_table
  group_metas_table: group_metas_table
"""


def test_machinerys_own_file() -> None:
    """The file that Machinery tests itself with gives what its test expects."""
    config = Config.from_yaml(MACHINERYS_OWN)
    assert (config.broker, config.result_backend) == ("broker", "result_backend")
    assert (
        config.default_queue,
        config.results_expire_in,
        config.no_unix_signals,
    ) == ("default_queue", 123456, True)
    assert config.amqp == AMQPConfig(
        exchange="exchange",
        exchange_type="exchange_type",
        queue_declare_args={"x-max-priority": 10},
        queue_binding_args={"image-type": "png", "x-match": "any"},
        binding_key="binding_key",
        prefetch_count=123,
    )
    assert config.sqs == SQSConfig(receive_wait_time_seconds=123, receive_visibility_timeout=456)
    assert config.redis == RedisConfig(
        max_idle=12,
        max_active=123,
        max_idle_timeout=456,
        read_timeout=17,
        write_timeout=19,
        connect_timeout=21,
        normal_tasks_poll_period=1001,
        delayed_tasks_poll_period=23,
        delayed_tasks_key="delayed_tasks_key",
        master_name="master_name",
    )
    assert (
        config.dynamodb.task_states_table,
        config.dynamodb.group_metas_table,
    ) == ("task_states_table", "group_metas_table")
    assert config.warnings == []


def test_defaults_are_machinerys() -> None:
    """Without settings everything is as in Machinery's defaultCnf."""
    config = Config()
    assert "amqp://guest:guest@localhost:5672/" == config.broker == config.result_backend
    assert (config.lock, config.default_queue, config.results_expire_in) == ("", "machinery_tasks", 3600)
    assert (
        config.amqp_settings.exchange,
        config.amqp_settings.exchange_type,
        config.amqp_settings.binding_key,
        config.amqp_settings.prefetch_count,
    ) == ("machinery_exchange", "direct", "machinery_task", 3)
    assert (
        config.redis.max_idle,
        config.redis.max_idle_timeout,
        config.redis.read_timeout,
        config.redis.normal_tasks_poll_period,
        config.redis.delayed_tasks_poll_period,
    ) == (3, 240, 15, 1000, 500)
    assert (config.sqs, config.tlsconfig) == (None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", True),
        ("Yes", True),
        ("on", True),
        ("y", True),
        ("true", True),
        ("off", False),
        ("N", False),
        ("~", False),
        ("", False),
    ],
)
def test_booleans_as_yaml_v2_reads_them(text: str, expected: bool) -> None:
    """YAML 1.1's words are booleans, as in Go."""
    assert expected is Config.from_yaml(f"redis:\n  wait: {text}\n").redis.wait


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0x10", 16), ("010", 8), ("0o17", 15), ("0b11", 3), ("1_000", 1000), ("+5", 5), ("-3", -3), ("2.0", 2), ("~", 0)],
)
def test_numbers_as_yaml_v2_reads_them(text: str, expected: int) -> None:
    """Go's number forms, also those that PyYAML reads otherwise."""
    assert expected == Config.from_yaml(f"results_expire_in: {text}\n").results_expire_in


@pytest.mark.parametrize("text", ["5", "yes", "1.50", "2001-01-01", "0x10", "!!str 5", "'a'"])
def test_text_takes_any_scalar_as_written(text: str) -> None:
    """A queue named 5 or yes is text, since the setting is."""
    expected = text.removeprefix("!!str ").strip("'")
    assert expected == Config.from_yaml(f"default_queue: {text}\n").default_queue


WRONG = [
    ("broker: redis://h\nresults_expire_in: soon\n", "line 2: results_expire_in must be a whole number"),
    ("redis:\n  wait: 1\n", "line 2: redis.wait must be true or false"),
    ("redis:\n  wait: 'yes'\n", "line 2: redis.wait must be true or false"),
    ("redis: 5\n", "line 1: redis must be a section"),
    ("broker: [a]\n", "line 1: broker must be text, not a list"),
    ("broker:\n  url: a\n", "line 2: broker must be text, not a section"),
    ("results_expire_in: .inf\n", "line 1: results_expire_in must be a whole number"),
    ("results_expire_in: 9223372036854775808\n", "line 1: results_expire_in must be a whole number"),
    ("amqp:\n  queue_declare_args: 5\n", "line 2: amqp.queue_declare_args must be a section"),
    ("- a\n", "line 1: the document must be a section"),
    ("broker: *x\n", "line 1: not YAML"),
    ("broker: a\n\tlock: b\n", "line 2: not YAML"),
    ("broker: 'a\n", "not YAML"),
    ("results_expire_in: !!int x\n", "line 1: !!int must be of that kind"),
    ("broker: !!binary '='\n", "line 1: !!binary must be base64 text"),
    ("redis:\n  <<: 5\n", "line 2: << must be a section or a list of sections"),
    ("? [a]\n: b\n", "line 1: a key must be text"),
    ("broker: \x07\n", "bytes or characters that YAML forbids"),
    (f"amqp: {'{queue_declare_args: ' + '{a: ' * 300 + '1' + '}' * 300}}}\n", "too large"),
    ("[" * 5000 + "\n", "nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_kinds_are_refused_with_their_line(text: str, message: str) -> None:
    """The error names line and key."""
    with pytest.raises(ConfigError) as caught:
        Config.from_yaml(text)
    assert message in str(caught.value)


def test_aliases_cannot_make_a_file_endless() -> None:
    """Nine lines of aliases to aliases are a billion values; they are refused."""
    lines = ["a: &a {x: 1}"] + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    with pytest.raises(ConfigError, match="too large"):
        Config.from_yaml("\n".join(lines) + "\namqp: {queue_declare_args: {x: *j}}\n")


def test_an_alias_to_itself_is_refused() -> None:
    """A value that holds itself ends as an error."""
    with pytest.raises(ConfigError, match="too large"):
        Config.from_yaml("amqp:\n  queue_declare_args: &x {y: *x}\n")


@pytest.mark.parametrize(
    "text",
    [
        "broker: {a: hunter2}\n",
        "redis: hunter2\n",
        "broker: *hunter2\n",
        "results_expire_in: hunter2\n",
        "a: 'hunter2\n",
        "hunter2\n",
    ],
)
def test_errors_do_not_show_values(text: str) -> None:
    """A value may be a password in the wrong place."""
    with pytest.raises(ConfigError) as caught:
        Config.from_yaml(text)
    assert "hunter2" not in str(caught.value)


def test_unknown_keys_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """A warning with the line and the likely key, in the log and in the result."""
    text = "brokr: redis://h\nredis:\n  max_idel: 5\n  Wait: yes\n"
    with caplog.at_level(logging.WARNING):
        config = Config.from_yaml(text)
    expected = [
        "configuration line 1: unknown key 'brokr'; did you mean broker?",
        "configuration line 3: unknown key 'redis.max_idel'; did you mean max_idle?",
        "configuration line 4: unknown key 'redis.Wait'; did you mean wait?",
    ]
    assert expected == config.warnings == caplog.messages


def test_strict_refuses_unknown_keys() -> None:
    """With ``strict`` the first unknown key is an error."""
    with pytest.raises(ConfigError, match="line 2: unknown key 'queue'"):
        Config.from_yaml("broker: a\nqueue: b\n", strict=True)


def test_a_fraction_is_cut_with_a_warning() -> None:
    """Go cuts it silently."""
    config = Config.from_yaml("results_expire_in: 1.5\n")
    assert (config.results_expire_in, config.warnings) == (1, ["configuration line 1: results_expire_in is read as 1"])


def test_files(tmp_path: Path) -> None:
    """A path may be text or a Path; a file that is not there or empty is an error that names it."""
    path = tmp_path / "machinery.yml"
    path.write_text("broker: redis://h\n")
    assert "redis://h" == Config.from_yaml(path).broker == Config.from_yaml(str(path)).broker
    with pytest.raises(ConfigError, match=r"missing\.yml cannot be read: No such file"):
        Config.from_yaml(tmp_path / "missing.yml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Config.from_yaml(tmp_path)
    path.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        Config.from_yaml(path)


def test_a_file_over_1000_bytes_is_read_whole_with_a_warning(tmp_path: Path) -> None:
    """Go reads 1,000 bytes, which the warning says."""
    path = tmp_path / "long.yml"
    path.write_text(f"# {'x' * 1000}\nbroker: redis://h\n")
    config = Config.from_yaml(path)
    assert config.broker == "redis://h"
    assert "a Go service reads only the first 1000" in config.warnings[0]


def test_the_amqp_section_of_a_file() -> None:
    """Dropped unless given, as in Go; its settings are there all the same."""
    assert Config.from_yaml("broker: a\n").amqp is None
    assert AMQPConfig() == Config.from_yaml("broker: a\n").amqp_settings
    assert AMQPConfig() == Config.from_yaml("amqp: {}\n").amqp
    assert AMQPConfig() == Config.from_env({}).amqp


def test_merged_sections() -> None:
    """Merges and aliases are read in the order in which they stand, as by yaml.v2."""
    before = Config.from_yaml("base: &b {max_idle: 7, wait: yes}\nredis: {<<: *b, max_idle: 8}\n").redis
    after = Config.from_yaml("base: &b {max_idle: 7, wait: yes}\nredis: {max_idle: 8, <<: *b}\n").redis
    assert ((before.max_idle, before.wait), (after.max_idle, after.wait)) == ((8, True), (7, True))


def test_tls_of_a_file() -> None:
    """An empty section switches TLS on, as Go's non-nil TLSConfig does."""
    assert TLSConfig() == Config.from_yaml("tlsconfig: {}\n").tlsconfig
    assert TLSConfig("h", True) == Config.from_yaml("tlsconfig: {servername: h, insecureskipverify: on}\n").tlsconfig


def test_environment() -> None:
    """Machinery's names, misspelt as they are, and the nested names that win over them."""
    config = Config.from_env(
        {
            "BROKER": "redis://h",
            "MULTIPLE_BROKEN_SEPARATOR": ";",
            "RESULTS_EXPIRE_IN": "0x10",
            "NO_UNIX_SIGNALS": "T",
            "REDIS_IDLE_TIMEOUT": "7",
            "REDIS_SENTINEL_PASSWORD": "hunter2",
            "SQS_VISIBILITY_TIMEOUT": "0",
            "SQS_VISIBILITY_HEARTBEAT": "true",
            "AMQP_EXCHANGE": "loses",
            "AMQP_AMQP_EXCHANGE": "wins",
            "AMQP_QUEUE_DECLARE_ARGS": "x-max-priority:10,x-queue-mode:lazy,durable:true",
            "AMQP_QUEUE_BINDING_ARGS": "x-match:any,number:10",
            "TASK_STATES_TABLE": "states",
        }
    )
    assert (
        config.broker,
        config.multiple_broker_separator,
        config.results_expire_in,
        config.no_unix_signals,
    ) == ("redis://h", ";", 16, True)
    assert (config.redis.max_idle_timeout, config.redis.sentinel_password) == (7, "hunter2")
    assert SQSConfig(0, 0, True) == config.sqs
    assert config.amqp_settings.exchange == "wins"
    assert config.amqp_settings.queue_declare_args == {"x-max-priority": 10, "x-queue-mode": "lazy", "durable": True}
    assert config.amqp_settings.queue_binding_args == {"x-match": "any", "number": "10"}
    assert (config.dynamodb.task_states_table, config.tlsconfig) == ("states", None)


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("RESULTS_EXPIRE_IN", "hunter2", "a whole number"),
        ("RESULTS_EXPIRE_IN", "", "a whole number"),
        ("RESULTS_EXPIRE_IN", "1.5", "a whole number"),
        ("RESULTS_EXPIRE_IN", "٣", "a whole number"),
        ("RESULTS_EXPIRE_IN", "9223372036854775808", "a whole number"),
        ("REDIS_WAIT", "yes", "true or false"),
        ("AMQP_QUEUE_BINDING_ARGS", "a", "name:value,name:value"),
        ("AMQP_QUEUE_DECLARE_ARGS", "a:b:c", "name:value,name:value"),
    ],
)
def test_wrong_variables_are_refused(name: str, value: str, want: str) -> None:
    """The error names the variable and what it must be, not its value."""
    with pytest.raises(ConfigError) as caught:
        Config.from_env({name: value})
    assert f"environment variable {name} must be {want}" == str(caught.value)


def test_the_separators_likely_name_is_warned_about() -> None:
    """Machinery misspelt it, so the right spelling would be silently ignored."""
    assert Config.from_env({"MULTIPLE_BROKER_SEPARATOR": ";"}).warnings == [
        "MULTIPLE_BROKER_SEPARATOR is not read: Machinery's name is MULTIPLE_BROKEN_SEPARATOR"
    ]


def test_precedence() -> None:
    """Flags over file over the app's own over the environment; what a layer does not give shines through."""
    environment = Config.from_env({"BROKER": "env", "LOCK": "env", "DEFAULT_QUEUE": "env", "REDIS_MAX_IDLE": "1"})
    app = Config(broker="app", lock="app", default_queue="app")
    file = Config.from_yaml("broker: file\nlock: file\nredis: {max_active: 2}\n")
    flags = Config.of(broker="flag", result_backend=None, redis__delayed_tasks_key="flag")
    merged = merge(flags, file, app, environment)
    assert (merged.broker, merged.lock, merged.default_queue) == ("flag", "file", "app")
    assert (merged.redis.max_idle, merged.redis.max_active, merged.redis.delayed_tasks_key) == (1, 2, "flag")
    assert Config().result_backend == merged.result_backend


def test_a_given_default_still_counts() -> None:
    """A file that says what is the default overrides a weaker layer."""
    merged = merge(Config.from_yaml("default_queue: machinery_tasks\n"), None, Config(default_queue="app"))
    assert merged.default_queue == "machinery_tasks"


def test_merging_leaves_the_layers_alone() -> None:
    """Layers share nothing with the result."""
    file = Config.from_yaml("amqp: {queue_declare_args: {a: {b: 1}}}\n")
    merged = merge(file)
    assert merged.amqp is not None
    assert merged.amqp.queue_declare_args == {"a": {"b": 1}}
    merged.amqp.queue_declare_args["a"]["b"] = 2
    assert file.amqp_settings.queue_declare_args == {"a": {"b": 1}}


def test_warnings_survive_merging() -> None:
    """What a file had to say is still there."""
    assert merge(None, Config.from_yaml("x: 1\n")).warnings == ["configuration line 1: unknown key 'x'"]


@pytest.mark.parametrize("settings", [{"brokr": "x"}, {"redis__brokr": "x"}, {"redid__wait": True}, {"warnings": []}])
def test_a_layer_of_unknown_settings_is_refused(settings: dict[str, Any]) -> None:
    """Config.of knows the fields' names only."""
    with pytest.raises(TypeError, match="Config has no setting"):
        Config.of(**settings)


def test_no_password_is_printed() -> None:
    """repr and str of a Config show where it connects to and no password."""
    config = Config(broker="redis://u:hunter2@h:1/2", redis=RedisConfig(sentinel_password="hunter2"))
    assert "redis://***@h:1/2" in repr(config)
    assert "hunter2" not in repr(config) + str(config) + f"{config} {config.broker} {config.redis.sentinel_password}"


def test_either_name_means_a_cluster() -> None:
    """v1 and v2 named it differently."""
    assert [
        RedisConfig(cluster_mode=True).is_cluster,
        RedisConfig(cluster_enabled=True).is_cluster,
        RedisConfig().is_cluster,
    ] == [True, True, False]


@pytest.mark.parametrize("seconds", [-1, 10**12, 10**18])
@pytest.mark.parametrize("store", ["redis://127.0.0.1", "memcache://127.0.0.1", "mongodb://127.0.0.1", "null"])
def test_results_that_nobody_could_read(store: str, seconds: int) -> None:
    """A time that is past, or after every store's last date, is refused when the Server is made."""
    with pytest.raises(ConfigError, match=f"results_expire_in is {seconds}: it must be from 0"):
        Server("redis://127.0.0.1", result_backend=store, results_expire_in=seconds)
