"""The command line on a real Redis, with Go on the other side."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness.command_line import gomachinery
from harness.go_worker import GoWorker
from harness.redis_server import RedisServer
from harness.signatures import push, signature


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_send_to_a_go_worker_and_wait(
    redis_server: RedisServer, go_worker: Callable[..., GoWorker], version: str
) -> None:
    """Typed arguments reach Go as what they are, and its results and failures come back."""
    go_worker(version)
    options = ("--wait", "20", "--broker", redis_server.url())
    assert gomachinery("send", "add", "int64:20", "22", "-1", *options) == (0, "41\n", "")
    code, out, error = gomachinery("send", "add", "string:x", "--json", *options)
    assert (code, json.loads(out)["state"], error) == (1, "FAILURE", "")


@pytest.mark.parametrize("settings", [{"password": "s3cret p@ss"}, {"user": ("some.one", "s3cret:x")}, {"tls": True}])
def test_every_kind_of_server(
    make_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Password, user and TLS work from the URL; whom to trust is OpenSSL's own variable."""
    redis = make_redis(**settings)
    if redis.ca_file:
        code, out, error = gomachinery("send", "x", "--broker", redis.url())
        assert (code, out, error.count("\n"), "certificate verify failed" in error) == (3, "", 1, True)
        monkeypatch.setenv("SSL_CERT_FILE", str(redis.ca_file))
    code, out, error = gomachinery("send", "x", "--broker", redis.url())
    assert (code, error) == (0, ""), error
    assert [json.loads(body)["UUID"] for body in redis.client.lrange("machinery_tasks", 0, -1)] == [out.strip()]


def test_a_wrong_password_is_one_line(make_redis: Callable[..., RedisServer]) -> None:
    """Exit code 3; neither the right password nor the wrong one is shown."""
    redis = make_redis(password="the_right_one")
    code, out, error = gomachinery("queue", "ls", "--broker", redis.url().replace("the_right_one", "the_wrong_one"))
    assert (code, out, error.count("\n")) == (3, "", 1)
    assert f"redis://***@127.0.0.1:{redis.port} refused the login" in error
    assert "the_" not in error


def test_delayed_tasks_of_go_producers_are_shown(redis_server: RedisServer) -> None:
    """And those of our own beside them, by their time."""
    theirs = json.dumps(signature("noop", UUID="theirs", ETA="2199-06-01T00:00:00Z"))
    redis_server.client.zadd("delayed_tasks", {theirs: 1 << 62})
    assert gomachinery("send", "x", "--uuid", "ours", "--countdown", "100", "--broker", redis_server.url())[0] == 0
    _, out, _ = gomachinery("delayed", "ls", "--json", "--broker", redis_server.url())
    assert [json.loads(line)["uuid"] for line in out.splitlines()] == ["ours", "theirs"]


def test_a_long_queue_is_read_page_by_page(redis_server: RedisServer) -> None:
    """Beginning at once, with one page of 100,000 tasks in memory."""
    body = json.dumps(signature("noop", ("string", "x" * 1000), UUID="task_1"))
    for _ in range(100):
        redis_server.client.rpush("machinery_tasks", *([body] * 1000))
    redis_server.client.config_resetstat()
    started = time.monotonic()
    code, out, _ = gomachinery("queue", "peek", "-n", "600", "--broker", redis_server.url())
    assert (code, out.count("\n"), time.monotonic() - started < 10) == (0, 600, True)
    assert redis_server.client.info("stats")["total_net_output_bytes"] < 1_000_000
    code, out, _ = gomachinery("queue", "ls", "--json", "--broker", redis_server.url())
    assert json.loads(out)["waiting"] == 100_000


def test_dead_letters_come_back_to_a_go_worker(redis_server: RedisServer, go_worker: Callable[..., GoWorker]) -> None:
    """What could not run here may run there."""
    push(redis_server.client, "{machinery_tasks}:gmpy:dead", signature("noop", UUID="task_back"))
    url = redis_server.url()
    assert gomachinery("queue", "requeue", "--yes", "--broker", url) == (0, "1 put back\n", "")
    go_worker("v2")
    assert gomachinery("result", "task_back", "--wait", "20", "--broker", url)[0] == 0


def test_wire_fmt_of_what_go_wrote(redis_server: RedisServer, go_worker: Callable[..., GoWorker]) -> None:
    """States that a Go worker stored come out as they went in."""
    go_worker("v1")
    _, out, _ = gomachinery("send", "add", "1", "2", "--wait", "20", "--json", "--broker", redis_server.url())
    stored: bytes = redis_server.client.get(json.loads(out)["uuid"])
    assert gomachinery("wire", "fmt", stdin=stored) == (0, stored.decode() + "\n", "")
