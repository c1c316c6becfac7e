"""Fixtures: a real Redis per pytest process, flushed per test, and factories for everything else.

Each pytest-xdist worker is a process of its own and so has a server of its own; nothing is shared between them
but the built Go programs. Whatever a test starts is stopped after it, also when it failed.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compatibility_table import CompatibilityTable
from harness.fleet import PAIRS, Fleet, Pair
from harness.go_producer import GoProducer
from harness.go_worker import GoWorker
from harness.memcached_server import MemcachedServer
from harness.mongo_server import MongoServer
from harness.process import Process
from harness.pubsub_server import PubSubServer
from harness.python_worker import PythonWorker
from harness.rabbitmq_server import RabbitServer
from harness.recorder import Recorder
from harness.redis_cluster import RedisCluster
from harness.redis_server import RedisServer
from harness.sqs_server import SQSServer, sqs_variables
from seeds import FRESH_SEED

# A Go worker that is asked to end waits for its blocking pop; a test that is over has no need of that.
KILLED = (GoWorker, GoProducer, PythonWorker)

# Made when RabbitMQ starts, each for one test.
SPARE_VHOSTS = [f"spare-{number}" for number in range(50)]
STORED_VHOSTS = [f"stored-{kind}-amqp" for kind in ("v1", "v2", "python")]
_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--compatibility-table``."""
    parser.addoption("--compatibility-table", metavar="FILE", help="write docs/compatibility.md from this run")


def pytest_configure(config: pytest.Config) -> None:
    """Count outcomes where they all arrive."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As in a background job; the programs that tests start and interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    file = config.getoption("--compatibility-table")
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(CompatibilityTable(Path(file)), "compatibility-table")


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A temporary directory whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="gmpy-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """The Redis server of this pytest process; tests use ``redis_server``."""
    with short_directory() as directory:
        server = RedisServer(directory)
        yield server
        server.stop()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """An empty Redis server; ``url()``, ``client``."""
    shared_redis.flush()
    return shared_redis


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[RedisCluster]:
    """The Redis cluster of this pytest process; tests use ``cluster``."""
    with short_directory() as directory:
        several = RedisCluster(directory)
        yield several
        several.stop()


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> RedisCluster:
    """An empty Redis cluster of three masters, of which none may be stopped."""
    shared_cluster.flush()
    return shared_cluster


@pytest.fixture
def memcached() -> Iterator[MemcachedServer]:
    """A memcached."""
    with short_directory() as directory:
        server = MemcachedServer(directory)
        yield server
        server.stop()


@pytest.fixture
def mongo() -> Iterator[MongoServer]:
    """A MongoDB."""
    with short_directory() as directory:
        server = MongoServer(directory)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """The RabbitMQ server of this pytest process, with TLS and management; tests use vhosts of their own."""
    with short_directory() as directory:
        server = RabbitServer(directory, vhosts=[*STORED_VHOSTS, *SPARE_VHOSTS], tls=True, management=True)
        yield server
        server.stop()


@pytest.fixture
def vhost(rabbit_server: RabbitServer) -> str:  # noqa: ARG001
    """An empty vhost of ``rabbit_server``."""
    return SPARE_VHOSTS[next(_numbers)]


@pytest.fixture(scope="session")
def shared_sqs() -> Iterator[SQSServer]:
    """The ElasticMQ of this pytest process; tests use ``sqs_server``, and queues of their own."""
    with short_directory() as directory:
        server = SQSServer(directory)
        yield server
        server.stop()


@pytest.fixture(scope="module")
def sqs_server(shared_sqs: SQSServer) -> Iterator[SQSServer]:
    """An ElasticMQ, and an environment in which Go and Python take it for SQS."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sqs_variables(shared_sqs).items():
            patch.setenv(name, value)
        yield shared_sqs


@pytest.fixture
def sqs_queue(sqs_server: SQSServer) -> str:
    """A new standard queue of ``sqs_server``."""
    return sqs_server.create(f"queue-{next(_numbers)}")


@pytest.fixture(scope="module")
def pubsub() -> Iterator[PubSubServer]:
    """A Pub/Sub server, where every client of this process and its children looks for it."""
    with short_directory() as directory, pytest.MonkeyPatch.context() as patch:
        server = PubSubServer(directory)
        patch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield server
        server.stop()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A Redis of this module with a worker of every kind; never flushed, so tests use UUIDs and queues of their own."""
    with short_directory() as directory:
        server = RedisServer(directory)
        with Fleet(server, directory) as fleet:
            yield fleet
        server.stop()


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request: Any, fleet: Fleet) -> Iterator[Pair]:
    """A producer and a worker of ``fleet``, at least one of them Python; nothing may stop or restart the worker."""
    pair = Pair(fleet, *request.param)
    pair.check_worker()
    yield pair
    pair.check_worker()


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """What has to be stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def start(redis_server: RedisServer, stack: contextlib.ExitStack) -> Callable[..., Any]:
    """Start a process of ``harness`` on this test's Redis, or on ``redis=``: ``start(GoWorker, version="v1")``."""
    directory = stack.enter_context(short_directory())

    def starter(kind: Callable[..., Process], *args: Any, redis: RedisServer | None = None, **kwargs: Any) -> Process:
        started = kind(redis or redis_server, directory, *args, **kwargs)
        stack.callback(started.kill if isinstance(started, KILLED) else started.stop)
        return started

    return starter


@pytest.fixture
def make_redis(stack: contextlib.ExitStack) -> Callable[..., RedisServer]:
    """Another Redis server: ``make_redis(password=…, user=(…, …), unix_socket=True, tls=True)``."""

    def maker(**settings: Any) -> RedisServer:
        server = RedisServer(stack.enter_context(short_directory()), **settings)
        stack.callback(server.stop)
        return server

    return maker


@pytest.fixture
def go_worker(start: Callable[..., Any]) -> Callable[..., GoWorker]:
    """A Go worker: ``go_worker("v1", "goredis", concurrency=1)``."""
    return functools.partial(start, GoWorker)


@pytest.fixture
def go_producer(start: Callable[..., Any]) -> Callable[..., GoProducer]:
    """A Go producer: ``go_producer("v2", "redigo")``."""
    return functools.partial(start, GoProducer)


@pytest.fixture
def python_worker(start: Callable[..., Any]) -> Callable[..., PythonWorker]:
    """A Python worker process: ``python_worker(concurrency=4)``."""
    return functools.partial(start, PythonWorker)


@pytest.fixture
def recorder(start: Callable[..., Any]) -> Callable[..., Recorder]:
    """A recording proxy in front of Redis: ``recorder().url()``."""
    return functools.partial(start, Recorder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to repeat this run's random tests."""
    terminalreporter.write_line(f"fresh seed {FRESH_SEED}: GMPY_SEED={FRESH_SEED} repeats it")
