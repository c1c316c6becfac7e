"""What several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gomachinery_py.demo.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """The URL of an embedded Redis; tests use queues and UUIDs of their own."""
    with EmbeddedRedis() as redis:
        yield redis.url
