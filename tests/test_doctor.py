"""``gomachinery doctor``: its command line, the sides that it compares, and that it only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import gomachinery
from docs_blocks import ROOT

from gomachinery_py import Config, Server, Signature
from gomachinery_py.doctor import Fleet, Side, examine
from gomachinery_py.doctor.findings import time_text
from gomachinery_py.doctor.redis_server import judge_server
from gomachinery_py.doctor.sides import judge_sides
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError, ServiceUnavailable
from gomachinery_py.registry import open_management

READS = {
    *("TIME", "INFO", "SCAN", "TYPE", "LLEN", "LRANGE", "LINDEX", "HSCAN", "HGETALL", "GET", "PTTL"),
    *("ZRANGEBYSCORE", "ZCARD", "ZCOUNT", "ZRANGE", "PING", "ECHO"),
}


@pytest.fixture
def server(embedded_url: str) -> Iterator[Server]:
    """A fleet on a database of the embedded Redis that other tests do not use."""
    with Server(f"{embedded_url}/7", default_queue="examined") as server:
        run(server.broker.port.execute(("FLUSHDB",)))
        yield server


def fleet(server: Server, **settings: Any) -> Fleet:
    return Fleet(server.broker, server.backend, server.config, server.clock, **{"watch": 0.0, **settings})


def codes(server: Server, **settings: Any) -> list[tuple[str, str]]:
    return [(each.code, each.where) for each in run(examine(fleet(server, **settings))).findings]


def test_nothing_is_written(server: Server) -> None:
    """Every command to a server with a bit of everything is one that reads."""
    port = server.broker.port
    run(
        port.execute_many(
            [("RPUSH", "examined", b"x", b"y"), ("ZADD", "delayed_tasks", -1, b"z"), ("SET", "other", "1")]
        )
    )
    run(server.broker.bury_body("examined", b"x", "no JSON"))
    run(server.broker.beat("examined", "worker"))
    server.send_task(Signature("noop", []))
    sent: list[Any] = []
    port.observer = sent.append
    found = {code for code, _ in codes(server, queues=["examined", "other"])}
    port.observer = None
    assert found == {"undecodable", "dead-letters", "never-due", "wrong-type"}
    assert {command[0] for command in sent} <= READS


def test_healthy(server: Server) -> None:
    """One line, and exit code 0; that it could not listen is said."""
    done = gomachinery("doctor", "--watch", "0", "--broker", str(server.config.broker), "--default-queue", "examined")
    assert (done.code, done.error) == (0, "")
    assert done.out.splitlines()[-1] == "healthy: 1 queue, nothing found"
    assert "tasks that circle were not looked for" in done.out


def test_findings_are_lines_with_what_to_do(server: Server) -> None:
    """Exit code 1, the command reaches the same fleet, and a hostile name is printed safely."""
    run(server.broker.bury_body("an other\x1b[2J", b"{}", "evil\x1b[2J"))
    options = ("--watch", "0", "--broker", str(server.config.broker), "--default-queue", "examined")
    done = gomachinery("doctor", *options)
    [line] = [line for line in done.out.splitlines() if line.startswith("problem")]
    assert (done.code, done.out.splitlines()[-1]) == (1, "1 problem, 0 warnings in 2 queues")
    assert line.startswith("problem  dead-letters an other\\x1b[2J: 1 dead letter: evil\\x1b[2J (1)")
    assert f"do: see why: gomachinery queue dead 'an other\\x1b[2J' --broker {server.config.broker}" in line
    told = json.loads(gomachinery("doctor", "--json", *options).out)
    assert (told["healthy"], told["queues"]) == (False, ["examined", "an other\x1b[2J"])
    assert [list(each) for each in told["findings"]] == [["severity", "code", "where", "what", "do"]]


def test_an_unreachable_server() -> None:
    """Exit code 3 and one line."""
    done = gomachinery("doctor", "--broker", "redis://:secret@127.0.0.1:1")
    assert (done.code, done.out, done.error.count("\n"), "secret" in done.error) == (3, "", 1, False)


def test_a_password_is_not_repeated(embedded_url: str) -> None:
    """Commands leave out a URL that holds one."""
    url = embedded_url.replace("redis://", "redis://:pass@")
    done = gomachinery("doctor", "--watch", "0", "--broker", url, "-q", "whatever")
    assert "pass@" not in done.out + done.error


def test_a_file_that_go_reads_otherwise(server: Server, tmp_path: Path) -> None:
    """Longer than Go reads, and a misspelt key: warnings, with the file's name; exit code 0."""
    path = tmp_path / "go.yml"
    path.write_text(f"broker: {server.config.broker}\ndefualt_queue: x\ndefault_queue: examined\n" + "#" * 1000)
    done = gomachinery("doctor", "--watch", "0", "--config", str(path), "--json")
    told = [(each["code"], each["where"]) for each in json.loads(done.out)["findings"]]
    assert (done.code, told) == (0, [("settings-file", str(path))] * 2)


REDIS = "broker: redis://a:6379\nresult_backend: redis://a:6379\n"
AMQP = "broker: amqp://a\nresult_backend: redis://a\n"


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (REDIS, REDIS, []),
        (REDIS, REDIS.replace("redis://", "rediss://user:pass@"), []),
        ("broker: redis://localhost\n", "broker: redis://127.0.0.1:6379/0\n", []),
        (REDIS, REDIS.replace("6379", "6380"), ["broker", "result_backend"]),
        (REDIS, REDIS.replace("broker: redis://a:6379", "broker: redis://a:6379/1"), ["broker"]),
        (REDIS, f"{REDIS}default_queue: other\n", ["default_queue"]),
        (REDIS, f"{REDIS}results_expire_in: 60\n", ["results_expire_in"]),
        (REDIS, f"{REDIS}results_expire_in: 0\n", []),
        (REDIS, f"{REDIS}redis:\n  delayed_tasks_key: other\n", ["redis.delayed_tasks_key"]),
        (f"{REDIS}lock: redis://a\n", f"{REDIS}lock: redis://b\n", ["lock"]),
        (f"{REDIS}lock: redis://a\n", REDIS, []),
        (REDIS, f"{REDIS}amqp:\n  exchange: other\n", []),
        (AMQP, f"{AMQP}amqp:\n  exchange: other\n", ["amqp.exchange"]),
        (AMQP, f"{AMQP}amqp:\n  exchange_type: topic\n", ["amqp.exchange_type"]),
        (AMQP, f"{AMQP}amqp:\n  binding_key: other\n", ["amqp.binding_key"]),
        (AMQP, f"{AMQP}amqp:\n  queue_declare_args:\n    x-max-priority: 5\n", ["amqp.queue_declare_args"]),
        (AMQP, f"{AMQP}amqp:\n  delayed_queue: later\n", ["amqp.delayed_queue"]),
        (AMQP, f"{AMQP}amqp:\n  prefetch_count: 10\n", []),
    ],
)
def test_sides(ours: str, theirs: str, settings: list[str]) -> None:
    """What both must share, and what each may have for itself."""
    sides = [Side("ours", Config.from_yaml(ours.encode())), Side("theirs", Config.from_yaml(theirs.encode()))]
    assert [each.where for each in judge_sides(sides) if each.code == "settings-differ"] == settings


def test_a_password_in_plain_text() -> None:
    """To another machine only; the finding does not repeat it."""
    sides = [Side("here", Config(broker="redis://:pass@localhost")), Side("there", Config(broker="redis://:pass@far"))]
    found = [each for each in judge_sides(sides) if each.code == "plain-password"]
    assert ([each.where for each in found], "pass@" in str(found)) == (["there"], False)


@pytest.mark.parametrize(
    ("info", "hint"),
    [
        ({}, ""),
        ({"redis_version": "7.0.15", "role": "master", "maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, ""),
        ({"redis_version": "6.0.9"}, "Redis 6.2"),
        ({"role": "slave", "master_host": "m", "master_port": "1"}, "m:1"),
        ({"maxmemory": "100", "maxmemory_policy": "allkeys-lru"}, "volatile-ttl"),
        ({"maxmemory": "100", "used_memory": "95", "maxmemory_policy": "noeviction"}, "maxmemory"),
        ({"maxmemory": "100", "used_memory": "80", "maxmemory_policy": "noeviction"}, ""),
        ({"rdb_last_bgsave_status": "err"}, "disk"),
        ({"rdb_last_bgsave_status": "ok", "aof_last_write_status": "err"}, "disk"),
    ],
)
def test_what_a_server_says_of_itself(server: Server, info: dict[str, str], hint: str) -> None:
    """Nothing where it says nothing."""
    found = judge_server(fleet(server), info)
    assert ([each.code for each in found], all(hint in each.do for each in found)) == (["server"] * bool(hint), True)


def test_a_long_queue_is_read_in_part(server: Server) -> None:
    """Its head and its tail, and how much it was is said."""
    body = b'{"UUID":"u","Name":"noop"}'
    run(server.broker.port.execute(("RPUSH", "examined", *[body] * 30_000, b"not json")))
    report = run(examine(fleet(server)))
    assert [each.code for each in report.findings] == ["undecodable", "unserved"][::-1]
    assert any("of the 30001 tasks in 'examined' 20" in limit for limit in report.limits)


def test_lists_of_others_are_left_alone(server: Server) -> None:
    """Unless they are named."""
    run(server.broker.port.execute(("RPUSH", "log", b"a line of text")))
    assert codes(server) == []
    assert ("undecodable", "log") in codes(server, queues=["log"])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (65, "65 s"), (600, "10 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    """As people say them."""
    assert time_text(seconds) == text


def test_every_finding_is_explained() -> None:
    """The page's table and the code name the same ones."""
    sources = "".join(path.read_text() for path in (ROOT / "gomachinery_py" / "doctor").glob("*.py"))
    made = set(re.findall(r'(?:Finding\(\s*[\w.()]+,|_count\(kinds,|problem\()\s*"([\w-]+)"', sources))
    explained = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "doctor.md").read_text(), re.MULTILINE)
    assert sorted(made) == sorted(explained)


@pytest.mark.parametrize("url", ["localhost:15672", "amqp://localhost", "http://", "http://host:port"])
def test_a_management_url_that_is_none(url: str) -> None:
    """It is refused before anything is asked."""
    with pytest.raises(ConfigError, match="http://host:15672"):
        open_management(url, Config(broker="amqp://localhost"))


def test_only_rabbitmq_has_a_management_plugin(server: Server) -> None:
    """Exit code 2 on another broker."""
    options = ("--watch", "0", "--broker", str(server.config.broker), "--management", "http://localhost:15672")
    done = gomachinery("doctor", *options)
    assert (done.code, done.out, "only RabbitMQ" in done.error) == (2, "", True)


def test_a_management_plugin_that_is_not_there() -> None:
    """One line that says where, without the password."""
    management = open_management("http://user:secret@127.0.0.1:1", Config(broker="amqp://localhost"))
    with pytest.raises(ServiceUnavailable) as raised:
        run(management.execute(("GET", "/overview")))
    assert ("127.0.0.1:1" in str(raised.value), "secret" in str(raised.value)) == (True, False)
