"""The test tasks of go-harness in Python, on a server that environment variables describe.

``gomachinery worker python_tasks:server`` serves them; ``harness.python_worker`` sets the variables, which are named
as the Go worker's flags: ``GMPY_BROKER`` (the only one that is needed), ``GMPY_BACKEND``, ``GMPY_QUEUE``,
``GMPY_RESULTS_EXPIRE``, ``GMPY_DELAYED_POLL``, ``GMPY_DELAYED_KEY``, ``GMPY_RECORD_KEY``, ``GMPY_TAG``,
``GMPY_ONLY``, ``GMPY_RECORDS``, ``GMPY_DELAYED_QUEUE``, ``GMPY_SEPARATOR``, ``GMPY_SQS_WAIT``,
``GMPY_SQS_VISIBILITY``, ``GMPY_CLUSTER``, ``GMPY_MASTER_NAME``, ``GMPY_SENTINEL_PASSWORD``; and ours alone:
``GMPY_LEASE``, ``GMPY_CRASH_SAFE`` (0 is Go's at-most-once), ``GMPY_READ_TIMEOUT``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import GenericAlias
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import redis

from gomachinery_py import Config, Context, RetryTaskLater, Server, wire
from gomachinery_py.types import (
    Bool,
    Float32,
    Float64,
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)

BROKER = os.environ["GMPY_BROKER"]
RECORDS = os.environ.get("GMPY_RECORDS", BROKER)
RECORD_KEY = os.environ.get("GMPY_RECORD_KEY", "test:records")
TAG = os.environ.get("GMPY_TAG", "python-worker")
ONLY = {name for name in os.environ.get("GMPY_ONLY", "").split(",") if name}

Function = TypeVar("Function", bound=Callable[..., Any])


def _config() -> Config:
    """Settings that no variable gives stay unset, as command-line flags do."""
    expire = os.environ.get("GMPY_RESULTS_EXPIRE")
    wait, visibility = os.environ.get("GMPY_SQS_WAIT"), os.environ.get("GMPY_SQS_VISIBILITY")
    return Config.of(
        broker=BROKER,
        result_backend=os.environ.get("GMPY_BACKEND", BROKER),
        default_queue=os.environ.get("GMPY_QUEUE"),
        results_expire_in=int(expire) if expire else None,
        redis__delayed_tasks_poll_period=int(os.environ.get("GMPY_DELAYED_POLL", "20")),
        redis__delayed_tasks_key=os.environ.get("GMPY_DELAYED_KEY"),
        redis__cluster_mode=True if os.environ.get("GMPY_CLUSTER") else None,
        redis__master_name=os.environ.get("GMPY_MASTER_NAME"),
        redis__sentinel_password=os.environ.get("GMPY_SENTINEL_PASSWORD"),
        amqp__delayed_queue=os.environ.get("GMPY_DELAYED_QUEUE"),
        multiple_broker_separator=os.environ.get("GMPY_SEPARATOR"),
        sqs__receive_wait_time_seconds=int(wait) if wait else None,
        sqs__receive_visibility_timeout=int(visibility) if visibility else None,
        redis__read_timeout=int(os.environ.get("GMPY_READ_TIMEOUT", "15")),
    )


server = Server(
    _config(),
    crash_safe=os.environ.get("GMPY_CRASH_SAFE", "1") == "1",
    lease=float(os.environ.get("GMPY_LEASE", "30")),
)


def task(name: str) -> Callable[[Function], Function]:
    """Declare a test task, unless GMPY_ONLY leaves it out; the function itself stays as it is."""

    def declare(function: Function) -> Function:
        if not ONLY or name in ONLY:
            server.task(name)(function)
        return function

    return declare


# -- Machinery's own integration checks --


@task("add")
def add(*numbers: int) -> int:
    return sum(numbers)


@task("multiply")
def multiply(*numbers: int) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


@task("sum")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task("return_just_error")
def return_just_error(message: str, fail: bool) -> None:
    if fail:
        raise RuntimeError(message)


@task("return_multiple_values")
def return_multiple_values(first: str, second: str, fail: bool) -> tuple[str, str]:
    if fail:
        raise RuntimeError("some error")
    return first, second


@task("panic")
def panic() -> str:
    raise RuntimeError("oops")


@task("delay_test")
def delay_test() -> int:
    return time.time_ns()


# -- one task for each thing that a scenario needs --


@task("noop")
def noop() -> None:
    return


@task("nano_time")
def nano_time() -> int:
    return time.time_ns()


@task("fail")
def fail(message: str) -> None:
    raise RuntimeError(message)


@task("panic_string")
def panic_string() -> None:
    raise RuntimeError("plain text")


@task("panic_other")
def panic_other() -> None:
    raise RuntimeError("Invoking task caused a panic")


@task("concat")
def concat(*parts: str) -> str:
    return "".join(parts)


@task("sleep_ms")
def sleep_ms(milliseconds: int) -> int:
    time.sleep(milliseconds / 1000)
    return milliseconds


@task("kill_worker")
def kill_worker(milliseconds: int) -> None:
    """What a fault in C code or the system's memory killer does."""
    time.sleep(milliseconds / 1000)
    os.kill(os.getpid(), signal.SIGKILL)


@task("record")
def record(*parts: str) -> None:
    _records().rpush(RECORD_KEY, f"{TAG}|{'|'.join(parts)}")


@task("context_signature")
def context_signature(ctx: Context) -> str:
    return wire.encode_signature(ctx.signature).decode()


@task("retry_later")
def retry_later(ctx: Context, message: str, milliseconds: int, times: int) -> int:
    run = _run(ctx)
    if run <= times:
        raise RetryTaskLater(message, timedelta(milliseconds=milliseconds))
    return run


@task("fail_n_times")
def fail_n_times(ctx: Context, times: int) -> int:
    run = _run(ctx)
    if run <= times:
        raise RuntimeError(f"failure {run}")
    return run


_runs: Counter[str] = Counter()
_lock = threading.Lock()


def _run(ctx: Context) -> int:
    """Which execution this is, from 1, for the task's UUID in this process."""
    with _lock:
        _runs[ctx.signature.uuid] += 1
        return _runs[ctx.signature.uuid]


_clients: list[redis.Redis] = []


def _records() -> redis.Redis:
    """A client of the Redis for records that is not the worker's; one name before ``@`` is a password."""
    with _lock:
        if not _clients:
            url = urlsplit(RECORDS)
            user, password = (url.username, url.password) if url.password else (None, url.username)
            _clients.append(
                redis.Redis(
                    url.hostname or "127.0.0.1",
                    url.port or 6379,
                    int(url.path.strip("/") or 0),
                    username=unquote(user) if user else None,
                    password=unquote(password) if password else None,
                    ssl=url.scheme == "rediss",
                )
            )
        return _clients[0]


# -- every type --

SCALARS: dict[str, Any] = {
    "bool": Bool,
    "int": Int,
    "int8": Int8,
    "int16": Int16,
    "int32": Int32,
    "int64": Int64,
    "uint": UInt,
    "uint8": UInt8,
    "uint16": UInt16,
    "uint32": UInt32,
    "uint64": UInt64,
    "float32": Float32,
    "float64": Float64,
    "string": str,
}
SLICES: dict[str, Any] = {f"[]{name}": GenericAlias(list, kind) for name, kind in SCALARS.items()} | {"[]uint8": bytes}


def _echo(name: str, kind: Any) -> None:
    def echo(value: Any) -> Any:
        return value

    echo.__annotations__ = {"value": kind, "return": kind}
    task(f"echo_{name}")(echo)


for _name, _kind in (SCALARS | SLICES | {"[]byte": bytes}).items():
    _echo(_name, _kind)


def _all(name: str, kinds: dict[str, Any]) -> None:
    """A task that returns one argument of each kind as one result of each kind."""
    types = tuple(kinds.values())

    def same(a, b, c, d, e, f, g, h, i, j, k, m, n, o):  # type: ignore[no-untyped-def]
        return a, b, c, d, e, f, g, h, i, j, k, m, n, o

    parameters = dict(zip("abcdefghijkmno", types, strict=True))
    same.__annotations__ = {**parameters, "return": GenericAlias(tuple, types)}
    task(name)(same)


_all("all_scalars", SCALARS)
_all("all_slices", SLICES)
