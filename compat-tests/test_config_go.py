"""Files and environments are read as Machinery's own config packages read them."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from gobuild import binary
from seeds import FRESH_SEED

from gomachinery_py.config import AMQPConfig, Config, DynamoDBConfig, RedisConfig, SQSConfig, TLSConfig
from gomachinery_py.errors import ConfigError
from gomachinery_py.secret import Secret

FILES = 1500
ENVIRONMENTS = 1500
VERSIONS = ["v1", "v2"]

SECTIONS = {
    "amqp": AMQPConfig,
    "sqs": SQSConfig,
    "redis": RedisConfig,
    "dynamodb": DynamoDBConfig,
    "tlsconfig": TLSConfig,
}
# What only the other version has: an unknown key, whatever its value.
FOREIGN = {
    "v1": ("cluster_enabled", "client_name", "sentinel_password", "visibility_hearth_beat"),
    "v2": ("cluster_mode",),
}
MAPS = ("queue_declare_args", "queue_binding_args")

SCALARS = [
    *(
        "x",
        "5",
        "0",
        "-7",
        "+5",
        "0x1F",
        "0X1f",
        "010",
        "0o17",
        "0b101",
        "-0b11",
        "0b2",
        "1_000",
        "_1",
        "1__0",
        "08",
        "0_8",
    ),
    *(
        "1.0",
        "1.5",
        "-1.5",
        "1e3",
        "1E3",
        ".5",
        "5.",
        "1e400",
        ".inf",
        "-.inf",
        "+.inf",
        ".nan",
        ".NaN",
        "1.5e-3",
        "+",
        "-",
        ".",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
    ),
    *(
        "true",
        "True",
        "TRUE",
        "tRue",
        "yes",
        "Yes",
        "on",
        "ON",
        "y",
        "Y",
        "no",
        "off",
        "Off",
        "n",
        "N",
        "false",
        "t",
        "1",
    ),
    *(
        "null",
        "Null",
        "NULL",
        "~",
        "",
        '""',
        "''",
        '"5"',
        "'yes'",
        '"a\\nb"',
        "2001-01-01",
        "2001-01-01T00:00:00Z",
        "12:30:45",
    ),
    *(
        "!!str 5",
        '!!int "5"',
        '!!bool "yes"',
        "!!float 5",
        "!!float 5.5",
        "!!int x",
        "!!binary YWJj",
        "!!binary =",
        "!!null ''",
    ),
    *(
        "redis://pw@h:6379/1",
        "a: b",
        "a#b",
        "a #b",
        "[1, 2]",
        "{a: 1}",
        "{}",
        "[]",
        "| \n  block\n",
        "'it''s'",
        "é日本",
        "!custom x",
    ),
]
TAME = ["5", "0", "0x1F", "1_000", "yes", "off", "true", "~", "'text'", "text", "1.0", "redis://pw@h:6379/1"]
MAP_VALUES = [
    *("{}", "{x-max-priority: 10}", "{a: yes, b: 1.5, c: 'text', d: null, e: [1, two], f: {g: 1}}", "{1: 2, true: x}"),
    *("5", "[]", "null", "{a: 2001-01-01, b: !!binary YWJj, c: 0x10}", "{? [a] : b}", "{a: 1, a: 2}", "{~: 1}"),
]


def ask_go(requests: list[dict[str, Any]]) -> list[Any]:
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    run = subprocess.run([binary("config")], input=lines, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def shape(value: Any) -> Any:
    """A configuration of ours in the shape of the Go program's answer."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, float):
        if math.isnan(value):
            return "float64 NaN"
        if math.isinf(value):
            return "float64 +Inf" if value > 0 else "float64 -Inf"
        return value
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    if dataclasses.is_dataclass(value):
        return {f.name: shape(getattr(value, f.name)) for f in dataclasses.fields(value) if f.metadata}
    return value


def differing(go: Any, ours: Any, where: str = "") -> list[str]:
    """Dotted names of settings that differ; a version lacks some of the settings that we have."""
    if isinstance(go, dict) and isinstance(ours, dict):
        names = set(go) if where in ("", *SECTIONS) else set(go) | set(ours)
        missing = object()
        return [
            name
            for key in sorted(names)
            for name in differing(go.get(key, missing), ours.get(key, missing), f"{where}.{key}" if where else key)
        ]
    if isinstance(go, list) and isinstance(ours, list) and len(go) == len(ours):
        return [
            name for at, pair in enumerate(zip(go, ours, strict=True)) for name in differing(*pair, f"{where}.{at}")
        ]
    if isinstance(go, str) and go.startswith("float64 ") and isinstance(ours, float):
        return [] if float(go.removeprefix("float64 ")) == ours else [where]
    return [] if type(go) is type(ours) and go == ours else [where]


def random_file(random_: random.Random, version: str) -> str:
    lines = []
    for _ in range(random_.randrange(6)):
        section = random_.choice(["", "", *SECTIONS])
        if section == "":
            names = [f.name for f in dataclasses.fields(Config) if f.metadata.get("kind") not in (None, "section")]
            lines.append(f"{random_.choice([*names, 'unknown', 'Broker'])}: {random_.choice(TAME)}")
        elif random_.random() < 0.1:
            lines.append(f"{section}: {random_.choice(SCALARS)}")
        else:
            lines.append(f"{section}:")
            names = [f.name for f in dataclasses.fields(SECTIONS[section]) if f.metadata]
            names = [name for name in names if name not in FOREIGN[version]]
            for name in random_.sample([*names, "unknown"], random_.randrange(len(names))):
                values = MAP_VALUES if name in MAPS else TAME
                lines.append(f"  {name}: {random_.choice(values)}")
    return random_.choice(["", "", "---\n", "# note\n"]) + "\n".join(lines) + random_.choice(["", "\n", "\n...\n"])


def every_kind() -> list[str]:
    """One setting of every kind with every scalar, since two faults in one file would hide each other."""
    keys = ["default_queue", "broker", "results_expire_in", "no_unix_signals", "redis", "amqp", "sqs"]
    nested = [
        ("redis", "max_idle"),
        ("redis", "wait"),
        ("redis", "delayed_tasks_key"),
        ("sqs", "receive_visibility_timeout"),
    ]
    nested += [("amqp", "queue_declare_args"), ("tlsconfig", "insecureskipverify"), ("dynamodb", "task_states_table")]
    texts = [f"{key}: {scalar}\n" for key in keys for scalar in SCALARS]
    texts += [f"{section}:\n  {key}: {scalar}\n" for section, key in nested for scalar in SCALARS]
    texts += [f"amqp: {{queue_declare_args: {{k: {scalar}}}}}\n" for scalar in SCALARS if "\n" not in scalar]
    texts += [f"{scalar}: x\n" for scalar in SCALARS if scalar[:1] not in ("{", "[")]
    return texts + [f"amqp:\n  {name}: {values}\n" for name in MAPS for values in MAP_VALUES]


HAND_WRITTEN = [
    "",
    "# nothing\n",
    "---\n",
    "~\n",
    "text\n",
    "[]\n",
    "5\n",
    "broker: a\n---\nbroker: b\n",
    "broker: a\nbroker: b\n",
    "redis: {max_idle: 1}\nredis: {max_active: 2}\n",
    "amqp: {}\n",
    "amqp:\n",
    "amqp: NULL\n",
    "redis: NULL\n",
    "redis: ~\n",
    "dynamodb: null\n",
    "sqs: {}\n",
    "tlsconfig: {}\n",
    "tlsconfig: {servername: x, insecureskipverify: true}\n",
    "base: &b {max_idle: 7, wait: yes}\nredis:\n  <<: *b\n  max_idle: 8\n",
    "base: &b {max_idle: 7, wait: yes}\nredis:\n  max_idle: 8\n  <<: *b\n",
    "base: &b {max_idle: 7}\nmore: &m {max_idle: 9, wait: on}\nredis:\n  <<: [*b, *m]\n",
    "redis: {<<: 5}\n",
    "default_queue: &q tasks\nredis: {delayed_tasks_key: *q}\n",
    "default_queue: *nothing\n",
    "default_queue: [a\n",
    "default_queue: 'a\n",
    "\tbroker: a\n",
    "broker: a\n\tlock: b\n",
    "\ufeffbroker: a\n",
    "broker: a\x07b\n",
    "%YAML 1.1\n---\nbroker: a\n",
    "? broker\n: a\n",
    "{broker: a, redis: {max_idle: 4}}\n",
    "broker: >\n  folded\n  text\nlock: |\n  block\n",
    'broker: "redis://p@ss#w%rd@h:1"\n',
    "amqp:\n  queue_declare_args:\n    x-max-priority: 10\n    x: {<<: {a: 1}, b: 2}\n",
    "sqs: {receive_visibility_timeout: 0}\n",
    "sqs: {receive_visibility_timeout: ~}\n",
    "results_expire_in: 1.0\n",
    "results_expire_in: 99999999999999999999\n",
    "results_expire_in: -1e300\n",
]


def is_null_section(section: str, text: str) -> bool:
    """Whether some line sets this section to null; then Go forgets its defaults, also for a later line."""
    null = re.compile(rf"^{section}: *(?:~|null|Null|NULL|!!null ..)? *(?:\n(?! )|\Z)", re.MULTILINE)
    return section in SECTIONS and null.search(text) is not None


def reason_for_file(text: str, go: Any, ours: Any, names: list[str]) -> str:
    """The listed divergence that explains a difference; ``difference`` when none does."""
    if "error" in ours and "error" not in go:
        return "config-lowest-number" if "-.inf" in text or "-1e300" in text else "difference"
    if "error" in ours or "error" in go:
        return "difference"
    if names == ["sqs.receive_visibility_timeout"] and ("Null" in text or "NULL" in text):
        return "config-null-spelling"
    sections = {name.partition(".")[0] for name in names}
    if "---" in text or "~" in text:
        empty = go["config"]["broker"] == "" and go["config"]["default_queue"] == "" and go["config"]["redis"] is None
        if empty:
            return "config-null-document"
    return "config-null-section" if all(is_null_section(section, text) for section in sections) else "difference"


def listed(prefix: str) -> set[str]:
    path = Path(__file__).resolve().parent.parent / "fixtures" / "known-divergence.txt"
    names = {line.split()[0] for line in path.read_text().splitlines() if line.strip() and line[0] != "#"}
    return {name for name in names if name.startswith(prefix)}


def read_ours(read: Any, argument: Any) -> Any:
    try:
        return {"config": shape(read(argument))}
    except ConfigError as error:
        return {"error": str(error)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", [20240601, FRESH_SEED], ids=["fixed", "fresh"])
def test_files_are_read_as_go_reads_them(version: str, seed: int, tmp_path: Path) -> None:
    """Random and hand-written files give Go's settings, or are refused as Go refuses them; the rest is listed."""
    random_ = random.Random(seed)
    texts = [
        *HAND_WRITTEN,
        *every_kind(),
        *(text for _ in range(FILES) if len((text := random_file(random_, version)).encode()) <= 1000),
    ]
    for at, text in enumerate(texts):
        (tmp_path / f"{at}.yml").write_text(text)
    replies = ask_go([{"version": version, "file": str(tmp_path / f"{at}.yml")} for at in range(len(texts))])
    seen: dict[str, int] = {}
    differences = []
    refused = 0
    for at, (text, go) in enumerate(zip(texts, replies, strict=True)):
        ours = read_ours(Config.from_yaml, tmp_path / f"{at}.yml")
        if "error" in go and "error" in ours:
            refused += 1
            continue
        names = differing(go["config"], ours["config"]) if "config" in go and "config" in ours else ["verdict"]
        if not names:
            continue
        reason = reason_for_file(text, go, ours, names)
        seen[reason] = seen.get(reason, 0) + 1
        if reason == "difference":
            differences.append((text, names, go, ours))
    print(f"seed {seed}: {len(texts)} files, {version}: {refused} refused by both, differing as listed: {seen}")
    assert differences[:3] == []
    assert listed("config-") - {"config-1000-bytes"} == set(seen)


def test_a_long_file_is_read_whole(tmp_path: Path) -> None:
    """Go drops what stands after 1,000 bytes; here it counts, and a warning says what Go does."""
    path = tmp_path / "long.yml"
    path.write_text("# " + "x" * 1000 + "\nbroker: redis://h\n")
    (go,) = ask_go([{"version": "v2", "file": str(path)}])
    config = Config.from_yaml(path)
    assert "config-1000-bytes" in listed("config-")
    assert go["config"]["broker"] == "amqp://guest:guest@localhost:5672/"
    assert config.broker == "redis://h"
    assert [
        f"{path} has {path.stat().st_size} bytes; a Go service reads only the first 1000 of them"
    ] == config.warnings


ENVIRONMENT_VALUES = [
    *(
        "",
        "x",
        "5",
        "-5",
        "+5",
        "0x10",
        "010",
        "0b11",
        "0o7",
        "1_000",
        "_1",
        "1__0",
        "0_7",
        "08",
        " 5",
        "1.5",
        "1e3",
        "٣",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "true",
        "True",
        "T",
        "t",
        "1",
        "0",
        "FALSE",
        "yes",
        "on",
        "a:b",
        "a:b,c:d",
    ),
    *("a:b:c", "a", ",", "x-max-priority:10", "redis://pw@h", " "),
]


def variables(version: str) -> list[str]:
    names = ["MULTIPLE_BROKER_SEPARATOR", "DYNAMODB_TASK_STATES_TABLE", "SQS_SQS_WAIT_TIME_SECONDS", "REDIS_REDIS_WAIT"]
    names += [
        "AMQP_AMQP_EXCHANGE",
        "AMQP_AMQP_QUEUE_BINDING_ARGS",
        "REDIS_REDIS_MAX_IDLE",
        "REDIS_IDLE_TIMEOUT",
        "UNKNOWN",
    ]
    for settings in (Config, *SECTIONS.values()):
        known = [f for f in dataclasses.fields(settings) if f.name not in FOREIGN[version]]
        names += [f.metadata["env"] for f in known if "env" in f.metadata]
    return names


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", [20240601, FRESH_SEED], ids=["fixed", "fresh"])
def test_environments_are_read_as_go_reads_them(version: str, seed: int) -> None:
    """Random environments give Go's settings, or are refused as Go refuses them; the rest is listed."""
    random_ = random.Random(seed)
    names = variables(version)
    environments: list[dict[str, str]] = [{}, {"AMQP_QUEUE_DECLARE_ARGS": "x-max-priority:10"}]
    for _ in range(ENVIRONMENTS):
        chosen = random_.sample(names, random_.randrange(1, 5))
        environments.append({name: random_.choice(ENVIRONMENT_VALUES) for name in chosen})
    replies = ask_go([{"version": version, "env": environment} for environment in environments])
    seen: dict[str, int] = {}
    differences = []
    for environment, go in zip(environments, replies, strict=True):
        ours = read_ours(Config.from_env, environment)
        if "error" in go and "error" in ours:
            continue
        found = differing(go["config"], ours["config"]) if "config" in go and "config" in ours else ["verdict"]
        for name in found:
            reason = {
                "tlsconfig": "environment-tls",
                "amqp.queue_declare_args": "environment-declare-args",
            }.get(".".join(name.split(".")[:2]), "difference")
            seen[reason] = seen.get(reason, 0) + 1
            if reason == "difference":
                differences.append((environment, name, go, ours))
    print(f"seed {seed}: {len(environments)} environments, {version}, differing as listed: {seen}")
    assert differences[:3] == []
    assert listed("environment-") == set(seen)
