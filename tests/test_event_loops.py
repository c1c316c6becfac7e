"""A program with one event loop after another, as with an ``asyncio.run`` for each request."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from gomachinery_py import Server
from gomachinery_py.demo.embedded import EmbeddedRedis


# A loop that ends without aclose() leaves its connections to the collector, which says so.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_connections_of_closed_loops_do_not_pile_up() -> None:
    """They go when the next loop comes, or when the server is closed, and take their loops with them."""
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    with EmbeddedRedis() as redis:
        server = Server(redis.url)

        @server.task
        def add(*numbers: int) -> int:
            return sum(numbers)

        async def send() -> None:
            loops.append(weakref.ref(asyncio.get_running_loop()))
            await add.asend(1, 2)

        for _ in range(5):
            asyncio.run(send())
        gc.collect()
        assert [False] * 4 == [loop() is not None for loop in loops[:4]]
        server.close()
        gc.collect()
        assert [False] * 5 == [loop() is not None for loop in loops]
