"""DynamoDB that is not there, not set up or refuses the login: one line, soon; and a worker that waits for it."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import short_directory
from harness.dynamodb_server import URL, DynamoDBServer
from harness.process import wait_until
from harness.redis_server import RedisServer, free_port
from harness.signatures import push, signature

from gomachinery_py import Config, Server, Signature
from gomachinery_py.effects import run
from gomachinery_py.errors import ConfigError, ServiceError, ServiceUnavailable

SOON_SECONDS = 2.5


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[DynamoDBServer]:
    with short_directory() as directory:
        server = DynamoDBServer(directory)
        yield server
        server.kill()


@pytest.fixture
def server(
    dynamodb: DynamoDBServer, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Server]]:
    """A Server in an environment: ``server(AWS_REGION=None, tables={…}, backend=…)``."""
    made: list[Server] = []

    def make(tables: dict[str, str] | None = None, backend: str = URL, **environment: str | None) -> Server:
        for name, value in {**dynamodb.environment, **environment}.items():
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        settings: dict[str, Any] = {f"dynamodb__{name}": table for name, table in (tables or {}).items()}
        made.append(Server(Config.of(broker=redis_server.url(), result_backend=backend, **settings)))
        return made[-1]

    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    yield make
    for each in made:
        each.close()


def trouble(server: Server, kind: type[Exception]) -> str:
    """The error of the first look at the result store, which must be one line and come soon."""
    with pytest.raises(kind):
        server.send_task(Signature("noop"))
    # Without the time in which boto3 reads its own files.
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        run(server.backend.check())
    assert time.monotonic() - began < SOON_SECONDS
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_listens(server: Callable[..., Server]) -> None:
    """The endpoint, the reason and the setting are named."""
    endpoint = f"http://127.0.0.1:{free_port()}"

    text = trouble(server(AWS_ENDPOINT_URL_DYNAMODB=endpoint), ServiceUnavailable)

    assert text == (
        f"cannot reach DynamoDB at {endpoint}: Connection refused. Is it running, are region and "
        "AWS_ENDPOINT_URL_DYNAMODB right?"
    )


def test_nobody_answers(server: Callable[..., Server]) -> None:
    """A host that takes no connection is given up soon."""
    # 192.0.2.0/24 is for documentation; what a network does with it differs.
    text = trouble(server(AWS_ENDPOINT_URL_DYNAMODB="http://192.0.2.1:8000"), ServiceUnavailable)

    assert text.startswith("cannot reach DynamoDB at http://192.0.2.1:8000: ")


def test_missing_tables(server: Callable[..., Server]) -> None:
    """The table that is missing and the key that it must have."""
    states = trouble(server({"task_states_table": "absent"}), ServiceUnavailable)
    with pytest.raises(ServiceUnavailable) as caught:
        run(server({"group_metas_table": "none"}).backend.check())

    assert states == (
        "DynamoDB (https://dynamodb) has no table absent: create it with the string TaskUUID as its hash key, or name "
        "another one in the dynamodb settings; also check the region"
    )
    assert "has no table none: create it with the string GroupUUID" in str(caught.value)


def test_a_table_with_another_key(server: Callable[..., Server], dynamodb: DynamoDBServer) -> None:
    """A table whose key has another name, or is a number, is a matter of its settings."""
    dynamodb.create("other-name", "UUID")
    dynamodb.create("other-type", "TaskUUID", "N")

    for table in ("other-name", "other-type"):
        text = trouble(server({"task_states_table": table}), ConfigError)
        assert text.startswith(f"the DynamoDB table {table} has another key than the string TaskUUID: ")


def test_login(server: Callable[..., Server]) -> None:
    """A key that DynamoDB does not take, none, half of one; what was given is never shown."""
    refused = trouble(server(AWS_ACCESS_KEY_ID="not-valid", AWS_SECRET_ACCESS_KEY="hush"), ServiceUnavailable)
    none = trouble(server(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None), ServiceUnavailable)
    half = trouble(server(AWS_SECRET_ACCESS_KEY=None), ServiceUnavailable)

    assert refused.startswith("DynamoDB (https://dynamodb) refused the login: ")
    assert none.startswith("no AWS credentials for https://dynamodb: Unable to locate credentials. Set AWS_ACCESS_KEY_")
    assert half.startswith("no AWS credentials for https://dynamodb: Partial credentials found in env")
    assert "hush" not in refused


def test_regions_and_endpoints(server: Callable[..., Server], dynamodb: DynamoDBServer) -> None:
    """AWS' own settings decide; the URL says the region, or the endpoint, where they do not."""
    absent = {"AWS_REGION": None}
    assert trouble(server(**absent), ConfigError) == "no AWS region for https://dynamodb: set AWS_REGION"
    run(server(backend="https://dynamodb.eu-west-1.amazonaws.com", **absent).backend.check())

    # TLS, where only plain text is spoken: it is this server that was asked.
    own = f"https://dynamodb-local.localhost:{dynamodb.port}"
    text = trouble(server(backend=own, AWS_ENDPOINT_URL_DYNAMODB=None), ServiceUnavailable)
    assert text.startswith(f"cannot reach DynamoDB at {own}: ")


def test_too_large(server: Callable[..., Server]) -> None:
    """What does not fit 400 KB is refused as DynamoDB says it."""
    sender = server()

    with pytest.raises(ServiceError, match=r"^DynamoDB, table task_states: Item size has exceeded") as caught:
        sender.send_task(Signature("n" * 500_000))
    # Which would be tried again.
    assert not isinstance(caught.value, ServiceUnavailable)


def test_a_result_that_is_too_large(
    dynamodb: DynamoDBServer,
    redis_server: RedisServer,
    python_worker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task fails with what DynamoDB said, and the worker goes on."""
    for name, value in dynamodb.environment.items():
        monkeypatch.setenv(name, value)
    worker = python_worker(backend=URL)
    client = redis_server.client

    push(client, "machinery_tasks", signature("echo_string", ("string", "x" * 500_000), UUID="large"))
    push(client, "machinery_tasks", signature("echo_string", ("string", "small"), UUID="small"))

    wait_until(lambda: (dynamodb.task("large") or {}).get("State") == {"S": "FAILURE"}, 20, "a failure")
    wait_until(lambda: (dynamodb.task("small") or {}).get("State") == {"S": "SUCCESS"}, 20, "the other one")
    text = dynamodb.task("large")["Error"]["S"]
    assert text.startswith("its result cannot be stored")
    assert "Item size" in text
    assert client.llen("{machinery_tasks}:gmpy:dead") == 0
    assert worker.alive


def test_an_error_that_is_too_long_is_cut(server: Callable[..., Server], redis_server: RedisServer) -> None:
    """A task whose error's text does not fit an item fails with the beginning of it, and is done with."""
    worker_server = server()

    @worker_server.task
    def fail() -> None:
        raise ValueError("a long story " * 40_000)

    with worker_server.worker(concurrency=1):
        result = fail.send()
        wait_until(lambda: result.state.state == "FAILURE", 20, "a failure")
        wait_until(lambda: not redis_server.client.keys("*inflight*"), 20, "the end of the message")
    assert result.state.error.startswith("a long story a long story")
    assert "characters; the result store did not take it whole: DynamoDB" in result.state.error
    assert redis_server.client.llen("{machinery_tasks}:gmpy:dead") == 0


def _child(server: Server, results: Any) -> None:
    results.put(server.send_task(Signature("noop")).state.state)


def test_a_fork_has_connections_of_its_own(server: Callable[..., Server]) -> None:
    """Parent and child go on with one Server, and after close() it opens again."""
    sender = server()
    assert sender.send_task(Signature("noop")).state.state == "PENDING"
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_child, args=(sender, results))

    child.start()
    assert results.get(timeout=20) == "PENDING"
    child.join(20)
    assert child.exitcode == 0
    sender.close()
    assert sender.send_task(Signature("noop")).state.state == "PENDING"


def test_asyncio(server: Callable[..., Server]) -> None:
    """Everything has its asyncio twin."""

    async def main() -> list[str]:
        sender = server()
        results = await asyncio.gather(*(sender.asend_task(Signature("noop")) for _ in range(20)))
        states = [(await result.astate()).state for result in results]
        await results[0].aforget()
        states.append((await results[0].astate()).state)
        await sender.aclose()
        return states

    assert asyncio.run(main()) == ["PENDING"] * 20 + [""]


def test_a_worker_waits_for_dynamodb(
    redis_server: RedisServer,
    python_worker: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """While DynamoDB is away nothing is lost; when it is back, tables empty, each task is done once."""
    first = DynamoDBServer(tmp_path)
    for name, value in first.environment.items():
        monkeypatch.setenv(name, value)
    python_worker(backend=URL, concurrency=4)
    client = redis_server.client

    for number in range(150):
        push(client, "machinery_tasks", signature("record", ("string", str(number)), UUID=f"task-{number}"))
    wait_until(lambda: client.llen("test:records") > 20, 20, "some are done")
    first.kill()
    time.sleep(0.5)
    again = DynamoDBServer(tmp_path, port=first.port)
    try:
        wait_until(lambda: client.llen("test:records") >= 150, 30, "all are done")
        wait_until(lambda: (again.task("task-149") or {}).get("State") == {"S": "SUCCESS"}, 10, "the last one")
        records = [line.decode().split("|")[1] for line in client.lrange("test:records", 0, -1)]
        assert sorted(records, key=int) == [str(number) for number in range(150)]
    finally:
        again.kill()
