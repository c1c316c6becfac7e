"""Redis behind a sentinel: Go v1, Go v2 and Python in both directions, and failovers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.fleet import Fleet, Pair
from harness.process import wait_until
from harness.redis_sentinel import MASTER_NAME, RedisSentinel
from harness.redis_server import RedisServer, free_port
from harness.several import PAIRS, check_pair
from test_both_ways import failure

from gomachinery_py import Config, Server
from gomachinery_py.errors import ServiceUnavailable

TASKS = 2000


@pytest.fixture(scope="module")
def fleet(shared_redis: RedisServer) -> Iterator[Fleet]:
    """Workers of every kind on the master that a sentinel names."""
    with short_directory() as directory:
        several: Any = RedisSentinel(directory)
        with Fleet(several, directory, master_name=MASTER_NAME, records=shared_redis.url()) as fleet:
            yield fleet
        several.stop()


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: Any, fleet: Fleet) -> Iterator[Pair]:
    """A producer and a worker; nothing may stop or restart the worker."""
    pair = Pair(fleet, *request.param)
    pair.check_worker()
    yield pair
    pair.check_worker()


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


def make_server(url: str, master_name: str = MASTER_NAME, **settings: Any) -> Server:
    server = Server(Config.of(broker=url, result_backend=url, redis__master_name=master_name, **settings))

    @server.task
    def count(number: int) -> int:
        return number

    return server


def test_both_ways(pair: Pair) -> None:
    """Everything that Machinery can send is done and answered."""
    check_pair(pair, failure)


def test_failover_in_order(directory: Path) -> None:
    """2,000 tasks run although the sentinel makes the replica the master meanwhile; none is lost."""
    several = RedisSentinel(directory)
    before = several.master
    try:
        with make_server(several.url()) as server, server.worker(concurrency=4):
            sent: list[Any] = []
            threading.Thread(target=_fail_over, args=(several,), daemon=True).start()
            _send(server, sent)
            wait_until(lambda: several.master != before, 20, "another master")
            assert _answers(sent) == list(range(TASKS))
    finally:
        several.stop()


def test_master_is_killed(directory: Path) -> None:
    """Every send that was acknowledged by master and replica runs, and the worker goes on by itself."""
    several = RedisSentinel(directory)
    before = several.master
    try:
        with make_server(several.url()) as server, server.worker(concurrency=4):
            sent: list[Any] = [server.tasks["count"].send(number) for number in range(200)]
            with several.connect() as client:
                assert client.wait(1, 5000) == 1
            several.kill(before)
            _send(server, sent)
            wait_until(lambda: several.master != before, 20, "another master")
            assert _answers(sent) == list(range(TASKS))
    finally:
        several.stop()


def test_passwords_and_tls(directory: Path) -> None:
    """Master and sentinel with a password each, over TLS, blocking and asyncio."""
    several = RedisSentinel(directory, password="geheim", sentinel_password="wächter", tls=True)
    settings = {"redis__sentinel_password": "wächter", "tlsconfig__ca_file": str(several.ca_file)}
    try:
        with make_server(several.url(), **settings) as server, server.worker(concurrency=2):
            assert server.tasks["count"].send(7).get(timeout=10) == 7
        for wrong, text in (
            ({"redis__sentinel_password": "falsch"}, "check redis.sentinel_password"),
            ({"url": several.url().replace("geheim", "falsch")}, "check user and password in its URL"),
        ):
            changed: dict[str, Any] = {"url": several.url(), **settings, **wrong}
            assert text in _refusal(changed.pop("url"), **changed)
        # A sentinel would be told its password, and believed, whoever it is.
        elsewhere = {**settings, "tlsconfig__servername": "elsewhere.example"}
        assert "no sentinel at" in _refusal(several.url(), **elsewhere)
        assert "no sentinel at" in asyncio.run(_async_refusal(several.url(), **elsewhere))
        with make_server(several.url(), tlsconfig__servername="localhost", **settings) as server:
            assert server.tasks["count"].send(1).state.state == "PENDING"
    finally:
        several.stop()


async def _async_refusal(url: str, **settings: Any) -> str:
    server = make_server(url, **settings)
    try:
        with pytest.raises(ServiceUnavailable) as caught:
            await server.tasks["count"].asend(1)
        return str(caught.value)
    finally:
        await server.aclose()


def test_clear_errors(fleet: Fleet) -> None:
    """A wrong master_name and sentinels that are not there are one line each, at once."""
    wrong = _refusal(fleet.redis.url(), master_name="other")
    nobody = _refusal(f"redis://127.0.0.1:{free_port()},127.0.0.1:{free_port()}")

    assert "knows a master 'other': check redis.master_name" in wrong
    assert "no sentinel at redis://127.0.0.1:" in nobody


def _refusal(url: str, **settings: Any) -> str:
    """The one line with which a send fails within two seconds."""
    began = time.monotonic()
    with make_server(url, **settings) as server, pytest.raises(ServiceUnavailable) as caught:
        server.tasks["count"].send(1)
    assert time.monotonic() - began < 2
    text = str(caught.value)
    assert "\n" not in text
    assert "falsch" not in text
    return text


def _fail_over(several: RedisSentinel) -> None:
    time.sleep(0.3)
    with several.node(several.sentinel_port) as client:
        client.sentinel_failover(MASTER_NAME)


def _send(server: Server, sent: list[Any]) -> None:
    """Send until all were acknowledged; one that was not is sent again."""
    deadline = time.monotonic() + 40
    while len(sent) < TASKS:
        try:
            sent.append(server.tasks["count"].send(len(sent)))
        except ServiceUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _answers(sent: list[Any]) -> list[Any]:
    found = []
    for result in sent:
        for attempt in range(100):
            try:
                found.append(result.get(timeout=40))
                break
            except ServiceUnavailable:
                assert attempt < 99
                time.sleep(0.1)
    return found
