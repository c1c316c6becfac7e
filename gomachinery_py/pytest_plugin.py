"""Fixtures for testing tasks, found by pytest through the package's entry point.

===================== ==================================================================================
fixture               what it gives
===================== ==================================================================================
``machinery_redis``   the URL of a Redis inside this process, empty for each test; needs the extra ``embedded``
``machinery_app``     override it to return your own server; a new one unless you do
``machinery_server``  that server on ``machinery_redis``; what it was before comes back afterwards
``machinery_worker``  a worker of it, running, for every queue that its tasks are sent to;
                      ``@pytest.mark.machinery(concurrency=2, queue="mine")`` sets it up
``machinery_eager``   that server with tasks that run inside the send
===================== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gomachinery_py.demo.embedded import EmbeddedRedis
    from gomachinery_py.server import Server
    from gomachinery_py.worker import Worker

__all__ = [
    "machinery_app",
    "machinery_eager",
    "machinery_redis",
    "machinery_server",
    "machinery_worker",
]


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line(
        "markers", "machinery(concurrency, queue, prefetch): how the worker of the fixture machinery_worker runs"
    )


@pytest.fixture(scope="session")
def _machinery_embedded() -> Iterator[EmbeddedRedis]:
    from gomachinery_py.demo.embedded import EmbeddedRedis

    with EmbeddedRedis() as redis:
        yield redis


@pytest.fixture
def machinery_redis(_machinery_embedded: EmbeddedRedis) -> str:
    """The URL of a Redis inside this process, empty at the beginning of each test."""
    import redis

    with redis.Redis.from_url(_machinery_embedded.url) as client:
        client.flushall()
    return _machinery_embedded.url


@pytest.fixture
def machinery_app() -> Server:
    """The server under test; override this fixture to return yours."""
    from gomachinery_py.server import Server

    return Server("eager")


@pytest.fixture
def machinery_server(machinery_app: Server, machinery_redis: str) -> Iterator[Server]:
    """The server under test, on a Redis inside this process."""
    from gomachinery_py.testing import reconfigured

    with reconfigured(machinery_app, broker=machinery_redis, result_backend=machinery_redis) as server:
        yield server


@pytest.fixture
def machinery_worker(machinery_server: Server, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker that runs what the test sends; it is drained when the test has ended."""
    from gomachinery_py.declaring import queues_of

    marker = request.node.get_closest_marker("machinery")
    settings: dict[str, Any] = {"concurrency": 4, "queue": queues_of(machinery_server), "prefetch": None}
    if marker is not None:
        if marker.args:
            raise pytest.UsageError(
                f"the marker machinery takes settings by name, as machinery(concurrency=2): not {marker.args[0]!r}"
            )
        for name in marker.kwargs:
            if name not in settings:
                raise pytest.UsageError(f"the marker machinery has no setting {name}; it has {', '.join(settings)}")
        settings |= marker.kwargs
    with machinery_server.worker("test", **settings) as worker:
        yield worker


@pytest.fixture
def machinery_eager(machinery_app: Server) -> Iterator[Server]:
    """The server under test, with tasks that run inside the send."""
    from gomachinery_py.testing import eager

    with eager(machinery_app) as server:
        yield server
